"""Segmentations: each frame is where a segment lies in the image it was made from. Source: PS3.3 A.51, C.8.20.

A frame that is empty says nothing. A fractional segment is where it is half or more. What was made from no single image
of the same grid is told and left out: it would have to be resampled, which is nobody's statement.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from filmroom.dicom import pixels, values
from filmroom.dicom.codes import images, items, meaning, moment, short, text
from filmroom.dicom.regions import mask_region
from filmroom.records import PRESENT, LabelKind, Level, Statement, Unmatched


def statements(dataset: Dataset) -> Iterator[Statement | Unmatched]:
    segments = {int(each.SegmentNumber): each for each in items(dataset, "SegmentSequence")}
    shared = next(iter(items(dataset, "SharedFunctionalGroupsSequence")), Dataset())
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")
    if not groups:
        yield Unmatched("all frames", "no-source-image")
        return
    for (number, own), frame in zip(enumerate(groups, start=1), pixels.frames(_as_numbers(dataset)), strict=True):
        for segment, mask in _masks(dataset, frame, own, shared):
            if not mask.any():
                continue
            place = f"segment {segment}, frame {number}"
            sources = list(_sources(own)) or list(_sources(shared))
            if not sources or segment not in segments:
                yield Unmatched(place, "no-source-image" if segment in segments else "finding-missing")
            for uid, source_frame, is_aligned in sources if segment in segments else ():
                if is_aligned:
                    yield _statement(dataset, segments[segment], mask, place, uid, source_frame)
                else:
                    yield Unmatched(place, "not-aligned")


def _as_numbers(dataset: Dataset) -> Dataset:
    """Return the data set with its pixels as numbers, where a palette gives them colours."""
    plain = Dataset(dataset)
    plain.file_meta = dataset.file_meta
    plain.PhotometricInterpretation = "MONOCHROME2"
    return plain


def _masks(
    dataset: Dataset, frame: NDArray[np.generic], own: Dataset, shared: Dataset
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield each segment of a frame with its mask."""
    kind = text(dataset, "SegmentationType")
    if kind == "LABELMAP":
        background = int(dataset.get("PixelPaddingValue") or 0)
        yield from ((int(value), frame == value) for value in np.unique(frame) if int(value) != background)
        return
    (identified,) = items(own, "SegmentIdentificationSequence") or items(shared, "SegmentIdentificationSequence")
    most = int(dataset.get("MaximumFractionalValue") or 255) if kind == "FRACTIONAL" else 1
    yield int(identified.ReferencedSegmentNumber), frame.astype(np.int64) * 2 >= most


def _sources(group: Dataset) -> Iterator[tuple[str, int | None, bool]]:
    """Yield the images that a frame was made from, and whether its pixels lie where theirs do."""
    for derivation in items(group, "DerivationImageSequence"):
        for source in items(derivation, "SourceImageSequence"):
            alone = Dataset()
            alone.SourceImageSequence = [source]
            is_aligned = text(source, "SpatialLocationsPreserved") in (None, "YES")
            yield from ((uid, frame, is_aligned) for uid, frame in images(alone, "SourceImageSequence"))


def _statement(
    dataset: Dataset, segment: Dataset, mask: NDArray[np.bool_], place: str, uid: str, frame: int | None
) -> Statement:
    number = str(segment.SegmentNumber)
    mark = text(segment, "TrackingUID") or f"{short(str(dataset.SOPInstanceUID))}:{number}"
    is_automatic = text(segment, "SegmentAlgorithmType") == "AUTOMATIC"
    return Statement(
        place=place,
        level=Level.INSTANCE,
        target=uid,
        finding=values.code(segment, "SegmentedPropertyTypeCodeSequence"),
        meaning=meaning(segment, "SegmentedPropertyTypeCodeSequence"),
        value=PRESENT,
        kind=LabelKind.MODEL if is_automatic else None,
        by=text(segment, "SegmentAlgorithmName") if is_automatic else text(dataset, "ContentCreatorName"),
        region=mask_region(mask, mark=mark, frame=frame),
        said_at=moment(dataset, "ContentDate", "ContentTime"),
    )
