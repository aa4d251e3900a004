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
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from filmroom.deid import kinds, pixels, policy, presentations, reports, waveforms
from filmroom.deid.actions import Context
from filmroom.deid.identifying import IDENTIFIERS, PLACES, tells
from filmroom.deid.policy import UIDS, Applied, NotApplied
from filmroom.deid.profile import Action, Profile, Rule
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import encode, parse, walk
from filmroom.errors import Unreadable
from filmroom.records import Reason

_PIXEL_TAGS = frozenset(map(Tag, kinds.PIXELS))
_LABELS = ("StructureSetLabel", "RTPlanLabel")  # type 1: must have a value
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
        known = _known(source, profile.retained, is_plain=kinds.is_plain(facts["SOPClassUID"]))
    except Unreadable as error:
        return NotApplied(reasons=(Reason("unreadable", error.what),), subject=subject)
    sop_class = facts["SOPClassUID"]
    pixel_tag = Tag(_carried(source, sop_class)[0]) if kinds.has_pixels(sop_class) else None
    cleaner = _Cleaner(profile.rules[sop_class], pixel_tag, Context(subject, days, pseudonyms.uid, known))
    copy = cleaner.dataset(source)
    for keyword in policy.NAMED:
        if Tag(keyword) in profile.rules[sop_class]:
            setattr(copy, keyword, subject)
    if reason := _mend(copy, profile, known):
        return NotApplied(reasons=(reason,), subject=subject)
    copy.file_meta = _meta(syntax)
    cleaned = _put_pixels(copy, source, sop_class, syntax)
    if isinstance(cleaned, Reason):
        return NotApplied(reasons=(cleaned,), subject=subject)
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
        frames=int(copy.get("NumberOfFrames") or 1) if cleaned else 0,
        actions=policy.counted(cleaner.done, cleaned),
    )


class _Cleaner:
    """Copies what the rules allow but for the `pixels`, and counts in `done` what was done to how many elements."""

    def __init__(self, rules: Mapping[int, Rule], pixels: BaseTag | None, context: Context) -> None:
        self.rules = rules
        self.pixels = pixels
        self.context = context
        self.done: Counter[str] = Counter()

    def dataset(self, source: Dataset, depth: int = 0) -> Dataset:
        copy = Dataset()
        for tag in sorted(source.keys()):
            rule = self.rules.get(int(tag))
            if tag == self.pixels and depth == 0:
                continue
            element = None
            if rule is not None and tag not in _PIXEL_TAGS:
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
        what = known[0] if known else "a SOP class that is none of the standard's"
        detail = f"profile {profile.name} has no rules for {what}, so it stays inside: {kinds.why_not(sop_class)}"
        reasons.append(Reason("sop-class-not-supported", detail))
    for keyword in UIDS:
        if not facts[keyword]:
            reasons.append(Reason("uid-missing", f"{keyword} is missing"))
    if not facts["Modality"]:
        reasons.append(Reason("modality-missing", "Modality is missing"))
    if sop_class in profile.rules:
        reasons += _content_obstacles(source, sop_class, syntax)
    return tuple(reasons)


def _content_obstacles(source: Dataset, sop_class: str, syntax: str) -> list[Reason]:
    reasons = []
    is_image, carried = kinds.has_pixels(sop_class), _carried(source, sop_class)
    if not carried:
        what = "Pixel Data" if is_image else kinds.carries(sop_class)[0]
        reasons.append(Reason("pixel-data-missing" if is_image else "content-missing", f"there is no {what}"))
    if len(carried) > 1 or (not is_image and any(keyword in source for keyword in kinds.PIXELS)):
        reasons.append(Reason("pixel-data-unexpected", "there is pixel data that an object of its class does not have"))
    if syntax not in (pixels.SYNTAXES if carried in ([], ["PixelData"]) else pixels.NATIVE):
        reasons.append(
            Reason("transfer-syntax-not-supported", "the transfer syntax is none whose pixels can be cleaned")
        )
    if kinds.shows_label(sop_class, _words(source, "ImageType"), policy.text(source, "SpecimenLabelInImage").upper()):
        reasons.append(Reason("label-in-image", "it can show the label of a slide, on which the patient is named"))
    return reasons


def _mend(copy: Dataset, profile: Profile, known: frozenset[str]) -> Reason | None:
    """Take out of the copy what is not whole without the values that went; return why none can be made whole."""
    for keyword in _LABELS:
        if keyword in copy and copy[keyword].is_empty:
            setattr(copy, keyword, "REMOVED")
    carried = kinds.carries(str(copy.SOPClassUID))
    if carried == (kinds.CONTENT,):
        return reports.prune(copy, profile, known)
    if carried == (kinds.WAVEFORMS,):
        waveforms.prune(copy)
    return presentations.prune(copy) if carried == (kinds.DISPLAY,) else None


def _carried(source: Dataset, sop_class: str) -> list[str]:
    return [keyword for keyword in kinds.carries(sop_class) if keyword in source]


def _words(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the components of a value as stripped text in upper case, () when they cannot be read."""
    try:
        value = dataset.get(keyword)
    except walk.FAILURES:
        return ()
    parts = value if isinstance(value, MultiValue) else [] if value is None else [value]
    return tuple(str(part).strip(" \0").upper() for part in parts)


def _known(source: Dataset, retained: frozenset[str], *, is_plain: bool) -> frozenset[str]:
    """Return the words, in lower case, that point to the people and places in the header, but for what may stay as it is.

    In what is no plain image, texts of content items can be identifiers, too. Raises Unreadable when a sequence cannot be
    opened: who may be named in there is not known.
    """
    found = policy.Words()
    for raw, holder, place in walk.nested(source):
        vr = walk.vr_of(raw)
        names = place.split(".")[-2:]
        rows = {names[-1], ".".join(names)} if retained.isdisjoint(names) else set()
        if vr in ("DA", "DT"):
            found.add_days(_decoded(holder, raw))
        is_told = not is_plain and names[-1] == "TextValue" and tells(holder)
        if vr == "PN" or is_told or (vr != "SQ" and not rows.isdisjoint(_TELLING)):
            found.add(_decoded(holder, raw), is_place=not rows.isdisjoint(PLACES))
    age, born, seen = (policy.text(source, keyword) for keyword in policy.AGE_FROM)
    return found.known(policy.old_ages(age, born, seen))


def _decoded(holder: Dataset, raw: walk.Element) -> str:
    try:
        value = holder[raw.tag].value
    except walk.FAILURES:
        return walk.raw_value(raw).decode("latin-1")
    return " ".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def _put_pixels(copy: Dataset, source: Dataset, sop_class: str, syntax: str) -> pixels.Cleaned | Reason | None:
    """Put what may stay of the pixels into the copy; return why nothing may, None for an object that has none."""
    if not kinds.has_pixels(sop_class):
        return None
    keyword = _carried(source, sop_class)[0]
    raw, is_whole = source.get_item(keyword), keyword == "PixelData"
    value = walk.raw_value(raw)
    cleaned = pixels.clean(value, source, syntax) if is_whole else pixels.clean_floats(keyword, value, source)
    if isinstance(cleaned, Reason):
        return cleaned
    native = syntax in pixels.NATIVE
    vr = walk.vr_of(raw) if native else "OB"
    if vr not in ("OB", "OW", "OF", "OD"):
        vr = "OW" if int(source.get("BitsAllocated") or 16) > 8 else "OB"
    if syntax == walk.IMPLICIT_LITTLE and is_whole:
        vr = "OW"
    copy.add(DataElement(Tag(keyword), vr, bytes(cleaned.value)))
    copy[keyword].is_undefined_length = not native
    return cleaned


def _meta(syntax: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(pixels.EXPLICIT_LITTLE if syntax == walk.DEFLATED else syntax)
    return meta
