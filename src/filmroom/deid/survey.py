"""Looks at samples of a series and says whether its images have to be read one by one.

For what a scanner reconstructs, where text is rare and stands at the same place in every slice. Text in a single slice that is
not among the samples is found when the slice is judged (`strokes`, `lineup`).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from filmroom.deid import glance, proofread, redact
from filmroom.deid.eyes import Extent
from filmroom.dicom import parse, pixels
from filmroom.dicom.pixels import Frame
from filmroom.errors import Corrupt, KeyGone, NotFound, Unreadable
from filmroom.ports import Readers

Slice = TypeVar("Slice")

SAMPLES = 12
_SMALLEST = 32


def extent(slices: Sequence[Slice], load: Callable[[Slice], bytes], readers: Readers) -> Extent:
    """Have samples of one series read: FRAMES when there is text in them, or when one cannot be looked at.

    `load` gives the bytes of the object that a slice, or a volume of them, lies in.
    """
    frames: list[Frame] = []
    chosen = glance.spread(slices, SAMPLES)
    try:
        for each in chosen:
            dataset = parse.read(load(each))
            numbers = glance.spread(range(pixels.frame_count(dataset)), -(-SAMPLES // len(chosen)))
            frames += [frame for number in numbers for frame in pixels.frames(dataset, range(number, number + 1))]
    except (NotFound, KeyGone, Corrupt, Unreadable, OSError):
        return Extent.FRAMES
    return Extent.FRAMES if shows_text(frames, readers) else Extent.SERIES


def shows_text(slices: Sequence[Frame], readers: Readers) -> bool:
    """Say whether either reader sees text in the first, middle or last slice, or in what is the same in all of them."""
    slices = [frame for frame in slices if min(frame.shape[:2]) >= _SMALLEST]
    if not slices:
        return False
    pictures = [slices[at] for at in sorted({0, len(slices) // 2, len(slices) - 1})]
    if len(slices) > len(pictures):
        static = glance.Static()
        for frame in slices:
            static.add(glance.grey(frame))
        pictures.append(static.picture())
    return any(
        redact.text_in(glance.grey(picture), readers.first).any() or proofread.is_legible(picture, readers.second)
        for picture in pictures
    )
