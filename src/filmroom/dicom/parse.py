"""From received bytes to the facts that the catalog keeps, and to every reason not to trust them.

Lenient at the door: what is odd but usable is a finding; what cannot be read back, is incomplete, or contradicts itself
is a reason to quarantine. No pixel is decoded here. Reasons and findings name attributes, codes and counts, never
values.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from filmroom.dicom import geometry, required, specimen, values, walk
from filmroom.dicom.attributes import COLUMNS, UPPER
from filmroom.dicom.windows import Lengthy, Window
from filmroom.errors import Unreadable
from filmroom.ids import Digest
from filmroom.records import Column, ColumnType, Finding, Instance, Reason, Severity, Value

MAX_FRAMES = 10_000_000
MAX_FRAGMENTS = 1 << 20
MAX_FINDINGS = 200

_IDENTITY = {
    "SOPInstanceUID": "SOP Instance UID",
    "StudyInstanceUID": "Study Instance UID",
    "SeriesInstanceUID": "Series Instance UID",
    "SOPClassUID": "SOP Class UID",
}
_SYNTAX = "TransferSyntaxUID"
_START = ("StudyDate", "StudyTime", "TimezoneOffsetFromUTC")
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient")
_ANNOUNCED = {
    "study_announced": "NumberOfStudyRelatedInstances",
    "series_announced": "NumberOfSeriesRelatedInstances",
}
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_FILLED = tuple(column for column in COLUMNS if column.dicom not in ("", _SYNTAX))
_NATIVE = frozenset({walk.IMPLICIT_LITTLE, walk.EXPLICIT_LITTLE, walk.EXPLICIT_BIG, walk.DEFLATED, walk.GE_PRIVATE})
_CODES = {"anatomic_region": "AnatomicRegionSequence", "view_code": "ViewCodeSequence"}
_LISTS = {"exam_code": "ProcedureCodeSequence", "diagnosis_code": "AdmittingDiagnosesCodeSequence"}

# How many samples a pixel takes in native pixel data when chroma is subsampled (PS3.3 C.7.6.3.1.2).
_SUBSAMPLED = {"YBR_FULL_422": 2.0, "YBR_PARTIAL_422": 2.0, "YBR_PARTIAL_420": 1.5}

_JPEG, _JPEG_2000 = (b"\xff\xd8",), (b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0c")
_STORAGE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1(\.[0-9]{1,4}){1,4}\Z")
_VIDEO = re.compile(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?\Z")

_Elements: TypeAlias = Mapping[int, walk.Element]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read: `instance` whenever the identifying UIDs were there, and every reason not to trust it."""

    instance: Instance | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class _Image:
    """The Image Pixel module as numbers (PS3.3 C.7.6.3); None for what is absent or no number."""

    rows: int | None
    columns: int | None
    samples: int
    frames: int
    bits: int | None
    stored: int | None
    photometric: str


def is_dicom(data: Lengthy) -> bool:
    """Say whether the bytes claim to be DICOM: the Part 10 magic, or a start that only a bare data set has."""
    if data[128:132] == b"DICM" or data[:6] == b"DICM\x02\x00":
        return True
    if len(data) < 8 or data[:2] not in (b"\x08\x00", b"\x00\x08", b"\x02\x00"):
        return False
    if data[:2] == b"\x00\x08":
        return walk.plausible(data, 0, explicit=True, little=False)
    if walk.plausible(data, 0, explicit=True, little=True):
        return True
    known = walk.words_for(int.from_bytes(data[:2], "little") << 16 | int.from_bytes(data[2:4], "little"))
    length = int.from_bytes(data[4:8], "little")
    return data[2:4] in (b"\x00\x00", b"\x01\x00") or (not known.startswith("(") and length <= 1024)


def read(data: bytes) -> Dataset:
    """Read a Part 10 file or a bare data set; values are decoded when they are asked for.

    `file_meta` names the transfer syntax that the bytes have. Raises Unreadable when the bytes end early or are no
    data set. A value may still be broken: `walk.nested` opens every sequence, and asking for a broken value raises
    what pydicom raises (`walk.FAILURES`).
    """
    reading = walk.walk(data)
    fatal = [reason for reason in reading.reasons if reason.code != "transfer-syntax-wrong"]
    if fatal or not len(reading.dataset):
        what = "; ".join(reason.detail for reason in reading.reasons)
        raise Unreadable(what or "there is no data set", "ask the sender for the file again")
    return reading.dataset


def patient(dataset: Dataset) -> tuple[str, str]:
    """Return (Issuer of Patient ID, Patient ID) of an undecoded data set: who a patient is, everywhere in filmroom.

    Both are stripped text, several values joined by a backslash; "" when there is none, or one too long to be one.
    """
    return _patient(walk.by_tag(dataset), _charsets(dataset))


def _patient(elements: _Elements, encodings: Sequence[str]) -> tuple[str, str]:
    issuer, number = (
        values.text(_element(elements, keyword), encodings) or "" for keyword in ("IssuerOfPatientID", "PatientID")
    )
    return issuer, number


def parse(data: Lengthy, *, digest: Digest | None = None) -> Parsed:
    """Return the facts about one received object. Never raises for what the bytes hold.

    `digest` spares hashing the bytes again when the caller has done it.
    """
    reading = walk.walk(data)
    dataset = reading.dataset
    reasons, findings = list(reading.reasons), list(reading.findings)
    elements, encodings = walk.by_tag(dataset), _charsets(dataset)
    reasons += _identity_reasons(elements, dataset.file_meta)
    findings += required.lacking(_plain(elements, "SOPClassUID"), elements, reading.windows)
    pixels = next((element for each in _PIXELS if (element := _element(elements, each)) is not None), None)
    value: bytes | Window = b"" if pixels is None else reading.windows.get(int(pixels.tag), walk.raw_value(pixels))
    columns = _columns(reading.syntax, elements, encodings, findings) | _derived(elements)
    issuer, patient_id = _patient(elements, encodings)
    if pixels is None:
        columns.pop("frames", None)
    elif not columns.get("frames"):
        columns["frames"] = 1
    if not any(reason.code in ("truncated", "unreadable") for reason in reading.reasons):
        _check_pixels(reading.syntax, elements, pixels, value, reasons, findings)
    _look_inside(
        dataset, elements, reasons, findings
    )  # after the rest: opening sequences makes pydicom decode others, too
    coded = {name: values.code(dataset, keyword) for name, keyword in _CODES.items() if _tag(keyword) in elements}
    coded |= {name: values.codes(dataset, keyword) for name, keyword in _LISTS.items() if _tag(keyword) in elements}
    columns |= {name: code for name, code in coded.items() if code} | specimen.facts(dataset)
    identity = [columns.get(name) for name in ("sop_uid", "study_uid", "series_uid", "sop_class")]
    if not all(identity):
        return Parsed(None, tuple(dict.fromkeys(reasons)))
    instance = Instance(
        digest=digest or Digest.of(data[:]),
        size_bytes=len(data),
        issuer=issuer,
        patient_id=patient_id,
        study_uid=str(columns["study_uid"]),
        series_uid=str(columns["series_uid"]),
        sop_uid=str(columns["sop_uid"]),
        sop_class=str(columns["sop_class"]),
        transfer_syntax=reading.syntax,
        pixel_digest=None if pixels is None else _digest(value),
        values=columns,
        findings=_sorted(findings),
    )
    return Parsed(instance, tuple(dict.fromkeys(reasons)))


def _digest(value: bytes | Window) -> Digest:
    return Digest.of(value) if isinstance(value, bytes) else Digest.of_pieces(value.pieces())


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    distinct = sorted(set(findings))
    if len(distinct) > MAX_FINDINGS:
        distinct = [*distinct[:MAX_FINDINGS], Finding("findings-left-out", Severity.REVIEW)]
    return tuple(distinct)


def _look_inside(dataset: Dataset, elements: _Elements, reasons: list[Reason], findings: list[Finding]) -> None:
    """Open every sequence and look at the form of every value."""
    is_whole = not any(reason.code == "truncated" for reason in reasons)

    try:
        for outer in elements.values():
            if code := values.oddity(outer):
                findings.append(_odd(code, walk.name_of(outer.tag)))
            if not walk.is_sequence(outer):
                continue
            for element, place in walk.contents(outer, dataset, walk.name_of(outer.tag)):
                if code := values.oddity(element):
                    findings.append(_odd(code, place))
                if is_whole and isinstance(element, RawDataElement) and walk.is_cut(element):
                    reasons.append(Reason("sequence-broken", f"inside a sequence, {walk.ends_early(element)}"))
    except Unreadable as error:
        if is_whole:
            code = "nesting-deep" if "nest deeper" in error.what else "sequence-broken"
            reasons.append(Reason(code, error.what))
    number = _element(elements, "PatientID")
    if number is None or values.is_blank(number):
        findings.append(Finding("value-missing", Severity.REVIEW, "PatientID"))


def _odd(code: str, place: str) -> Finding:
    return Finding(code, Severity.INFO if code == "value-odd" else Severity.REVIEW, place)


def _identity_reasons(elements: _Elements, meta: Dataset) -> list[Reason]:
    """Return what is wrong with the UIDs that name the object (type 1 in every IOD), and with the header's copies."""
    reasons = []
    for keyword, name in _IDENTITY.items():
        uid = _plain(elements, keyword)
        if not uid:
            reasons.append(Reason("uid-missing", f"{name} is missing or empty"))
        elif not walk.is_uid(uid):
            reasons.append(Reason("uid-malformed", f"{name} is not at most 64 digits and dots"))
    for tag, keyword in ((0x00020002, "SOPClassUID"), (0x00020003, "SOPInstanceUID")):
        declared, actual = walk.meta_text(meta, tag), _plain(elements, keyword)
        if declared and actual and declared != actual:
            reasons.append(Reason("meta-contradicts", f"{_IDENTITY[keyword]} differs between header and data set"))
    return reasons


def _plain(elements: _Elements, keyword: str) -> str:
    """Return a text that is ASCII by its kind, "" for none."""
    return values.text(_element(elements, keyword), ["ascii"]) or ""


def _element(elements: _Elements, keyword: str) -> walk.Element | None:
    return elements.get(_tag(keyword))


@cache
def _tag(keyword: str) -> int:
    return int(Tag(keyword))


def _charsets(dataset: Dataset) -> list[str]:
    encodings = dataset.original_character_set
    return [encodings] if isinstance(encodings, str) else list(encodings)


def _columns(syntax: str, elements: _Elements, encodings: Sequence[str], findings: list[Finding]) -> dict[str, Value]:
    """Fill every catalog column that an attribute fills; what cannot be read is left out and noted."""
    found: dict[str, Value] = {"transfer_syntax": syntax}
    for column in _FILLED:
        element = _element(elements, column.dicom)
        if element is None or values.is_blank(element):
            continue
        value = _value(column, element, encodings)
        if value is None:
            findings.append(Finding("value-unreadable", Severity.REVIEW, column.dicom))
        elif value != "":
            found[column.name] = value
            if isinstance(value, str) and "\ufffd" in value:
                findings.append(Finding("text-undecodable", Severity.REVIEW, column.dicom))
    return found


def _derived(elements: _Elements) -> dict[str, Value]:
    """Fill the columns that several attributes, or ones that only count here, make together."""
    announced = {name: values.whole(_element(elements, keyword)) for name, keyword in _ANNOUNCED.items()}
    place = geometry.place(*(values.numbers(_element(elements, keyword)) or () for keyword in _PLACE))
    found: dict[str, Value] = {
        **announced,
        "study_start": values.moment(*(_plain(elements, keyword) for keyword in _START)),
        "plane": None if place is None else place[0],
        "slice_position_mm": None if place is None else place[1],
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _value(column: Column, element: walk.Element, encodings: Sequence[str]) -> Value:
    """Return the value as the column's type wants it, "" when it is empty, None when it cannot be read."""
    if column.name == "age_years":
        return values.age_years(values.text(element, encodings) or "")
    match column.type:
        case ColumnType.INTEGER:
            return values.whole(element)
        case ColumnType.REAL:
            found = values.numbers(element)
            return None if not found else float(found[0])
        case ColumnType.DATE:
            return values.day(values.text(element, encodings) or "")
        case ColumnType.TEXT:
            text = values.text(element, encodings)
            return text.upper() if text and column.name in UPPER else text


def _check_pixels(
    syntax: str,
    elements: _Elements,
    pixels: walk.Element | None,
    value: Lengthy,
    reasons: list[Reason],
    findings: list[Finding],
) -> None:
    """Compare the pixel data with what the image attributes and the transfer syntax promise."""
    if pixels is None:
        described = all(_tag(keyword) in elements for keyword in ("Rows", "Columns", "BitsAllocated"))
        if (described or _is_image(elements)) and _element(elements, "PixelDataProviderURL") is None:
            reasons.append(Reason("pixels-missing", "it is an image, but there is no Pixel Data"))
        return
    image = _image(elements)
    wrong = _impossible(image)
    reasons += wrong
    encapsulated = isinstance(pixels, RawDataElement) and pixels.length == walk.UNDEFINED
    if syntax in _NATIVE:
        if encapsulated:
            reasons.append(Reason("transfer-syntax-wrong", "declared uncompressed, but the pixel data is encapsulated"))
        elif not wrong:
            _check_native(image, len(value), reasons, findings)
    elif not syntax.startswith("1.2.840.10008.1.2."):
        findings.append(Finding("transfer-syntax-unknown", Severity.REVIEW, _SYNTAX))
    elif not encapsulated:
        reasons.append(Reason("transfer-syntax-wrong", "declared compressed, but the pixel data is not encapsulated"))
    else:
        _check_encapsulated(syntax, elements, image.frames, value, reasons, findings)


def _is_image(elements: _Elements) -> bool:
    """Say whether the SOP Class is one of the standard's image classes, by its registered name (PS3.6 table A-1)."""
    uid = _plain(elements, "SOPClassUID")
    return bool(_STORAGE.match(uid)) and "Image Storage" in UID(uid).name


def _image(elements: _Elements) -> _Image:
    def number(keyword: str) -> int | None:
        element = _element(elements, keyword)
        return None if element is None else values.whole(element)

    samples, frames = number("SamplesPerPixel"), number("NumberOfFrames")
    return _Image(
        rows=number("Rows"),
        columns=number("Columns"),
        samples=1 if samples is None else samples,
        frames=frames or 1,
        bits=number("BitsAllocated"),
        stored=number("BitsStored"),
        photometric=_plain(elements, "PhotometricInterpretation"),
    )


def _impossible(image: _Image) -> list[Reason]:
    """Return what no image can be (PS3.3 C.7.6.3.1, PS3.5 8.1.1)."""
    rules = (
        (not image.rows or not image.columns, "Rows or Columns is missing or zero"),
        (image.samples not in (1, 3, 4), "Samples per Pixel is neither 1 nor 3"),
        (not 0 < image.frames <= MAX_FRAMES, f"Number of Frames is not between 1 and {MAX_FRAMES:,}"),
        (image.bits not in (1, 8, 16, 24, 32, 64), "Bits Allocated is missing or impossible"),
        (
            image.stored is not None and image.bits is not None and not 0 < image.stored <= image.bits,
            "Bits Stored is zero or more than Bits Allocated",
        ),
    )
    return [Reason("dimensions-impossible", words) for broken, words in rules if broken]


def _check_native(image: _Image, length: int, reasons: list[Reason], findings: list[Finding]) -> None:
    """Compare the length of uncompressed pixel data with its dimensions (PS3.5 8.1.1, A.2)."""
    assert image.rows and image.columns and image.bits, "impossible dimensions were sorted out before"
    samples = _SUBSAMPLED.get(image.photometric, image.samples)
    needed = (int(image.rows * image.columns * samples * image.frames) * image.bits + 7) // 8
    if length < needed:
        reasons.append(Reason("pixels-short", f"Pixel Data has {length:,} of {needed:,} bytes"))
    elif length > needed + needed % 2:
        findings.append(Finding("pixels-long", Severity.INFO, "PixelData"))


@dataclass(frozen=True, slots=True)
class _Fragments:
    """The items of encapsulated pixel data: offsets count from the first fragment's item tag (PS3.5 A.4)."""

    offset_table: bytes
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    first: bytes


def _check_encapsulated(
    syntax: str, elements: _Elements, frames: int, value: Lengthy, reasons: list[Reason], findings: list[Finding]
) -> None:
    """Count the fragments, look at the first one's magic number, and follow the offset tables (PS3.5 A.4)."""
    try:
        found = _fragments(value)
    except ValueError:
        reasons.append(Reason("pixels-broken", "the fragments of the pixel data cannot be told apart"))
        return
    if not any(found.lengths):
        reasons.append(Reason("pixels-short", "the pixel data has no fragments"))
        return
    if len(found.lengths) < frames and not _VIDEO.match(syntax):
        reasons.append(Reason("pixels-short", f"{len(found.lengths):,} fragments for {frames:,} frames"))
    if not _could_be(syntax, found.first):
        what = f"declared {syntax}, but the pixel data is something else"
        reasons.append(Reason("transfer-syntax-wrong", what))
    if not _leads(found.offset_table, "<I", frames, found):
        findings.append(Finding("offset-table-wrong", Severity.REVIEW, "PixelData"))
    if not _leads(walk.raw_value(_element(elements, "ExtendedOffsetTable")), "<Q", frames, found):
        findings.append(Finding("offset-table-wrong", Severity.REVIEW, "ExtendedOffsetTable"))


def _leads(table: bytes, entry: str, frames: int, found: _Fragments) -> bool:
    """Say whether an offset table is empty or leads from frame to frame."""
    if not table:
        return True
    if len(table) % struct.calcsize(entry):
        return False
    offsets = [offset for (offset,) in struct.iter_unpack(entry, table)]
    return len(offsets) == frames and offsets == sorted(set(offsets)) and set(offsets) <= set(found.starts)


def _fragments(value: Lengthy) -> _Fragments:
    """Read the items' heads. Raises ValueError for what is no sequence of items."""
    starts: list[int] = []
    lengths: list[int] = []
    table, first, at, begin = b"", b"", 0, 0
    while at + 8 <= len(value):
        head = value[at : at + 8]
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"\xfe\xff\x00\xe0" or at + 8 + length > len(value) or len(lengths) >= MAX_FRAGMENTS:
            raise ValueError
        if not at:
            table, begin = value[8 : 8 + min(length, 4 * MAX_FRAMES)], 8 + length
        else:
            first = first if lengths else value[at + 8 : at + 8 + min(length, 64)]
            starts.append(at - begin)
            lengths.append(length)
        at += 8 + length
    if any(value[at:]):
        raise ValueError
    return _Fragments(table, tuple(starts), tuple(lengths), first)


def _could_be(syntax: str, first: bytes) -> bool:
    """Say whether a fragment that begins with `first` can be of the transfer syntax; True for those not known."""
    if syntax == "1.2.840.10008.1.2.5":  # PS3.5 G.5: the number of segments, then the first offset
        return len(first) < 8 or (1 <= first[0] <= 15 and first[1:8] == b"\0\0\0\x40\0\0\0")
    family, _, number = syntax.removeprefix("1.2.840.10008.1.2.4.").partition(".")
    if number or not family.isdecimal() or len(syntax) == len(family):
        return True
    if 50 <= int(family) <= 81:
        return first.startswith(_JPEG)
    if 90 <= int(family) <= 93 or 201 <= int(family) <= 203:
        return first.startswith(_JPEG_2000)
    return True
