"""Text burned into pixels: rendered in several sizes and contrasts on the real picture, its ink remembered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from bench.deid.bed import Bed
from bench.deid.key import HIDDEN, Burned
from bench.deid.places import LITTLE, is_native

CONTRASTS = ("max", "mid", "low", "black", "over")
NORMAL = frozenset({"max", "mid", "black", "over"})
"""Contrasts that count as normal; `low` is 0.18 of the range from the background, `mid` 0.4."""

_TEXTS = (
    "{WORD}^JOHN A",
    "MRN: {mrn}",
    "DOB {born}",
    "Acc# A{other}",
    "{day} 14:32",
    "ST {WORD} HOSPITAL",
    "Dr. K. {doctor}",
    "Name: {word}",
    "ID {other} F",
)
_SIZES = (10, 11, 12, 14, 16, 18, 22, 26)
_LEAST_SIDE, _FAIR_SIDE = 32, 400
_BACKGROUND, _MID, _LOW = 0.5, 0.4, 0.18
_CORNERS = 5  # the middle of the left edge counts
_IN_EVERY_FRAME = 0.5  # else in one
_INK = 128  # of 255: what of the rendered letters counts as ink


def fits(dataset: Dataset) -> bool:
    """Say whether text can be burned into this file: uncompressed little-endian grey or RGB of 8 or 16 bits."""
    if not is_native(dataset, LITTLE):
        return False
    grey = str(dataset.PhotometricInterpretation).startswith("MONOCHROME") and dataset.SamplesPerPixel == 1
    colour = dataset.PhotometricInterpretation == "RGB" and dataset.get("PlanarConfiguration") == 0
    single = int(dataset.get("NumberOfFrames") or 1) == 1
    large = min(dataset.Rows, dataset.Columns) >= (_LEAST_SIDE if single else _FAIR_SIDE // 4)
    return bool(large and (grey or colour) and dataset.BitsAllocated in (8, 16) and "FloatPixelData" not in dataset)


@dataclass(slots=True)
class _Picture:
    """The frames, each (rows, columns, samples), and the range of values that a text may have."""

    frames: NDArray[np.generic]
    low: float
    high: float
    most: int


@dataclass(frozen=True, slots=True)
class Mark:
    """One text as a machine writes it: what, where and how; the same on each image of a series, as a rule."""

    text: str
    forms: tuple[str, ...]
    corner: int
    contrast: str
    size: int
    in_every_frame: bool


def marks(bed: Bed) -> list[Mark]:
    """Return two texts for the file's series."""
    return [
        Mark(
            *bed.fill(bed.rng.choice(_TEXTS)),
            corner,
            bed.rng.choice(CONTRASTS),
            bed.rng.choice(_SIZES),
            bed.rng.random() < _IN_EVERY_FRAME,
        )
        for corner in bed.rng.sample(range(_CORNERS), 2)
    ]


def burn(bed: Bed, chosen: list[Mark]) -> None:
    """Write texts into the pixels of the file, a small picture being enlarged first by repeating pixels."""
    picture = _open(bed.dataset)
    for mark in chosen:
        _write(bed, picture, mark)
    bed.dataset.PixelData = _even(picture.frames.tobytes())


def _write(bed: Bed, picture: _Picture, mark: Mark) -> None:
    size = mark.size
    room = picture.frames.shape[2] - 8
    ink = _render(mark.text, size)
    while ink.shape[1] > room and size > _SIZES[0]:
        size -= 1
        ink = _render(mark.text, size)
    ink = ink[:, :room]
    top, left = _corner(mark.corner, ink, picture)
    bottom, right = top + ink.shape[0], left + ink.shape[1]
    count = len(picture.frames)
    chosen = range(count) if mark.in_every_frame else [bed.rng.randrange(count)]
    for number in chosen:
        area = picture.frames[number, top:bottom, left:right]
        area[ink] = _value(mark.contrast, area, picture)
    burned = Burned(
        box=(top, left, bottom, right),
        frames=tuple(chosen),
        contrast=mark.contrast,
        size=size,
        ink=tuple(int(at) for at in np.flatnonzero(ink)),
    )
    bed.note(f"burned in:{mark.contrast}", "PixelData", mark.text, mark.forms, action=HIDDEN, burned=burned)


def _open(dataset: Dataset) -> _Picture:
    signed = bool(dataset.get("PixelRepresentation"))
    kind = f"<{'i' if signed else 'u'}{dataset.BitsAllocated // 8}"
    count, rows, columns, samples = (
        int(dataset.get(keyword) or 1) for keyword in ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel")
    )
    needed = count * rows * columns * samples * dataset.BitsAllocated // 8
    frames = np.frombuffer(dataset.PixelData[:needed], dtype=kind).reshape(count, rows, columns, samples).copy()
    if count == 1 and min(rows, columns) < _FAIR_SIDE:
        factor = -(-_FAIR_SIDE // min(rows, columns))
        frames = frames.repeat(factor, axis=1).repeat(factor, axis=2)
        dataset.Rows, dataset.Columns = frames.shape[1], frames.shape[2]
    low, high = np.percentile(frames, (0.5, 99.5))
    most = (1 << (int(dataset.BitsStored) - signed)) - 1
    return _Picture(frames, float(low), max(float(high), float(low) + 20), most)


def _corner(number: int, ink: NDArray[np.bool_], picture: _Picture) -> tuple[int, int]:
    rows, columns = picture.frames.shape[1] - ink.shape[0] - 4, picture.frames.shape[2] - ink.shape[1] - 4
    corners = ((4, 4), (4, columns), (rows, 4), (rows, columns), (rows // 2, 4))
    return corners[number]


def _value(contrast: str, area: NDArray[np.generic], picture: _Picture) -> int:
    span = picture.high - picture.low
    background = (float(np.mean(area.astype(float))) - picture.low) / span
    step = {"mid": _MID, "low": _LOW}.get(contrast)
    if step is not None:
        level = background + step if background < _BACKGROUND else background - step
    else:
        level = 0.0 if contrast == "black" and background > _LOW else 1.0
    if contrast == "over":
        return picture.most
    return int(min(max(picture.low + level * span, min(0, picture.low)), picture.most))


def _render(text: str, size: int) -> NDArray[np.bool_]:
    font = ImageFont.load_default(size)
    left, top, right, bottom = (int(each) for each in font.getbbox(text))
    image = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(image) >= _INK


def _even(value: bytes) -> bytes:
    return value + bytes(len(value) % 2)
