"""From the frames of a series to one volume, or to the reason why they are none.

Frames are sorted by where they lie, never by number or name. Rules: a volume is only made of parallel frames of one size at
equal distances in a straight line; everything else (a localizer in the series, a missing or repeated slice, a tilted
gantry) is a Reason, because an array could not show it.
Source: PS3.3 C.7.6.2.1.1. Coordinates are LPS in mm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filmroom.prepare.frames import Frame, Plane
from filmroom.prepare.steps import Grid, Picture
from filmroom.records import Reason

COSINE_TOLERANCE = 1e-3
SPACING_TOLERANCE = 0.05
"""How far a distance may be from the median distance, as a part of it."""
SAME_PLACE_MM = 1e-3


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume's picture, (slices, rows, columns), and the frames in the order of the slices."""

    picture: Picture
    frames: tuple[Frame, ...]


def assemble(frames: Sequence[Frame]) -> Volume | Reason:
    """Return the volume of these frames. The reason has the code of the first problem and the words of all."""
    problems = _unlike(frames)
    planes = [frame.plane for frame in frames if frame.plane is not None]
    if len(planes) < len(frames):
        problems.append(Reason("no-geometry", "a frame does not say where it lies"))
    else:
        problems += _crooked(planes)
    if problems:
        return _all(problems)
    normal = np.cross(planes[0].row, planes[0].column)
    positions = np.array([plane.position for plane in planes])
    heights = positions @ normal
    ranks = np.argsort(heights, kind="stable")
    problems = _uneven(heights[ranks], positions[ranks], normal)
    if problems:
        return _all(problems)
    ordered = tuple(frames[rank] for rank in ranks.tolist())
    distance = float((heights[ranks[-1]] - heights[ranks[0]]) / (len(frames) - 1))
    plane = planes[ranks.tolist()[0]]
    direction = np.array([plane.row, plane.column, normal]).T
    down, across = plane.spacing
    grid = Grid((across, down, distance), plane.position, tuple(direction.ravel().tolist()))
    pictures = [frame.picture for frame in ordered]
    picture = Picture(
        pixels=np.stack([picture.pixels for picture in pictures]),
        low=min(picture.low for picture in pictures),
        high=max(picture.high for picture in pictures),
        grid=grid,
    )
    return Volume(picture, ordered)


def _unlike(frames: Sequence[Frame]) -> list[Reason]:
    """Return what keeps the frames from being stacked at all."""
    pictures = [frame.picture for frame in frames]
    problems = []
    if len(frames) < 2:
        problems.append(Reason("single-slice", "one frame is no volume"))
    if any(picture.is_colour for picture in pictures):
        problems.append(Reason("colour", "colour frames make no volume; put to-grey before the volume's steps"))
    if len({picture.pixels.shape for picture in pictures}) > 1:
        problems.append(Reason("mixed-size", "frames differ in rows or columns"))
    if len({picture.pixels.dtype for picture in pictures}) > 1:
        problems.append(Reason("mixed-dtype", "frames differ in data type; put rescale first"))
    return problems


def _crooked(planes: Sequence[Plane]) -> list[Reason]:
    """Return what is wrong with orientations and pixel spacings."""
    cosines = np.array([(*plane.row, *plane.column) for plane in planes])
    rows, columns = cosines[:, :3], cosines[:, 3:]
    lengths = np.concatenate([np.linalg.norm(rows, axis=1), np.linalg.norm(columns, axis=1)])
    problems = []
    # Only well-formed positions are added up later: numbers of any size may stand in a file.
    if np.abs([plane.position for plane in planes]).max() > 1e6:
        problems.append(Reason("position", "a frame lies a kilometre away"))
    askew = np.abs(np.sum(rows * columns, axis=1)).max() > COSINE_TOLERANCE
    if askew or np.abs(lengths - 1).max() > COSINE_TOLERANCE:
        problems.append(Reason("orientation", "the axes of a frame are not perpendicular unit vectors"))
    if np.abs(cosines - cosines[0]).max() > COSINE_TOLERANCE:
        problems.append(Reason("mixed-orientation", "frames are not parallel"))
    spacings = np.array([plane.spacing for plane in planes])
    if spacings.min() <= 0 or np.abs(spacings - spacings[0]).max() > 1e-3 * spacings[0].max():
        problems.append(Reason("mixed-spacing", "pixel spacings are not positive or differ"))
    return problems


def _uneven(heights: NDArray[np.float64], positions: NDArray[np.float64], normal: NDArray[np.float64]) -> list[Reason]:
    """Return what is wrong with the distances of frames that are sorted by height."""
    steps = np.diff(heights)
    middle = float(np.median(steps))
    problems = []
    if steps.min() < SAME_PLACE_MM:
        problems.append(
            Reason("duplicate-position", f"{int(np.sum(steps < SAME_PLACE_MM))} frames lie where another lies")
        )
    if middle >= SAME_PLACE_MM:
        if steps.max() > 1.5 * middle:
            problems.append(Reason("gap", f"slices are missing in {int(np.sum(steps > 1.5 * middle))} places"))
        elif np.abs(steps - middle).max() > SPACING_TOLERANCE * middle:
            problems.append(Reason("uneven-spacing", "slices are not at equal distances"))
    beside = positions - positions[0] - np.outer(heights - heights[0], normal)
    if np.abs(np.diff(beside, axis=0)).max() > max(SPACING_TOLERANCE * middle, SAME_PLACE_MM):
        problems.append(Reason("sheared", "slices do not lie one above the other (a tilted gantry)"))
    return problems


def _all(problems: Sequence[Reason]) -> Reason:
    return Reason(problems[0].code, "; ".join(problem.detail for problem in problems))
