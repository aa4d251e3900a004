"""Labels in COCO's and in FHIR's words: what they mean here, and that nothing of them goes missing in silence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.canon import Json
from filmroom.catalog import coco, fhir
from filmroom.catalog.labels import REASONS
from filmroom.dicom.regions import mask_of
from filmroom.errors import Invalid
from filmroom.records import Level, Shape, Statement, Unmatched

BOX: dict[str, Json] = {"id": 7, "image_id": 1, "category_id": 3, "bbox": [10, 20.5, 30, 40], "score": 0.75}


def annotated(*annotations: dict[str, Json]) -> list[Statement | Unmatched]:
    images: list[Json] = [
        {"id": 1, "file_name": "train/1.2.840.1.dcm", "width": 512, "height": 256},
        {"id": "1.2.840.2", "file_name": "scan.png"},
    ]
    document: dict[str, Json] = {
        "images": images,
        "categories": [{"id": 3, "name": "nodule"}],
        "annotations": list(annotations),
    }
    return coco.read(document)


def only(annotation: dict[str, Json]) -> Statement:
    (found,) = annotated({**BOX, **annotation})
    assert isinstance(found, Statement), found
    return found


def test_a_box_is_two_corners_in_the_image_that_the_file_is_named_after() -> None:
    found = only({})
    assert (found.level, found.target, found.finding, found.value) == (Level.INSTANCE, "1.2.840.1", "nodule", "present")
    assert (found.confidence, found.size) == ("0.75", (256, 512))
    assert found.region is not None and found.region.mark == "7"
    assert (found.region.shape, found.region.geometry) == (Shape.BOX, "10 20.5 40 60.5")
    assert only({"image_id": "1.2.840.2"}).target == "1.2.840.2"


def test_each_polygon_of_an_annotation_is_a_contour() -> None:
    polygons: Json = [[1, 1, 5, 1, 5, 5], [7, 7, 9, 7, 9, 9]]
    found = annotated({**BOX, "segmentation": polygons})
    marks = [each.region.mark for each in found if isinstance(each, Statement) and each.region]
    assert marks == ["7:1", "7:2"]
    region = only({"segmentation": [[1, 1, 5, 1, 5, 5]]}).region
    assert region is not None and (region.mark, region.shape, region.geometry) == ("7", Shape.CONTOUR, "1 1 5 1 5 5")


def test_run_lengths_go_down_the_columns_compressed_or_not() -> None:
    mask = np.zeros((9, 7), bool)
    mask[2:6, 1:5] = mask[0, 0] = mask[8, 6] = True
    flat = mask.ravel(order="F")
    ends = [*(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    counts: list[Json] = [0, *np.diff([0, *ends]).tolist()]
    for written in (counts, "01:3K00000?M"):  # the latter by pycocotools 2.0
        region = only({"segmentation": {"size": [9, 7], "counts": written}}).region
        assert region is not None and (mask_of(region) == mask).all()


def test_an_annotation_without_a_place_speaks_about_its_image() -> None:
    assert only({"bbox": [], "segmentation": None}).region is None


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3]],
        [["a", "b", "c", "d", "e", "f"]],
        {"size": [9, 7], "counts": [1, 2]},
        {"size": [9, 7], "counts": "01:3K00000?"},
        {"size": [9, 7], "counts": "é"},
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"counts": [1]},
        "everywhere",
    ],
)
def test_a_place_that_makes_no_sense_is_told(segmentation: Json) -> None:
    assert annotated({**BOX, "segmentation": segmentation}) == [Unmatched("annotation 1", "geometry-wrong")]


def test_an_annotation_of_nobody_knows_what_names_no_target_or_finding() -> None:
    assert only({"image_id": 99}).target == "" and only({"category_id": 99}).finding == ""


@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12))
def test_any_compressed_counts_are_a_mask_or_told(counts: str) -> None:
    (found,) = annotated({**BOX, "segmentation": {"size": [3, 3], "counts": counts}})
    assert isinstance(found, Statement) or found.reason == "geometry-wrong"


@pytest.mark.parametrize("document", [{}, {"images": [], "categories": [], "annotations": [1]}])
def test_what_is_not_coco_is_invalid(document: dict[str, Json]) -> None:
    with pytest.raises(Invalid):
        coco.read(document)


# -- FHIR ----------------------------------------------------------------------------------------------------------

NODULE: Json = {
    "coding": [{"system": "urn:local", "code": "n"}, {"system": "http://snomed.info/sct", "code": "27925004"}]
}
STUDY: Json = {
    "fullUrl": "urn:uuid:5",
    "resource": {
        "resourceType": "ImagingStudy",
        "id": "s",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
    },
}
READER: Json = {
    "resource": {"resourceType": "Practitioner", "id": "p", "name": [{"family": "Reader", "given": ["Ann"]}]}
}
WIDTH: Json = {
    "resource": {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "21889-1", "display": "Size Tumor"}]},
        "valueQuantity": {"value": 12.5, "code": "mm", "system": "http://unitsofmeasure.org"},
    }
}


def report(**fields: Json) -> dict[str, Json]:
    resource: dict[str, Json] = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "imagingStudy": [{"reference": "urn:uuid:5"}],
        "resultsInterpreter": [{"reference": "https://server/fhir/Practitioner/p"}],
        "issued": "2026-02-03T10:00:00Z",
        "conclusionCode": [NODULE],
        **fields,
    }
    return {"resourceType": "Bundle", "entry": [{"resource": resource}, STUDY, READER, WIDTH]}


def test_a_report_s_conclusions_and_results_are_said_of_its_study_by_who_interpreted_it() -> None:
    conclusion, result = fhir.read(report(result=[{"reference": "Observation/o"}]))
    assert isinstance(conclusion, Statement) and isinstance(result, Statement)
    assert (conclusion.level, conclusion.target) == (Level.STUDY, "1.2.3")
    assert (conclusion.finding, conclusion.value, conclusion.place) == (
        "SCT:27925004",
        "present",
        "entry 1, conclusion 1",
    )
    assert (conclusion.by, conclusion.said_at) == ("Ann Reader", "2026-02-03T10:00:00+00:00")
    assert (result.finding, result.value, result.unit, result.meaning) == ("LN:21889-1", "12.5", "mm", "Size Tumor")


def test_a_report_may_name_its_study_without_having_it_in_the_bundle() -> None:
    reference: Json = {"identifier": {"system": "urn:dicom:uid", "value": "urn:oid:1.2.4"}, "display": "CT"}
    (found,) = fhir.read(report(imagingStudy=[reference]))
    assert isinstance(found, Statement) and found.target == "1.2.4"


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_a_report_that_is_void_takes_back_what_it_said(status: str) -> None:
    (found,) = fhir.read(report(status=status))
    assert isinstance(found, Statement) and found.value is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "preliminary"}, "not-final"),
        ({"status": None}, "not-final"),
        ({"imagingStudy": [{"reference": "ImagingStudy/other"}]}, "no-source-image"),
        ({"conclusionCode": []}, "finding-missing"),
        ({"conclusionCode": [{"text": "Mrs Jones has a nodule"}]}, "scheme-unknown"),
        ({"conclusionCode": [], "result": [{"reference": "Observation/elsewhere"}]}, "not-in-bundle"),
    ],
)
def test_what_a_report_does_not_say_in_codes_is_told(fields: dict[str, Json], reason: str) -> None:
    (found,) = fhir.read(report(**fields))
    assert isinstance(found, Unmatched) and found.reason == reason and reason in REASONS


def test_a_bundle_without_reports_is_told_and_another_resource_is_invalid() -> None:
    assert fhir.read({"resourceType": "Bundle"}) == [Unmatched("bundle", "no-report")]
    with pytest.raises(Invalid):
        fhir.read({"resourceType": "Patient"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["coding", "reference", "name"]), inner)
    ),
    max_leaves=8,
)


@given(JSON, JSON, JSON, JSON)
def test_whatever_stands_in_a_report_s_fields_it_is_read(codes: Json, studies: Json, who: Json, results: Json) -> None:
    fhir.read(report(conclusionCode=codes, imagingStudy=studies, performer=who, resultsInterpreter=who, result=results))
    fhir.read({"resourceType": "Bundle", "entry": [codes, {"resource": studies}]})
