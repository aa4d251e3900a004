"""Finds what looks like lines of text in a picture, for the verifier, which asks its reader about them.

Other than `strokes`, which it shares nothing with but `shapes`, it takes broader strokes, wants what stands out to do so against
the highest near it, and counts the marks whose feet are level with one and the same mark.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filmroom.deid import shapes
from filmroom.deid.shapes import Boxes

_TAIL, _WHITE = 0.01, 240
_BROADEST = 11
_NEAR, _SHARE = 21, 0.5
_AROUND, _TIMES, _LEAST = 81, 1.8, 5
_LOWEST, _HIGHEST = 5, 48
_FEWEST = 4
_MANY = 900  # what has more is compared in part
_LONG = 6
_GAP = 1.3  # times the height of a mark


class Line(NamedTuple):
    """A line of marks: its box and how many they are."""

    top: int
    left: int
    bottom: int
    right: int
    marks: int

    @property
    def is_long(self) -> bool:
        """Whether there are so many marks that they are held for text though nobody can read them."""
        return self.marks >= _LONG

    def place(self) -> tuple[slice, slice]:
        """Return where to read it: some letters more at both ends, and half a line above and below."""
        height = self.bottom - self.top
        rows = slice(max(self.top - height // 2 - 4, 0), self.bottom + height // 2 + 4)
        return rows, slice(max(self.left - 4 * height, 0), self.right + 4 * height)


def lines(picture: NDArray[np.generic]) -> list[Line]:
    """Return what looks like lines of text in a grey picture."""
    grey = shapes.to_bytes(picture, _TAIL, _WHITE)
    found: list[Line] = []
    for relief in shapes.standing_out(grey, _BROADEST):
        limit = shapes.times(shapes.highest_around(relief, _NEAR), _SHARE)
        np.maximum(limit, shapes.times(shapes.mean_around(relief, _AROUND), _TIMES, _LEAST), out=limit)
        found += _level(_marks(shapes.boxes(relief > limit)))
    return found


def _marks(things: Boxes) -> Boxes:
    """Return the things that could be letters, no more than the largest ones."""
    height, width, area = things.bottom - things.top, things.right - things.left, things.area
    is_mark = (height >= _LOWEST) & (height <= _HIGHEST) & (width <= 1.6 * height + 2)
    is_mark &= (area >= height) & (area <= 0.92 * width * height + 2)
    smallest = np.sort(area[is_mark])[-_MANY] if is_mark.sum() > _MANY else 0
    return things.only(is_mark & (area >= smallest))


def _level(marks: Boxes) -> list[Line]:
    height = marks.bottom - marks.top
    slack = np.maximum(1, np.rint(0.1 * height))[:, None]
    level = np.abs(marks.bottom - marks.bottom[:, None]) <= slack
    level &= (height >= 0.6 * height[:, None] - 1) & (height <= 1.7 * height[:, None] + 1)
    counts, found = level.sum(axis=1), list[Line]()
    for anchor in np.argsort(-counts, kind="stable")[: np.count_nonzero(counts >= _FEWEST)]:
        if not any(
            other.top < marks.bottom[anchor]
            and marks.top[anchor] < other.bottom
            and other.left <= marks.left[anchor] < other.right
            for other in found
        ):
            line = _longest(
                marks.only(np.flatnonzero(level[anchor]).astype(np.int32)), _GAP * float(height[anchor]) + 1
            )
            found += [line] if line.marks >= _FEWEST else []
    return found


def _longest(marks: Boxes, gap: float) -> Line:
    """Return the longest run of marks with no wider gap between them."""
    breaks = np.flatnonzero(marks.left[1:] - np.maximum.accumulate(marks.right)[:-1] > gap) + 1
    runs = np.split(np.arange(marks.left.size, dtype=np.int32), breaks)
    run = marks.only(max(runs, key=len))
    top, left, bottom, right = run.top.min(), run.left.min(), run.bottom.max(), run.right.max()
    return Line(int(top), int(left), int(bottom), int(right), run.left.size)
