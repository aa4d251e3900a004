"""Blanks text in the pixels of a copy, and says so in it.

A frame is read twice: with the grey levels of most of its pixels, in which faint text shows, and with all of them, in which
text does that lies above the anatomy. In every frame, places where letters may stand (`strokes`) are read by themselves, and
the frame when there is text in one. What was read anywhere is blanked in all frames, in the darkest value that the frame has, 3
pixels around it; of ultrasound, so is all outside of its declared regions. No other pixel changes. Uncompressed data are
changed where they lie; compressed frames, when something is blanked, are written in lossless JPEG-LS where a sample is a byte,
and uncompressed otherwise.

It proves nothing, as `apply`: whether text is left is for the verifier to say. Sources: PS3.3 C.7.6.1 (Burned In Annotation),
C.8.5.5 (US regions), PS3.15 E.3.1 (Clean Pixel Data Option).
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TypeAlias

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from filmroom.deid import glance, policy, strokes
from filmroom.deid.devices import Box
from filmroom.deid.frames import STRIPPERS, Shape
from filmroom.deid.pixels import EXPLICIT_BIG, NATIVE
from filmroom.deid.profile import Profile, codes
from filmroom.dicom import encode, pixels, walk
from filmroom.dicom.pixels import Frame
from filmroom.errors import Unreadable
from filmroom.ports import TextReader

Mask: TypeAlias = NDArray[np.bool_]

_AROUND = 3
_FEWEST, _FEWEST_IN_ROW = 2, 3
_MOST_ROWS = 64  # of one object are read by themselves
_MOST_EDGE = 0.02
_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{end}" for end in ("50", "51", "53", "55", "81", "91", "203"))
_ULTRASOUND = frozenset({"1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"})
_IN_PLACE = frozenset({"MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR"})
_PALETTE = [
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Data", "Descriptor")
    ),
    "PaletteColorLookupTableUID",
]
_OF_THE_ENCODING = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_PIXEL_DATA = Tag("PixelData")


def redact(data: bytes, profile: Profile, reader: TextReader, known: Sequence[Box] = ()) -> bytes:
    """Return the copy `data` without what lies in the boxes that are `known`, and without the text that `reader` finds in it.

    The same arguments give the same bytes.

    A copy that cannot be decoded, or not be changed, comes back as it was: the verifier finds the text, or cannot look either.
    """
    try:
        dataset = pydicom.dcmread(BytesIO(data))
        mask = _outside_of_regions(dataset)
        for box in known:
            mask[box.top : box.bottom, box.left : box.right] = True
        for frame in glance.frames(dataset):
            mask |= text_in(glance.grey(frame), reader)
        for picture in _with_text(dataset, reader, mask):
            mask |= text_in(picture, reader)
        received = str(dataset.file_meta.TransferSyntaxUID)
        if mask.any() and not _blank(dataset, mask):
            return data
        _say_so(dataset, profile, received)
        return encode.encode(dataset)
    except (*walk.FAILURES, Unreadable):
        return data


def shows_text(data: bytes, reader: TextReader) -> bool:
    """Say whether `reader` reads text at one of the places of a copy's frames where letters may stand."""
    try:
        dataset = pydicom.dcmread(BytesIO(data))
        return any(True for _ in _with_text(dataset, reader, np.zeros((int(dataset.Rows), int(dataset.Columns)), bool)))
    except (*walk.FAILURES, Unreadable):
        return False


def _with_text(dataset: Dataset, reader: TextReader, mask: Mask) -> Iterator[NDArray[np.float32]]:
    """Yield the frames in which text was read at a place by itself that is not masked, and add that place to the mask."""
    left = _MOST_ROWS
    for frame in pixels.frames(dataset):
        picture = glance.grey(frame)
        if mask.any():
            picture[mask] = picture.min()
        seen = False
        for row in strokes.rows(picture)[:left]:
            left -= 1
            place = row.surroundings()
            text = text_in(picture[place], reader, _FEWEST_IN_ROW)
            if text.any():
                mask[place] |= text
                seen = True
        if seen:
            yield picture


def views(picture: NDArray[np.float32]) -> Iterator[NDArray[np.uint8]]:
    """Yield the picture with the grey levels of most of its pixels, and with all where that makes a difference."""
    lowest, low, high, highest = (float(value) for value in np.percentile(picture, (0, 0.5, 99.5, 100)))
    yield glance.to_bytes(picture, low, high)
    if (low - lowest) + (highest - high) > _MOST_EDGE * (highest - lowest):
        yield glance.to_bytes(picture, lowest, highest)


def text_in(picture: NDArray[np.float32], reader: TextReader, fewest: int = _FEWEST) -> Mask:
    """Return where `reader` reads text in a grey picture, and a little around it."""
    mask = np.zeros(picture.shape, bool)
    for view in views(picture):
        for line in glance.legible(reader.read(view), fewest):
            rows = slice(max(line.top - _AROUND, 0), line.bottom + _AROUND)
            mask[rows, max(line.left - _AROUND, 0) : line.right + _AROUND] = True
    return mask


def _outside_of_regions(dataset: Dataset) -> Mask:
    """Return what is outside of all declared regions of an ultrasound image; nothing where none lies in the image."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    inside = np.zeros((rows, columns), bool)
    regions = dataset.get("SequenceOfUltrasoundRegions") or []
    for region in regions if str(dataset.SOPClassUID) in _ULTRASOUND else []:
        top, bottom, left, right = (
            int(region.get(f"RegionLocation{name}", -1)) for name in ("MinY0", "MaxY1", "MinX0", "MaxX1")
        )
        if 0 <= top < bottom and 0 <= left < right:
            inside[top : bottom + 1, left : right + 1] = True
    return ~inside if inside.any() else inside


def _blank(dataset: Dataset, mask: Mask) -> bool:
    """Blank the masked pixels of every frame, False when that is not possible."""
    syntax, allocated = str(dataset.file_meta.TransferSyntaxUID), int(dataset.BitsAllocated)
    photometric = str(dataset.PhotometricInterpretation)
    if allocated not in (8, 16, 32):
        return False
    if syntax in NATIVE and photometric in _IN_PLACE:
        _put_pixels(dataset, _in_place(dataset, mask, ">" if syntax == EXPLICIT_BIG else "<"))
        return True
    is_grey = photometric.startswith("MONOCHROME")
    if not is_grey and allocated != 8:
        return False
    coded = _coded(dataset, mask, photometric)
    _put_pixels(
        dataset, coded or b"".join(_filled(each, mask, photometric).tobytes() for each in pixels.frames(dataset))
    )
    dataset[_PIXEL_DATA].is_undefined_length = bool(coded)
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless if coded else ExplicitVRLittleEndian
    if not is_grey:
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "RGB", 3, 0
    for keyword in _OF_THE_ENCODING if is_grey else (*_OF_THE_ENCODING, *_PALETTE):
        if keyword in dataset:
            delattr(dataset, keyword)
    return True


def _in_place(dataset: Dataset, mask: Mask, order: str) -> bytes:
    rows, columns, samples = int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel)
    count = pixels.frame_count(dataset)
    word = np.dtype(f"{order}u{int(dataset.BitsAllocated) // 8}")
    value = dataset.PixelData
    if order == ">" and word.itemsize == 1 and dataset[_PIXEL_DATA].VR == "OW":
        value = (
            np.frombuffer(value, "u2").byteswap().tobytes()
        )  # of two bytes in a word the second lies first (PS3.5 8.1.2)
    words = np.frombuffer(value, word, count * rows * columns * samples).copy()
    if samples > 1 and int(dataset.get("PlanarConfiguration") or 0) == 1:
        stored = np.moveaxis(words.reshape(count, samples, rows, columns), 1, 3)
    else:
        stored = words.reshape(count, rows, columns, samples)
    for values, frame in zip(stored, pixels.frames(dataset), strict=True):
        values[mask] = values[_darkest(frame, str(dataset.PhotometricInterpretation))].copy()
    return words.tobytes()


def _coded(dataset: Dataset, mask: Mask, photometric: str) -> bytes | None:
    """Return the blanked frames in lossless JPEG-LS, None where they are no plain bytes or would not become smaller."""
    strip = STRIPPERS[JPEGLSLossless]
    shape = Shape(pixels=mask.size, samples=1, allocated=8, stored=8, is_signed=False)
    coded = []
    for frame in pixels.frames(dataset):
        code = pixels.to_jpeg_ls(_filled(frame, mask, photometric)) if _is_plain(dataset, frame) else None
        if code is None:
            return None
        coded.append(strip(code, shape))
    return encapsulate(coded, has_bot=True)


def _is_plain(dataset: Dataset, frame: Frame) -> bool:
    """Say whether every value of a byte is one of the image's."""
    return frame.dtype == np.uint8 and int(dataset.BitsStored) == 8


def _filled(frame: Frame, mask: Mask, photometric: str) -> Frame:
    filled = frame.copy()
    filled[mask] = frame[_darkest(frame, photometric)]
    return filled.astype(filled.dtype.newbyteorder("<"))


def _darkest(frame: Frame, photometric: str) -> tuple[int, int]:
    """Return where the first of the darkest pixels is."""
    levels = frame.astype(np.int64).sum(axis=2) if frame.ndim == 3 else frame
    columns = int(levels.shape[1])
    at = int(levels.argmax() if photometric == "MONOCHROME1" else levels.argmin())
    return at // columns, at % columns


def _put_pixels(dataset: Dataset, value: bytes) -> None:
    vr = "OW" if int(dataset.BitsAllocated) > 8 or dataset.file_meta.TransferSyntaxUID.is_implicit_VR else "OB"
    dataset[_PIXEL_DATA] = DataElement(_PIXEL_DATA, vr, value + bytes(len(value) % 2))


def _say_so(dataset: Dataset, profile: Profile, received: str) -> None:
    """Write that the pixels were read and cleaned (PS3.15 E.3.1), for the verifier to confirm, and that they once lost detail."""
    sop_class = str(dataset.SOPClassUID)
    decoded = str(dataset.file_meta.TransferSyntaxUID) != received
    if decoded and received in _LOSSY and Tag("LossyImageCompression") in profile.rules[sop_class]:
        dataset.LossyImageCompression = "01"
    if Tag("BurnedInAnnotation") in profile.rules[sop_class]:
        dataset.BurnedInAnnotation = "NO"
    policy.stamp_codes(dataset, codes(profile, sop_class, pixels_cleaned=True))
