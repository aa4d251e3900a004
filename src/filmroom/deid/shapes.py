"""Fast work on grey pictures: marks that stand out, what is around each pixel, and the boxes of what hangs together.

Home of cv2, which the extra `[ocr]` brings: nothing here is called where nobody reads. What of a picture is text is not for
this module to say: `strokes` does for what is blanked, `lineup` for the verifier.
"""

from functools import cache
from types import ModuleType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]
Numbers: TypeAlias = NDArray[np.int32]

_SOME = 64  # so many rows and columns at least tell the grey levels of most pixels
_EIGHTH = 8
_MOST_LABELS = 65_535
_TILES, _DENSE, _ROOM = 5, 16, 64  # tiles of eight pixels; of 255; pixels
_NOTHING = np.zeros((0, 5), np.int32)
_CAN_SCALE = frozenset({"uint8", "int16", "uint16", "float32"})


class Boxes(NamedTuple):
    """One entry for each thing; `right` and `bottom` are behind it, `area` are its pixels."""

    left: Numbers
    top: Numbers
    right: Numbers
    bottom: Numbers
    area: Numbers

    def only(self, chosen: NDArray[np.bool_] | Numbers) -> "Boxes":
        return Boxes(*(each[chosen] for each in self))


def to_bytes(picture: NDArray[np.generic], tail: float, white: int) -> Picture:
    """Return the picture with the levels of most of its pixels, all but `tail` at each end, as 0 to `white`.

    What is above them is brighter, up to 255.
    """
    cv2 = _cv2()
    levels = picture if picture.dtype.name in _CAN_SCALE else picture.astype(np.float32)
    step = max(min(levels.shape) // _SOME, 1)
    some = np.sort(levels[::step, ::step], axis=None)
    low, high = (float(some[int(share * (some.size - 1))]) for share in (tail, 1 - tail))
    if low == high:
        low, high = float(levels.min()), float(levels.max())
    scale = white / max(high - low, 1e-6)
    return np.asarray(cv2.convertScaleAbs(cv2.max(levels, low), None, scale, -low * scale))


def standing_out(picture: Picture, size: int) -> tuple[Picture, Picture]:
    """Return how much each pixel is brighter, and how much darker, than what is left without things narrower than `size`."""
    cv2, kernel = _cv2(), np.ones((size, size), np.uint8)
    bright, dark = (cv2.morphologyEx(picture, kind, kernel) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT))
    return np.asarray(bright), np.asarray(dark)


def mean_around(picture: Picture, size: int) -> Picture:
    """Return the mean of about the square of this size, in eighths, around each pixel."""
    cv2, (rows, columns) = _cv2(), picture.shape
    small = cv2.resize(picture, (-(-columns // _EIGHTH), -(-rows // _EIGHTH)), interpolation=cv2.INTER_AREA)
    mean = cv2.blur(small, (size // _EIGHTH, size // _EIGHTH))
    return np.asarray(cv2.resize(mean, (columns, rows), interpolation=cv2.INTER_LINEAR))


def highest_around(picture: Picture, size: int) -> Picture:
    return np.asarray(_cv2().dilate(picture, np.ones((size, size), np.uint8)))


def times(picture: Picture, factor: float, more: float = 0) -> Picture:
    return np.asarray(_cv2().convertScaleAbs(picture, None, factor, more))


def boxes(mask: NDArray[np.bool_]) -> Boxes:
    """Return what hangs together in the mask, diagonally too, from left to right, where it is as dense as text."""
    cv2, place = _cv2(), _dense(mask)
    part = np.ascontiguousarray(mask[place]).view(np.uint8)
    labels = cv2.CV_16U if np.count_nonzero(part) < _MOST_LABELS else cv2.CV_32S
    stats = cv2.connectedComponentsWithStats(part, connectivity=8, ltype=labels)[2][1:] if part.size else _NOTHING
    left, top, width, height, area = stats[np.argsort(stats[:, 0], kind="stable")].T
    left, top = left + place[1].start, top + place[0].start
    return Boxes(left, top, left + width, top + height, area)


def _dense(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the part of the mask outside of which no tile, with the tiles beside it, has as much in it as a line of text has."""
    cv2, (rows, columns) = _cv2(), mask.shape
    size = -(-columns // _EIGHTH), -(-rows // _EIGHTH)
    share = cv2.resize(mask.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    dense = cv2.blur(share, (_TILES, 1)) > _DENSE
    place = []
    for axis, whole in ((1, rows), (0, columns)):
        at = np.flatnonzero(dense.any(axis=axis)) * _EIGHTH
        place.append(slice(max(int(at[0]) - _ROOM, 0), min(int(at[-1]) + _ROOM, whole)) if at.size else slice(0, 0))
    return place[0], place[1]


@cache
def _cv2() -> ModuleType:
    import cv2

    cv2.setNumThreads(1)  # work is spread over processes
    return cv2
