"""Looks at every element and every frame of a copy, and writes down what it saw and how much of it.

The verifier's eyes; it gives no verdict and imports nothing of what made the copy. Two parsers read the bytes: pydicom
for the looking, filmroom's own for counting what there is to look at. Text in pixels it has read by a reader, when there is
one (`proofread`).

Sources: PS3.15 E.1.1 (what a copy must and must not have), PS3.10 7.1, PS3.5 A.4, ITU-T T.81 B.1, ITU-T T.800 A.2.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pydicom
from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from filmroom.deid import contents, eyes, faces, forms, kinds, proofread, slack
from filmroom.deid.canonical import is_canonical
from filmroom.deid.identifiers import (
    Identifiers,
    frame_digests,
    in_date,
    in_header_bytes,
    in_number,
    in_pieces,
    in_pixel_bytes,
    in_text,
    sample_bytes,
    waveform_digests,
)
from filmroom.deid.profile import STAMPED, Action, Faces, Profile, Rule, codes, method
from filmroom.dicom import encode, pixels, walk
from filmroom.errors import Unreadable
from filmroom.ports import TextReader
from filmroom.records import Coverage, Finding, Severity

_META = frozenset({0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013})
_PIXEL_TAGS = tuple(map(Tag, kinds.PIXELS))
_PIXEL_NUMBERS = frozenset(map(int, _PIXEL_TAGS))
_SAMPLES = "WaveformData"
_METHOD_CODES = "DeidentificationMethodCodeSequence"
_CLEANED = "113101"
_CODE_TAGS = frozenset(map(Tag, ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")))
_NAMES = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "PatientID")
_IMAGE = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation")
_TEXTS = frozenset("AE CS LO LT PN SH ST UC UR UT".split())
_NUMBERS = frozenset({"DS", "IS"})
_NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_BIG = "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_ITEM_END = 8
_MAKER = re.compile(r"filmroom deid \d+")
_OWN_UID = re.compile(r"2\.25\.[1-9]\d{0,38}")
_FAILURES = (*walk.FAILURES, InvalidDicomError)


@dataclass(slots=True)
class Inspection:
    """What was seen. `names` are the copy's own pseudonymous ID and UIDs by keyword; `read` is what was read of its pixels."""

    profile: Profile
    forbidden: Identifiers
    read: eyes.Extent
    sop_class: str = ""
    names: dict[str, str] = field(default_factory=dict)
    findings: set[Finding] = field(default_factory=set)
    elements: int = 0
    elements_present: int = 0
    frames: int = 0
    frames_present: int = 0

    def fail(self, code: str, place: str = "") -> None:
        self.findings.add(Finding(code, Severity.ERROR, place))

    @property
    def coverage(self) -> Coverage:
        return Coverage(
            elements=self.elements,
            elements_present=self.elements_present,
            frames=self.frames,
            frames_present=self.frames_present,
            identifiers=self.forbidden.count,
        )


def inspect(
    output: bytes, forbidden: Identifiers, profile: Profile, reader: TextReader | None, extent: eyes.Extent
) -> Inspection:
    """Return what there is to see in a copy. Never raises for what the bytes hold: `unreadable` is a finding.

    `extent` is what was read of the pixels before; FRAMES asks for the same, and so does a source that leaves doubts.
    An ERROR finding `not-covered` says that not everything was looked at.
    """
    if reader is not None and forbidden.extent is eyes.Extent.FRAMES:
        extent = eyes.Extent.FRAMES
    seen = Inspection(profile, forbidden.but(profile.retained), extent if reader is not None else eyes.Extent.NOTHING)
    try:
        dataset = pydicom.dcmread(BytesIO(output))
        seen.sop_class = str(dataset.get("SOPClassUID", ""))
        seen.elements_present = _count(output)
        _look_at_file(output, dataset, seen)  # first, while elements still know where they lie in the file
        rules = profile.rules.get(seen.sop_class)
        if rules is None:
            seen.fail("sop-class-not-supported", "SOPClassUID")
        else:
            _look_at_elements(dataset, rules, seen)
            _look_at_stamp(dataset, seen)
        _look_at_pixels(dataset, seen)
        _look_at_samples(dataset, seen)
        if not is_canonical(output, dataset):
            seen.fail("not-canonical")
        seen.names = {keyword: str(dataset.get(keyword) or "") for keyword in _NAMES}
        if reader is not None and seen.read is not eyes.Extent.NOTHING:
            seen.findings.update(proofread.text_in(dataset, seen.forbidden, reader, seen.read))
        if kinds.has_pixels(seen.sop_class):
            _look_at_doubts(dataset, seen)
            _look_at_face(dataset, seen)
    except (*_FAILURES, Unreadable):
        seen.fail("unreadable")
    if not seen.coverage.is_full:
        seen.fail("not-covered")
    return seen


def _count(output: bytes) -> int:
    """Return how many elements the bytes hold at every depth, the file's header included, as filmroom's parser sees it."""
    reading = walk.walk(output)
    if reading.reasons:
        raise Unreadable("the copy does not read back", "")
    return sum(1 for part in (reading.dataset.file_meta, reading.dataset) for _ in walk.nested(part))


# -- the file ------------------------------------------------------------------------------------------------------


def _look_at_file(output: bytes, dataset: Dataset, seen: Inspection) -> None:
    if any(output[:128]):
        seen.fail("preamble")
    meta = dataset.file_meta
    for element in meta:
        seen.elements += 1
        if int(element.tag) not in _META:
            seen.fail("file-meta", walk.name_of(int(element.tag)))
    if str(meta.get("MediaStorageSOPInstanceUID")) != str(dataset.get("SOPInstanceUID")):
        seen.fail("file-meta", "MediaStorageSOPInstanceUID")
    if str(meta.get("ImplementationClassUID")) != encode.IMPLEMENTATION_UID:
        seen.fail("file-meta", "ImplementationClassUID")
    if str(meta.get("TransferSyntaxUID")) == _DEFLATED:
        seen.fail("transfer-syntax", "TransferSyntaxUID")  # its bytes cannot be searched
    header, pixel_bytes, rest = _parts(output, dataset)
    if rest:
        seen.fail("trailing-bytes", "PixelData")
    if in_header_bytes(_without_stamp(header, seen), seen.forbidden):
        seen.fail("identifier-in-bytes")
    is_coded = str(meta.get("TransferSyntaxUID")) not in _NATIVE
    if (is_coded or "PixelData" not in dataset) and in_pixel_bytes(bytes(pixel_bytes), seen.forbidden):
        seen.fail("identifier-in-bytes", "PixelData")


def _without_stamp(header: bytes, seen: Inspection) -> bytes:
    """Return the header without the texts that every copy of this profile has, so that they match nobody's name."""
    profile = seen.profile
    meanings = (
        [meaning for _, meaning in codes(profile, seen.sop_class, pixels_cleaned=True)]
        if seen.sop_class in profile.rules
        else []
    )
    for text in (*method(profile), *meanings):
        header = header.replace(text.encode(), b"\0")
    return header


def _parts(output: bytes, dataset: Dataset) -> tuple[bytes, memoryview, bytes]:
    """Return the bytes before Pixel Data's value, the value, and what follows it that does not belong to it."""
    raw: object = next((dataset.get_item(tag) for tag in _PIXEL_TAGS if tag in dataset), None)
    if not isinstance(raw, RawDataElement) or raw.value is None:
        return output, memoryview(b""), b""
    start, end = raw.value_tell, raw.value_tell + len(raw.value)
    rest = output[end:]
    if raw.length == walk.UNDEFINED:
        rest = rest[_ITEM_END:]
    return output[:start], memoryview(output)[start:end], rest


# -- the elements --------------------------------------------------------------------------------------------------


def _look_at_elements(dataset: Dataset, rules: Mapping[int, Rule], seen: Inspection) -> None:
    subject, moved = str(dataset.get("PatientID") or ""), []
    for element, path, stamped in _every(dataset):
        seen.elements += 1
        tag = int(element.tag)
        rule = rules.get(tag)
        if stamped:
            continue  # compared as a whole by _look_at_stamp
        if rule is None or (tag in _PIXEL_NUMBERS and "." in path):
            # a picture inside an item, such as an icon, is looked at by nobody
            seen.fail(*(("private", "") if element.tag.is_private else ("not-allowed", path)))
            continue
        if element.VR not in rule.vrs and not set(str(element.VR).split(" or ")) <= set(rule.vrs):
            seen.fail("vr", path)
        if element.VR == "SQ" or element.is_empty:
            continue
        if code := forms.breach(element, rule, subject):
            seen.fail(code, path)
        elif rule.action is Action.SHIFT_DATE:
            parts = element.value if element.VM > 1 else [element.value]
            moved += [(element.keyword, str(part)[:8]) for part in parts if part]
        _look_at_value(element, rule, path, seen)
    if not forms.one_shift(moved, seen.forbidden.dates):
        seen.fail("dates-disagree")
    _look_at_palettes(dataset, seen)
    if kinds.CONTENT in dataset and not contents.is_sound(dataset, seen.profile):
        seen.fail("content-item", kinds.CONTENT)
    for keyword in _required(dataset):
        if keyword not in dataset or dataset[keyword].is_empty:
            seen.fail("required-missing", keyword)


def _required(dataset: Dataset) -> tuple[str, ...]:
    sop_class = str(dataset.get("SOPClassUID"))
    carried = kinds.carries(sop_class)
    content = next((keyword for keyword in carried if keyword in dataset), carried[0])
    image = _IMAGE if kinds.has_pixels(sop_class) else ()
    return (*_NAMES, *image, *(("BitsStored",) if content == "PixelData" else ()), content)


def _look_at_palettes(dataset: Dataset, seen: Inspection) -> None:
    """Check that a palette is there for an image that looks colours up, and as long as its descriptor says."""
    for colour in ("Red", "Green", "Blue"):
        data = dataset.get(f"{colour}PaletteColorLookupTableData")
        if data is None:
            continue
        entries = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value[0] or 0x10000
        used = str(dataset.get("PhotometricInterpretation")) == "PALETTE COLOR"
        if not used or len(data) not in (entries + entries % 2, 2 * entries):
            seen.fail("palette", f"{colour}PaletteColorLookupTableData")


def _every(dataset: Dataset, path: str = "", stamped: bool = False) -> Iterator[tuple[DataElement, str, bool]]:
    """Yield every element with its path, and whether it is, or lies in, one that says what was done."""
    for tag in list(dataset.keys()):
        element = dataset[tag]
        name = path + walk.name_of(int(tag))
        own = stamped or name in STAMPED
        yield element, name, own
        if element.VR == "SQ":
            for item in element.value:
                yield from _every(item, f"{name}.", own)


def _look_at_value(element: DataElement, rule: Rule, path: str, seen: Inspection) -> None:
    """Compare one value that is there with the source's identifiers and with what its rule promises."""
    vr, forbidden = str(element.VR), seen.forbidden
    if int(element.tag) in _PIXEL_NUMBERS or element.keyword == _SAMPLES:
        return  # looked at as a whole, by _look_at_pixels and _look_at_samples
    if rule.action is Action.EMPTY:
        seen.fail("not-empty", path)
    for part in element.value if isinstance(element.value, MultiValue) else [element.value]:
        text = part.decode("latin-1") if isinstance(part, bytes) else str(part)
        if vr == "UI":
            if text in forbidden.uids:
                seen.fail("uid-survives", path)
            if text not in UID_dictionary and not (rule.action is Action.UID and _OWN_UID.fullmatch(text)):
                seen.fail("uid-not-mapped", path)
        elif vr in ("DA", "DT"):
            if rule.action is not Action.REPLACE and in_date(element.keyword, text, forbidden):
                seen.fail("date-survives", path)
        elif vr in _NUMBERS:
            if in_number(text, forbidden):
                seen.fail("identifier-survives", path)
        elif vr in _TEXTS or isinstance(part, bytes):
            if not text.isascii() and not isinstance(part, bytes):
                seen.fail("not-ascii", path)  # no lexicon word, code or pseudonym is
            if in_text(text, forbidden) or (rule.action is Action.CLEAN_DESCRIPTOR and in_pieces(text, forbidden)):
                seen.fail("identifier-survives", path)


def _look_at_stamp(dataset: Dataset, seen: Inspection) -> None:
    """Compare what the copy says about itself with what was to be done (PS3.15 E.1.1)."""
    profile = seen.profile
    if str(dataset.get("PatientIdentityRemoved")) != "YES":
        seen.fail("required-missing", "PatientIdentityRemoved")
    values = dataset.get("DeidentificationMethod")
    said = [str(part) for part in values] if isinstance(values, MultiValue) else []
    if len(said) != 3 or not _MAKER.fullmatch(said[0]) or tuple(said[1:]) != method(profile):
        seen.fail("method", "DeidentificationMethod")
    items = dataset.get(_METHOD_CODES) or []
    stated = [(str(item.get("CodeValue")), str(item.get("CodeMeaning"))) for item in items]
    plain = all(set(item.keys()) == _CODE_TAGS and item.CodingSchemeDesignator == "DCM" for item in items)
    cleaned = codes(profile, seen.sop_class, pixels_cleaned=True)
    if not plain or tuple(stated) not in (codes(profile, seen.sop_class), cleaned):
        seen.fail("method", _METHOD_CODES)
    expected = "MODIFIED" if profile.shifts_dates else "REMOVED"
    if str(dataset.get("LongitudinalTemporalInformationModified")) != expected:
        seen.fail("method", "LongitudinalTemporalInformationModified")


# -- the pixels ----------------------------------------------------------------------------------------------------


def _look_at_pixels(dataset: Dataset, seen: Inspection) -> None:
    """Decode every frame, compare it with the source's, and look for places in the value that are no pixels."""
    seen.frames_present = pixels.frame_count(dataset)
    digests, source = frame_digests(dataset), seen.forbidden.frames
    if digests is None or source is None:
        seen.fail("pixels-not-decoded", "PixelData")
    else:
        seen.frames = len(digests)
        if digests != source:
            _look_at_blanks(dataset, seen)
    if any(keyword in dataset for keyword in kinds.PIXELS[1:]):
        _look_at_floats(dataset, seen)
    if "PixelData" not in dataset:
        return
    syntax = str(dataset.file_meta.get("TransferSyntaxUID"))
    if syntax in _NATIVE:
        _look_at_words(dataset, syntax, seen)
    elif not slack.is_tight(dataset):
        seen.fail("pixel-slack", "PixelData")


def _look_at_blanks(dataset: Dataset, seen: Inspection) -> None:
    """Check that what differs from the source is blank: one value, the darkest that the source's frame has."""
    inverted = str(dataset.get("PhotometricInterpretation")) == "MONOCHROME1"
    for before, after in zip(pixels.frames(seen.forbidden.source), pixels.frames(dataset), strict=True):
        if before.shape != after.shape or before.dtype != after.dtype:
            return seen.fail("pixels-differ", "PixelData")
        differ = before != after
        if before.ndim == 3:
            differ = differ.any(axis=2)
        blanks = np.unique(after[differ], axis=0)
        levels = before.astype(np.int64).sum(axis=2) if before.ndim == 3 else before
        darkest = levels.max() if inverted else levels.min()
        if len(blanks) > 1 or any(blank.sum() != darkest for blank in blanks):
            return seen.fail("pixels-differ", "PixelData")
    seen.findings.add(Finding("pixels-blanked", Severity.INFO, "PixelData"))


def _look_at_doubts(dataset: Dataset, seen: Inspection) -> None:
    """Say what was read of the pixels, and what only a person can answer for.

    That there is no text in them a copy may say when its source did, when every frame was read, or when a person confirms it.
    """
    forbidden, read = seen.forbidden, seen.read
    open_doubts = set(forbidden.unsettled if read is eyes.Extent.FRAMES else forbidden.doubts)
    if forbidden.face and seen.profile.faces is Faces.ACCEPT:
        open_doubts.discard(faces.STATED)
    items = dataset.get(_METHOD_CODES) or []
    claims = {"BurnedInAnnotation"} if str(dataset.get("BurnedInAnnotation")) == "NO" else set()
    if forbidden.is_said_clean:
        claims = set()
    if any(str(item.get("CodeValue")) == _CLEANED for item in items):
        claims.add(_METHOD_CODES)
    if read is not eyes.Extent.FRAMES:
        open_doubts |= claims
    seen.findings.update(eyes.findings(open_doubts, read))


def _look_at_face(dataset: Dataset, seen: Inspection) -> None:
    """Hold a possible face against the profile, and what the copy says of it; that there is none it cannot know."""
    sign = seen.forbidden.face
    if sign is None:
        return
    is_told = sign.code == faces.POSSIBLE
    kept_back = Severity.ERROR if is_told else Severity.REVIEW
    severity = Severity.INFO if seen.profile.faces is Faces.ACCEPT else kept_back
    seen.findings.add(Finding(sign.code, severity, sign.place))
    says, has_rule = dataset.get(faces.STATED), Tag(faces.STATED) in seen.profile.rules.get(seen.sop_class, {})
    if says == "NO" or (is_told and has_rule and says != "YES"):
        seen.fail("method", faces.STATED)


def _look_at_samples(dataset: Dataset, seen: Inspection) -> None:
    """Compare the samples of every multiplex group with the source's, and their length with what the group says."""
    groups = list(dataset.get(kinds.WAVEFORMS) or [])
    if waveform_digests(dataset) != seen.forbidden.waveforms:
        seen.fail("samples-differ", kinds.WAVEFORMS)
    sizes = [sample_bytes(group) for group in groups]
    if any(len(group[_SAMPLES].value) != size + size % 2 for group, size in zip(groups, sizes, strict=True)):
        seen.fail("samples-length", kinds.WAVEFORMS)


def _look_at_floats(dataset: Dataset, seen: Inspection) -> None:
    """Check that the value is as long as the image."""
    keyword = next(keyword for keyword in kinds.PIXELS[1:] if keyword in dataset)
    count = int(dataset.Rows) * int(dataset.Columns) * seen.frames_present
    if 8 * len(dataset[keyword].value) != count * int(dataset.BitsAllocated):
        seen.fail("pixel-length", keyword)


def _look_at_words(dataset: Dataset, syntax: str, seen: Inspection) -> None:
    """Check that the value is as long as the image and that no word uses bits that the image does not."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    values = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel) * seen.frames_present
    if str(dataset.PhotometricInterpretation).endswith("_422"):
        values = values * 2 // 3
    size = (values * allocated + 7) // 8
    if len(dataset.PixelData) != size + size % 2 or any(dataset.PixelData[size:]):
        seen.fail("pixel-length", "PixelData")
    if allocated == stored:
        return
    order = ">" if syntax == _BIG else "<"
    unused = np.frombuffer(dataset.PixelData[:size], f"{order}i{allocated // 8}") >> (stored - 1)
    least, most = (int(unused.min()), int(unused.max())) if unused.size else (0, 0)
    is_signed = int(dataset.get("PixelRepresentation", 0)) == 1
    # nothing above the highest bit, or the sign all the way up
    if not (least >= 0 and most <= 1) and not (is_signed and least >= -1 and most <= 0):
        seen.fail("unused-bits", "PixelData")
