"""One compressed frame without the bytes that are no picture: comments, application data, dead tables, slack.

A marker segment has to be one that decoding needs, and as long as the standard says; the rest goes, and what cannot be
told apart raises ValueError. The entropy-coded bytes are copied, so text behind the last coded pixel of a scan stays: the
verifier looks for it with a decoder.

Sources: ITU-T T.81 annex B, ITU-T T.87 annex C, ITU-T T.800 annex A, PS3.5 annex G, JFIF 1.02, Adobe TN 5116.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither stuffing nor a restart marker
_JPEG_LS_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_SOFS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})
_SOI, _EOI, _SOS, _DHT, _DQT, _APP0, _APP14, _LSE = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xE0, 0xEE, 0xF8
_SHORT = frozenset({0xDD, 0xDC})  # DRI, DNL: one 16-bit number
_PRESET_CODING = 13  # the length of LSE with the preset coding parameters

_SOC, _SOT, _SOD, _EOC = b"\xff\x4f", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_TLM, _PLT = 0x55, 0x58
_MAIN = frozenset(
    {0x50, 0x51, 0x52, 0x53, 0x56, 0x59, 0x5C, 0x5D, 0x5E, 0x5F}
)  # CAP SIZ COD COC PRF CPF QCD QCC RGN POC
_TILE = frozenset({0x52, 0x53, 0x5C, 0x5D, 0x5E, 0x5F})
_PACKED_HEADERS = frozenset({0x60, 0x61})
_WORDS = re.compile(rb"[0-9A-Za-z]{6,}")
_QUANTIZATION = frozenset({0x5C, 0x5D})

_RLE_HEADER, _RLE_MOST_SEGMENTS = 64, 15


@dataclass(frozen=True, slots=True)
class Shape:
    """How many pixels and samples a frame has, and which bits of a word are used."""

    pixels: int
    samples: int
    allocated: int
    stored: int
    is_signed: bool


# -- JPEG and JPEG-LS ----------------------------------------------------------------------------------------------

_Key = tuple[int, int]  # DHT or DQT, and which table


@dataclass(frozen=True, slots=True)
class _Part:
    """A marker segment, or the bytes of a scan (`kind` 0). `tables` are those that a DHT or DQT segment defines."""

    kind: int
    data: bytes
    tables: tuple[tuple[_Key, bytes], ...] = ()


def _strip_jpeg(frame: bytes, shape: Shape) -> bytes:
    """Return a JPEG or JPEG-LS frame with what decoding needs, up to its end of image."""
    parts = list(_parts(frame))
    if [part.kind in _SOFS for part in parts].count(True) != 1:
        raise ValueError
    live = _live_tables(parts)
    out = [b"\xff\xd8"]
    for index, part in enumerate(parts):
        if part.tables:
            kept = [table for at, (_, table) in enumerate(part.tables) if (index, at) in live]
            whole = len(kept) == len(part.tables)
            out.append(part.data if whole else _segment(part.kind, b"".join(kept)) if kept else b"")
        else:
            out.append(part.data)
    return b"".join(out) + b"\xff\xd9"


def _parts(frame: bytes) -> Iterator[_Part]:
    if frame[:2] != b"\xff\xd8":
        raise ValueError
    at, in_scan, apps = 2, False, set()
    marker = _JPEG_LS_MARKER if b"\xff\xf7" in frame[:4096] else _JPEG_MARKER
    while True:
        found = marker.search(frame, at)
        if found is None:
            raise ValueError
        if in_scan:
            yield _Part(0, frame[at : found.start()])
        elif frame[at : found.start()].strip(b"\xff"):
            raise ValueError  # between segments nothing but fill bytes has a place
        at, kind = found.start(), frame[found.start() + 1]
        if kind == _EOI:
            return
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        if end < at + 4 or end > len(frame) or kind < 0xC0 or kind == _SOI:
            raise ValueError
        part = _needed(kind, frame[at + 4 : end])
        if part is not None and kind in (_APP0, _APP14):
            if kind in apps:
                raise ValueError
            apps.add(kind)
        if part is not None:
            yield part
        at, in_scan = end, kind == _SOS


def _needed(kind: int, body: bytes) -> _Part | None:
    """Return the part of a segment that decoding needs, None for nothing."""
    if kind in (_DHT, _DQT):
        return _Part(kind, _segment(kind, body), tuple(_tables(kind, body)))
    if kind == _APP0:
        return _Part(kind, _segment(kind, body[:12] + b"\0\0")) if body[:5] == b"JFIF\0" and len(body) >= 14 else None
    if kind == _APP14:
        return _Part(kind, _segment(kind, body[:12])) if body[:5] == b"Adobe" and len(body) >= 12 else None
    if kind in _SOFS:
        fits = len(body) >= 6 and len(body) == 6 + 3 * body[5]
    elif kind == _SOS:
        fits = len(body) >= 1 and len(body) == 4 + 2 * body[0]
    elif kind in _SHORT:
        fits = len(body) == 2
    elif kind == _LSE:
        fits = len(body) == _PRESET_CODING - 2 and body[0] == 1
    else:
        return None
    if not fits:
        raise ValueError
    return _Part(kind, _segment(kind, body))


def _tables(kind: int, body: bytes) -> Iterator[tuple[_Key, bytes]]:
    at = 0
    while at < len(body):
        size = 17 + sum(body[at + 1 : at + 17]) if kind == _DHT else 129 if body[at] >> 4 else 65
        if at + size > len(body):
            raise ValueError
        yield (kind, body[at] if kind == _DHT else body[at] & 15), body[at : at + size]
        at += size


def _live_tables(parts: list[_Part]) -> set[tuple[int, int]]:
    """Return which tables, by part and position in it, a scan refers to after their definition."""
    latest: dict[_Key, tuple[int, int]] = {}
    live: set[tuple[int, int]] = set()
    quantizer: dict[int, int] = {}
    is_lossless = any(part.kind == 0xC3 for part in parts)
    for index, part in enumerate(parts):
        if part.kind in _SOFS:
            quantizer = {part.data[at]: part.data[at + 2] for at in range(10, len(part.data), 3)}
        for position, (key, _) in enumerate(part.tables):
            latest[key] = (index, position)
        if part.kind != _SOS:
            continue
        for at in range(5, 5 + 2 * part.data[4], 2):
            component, selectors = part.data[at], part.data[at + 1]
            used = [(_DHT, selectors >> 4)]
            if not is_lossless:
                used += [(_DHT, 0x10 | selectors & 15), (_DQT, quantizer.get(component, -1))]
            live |= {latest[key] for key in used if key in latest}
    return live


def _segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + (len(body) + 2).to_bytes(2, "big") + body


# -- JPEG 2000 -----------------------------------------------------------------------------------------------------


def _strip_jpeg_2000(frame: bytes, shape: Shape) -> bytes:
    """Return a JPEG 2000 codestream with what decoding needs; a JP2 file is refused, its boxes can hold anything.

    Length markers (TLM, PLT) stay where they say the truth; where a tile-part lost a segment, its length is put right.
    """
    if frame[:2] != _SOC:
        raise ValueError
    main, at = _header(frame, 2, _SOT)
    parts, sizes, is_changed = [], [], False
    while frame[at : at + 2] == _SOT:
        size = int.from_bytes(frame[at + 6 : at + 10], "big")
        end = at + size if size else frame.rindex(_EOC)
        if end > len(frame) or end < at + 14 or frame[at + 2 : at + 4] != b"\0\x0a":
            raise ValueError
        head, data = _header(frame, at + 12, _SOD)
        keep_lengths = _packets(head) == end - data - 2
        kept = b"".join(part for part in head if part[1] in _TILE or (part[1] == _PLT and keep_lengths))
        lost = (data - at - 12) - len(kept)
        is_changed = is_changed or lost > 0
        length = (size - lost if size else 0).to_bytes(4, "big")
        parts.append(frame[at : at + 6] + length + frame[at + 10 : at + 12] + kept + frame[data:end])
        sizes.append(end - at)
        at = end
    if not parts or frame[at : at + 2] != _EOC:
        raise ValueError
    keep_lengths = not is_changed and _tile_parts(main) == sizes
    header = b"".join(part for part in main if part[1] in _MAIN or (part[1] == _TLM and keep_lengths))
    return _SOC + header + b"".join(parts) + _EOC


def _header(frame: bytes, at: int, stop: bytes) -> tuple[list[bytes], int]:
    """Return the marker segments from `at` to the marker `stop`, and where that stands."""
    segments = []
    while frame[at : at + 2] != stop:
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        kind = frame[at + 1]
        if frame[at] != 0xFF or end < at + 4 or end > len(frame) or kind in _PACKED_HEADERS or 0x30 <= kind < 0x40:
            raise ValueError
        if kind in _MAIN and kind not in _QUANTIZATION and _WORDS.search(frame, at + 4, end):
            raise ValueError
        segments.append(frame[at:end])
        at = end
    return segments, at


def _packets(head: list[bytes]) -> int:
    """Return the sum of the packet lengths that PLT segments state, -1 when they break off."""
    total = value = 0
    for byte in b"".join(part[5:] for part in head if part[1] == _PLT):
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            total, value = total + value, 0
    return -1 if value else total


def _tile_parts(main: list[bytes]) -> list[int]:
    """Return the lengths of the tile-parts that TLM segments state."""
    sizes: list[int] = []
    for part in main:
        if part[1] == _TLM:
            index_size, wide = part[5] >> 4 & 3, part[5] >> 6 & 1
            step = index_size + (4 if wide else 2)
            body = part[6:]
            sizes += [int.from_bytes(body[at + index_size : at + step], "big") for at in range(0, len(body), step)]
    return sizes


# -- RLE -----------------------------------------------------------------------------------------------------------


def _strip_rle(frame: bytes, shape: Shape) -> bytes:
    """Return an RLE frame whose segments follow one another and hold one plane of bytes each.

    Raises ValueError when words use bits that the image does not: they cannot be cleared without encoding again.
    """
    count, *offsets = struct.unpack(f"<{1 + _RLE_MOST_SEGMENTS}L", frame[:_RLE_HEADER])
    if count != shape.samples * max(shape.allocated // 8, 1) or count > _RLE_MOST_SEGMENTS:
        raise ValueError
    bounds = [*offsets[:count], len(frame)]
    if bounds != sorted(bounds) or bounds[0] < _RLE_HEADER:
        raise ValueError
    size = (shape.pixels * min(shape.allocated, 8) + 7) // 8
    planes, segments, is_tight = [], [], bounds[0] == _RLE_HEADER and not any(offsets[count:])
    for start, stop in pairwise(bounds):
        plane, used = _unpack_bits(frame[start:stop], size)
        rest = frame[start + used : stop]
        is_tight = is_tight and rest in (b"", b"\0")
        planes.append(plane)
        segments.append(frame[start : start + used] + bytes(used % 2))
    _check_bits(planes, shape)
    if is_tight:
        return frame
    starts, at = [], _RLE_HEADER
    for segment in segments:
        starts.append(at)
        at += len(segment)
    padding = [0] * (_RLE_MOST_SEGMENTS - count)
    return struct.pack(f"<{1 + _RLE_MOST_SEGMENTS}L", count, *starts, *padding) + b"".join(segments)


def _unpack_bits(segment: bytes, size: int) -> tuple[bytes, int]:
    """Return the `size` bytes that a segment holds, and how many of its bytes that takes (PS3.5 G.3.2)."""
    out, at = bytearray(), 0
    while len(out) < size:
        control = segment[at]
        if control < 128:
            out += segment[at + 1 : at + 2 + control]
            at += control + 2
        elif control == 128:
            raise ValueError  # says nothing, and is not written by anybody
        else:
            out += segment[at + 1 : at + 2] * (257 - control)
            at += 2
    if len(out) != size or at > len(segment):
        raise ValueError
    return bytes(out), at


def _check_bits(planes: list[bytes], shape: Shape) -> None:
    unused = shape.allocated - shape.stored
    if not unused or shape.allocated > 32:
        return
    depth = shape.allocated // 8
    for first in range(0, len(planes), depth):
        words = np.zeros(shape.pixels, np.uint32)
        for plane in planes[first : first + depth]:
            words = words << np.uint32(8) | np.frombuffer(plane, np.uint8)
        above = words >> np.uint32(shape.stored)
        sign = words >> np.uint32(shape.stored - 1) & np.uint32(1)
        extended = above == np.where(sign == 1, (1 << unused) - 1, 0)
        if above.any() and not (shape.is_signed and bool(extended.all())):
            raise ValueError


_JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
STRIPPERS: Mapping[str, Callable[[bytes, Shape], bytes]] = {
    **dict.fromkeys(sorted(_JPEG), _strip_jpeg),
    **dict.fromkeys(sorted(_JPEG_2000), _strip_jpeg_2000),
    "1.2.840.10008.1.2.5": _strip_rle,
}
"""What takes a frame apart, by transfer syntax. Each raises ValueError, IndexError or struct.error on what it cannot read."""
