"""What every object of a SOP class must have is missed when it is not there, and nobody is turned away for it."""

from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from tests.vectors.dicom_files import sound

from filmroom.dicom import required
from filmroom.dicom.encode import encode
from filmroom.dicom.parse import parse
from filmroom.dicom.walk import by_tag
from filmroom.records import Finding, Severity

REQUIRED_OF_CT = {
    "FrameOfReferenceUID": "2.25.11",
    "ImagePositionPatient": ["0", "0", "0"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
}


def lacking(dataset: Dataset) -> set[tuple[str, str]]:
    parsed = parse(encode(dataset))
    assert parsed.reasons == ()
    assert parsed.instance is not None
    return {(found.code, found.place) for found in parsed.instance.findings if found.code.startswith("type1")}


def whole() -> Dataset:
    dataset = sound()
    for keyword, value in REQUIRED_OF_CT.items():
        setattr(dataset, keyword, value)
    return dataset


def test_a_ct_image_that_has_all_it_must_have_gives_no_finding() -> None:
    assert lacking(whole()) == set()


@pytest.mark.parametrize("keyword", [*REQUIRED_OF_CT, "ImageType", "Modality", "PixelSpacing"])
def test_each_attribute_that_is_not_there_is_named(keyword: str) -> None:
    dataset = whole()
    delattr(dataset, keyword)
    assert lacking(dataset) == {(required.MISSING, keyword)}


def test_an_attribute_without_a_value_is_called_empty_not_missing() -> None:
    dataset = whole()
    dataset.RescaleSlope = None
    dataset.Modality = "  "
    assert lacking(dataset) == {(required.EMPTY, "RescaleSlope"), (required.EMPTY, "Modality")}


def test_an_empty_sequence_is_empty_whichever_way_its_length_is_written() -> None:
    for undefined in (False, True):
        dataset = Dataset()
        dataset.AnatomicRegionSequence = []
        dataset["AnatomicRegionSequence"].is_undefined_length = undefined
        mammogram = "1.2.840.10008.5.1.4.1.1.1.2"
        assert Finding(required.EMPTY, Severity.REVIEW, "AnatomicRegionSequence") in required.lacking(
            mammogram, by_tag(dataset)
        )


def test_a_class_that_the_standard_does_not_have_requires_nothing() -> None:
    dataset = whole()
    dataset.SOPClassUID = "1.2.3.4"
    del dataset.RescaleSlope
    assert lacking(dataset) == set()


def test_every_word_of_the_table_is_an_attribute_and_every_class_has_its_words() -> None:
    table = required._table()
    assert set(table["classes"].values()) == set(table["iods"])
    assert all(tag_for_keyword(keyword) for words in table["iods"].values() for keyword in words.split())


def test_real_files_are_never_turned_away_for_it(corpus: Path) -> None:
    codes = set()
    for path in sorted(corpus.rglob("*.dcm")):
        parsed = parse(path.read_bytes())
        codes |= {reason.code for reason in parsed.reasons}
    assert codes and not any(code.startswith("type1") for code in codes)
