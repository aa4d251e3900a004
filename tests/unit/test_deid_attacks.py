"""Tokens hidden where a header or a codestream has room for them: none may be in a copy that the verifier passes.

The engine may drop the place or refuse the object; the verifier is also asked alone, about copies into which the token was
put after the engine had done its work.
"""

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from filmroom.deid import profile as profiles
from filmroom.deid import verify
from filmroom.deid.apply import Applied, apply
from filmroom.deid.identifiers import in_header_bytes, in_number, in_pieces, in_pixel_bytes, in_text
from filmroom.deid.profile import Action
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom.encode import encode

TOKEN, NUMBER, BORN, STUDIED = "QXZBCVWK", "48291377", "19310214", "20210511"
PROFILE = profiles.load("research")
PSEUDONYMS = Pseudonyms(bytes(range(32)))
Change = Callable[[Dataset], None]


@pytest.fixture(params=["CT_small.dcm", "MR_small.dcm"])
def source(request: pytest.FixtureRequest, pydicom_files: Path) -> Dataset:
    """A real image of somebody whose names are words of radiology."""
    dataset = pydicom.dcmread(pydicom_files / "test_files" / request.param)
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = NUMBER, "Young^Hand", BORN
    dataset.ReferringPhysicianName, dataset.StudyDate, dataset.AccessionNumber = "Baker^Lung", STUDIED, "7755331"
    return dataset


def set_raw(keyword: str, value: object, vr: str) -> Change:
    """Put any value under any VR, as a broken device would."""

    def change(dataset: Dataset) -> None:
        element = DataElement(pydicom.datadict.tag_for_keyword(keyword) or 0, "LO", "x")
        element._value = MultiValue(str, value) if isinstance(value, list) else value
        element.VR = vr
        dataset[element.tag] = element

    return change


def hidden() -> list[tuple[str, Change, list[str]]]:
    """Return (where, how, what must not be in the copy's header)."""
    texts = {
        "YOUNG": ["young"],
        "Hand Lung Young": ["young", "hand"],
        "born 14.02.1931": ["14.02"],
        "14_02_31": ["14_02"],
        "48 29 13 77": ["48 29"],
        "482-913-77": ["482-"],
        "095 y.o. chest": ["095 y"],
        "06 12 34 56 78": ["34 56"],
        STUDIED: [STUDIED],
        "Dr. J. Short chest": ["short"],
        NUMBER: [NUMBER],
        "1A2B3C4D5E": ["1A2B3C4D"],
        "SUE ANN LEE": ["sue", "lee"],
    }
    cases: list[tuple[str, Change, list[str]]] = []
    for keyword, vr in (
        *((name, "LO") for name in ("SeriesDescription", "StudyDescription", "ProtocolName", "ContrastBolusAgent")),
        *((name, "CS") for name in ("BodyPartExamined", "ImageType", "ScanOptions")),
        ("SequenceName", "SH"),
        ("FilterType", "SH"),
    ):
        cases += [(f"{keyword}={text}", set_raw(keyword, text, vr), gone) for text, gone in texts.items()]
    numbers = (NUMBER, f"+{NUMBER}", f"00{NUMBER}", BORN, f"{STUDIED}.5", TOKEN, "7755331", f"1\0{TOKEN}")
    for keyword, vr in (("SliceLocation", "DS"), ("KVP", "DS"), ("RescaleSlope", "DS"), ("InstanceNumber", "IS")):
        cases += [
            (f"{keyword}={text!r}", set_raw(keyword, text, vr), [text.strip("+0")[:8], TOKEN]) for text in numbers
        ]
    for text in (f"{STUDIED}{TOKEN}", f"{STUDIED}101112.5+9876", f"{STUDIED}-20220101"):
        cases.append((f"AcquisitionDateTime={text}", set_raw("AcquisitionDateTime", text, "DT"), [STUDIED, TOKEN]))
    for text in ("095Y", "95Y", "120Y", TOKEN[:4]):
        cases.append((f"PatientAge={text}", set_raw("PatientAge", text, "AS"), [text]))
    for text in (f"1.2.840.{TOKEN}", TOKEN, f"1.2.3.{BORN}.{NUMBER}"):
        cases.append((f"FrameOfReferenceUID={text}", set_raw("FrameOfReferenceUID", text, "UI"), [TOKEN, NUMBER, BORN]))
    for vr in ("UN", "OB", "UC", "UR", "UT", "LT", "ST", "AE"):
        value: object = TOKEN.encode() if vr in ("UN", "OB") else TOKEN
        cases += [(f"{name} as {vr}", set_raw(name, value, vr), [TOKEN]) for name in ("KVP", "SeriesDescription")]
    for scheme in ("DCM", "SRT", f"99{TOKEN[:6]}"):
        cases.append((f"a code of {scheme}", _code(scheme), [TOKEN[:6], NUMBER, "young"]))
    return cases


def _code(scheme: str) -> Change:
    def change(dataset: Dataset) -> None:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = NUMBER, scheme
        item.CodeMeaning, item.CodingSchemeVersion = f"Young {TOKEN}", BORN
        item.add_new(0x00091001, "LO", TOKEN)
        dataset.AnatomicRegionSequence = Sequence([item])

    return change


def written(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=False)
    return stream.getvalue()


def header(data: bytes) -> bytes:
    return data[: data.rfind(b"\xe0\x7f\x10\x00")].lower()


@pytest.mark.parametrize(("where", "change", "gone"), [pytest.param(*case, id=case[0]) for case in hidden()])
def test_what_is_hidden_in_a_header_is_in_no_copy(where: str, change: Change, gone: list[str], source: Dataset) -> None:
    change(source)
    data = written(source)
    made = apply(data, PROFILE, PSEUDONYMS)
    assert isinstance(made, Applied), made
    assert judged(made.data, data)
    assert not [text for text in gone if text and text.lower().encode() in header(made.data)], where


def judged(data: bytes, source: bytes) -> bool:
    verdict = verify.verify(data, verify.identifiers(source), PROFILE)
    return isinstance(verdict, verify.Passed) or verdict.needs_eyes_only


def copied(source: Dataset) -> tuple[bytes, bytes]:
    data = written(source)
    made = apply(data, PROFILE, PSEUDONYMS)
    assert isinstance(made, Applied)
    assert judged(made.data, data)
    return data, made.data


def test_the_verifier_alone_catches_a_token_under_any_keyword_that_is_kept(source: Dataset) -> None:
    data, copy = copied(source)
    tried = 0
    for tag, rule in PROFILE.rules[str(source.SOPClassUID)].items():
        vr = rule.vrs[0]
        if rule.action is Action.RETAIN:
            continue  # what devices are called can be any text; of the source's own words it is searched for those
        if vr not in {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI", "UT"}:
            continue
        changed = pydicom.dcmread(BytesIO(copy))
        set_raw(rule.keyword, TOKEN, vr)(changed)
        assert pydicom.datadict.tag_for_keyword(rule.keyword) == tag
        try:
            put = written(changed)
        except (TypeError, ValueError, AttributeError):
            continue
        assert not judged(put, data), rule.keyword
        tried += 1
    assert tried > 50


def test_the_verifier_alone_catches_a_token_around_the_data_set(source: Dataset) -> None:
    data, copy = copied(source)
    at = copy.index(struct.pack("<HH", 0x0008, 0x0060))
    modality = copy[at : at + 8 + int.from_bytes(copy[at + 6 : at + 8], "little")]
    padded = modality[:6] + struct.pack("<H", len(modality) - 8 + 10) + modality[8:] + b"\0\0" + TOKEN.encode()
    places = {
        "preamble": TOKEN.encode() + copy[8:],
        "behind the end": copy + TOKEN.encode(),
        "a padding element": copy + b"\xfc\xff\xfc\xffOB\0\0\x08\0\0\0" + TOKEN.encode(),
        "a repeated element": copy[:at] + modality[:6] + b"\x08\0" + TOKEN.encode() + copy[at:],
        "a group length": copy[:at] + b"\x08\0\0\0UL\x04\0QXZB" + copy[at:],
        "behind a NUL": copy[:at] + padded + copy[at + len(modality) :],
    }
    for place, put in places.items():
        assert not judged(put, data), place


def compressed(source: Dataset, frames: list[bytes], syntax: str, *, table: bool = False) -> Dataset:
    source.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    source.PixelData = encapsulate(frames, has_bot=table)
    source["PixelData"].VR = "OB"
    source["PixelData"].is_undefined_length = True
    source.NumberOfFrames = len(frames)
    return source


JPEG_LS, J2K = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"


def places_in_frames() -> dict[str, tuple[str, Callable[[bytes], bytes]]]:
    token = TOKEN.encode()
    comment = b"\xff\xfe" + struct.pack(">H", len(token) + 2) + token
    j2k_comment = b"\xff\x64" + struct.pack(">HH", len(token) + 4, 1) + token
    return {
        "JPEG-LS comment": (JPEG_LS, lambda frame: frame[:2] + comment + frame[2:]),
        "JPEG-LS APP8": (JPEG_LS, lambda frame: frame[:2] + b"\xff\xe8" + comment[2:] + frame[2:]),
        "behind EOI": (JPEG_LS, lambda frame: frame + token),
        "JPEG 2000 comment": (J2K, lambda frame: _after_siz(frame, j2k_comment)),
        "behind EOC": (J2K, lambda frame: frame + token),
    }


def _after_siz(frame: bytes, segment: bytes) -> bytes:
    end = 4 + int.from_bytes(frame[4:6], "big")
    return frame[:end] + segment + frame[end:]


@pytest.mark.parametrize("place", places_in_frames())
def test_what_is_hidden_in_a_codestream_is_in_no_copy(place: str, source: Dataset) -> None:
    syntax, hide = places_in_frames()[place]
    pixels = source.pixel_array.astype(np.uint16)
    source.PixelRepresentation, source.BitsStored, source.HighBit = 0, 16, 15
    if syntax == JPEG_LS:
        plain = bytes(imagecodecs.jpegls_encode(pixels))
    else:
        plain = bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True))
    data = written(compressed(source, [hide(plain)], syntax))
    made = apply(data, PROFILE, PSEUDONYMS)
    assert isinstance(made, Applied), made
    assert TOKEN.encode() not in made.data
    # The verifier by itself, on a clean copy into whose frame the token is put afterwards.
    clean = apply(written(compressed(source, [plain], syntax)), PROFILE, PSEUDONYMS)
    assert isinstance(clean, Applied)
    copy = pydicom.dcmread(BytesIO(clean.data))
    assert not judged(written(compressed(copy, [hide(plain)], syntax, table=True)), data)


def test_bytes_behind_the_last_row_and_bits_above_the_last_are_in_no_copy(source: Dataset) -> None:
    source.PixelData = source.PixelData + TOKEN.encode()
    made = apply(written(source), PROFILE, PSEUDONYMS)
    assert isinstance(made, Applied), made
    assert TOKEN.encode() not in made.data


def test_slack_between_rle_segments_is_in_no_copy(source: Dataset) -> None:
    source.compress(RLELossless)
    table, *frames = pydicom.encaps.generate_fragments(source.PixelData)
    del table
    (frame,) = frames
    hidden_frame = frame + TOKEN.encode()
    made = apply(written(compressed(source, [hidden_frame], RLELossless)), PROFILE, PSEUDONYMS)
    assert isinstance(made, Applied), made
    assert TOKEN.encode() not in made.data


def test_every_value_of_the_method_fits_its_vr(source: Dataset) -> None:
    _, copy = copied(source)
    method = pydicom.dcmread(BytesIO(copy)).DeidentificationMethod
    assert all(len(str(value)) <= 64 for value in ([method] if isinstance(method, str) else method))


def test_what_a_reader_needs_of_a_ct_is_kept(pydicom_files: Path) -> None:
    source = pydicom.dcmread(pydicom_files / "test_files" / "CT_small.dcm")
    source.SeriesDescription, source.ProtocolName = "AX CHEST 5.0 B40f", "Thorax Routine"
    _, copy = copied(source)
    kept = pydicom.dcmread(BytesIO(copy))
    for keyword in (
        *("Rows", "Columns", "PixelSpacing", "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient"),
        *("RescaleSlope", "RescaleIntercept", "KVP", "Manufacturer", "SeriesDescription"),
        *("ProtocolName", "Modality", "ImageType", "ConvolutionKernel", "PixelData"),
    ):
        if keyword in source:
            assert kept.get(keyword) == source.get(keyword), keyword


@pytest.mark.parametrize(
    "keyword", ["InstitutionCodeSequence", "PatientInsurancePlanCodeSequence", "PersonIdentificationCodeSequence"]
)
def test_a_code_of_a_place_or_person_is_known_where_it_passes_for_another(keyword: str, source: Dataset) -> None:
    place, other = Dataset(), Dataset()
    place.CodeValue, place.CodingSchemeDesignator, place.CodeMeaning = "C4829137", "99LOCAL", "Hospital Zwiesel"
    other.CodeValue, other.CodingSchemeDesignator, other.CodeMeaning = "C4829137", "SCT", "hospital zwiesel"
    nest = Dataset()
    setattr(nest, keyword, Sequence([place]))
    source.RequestAttributesSequence, source.AnatomicRegionSequence = Sequence([nest]), Sequence([other])
    data, copy = copied(source)
    cleaned = pydicom.dcmread(BytesIO(copy)).AnatomicRegionSequence[0]
    assert (cleaned.CodeValue, cleaned.CodeMeaning) == ("", "hospital")
    forbidden = verify.identifiers(data)
    assert in_text("C4829137", forbidden) and in_text("chest zwiesel", forbidden)
    assert not in_text("hospital SCT 99LOCAL", forbidden)


def test_a_sequence_is_never_read_as_if_it_were_text(source: Dataset) -> None:
    item = Dataset()
    item.UniqueDeviceIdentifier, item.DeviceDescription = "(01)00884838049382", "chest"
    source.UDISequence, source.StudyDescription = Sequence([item]), "CHEST"
    _, copy = copied(source)
    assert pydicom.dcmread(BytesIO(copy)).StudyDescription == "CHEST"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("written_as", ["Ömürlü", "ÖMÜRLÜ", "ömürlü", "ÖmüRLü"])
def test_a_name_with_accents_is_found_in_bytes_in_any_case(encoding: str, written_as: str, source: Dataset) -> None:
    source.SpecificCharacterSet, source.PatientName = "ISO_IR 192", "Ömürlü^Anna"
    forbidden = verify.identifiers(written(source))
    assert in_header_bytes(b"x" + written_as.encode(encoding) + b"y", forbidden)
    assert in_pixel_bytes(b"x" + written_as.encode(encoding) + b"y", forbidden)
    assert not in_header_bytes("Ömür, L. Ümür".encode(encoding), forbidden)


@pytest.mark.parametrize("written_as", ["СЕРГЕЕВА", "Сергеева"])
def test_a_name_in_another_script_is_found_in_bytes(written_as: str, source: Dataset) -> None:
    source.SpecificCharacterSet, source.PatientName = "ISO_IR 192", "Сергеева^Анна"
    forbidden = verify.identifiers(written(source))
    assert in_header_bytes(written_as.encode(), forbidden) and in_header_bytes(
        written_as.encode("utf-16-le"), forbidden
    )


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        *(("StudyDescription", text) for text in ("482_913_77", "48 chest 291 axial 377", "14 2 31", "1931 2 14")),
        *(("SliceLocation", text) for text in ("4.8291377E7", "0048291377", "482913770e-1", "19310214")),
        ("RescaleType", "0048291377"),
    ],
)
def test_the_verifier_alone_catches_a_number_however_it_is_written(keyword: str, value: str, source: Dataset) -> None:
    data, copy = copied(source)
    changed = pydicom.dcmread(BytesIO(copy))
    setattr(changed, keyword, value)
    verdict = verify.verify(encode(changed), verify.identifiers(data), PROFILE)
    codes = {finding.code for finding in verdict.findings}
    assert codes & {"identifier-survives", "identifier-in-bytes"}, codes


@pytest.mark.parametrize("value", ["1e99999999999999", "0e0", "-1.5E-9", "1e99", "12", "T2 512/512 3mm 4"])
def test_the_verifier_takes_other_numbers_for_what_they_are(value: str, source: Dataset) -> None:
    forbidden = verify.identifiers(written(source))
    assert not in_number(value, forbidden) and not in_pieces(value, forbidden)


@pytest.mark.parametrize("stated", ["", "095Y"])
@pytest.mark.parametrize("text", ["95F CHEST", "CHEST 95", "095 CHEST", "f95_CHEST", "W 95 CHEST"])
def test_an_age_above_89_is_in_no_descriptor_and_the_verifier_knows_it(text: str, stated: str, source: Dataset) -> None:
    source.PatientAge, source.StudyDescription, source.PatientBirthDate = stated, text, "" if stated else "19260214"
    data, copy = copied(source)
    assert "95" not in pydicom.dcmread(BytesIO(copy)).StudyDescription
    assert in_text(text, verify.identifiers(data))
    source.PatientAge, source.PatientBirthDate = "055Y", "19660214"
    data, copy = copied(source)
    assert "95" in pydicom.dcmread(BytesIO(copy)).StudyDescription
