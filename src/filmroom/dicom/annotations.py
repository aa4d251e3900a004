"""What objects that annotate images say: segmentations, structure sets and measurement reports.

Who said it is who the object names, else nobody; what an algorithm did is of the kind `model`. Marks have the object's own
Tracking UID where there is one, so that a tool's next version of a mark supersedes it; else they are new in each object.
Pure functions from an undecoded data set to statements; places name segments, ROIs and content items by number.
"""

from collections.abc import Callable, Iterator

from pydicom.dataset import Dataset

from filmroom.dicom import measurements, segmentation, structures
from filmroom.dicom.walk import FAILURES
from filmroom.errors import FilmroomError, Invalid, Unreadable
from filmroom.records import Statement, Unmatched

_READERS: dict[str, Callable[[Dataset], Iterator[Statement | Unmatched]]] = {
    "1.2.840.10008.5.1.4.1.1.66.4": segmentation.statements,  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7": segmentation.statements,  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.481.3": structures.statements,  # RT Structure Set
    "1.2.840.10008.5.1.4.1.1.88.22": measurements.statements,  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.33": measurements.statements,  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34": measurements.statements,  # Comprehensive 3D SR
}
SOP_CLASSES = tuple(_READERS)
"""SOP classes whose objects can say something about others."""


def statements(dataset: Dataset) -> list[Statement | Unmatched]:
    """Return what an object says. Raises Invalid for one of another class, Unreadable for one that is broken."""
    try:
        reader = _READERS.get(str(dataset.get("SOPClassUID", "")))
        found = None if reader is None else list(reader(dataset))
    except FilmroomError:
        raise
    except FAILURES:
        raise Unreadable(
            "the annotations in the object cannot be read", "send it again from the annotation tool"
        ) from None
    if found is None:
        raise Invalid(
            "this object says nothing about others", "give a segmentation, structure set or measurement report"
        )
    return found
