"""From a data set to its frames as arrays of stored values, one frame at a time.

No rescale, no window, no presentation: what the scanner stored, except that colour always comes out as RGB, uint8.
Native and RLE data are decoded by pydicom, the rest by the codec that the table below names. A frame is refused
rather than guessed at: its codestream must have the size that the data set says, and be whole. Source: PS3.5 section
8 and annex A, PS3.3 C.7.6.3.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.uid import UID

from filmroom.dicom.walk import EXPLICIT_BIG, FAILURES, meta_text
from filmroom.errors import Unreadable

Frame: TypeAlias = NDArray[np.generic]

_FAILURES = (*FAILURES, RuntimeError, MemoryError)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True, slots=True)
class _Layout:
    """The Image Pixel module of one data set (PS3.3 C.7.6.3)."""

    syntax: str
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    is_signed: bool
    is_planar: bool
    photometric: str

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)


@dataclass(frozen=True, slots=True)
class _Codestream:
    """What a compressed frame says about itself. `is_rgb` is None where it leaves the colours to the data set."""

    rows: int
    columns: int
    components: int
    precision: int
    is_rgb: bool | None = None


def frame_count(dataset: Dataset) -> int:
    """Return the number of frames, 0 when there is no pixel data. Raises Unreadable when it is no number."""
    if not any(keyword in dataset for keyword in _PIXELS):
        return 0
    return max(_whole(dataset, "NumberOfFrames", 1), 1)


def frames(dataset: Dataset, chosen: range | None = None) -> Iterator[Frame]:
    """Decode one frame after the other: all of them, or those whose numbers, from 0, are in `chosen` (of step 1).

    A frame that is not chosen is not decoded.

    Shape (rows, columns), or (rows, columns, 3) uint8 RGB. Stored values: the dtype follows Bits Allocated and Pixel
    Representation, bits above Bits Stored are masked off, negative values sign-extended; one-bit data is uint8 of 0 and
    1; MONOCHROME1 stays as it is. Raises Unreadable, naming the transfer syntax, for what cannot be decoded without
    doubt.
    """
    count = frame_count(dataset)
    wanted = range(count) if chosen is None else chosen
    if not count or not wanted:
        return
    layout = _layout(dataset)
    try:
        done = 0
        for frame in _decoded(dataset, layout, count, wanted):
            done += 1
            yield _coloured(frame, layout, dataset)
        if done != len(wanted):
            raise _unreadable(layout, f"{done} of {len(wanted)} frames are there")
    except _FAILURES as error:
        failed = wanted.start + done
        raise _unreadable(layout, f"frame {failed} cannot be decoded ({type(error).__name__})") from None


def to_jpeg_ls(frame: Frame) -> bytes | None:
    """Return a frame of bytes, grey or RGB, as a lossless JPEG-LS codestream (ITU-T T.87); None when that would be longer."""
    try:
        return bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(frame)))
    except imagecodecs.JpeglsError:
        return None


def _unreadable(layout: _Layout, what: str) -> Unreadable:
    return Unreadable(
        f"pixel data of transfer syntax {layout.syntax}: {what}", "look at the object in the clinical zone"
    )


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    try:
        value = dataset[keyword].value if keyword in dataset else ""
        if value in (None, "") and default is not None:
            return default
        return int(str(value))
    except FAILURES:
        raise Unreadable(f"{keyword} is missing or no number", "it is needed to decode the pixels") from None


def _photometric(dataset: Dataset) -> str:
    try:
        return str(dataset.get("PhotometricInterpretation", "")).strip()
    except FAILURES:
        return ""


def _layout(dataset: Dataset) -> _Layout:
    samples = _whole(dataset, "SamplesPerPixel", 1)
    allocated = _whole(dataset, "BitsAllocated")
    layout = _Layout(
        syntax=meta_text(getattr(dataset, "file_meta", None), 0x00020010),
        rows=_whole(dataset, "Rows"),
        columns=_whole(dataset, "Columns"),
        samples=samples,
        allocated=allocated,
        stored=_whole(dataset, "BitsStored", allocated),
        is_signed=_whole(dataset, "PixelRepresentation", 0) == 1,
        is_planar=samples > 1 and _whole(dataset, "PlanarConfiguration", 0) == 1,
        photometric=_photometric(dataset),
    )
    if samples not in (1, 3):
        raise _unreadable(layout, f"{samples} samples a pixel are not supported")
    if allocated not in (1, 8, 16, 32, 64) or not 0 < layout.stored <= allocated:
        raise _unreadable(layout, "Bits Allocated and Bits Stored make no sense")
    if _whole(dataset, "HighBit", layout.stored - 1) != layout.stored - 1:
        raise _unreadable(layout, "High Bit is not the one below Bits Stored")  # PS3.5 8.1.1: no other place is left
    if samples == 3 and layout.photometric not in _TO_RGB:
        raise _unreadable(layout, "its photometric interpretation is not supported")
    return layout


# -- decoding ------------------------------------------------------------------------------------------------------


def _decoded(dataset: Dataset, layout: _Layout, count: int, wanted: range) -> Iterator[Frame]:
    """Yield the wanted ones of `count` frames with their stored values, colours still as they are stored."""
    codec = _CODECS.get(layout.syntax)
    if codec is None:
        if layout.syntax not in _BY_PYDICOM:
            raise _unreadable(layout, "there is no decoder for it")
        if layout.allocated == layout.samples == 1 and layout.syntax != _RLE and "PixelData" in dataset:
            yield from _one_bit(dataset.PixelData, layout, count, wanted)
            return
        # more pixels than frames is a finding of the parser, not a reason to refuse them
        decoder = get_decoder(UID(layout.syntax))
        # told to go through all by number, pydicom would walk all fragments before each of them
        indices = None if len(wanted) == count else wanted
        found = decoder.iter_array(dataset, indices=indices, raw=True, allow_excess_frames=False)
        for frame, _ in islice(found, len(wanted)):
            yield _significant(frame, layout)
        return
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    parts = generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=offsets)
    for data in islice(parts, wanted.start, wanted.stop):
        frame = codec(data, layout)
        if frame.shape != layout.shape:
            raise _unreadable(layout, "a frame has another size than Rows and Columns say")
        yield frame


def _one_bit(value: bytes, layout: _Layout, count: int, wanted: range) -> Iterator[Frame]:
    """Cut frames out of packed bits: a frame need not begin at a byte (PS3.5 8.1.1), which pydicom loses bits over."""
    packed = np.frombuffer(value, np.uint8)
    size = layout.rows * layout.columns
    if 8 * packed.size < count * size:
        raise _unreadable(layout, "it is shorter than its dimensions")
    for number in wanted:
        first, skipped = divmod(number * size, 8)
        bits = np.unpackbits(packed[first : first + (skipped + size + 7) // 8], bitorder="little")
        yield bits[skipped : skipped + size].reshape(layout.shape)


def _significant(frame: Frame, layout: _Layout, bits_used: int | None = None) -> Frame:
    """Return the values in the container that Bits Allocated asks for, what lies above `bits_used` masked off.

    `bits_used` is Bits Stored where nobody knows better; negative values are sign-extended from it (PS3.5 8.1.1).
    """
    if frame.dtype.kind == "f" or layout.allocated == 1:
        return frame
    bits = layout.allocated
    used = bits_used or layout.stored
    if used > bits:
        raise _unreadable(layout, "its values have more bits than Bits Allocated")
    word = np.dtype(f"u{bits // 8}")
    is_word = frame.dtype.isnative and frame.dtype.kind in "iu" and frame.dtype.itemsize == word.itemsize
    unsigned = frame.view(word) if is_word else frame.astype(word, copy=False)
    if not layout.is_signed:
        return unsigned if used == bits else unsigned & unsigned.dtype.type((1 << used) - 1)
    signed = unsigned.view(np.dtype(f"i{bits // 8}"))
    return signed if used == bits else (signed << (bits - used)) >> (bits - used)


def _from_codec(frame: Frame, layout: _Layout, precision: int) -> Frame:
    """Return a codec's values by Bits Stored if they fit, by the codestream's own precision if not.

    They fit when what lies above Bits Stored is nothing or copies of the sign. Lossy coding can overshoot.
    """
    if precision <= layout.stored or layout.allocated == 1:
        return _significant(frame, layout, precision)
    values = _significant(frame, layout)
    word = np.dtype(f"u{layout.allocated // 8}").type
    given, kept = frame.astype(word, copy=False) & word((1 << precision) - 1), values.astype(word)
    extended, masked = kept & word((1 << precision) - 1), kept & word((1 << layout.stored) - 1)
    fits = bool(((extended == given) | (masked == given)).all())
    return values if fits else _significant(frame, layout, precision)


def _jpeg(data: bytes, layout: _Layout) -> Frame:
    """Decode JPEG of any process (10918-1), colours as RGB when the codestream or the data set says YCbCr."""
    head = _checked(_jpeg_head(data), data, layout)
    if layout.samples == 1:
        return _from_codec(np.asarray(imagecodecs.jpeg8_decode(data)), layout, max(head.precision, layout.stored))
    is_rgb = layout.photometric == "RGB" if head.is_rgb is None else head.is_rgb
    if layout.syntax in _LOSSLESS_JPEG:
        decoded = np.asarray(imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"))
        return decoded if is_rgb else _from_ybr(decoded)
    return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="RGB" if is_rgb else "YCBCR", outcolorspace="RGB"))


def _jpeg_ls(data: bytes, layout: _Layout) -> Frame:
    """Decode JPEG-LS (14495-1), which knows no negative values."""
    head = _checked(_jpeg_head(data), data, layout)
    return _from_codec(np.asarray(imagecodecs.jpegls_decode(data)), layout, head.precision)


def _jpeg_2000(data: bytes, layout: _Layout) -> Frame:
    """Decode JPEG 2000 or HTJ2K; a multiple component transform is undone by the codec."""
    head = _checked(_jpeg_2000_head(data), data, layout)
    return _from_codec(np.asarray(imagecodecs.jpeg2k_decode(data)), layout, head.precision)


def _deflated(data: bytes, layout: _Layout) -> Frame:
    """Decode Deflated Image Frame Compression (PS3.5 A.4.14)."""
    size = layout.rows * layout.columns * layout.samples * layout.allocated // 8
    if layout.allocated == 1:
        size = (layout.rows * layout.columns + 7) // 8
    raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size)
    if layout.allocated == 1:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
        return bits[: layout.rows * layout.columns].reshape(layout.shape)
    flat = _significant(np.frombuffer(raw, np.dtype(f"<u{layout.allocated // 8}")), layout)
    if layout.is_planar:
        return flat.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return flat.reshape(layout.shape)


def _checked(head: _Codestream | None, data: bytes, layout: _Layout) -> _Codestream:
    """Refuse a codestream of another size before a codec makes room for it, and one that is cut off."""
    if head is None:
        raise _unreadable(layout, "a frame is no codestream of this kind")
    if (head.rows, head.columns, head.components) != (layout.rows, layout.columns, layout.samples):
        raise _unreadable(layout, "a frame has another size than Rows and Columns say")
    if data.rfind(b"\xff\xd9") < 0:
        raise _unreadable(layout, "a frame ends early")
    return head


def _jpeg_head(data: bytes) -> _Codestream | None:
    """Read the frame header of a JPEG or JPEG-LS codestream, and whose colours it says it has (JFIF, Adobe, names)."""
    at, is_rgb = 2, None
    if data[:2] != b"\xff\xd8":
        return None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD7:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        if marker == 0xE0 and segment[:4] == b"JFIF":
            is_rgb = False
        elif marker == 0xEE and segment[:5] == b"Adobe" and len(segment) >= 12:
            is_rgb = segment[11] == 0
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            if len(segment) < 6 + 3 * segment[5]:
                return None
            precision, rows, columns, components = struct.unpack(">BHHB", segment[:6])
            if bytes(segment[6:15:3]) in (b"RGB", b"rgb"):
                is_rgb = True
            return _Codestream(rows, columns, components, precision, is_rgb)
        at += 2 + length
    return None


def _jpeg_2000_head(data: bytes) -> _Codestream | None:
    """Read the SIZ segment of a JPEG 2000 codestream (15444-1 A.5.1), in a JP2 file or bare."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 43:
        return None
    right, bottom, left, top = struct.unpack(">4L", data[at + 8 : at + 24])
    components, precision = struct.unpack(">HB", data[at + 40 : at + 43])
    return _Codestream(bottom - top, right - left, components, (precision & 0x7F) + 1)


# -- colours -------------------------------------------------------------------------------------------------------


def _coloured(frame: Frame, layout: _Layout, dataset: Dataset) -> Frame:
    """Turn colour into RGB of 8 bits; leave grey alone."""
    if layout.photometric == "PALETTE COLOR" and layout.samples == 1:
        return _from_palette(frame, layout, dataset)
    if layout.samples == 1:
        return frame
    if layout.allocated != 8:
        frame = (frame.astype(np.uint64) >> np.uint64(max(layout.stored - 8, 0))).astype(np.uint8)
    if layout.syntax in _JPEG_PROCESSES or not _TO_RGB[layout.photometric]:
        return frame
    return _from_ybr(frame)


def _from_ybr(frame: Frame) -> Frame:
    return np.asarray(convert_color_space(frame, "YBR_FULL", "RGB"))


def _from_palette(frame: Frame, layout: _Layout, dataset: Dataset) -> Frame:
    """Look the colours up (PS3.3 C.7.6.3.1.5). Tables of 16 bits are brought to 8 by their high byte."""
    if "PixelPresentation" in dataset:
        raise _unreadable(layout, "a supplemental palette is not supported")
    if "RedPaletteColorLookupTableData" not in dataset:
        coloured = np.asarray(apply_color_lut(np.asarray(frame), dataset))[..., :3]
        return coloured if coloured.dtype == np.uint8 else (coloured >> 8).astype(np.uint8)
    channels = [_palette(dataset, colour, layout) for colour in ("Red", "Green", "Blue")]
    _, first, _ = dataset.RedPaletteColorLookupTableDescriptor
    first = first - 0x10000 if layout.is_signed and first > 0x7FFF else first
    index = np.clip(frame.astype(np.int64) - first, 0, min(map(len, channels)) - 1)
    shift = 8 if max(int(channel.max()) for channel in channels) > 0xFF else 0
    return np.stack([(channel >> shift).astype(np.uint8)[index] for channel in channels], axis=-1)


def _palette(dataset: Dataset, colour: str, layout: _Layout) -> NDArray[np.integer]:
    """Return one channel's table: one byte an entry, two to a word, or 16 bits an entry (PS3.3 C.7.6.3.1.6)."""
    entries = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value[0] or 0x10000
    table = dataset[f"{colour}PaletteColorLookupTableData"].value
    word = np.dtype(">u2" if layout.syntax == EXPLICIT_BIG else "<u2")
    if not isinstance(table, bytes):
        return np.asarray(table, np.uint16)[:entries]
    if len(table) >= 2 * entries:
        return np.frombuffer(table, word, entries).astype(np.uint16)
    if len(table) < entries:
        raise _unreadable(layout, "a palette is shorter than it says")
    return np.frombuffer(np.frombuffer(table, word).astype("<u2").tobytes(), np.uint8)[:entries]


# Whether colours are still YCbCr after decoding. JPEG 2000 undoes RCT and ICT itself.
_TO_RGB = {"RGB": False, "YBR_RCT": False, "YBR_ICT": False, "YBR_FULL": True, "YBR_FULL_422": True}

_RLE = "1.2.840.10008.1.2.5"
_BY_PYDICOM = frozenset(
    {
        "1.2.840.10008.1.2",  # implicit VR little endian
        "1.2.840.10008.1.2.1",  # explicit VR little endian
        "1.2.840.10008.1.2.1.99",  # deflated explicit VR little endian
        "1.2.840.10008.1.2.2",  # explicit VR big endian
        _RLE,
    }
)
_JPEG_4 = "1.2.840.10008.1.2.4."
_LOSSLESS_JPEG = frozenset({f"{_JPEG_4}57", f"{_JPEG_4}70"})
_JPEG_PROCESSES = frozenset({f"{_JPEG_4}50", f"{_JPEG_4}51", f"{_JPEG_4}53", f"{_JPEG_4}55"}) | _LOSSLESS_JPEG

_CODECS: dict[str, Callable[[bytes, _Layout], Frame]] = {
    f"{_JPEG_4}50": _jpeg,  # baseline
    f"{_JPEG_4}51": _jpeg,  # extended, 8 or 12 bit
    f"{_JPEG_4}53": _jpeg,  # spectral selection, retired
    f"{_JPEG_4}55": _jpeg,  # full progression, retired
    f"{_JPEG_4}57": _jpeg,  # lossless, any predictor
    f"{_JPEG_4}70": _jpeg,  # lossless, first-order predictor
    f"{_JPEG_4}80": _jpeg_ls,  # JPEG-LS lossless
    f"{_JPEG_4}81": _jpeg_ls,  # JPEG-LS near-lossless
    f"{_JPEG_4}90": _jpeg_2000,  # lossless
    f"{_JPEG_4}91": _jpeg_2000,  # lossless or lossy
    f"{_JPEG_4}201": _jpeg_2000,  # HTJ2K lossless
    f"{_JPEG_4}202": _jpeg_2000,  # HTJ2K lossless, RPCL
    f"{_JPEG_4}203": _jpeg_2000,  # HTJ2K
    "1.2.840.10008.1.2.8.1": _deflated,  # deflated image frames
}
