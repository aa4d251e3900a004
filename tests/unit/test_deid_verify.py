"""The verifier fails closed, and only its signed word makes a clean instance."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import UID

from filmroom.canon import Json, canonical
from filmroom.crypto import sign
from filmroom.deid import profile, verify
from filmroom.deid.apply import Applied, NotApplied, apply
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom.parse import parse
from filmroom.errors import Corrupt, Refused
from filmroom.ids import Digest
from filmroom.records import Copy, CopyState, Severity

RESEARCH = profile.load("research")
KEY = sign.generate(b"s" * 32)
PUBLIC = sign.public(KEY)


def shipped_file(name: str) -> bytes:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str)
    return Path(found).read_bytes()


CT = shipped_file("CT_small.dcm")


def copied(data: bytes = CT, name: str = "research") -> Applied:
    copy = apply(data, profile.load(name), Pseudonyms(b"k" * 32))
    assert isinstance(copy, Applied), copy
    return copy


def rewritten(change: Callable[[Dataset], object], data: bytes) -> bytes:
    ds = pydicom.dcmread(BytesIO(data))
    change(ds)
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


def passed(data: bytes = CT) -> tuple[Applied, verify.Passed]:
    copy = copied(data)
    verdict = verify.verify(copy.data, verify.identifiers(data, 1), RESEARCH)
    assert isinstance(verdict, verify.Passed), verdict
    return copy, verdict


@pytest.mark.parametrize("name", profile.shipped())
@pytest.mark.parametrize("file", ["CT_small.dcm", "MR_small.dcm"])
def test_a_scanner_s_slice_ends_clean(file: str, name: str) -> None:
    data = shipped_file(file)
    verdict = verify.verify(copied(data, name).data, verify.identifiers(data, 1), profile.load(name))
    assert isinstance(verdict, verify.Passed), verdict
    assert verdict.coverage.is_full and verdict.coverage.frames == 1 and verdict.coverage.identifiers > 5
    assert [finding.code for finding in verdict.findings] == ["pixels-not-read"]


def test_the_record_names_the_copy() -> None:
    copy, verdict = passed()
    assert verdict.record["digest"] == str(Digest.of(copy.data))
    assert (verdict.record["subject"], verdict.record["sop_uid"]) == (copy.subject, copy.sop_uid)
    assert json.loads(canonical(verdict.record)) == verdict.record


def test_a_station_s_name_stays_where_its_network_address_is_the_same(tmp_path: Path) -> None:
    def name_it(ds: Dataset) -> None:
        ds.StationName = ds.PerformedStationName = "CTAWP60204"
        ds.file_meta.SourceApplicationEntityTitle, ds.DeviceSerialNumber = "AN_CTAWP60204", "60204"

    copy, _ = passed(rewritten(name_it, CT))
    kept = pydicom.dcmread(BytesIO(copy.data))
    assert (kept.StationName, kept.DeviceSerialNumber) == ("CTAWP60204", "60204")
    data = rewritten(lambda ds: setattr(ds, "PatientName", "Ctawp60204^Anna"), rewritten(name_it, CT))
    assert "CTAWP60204" not in str(pydicom.dcmread(BytesIO(passed(data)[0].data)).get("StationName"))


@pytest.mark.parametrize(
    ("keyword", "value", "beside"),
    [
        ("InPlanePhaseEncodingDirection", "ROW", {"PatientAddress": "12 Elmbrook Row"}),
        ("ScanOptions", "RESEARCH", {"InstitutionalDepartmentName": "Research MRI"}),
        ("DeviceSerialNumber", "00000000", {"StudyID": "00000000"}),
    ],
)
def test_a_word_of_defined_terms_and_a_row_of_zeros_identify_nobody(
    keyword: str, value: str, beside: dict[str, str]
) -> None:
    def put_all(ds: Dataset) -> None:
        for name, text in {keyword: value, **beside}.items():
            setattr(ds, name, text)

    data = rewritten(put_all, shipped_file("MR_small.dcm"))
    assert str(pydicom.dcmread(BytesIO(passed(data)[0].data))[keyword].value) == value


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


def first_pixel_changed(ds: Dataset) -> None:
    ds.PixelData = bytes([ds.PixelData[0] ^ 1]) + ds.PixelData[1:]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put("InstitutionName", "somewhere"), "not-allowed"),
        (put("SeriesDescription", "1CT1"), "identifier-survives"),
        (put("SeriesDescription", "scan of CompressedSamples"), "identifier-survives"),
        (put("SeriesDescription", "19.01.2004"), "identifier-survives"),
        (put("StudyDate", "20040119"), "date-survives"),
        (put("FrameOfReferenceUID", UID("1.3.6.1.4.1.5962.1.4.1.1.20040119072730.12322")), "uid-survives"),
        (put("FrameOfReferenceUID", UID("1.2.3.4.5")), "uid-not-mapped"),
        (put("AccessionNumber", "7"), "not-empty"),
        (put("PatientIdentityRemoved", "NO"), "required-missing"),
        (put("DeidentificationMethod", "by hand"), "method"),
        (put("LongitudinalTemporalInformationModified", "UNMODIFIED"), "method"),
        (put("PatientID", ""), "required-missing"),
        (put("SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.104.1")), "sop-class-not-supported"),
        (put("Rows", 64), "pixels-differ"),
        (put("Rows", 0), "pixels-not-decoded"),
        (first_pixel_changed, "pixels-differ"),
        (lambda ds: ds.private_block(0x0009, "WHO", create=True).add_new(1, "LO", "x"), "private"),
        (lambda ds: setattr(ds, "preamble", b"x" * 128), "preamble"),
        (lambda ds: setattr(ds.file_meta, "SourceApplicationEntityTitle", "AE"), "file-meta"),
    ],
)
def test_a_copy_that_was_tampered_with_does_not_pass(change: Callable[[Dataset], object], code: str) -> None:
    output = rewritten(change, copied().data)
    forbidden = verify.identifiers(CT)
    verdict = verify.verify(output, forbidden, RESEARCH)
    assert isinstance(verdict, verify.Residue)
    assert code in {finding.code for finding in verdict.findings if finding.severity is Severity.ERROR}
    assert not verdict.needs_eyes_only
    assert isinstance(verify.passed_by_reviewer(output, forbidden, RESEARCH, "rita"), verify.Residue)


@pytest.mark.parametrize("size", [0, 100, 140, 700, 20000])
def test_a_copy_that_is_cut_off_does_not_pass(size: int) -> None:
    verdict = verify.verify(copied().data[:size], verify.identifiers(CT), RESEARCH)
    assert isinstance(verdict, verify.Residue)
    assert not verdict.needs_eyes_only


def test_bytes_behind_the_end_do_not_pass() -> None:
    verdict = verify.verify(copied().data + b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0abcd", verify.identifiers(CT), RESEARCH)
    assert isinstance(verdict, verify.Residue)
    assert not verdict.needs_eyes_only


def test_another_profile_does_not_pass() -> None:
    verdict = verify.verify(copied().data, verify.identifiers(CT), profile.load("basic"))
    assert isinstance(verdict, verify.Residue)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (put("BurnedInAnnotation", "YES"), "BurnedInAnnotation"),
        (put("BurnedInAnnotation", "TRUE"), "BurnedInAnnotation"),
        (put("BurnedInAnnotation", "yes, patient name"), "BurnedInAnnotation"),
        (put("RecognizableVisualFeatures", "YES"), "RecognizableVisualFeatures"),
        (put("ImageType", ["DERIVED", "SECONDARY", "SCREEN SAVE"]), "ImageType"),
        (put("ImageType", ["ORIGINAL", "PRIMARY", "SCREENSHOT"]), "ImageType"),
        (put("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL", "ScreenCapture-2"]), "ImageType"),
        (put("ImageType", ["SCREEN", "SAVED"]), "ImageType"),
        (put("ImageType", None), "ImageType"),
        (put("SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.7")), "SOPClassUID"),
        (put("SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.1")), "BurnedInAnnotation"),
    ],
)
def test_what_may_have_text_in_its_pixels_needs_eyes(change: Callable[[Dataset], object], place: str) -> None:
    source = rewritten(change, CT)
    copy, forbidden = copied(source), verify.identifiers(source)
    verdict = verify.verify(copy.data, forbidden, RESEARCH)
    assert isinstance(verdict, verify.Residue)
    assert verdict.needs_eyes_only
    assert place in {finding.place for finding in verdict.findings if finding.code == "needs-eyes"}
    decided = verify.passed_by_reviewer(copy.data, forbidden, RESEARCH, "rita")
    assert isinstance(decided, verify.Passed)
    assert decided.record["reviewer"] == "rita"
    assert isinstance(verify.passed_by_reviewer(copy.data, forbidden, RESEARCH, " "), verify.Residue)


def test_burned_in_annotation_is_never_set_to_no() -> None:
    assert "BurnedInAnnotation" not in pydicom.dcmread(BytesIO(copied().data))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put("SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.104.1")), "sop-class-not-supported"),
        (put("SOPClassUID", UID("1.2.3")), "sop-class-not-supported"),
        (lambda ds: ds.__delitem__("PixelData"), "pixel-data-missing"),
        (put("StudyInstanceUID", ""), "uid-missing"),
        (put("Rows", 4096), "pixel-data-short"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(change: Callable[[Dataset], object], code: str) -> None:
    result = apply(rewritten(change, CT), RESEARCH, Pseudonyms(b"k" * 32))
    assert isinstance(result, NotApplied)
    assert code in {reason.code for reason in result.reasons}
    assert all(" " in reason.detail for reason in result.reasons)


@given(st.lists(st.tuples(st.integers(132, 6000), st.integers(0, 255)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_broken_file_gets_a_verdict_and_never_an_exception(changes: list[tuple[int, int]]) -> None:
    data = bytearray(CT)
    for at, value in changes:
        data[at] = value
    source = bytes(data)
    copy = apply(source, RESEARCH, Pseudonyms(b"k" * 32))
    if isinstance(copy, Applied):
        verdict = verify.verify(copy.data, verify.identifiers(source), RESEARCH)
        assert isinstance(verdict, verify.Passed | verify.Residue)


def test_no_dicom_is_refused() -> None:
    assert isinstance(apply(b"hello", RESEARCH, Pseudonyms(b"k" * 32)), NotApplied)


def test_two_patients_without_a_number_are_two_subjects() -> None:
    def of_study(uid: str) -> bytes:
        def change(ds: Dataset) -> None:
            ds.PatientID, ds.StudyInstanceUID = "", UID(uid)

        return rewritten(change, CT)

    assert copied(of_study("1.2.3.1")).subject != copied(of_study("1.2.3.2")).subject


# -- admitting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", ["", "HOSP", "HOSP\\A"])
def test_two_objects_are_one_subject_where_the_catalog_has_one_patient(issuer: str) -> None:
    subjects: dict[str, set[tuple[str, str]]] = {}
    for number in (
        "123",
        "123\\456",
        "123\\789",
        "123\\",
        " 123 ",
        "123\0",
        "1\t23",
        "\\",
        " ",
        "ab" * 600,
        "ab" * 601,
    ):

        def of_patient(ds: Dataset, number: str = number) -> None:
            ds.PatientID, ds.IssuerOfPatientID = number, issuer

        data = rewritten(of_patient, CT)
        instance = parse(data).instance
        assert instance is not None
        subjects.setdefault(copied(data).subject, set()).add((instance.issuer, instance.patient_id))
    assert [len(patients) for patients in subjects.values()] == [1] * len(subjects)
    assert len(set().union(*subjects.values())) == len(subjects) == 4


def signed(record: object, payload_type: str = verify.PAYLOAD_TYPE) -> str:
    return sign.dsse(payload_type, canonical(record), lambda message: sign.sign(KEY, message), PUBLIC)


@pytest.fixture
def clean_copy() -> Copy:
    copy, verdict = passed()
    return Copy(
        project="lung",
        source=Digest.of(CT),
        profile=RESEARCH.digest,
        verifier=verify.VERIFIER,
        state=CopyState.CLEAN,
        reasons=(),
        findings=verdict.findings,
        subject=copy.subject,
        digest=Digest.of(copy.data),
        size_bytes=len(copy.data),
        study_uid=copy.study_uid,
        series_uid=copy.series_uid,
        sop_uid=copy.sop_uid,
        modality=copy.modality,
        frames=copy.frames,
        coverage=verdict.coverage,
        attestation=signed(verdict.record),
    )


def test_a_passed_copy_is_admitted(clean_copy: Copy) -> None:
    instance = verify.admit(clean_copy, public_key=PUBLIC, profile=RESEARCH.digest)
    assert instance.digest == clean_copy.digest
    assert clean_copy.attestation is not None
    assert instance.attestation == Digest.of(clean_copy.attestation.encode())


def test_a_tampered_or_foreign_envelope_is_corrupt(clean_copy: Copy) -> None:
    assert clean_copy.attestation is not None
    other = sign.public(sign.generate(b"o" * 32))
    with pytest.raises(Corrupt):
        verify.admit(clean_copy, public_key=other, profile=RESEARCH.digest)
    envelope = json.loads(clean_copy.attestation)
    envelope["payload"] = "e30="
    with pytest.raises(Corrupt):
        verify.admit(replace(clean_copy, attestation=json.dumps(envelope)), public_key=PUBLIC, profile=RESEARCH.digest)


@pytest.mark.parametrize("state", [CopyState.REVIEW, CopyState.REFUSED])
def test_a_copy_in_review_or_refused_is_not_admitted(clean_copy: Copy, state: CopyState) -> None:
    with pytest.raises(Refused, match="not clean"):
        verify.admit(replace(clean_copy, state=state), public_key=PUBLIC, profile=RESEARCH.digest)


def test_a_copy_of_an_older_profile_or_verifier_is_stale(clean_copy: Copy) -> None:
    with pytest.raises(Refused, match="another profile"):
        verify.admit(clean_copy, public_key=PUBLIC, profile=profile.load("basic").digest)
    with pytest.raises(Refused, match="another profile or verifier"):
        verify.admit(replace(clean_copy, verifier="older/0"), public_key=PUBLIC, profile=RESEARCH.digest)


@pytest.mark.parametrize(
    "key", ["digest", "profile", "verifier", "subject", "study_uid", "series_uid", "sop_uid", "frames"]
)
def test_an_attestation_of_something_else_is_refused(clean_copy: Copy, key: str) -> None:
    _, verdict = passed()
    stated: dict[str, Json] = {**verdict.record, key: 9 if key == "frames" else "another"}
    with pytest.raises(Refused, match=key):
        verify.admit(replace(clean_copy, attestation=signed(stated)), public_key=PUBLIC, profile=RESEARCH.digest)


def test_an_attestation_of_another_type_or_without_a_record_is_refused(clean_copy: Copy) -> None:
    _, verdict = passed()
    for envelope in (signed(verdict.record, "text/plain"), signed(["no record"])):
        with pytest.raises(Refused):
            verify.admit(replace(clean_copy, attestation=envelope), public_key=PUBLIC, profile=RESEARCH.digest)
