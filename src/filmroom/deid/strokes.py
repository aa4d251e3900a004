"""Finds where letters may stand in a picture, in a millisecond or two, so that a reader is asked about few places.

A letter is a small mark that is brighter, or darker, than the mean around it and than its own neighbourhood mostly is; text is four
of about one height that follow one another on one line. Vessels, bones and noise rarely do. It is no proof: it says
where to read.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from filmroom.deid import shapes
from filmroom.deid.shapes import Boxes

_TAIL, _WHITE = 0.005, 224
_WIDEST = 9  # a stroke, in pixels
_AROUND, _TIMES, _LEAST = 65, 2.0, 6
_NEAR, _SHARE = 15, 0.4
_LOWEST, _HIGHEST = 5, 48
_FEWEST = 4


class Row(NamedTuple):
    """Where a row of marks lies, and how many there are."""

    top: int
    left: int
    bottom: int
    right: int
    letters: int

    def surroundings(self) -> tuple[slice, slice]:
        """Return the row with room for letters before and behind it, and for a line above and below."""
        high = self.bottom - self.top
        up_down, to_sides = 2 * high, 8 * high
        rows = slice(max(self.top - up_down, 0), self.bottom + up_down)
        return rows, slice(max(self.left - to_sides, 0), self.right + to_sides)


def rows(picture: NDArray[np.generic]) -> list[Row]:
    """Return the rows of marks like letters in a grey picture."""
    grey = shapes.to_bytes(picture, _TAIL, _WHITE)
    found = []
    for relief in shapes.standing_out(grey, _WIDEST):
        around = shapes.times(shapes.mean_around(relief, _AROUND), _TIMES, _LEAST)
        near = shapes.times(shapes.highest_around(relief, _NEAR), _SHARE)
        found += _chains(_letters(shapes.boxes(relief > np.maximum(around, near))))
    return found


def _letters(marks: Boxes) -> Boxes:
    """Return the marks that have the size of a letter and are neither a line nor a block."""
    wide, high = marks.right - marks.left, marks.bottom - marks.top
    like = (high >= _LOWEST) & (high <= _HIGHEST) & (wide <= 1.6 * high + 2)
    return marks.only(like & (marks.area >= high) & (marks.area <= 0.9 * wide * high + 2))


def _chains(letters: Boxes) -> list[Row]:
    """Return the longest chains of letters, each followed by one close to its right and as high or as low as it."""
    count = letters.left.size
    length, before = np.ones(count, np.int32), np.full(count, -1)
    for one, next_one in _followers(letters):
        if length[one] >= length[next_one]:
            length[next_one], before[next_one] = length[one] + 1, one
    found, used = [], set[int]()
    ends = np.flatnonzero(length >= _FEWEST)
    for end in ends[np.argsort(-length[ends], kind="stable")]:
        chain, at = [], int(end)
        while at >= 0 and at not in used:
            chain.append(at)
            at = int(before[at])
        used.update(chain)
        if len(chain) >= _FEWEST:
            found.append(_row(letters.only(np.array(chain, np.int32))))
    return found


def _followers(letters: Boxes) -> list[tuple[int, int]]:
    """Return which letter can follow which, sorted by the follower from left to right."""
    by_foot = np.argsort(letters.bottom, kind="stable")
    foot = letters.bottom[by_foot]
    counts = np.searchsorted(foot, foot + _slack(_HIGHEST), "right") - np.arange(foot.size) - 1
    first = np.repeat(np.arange(foot.size), counts)
    second = first + 1 + np.arange(first.size) - np.repeat(np.cumsum(counts) - counts, counts)
    ends = np.sort(np.stack([by_foot[first], by_foot[second]]), axis=0)  # letters are numbered from the left
    one, other = letters.only(ends[0].astype(np.int32)), letters.only(ends[1].astype(np.int32))
    high, other_high = one.bottom - one.top, other.bottom - other.top
    highest = np.maximum(high, other_high)
    slack, gap = _slack(highest), other.left - one.right
    same_foot, same_head = np.abs(other.bottom - one.bottom) <= slack, np.abs(other.top - one.top) <= slack
    alike = same_head | (np.abs(other_high - high) <= 0.45 * highest)
    follows = (other.left > one.left) & (gap > -1) & (gap <= 1.2 * highest + 1) & same_foot & alike
    pairs = ends[:, follows]
    return [(int(one), int(other)) for one, other in pairs[:, np.lexsort((pairs[0], pairs[1]))].T]


def _slack(high: NDArray[np.int32] | int) -> NDArray[np.float64]:
    """Return how far the feet or heads of letters of this height may be apart on one line."""
    return np.asarray(1 + 0.08 * high)


def _row(letters: Boxes) -> Row:
    top, left, bottom, right = letters.top.min(), letters.left.min(), letters.bottom.max(), letters.right.max()
    return Row(int(top), int(left), int(bottom), int(right), letters.left.size)
