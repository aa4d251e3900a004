"""Whether burned-in text is still to be seen, and whether anything else in the picture changed; by pixels, not by reading.

And whether the value of Pixel Data has more in it than a picture, so that a copy may not have all of its bytes.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from bench.deid.key import Burned

_JPEG, _JPEG_2000, _END_OF_IMAGE = b"\xff\xd8", b"\xff\x4f", b"\xff\xd9"
_JPEG_COMMENTS = frozenset({0xFE, *range(0xE1, 0xEE), 0xEF})  # not those of JFIF and Adobe, which say what colours are
_JPEG_2000_COMMENTS = frozenset({0x64})
_IMAGE_STARTS = frozenset({0xDA, 0x90})  # SOS, SOT

Frames = Sequence[NDArray[np.generic]]

HIDDEN_SHARE = 0.8
"""Of the ink, in every frame that shows it: then the text counts as hidden."""

_MARGIN = 16  # pixels around a box that may be blanked with it
_QUARTER = 0.25  # of the text's contrast: a smaller change leaves it readable
_SAME = 0.01  # of a picture may change outside of the boxes


def is_hidden(burned: Burned, before: Frames, after: Frames) -> bool:
    """Say whether a text is gone from every frame. Frames of another number or size show nothing of it."""
    if len(before) != len(after) or before[0].shape != after[0].shape:
        return False
    return all(_ink_gone(burned, before[number], after[number]) >= HIDDEN_SHARE for number in burned.frames)


def is_kept(boxes: Iterable[Burned], before: Frames | None, after: Frames | None) -> bool:
    """Say whether the pictures are the same, what is in or close around the boxes aside."""
    if before is None or after is None or len(before) != len(after):
        return False
    found = list(boxes)
    return all(
        one.shape == other.shape and _changed(number, found, one, other) <= (_SAME if found else 0)
        for number, (one, other) in enumerate(zip(before, after, strict=True))
    )


def has_more_than_pixels(dataset: Dataset) -> bool:
    """Say whether Pixel Data has something of its sender's in a place where texts are planted: nobody has to keep that.

    These are comments and application data of a compressed frame and what lies behind its end, bits that the image does
    not use, and what is longer than it.
    """
    if dataset["PixelData"].is_undefined_length:
        frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
        return any(map(_is_more_than_a_picture, frames))
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    count = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel)
    size = (count * int(dataset.get("NumberOfFrames") or 1) * allocated + 7) // 8
    if len(dataset.PixelData) > size + size % 2:
        return True
    if dataset.get("PixelRepresentation") or allocated not in (8, 16) or stored >= allocated:
        return False
    order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    return bool(np.any(np.frombuffer(dataset.PixelData[:size], f"{order}u{allocated // 8}") >> stored))


def _is_more_than_a_picture(frame: bytes) -> bool:
    """Say so of a JPEG, JPEG-LS or JPEG 2000 frame; of any other it is not known."""
    if frame[:2] not in (_JPEG, _JPEG_2000):
        return False
    at, comments = 2, _JPEG_COMMENTS if frame[:2] == _JPEG else _JPEG_2000_COMMENTS
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] not in _IMAGE_STARTS:
        if frame[at + 1] in comments:
            return True
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return not frame.endswith((_END_OF_IMAGE, _END_OF_IMAGE + b"\0"))


def _ink_gone(burned: Burned, before: NDArray[np.generic], after: NDArray[np.generic]) -> float:
    """Return the share of the ink that changed or no longer differs from what is around it."""
    top, left, bottom, right = burned.box
    old, new = (_grey(frame)[top:bottom, left:right] for frame in (before, after))
    inked = np.zeros(old.size, dtype=bool)
    inked[list(burned.ink)] = True
    ink = inked.reshape(old.shape)
    contrast = abs(float(np.median(old[ink])) - float(np.median(old[~ink])))
    if contrast == 0:
        return 1.0  # nothing to be seen in the first place
    gone = np.abs(new - old) > _QUARTER * contrast
    for start in range(0, old.shape[1], old.shape[0]):  # letter by letter, about
        part = np.s_[:, start : start + old.shape[0]]
        around = new[part][~ink[part]]
        if around.size and not np.array_equal(new[part], old[part]):  # blanked in the ink's own colour
            gone[part] |= np.abs(new[part] - np.median(around)) <= _QUARTER * contrast
    return float(np.mean(gone[ink]))


def _changed(number: int, boxes: list[Burned], before: NDArray[np.generic], after: NDArray[np.generic]) -> float:
    differs = _grey(before) != _grey(after)
    for burned in boxes:
        top, left, bottom, right = burned.box
        differs[max(top - _MARGIN, 0) : bottom + _MARGIN, max(left - _MARGIN, 0) : right + _MARGIN] = False
    return float(np.mean(differs))


def _grey(frame: NDArray[np.generic]) -> NDArray[np.float64]:
    return frame.astype(np.float64).mean(axis=2) if frame.ndim == 3 else frame.astype(np.float64)
