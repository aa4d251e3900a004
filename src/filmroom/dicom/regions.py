"""Where in an image something is, as text that is the same for the same place.

Numbers are separated by a space, rounded to 4 decimals and written as short as they can be: points one after the other,
(column, row) or (x, y, z) as `records.Space` says; a mask as its rows, its columns and the lengths of its runs, row by
row from the upper left, outside first.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from filmroom.errors import Invalid
from filmroom.records import Region, Shape, Space

SLACK = 1.0
"""How many pixels a point may lie beyond the image: who draws to its edge is not refused."""

_POINTS = {
    Shape.POINT: (1, None),
    Shape.BOX: (2, 2),  # two opposite corners
    Shape.LINE: (2, None),
    Shape.CONTOUR: (3, None),  # closed: the last point is joined to the first
    Shape.CIRCLE: (2, 2),  # centre, and a point on it (PS3.3 C.18.6.1.2)
    Shape.ELLIPSE: (4, 4),  # the ends of the major axis, then of the minor
}
_DIMENSIONS = {Space.PIXEL: 2, Space.PATIENT: 3}
_MOST_PIXELS = 2**28


def region(
    shape: Shape, numbers: Iterable[float], *, mark: str = "", space: Space = Space.PIXEL, frame: int | None = None
) -> Region:
    """Return the region of these points, or of a mask's rows, columns and runs. Raises Invalid when it is none."""
    found = list(numbers)
    if not all(map(math.isfinite, found)) or (frame is not None and frame < 1):
        raise _wrong(shape)
    if shape is Shape.MASK:
        _check_runs(found, space)
    else:
        least, most = _POINTS[shape]
        count, rest = divmod(len(found), _DIMENSIONS[space])
        if rest or count < least or (most is not None and count > most):
            raise _wrong(shape)
    return Region(mark=mark, shape=shape, space=space, frame=frame, geometry=_text(found))


def mask_region(mask: NDArray[np.bool_], *, mark: str = "", frame: int | None = None) -> Region:
    """Return the region of a mask of shape (rows, columns)."""
    flat = mask.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate(([0], changes, [flat.size])))
    start = [0] if flat.size and flat[0] else []
    return region(Shape.MASK, [*mask.shape, *start, *runs.tolist()], mark=mark, frame=frame)


def numbers_of(geometry: str) -> list[float]:
    """Read a geometry's numbers. Raises Invalid for what is no number."""
    try:
        return [float(part) for part in geometry.split()]
    except ValueError:
        raise Invalid("a geometry is numbers with spaces between", "see docs/how-to/labels.md") from None


def mask_of(region: Region) -> NDArray[np.bool_]:
    """Return the mask of shape (rows, columns) of a region that is one."""
    rows, columns, *runs = map(int, region.geometry.split())
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(rows, columns)


def is_within(region: Region, rows: int, columns: int) -> bool:
    """Say whether a region in pixels lies in an image of this size; a mask must have its size."""
    numbers = numbers_of(region.geometry)
    if region.shape is Shape.MASK:
        return numbers[:2] == [rows, columns]
    points = np.array(numbers).reshape(-1, 2)
    return bool((points >= -SLACK).all() and (points <= np.array([columns, rows]) + SLACK).all())


def _check_runs(numbers: list[float], space: Space) -> None:
    if len(numbers) < 3 or any(number < 0 or number != int(number) for number in numbers):
        raise _wrong(Shape.MASK)
    rows, columns, *runs = numbers
    if space is not Space.PIXEL or not 0 < rows * columns < _MOST_PIXELS or sum(runs) != rows * columns:
        raise _wrong(Shape.MASK)


def _wrong(shape: Shape) -> Invalid:
    return Invalid(f"these numbers make no {shape}", "see docs/how-to/labels.md for what each shape takes")


def _text(numbers: Iterable[float]) -> str:
    return " ".join(_short(number) for number in numbers)


def _short(number: float) -> str:
    written = f"{number:.4f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written
