"""What the ops of a recipe do, as pure functions from picture to picture.

The home of SimpleITK. Rules: nothing is changed in place; what a picture is not fit for is a Reason, not an exception; the
same picture gives the same values on any number of threads.
Arrays are (rows, columns), (rows, columns, 3) for colour, or (slices, rows, columns) for volumes, whose grid is in patient
coordinates (LPS, mm; PS3.3 C.7.6.2.1.1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from filmroom.prepare.recipe import Step
from filmroom.records import Reason

Pixels: TypeAlias = NDArray[np.generic]
Floats: TypeAlias = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_MAX_VOXELS = 2**29


@dataclass(frozen=True, slots=True)
class Lut:
    """A Modality LUT (PS3.3 C.11.1): `values[0]` is for the stored value `first` and all below."""

    first: int
    values: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Modality:
    """How stored values become modality units: by table if there is one, else slope and intercept."""

    slope: float = 1.0
    intercept: float = 0.0
    lut: Lut | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a volume lies: spacing and origin in mm, axes in the order (x, y, z) = (columns, rows, slices) as in ITK.

    `direction` is the 3x3 matrix, row by row, whose columns are the LPS directions of those axes.
    """

    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels on their way through a recipe. `low` and `high` bound the values that pixels can take."""

    pixels: Pixels
    low: float
    high: float
    modality: Modality = Modality()
    monochrome1: bool = False
    grid: Grid | None = None

    @property
    def is_colour(self) -> bool:
        return self.grid is None and self.pixels.ndim == 3


def run(steps: Sequence[Step], picture: Picture) -> Picture | Reason:
    """Return the picture after all steps, or why the first step that does not fit does not."""
    for step in steps:
        outcome = _STEPS[step.op](step, picture)
        if isinstance(outcome, Reason):
            return outcome
        picture = outcome
    return picture


def rescale(_: Step, picture: Picture) -> Picture | Reason:
    if picture.is_colour:
        return _colour("rescale")
    lut, slope, intercept = picture.modality.lut, picture.modality.slope, picture.modality.intercept
    done = Modality()  # a second rescale finds modality units and changes nothing
    if lut is not None:
        if picture.pixels.dtype.kind not in "iu":
            return Reason("modality-lut", "a Modality LUT needs whole stored values; put rescale first")
        place = np.clip(picture.pixels.astype(np.int64) - lut.first, 0, len(lut.values) - 1)
        pixels = lut.values[place].astype(np.float32)
        ends = (float(lut.values.min()), float(lut.values.max()))
    else:
        # In double precision first: an intercept can be large where what remains is small.
        with np.errstate(over="ignore", invalid="ignore"):
            pixels = (picture.pixels.astype(np.float64) * slope + intercept).astype(np.float32)
        if np.isfinite(picture.pixels).all() and not np.isfinite(pixels).all():
            return Reason("rescale", "slope and intercept lead outside float32")
        ends = (picture.low * slope + intercept, picture.high * slope + intercept)
    return replace(picture, pixels=pixels, low=min(ends), high=max(ends), modality=done)


def invert_monochrome1(_: Step, picture: Picture) -> Picture | Reason:
    if not picture.monochrome1:
        return picture
    if not np.isfinite(picture.low + picture.high):
        return Reason("monochrome1", "the range of the values is unknown, so they cannot be mirrored")
    pixels: Pixels
    if picture.pixels.dtype.kind in "iu":
        mirrored = int(picture.low) + int(picture.high) - picture.pixels.astype(np.int64)
        pixels = mirrored.astype(
            np.result_type(picture.pixels.dtype, np.int8) if mirrored.min(initial=0) < 0 else picture.pixels.dtype
        )
    else:
        pixels = (picture.low + picture.high - picture.pixels.astype(np.float64)).astype(np.float32)
    return replace(picture, pixels=pixels, monochrome1=False)


def to_grey(_: Step, picture: Picture) -> Picture:
    if not picture.is_colour:
        return picture
    return replace(picture, pixels=picture.pixels.astype(np.float32) @ _LUMA)


def window(step: Step, picture: Picture) -> Picture | Reason:
    """Map as VOI LUT function LINEAR_EXACT does (PS3.3 C.11.2.1.3.2), to 0..1."""
    if picture.is_colour:
        return _colour("window")
    center, width = step.number("center"), step.number("width")
    return _unit(picture, center - width / 2, width)


def clip(step: Step, picture: Picture) -> Picture:
    low, high = step.number("low"), step.number("high")
    pixels = np.clip(_floats(picture), np.float32(low), np.float32(high))
    return replace(picture, pixels=pixels, low=low, high=high)


def normalize(step: Step, picture: Picture) -> Picture | Reason:
    finite = picture.pixels[np.isfinite(picture.pixels)] if picture.pixels.dtype.kind == "f" else picture.pixels
    if not finite.size:
        return Reason("no-values", "there is no finite value to normalize by")
    low, high = np.percentile(finite.astype(np.float64), (step.number("low"), step.number("high")))
    if high <= low:
        return replace(picture, pixels=np.zeros(picture.pixels.shape, np.float32), low=0.0, high=1.0)
    return _unit(picture, float(low), float(high - low))


def resize(step: Step, picture: Picture) -> Picture:
    shape = (int(step.number("rows")), int(step.number("columns")))
    pitch = [old / new for old, new in zip(picture.pixels.shape[1::-1], shape[::-1], strict=True)]
    origin = [(step_px - 1) / 2 for step_px in pitch]
    return replace(picture, pixels=_resampled(picture, shape[::-1], pitch, origin))


def resample(step: Step, picture: Picture) -> Picture | Reason:
    grid = picture.grid
    if grid is None:
        return Reason("no-geometry", "resample needs a volume with a position in space")
    wanted = step.numbers("spacing-mm")[::-1]
    sides = picture.pixels.shape[::-1]
    size = [
        floor((side - 1) * old / new + 1e-6) + 1 for side, old, new in zip(sides, grid.spacing, wanted, strict=True)
    ]
    if size[0] * size[1] * size[2] > _MAX_VOXELS:
        return Reason("too-large", "the volume would have more than 2^29 voxels at this spacing")
    pitch = [new / old for old, new in zip(grid.spacing, wanted, strict=True)]
    pixels = _resampled(picture, size, pitch, [0.0, 0.0, 0.0])
    return replace(picture, pixels=pixels, grid=replace(grid, spacing=(wanted[0], wanted[1], wanted[2])))


def crop_or_pad(step: Step, picture: Picture) -> Picture:
    """The grid of a volume moves with it, so that a later resample still knows where the first voxel is."""
    shape = tuple(map(int, step.numbers("shape")))
    value = step.number("value")
    old = picture.pixels
    # A value that the type of the pixels does not have makes them floats.
    dtype = old.dtype if _fits(value, old.dtype) else np.dtype(np.float32)
    new = np.full((*shape, *old.shape[len(shape) :]), value, dtype)
    offsets = [
        (have - want) // 2 if have >= want else -((want - have) // 2)
        for have, want in zip(old.shape, shape, strict=False)
    ]
    spans = list(zip(offsets, old.shape, shape, strict=False))
    source = tuple(slice(max(offset, 0), min(offset + want, have)) for offset, have, want in spans)
    target = tuple(
        slice(max(-offset, 0), max(-offset, 0) + part.stop - part.start)
        for offset, part in zip(offsets, source, strict=True)
    )
    new[target] = old[source]
    grid = picture.grid
    if grid is not None:
        moved = [offset * spacing for offset, spacing in zip(offsets[::-1], grid.spacing, strict=True)]
        origin = np.array(grid.origin) + np.array(grid.direction).reshape(3, 3) @ np.array(moved)
        grid = replace(grid, origin=(float(origin[0]), float(origin[1]), float(origin[2])))
    return replace(picture, pixels=new, low=min(picture.low, value), high=max(picture.high, value), grid=grid)


def dtype(step: Step, picture: Picture) -> Picture | Reason:
    to = np.dtype(str(step.parameters["type"]))
    values = picture.pixels
    if to.kind == "f":
        with np.errstate(over="ignore"):
            pixels: Pixels = values.astype(to)
        if to == np.float16 and not np.array_equal(np.isfinite(pixels), np.isfinite(values)):
            return Reason("overflow", "values lie outside float16; use float32, or scale them before")
        return replace(picture, pixels=pixels)
    ends = np.iinfo(to)
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=ends.max, neginf=ends.min)
    factor = float(ends.max) if step.parameters["scale"] else 1.0
    pixels = np.clip(np.rint(numbers * factor), ends.min, ends.max).astype(to)
    return replace(picture, pixels=pixels, low=float(ends.min), high=float(ends.max))


def _unit(picture: Picture, low: float, width: float) -> Picture:
    values = (picture.pixels.astype(np.float64) - low) / width
    return replace(picture, pixels=np.clip(values, 0.0, 1.0).astype(np.float32), low=0.0, high=1.0)


def _resampled(picture: Picture, size: Sequence[int], pitch: Sequence[float], origin: Sequence[float]) -> Floats:
    """Return the picture on another grid with the same axes, by linear interpolation.

    All in units of old pixels and in ITK's order of axes: `pitch` apart, the first at `origin`. Grids that share their axes
    need no patient coordinates to find each other.
    """
    import SimpleITK as sitk  # takes long to load, and most commands resample nothing

    image = sitk.GetImageFromArray(_floats(picture), isVector=picture.is_colour)
    axes = range(len(size))
    direction = [float(row == column) for row in axes for column in axes]
    still = sitk.Transform(len(size), sitk.sitkIdentity)  # type: ignore[no-untyped-call]
    moved = sitk.Resample(image, list(size), still, sitk.sitkLinear, list(origin), list(pitch), direction)
    return np.asarray(sitk.GetArrayFromImage(moved), dtype=np.float32)


def _fits(value: float, dtype: np.dtype[np.generic]) -> bool:
    if dtype.kind not in "iu":
        return True
    ends = np.iinfo(dtype.name)
    return value.is_integer() and ends.min <= value <= ends.max


def _floats(picture: Picture) -> Floats:
    return np.ascontiguousarray(picture.pixels, dtype=np.float32)


def _colour(op: str) -> Reason:
    return Reason("colour", f"{op} works on grey images; put to-grey before it")


_STEPS: Mapping[str, Callable[[Step, Picture], Picture | Reason]] = MappingProxyType(
    {
        "rescale": rescale,
        "invert-monochrome1": invert_monochrome1,
        "to-grey": to_grey,
        "window": window,
        "clip": clip,
        "normalize": normalize,
        "resize": resize,
        "resample": resample,
        "crop-or-pad": crop_or_pad,
        "dtype": dtype,
    }
)
