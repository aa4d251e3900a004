"""Whatever bytes come, the parser answers with reasons, and never with an exception, a hang or a patient's value."""

import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from tests.vectors.dicom_files import sound

from filmroom.dicom import walk
from filmroom.dicom.encode import encode
from filmroom.dicom.parse import is_dicom, parse, read
from filmroom.errors import Unreadable

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "dicom"
TINY = (VECTORS / "ct_tiny.dcm").read_bytes()

FLAWS = {
    "cut_in_pixels": ("truncated", "ends in the middle of Pixel Data: 100 of 128 bytes"),
    "length_of_4_gib": ("truncated", "ends in the middle of Pixel Data: 128 of 4,294,967,294 bytes"),
    "header_names_another_instance": ("meta-contradicts", "SOP Instance UID differs between header and data set"),
    "declared_implicit_is_explicit": (
        "transfer-syntax-wrong",
        "declared 1.2.840.10008.1.2, but the data set is encoded as 1.2.840.10008.1.2.1",
    ),
    "declared_jpeg_is_native": (
        "transfer-syntax-wrong",
        "declared compressed, but the pixel data is not encapsulated",
    ),
    "declared_jpeg_2000_is_jpeg": (
        "transfer-syntax-wrong",
        "declared 1.2.840.10008.1.2.4.90, but the pixel data is something else",
    ),
    "pixels_too_short": ("pixels-short", "Pixel Data has 100 of 128 bytes"),
    "no_fragments": ("pixels-short", "the pixel data has no fragments"),
    "two_fragments_for_three_frames": ("pixels-short", "2 fragments for 3 frames"),
    "no_study_uid": ("uid-missing", "Study Instance UID is missing or empty"),
    "no_rows": ("dimensions-impossible", "Rows or Columns is missing or zero"),
    "nested_100_deep": ("nesting-deep", "sequences nest deeper than 64 levels"),
}


@pytest.mark.parametrize("name", FLAWS)
def test_a_file_with_one_flaw_gets_exactly_that_reason(name: str) -> None:
    parsed = parse((VECTORS / f"{name}.dcm").read_bytes())
    assert [(reason.code, reason.detail) for reason in parsed.reasons] == [FLAWS[name]]


@pytest.mark.parametrize("name", sorted(set(FLAWS) - {"no_study_uid"}))
def test_a_flawed_file_still_says_whose_it_is_so_that_a_person_can_decide(name: str) -> None:
    instance = parse((VECTORS / f"{name}.dcm").read_bytes()).instance
    assert instance is not None
    assert (instance.sop_uid, instance.patient_id) == ("2.25.1001", "TEST-1")


@pytest.mark.parametrize("name", ["preamble_of_a_program", "preamble_of_a_tiff"])
def test_a_polyglot_preamble_is_taken_and_noted(name: str) -> None:
    parsed = parse((VECTORS / f"{name}.dcm").read_bytes())
    assert parsed.reasons == ()
    assert parsed.instance is not None
    assert "preamble-polyglot" in {finding.code for finding in parsed.instance.findings}


def test_cut_anywhere_it_is_never_taken_for_whole() -> None:
    for end in range(132, len(TINY)):
        assert parse(TINY[:end]).reasons, f"cut after {end} bytes"


def test_cut_anywhere_it_is_not_read() -> None:
    pixels = TINY.index(b"\xe0\x7f\x10\x00OW")
    for end in range(pixels + 1, len(TINY)):
        with pytest.raises(Unreadable, match="ends in the middle of"):
            read(TINY[:end])


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_noise_is_refused_in_words(data: bytes) -> None:
    assert parse(data).reasons


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_noise_behind_the_magic_is_refused_in_words(data: bytes) -> None:
    assert parse(bytes(128) + b"DICM" + data).reasons


@settings(deadline=None)
@given(st.integers(132, len(TINY) - 129), st.binary(min_size=1, max_size=12))
def test_overwritten_bytes_never_raise(at: int, garbage: bytes) -> None:
    data = TINY[:at] + garbage + TINY[at + len(garbage) :]
    parse(data)
    is_dicom(data)


@settings(deadline=None)
@given(st.integers(132, len(TINY) - 129), st.integers(0, 7))
def test_a_flipped_bit_never_raises_and_no_text_quotes_the_patient(at: int, bit: int) -> None:
    data = bytearray(TINY)
    data[at] ^= 1 << bit
    said = " ".join(f"{reason.code} {reason.detail}" for reason in parse(bytes(data)).reasons)
    assert "Nora" not in said
    assert "TEST-1" not in said


def with_sequences(syntax: str) -> bytes:
    """Sequences in sequences, whose items have known lengths; one holds what pydicom decodes in an item."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-D1100", "SRT", "Head"
    study, shared = Dataset(), Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", "2.25.9"
    study.PurposeOfReferenceCodeSequence = [code, code]
    shared.SpecificCharacterSet, shared.PixelRepresentation, shared.SmallestImagePixelValue = "ISO_IR 100", 1, -5
    dataset = sound(syntax)
    dataset.AnatomicRegionSequence, dataset.ReferencedStudySequence = [code], [study, Dataset()]
    dataset.SourceImageSequence = [shared]
    return encode(dataset)


NESTED = {syntax: with_sequences(syntax) for syntax in (walk.EXPLICIT_LITTLE, walk.IMPLICIT_LITTLE)}
Seen = list[tuple[int, str | None, bytes, str]] | str


@pytest.mark.parametrize("syntax", NESTED)
@settings(deadline=None, max_examples=150)
@given(data=st.data(), garbage=st.binary(max_size=6) | st.sampled_from([b"FD", b"UN", b"SQ", b"\1\0", b"ISO_IR 999"]))
def test_what_lies_in_sequences_is_read_as_pydicom_reads_it(syntax: str, data: st.DataObject, garbage: bytes) -> None:
    """Also where it is broken; most often near what pydicom decodes when it opens a sequence."""
    whole = NESTED[syntax]
    decoded = [found.end() for found in re.finditer(rb"\x28\x00\x03\x01|\x08\x00\x05\x00", whole)]
    at = data.draw(
        st.integers(132, len(whole) - 140) | st.sampled_from([end + gap for end in decoded for gap in (0, 2, 4)])
    )
    broken = whole[:at] + garbage + whole[at + len(garbage) :]

    def seen(read_inside: Callable[[walk.Element, Dataset, str], Iterable[tuple[walk.Element, str]]]) -> Seen:
        dataset = walk.walk(broken).dataset
        outer = [element for element in walk.by_tag(dataset).values() if walk.is_sequence(element)]
        try:
            inside = [each for one in outer for each in read_inside(one, dataset, walk.name_of(one.tag))]
        except Unreadable as error:
            return error.what
        return [(each.tag, each.VR, walk.raw_value(each), place) for each, place in inside]

    assert seen(walk.contents) == seen(
        lambda one, dataset, place: ((each, where) for each, _, where in walk.inside(one, dataset, 0, place))
    )


def test_a_deflated_data_set_may_not_inflate_without_end() -> None:
    at = TINY.index(b"\x08\x00\x05\x00CS")
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = squeeze.compress(TINY[at:] + bytes(100_000)) + squeeze.flush()
    head = TINY[:at].replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.1.99")
    assert "too-large" in {reason.code for reason in walk.walk(head + body, max_inflated=10_000).reasons}
    assert "too-large" not in {reason.code for reason in walk.walk(head + body).reasons}


def test_data_that_goes_on_after_the_end_is_refused() -> None:
    end_mark = b"\xfe\xff\x0d\xe0\0\0\0\0"
    codes = {reason.code for reason in parse(TINY + end_mark + b"something").reasons}
    assert codes == {"unreadable"}


def test_zeros_behind_the_end_are_only_noted() -> None:
    parsed = parse(TINY + bytes(512))
    assert parsed.reasons == ()
    assert parsed.instance is not None
    assert "trailing-zeros" in {finding.code for finding in parsed.instance.findings}


def test_an_attribute_that_comes_twice_is_noted_and_the_first_one_counts() -> None:
    first = TINY[TINY.index(b"\x10\x00\x20\x00LO") :][:14]
    assert first.endswith(b"TEST-1")
    at = TINY.index(b"\x10\x00\x40\x00CS")
    parsed = parse(TINY[:at] + first.replace(b"TEST-1", b"TEST-2") + TINY[at:])
    assert parsed.instance is not None
    assert parsed.instance.patient_id == "TEST-1"
    assert ("element-repeated", "PatientID") in {(finding.code, finding.place) for finding in parsed.instance.findings}
