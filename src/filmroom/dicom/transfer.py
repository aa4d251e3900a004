"""What of a stored object can be given to others, and in which encoding: whole, or frame by frame.

Frames come as they are stored wherever that is asked for; decoding is `dicom.pixels`' business. Frames are numbered from
1, as in DICOM. Source: PS3.5 section 8 and annex A, PS3.18 8.7.3.
"""

import copy

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.uid import UID

from filmroom.dicom.encode import encode
from filmroom.dicom.parse import read
from filmroom.dicom.pixels import Frame, frame_count, frames
from filmroom.dicom.walk import (
    DEFLATED,
    EXPLICIT_LITTLE,
    FAILURES,
    IMPLICIT_LITTLE,
    meta_text,
)
from filmroom.errors import NotFound, Unreadable

OCTETS = "application/octet-stream"

_LITTLE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED})
_4 = "1.2.840.10008.1.2.4."
MEDIA = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    **{f"{_4}{process}": "image/jpeg" for process in (50, 51, 53, 55, 57, 70)},
    **{f"{_4}{process}": "image/jls" for process in (80, 81)},
    **{f"{_4}{process}": "image/jp2" for process in (90, 91)},
    **{f"{_4}{process}": "image/jphc" for process in (201, 202, 203)},
}
"""The media type of a compressed frame by its transfer syntax (PS3.18 table 8.7.3-5)."""


def syntax_of(dataset: Dataset) -> str:
    """Return the transfer syntax that the bytes have, as `parse.read` found it."""
    return meta_text(getattr(dataset, "file_meta", None), 0x00020010)


def is_native(syntax: str) -> bool:
    """Say whether an object of this transfer syntax can be given as explicit VR little endian without decoding."""
    return syntax in _LITTLE


def explicit_little(data: bytes) -> bytes:
    """Return the object in explicit VR little endian. Raises Unreadable when it is not native little endian or broken."""
    dataset = read(data)
    syntax = syntax_of(dataset)
    if not is_native(syntax):
        raise Unreadable("this object cannot be given in explicit VR little endian", "ask for transfer-syntax=*")
    if syntax == EXPLICIT_LITTLE:
        return data
    fresh = copy.copy(dataset)
    fresh.file_meta = FileMetaDataset()
    fresh.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    return encode(fresh)


def check_numbers(dataset: Dataset, numbers: list[int]) -> None:
    """Raises NotFound for a frame that the object does not have."""
    count = frame_count(dataset)
    if any(not 1 <= number <= count for number in numbers):
        raise NotFound("the object does not have all of these frames", f"it has {count}, counted from 1")


def stored_frame(dataset: Dataset, number: int) -> bytes:
    """Return one frame as it lies in the object: a codestream, or samples in little endian order.

    Raises NotFound when there is no such frame, Unreadable when the frames cannot be told apart.
    """
    check_numbers(dataset, [number])
    syntax = syntax_of(dataset)
    try:
        if syntax in MEDIA or (not is_native(syntax) and _is_encapsulated(dataset)):
            return get_frame(
                dataset.PixelData,
                number - 1,
                number_of_frames=frame_count(dataset),
                extended_offsets=_offsets(dataset),
            )
        if is_native(syntax):
            return _native(dataset, number)
    except FAILURES as error:
        raise Unreadable(f"its frames cannot be told apart ({type(error).__name__})", "retrieve the instance") from None
    return decoded_frame(dataset, number)


def decoded_frame(dataset: Dataset, number: int) -> bytes:
    """Return one frame's samples in little endian order, colours as RGB of 8 bits. Raises like `single_frame`."""
    frame = single_frame(dataset, number)
    return np.ascontiguousarray(frame).astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()


def single_frame(dataset: Dataset, number: int) -> Frame:
    """Decode one frame and no other, as `pixels.frames` does.

    Raises NotFound when there is no such frame, Unreadable when it cannot be decoded.
    """
    check_numbers(dataset, [number])
    return next(frames(dataset, range(number - 1, number)))


def _is_encapsulated(dataset: Dataset) -> bool:
    return bool(dataset["PixelData"].is_undefined_length)


def _offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        return dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
    return None


def _native(dataset: Dataset, number: int) -> bytes:
    """Cut one frame out of uncompressed pixel data; frames of one-bit images need not begin at a byte (PS3.5 8.1.1)."""
    keyword = next(name for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if name in dataset)
    data = bytes(dataset[keyword].value)
    samples = int(dataset.get("SamplesPerPixel", 1) or 1)
    bits = int(dataset.BitsAllocated)
    pixels = int(dataset.Rows) * int(dataset.Columns) * samples
    if str(dataset.get("PhotometricInterpretation", "")) == "YBR_FULL_422":
        pixels = pixels * 2 // 3
    if bits != 1:
        size = pixels * bits // 8
        frame = data[(number - 1) * size : number * size]
    else:
        size = (pixels + 7) // 8
        first = (number - 1) * pixels
        packed = np.frombuffer(data[first // 8 : (first + pixels + 7) // 8], np.uint8)
        spread = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + pixels]
        frame = np.packbits(spread, bitorder="little").tobytes()
    if len(frame) != size:
        raise ValueError  # shorter than promised
    return frame
