"""Makes a de-identified copy through pydicom's data sets: slow, of every encoding, and what the other way is held to.

What no rule names is not copied, at any depth: private groups, overlays, curves, icons, signatures, group lengths,
padding. The file header is written anew.
"""

from collections import Counter
from collections.abc import Mapping

from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID

from filmroom.deid import pixels, policy
from filmroom.deid.actions import Context
from filmroom.deid.identifying import IDENTIFIERS, PLACES
from filmroom.deid.policy import UIDS, Applied, NotApplied
from filmroom.deid.profile import Action, Profile, Rule
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import encode, parse, walk
from filmroom.errors import Unreadable
from filmroom.records import Reason

_PIXEL_DATA = Tag("PixelData")
_TELLING = IDENTIFIERS | PLACES


def apply(data: bytes, profile: Profile, pseudonyms: Pseudonyms) -> Applied | NotApplied:
    """Return the copy of the object in `data` that `profile` allows, or why there is none."""
    try:
        source = parse.read(data)
        issuer, patient = parse.patient(source)
        facts = {keyword: policy.text(source, keyword) for keyword in ("SOPClassUID", "Modality", *UIDS)}
    except Unreadable as error:
        return NotApplied(reasons=(Reason("unreadable", error.what),), subject="")
    syntax = walk.meta_text(source.file_meta, 0x00020010)
    subject, days = policy.who(issuer, patient, facts["StudyInstanceUID"], pseudonyms)
    reasons = _obstacles(source, facts, syntax, profile)
    if reasons:
        return NotApplied(reasons=reasons, subject=subject)
    try:
        known = _known(source, profile.retained)
    except Unreadable as error:
        return NotApplied(reasons=(Reason("unreadable", error.what),), subject=subject)
    sop_class = facts["SOPClassUID"]
    cleaner = _Cleaner(profile.rules[sop_class], Context(subject, days, pseudonyms.uid, known))
    copy = cleaner.dataset(source)
    for keyword in policy.NAMED:
        if Tag(keyword) in profile.rules[sop_class]:
            setattr(copy, keyword, subject)
    cleaned = pixels.clean(walk.raw_value(source.get_item(_PIXEL_DATA)), source, syntax)
    if isinstance(cleaned, Reason):
        return NotApplied(reasons=(cleaned,), subject=subject)
    _put_pixels(copy, cleaned, source, syntax)
    policy.stamp(copy, profile, sop_class)
    try:
        output = encode.encode(copy)
    except Unreadable as error:
        return NotApplied(reasons=(Reason("not-writable", error.what),), subject=subject)
    return Applied(
        data=output,
        subject=subject,
        study_uid=policy.text(copy, "StudyInstanceUID"),
        series_uid=policy.text(copy, "SeriesInstanceUID"),
        sop_uid=policy.text(copy, "SOPInstanceUID"),
        sop_class=sop_class,
        modality=policy.text(copy, "Modality"),
        frames=int(copy.get("NumberOfFrames") or 1),
        actions=policy.counted(cleaner.done, cleaned),
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
        if element.VR != "SQ":
            return policy.element(rule, source, self.context)
        if "SQ" not in rule.vrs or depth >= policy.DEEPEST:
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
    for keyword in UIDS:
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
    found = policy.Words()
    for raw, holder, place in walk.nested(source):
        vr = walk.vr_of(raw)
        names = place.split(".")[-2:]
        rows = {names[-1], ".".join(names)} if retained.isdisjoint(names) else set()
        if vr in ("DA", "DT"):
            found.add_days(_decoded(holder, raw))
        if vr == "PN" or (vr != "SQ" and not rows.isdisjoint(_TELLING)):
            found.add(_decoded(holder, raw), is_place=not rows.isdisjoint(PLACES))
    age, born, seen = (policy.text(source, keyword) for keyword in policy.AGE_FROM)
    return found.known(policy.old_ages(age, born, seen))


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
    copy.add(DataElement(_PIXEL_DATA, vr, bytes(cleaned.value)))
    copy[_PIXEL_DATA].is_undefined_length = not native
    meta = FileMetaDataset()
    deflated = native and syntax.endswith(".99")
    meta.TransferSyntaxUID = UID(pixels.EXPLICIT_LITTLE if deflated else syntax)
    copy.file_meta = meta
