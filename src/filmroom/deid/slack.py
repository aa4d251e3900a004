"""Looks for bytes in encapsulated Pixel Data that are no picture; the verifier's own reading of the codestreams.

It shares nothing with what takes such bytes out. A frame is walked by its markers, and every segment must be one of a
short list, of the length that its own numbers give. Text at the end of a scan or a tile-part, where a decoder no longer
reads, is found with the decoder: the suspicious bytes are altered, and if the picture stays the same they were none.
Text of fewer than five letters and digits in a row at such a place is not found.

Sources: ITU-T T.81 annex B, ITU-T T.87 annex C, ITU-T T.800 annex A, PS3.5 A.4 and annex G.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from filmroom.dicom import pixels
from filmroom.errors import Unreadable

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_FEWEST = 5
_TEXT = re.compile(rb"[0-9A-Za-z]{%d,}" % _FEWEST)
_TAIL = 256
_RLE = "1.2.840.10008.1.2.5"
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_FRAME_HEADERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})
_TABLE_FREE = {0xDD: 2, 0xDC: 2, 0xF8: 11, 0xE0: 14, 0xEE: 12}  # segments of one length: DRI, DNL, LSE, JFIF, Adobe
_J2K_MAIN = frozenset({0x50, 0x51, 0x52, 0x53, 0x55, 0x56, 0x59, 0x5C, 0x5D, 0x5E, 0x5F})
_J2K_TILE = frozenset({0x52, 0x53, 0x58, 0x5C, 0x5D, 0x5E, 0x5F})


def items(value: bytes) -> list[bytes]:
    """Return the fragments of encapsulated Pixel Data, the offset table first. Raises ValueError for anything else."""
    found, at = [], 0
    while value[at : at + 4] == _ITEM:
        end = at + 8 + int.from_bytes(value[at + 4 : at + 8], "little")
        if end > len(value):
            raise ValueError
        found.append(value[at + 8 : end])
        at = end
    if not found or value[at:] not in (b"", _END):
        raise ValueError
    return found


def is_tight(dataset: Dataset) -> bool:
    """Say whether encapsulated Pixel Data is an offset table and one frame a fragment, and a frame nothing but a picture.

    Raises ValueError, IndexError, struct.error or Unreadable for what cannot be read.
    """
    table, *frames = items(dataset.PixelData)
    count = pixels.frame_count(dataset)
    starts = [0]
    for frame in frames:
        starts.append(starts[-1] + 8 + len(frame))
    if len(frames) != count or table not in (b"", struct.pack(f"<{count}L", *starts[:-1])):
        return False
    return all(_is_picture(frame, dataset) for frame in frames)


def _is_picture(frame: bytes, dataset: Dataset) -> bool:
    if str(dataset.file_meta.TransferSyntaxUID) == _RLE:
        return _is_tight_rle(frame, dataset)
    if frame[:2] == b"\xff\xd8":
        spans = _jpeg_scans(frame)
    elif frame[:2] == b"\xff\x4f":
        spans = _tile_parts(frame)
    else:
        return False
    return spans is not None and not any(_is_ignored(frame, start, end, dataset) for start, end in spans)


def _is_ignored(frame: bytes, start: int, end: int, dataset: Dataset) -> bool:
    """Say whether text-like bytes just before `end` can be altered without another picture coming out."""
    for found in _TEXT.finditer(frame, max(start, end - _TAIL), end):
        altered = bytearray(frame)
        for at in range(found.end() - _FEWEST, found.end()):  # what stands before may still be picture
            altered[at] ^= 0x15
        if _decoded(bytes(altered), dataset) == _decoded(frame, dataset):
            return True
    return False


def _decoded(frame: bytes, dataset: Dataset) -> bytes | None:
    alone = Dataset(dict(dataset.items()))
    alone.file_meta = dataset.file_meta
    # new elements: setting the value of one that is there would change it in `dataset` too
    alone.add_new("NumberOfFrames", "IS", 1)
    alone.add_new("PixelData", "OB", encapsulate([frame]))
    alone["PixelData"].is_undefined_length = True
    try:
        return b"".join(picture.tobytes() for picture in pixels.frames(alone))
    except Unreadable:
        return None


# -- JPEG and JPEG-LS ----------------------------------------------------------------------------------------------


def _jpeg_scans(frame: bytes) -> list[tuple[int, int]] | None:
    """Return where the scans of a JPEG or JPEG-LS frame lie, None when something in it is no picture."""
    spans: list[tuple[int, int]] = []
    waiting: set[tuple[int, int]] = set()  # tables defined and not referred to yet
    seen: set[int] = set()
    scanned, at = False, 2
    quantizers: dict[int, int] = {}
    while at + 2 <= len(frame):
        kind = frame[at + 1]
        if frame[at] != 0xFF or kind in _STANDALONE:
            return None
        if kind == 0xFF:
            at += 1
            continue
        if kind == 0xD9:
            return spans if scanned and not waiting and frame[at + 2 :] in (b"", b"\0") else None
        body = frame[at + 4 : at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")]
        defined = _defined(kind, body)
        if not _is_needed(kind, body, seen) or defined is None or defined & waiting:
            return None
        seen.add(kind)
        waiting |= defined
        if kind in _FRAME_HEADERS:
            quantizers = {body[6 + 3 * n]: body[8 + 3 * n] for n in range(body[5])}
        at += 4 + len(body)
        if kind == 0xDA:
            waiting -= _referred(body, quantizers)
            end = _scan_end(frame, at, is_ls=0xF7 in seen)
            spans.append((at, end))
            scanned, at = True, end
    return None


def _scan_end(frame: bytes, at: int, *, is_ls: bool) -> int:
    while True:
        at = frame.index(b"\xff", at)
        following = frame[at + 1]
        is_data = following < 0x80 if is_ls else following == 0 or following in range(0xD0, 0xD8)
        if not is_data and not (is_ls and following in range(0xD0, 0xD8)):
            return at
        at += 2


def _is_needed(kind: int, body: bytes, seen: set[int]) -> bool:
    if kind in _TABLE_FREE:
        marks = {0xE0: b"JFIF\0", 0xEE: b"Adobe", 0xF8: b"\x01"}
        no_thumbnail = kind != 0xE0 or body[12:] == b"\0\0"
        once = kind not in (0xE0, 0xEE) or kind not in seen
        return len(body) == _TABLE_FREE[kind] and body.startswith(marks.get(kind, b"")) and no_thumbnail and once
    if kind in _FRAME_HEADERS:
        return not seen & _FRAME_HEADERS and len(body) == 6 + 3 * body[5]
    if kind == 0xDA:
        return len(body) == 4 + 2 * body[0]
    return kind in (0xC4, 0xDB)


def _defined(kind: int, body: bytes) -> set[tuple[int, int]] | None:
    """Return the tables that a segment defines, none for one of another kind; None when one comes twice or is cut."""
    found: set[tuple[int, int]] = set()
    at = 0
    while kind in (0xC4, 0xDB) and at < len(body):
        name = (kind, body[at] if kind == 0xC4 else body[at] & 0x0F)
        if name in found:
            return None
        found.add(name)
        at += 17 + sum(body[at + 1 : at + 17]) if kind == 0xC4 else 1 + 64 * (1 + (body[at] >> 4))
    return None if at > len(body) and found else found


def _referred(scan: bytes, quantizers: dict[int, int]) -> set[tuple[int, int]]:
    names: set[tuple[int, int]] = set()
    for n in range(scan[0]):
        component, selectors = scan[1 + 2 * n], scan[2 + 2 * n]
        names |= {(0xC4, selectors >> 4), (0xC4, 0x10 | selectors & 0x0F), (0xDB, quantizers.get(component, -1))}
    return names


# -- JPEG 2000 -----------------------------------------------------------------------------------------------------


def _tile_parts(frame: bytes) -> list[tuple[int, int]] | None:
    """Return where the packets of each tile-part lie, None when something in the codestream is no picture."""
    spans: list[tuple[int, int]] = []
    stated, actual = [], []
    at, allowed = 2, _J2K_MAIN
    tile_end = planned = 0
    while frame[at : at + 2] != b"\xff\xd9":
        kind, body = frame[at + 1], frame[at + 4 : at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")]
        if kind == 0x93:
            if tile_end <= at or (planned and planned != tile_end - at - 2):
                return None
            spans.append((at + 2, tile_end))
            at = tile_end
            continue
        if frame[at] != 0xFF or (kind != 0x90 and kind not in allowed) or not body:
            return None
        if kind == 0x90:
            size = int.from_bytes(body[2:6], "big")
            tile_end, allowed, planned = at + size if size else frame.rindex(b"\xff\xd9"), _J2K_TILE, 0
            actual.append(tile_end - at)
        elif kind == 0x55:
            stated += _lengths(body)
        elif kind == 0x58:
            planned += sum(_varints(body[1:]))
        elif kind not in (0x5C, 0x5D) and re.search(rb"[0-9A-Za-z]{6}", body):
            return None
        at += 4 + len(body)
    fits = not stated or stated == actual
    return spans if spans and fits and frame[at + 2 :] in (b"", b"\0") else None


def _lengths(body: bytes) -> list[int]:
    skip, size = body[1] >> 4 & 3, 4 if body[1] & 0x40 else 2
    return [int.from_bytes(body[n + skip : n + skip + size], "big") for n in range(2, len(body), skip + size)]


def _varints(body: bytes) -> Iterator[int]:
    value = 0
    for byte in body:
        value = value * 128 + (byte & 0x7F)
        if byte < 0x80:
            yield value
            value = 0


# -- RLE -----------------------------------------------------------------------------------------------------------


def _is_tight_rle(frame: bytes, dataset: Dataset) -> bool:
    """Say whether the segments of an RLE frame follow one another and hold one plane each, without unused bits."""
    header = np.frombuffer(frame[:64], "<u4").tolist()
    count, starts = header[0], header[1 : 1 + header[0]]
    allocated = int(dataset.BitsAllocated)
    size = (int(dataset.Rows) * int(dataset.Columns) * min(allocated, 8) + 7) // 8
    if count != int(dataset.SamplesPerPixel) * max(allocated // 8, 1) or any(header[1 + count :]):
        return False
    at, planes = 64, []
    for start in starts:
        if start - at not in (0, 1) or any(frame[at:start]):
            return False
        plane, at = _plane(frame, start, size)
        planes.append(plane)
    if frame[at:] not in (b"", b"\0"):
        return False
    return allocated == int(dataset.BitsStored) or _uses_stored_bits(planes, dataset)


def _plane(frame: bytes, at: int, size: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint8]], int]:
    plane, filled = np.zeros(size, np.uint8), 0
    while filled < size:
        head = frame[at]
        if head == 128:
            raise ValueError
        run = head + 1 if head < 128 else 257 - head
        taken = run if head < 128 else 1
        plane[filled : filled + run] = np.frombuffer(frame[at + 1 : at + 1 + taken], np.uint8)
        filled, at = filled + run, at + 1 + taken
    if filled != size:
        raise ValueError
    return plane, at


def _uses_stored_bits(planes: list[np.ndarray[tuple[int], np.dtype[np.uint8]]], dataset: Dataset) -> bool:
    depth, stored = int(dataset.BitsAllocated) // 8, int(dataset.BitsStored)
    for first in range(0, len(planes), depth):
        value = sum(
            plane.astype(np.int64) << 8 * place for place, plane in enumerate(reversed(planes[first : first + depth]))
        )
        words = np.asarray(value, np.int64)
        signed = np.where(words >> (8 * depth - 1) == 1, words - (1 << 8 * depth), words)
        limit = 1 << (stored - 1)
        plain = bool((words < 2 * limit).all())
        as_signed = bool(((signed >= -limit) & (signed < limit)).all())
        if not plain and not (int(dataset.PixelRepresentation) == 1 and as_signed):
            return False
    return True
