"""What remains of an element, whichever way a copy is made: the one reading of a profile's rules.

The two ways (`by_bytes`, `by_pydicom`) find elements and write them; what stays of one is said here. So is what the words
of a header are that point to people, and what every copy says about itself. Sources: PS3.15 E.1.1 and E.3.6.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items

from filmroom.deid import numbers
from filmroom.deid.actions import ACTIONS, OLDEST_YEARS, Context, is_public
from filmroom.deid.identifying import PLACEHOLDERS
from filmroom.deid.lexicon import code_words, eponyms, words
from filmroom.deid.pixels import Cleaned
from filmroom.deid.profile import Action, Profile, Rule, codes, method
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import walk
from filmroom.records import Reason

METHOD = "filmroom deid 6"
UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
NAMED = ("PatientID", "PatientName")
"""What every copy has, with the patient's pseudonym, where its class has rules for it (type 2 in every IOD)."""

AGE_FROM = ("PatientAge", "PatientBirthDate", "StudyDate")

DEEPEST = 16
"""A sequence in an item as deep as this is dropped."""

TEXTS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
_ROOM = {"LO": 64, "SH": 16}
_DAYS = re.compile(r"(?<!\d)\d{8}")
CODE_VALUE, _SCHEME = "CodeValue", "CodingSchemeDesignator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A copy, not yet verified. Subject and UIDs are pseudonymous; `actions` counts elements by what was done."""

    data: bytes = field(repr=False)
    subject: str
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    modality: str
    frames: int
    actions: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotApplied:
    """No copy, for every one of these reasons. `subject` is "" when not even the patient could be read."""

    reasons: tuple[Reason, ...]
    subject: str


def who(issuer: str, patient: str, study_uid: str, pseudonyms: Pseudonyms) -> tuple[str, int]:
    """Return the patient's pseudonym and by how many days the dates move.

    An object without Patient ID stands for a patient of its own study.
    """
    issuer, patient = (issuer, patient) if patient else ("\0study", study_uid)
    return pseudonyms.patient(issuer, patient), pseudonyms.shift_days(issuer, patient)


def counted(done: Counter[str], cleaned: Cleaned | None) -> Mapping[str, int]:
    """Return what was done to how many elements and frames, by its name."""
    if cleaned:
        done.update({"strip-frame": cleaned.frames_stripped, "clear-unused-bits": int(cleaned.bits_cleared)})
    return {str(action): count for action, count in sorted(done.items()) if count}


def element(rule: Rule, source: Dataset, context: Context) -> DataElement | None:
    """Return what remains of the element that `rule` is about, which is no sequence; None for nothing.

    Raises what pydicom raises (`walk.FAILURES`) for a value that breaks its VR: that is no value to keep.
    """
    found = source[rule.keyword]
    vr = str(found.VR)
    if not set(vr.split(" or ")) <= set(rule.vrs):
        return None
    if rule.action is Action.EMPTY or (found.is_empty and rule.action is not Action.PSEUDONYM):
        return DataElement(found.tag, vr, None)
    if numbers.most(int(found.tag)) < found.VM:
        return None
    if vr not in TEXTS:
        return numbers.binary(found, vr, source) if rule.action is Action.KEEP else None
    several = isinstance(found.value, MultiValue)
    parts = [str(part) for part in found.value] if several else [str(found.value)]
    scheme = text(source, _SCHEME) if rule.keyword == CODE_VALUE else ""
    left = texts(rule, vr, parts, scheme, context)
    if not left:
        return None if left is None else DataElement(found.tag, vr, None)
    return DataElement(found.tag, vr, left if several else left[0])


def texts(rule: Rule, vr: str, parts: Sequence[str], scheme: str, context: Context) -> list[str] | None:
    """Return what remains of each of a text element's values: [] for an element without a value, None for no element.

    `scheme` is the coding scheme designator that lies beside the element.
    """
    if rule.keyword == CODE_VALUE and not is_public(scheme):
        return []
    act = ACTIONS[rule.action]
    results = [act(vr, part.strip(" \0"), context) if part else None for part in parts]
    if not any(results):
        return None if rule.action is Action.KEEP and vr == "UI" else []
    if vr in ("DS", "IS") and not all(results):
        return None  # a number missing among numbers would shift the rest
    if vr == "UI":
        results = [result for result in results if result]
    room = _ROOM.get(vr)
    return [(result or "")[:room].rstrip() for result in results]


class Words:
    """Gathers, in lower case, the words that point to the people and places in a header."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    def add_days(self, written: str) -> None:
        """Take the days of a date or of several."""
        self._found.update(_DAYS.findall(written))

    def add(self, written: str, *, is_place: bool) -> None:
        """Take an identifier or a name; of a place's words those that are in no lexicon."""
        lowered = written.lower()
        spellings = {lowered}
        if not lowered.isascii():
            spellings.add("".join(c for c in unicodedata.normalize("NFKD", lowered) if c.isascii()))
        for spelling in spellings:
            parts = set("".join(c if c.isalnum() else " " for c in spelling).split())
            self._found |= (parts - words() - code_words() if is_place else parts) | {spelling.strip()}

    def known(self, ages: frozenset[str]) -> frozenset[str]:
        """Return the words, with those of `ages`, that identify anybody."""
        shortest = frozenset(word for word in self._found if word in eponyms())
        digits = {word.lstrip("0") for word in self._found if word.isdecimal()}
        telling = {
            word for word in self._found | digits if len(word) > 2 and word not in PLACEHOLDERS and _varies(word)
        }
        return shortest | telling | ages


def _varies(word: str) -> bool:
    """Say whether a word is more than one character again and again, as 00000000 is, which stands for nothing."""
    return len(set(word)) > 1


def old_ages(age: str, born: str, seen: str) -> frozenset[str]:
    """Return how an age above 89 years, stated or by the dates of birth and study, can stand in a text: 95, 95F, F95."""
    stated = re.fullmatch(r"(\d{1,3})Y", age)
    ages = {int(stated[1])} if stated else set()
    birth, study = _DAYS.match(born), _DAYS.match(seen)
    if birth and study:
        years = int(study[0][:4]) - int(birth[0][:4])
        ages |= {years, years - 1}
    return frozenset(
        f"{before}{age}{after}"
        for age in ages
        if age > OLDEST_YEARS
        for before in ("", *"0fmw")
        for after in ("", *"yfmwj")
    )


def stamp(copy: Dataset, profile: Profile, sop_class: str) -> None:
    """Write what was done (PS3.15 E.1.1). Burned In Annotation stays what the sender said: no pixel was read for it."""
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = [METHOD, *method(profile)]
    stamp_codes(copy, codes(profile, sop_class))
    copy.LongitudinalTemporalInformationModified = "MODIFIED" if profile.shifts_dates else "REMOVED"


def stamp_codes(copy: Dataset, applied: Sequence[tuple[str, str]]) -> None:
    """Write the codes (value, meaning) of CID 7050 of what was done."""
    items = []
    for value, meaning in applied:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        items.append(item)
    copy.DeidentificationMethodCodeSequence = Items(items)


def text(dataset: Dataset, keyword: str) -> str:
    """Return the first value as stripped text; "" when there is none or it cannot be read."""
    try:
        value = dataset.get(keyword)
    except walk.FAILURES:
        return ""
    if isinstance(value, MultiValue):
        value = value[0] if value else ""
    return "" if value is None else str(value).strip(" \0")


def has_code(item: Dataset, keyword: str) -> bool:
    """Say whether every item of a code sequence still has its code."""
    found = item.get(keyword) or []
    return bool(found) and all(each.get("CodeValue") for each in found)
