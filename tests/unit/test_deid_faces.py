"""Which images can show a face, and that no copy of one is released against the profile."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from filmroom.deid import profile, verify
from filmroom.deid.apply import NotApplied
from filmroom.deid.faces import NOT_EXCLUDED, POSSIBLE, sign
from filmroom.deid.judge import FACE, Judged, judge
from filmroom.deid.profile import Faces
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import encode
from filmroom.errors import Invalid
from filmroom.records import Severity

PREFIX = "1.2.840.10008.5.1.4.1.1."
CT, MR, PET, CRANIOFACIAL, RADIOGRAPH = (PREFIX + end for end in ("2", "4", "128", "13.1.2", "1.1"))
KEY = Pseudonyms(b"k" * 32)
BLOCKING, ACCEPTING = profile.load("research"), profile.load("internal-pseudonymous")
LONG = 120


def section(**values: object) -> Dataset:
    """Return a section of 1 mm, 240 mm wide and high, of what nobody says."""
    ds = Dataset()
    ds.SOPClassUID, ds.ImageType, ds.SamplesPerPixel, ds.BitsStored = CT, ["ORIGINAL", "PRIMARY", "AXIAL"], 1, 12
    ds.Rows = ds.Columns = 480
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.5], 1
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def coded(value: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "SCT"
    return Sequence([item])


def volume(**measures: object) -> Dataset:
    """Return an enhanced CT of the head whose measures lie in its functional groups."""
    shared, inner, anatomy = Dataset(), Dataset(), Dataset()
    inner.PixelSpacing, inner.SliceThickness = [0.5, 0.5], 1
    for keyword, value in measures.items():
        setattr(inner, keyword, value)
    anatomy.AnatomicRegionSequence = coded("69536005")
    shared.PixelMeasuresSequence, shared.FrameAnatomySequence = Sequence([inner]), Sequence([anatomy])
    ds = section(SOPClassUID=CT + ".1", NumberOfFrames=LONG, SharedFunctionalGroupsSequence=Sequence([shared]))
    del ds.PixelSpacing, ds.SliceThickness
    return ds


@pytest.mark.parametrize(
    ("ds", "place"),
    [
        (section(BodyPartExamined="HEAD"), "BodyPartExamined"),
        (section(BodyPartExamined="Schädel", SOPClassUID=MR), "BodyPartExamined"),
        (section(BodyPartExamined="HEADNECK"), "BodyPartExamined"),
        (section(BodyPartExamined="NECK"), "BodyPartExamined"),
        (section(AnatomicRegionSequence=coded("12738006"), SOPClassUID=MR), "AnatomicRegionSequence"),
        (section(BodyPartExamined="CHEST", SeriesDescription="CT HEAD AND CHEST"), "SeriesDescription"),
        (section(ProtocolName="Sinus low dose"), "ProtocolName"),
        (section(StudyDescription="MRI brain", SOPClassUID=MR), "StudyDescription"),
        (section(SeriesDescription="PET whole body", SOPClassUID=PET), "SeriesDescription"),
        (section(BodyPartExamined="HEAD", SliceThickness=5), "BodyPartExamined"),
        (section(BodyPartExamined="HEAD", SliceThickness="", PixelSpacing=None), "BodyPartExamined"),
        (section(SOPClassUID=CRANIOFACIAL), "SOPClassUID"),
        (volume(), "AnatomicRegionSequence"),
    ],
)
def test_a_face_is_possible_where_anything_that_describes_the_series_names_a_part_that_has_one(
    ds: Dataset, place: str
) -> None:
    found = sign(ds, LONG)
    assert found is not None
    assert (found.code, found.place) == (POSSIBLE, place)


@pytest.mark.parametrize(
    "ds",
    [section(), section(BodyPartExamined="UNKNOWN", SeriesDescription="1.0 mm"), section(StudyDescription="trial 7")],
)
def test_a_face_is_not_excluded_where_nothing_names_a_part_of_the_body(ds: Dataset) -> None:
    found = sign(ds, LONG)
    assert found is not None
    assert found.code == NOT_EXCLUDED


@pytest.mark.parametrize(
    ("ds", "slices"),
    [
        (section(BodyPartExamined="CHEST"), LONG),
        (section(BodyPartExamined="CHEST", StudyDescription="CT head, chest"), LONG),
        (section(SeriesDescription="LIVER 3 PHASE"), LONG),
        (section(BodyPartExamined="HEAD"), 1),
        (section(BodyPartExamined="HEAD"), 39),
        (section(BodyPartExamined="HEAD", SliceThickness=5, SpacingBetweenSlices=6.5, SOPClassUID=MR), LONG),
        (section(BodyPartExamined="HEAD", PixelSpacing=[0.08, 0.08]), LONG),
        (section(BodyPartExamined="HEAD", SOPClassUID=RADIOGRAPH), None),
        (volume(SpacingBetweenSlices=10), 1),
    ],
)
def test_no_face_is_possible_elsewhere_nor_in_sections_that_are_few_far_apart_or_small(
    ds: Dataset, slices: int | None
) -> None:
    assert sign(ds, slices) is None


def test_a_series_of_unknown_length_is_taken_for_a_long_one() -> None:
    assert sign(section(BodyPartExamined="HEAD")) is not None


@pytest.mark.parametrize("ds", [section(SamplesPerPixel=3), section(BitsStored=8)])
def test_a_single_picture_made_of_a_volume_can_show_a_face(ds: Dataset) -> None:
    ds.BodyPartExamined = "HEAD"
    found = sign(ds, 1)
    assert found is not None
    assert found.code == POSSIBLE


# -- copies --------------------------------------------------------------------------------------------------------


def file(**values: object) -> bytes:
    found = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(found, str)
    ds = pydicom.dcmread(BytesIO(Path(found).read_bytes()))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


HEAD = file(BodyPartExamined="HEAD")


def copy_of(data: bytes, using: profile.Profile, slices: int | None = LONG) -> Judged:
    judged = judge(data, using, KEY, None, slices=slices)
    assert isinstance(judged, Judged), judged
    return judged


def changed(data: bytes, change: Callable[[Dataset], object]) -> bytes:
    ds = pydicom.dcmread(BytesIO(data))
    change(ds)
    return encode.encode(ds)


@pytest.mark.parametrize("name", ["research", "basic"])
def test_the_strict_profiles_refuse_a_head_and_say_what_to_do(name: str) -> None:
    refused = judge(HEAD, profile.load(name), KEY, None, slices=LONG)
    assert isinstance(refused, NotApplied)
    assert refused.reasons == (FACE,)
    assert "take a profile" in FACE.detail


def test_under_an_agreement_a_head_is_released_written_down_and_marked() -> None:
    judged = copy_of(file(BodyPartExamined="HEAD", RecognizableVisualFeatures="NO"), ACCEPTING)
    assert isinstance(judged.verdict, verify.Passed)
    assert "face-possible BodyPartExamined" in str(judged.verdict.record["findings"])
    assert pydicom.dcmread(BytesIO(judged.data)).RecognizableVisualFeatures == "YES"


def test_a_face_that_the_sender_states_needs_no_eyes_where_it_is_accepted() -> None:
    judged = copy_of(file(BodyPartExamined="HEAD", RecognizableVisualFeatures="YES"), ACCEPTING)
    assert isinstance(judged.verdict, verify.Passed)


def test_where_no_part_is_named_a_person_decides_and_no_copy_says_that_there_is_no_face() -> None:
    source = file(RecognizableVisualFeatures="NO")
    judged = copy_of(source, BLOCKING)
    assert isinstance(judged.verdict, verify.Residue)
    assert judged.verdict.needs_eyes_only
    assert "RecognizableVisualFeatures" not in pydicom.dcmread(BytesIO(judged.data))
    forbidden = verify.identifiers(source, LONG)
    assert isinstance(verify.passed_by_reviewer(judged.data, forbidden, BLOCKING, "rita"), verify.Passed)


def test_the_verifier_refuses_a_head_that_whatever_made_the_copy_let_through() -> None:
    blind = copy_of(HEAD, BLOCKING, slices=1)
    forbidden = verify.identifiers(HEAD, LONG)
    verdict = verify.verify(blind.data, forbidden, BLOCKING)
    assert isinstance(verdict, verify.Residue)
    assert [each.code for each in verdict.findings if each.severity is Severity.ERROR] == ["face-possible", "method"]
    assert isinstance(verify.passed_by_reviewer(blind.data, forbidden, BLOCKING, "rita"), verify.Residue)


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: setattr(ds, "RecognizableVisualFeatures", "NO"),
        lambda ds: delattr(ds, "RecognizableVisualFeatures"),
    ],
)
def test_the_verifier_refuses_an_accepted_head_that_is_not_marked(change: Callable[[Dataset], object]) -> None:
    data = changed(copy_of(HEAD, ACCEPTING).data, change)
    verdict = verify.verify(data, verify.identifiers(HEAD, LONG), ACCEPTING)
    assert isinstance(verdict, verify.Residue)
    assert "method" in {finding.code for finding in verdict.findings}


@pytest.mark.parametrize(("word", "told"), [("deface", "nothing here can"), ("never", "must be block or")])
def test_a_profile_can_only_ask_for_what_can_be_done(word: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        profile.parse(BLOCKING.text.replace('faces = "block"', f'faces = "{word}"'))


def test_a_profile_that_does_not_speak_of_faces_blocks_them() -> None:
    assert profile.parse(BLOCKING.text.replace('faces = "block"', "")).faces is Faces.BLOCK
