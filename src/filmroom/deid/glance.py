"""What of an object's pixels is shown to a reader: grey pictures of chosen frames, and of what stands still in all of them.

Every distinct frame is shown where there are at most `MOST`; of more, that many, evenly spread, and the static picture. The two
readings begin at another frame. Text that flashes up between them is for `strokes` and `lineup` to find.

The static picture holds the lowest value of each pixel whose values hardly differ; anatomy and noise are left out of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from filmroom.dicom import pixels
from filmroom.dicom.pixels import Frame
from filmroom.ids import Digest
from filmroom.records import Line

Item = TypeVar("Item")

MOST = 8
_STILL = 2.0
_SURE = 0.5


def frames(dataset: Dataset, *, offset: float = 0.0) -> Iterator[Frame]:
    """Yield the frames to show, decoded, and the static picture where not all distinct ones are among them.

    `offset`, from 0 to 1, moves the choice by that part of the distance between two. Raises Unreadable.
    """
    if pixels.frame_count(dataset) == 1:
        yield from pixels.frames(dataset)
        return
    static, first = Static(), dict[str, int]()
    for number, frame in enumerate(pixels.frames(dataset)):
        static.add(grey(frame))
        first.setdefault(Digest.of(frame.tobytes()).hex, number)
    for number in spread(list(first.values()), MOST, offset):
        yield from pixels.frames(dataset, range(number, number + 1))
    if len(first) > MOST:
        yield static.picture()


def spread(items: Sequence[Item], most: int, offset: float = 0.0) -> list[Item]:
    """Return at most `most` of the items, evenly spread."""
    if len(items) <= most:
        return list(items)
    gaps = max(most - 1 + offset, 1)
    return [items[int((at + offset) * (len(items) - 1) / gaps)] for at in range(most)]


def grey(frame: Frame) -> NDArray[np.float32]:
    """Return one channel: of colours the brightest, so that text of any colour stands out of black."""
    return (frame.max(axis=2) if frame.ndim == 3 else frame).astype(np.float32)


@dataclass(slots=True)
class Static:
    """Gathers frames of one shape, others are left out, into the picture of what does not move."""

    count: int = 0
    lowest: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    spread: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, frame: NDArray[np.float32]) -> None:
        if not self.count:
            self.lowest, self.mean, self.spread = frame.copy(), frame.astype(np.float64), np.zeros(frame.shape)
        elif frame.shape != self.lowest.shape:
            return
        else:
            np.minimum(self.lowest, frame, out=self.lowest)
            away = frame - self.mean
            self.mean += away / (self.count + 1)
            self.spread += away * (frame - self.mean)
        self.count += 1

    def picture(self) -> NDArray[np.float32]:
        still = np.sqrt(self.spread / max(self.count, 1)) < _STILL
        floor = self.lowest[still].min() if still.any() else np.float32(0)
        return np.where(still, self.lowest, floor).astype(np.float32)


def to_bytes(picture: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Return the picture with `low` as black and `high` as white."""
    return np.asarray(np.clip((picture - low) * (255 / max(high - low, 1e-6)), 0, 255), np.uint8)


def legible(lines: Iterable[Line], fewest: int) -> list[Line]:
    """Return the lines in which that many letters and digits were read, not all the same: round things look like zeros.

    A single letter, as a side marker, names nobody.
    """
    found = []
    for line in lines:
        read = [char for char in line.text.lower() if char.isalnum()]
        if line.confidence >= _SURE and len(read) >= fewest and len(set(read)) > 1:
            found.append(line)
    return found
