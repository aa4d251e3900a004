"""The value of Pixel Data for a copy: the same bytes, without the places in it that can hold text and are no pixels.

From compressed frames goes what decoding does not need (`frames`) and what lies behind the end of the codestream; from
uncompressed words the bits that the image does not use; and what is longer than the image. No pixel is encoded again.
Text inside the picture is not seen here.

Sources: PS3.5 8.1 and A.4.
"""

from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from filmroom.deid.frames import STRIPPERS, Shape
from filmroom.dicom.walk import FAILURES
from filmroom.records import Reason

EXPLICIT_LITTLE, EXPLICIT_BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
NATIVE = frozenset({"1.2.840.10008.1.2", EXPLICIT_LITTLE, EXPLICIT_BIG, "1.2.840.10008.1.2.1.99"})
SYNTAXES = NATIVE | STRIPPERS.keys()

_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What the pixels of an image look like (PS3.3 C.7.6.3); `high` is the highest bit of a word that is used."""

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int
    stored: int
    high: int
    is_signed: bool
    photometric: str


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The value to write, how many frames lost a segment or tail, and whether words had their unused bits cleared."""

    value: bytes | memoryview = field(repr=False)
    frames_stripped: int
    bits_cleared: bool


def clean(value: bytes, dataset: Dataset, syntax: str) -> Cleaned | Reason:
    """Return what may be written of the Pixel Data `value` of `dataset`, or why it cannot be told."""
    try:
        return clean_image(value, _image(dataset, syntax), syntax)
    except FAILURES as error:  # a message could quote a value
        return Reason("pixel-data-not-cleanable", f"the pixel data cannot be taken apart ({type(error).__name__})")


def clean_image(value: bytes | memoryview, image: Image, syntax: str) -> Cleaned | Reason:
    """Do the same for an image of which the attributes are known. Raises what is in `walk.FAILURES`.

    A view is not copied where nothing has to change.
    """
    if syntax in NATIVE:
        return _native(value, image, big=syntax == EXPLICIT_BIG)
    shape = Shape(
        pixels=image.rows * image.columns,
        samples=image.samples,
        allocated=image.allocated,
        stored=image.stored,
        is_signed=image.is_signed,
    )
    return _encapsulated(bytes(value), image.frames, syntax, shape)


def clean_floats(keyword: str, value: bytes, dataset: Dataset) -> Cleaned | Reason:
    """Return what may be written of the value of Float Pixel Data or Double Float Pixel Data, or why it cannot be told."""
    bits = _FLOAT_BITS[keyword]
    try:
        needed = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1) * bits // 8
        if int(dataset.BitsAllocated) == bits and len(value) >= needed:
            return Cleaned(value[:needed], 0, False)
    except FAILURES:
        pass
    return Reason("pixel-data-short", "the floating point pixels are fewer than its dimensions say, or other numbers")


def _image(dataset: Dataset, syntax: str) -> Image:
    allocated = int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or allocated)
    return Image(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        samples=int(dataset.get("SamplesPerPixel") or 1),
        frames=int(dataset.get("NumberOfFrames") or 1),
        allocated=allocated,
        stored=stored,
        high=int(dataset.get("HighBit", stored - 1)) if syntax in NATIVE else stored - 1,
        is_signed=bool(dataset.get("PixelRepresentation", 0)),
        photometric=str(dataset.get("PhotometricInterpretation", "")),
    )


def _native(value: bytes | memoryview, image: Image, *, big: bool) -> Cleaned | Reason:
    allocated, stored, high = image.allocated, image.stored, image.high
    samples = 2 if image.photometric.endswith("_422") else image.samples
    needed = (image.rows * image.columns * samples * image.frames * allocated + 7) // 8
    if len(value) < needed:
        return Reason("pixel-data-short", "the pixel data is shorter than its dimensions")
    value = bytes(value[:needed]) + b"\0" if needed % 2 else value[:needed]
    if high != stored - 1:
        return Reason("pixel-data-not-cleanable", "High Bit is not the one below Bits Stored")
    if stored == allocated:
        return Cleaned(value, 0, False)
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        return Reason("pixel-data-not-cleanable", "the bits of the pixel data are none that can be cleared")
    words = np.frombuffer(value[:needed], dtype=f"{'>' if big else '<'}u{allocated // 8}")
    if not int(np.bitwise_or.reduce(words)) >> stored:
        return Cleaned(value, 0, False)
    field = words & (1 << stored) - 1
    above = (1 << allocated) - (1 << stored)
    extended = np.where(words >> high & 1, field | above, field).astype(words.dtype)
    if image.is_signed:
        if np.array_equal(extended, words):  # sign extension, not something hidden
            return Cleaned(value, 0, False)
        field = extended
    return Cleaned(field.tobytes() + bytes(needed % 2), 0, True)


def _encapsulated(value: bytes, frames: int, syntax: str, shape: Shape) -> Cleaned:
    found = list(generate_frames(value, number_of_frames=frames))
    if len(found) != frames:
        raise ValueError
    stripped = [STRIPPERS[syntax](frame, shape) for frame in found]
    changed = sum(not _is_padded(before, after) for before, after in zip(found, stripped, strict=True))
    if not changed and encapsulate(found, has_bot=False) == value:
        return Cleaned(value, 0, False)  # nothing but the frames in there: an empty offset table, one fragment each
    return Cleaned(encapsulate(stripped, has_bot=True), changed, False)


def _is_padded(before: bytes, after: bytes) -> bool:
    """Say whether a frame is the same but for the byte that makes its length even."""
    return before == after or before == after + b"\0"
