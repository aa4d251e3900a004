"""What a whole-slide image says of its slide: stain, specimen, objective and resolution (PS3.3 C.7.6.22, C.8.12).

What cannot be read is left out; nothing here is a reason to refuse an object.
"""

from collections.abc import Iterator

from pydicom.dataset import Dataset

from filmroom.dicom import values
from filmroom.dicom.walk import FAILURES
from filmroom.records import Value

_USING = ("SCT:424361007", "SRT:G-C350")  # "Using substance", in the steps of a specimen's preparation
_MICRONS = 1000
_MEMBERS = ("SpecimenDescriptionSequence", "OpticalPathSequence", "ImagedVolumeWidth")


def facts(dataset: Dataset) -> dict[str, Value]:
    """Return the columns that an image of a slide fills, by name."""
    if not any(keyword in dataset for keyword in _MEMBERS):
        return {}
    described = list(_items(dataset, "SpecimenDescriptionSequence"))
    paths = _items(dataset, "OpticalPathSequence")
    width, columns = _number(dataset, "ImagedVolumeWidth"), _number(dataset, "TotalPixelMatrixColumns")
    found: dict[str, Value] = {
        "specimen": _joined(values.short(item, "SpecimenIdentifier") for item in described),
        "stain": _joined(stain for item in described for stain in _stains(item)),
        "objective_power": next(filter(None, (_number(path, "ObjectiveLensPower") for path in paths)), None),
        "microns_per_pixel": width * _MICRONS / columns if width and columns else None,
    }
    return {name: value for name, value in found.items() if value not in (None, "")}


def _stains(described: Dataset) -> Iterator[str]:
    for step in _items(described, "SpecimenPreparationSequence"):
        for item in _items(step, "SpecimenPreparationStepContentItemSequence"):
            if values.code(item, "ConceptNameCodeSequence") in _USING:
                for substance in _items(item, "ConceptCodeSequence"):
                    yield values.short(substance, "CodeMeaning")
                yield values.short(item, "TextValue")


def _joined(texts: Iterator[str]) -> str:
    return "\\".join(dict.fromkeys(filter(None, texts)))


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    try:
        return [item for item in dataset[keyword].value if isinstance(item, Dataset)] if keyword in dataset else []
    except FAILURES:
        return []


def _number(dataset: Dataset, keyword: str) -> float | None:
    found = values.numbers(dataset.get_item(keyword)) if keyword in dataset else None
    return float(found[0]) if found else None
