"""The verifier alone: text is put into finished copies, where nothing of the maker can help it."""

import struct
from collections.abc import Callable
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from filmroom.deid import frames, profile, slack, verify
from filmroom.deid.apply import Applied, apply
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.records import Severity

RESEARCH = profile.load("research")
SECRET = b"QXZBCVWK"
PICTURE = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 3
JPEG = bytes(imagecodecs.jpeg8_encode(PICTURE))
PREFIX = "1.2.840.10008.1.2."
SHAPE = frames.Shape(pixels=1024, samples=1, allocated=8, stored=8, is_signed=False)
# the codecs write a SPIFF header and a comment of their own, which a copy does not have
JPEG_LS = frames.STRIPPERS[f"{PREFIX}4.80"](bytes(imagecodecs.jpegls_encode(PICTURE)), SHAPE)
J2K = frames.STRIPPERS[f"{PREFIX}4.90"](
    bytes(imagecodecs.jpeg2k_encode(PICTURE, codecformat="j2k", reversible=True)), SHAPE
)


def source() -> bytes:
    found = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(found, str)
    ds = pydicom.dcmread(found)
    ds.AcquisitionDateTime = "20040119072730"
    return saved(ds)


def saved(ds: Dataset) -> bytes:
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


def clean_copy() -> bytes:
    copy = apply(source(), RESEARCH, Pseudonyms(b"k" * 32))
    assert isinstance(copy, Applied), copy
    return copy.data


def errors(output: bytes) -> set[str]:
    verdict = verify.verify(output, verify.identifiers(source()), RESEARCH)
    return {finding.code for finding in verdict.findings if finding.severity is Severity.ERROR}


def test_the_untouched_copy_passes() -> None:
    assert errors(clean_copy()) == set()


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("SeriesDescription", "QXZBCVWK", "vocabulary"),
        ("SeriesDescription", "95Y brain", "vocabulary"),
        ("BodyPartExamined", "QXZBCVWK", "vocabulary"),
        ("PatientName", "QXZBCVWK", "vocabulary"),
        ("PatientAge", "095Y", "form"),
        ("StudyTime", "482913", "form"),
        ("TableSpeed", struct.unpack("<d", SECRET)[0], "text-in-numbers"),
        ("TableSpeed", [1.0] * 9, "multiplicity"),
        ("SeriesDate", "20210511", "dates-disagree"),
        ("FrameOfReferenceUID", UID("2.25.QXZBCVWK"), "uid-not-mapped"),
        ("PatientSize", "20040119", "identifier-survives"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_value_that_its_rule_does_not_allow_is_found(keyword: str, value: object, code: str) -> None:
    ds = pydicom.dcmread(BytesIO(clean_copy()))
    setattr(ds, keyword, value)
    assert code in errors(saved(ds))


def test_an_unused_palette_is_found() -> None:
    ds = pydicom.dcmread(BytesIO(clean_copy()))
    ds.RedPaletteColorLookupTableDescriptor, ds.RedPaletteColorLookupTableData = [8, 0, 8], SECRET
    ds["RedPaletteColorLookupTableDescriptor"].VR = "US"
    assert "palette" in errors(saved(ds))


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + struct.pack("<H", len(value)) + value


@pytest.mark.parametrize(
    "planted",
    [
        lambda copy, at: copy[:at] + element(0x00080060, b"CS", SECRET) + copy[at:],  # Modality twice
        lambda copy, at: copy[:at] + element(0x00080060, b"CS", b"CT\0\0" + SECRET) + copy[at + 10 :],
        lambda copy, at: copy[:at] + element(0x00080000, b"UL", SECRET[:4]) + copy[at:],
        lambda copy, at: copy + SECRET,
        lambda copy, at: copy.replace(b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0" + SECRET[:4], 1) + b"\0",
    ],
)
def test_bytes_that_no_element_shows_are_found(planted: Callable[[bytes, int], bytes]) -> None:
    copy = clean_copy()
    assert errors(planted(copy, copy.index(b"\x08\0\x60\0CS")))


def image(syntax: str, value: bytes) -> Dataset:
    ds = Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(PREFIX + syntax)
    ds.Rows = ds.Columns = 32
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = value
    return ds


@pytest.mark.parametrize(("syntax", "frame"), [("4.50", JPEG), ("4.80", JPEG_LS), ("4.90", J2K)])
@pytest.mark.parametrize("has_table", [True, False])
def test_a_plain_codestream_is_tight(syntax: str, frame: bytes, has_table: bool) -> None:
    assert slack.is_tight(image(syntax, encapsulate([frame], has_bot=has_table)))


def segment(marker: int, text: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(text) + 2).to_bytes(2, "big") + text


def behind_packets(frame: bytes) -> bytes:
    at = frame.index(b"\xff\x90")
    size = int.from_bytes(frame[at + 6 : at + 10], "big")
    head = frame[: at + 6] + (size + len(SECRET)).to_bytes(4, "big") + frame[at + 10 : at + size]
    return head + SECRET + frame[at + size :]


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        ("4.50", JPEG + SECRET),
        ("4.50", JPEG[:2] + segment(0xFE, SECRET) + JPEG[2:]),
        ("4.50", JPEG[:-2] + segment(0xFE, SECRET) + JPEG[-2:]),
        ("4.50", JPEG[:2] + segment(0xE0, SECRET) + JPEG[2:]),
        ("4.50", JPEG[:2] + segment(0xDB, b"\x03" + SECRET.ljust(64, b"A")) + JPEG[2:]),
        ("4.50", JPEG[:-2] + SECRET + JPEG[-2:]),
        ("4.80", JPEG_LS[:-2] + SECRET + JPEG_LS[-2:]),
        ("4.80", JPEG_LS[:2] + segment(0xE8, b"SPIFF" + SECRET) + JPEG_LS[2:]),
        ("4.90", J2K[:-2] + SECRET + J2K[-2:]),
        ("4.90", behind_packets(J2K)),
    ],
)
def test_text_in_a_codestream_is_found(syntax: str, frame: bytes) -> None:
    assert not slack.is_tight(image(syntax, encapsulate([frame])))


def test_text_in_the_offset_table_and_in_another_fragment_is_found() -> None:
    item = b"\xfe\xff\x00\xe0" + len(SECRET).to_bytes(4, "little") + SECRET
    assert not slack.is_tight(image("4.50", item + encapsulate([JPEG], has_bot=False)[8:]))
    assert not slack.is_tight(image("4.50", encapsulate([JPEG]) + item))


def test_looking_leaves_the_data_set_as_it_is() -> None:
    value = encapsulate([JPEG, JPEG[:-2] + SECRET + JPEG[-2:]])
    ds = image("4.50", value)
    ds.NumberOfFrames = 2
    assert not slack.is_tight(ds)
    assert (ds.NumberOfFrames, ds.PixelData) == (2, value)
