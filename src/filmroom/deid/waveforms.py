"""Leaves of a waveform's annotations those that still say something.

It works on what the rules left of the values. Source: PS3.3 C.10.10.
"""

from pydicom.dataset import Dataset

from filmroom.deid.policy import has_code

_ANNOTATIONS = "WaveformAnnotationSequence"


def prune(waveform: Dataset) -> None:
    """Take annotations without a text, number or code out of a cleaned waveform, and those of an unknown concept."""
    found = list(waveform.get(_ANNOTATIONS) or [])
    left = [item for item in found if _says_something(item)]
    if left:
        waveform[_ANNOTATIONS].value = left
    elif found:
        del waveform[_ANNOTATIONS]


def _says_something(item: Dataset) -> bool:
    if "ConceptNameCodeSequence" in item and not has_code(item, "ConceptNameCodeSequence"):
        return False
    if "NumericValue" in item:
        return not item["NumericValue"].is_empty and has_code(item, "MeasurementUnitsCodeSequence")
    is_mark = "ConceptNameCodeSequence" in item and bool(item.get("TemporalRangeType"))  # such as the onset of a P wave
    return is_mark or bool(item.get("UnformattedTextValue")) or has_code(item, "ConceptCodeSequence")
