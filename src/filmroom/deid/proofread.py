"""Reads the pixels of a copy once more, for the verifier, and otherwise than they were read before something was blanked.

Every pixel is shown by how much it differs from what is around it, dark on bright, so that text stands out on any ground; the
reader is another one, with another scale. Nothing is shared with `redact` but the choice of frames, which begins elsewhere.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from filmroom.deid import glance
from filmroom.deid.identifiers import Identifiers, in_reading
from filmroom.dicom.pixels import Frame
from filmroom.ports import TextReader
from filmroom.records import Finding, Line, Severity

_FEWEST = 3
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_REACH, _NOISE, _GAIN = 12, 6.0, 48.0


def text_in(dataset: Dataset, forbidden: Identifiers, reader: TextReader) -> set[Finding]:
    """Return what is legible, or could be, in the pixels: REVIEW for any text, ERROR for one of the source's identifiers.

    Raises Unreadable for what cannot be decoded.
    """
    found = set()
    for frame in glance.frames(dataset, offset=0.5):
        texts = [line.text for line in glance.legible(reader.read(relief(frame)), _FEWEST)]
        if texts:
            found.add(Finding("text-in-pixels", Severity.REVIEW, "PixelData"))
        if any(in_reading(text, forbidden) for text in (*texts, " ".join(texts))):
            found.add(Finding("identifier-in-pixels", Severity.ERROR, "PixelData"))
    return found


def is_legible(frame: Frame, reader: TextReader) -> bool:
    """Say whether there may be text in a frame."""
    return bool(lines(frame, reader))


def lines(frame: Frame, reader: TextReader) -> list[Line]:
    """Return what may be text in a frame."""
    return glance.legible(reader.read(relief(frame)), _FEWEST)


def relief(frame: Frame) -> NDArray[np.uint8]:
    """Return how far each pixel is above (dark) or below (bright) the mean around it, in local standard deviations."""
    grey = frame.astype(np.float32) @ _LUMA if frame.ndim == 3 else frame.astype(np.float32)
    low, high = np.percentile(grey, (0.5, 99.5))
    levels = (grey - low) * np.float32(255 / max(high - low, 1e-6))
    mean = _mean_around(levels)
    deviation = np.sqrt(np.maximum(_mean_around(levels * levels) - mean * mean, 0))
    return np.asarray(np.clip(128 - _GAIN * (levels - mean) / (deviation + _NOISE), 0, 255), np.uint8)


def _mean_around(levels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of the square around each pixel, by differences of sums."""
    size = 2 * _REACH + 1
    sums = np.pad(levels, ((_REACH + 1, _REACH), (_REACH + 1, _REACH)), mode="edge").astype(np.float64)
    sums[0], sums[:, 0] = 0, 0
    sums = sums.cumsum(0).cumsum(1)
    return (sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]) / size**2
