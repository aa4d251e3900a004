"""The small parts that annotation objects are made of: codes, references, names and times."""

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from filmroom.dicom import values
from filmroom.ids import Digest


def items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return a sequence's items, none when it is absent or empty."""
    found: Sequence[Dataset] = dataset.get(keyword) or ()
    return found


def meaning(dataset: Dataset, keyword: str) -> str | None:
    """Return the Code Meaning of a code sequence's first item."""
    return next((text(item, "CodeMeaning") for item in items(dataset, keyword)), None)


def text(dataset: Dataset, keyword: str) -> str | None:
    """Return a value as text, None when it is absent or empty."""
    return str(dataset.get(keyword) or "").strip() or None


def moment(dataset: Dataset, date: str, time: str) -> str | None:
    """Return the moment of a date and a time attribute in ISO 8601, None when they make none."""
    parts = (text(dataset, keyword) or "" for keyword in (date, time, "TimezoneOffsetFromUTC"))
    return values.moment(*parts) or None


def images(dataset: Dataset, keyword: str) -> Iterator[tuple[str, int | None]]:
    """Yield the SOP Instance UID and frame number of each image that a sequence refers to, a line for each frame."""
    for item in items(dataset, keyword):
        uid, numbers = text(item, "ReferencedSOPInstanceUID"), item.get("ReferencedFrameNumber")
        if uid is None:
            continue
        several = numbers if isinstance(numbers, Sequence) and not isinstance(numbers, str) else [numbers]
        yield from ((uid, None if number in (None, "") else int(str(number))) for number in several)


def short(*names: str) -> str:
    """Return a name of 16 characters for these names together."""
    return Digest.of("\0".join(names).encode()).hex[:16]
