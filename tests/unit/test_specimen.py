"""What an image of a slide says of its slide reaches the catalog's columns."""

from io import BytesIO

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from filmroom.dicom.parse import parse

SLIDE = UID("1.2.840.10008.5.1.4.1.1.77.1.6")


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _step(name: Dataset, *, said: Dataset) -> Dataset:
    content, step = Dataset(), Dataset()
    content.ValueType = "CODE"
    content.ConceptNameCodeSequence, content.ConceptCodeSequence = Sequence([name]), Sequence([said])
    step.SpecimenPreparationStepContentItemSequence = Sequence([content])
    return step


def _slide() -> Dataset:
    using, processing = _code("424361007", "SCT", "Using substance"), _code("111701", "DCM", "Processing type")
    described, path, image = Dataset(), Dataset(), Dataset()
    described.SpecimenIdentifier = "S-17"
    described.SpecimenPreparationSequence = Sequence(
        [
            _step(processing, said=_code("127790008", "SCT", "Staining")),
            _step(using, said=_code("12710003", "SCT", "hematoxylin stain")),
            _step(using, said=_code("36879007", "SCT", "eosin stain")),
        ]
    )
    path.ObjectiveLensPower = 40
    image.SpecimenDescriptionSequence, image.OpticalPathSequence = Sequence([described]), Sequence([path])
    image.ImagedVolumeWidth, image.TotalPixelMatrixColumns = 20.0, 40_000
    image.SOPClassUID, image.SOPInstanceUID = SLIDE, UID("1.2.3")
    image.StudyInstanceUID, image.SeriesInstanceUID = UID("1.2"), UID("1.2.1")
    image.ProcedureCodeSequence = Sequence([_code("A", "99X", "one"), _code("B", "99X", "other")])
    return image


def _columns(image: Dataset) -> dict[str, object]:
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID = SLIDE, UID("1.2.3")
    stream = BytesIO()
    image.save_as(stream, enforce_file_format=True)
    instance = parse(stream.getvalue()).instance
    assert instance is not None
    return dict(instance.values)


def test_a_slide_is_cataloged_with_stain_specimen_objective_and_resolution() -> None:
    found = _columns(_slide())
    assert found["stain"] == "hematoxylin stain\\eosin stain"
    assert found["specimen"] == "S-17"
    assert found["objective_power"] == pytest.approx(40)
    assert found["microns_per_pixel"] == pytest.approx(0.5)
    assert found["exam_code"] == "99X:A\\99X:B"


def test_an_image_that_is_no_slide_has_none_of_it() -> None:
    image = _slide()
    for keyword in ("SpecimenDescriptionSequence", "OpticalPathSequence", "ImagedVolumeWidth"):
        delattr(image, keyword)
    assert not {"stain", "specimen", "objective_power", "microns_per_pixel"} & _columns(image).keys()
