"""Makes a de-identified copy of one object: a new data set, of which a profile allows every element.

It proves nothing: whether the copy is clean is for `verify` to say, which shares no code with it. What no rule names is
not copied, at any depth: private groups, overlays, curves, icons, signatures, group lengths, padding. The file header
is written anew. Sources: PS3.15 E.1.1 (attributes of a copy), E.3.6 (dates), PS3.5 7.4 (types).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID

from filmroom.deid import numbers, pixels
from filmroom.deid.actions import ACTIONS, OLDEST_YEARS, Context, is_public
from filmroom.deid.identifying import IDENTIFIERS, PLACEHOLDERS, PLACES
from filmroom.deid.lexicon import eponyms, words
from filmroom.deid.profile import Action, Profile, Rule, codes, method
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import encode, parse, walk
from filmroom.errors import Unreadable
from filmroom.records import Reason

METHOD = "filmroom deid 3"
_DEEPEST = 16
_PIXEL_DATA = Tag("PixelData")
_TYPE_2 = ("PatientID", "PatientName")
_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_DAYS = re.compile(r"(?<!\d)\d{8}")
_ROOM = {"LO": 64, "SH": 16}
_TELLING = IDENTIFIERS | PLACES
_TEXTS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())


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


def apply(data: bytes, profile: Profile, pseudonyms: Pseudonyms) -> Applied | NotApplied:
    """Return the copy of the object in `data` that `profile` allows. The same arguments give the same bytes.

    Never raises for what the bytes hold. An object without Patient ID stands for a patient of its own study.
    """
    try:
        source = parse.read(data)
        issuer, patient = parse.patient(source)
        facts = {keyword: _text(source, keyword) for keyword in ("SOPClassUID", "Modality", *_UIDS)}
    except Unreadable as error:
        return NotApplied(reasons=(Reason("unreadable", error.what),), subject="")
    syntax = walk.meta_text(source.file_meta, 0x00020010)
    if not patient:
        issuer, patient = "\0study", facts["StudyInstanceUID"]
    subject = pseudonyms.patient(issuer, patient)
    reasons = _obstacles(source, facts, syntax, profile)
    if reasons:
        return NotApplied(reasons=reasons, subject=subject)
    try:
        known = _known(source, profile.retained) | _old_ages(source)
    except Unreadable as error:
        return NotApplied(reasons=(Reason("unreadable", error.what),), subject=subject)
    context = Context(subject, pseudonyms.shift_days(issuer, patient), pseudonyms.uid, known)
    sop_class = facts["SOPClassUID"]
    cleaner = _Cleaner(profile.rules[sop_class], context)
    copy = cleaner.dataset(source)
    for keyword in _TYPE_2:
        if Tag(keyword) in profile.rules[sop_class]:
            setattr(copy, keyword, subject)
    cleaned = pixels.clean(walk.raw_value(source.get_item(_PIXEL_DATA)), source, syntax)
    if isinstance(cleaned, Reason):
        return NotApplied(reasons=(cleaned,), subject=subject)
    _put_pixels(copy, cleaned, source, syntax)
    cleaner.done.update({"strip-frame": cleaned.frames_stripped, "clear-unused-bits": int(cleaned.bits_cleared)})
    _stamp(copy, profile, sop_class)
    try:
        output = encode.encode(copy)
    except Unreadable as error:
        return NotApplied(reasons=(Reason("not-writable", error.what),), subject=subject)
    return Applied(
        data=output,
        subject=subject,
        study_uid=_text(copy, "StudyInstanceUID"),
        series_uid=_text(copy, "SeriesInstanceUID"),
        sop_uid=_text(copy, "SOPInstanceUID"),
        sop_class=sop_class,
        modality=_text(copy, "Modality"),
        frames=int(copy.get("NumberOfFrames") or 1),
        actions={str(action): count for action, count in sorted(cleaner.done.items()) if count},
    )


class _Cleaner:
    """Copies what the rules allow, and counts in `done` what was done to how many elements."""

    def __init__(self, rules: Mapping[int, Rule], context: Context) -> None:
        self.rules = rules
        self.context = context
        self.done: Counter[str] = Counter()

    def dataset(self, source: Dataset, depth: int = 0) -> Dataset:
        copy = Dataset()
        for tag in sorted(source.keys()):
            rule = self.rules.get(int(tag))
            if tag == _PIXEL_DATA and depth == 0:
                continue
            element = None
            if rule is not None and tag != _PIXEL_DATA:
                try:
                    element = self._element(rule, source, depth)
                except walk.FAILURES:  # a value that breaks its VR is no value to keep
                    element = None
            if element is None:
                self.done["drop"] += 1
            else:
                copy.add(element)
                self.done[rule.action if rule else "drop"] += 1
        return copy

    def _element(self, rule: Rule, source: Dataset, depth: int) -> DataElement | None:
        element = source[rule.keyword]
        vr = str(element.VR)
        if not set(vr.split(" or ")) <= set(rule.vrs):
            return None
        if vr == "SQ":
            return self._sequence(rule, element, depth)
        if rule.action is Action.EMPTY or (element.is_empty and rule.action is not Action.PSEUDONYM):
            return DataElement(element.tag, vr, None)
        if numbers.most(int(element.tag)) < element.VM:
            return None
        if vr not in _TEXTS:
            return numbers.binary(element, vr, source) if rule.action is Action.KEEP else None
        if rule.keyword == "CodeValue" and not is_public(_text(source, "CodingSchemeDesignator")):
            return DataElement(element.tag, vr, None)
        return self._text_element(rule, element, vr)

    def _text_element(self, rule: Rule, element: DataElement, vr: str) -> DataElement | None:
        several = isinstance(element.value, MultiValue)
        parts = [str(part) for part in element.value] if several else [str(element.value)]
        act = ACTIONS[rule.action]
        results = [act(vr, part.strip(" \0"), self.context) if part else None for part in parts]
        if not any(results):
            return None if rule.action is Action.KEEP and vr == "UI" else DataElement(element.tag, vr, None)
        if vr in ("DS", "IS") and not all(results):
            return None  # a number missing among numbers would shift the rest
        if vr == "UI":
            results = [result for result in results if result]
        room = _ROOM.get(vr)
        shown = [(result or "")[:room].rstrip() for result in results]
        return DataElement(element.tag, vr, shown if several else shown[0])

    def _sequence(self, rule: Rule, element: DataElement, depth: int) -> DataElement | None:
        if depth >= _DEEPEST:
            return None
        items = [] if rule.action is Action.EMPTY else [self.dataset(item, depth + 1) for item in element.value]
        return DataElement(element.tag, "SQ", Sequence(items))


def _obstacles(source: Dataset, facts: Mapping[str, str], syntax: str, profile: Profile) -> tuple[Reason, ...]:
    reasons = []
    sop_class = facts["SOPClassUID"]
    if sop_class not in profile.rules:
        known = UID_dictionary.get(sop_class)
        what = known[0] if known else "a SOP class that the standard does not know, or none"
        reasons.append(
            Reason("sop-class-not-supported", f"profile {profile.name} has no rules for {what}, so it stays inside")
        )
    for keyword in _UIDS:
        if not facts[keyword]:
            reasons.append(Reason("uid-missing", f"{keyword} is missing"))
    if not facts["Modality"]:
        reasons.append(Reason("modality-missing", "Modality is missing"))
    if _PIXEL_DATA not in source:
        reasons.append(Reason("pixel-data-missing", "there is no Pixel Data"))
    if syntax not in pixels.SYNTAXES:
        reasons.append(
            Reason("transfer-syntax-not-supported", "the transfer syntax is none whose pixels can be cleaned")
        )
    return tuple(reasons)


def _known(source: Dataset, retained: frozenset[str]) -> frozenset[str]:
    """Return the words, in lower case, that point to the people and places in the header, but for what may stay as it is.

    Raises Unreadable when a sequence cannot be opened: who may be named in there is not known.
    """
    found: set[str] = set()
    for raw, holder, place in walk.nested(source):
        vr = walk.vr_of(raw)
        names = place.split(".")[-2:]
        rows = {names[-1], ".".join(names)} if retained.isdisjoint(names) else set()
        if vr in ("DA", "DT"):
            found |= set(_DAYS.findall(_decoded(holder, raw)))
        if vr == "SQ" or (vr != "PN" and rows.isdisjoint(_TELLING)):
            continue
        text = _decoded(holder, raw).lower()
        for spelling in (text, "".join(c for c in unicodedata.normalize("NFKD", text) if c.isascii())):
            parts = set("".join(c if c.isalnum() else " " for c in spelling).split())
            found |= (parts if rows.isdisjoint(PLACES) else parts - words()) | {spelling.strip()}
    shortest = frozenset(word for word in found if word in eponyms())
    numbers = {word.lstrip("0") for word in found if word.isdecimal()}
    return shortest | {word for word in found | numbers if len(word) > 2 and word not in PLACEHOLDERS}


def _old_ages(source: Dataset) -> frozenset[str]:
    """Return how an age above 89 years, stated or by the dates, can stand in a text: 95, 95F, F95."""
    stated = re.fullmatch(r"(\d{1,3})Y", _text(source, "PatientAge"))
    ages = {int(stated[1])} if stated else set()
    born, seen = (_DAYS.match(_text(source, keyword)) for keyword in ("PatientBirthDate", "StudyDate"))
    if born and seen:
        years = int(seen[0][:4]) - int(born[0][:4])
        ages |= {years, years - 1}
    return frozenset(
        f"{before}{age}{after}"
        for age in ages
        if age > OLDEST_YEARS
        for before in ("", *"0fmw")
        for after in ("", *"yfmwj")
    )


def _decoded(holder: Dataset, raw: walk.Element) -> str:
    try:
        value = holder[raw.tag].value
    except walk.FAILURES:
        return walk.raw_value(raw).decode("latin-1")
    return " ".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def _put_pixels(copy: Dataset, cleaned: pixels.Cleaned, source: Dataset, syntax: str) -> None:
    native = syntax in pixels.NATIVE
    vr = walk.vr_of(source.get_item(_PIXEL_DATA)) if native else "OB"
    if vr not in ("OB", "OW"):
        vr = "OW" if int(source.get("BitsAllocated") or 16) > 8 else "OB"
    if syntax == "1.2.840.10008.1.2":
        vr = "OW"
    copy.add(DataElement(_PIXEL_DATA, vr, cleaned.value))
    copy[_PIXEL_DATA].is_undefined_length = not native
    meta = FileMetaDataset()
    deflated = native and syntax.endswith(".99")
    meta.TransferSyntaxUID = UID(pixels.EXPLICIT_LITTLE if deflated else syntax)
    copy.file_meta = meta


def _stamp(copy: Dataset, profile: Profile, sop_class: str) -> None:
    """Write what was done (PS3.15 E.1.1). Burned In Annotation stays what the sender said: no pixel was read."""
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = [METHOD, *method(profile)]
    items = []
    for value, meaning in codes(profile, sop_class):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        items.append(item)
    copy.DeidentificationMethodCodeSequence = Sequence(items)
    copy.LongitudinalTemporalInformationModified = "MODIFIED" if profile.shifts_dates else "REMOVED"


def _text(dataset: Dataset, keyword: str) -> str:
    """Return the first value as stripped text; "" when there is none or it cannot be read."""
    try:
        value = dataset.get(keyword)
    except walk.FAILURES:
        return ""
    if isinstance(value, MultiValue):
        value = value[0] if value else ""
    return "" if value is None else str(value).strip(" \0")
