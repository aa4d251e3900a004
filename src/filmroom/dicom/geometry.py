"""Where a single slice lies: which plane it is in, and how far along that plane's normal. Source: PS3.3 C.7.6.2.1.1.

Coordinates are LPS in mm. The normal is taken to point to the left, to the back or to the head, so that positions of
slices of one plane can be compared whichever way the rows run.
"""

from collections.abc import Sequence
from math import isfinite, sqrt

PLANES = ("sagittal", "coronal", "axial")
"""By the axis along which the slice's normal points most: left, back, head."""

_FAR_MM = 1e6


def place(position: Sequence[float], cosines: Sequence[float]) -> tuple[str, float] | None:
    """Return the plane and the position along its normal, in mm to a hundredth; None for what is no place.

    `position` is Image Position (Patient), `cosines` are Image Orientation (Patient): row, then column.
    """
    if len(position) != 3 or len(cosines) != 6 or not all(map(isfinite, (*position, *cosines))):
        return None
    (rx, ry, rz), (cx, cy, cz) = cosines[:3], cosines[3:]
    normal = (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)
    length = sqrt(sum(each * each for each in normal))
    if not 0.9 < length < 1.1 or max(map(abs, position)) > _FAR_MM:
        return None
    axis = max(range(3), key=lambda each: abs(normal[each]))
    sign = -1 if normal[axis] < 0 else 1
    along = sum(each * there for each, there in zip(normal, position, strict=True)) * sign / length
    return PLANES[axis], round(along, 2)
