"""A DICOMDIR: which files a medium says that it holds, and which objects they are. PS3.3 annex F, PS3.10 section 8.

The records are read one after the other, as they lie in their sequence. The offsets by which they point at each other are not
followed, so a directory that points in circles or outside of itself does no harm; file IDs are compared with the names of what
came, and never opened.
"""

from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from filmroom.dicom import values, walk
from filmroom.dicom.windows import Lengthy

MAX_BYTES = 64 << 20

_RECORDS = Tag("DirectoryRecordSequence")
_FILE, _UID, _IN_USE = Tag("ReferencedFileID"), Tag("ReferencedSOPInstanceUIDInFile"), Tag("RecordInUseFlag")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that the directory names: its path with / between the parts, and the SOP Instance UID, "" for none."""

    path: str = field(repr=False)
    sop_uid: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Directory:
    """What could be read of a directory. `bad_paths` counts records whose file ID leads nowhere on a medium."""

    entries: tuple[Entry, ...]
    bad_paths: int = 0
    is_whole: bool = True


def read_directory(data: Lengthy) -> Directory:
    """Return the files that a DICOMDIR names. Never raises for what the bytes hold."""
    if len(data) > MAX_BYTES:
        return Directory((), is_whole=False)
    reading = walk.walk(data[:])
    try:
        items = list(reading.dataset[_RECORDS].value) if _RECORDS in reading.dataset else []
        found = [entry for item in items if isinstance(item, Dataset) and (entry := _entry(item))]
    except walk.FAILURES:
        return Directory((), is_whole=False)
    entries = tuple(entry for entry in found if _is_below(entry.path))
    return Directory(entries, len(found) - len(entries), is_whole=not reading.reasons)


def _entry(record: Dataset) -> Entry | None:
    """Return the file that a record names; None when it names none, or is not in use (PS3.3 table F.3-3)."""
    path = _text(record, _FILE)
    if path == "" or (_IN_USE in record and values.whole(record.get_item(_IN_USE)) == 0):
        return None
    parts = [".."] if path is None else [part.strip() for part in path.split("\\")]
    # A slash inside a part would make two of it.
    return Entry("/".join(".." if "/" in part else part for part in parts), _text(record, _UID) or "")


def _text(record: Dataset, tag: int) -> str | None:
    """Return a value as text, "" for none, None when it is too long for one."""
    return values.text(record.get_item(tag), ["latin-1"]) if tag in record else ""


def _is_below(path: str) -> bool:
    """Say whether a path stays below where it starts."""
    return not {"", ".", ".."}.intersection(path.split("/")) and path.isprintable()
