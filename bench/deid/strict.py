"""What is left of whom, anywhere in the released files; and, apart from that, what was taken that should have stayed.

Every released file is searched whole: its bytes, what is inflated or put together of them, its decoded texts, in Unicode
and the file's own character set, case and accents aside. A plant in a file that the tool kept back, and said so, is
neither right nor wrong. A file that is gone without a word fails all that was asked of it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from bench.deid.key import (
    CHANGED,
    MOVED,
    PRESENT,
    REMOVED,
    SHIFTED,
    WORDS,
    AnswerKey,
    FileKey,
    Kept,
    Plant,
)
from bench.deid.output import Output
from bench.deid.pixels import is_hidden, is_kept
from bench.deid.tally import Tally
from bench.deid.views import Patterns, Shown, fold, frames, show

MOVED_PLACE = "another patient's"
KEPT_ACTIONS = ("text_retained", "tag_retained", "interval_preserved")
"""The actions whose failures are over-scrubs, pixels aside."""

_META = frozenset(
    """FileMetaInformationGroupLength FileMetaInformationVersion MediaStorageSOPClassUID MediaStorageSOPInstanceUID
    TransferSyntaxUID ImplementationClassUID ImplementationVersionName""".split()
)
_GROUP = re.compile(r"\(([0-9a-f]{4}),")
_SHORTEST_UID = 10


@dataclass(frozen=True, slots=True)
class Leak:
    """Something of a plant that is left: in which kind of place it was planted, of which attribute, and in which file."""

    place: str
    file: str
    attribute: str


@dataclass(slots=True)
class Strict:
    """`leaks` in bytes and texts; `visible` and `hidden` are burned-in texts of released files, as (contrast, file).

    `others` are UIDs and dates of the source that nobody planted and that are left.
    `kept_back` counts plants in files of which the tool said that it keeps them; `silent` are files gone without a word.
    """

    tally: Tally = field(default_factory=Tally)
    leaks: list[Leak] = field(default_factory=list)
    others: list[Leak] = field(default_factory=list)
    visible: list[tuple[str, str]] = field(default_factory=list)
    hidden: list[tuple[str, str]] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    planted: int = 0
    kept_back: int = 0
    silent: list[str] = field(default_factory=list)

    @property
    def over_scrubbed(self) -> int:
        return sum(self.tally.total[each] - self.tally.passed[each] for each in (*KEPT_ACTIONS, "pixels_retained"))


def score(key: AnswerKey, output: Output, planted: Mapping[str, Shown]) -> Strict:
    """Search every released file for every plant, and compare what should have stayed."""
    result = Strict()
    plants: dict[str, list[Plant]] = defaultdict(list)
    for plant in key.plants:
        plants[plant.file].append(plant)
    search = _Search(key)
    relations = _Relations()
    for file in key.files:
        state = output.state(file.file)
        result.states[state or "silent"] += 1
        result.planted += len(plants[file.file])
        if state == "released":
            copy = show(output.released[file.file], str(output.released[file.file].relative_to(output.folder)))
            _judge(file, plants[file.file], copy, planted[file.file], search, result)
            relations.take(file, copy)
        elif state:
            result.kept_back += len(plants[file.file])
        else:
            result.silent.append(file.file)
            _fail(file, plants[file.file], result.tally)
    relations.judge(result)
    return result


class _Search:
    """All that is looked for in every file: the plants' forms, and the sources' UIDs."""

    def __init__(self, key: AnswerKey) -> None:
        texts = {(form, plant.charset) for plant in key.plants for form in plant.forms}
        texts |= {(uid, "") for file in key.files for uid in file.uids.values() if len(uid) >= _SHORTEST_UID}
        self._texts = sorted(texts)
        self.of_patient: dict[int, set[str]] = defaultdict(set)
        patients = {file.file: file.patient for file in key.files}
        for plant in key.plants:
            self.of_patient[patients[plant.file]].update(plant.forms)
        for file in key.files:
            self.of_patient[file.patient].update(file.uids.values())
        self._patterns = Patterns(self._texts)

    def found(self, copy: Shown) -> set[str]:
        return {self._texts[number][0] for number in copy.found(self._patterns)}


def _judge(file: FileKey, plants: list[Plant], copy: Shown, source: Shown, search: _Search, result: Strict) -> None:
    tally, found = result.tally, search.found(copy)
    leaked = _leaked(plants, copy, found)
    for plant in plants:
        if plant.action in (REMOVED, CHANGED):
            action = "uid_changed" if plant.action == CHANGED else "text_removed"
            action = "file_name_clean" if plant.place == "file name" else action
            is_gone = plant not in leaked
            tally.count(action, is_gone, file.file, f"{plant.place} {plant.attribute}")
            if not is_gone:
                result.leaks.append(Leak(plant.place, file.file, plant.attribute))
    known = {form for plant in plants for form in plant.forms}
    for path, uid in file.uids.items():
        if uid not in known and len(uid) >= _SHORTEST_UID:
            tally.count("uid_changed", uid not in found, file.file, path)
            if uid in found:
                result.others.append(Leak("uid", file.file, path))
    for _ in found - known - set(file.uids.values()) - search.of_patient[file.patient]:
        result.leaks.append(Leak(MOVED_PLACE, file.file, ""))
    places = {plant.attribute: plant.place for plant in plants if plant.action == SHIFTED}
    for path, day in file.dates.items():
        same = path in copy.elements and copy.elements[path].text[:8] == day[:8]
        tally.count("date_shifted", not same, file.file, path)
        if same:
            place = places.get(path)
            (result.leaks if place else result.others).append(Leak(place or "date", file.file, path))
    for kept in file.kept:
        if kept.how != MOVED:
            action = "tag_retained" if kept.how == PRESENT else "text_retained"
            tally.count(action, _is_kept(kept, copy), file.file, kept.attribute)
    _judge_pixels(file, plants, copy, source, result)
    for action, passes in _judge_form(copy):
        tally.count(action, passes, file.file, "")


def _leaked(plants: list[Plant], copy: Shown, found: set[str]) -> list[Plant]:
    """Return the plants of which something is left.

    What several places of the file were planted with is left in those where it can still be read; else in those that are
    no attributes of text; else, moved, in the first.
    """
    leaked = []
    holders: dict[str, list[Plant]] = defaultdict(list)
    for plant in plants:
        if plant.place == "file name":
            if any(fold(form) in fold(copy.name) for form in plant.forms):
                leaked.append(plant)
            continue
        if plant.action not in (REMOVED, CHANGED):
            continue
        element = copy.elements.get(plant.attribute)
        if element is not None and any(fold(form) in fold(element.text) for form in plant.forms):
            leaked.append(plant)
            continue
        for form in plant.forms:
            holders[form].append(plant)
    for form in found & holders.keys():
        where = copy.at(fold(form))
        among = holders[form]
        here = [plant for plant in among if plant.attribute in where]
        read_elsewhere = any(plant.attribute in where for plant in leaked)
        unread = [plant for plant in among if not plant.attribute or plant.attribute.startswith("(")]
        leaked += here or ([] if read_elsewhere else unread or among[:1])
    return list({id(plant): plant for plant in leaked}.values())


def _is_kept(kept: Kept, copy: Shown) -> bool:
    element = copy.elements.get(kept.attribute)
    if kept.how == PRESENT:
        return element is not None
    if element is None:
        return False
    if kept.how == WORDS:
        return element.text == kept.value
    if element.vr == "TM":
        return _clock(element.text) == _clock(kept.value)
    return element.text == kept.value or _numbers(element.text) == _numbers(kept.value) != []


def _clock(text: str) -> str:
    """Return a time of day in today's notation: that of the standard's forerunner has colons (PS3.5 6.2)."""
    whole, _, fraction = text.replace(":", "").partition(".")
    return f"{whole}.{fraction.rstrip('0')}".rstrip(".")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split("\\")]
    except ValueError:
        return []


def _judge_pixels(file: FileKey, plants: list[Plant], copy: Shown, source: Shown, result: Strict) -> None:
    burned = [plant.burned for plant in plants if plant.burned is not None]
    if file.pixels == "none" and not burned:
        return
    before, after = frames(source.dataset), frames(copy.dataset)
    if file.pixels != "none":
        same = is_kept(burned, before, after) or _value(source) == _value(copy)
        result.tally.count("pixels_retained", same, file.file, "PixelData")
    for text in burned:
        gone = before is not None and after is not None and is_hidden(text, before, after)
        result.tally.count("pixels_hidden", gone, file.file, f"{text.contrast} {text.size} px")
        (result.hidden if gone else result.visible).append((text.contrast, file.file))


def _value(shown: Shown) -> object:
    return shown.dataset.get("PixelData")


def _judge_form(copy: Shown) -> Iterator[tuple[str, bool]]:
    """Yield what the standard asks of a copy as such (PS3.15 E.1.1)."""
    texts = {path: element.text for path, element in copy.elements.items()}
    methods = any(path.startswith("DeidentificationMethod") for path in texts)
    dates = texts.get("LongitudinalTemporalInformationModified") in ("REMOVED", "MODIFIED", "UNMODIFIED")
    yield "meta_set", texts.get("PatientIdentityRemoved") == "YES" and methods and dates
    uid = copy.meta.get("MediaStorageSOPInstanceUID")
    same = uid is not None and uid.text == texts.get("SOPInstanceUID")
    yield "filemeta_clean", same and set(copy.meta) <= _META and not any(copy.views[0][:128])
    yield "private_disposition", not any(int(group, 16) % 2 for group in _GROUP.findall(" ".join(texts)))


def _fail(file: FileKey, plants: list[Plant], tally: Tally) -> None:
    for plant in plants:
        tally.count("missing_file", False, file.file, plant.place)
    for kept in file.kept:
        tally.count("missing_file", False, file.file, kept.attribute)


class _Relations:
    """What holds between files: a UID or patient becomes one other one, and a patient's dates move together."""

    def __init__(self) -> None:
        self._uids: dict[str, set[str]] = defaultdict(set)
        self._patients: dict[str, set[str]] = defaultdict(set)
        self._days: dict[str, Counter[int]] = defaultdict(Counter)
        self._seen: list[tuple[str, str, str, int | None]] = []
        self._uses: list[tuple[str, str, str, str]] = []

    def take(self, file: FileKey, copy: Shown) -> None:
        for path, uid in file.uids.items():
            if path in copy.elements and copy.elements[path].text:
                self._uids[uid].add(copy.elements[path].text)
                self._uses.append((file.file, path, uid, copy.elements[path].text))
        if "PatientID" in copy.elements:
            self._patients[file.patient_id].add(copy.elements["PatientID"].text)
        moved = {kept.attribute for kept in file.kept if kept.how == MOVED}
        for path, day in file.dates.items():
            days = _between(day, copy.elements[path].text) if path in copy.elements else None
            if days is not None:
                self._days[file.patient_id][days] += 1
            if path in moved:
                self._seen.append((file.file, path, file.patient_id, days))

    def judge(self, result: Strict) -> None:
        """Count consistency: each mapping is one to one, and every date moved as far as most of the patient's."""
        new = Counter(value for values in self._uids.values() for value in values)
        for file, path, uid, value in self._uses:
            result.tally.count("uid_consistent", len(self._uids[uid]) == 1 and new[value] == 1, file, path)
        names = Counter(value for values in self._patients.values() for value in values)
        for patient, values in self._patients.items():
            single = len(values) == 1 and all(names[value] == 1 for value in values) and patient not in values
            result.tally.count("patid_consistent", single, "", "PatientID")
        for file, path, patient, days in self._seen:
            most = self._days[patient].most_common(1)
            result.tally.count("interval_preserved", bool(days) and days == most[0][0], file, path)


def _between(before: str, after: str) -> int | None:
    try:
        first, second = (date(int(text[:4]), int(text[4:6]), int(text[6:8])) for text in (before, after))
    except ValueError:
        return None
    return (second - first).days
