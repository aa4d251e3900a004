"""The ten actions of the MIDI-B challenge with its semantics, holes and all, for a number that can be compared.

What its scorer looks at is the one attribute only; a missing file passes what had to go and fails what had to stay. Of the
two things that it does with a missing attribute in the consistency actions, this does the first: it passes.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from bench.deid.key import EQUAL, HIDDEN, PRESENT, REMOVED, WORDS, AnswerKey, FileKey, Plant
from bench.deid.output import Output
from bench.deid.pixels import is_hidden
from bench.deid.tally import Tally
from bench.deid.views import Shown, frames, show

STOPWORDS = frozenset(
    "a an and are as at be by for from in is it no not of on or so than that the then to was with".split()
)
_PASSED_BY_ABSENCE = frozenset({"text_removed", "date_shifted", "uid_changed", "pixels_hidden"})
_TOP = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True, slots=True)
class Check:
    """One action that is asked for. `text` is the value that has to be there or gone."""

    action: str
    attribute: str
    text: str


def score(key: AnswerKey, output: Output, planted: Mapping[str, Shown], only_released: bool = False) -> Tally:
    """Return how many actions were right, over all files or over those that the tool released."""
    tally = Tally()
    shown = {
        file.file: show(output.released[file.file], file.file) for file in key.files if file.file in output.released
    }
    uids, patients = _maps(key, shown)
    for file in key.files:
        copy = shown.get(file.file)
        if copy is None and only_released:
            continue
        for check in checks(file):
            tally.count(check.action, _passes(check, copy, uids, patients), file.file, check.attribute)
        for plant in (each for each in key.plants if each.file == file.file and each.action in (REMOVED, HIDDEN)):
            tally.count(*_plant(plant, copy, planted[file.file]), file.file, plant.attribute)
        if file.pixels == "bytes":
            same = copy is not None and _digest(copy.dataset) == _digest(planted[file.file].dataset)
            tally.count("pixels_retained", same, file.file, "PixelData")
    return tally


def checks(file: FileKey) -> Iterator[Check]:
    """Yield what is asked of one file, its plants and pixels aside."""
    for path, uid in file.uids.items():
        yield Check("uid_changed", path, uid)
        if path in _TOP or path.endswith("ReferencedSOPInstanceUID"):
            yield Check("uid_consistent", path, uid)
    for path, day in file.dates.items():
        yield Check("date_shifted", path, day)
    yield Check("patid_consistent", "PatientID", file.patient_id)
    yield Check("text_notnull", "SOPClassUID", file.sop_class)
    for kept in file.kept:
        action = {EQUAL: "text_retained", WORDS: "text_retained", PRESENT: "tag_retained"}.get(kept.how)
        if action:
            yield Check(action, kept.attribute, kept.value)


def retained(text: str, value: str) -> float | None:
    """Return the share of a text that a value retains, None for a text of stopwords only."""
    text, value = text.lower(), value.lower()
    if text in value or _is_same_number(text, value):
        return 1.0
    tokens = _tokens(text)
    return sum(token in value for token in tokens) / len(tokens) if tokens else None


def removed(text: str, value: str) -> float | None:
    """Return the share of a text that a value has lost, None for a text of stopwords only."""
    text, value = text.lower(), value.lower()
    if text in value:
        return 0.0
    tokens = _tokens(text)
    return sum(token not in value for token in tokens) / len(tokens) if tokens else None


def _tokens(text: str) -> list[str]:
    return [token for token in re.split(r"[\s,;:^=()\\]+", text) if token and token not in STOPWORDS]


def _is_same_number(one: str, other: str) -> bool:
    number = re.compile(r"\d+(\.\d*)?\Z")
    return bool(number.match(one) and number.match(other) and float(one) == float(other))


def _passes(check: Check, copy: Shown | None, uids: Mapping[str, str], patients: Mapping[str, str]) -> bool:
    if copy is None:
        return check.action in _PASSED_BY_ABSENCE
    element = copy.elements.get(check.attribute)
    value = element.text if element else None
    rules: dict[str, Callable[[], bool]] = {
        "tag_retained": lambda: value is not None,
        "text_notnull": lambda: bool(value),
        "text_retained": lambda: value is not None and retained(check.text, value) == 1,
        "date_shifted": lambda: value is None or check.text not in value.replace("\\", ""),
        "uid_changed": lambda: value is None or check.text not in value,
        "uid_consistent": lambda: value is None or value == uids.get(check.text, value),
        "patid_consistent": lambda: value is None or value == patients.get(check.text, value),
    }
    return rules[check.action]()


def _plant(plant: Plant, copy: Shown | None, planted: Shown) -> tuple[str, bool]:
    if plant.action == HIDDEN:
        source = frames(planted.dataset)
        after = None if copy is None else frames(copy.dataset)
        assert plant.burned is not None
        return "pixels_hidden", source is None or after is None or is_hidden(plant.burned, source, after)
    element = copy.elements.get(plant.attribute) or copy.meta.get(plant.attribute) if copy else None
    return "text_removed", element is None or all(removed(form, element.text) == 1 for form in plant.forms)


def _maps(key: AnswerKey, shown: Mapping[str, Shown]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what UIDs and patient IDs became, as the first file that shows it has it."""
    uids: dict[str, str] = {}
    patients: dict[str, str] = {}
    for file in key.files:
        copy = shown.get(file.file)
        if copy is None:
            continue
        for path in _TOP:
            if path in file.uids and path in copy.elements:
                uids.setdefault(file.uids[path], copy.elements[path].text)
        if "PatientID" in copy.elements:
            patients.setdefault(file.patient_id, copy.elements["PatientID"].text)
    return uids, patients


def _digest(dataset: Dataset) -> str:
    value = dataset.get("PixelData")
    return hashlib.md5(value if isinstance(value, bytes) else b"", usedforsecurity=False).hexdigest()
