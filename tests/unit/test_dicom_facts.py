"""What the catalog learns from a data set, and what becomes of odd values."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID

from filmroom.dicom import values
from filmroom.dicom.attributes import BY_NAME
from filmroom.dicom.encode import encode
from filmroom.dicom.json import metadata
from filmroom.dicom.parse import is_dicom, parse, read
from filmroom.ids import Digest
from filmroom.records import Instance

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "dicom"
TINY = (VECTORS / "ct_tiny.dcm").read_bytes()
Replace = Callable[[bytes, bytes], bytes]


def raw(vr: str, value: bytes, keyword: str = "Rows") -> RawDataElement:
    return RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)


def instance_of(data: bytes) -> Instance:
    parsed = parse(data)
    assert parsed.reasons == ()
    assert parsed.instance is not None
    return parsed.instance


def changed(old: bytes, new: bytes) -> bytes:
    assert TINY.count(old) == 1
    assert len(old) == len(new)
    return TINY.replace(old, new)


def test_every_column_that_an_attribute_fills_is_filled() -> None:
    instance = instance_of(TINY)
    assert instance.values == {
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "patient_id": "TEST-1",
        "sex": "F",
        "study_uid": "2.25.1",
        "study_date": "2024-02-29",
        "age_years": 1.5,
        "series_uid": "2.25.10",
        "modality_received": "CT",
        "body_part_examined": "CHEST",
        "manufacturer_received": "Müller & Söhne",
        "slice_thickness_mm": 1.25,
        "pixel_spacing_mm": 0.5,
        "sop_uid": "2.25.1001",
        "sop_class": "1.2.840.10008.5.1.4.1.1.2",
        "image_type": "ORIGINAL\\PRIMARY\\AXIAL",
        "instance_number": 7,
        "rows": 8,
        "columns": 8,
        "frames": 1,
        "bits_stored": 12,
        "photometric": "MONOCHROME2",
    }
    assert set(instance.values) <= set(BY_NAME)


def test_digests_cover_the_bytes_and_the_encoded_pixels() -> None:
    instance = instance_of(TINY)
    assert instance.digest == Digest.of(TINY)
    assert instance.size_bytes == len(TINY)
    assert instance.pixel_digest == Digest.of(struct.pack("<64h", *range(-32, 32)))


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        (b"20240229", b"20240230", "study_date"),
        (b"018M", b"018Q", "age_years"),
        (b"1.25", b"1,25", "slice_thickness_mm"),
        (b"IS\x02\x007 ", b"IS\x02\x00x ", "instance_number"),
    ],
)
def test_an_unreadable_value_leaves_its_column_empty_and_is_noted(old: bytes, new: bytes, column: str) -> None:
    instance = instance_of(changed(old, new))
    assert column not in instance.values
    assert ("value-unreadable", BY_NAME[column].dicom) in {(found.code, found.place) for found in instance.findings}


def test_a_missing_patient_id_is_only_a_finding() -> None:
    instance = instance_of(changed(b"TEST-1", b"      "))
    assert instance.patient_id == ""
    assert ("value-missing", "PatientID") in {(found.code, found.place) for found in instance.findings}


def test_a_charset_that_does_not_exist_is_noted_and_what_it_hides_is_replaced() -> None:
    instance = instance_of(changed(b"ISO_IR 192", b"ISO_IR 999"))
    assert "charset-unknown" in {found.code for found in instance.findings}


def test_bytes_that_the_charset_does_not_have_are_noted() -> None:
    instance = instance_of(changed("ü".encode(), b"\xff\xfe"))
    assert ("text-undecodable", "Manufacturer") in {(found.code, found.place) for found in instance.findings}


def test_a_uid_with_letters_is_no_uid_and_one_with_leading_zeros_is_only_odd() -> None:
    malformed = parse(changed(b"2.25.10\0", b"2.25.1a\0"))
    assert [reason.code for reason in malformed.reasons] == ["uid-malformed"]
    odd = instance_of(changed(b"2.25.10\0", b"2.25.01\0"))
    assert ("uid-invalid", "SeriesInstanceUID") in {(found.code, found.place) for found in odd.findings}


def test_a_bare_data_set_is_taken_without_a_header() -> None:
    bare = TINY[TINY.index(b"\x08\x00\x05\x00CS") :]
    assert is_dicom(bare)
    instance = instance_of(bare)
    assert instance.transfer_syntax == "1.2.840.10008.1.2.1"
    assert {"meta-missing", "transfer-syntax-missing"} <= {found.code for found in instance.findings}


@pytest.mark.parametrize("words", [b"", b"hello, this is a letter", b"PK\x03\x04" + bytes(200), b"\x08\x00"])
def test_other_things_do_not_look_like_dicom(words: bytes) -> None:
    assert not is_dicom(words)


@settings(deadline=None)
@given(st.integers(-(2**31), 2**31 - 1))
def test_integers_come_back_from_text_and_from_binary(number: int) -> None:
    assert values.whole(raw("IS", f"{number} ".encode())) == number
    assert values.whole(raw("SL", struct.pack("<l", number))) == number


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_decimals_come_back_from_text_and_from_binary(number: float) -> None:
    assert values.numbers(raw("DS", repr(number).encode())) == [number]
    assert values.numbers(raw("FL", struct.pack("<f", number))) == [number]


@settings(deadline=None)
@given(st.dates())
def test_dates_come_back(moment: object) -> None:
    written = str(moment)
    assert values.day(written.replace("-", "")) == written
    assert values.day(written.replace("-", ".")) == written


@settings(deadline=None)
@given(st.text(max_size=20))
def test_no_text_makes_the_value_readers_raise(text: str) -> None:
    values.day(text)
    values.age_years(text)
    values.numbers(raw("DS", text.encode()))
    values.text(raw("LO", text.encode()), ["utf-8"])


@pytest.mark.parametrize("value", [b"nan", b"inf", b"1_000", b"1e999", b"--5", b"0x10"])
def test_what_python_reads_and_dicom_does_not_have_is_no_number(value: bytes) -> None:
    assert values.numbers(raw("DS", value)) is None


@pytest.mark.parametrize(
    ("day", "time", "offset", "moment"),
    [
        ("20240305", "101112", "", "2024-03-05T10:11:12"),
        ("20240305", "101112.5", "+0100", "2024-03-05T10:11:12.500000+01:00"),
        ("2024.03.05", "10:11", "-0430", "2024-03-05T10:11:00-04:30"),
        ("20240305", "10", "+1400", "2024-03-05T10:00:00+14:00"),
        ("20240305", "101112", "+9900", "2024-03-05T10:11:12"),
        ("20240305", "246060", "", ""),
        ("20240230", "101112", "", ""),
        ("20240305", "", "+0100", ""),
    ],
)
def test_a_moment_is_local_with_its_zone_when_that_is_said(day: str, time: str, offset: str, moment: str) -> None:
    assert values.moment(day, time, offset) == moment


@pytest.mark.parametrize(("written", "years"), [("010D", 0.0274), ("052W", 0.9966), ("006M", 0.5), ("045Y", 45.0)])
def test_ages_are_years(written: str, years: float) -> None:
    assert values.age_years(written) == years


def test_a_number_made_of_spaces_is_a_number_when_it_is_binary() -> None:
    assert values.whole(raw("US", b"\x20\x00")) == 32


def test_text_loses_its_padding_and_control_characters_and_keeps_its_values_apart() -> None:
    assert values.text(raw("CS", b" A \\B\0"), ["ascii"]) == "A\\B"
    assert values.text(raw("LO", b"a\0\x07b "), ["ascii"]) == "ab"
    assert values.text(raw("LO", b"x" * 5000), ["ascii"]) is None


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_a_value_that_cannot_be_decoded_has_its_vr_in_the_metadata(syntax: str) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Rows = "1.2.840.10008.5.1.4.1.1.7", "2.25.7", 0x0707
    size = struct.Struct("<L" if syntax == "1.2.840.10008.1.2" else "<H")
    data = encode(dataset).replace(size.pack(2) + b"\x07\x07", size.pack(3) + b"\x07\x07\x07")
    assert metadata(read(data), str)["00280010"] == {"vr": "US"}
