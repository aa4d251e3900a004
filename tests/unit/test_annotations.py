"""What segmentations, structure sets and measurement reports say: real objects, and small ones for what those lack."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from filmroom.dicom import annotations, parse
from filmroom.dicom.regions import mask_of
from filmroom.errors import FilmroomError, Invalid, Unreadable
from filmroom.records import LabelKind, Level, Shape, Space, Statement, Unmatched

HIGHDICOM = "ImagingDataCommons+highdicom/data/test_files"


def said(path: Path) -> tuple[list[Statement], list[Unmatched]]:
    found = annotations.statements(parse.read(path.read_bytes()))
    return [each for each in found if isinstance(each, Statement)], [e for e in found if isinstance(e, Unmatched)]


def test_a_segment_is_where_its_frames_are_in_the_images_they_were_made_from(corpus: Path) -> None:
    found, left_out = said(corpus / "dcmjs-org+dcmjs/examples/data/QIICR_Test3/tumor_User1_Manual_Trial1.dcm")
    assert left_out == [] and len({each.target for each in found}) == 9
    first = found[0]
    assert (first.finding, first.meaning, first.value) == ("SRT:M-80003", "Neoplasm, Primary", "present")
    assert (first.by, first.kind, first.said_at) == ("User1", None, "2015-07-13T13:13:09")
    assert first.region is not None and first.region.shape is Shape.MASK
    mask = mask_of(first.region)
    assert mask.shape == (128, 128) and mask.sum() == 11


def test_what_an_algorithm_segmented_is_a_model_s(corpus: Path) -> None:
    found, _ = said(corpus / HIGHDICOM / "seg_image_ct_binary.dcm")
    assert {(each.by, each.kind) for each in found} == {("test", LabelKind.MODEL)}
    assert {each.region.mark[:10] for each in found if each.region} == {"1.2.826.0."}


@pytest.mark.parametrize("name", ["seg_image_ct_binary_fractional.dcm", "seg_image_ct_true_fractional.dcm"])
def test_a_fractional_segment_is_where_it_is_half_or_more(corpus: Path, name: str) -> None:
    binary, _ = said(corpus / HIGHDICOM / "seg_image_ct_binary.dcm")
    fractional, _ = said(corpus / HIGHDICOM / name)
    assert [each.region.geometry for each in fractional if each.region] == [
        each.region.geometry for each in binary if each.region
    ]


def test_a_label_map_says_the_same_with_a_palette_as_without(corpus: Path) -> None:
    names = ("seg_image_sm_control_labelmap.dcm", "seg_image_sm_control_labelmap_palette_color.dcm")
    plain, coloured = (said(corpus / HIGHDICOM / name)[0] for name in names)
    assert len(plain) == 20 and {each.region.frame for each in plain if each.region} >= {1, 2}
    assert [each.region.geometry for each in plain if each.region] == [
        each.region.geometry for each in coloured if each.region
    ]


def test_tiles_that_name_no_image_are_told(corpus: Path) -> None:
    assert said(corpus / HIGHDICOM / "seg_image_sm_dots_tiled_full.dcm") == (
        [],
        [Unmatched("all frames", "no-source-image")],
    )


def test_a_report_s_groups_give_findings_measurements_and_evaluations_of_their_regions(corpus: Path) -> None:
    found, left_out = said(corpus / HIGHDICOM / "sr_document_with_multiple_groups.dcm")
    assert left_out == [] and {(each.by, each.kind) for each in found} == {("Doe^John", None)}
    nodule = {each.finding: each for each in found if each.place.startswith("item 7.2.")}
    assert nodule["SCT:27925004"].value == "present" and nodule["SCT:27925004"].meaning == "Nodule"
    assert (nodule["SCT:81827009"].value, nodule["SCT:81827009"].unit) == ("10.0", "mm")
    assert nodule["SCT:363698007"].value == "SCT:39607008"
    (region,) = {each.region for each in nodule.values()}
    assert region is not None and (region.shape, region.geometry) == (Shape.CIRCLE, "45 55 45 65")
    shapes = Counter(each.region and (each.region.shape, each.region.space) for each in found)
    assert shapes[Shape.LINE, Space.PIXEL] == 3 and shapes[Shape.POINT, Space.PATIENT] == 3 and shapes[None] == 2


def test_a_measurement_may_have_a_place_of_its_own(corpus: Path) -> None:
    found, _ = said(corpus / "dcmjs-org+dcmjs/test/sample-sr.dcm")
    assert {each.finding: each.region.geometry.split()[0] for each in found if each.region} == {
        "SRT:G-A185": "580.7192",
        "SRT:G-A186": "599.4018",
    }


def test_a_report_of_another_kind_is_told(pydicom_files: Path) -> None:
    assert said(pydicom_files / "test_files" / "test-SR.dcm") == ([], [Unmatched("report", "no-measurements")])


def test_a_contour_lies_in_the_image_that_it_names_or_in_the_series(corpus: Path, pydicom_files: Path) -> None:
    found, _ = said(corpus / "qurit+rt-utils/tests/mock_data/rt.dcm")
    assert [(each.level, each.finding, each.value) for each in found] == [(Level.INSTANCE, "ROI-1", "present")] * 2
    assert found[0].region is not None and found[0].region.space is Space.PATIENT
    assert found[0].region.geometry == "-51 -51 60 -51 -27 60 -27 -27 60 -27 -51 60"
    by_series, _ = said(pydicom_files / "test_files" / "rtstruct.dcm")
    assert {each.level for each in by_series} == {Level.SERIES}


def segmentation(**attributes: object) -> Dataset:
    """One frame of 2 x 4 with a liver in its first row, made from image 1.2.3."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.9"
    dataset.SegmentationType = "BINARY"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames, dataset.SamplesPerPixel = 2, 4, 1, 1
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = np.packbits([1, 1, 1, 1, 0, 0, 0, 0], bitorder="little").tobytes() + b"\0"
    code, segment, source, derivation, identified, group = (Dataset() for _ in range(6))
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "10200004", "SCT", "Liver"
    segment.SegmentNumber, segment.SegmentedPropertyTypeCodeSequence = 1, [code]
    source.ReferencedSOPInstanceUID = "1.2.3"
    derivation.SourceImageSequence = [source]
    identified.ReferencedSegmentNumber = 1
    group.DerivationImageSequence, group.SegmentIdentificationSequence = [derivation], [identified]
    dataset.SegmentSequence, dataset.PerFrameFunctionalGroupsSequence = [segment], [group]
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_pixels_that_lie_elsewhere_than_the_image_s_are_told_and_not_taken() -> None:
    (whole,) = annotations.statements(segmentation())
    assert isinstance(whole, Statement) and whole.region is not None and whole.region.geometry == "2 4 0 4 4"
    moved = segmentation()
    group = moved.PerFrameFunctionalGroupsSequence[0]
    group.DerivationImageSequence[0].SourceImageSequence[0].SpatialLocationsPreserved = "NO"
    assert annotations.statements(moved) == [Unmatched("segment 1, frame 1", "not-aligned")]
    del group.DerivationImageSequence
    assert annotations.statements(moved) == [Unmatched("segment 1, frame 1", "no-source-image")]


def test_an_empty_frame_says_nothing() -> None:
    assert annotations.statements(segmentation(PixelData=b"\0\0")) == []


@pytest.mark.parametrize("broken", [{"SegmentSequence": [Dataset()]}, {"SegmentationType": "FRACTIONAL", "Rows": None}])
def test_a_broken_object_is_unreadable(broken: dict[str, object]) -> None:
    with pytest.raises(Unreadable):
        annotations.statements(segmentation(**broken))


def test_an_image_is_no_annotation_and_no_file_of_the_corpus_is_a_surprise(corpus: Path) -> None:
    with pytest.raises(Invalid):
        annotations.statements(segmentation(SOPClassUID="1.2.840.10008.5.1.4.1.1.2"))
    for path in (
        *corpus.glob("*+highdicom/**/s*.dcm"),
        *corpus.glob("*dcmjs/**/*.dcm"),
        *corpus.glob("*rt-utils/**/*.dcm"),
    ):
        try:
            annotations.statements(parse.read(path.read_bytes()))
        except FilmroomError:
            continue
