"""Leaves of a presentation state what is whole: annotations that still draw something, and all of its lookup tables.

It works on what the rules left of the values. Source: PS3.3 C.10.5, C.11.1, C.11.2.
"""

from pydicom.dataset import Dataset

from filmroom.records import Reason

_ANNOTATIONS = "GraphicAnnotationSequence"
_TABLES = ("ModalityLUTSequence", "VOILUTSequence", "PresentationLUTSequence")


def prune(state: Dataset) -> Reason | None:
    """Take annotations without graphics out of a cleaned presentation state; return why it cannot be shown as it was."""
    found = list(state.get(_ANNOTATIONS) or [])
    left = [item for item in found if item.get("GraphicObjectSequence")]
    if left:
        state[_ANNOTATIONS].value = left
    elif found:
        del state[_ANNOTATIONS]
        state.pop("GraphicLayerSequence", None)
    tables = [
        item
        for holder in (state, *(state.get("SoftcopyVOILUTSequence") or []))
        for keyword in _TABLES
        for item in holder.get(keyword) or []
    ]
    if not all("LUTData" in item or "RescaleSlope" in item or "PresentationLUTShape" in item for item in tables):
        return Reason("table-not-cleanable", "a lookup table of the presentation is none, or could be text")
    return None
