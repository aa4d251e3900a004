"""The value of Pixel Data for a copy: the same bytes, without the places in it that can hold text and are no pixels.

From compressed frames the comment and application segments go (JPEG COM and APPn but for JFIF and Adobe; JPEG 2000
COM) and what lies behind the end of the codestream; from uncompressed words the bits that the image does not use; and
what is longer than the image. Nothing is decoded and nothing is encoded again. Text inside the picture is not seen here.

Sources: PS3.5 8.1 and A.4, ITU-T T.81 annex B, ITU-T T.87, ITU-T T.800 annex A.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragments, generate_frames

from filmroom.dicom.walk import FAILURES
from filmroom.records import Reason

EXPLICIT_LITTLE, EXPLICIT_BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
NATIVE = frozenset({"1.2.840.10008.1.2", EXPLICIT_LITTLE, EXPLICIT_BIG, "1.2.840.10008.1.2.1.99"})
_RLE = "1.2.840.10008.1.2.5"
_JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
SYNTAXES = NATIVE | _JPEG | _JPEG_2000 | {_RLE}

_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")  # neither stuffing nor a restart marker
_KEPT_APPS = (0xE0, 0xEE)
_SOC, _SOT, _SOD, _EOC = b"\xff\x4f", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_J2K_COM, _J2K_LENGTHS = b"\xff\x64", (b"\xff\x55", b"\xff\x57", b"\xff\x58")  # TLM, PLM, PLT


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The value to write, how many frames lost a segment or tail, and whether words had their unused bits cleared."""

    value: bytes
    frames_stripped: int
    bits_cleared: bool


def clean(value: bytes, dataset: Dataset, syntax: str) -> Cleaned | Reason:
    """Return what may be written of the Pixel Data `value` of `dataset`, or why it cannot be told."""
    try:
        if syntax in NATIVE:
            return _native(value, dataset, big=syntax == EXPLICIT_BIG)
        return _encapsulated(value, int(dataset.get("NumberOfFrames") or 1), syntax)
    except FAILURES as error:  # a message could quote a value
        return Reason("pixel-data-not-cleanable", f"the pixel data cannot be taken apart ({type(error).__name__})")


def _native(value: bytes, dataset: Dataset, *, big: bool) -> Cleaned | Reason:
    allocated, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or dataset.BitsAllocated)
    high, signed = int(dataset.get("HighBit", stored - 1)), bool(dataset.get("PixelRepresentation", 0))
    samples: float = int(dataset.get("SamplesPerPixel") or 1)
    if str(dataset.get("PhotometricInterpretation", "")).endswith("_422"):
        samples = 2
    count = int(int(dataset.Rows) * int(dataset.Columns) * samples) * int(dataset.get("NumberOfFrames") or 1)
    needed = (count * allocated + 7) // 8
    if len(value) < needed:
        return Reason("pixel-data-short", "the pixel data is shorter than its dimensions")
    value = value[:needed] + bytes(needed % 2)
    if stored == allocated:
        return Cleaned(value, 0, False)
    if allocated not in (8, 16, 32) or not 0 < stored <= high + 1 <= allocated:
        return Reason("pixel-data-not-cleanable", "the bits of the pixel data are none that can be cleared")
    words = np.frombuffer(value[:needed], dtype=f"{'>' if big else '<'}u{allocated // 8}")
    low = high + 1 - stored
    field = words & ((1 << stored) - 1 << low)
    if np.array_equal(field, words):
        return Cleaned(value, 0, False)
    above = (1 << allocated) - (1 << high + 1)
    extended = np.where(words >> high & 1, field | above, field).astype(words.dtype)
    if signed and low == 0:
        if np.array_equal(extended, words):  # sign extension, not something hidden
            return Cleaned(value, 0, False)
        field = extended
    return Cleaned(field.tobytes() + bytes(needed % 2), 0, True)


def _encapsulated(value: bytes, frames: int, syntax: str) -> Cleaned:
    found = list(generate_frames(value, number_of_frames=frames))
    if len(found) != frames:
        raise ValueError
    strip = _STRIPPERS.get(syntax)
    stripped = [strip(frame) for frame in found] if strip else found
    changed = sum(len(before) - len(after) > 1 for before, after in zip(found, stripped, strict=True))
    if not changed and encapsulate(found, has_bot=False) == value:
        return Cleaned(value, 0, False)  # nothing but the frames in there: an empty offset table, one fragment each
    if not changed and sum(1 for _ in generate_fragments(value)) > frames:
        stripped = found
    return Cleaned(encapsulate(stripped, has_bot=True), changed, False)


def _strip_jpeg(frame: bytes) -> bytes:
    """Return a JPEG or JPEG-LS frame without COM and APPn (APP0 and APP14 stay), up to its end of image."""
    if frame[:2] != b"\xff\xd8":
        raise ValueError
    out, at, in_scan = [frame[:2]], 2, False
    while True:
        marker = _MARKER.search(frame, at)
        if marker is None:
            raise ValueError
        if in_scan:
            out.append(frame[at : marker.start()])
        elif frame[at : marker.start()].strip(b"\xff"):
            raise ValueError  # between segments nothing but fill bytes has a place
        at, kind = marker.start(), frame[marker.start() + 1]
        if kind == 0xD9:
            return b"".join(out) + frame[at : at + 2]
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        if end < at + 4 or end > len(frame):
            raise ValueError
        is_text = kind == 0xFE or (0xE0 <= kind <= 0xEF and kind not in _KEPT_APPS)
        if not is_text:
            out.append(frame[at:end])
        at, in_scan = end, kind == 0xDA


def _strip_jpeg_2000(frame: bytes) -> bytes:
    """Return a JPEG 2000 codestream without COM, up to its end; a JP2 file is refused, its boxes can hold anything.

    Where a tile-part lost a segment its length is put right and the optional length markers go.
    """
    if frame[:2] != _SOC:
        raise ValueError
    main, at = _header(frame, 2, _SOT)
    parts, changed = [], False
    while frame[at : at + 2] == _SOT:
        size = int.from_bytes(frame[at + 6 : at + 10], "big")
        end = at + size if size else frame.rindex(_EOC)
        if end > len(frame) or end < at + 14:
            raise ValueError
        head, data = _header(frame, at + 12, _SOD)
        kept = b"".join(segment for segment in head if segment[:2] != _J2K_COM)
        lost = (data - at - 12) - len(kept)
        changed = changed or lost > 0
        length = (size - lost if size else 0).to_bytes(4, "big")
        parts.append(frame[at : at + 6] + length + frame[at + 10 : at + 12] + kept + frame[data:end])
        at = end
    if not parts or frame[at : at + 2] != _EOC:
        raise ValueError
    unwanted = (_J2K_COM, *_J2K_LENGTHS) if changed else (_J2K_COM,)
    return _SOC + b"".join(segment for segment in main if segment[:2] not in unwanted) + b"".join(parts) + _EOC


def _header(frame: bytes, at: int, stop: bytes) -> tuple[list[bytes], int]:
    """Return the marker segments from `at` to the marker `stop`, and where that stands."""
    segments = []
    while frame[at : at + 2] != stop:
        end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        if frame[at : at + 1] != b"\xff" or end < at + 4 or end > len(frame):
            raise ValueError
        segments.append(frame[at:end])
        at = end
    return segments, at


_STRIPPERS: Mapping[str, Callable[[bytes], bytes]] = {
    **dict.fromkeys(_JPEG, _strip_jpeg),
    **dict.fromkeys(_JPEG_2000, _strip_jpeg_2000),
}
