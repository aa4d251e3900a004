"""Who an object says it is, read from as few of its bytes as will do. For answers to senders, not for decisions."""

from dataclasses import dataclass, field

from pydicom.tag import Tag

from filmroom.dicom import values, walk
from filmroom.dicom.windows import Lengthy
from filmroom.records import Instance

_FIRST_BYTES = 64 * 1024
_KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of an object, "" for one that cannot be read or is no UID."""

    sop_class: str
    sop_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)


def identify(data: Lengthy) -> Identity:
    """Return the UIDs that the data set has. Never raises for what the bytes hold."""
    found = _uids(data[:_FIRST_BYTES])
    if not all(found) and len(data) > _FIRST_BYTES:
        found = _uids(data)
    return Identity(*found)


def of(instance: Instance | None) -> Identity | None:
    """Return the UIDs of what was read already."""
    if instance is None:
        return None
    return Identity(instance.sop_class, instance.sop_uid, instance.study_uid, instance.series_uid)


def _uids(data: Lengthy) -> list[str]:
    dataset = walk.walk(data).dataset
    found = []
    for keyword in _KEYWORDS:
        tag = Tag(keyword)
        text = values.text(dataset.get_item(tag), ["ascii"]) if tag in dataset else ""
        found.append(text if text and walk.is_uid(text) else "")
    return found
