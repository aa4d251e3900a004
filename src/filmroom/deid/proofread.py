"""Reads the pixels of a copy once more, for the verifier, and otherwise than they were read before something was blanked.

Every pixel is shown by how much it differs from what is around it, dark on bright, so that text stands out on any ground; the
reader is another one, with another scale. Every frame is looked at for what is lined up as letters are (`lineup`); what is
waits for a person when the reader finds a line of text there too, or when it is long. Nothing is shared with `redact` but
the choice of frames, which begins elsewhere.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from filmroom.deid import glance, lineup
from filmroom.deid.eyes import Extent
from filmroom.deid.identifiers import Identifiers, in_reading
from filmroom.dicom import pixels
from filmroom.dicom.pixels import Frame
from filmroom.ports import TextReader
from filmroom.records import Finding, Line, Severity

_FEWEST = 3
_MOST_LINES = 64  # of one object are read; more are held for text
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_REACH, _NOISE, _GAIN = 12, 6.0, 48.0


def text_in(dataset: Dataset, forbidden: Identifiers, reader: TextReader, extent: Extent) -> set[Finding]:
    """Return what is legible, or could be, in the pixels: REVIEW for any text, ERROR for one of the source's identifiers.

    With FRAMES, chosen frames are read whole. Raises Unreadable for what cannot be decoded.
    """
    found = set[Finding]()
    for frame in glance.frames(dataset, offset=0.5) if extent is Extent.FRAMES else ():
        found |= _findings(reader.read(relief(frame)), forbidden)
    return found | _lined_up(dataset, forbidden, reader)


def _findings(lines: Sequence[Line], forbidden: Identifiers) -> set[Finding]:
    found, texts = set[Finding](), [line.text for line in glance.legible(lines, _FEWEST)]
    if texts:
        found.add(Finding("text-in-pixels", Severity.REVIEW, "PixelData"))
    if any(in_reading(text, forbidden) for text in (*texts, " ".join(texts))):
        found.add(Finding("identifier-in-pixels", Severity.ERROR, "PixelData"))
    return found


def _lined_up(dataset: Dataset, forbidden: Identifiers, reader: TextReader) -> set[Finding]:
    """Return what is legible where marks are lined up in any frame, and whether they are text though it is not."""
    found, count = set[Finding](), 0
    for frame in pixels.frames(dataset):
        grey = _grey(frame)
        for line in lineup.lines(grey):
            count += 1
            read = reader.read(relief(grey[line.place()])) if count <= _MOST_LINES else ()
            found |= _findings(read, forbidden)
            if read or line.is_long or count > _MOST_LINES:
                found.add(Finding("looks-like-text", Severity.REVIEW, "PixelData"))
    return found


def is_legible(frame: Frame, reader: TextReader) -> bool:
    """Say whether there may be text in a frame."""
    return bool(glance.legible(reader.read(relief(frame)), _FEWEST))


def lines(frame: Frame, reader: TextReader) -> list[Line]:
    """Return what may be text in a frame: what is read, and what is lined up as letters are."""
    lined_up = [
        Line(top=line.top, left=line.left, bottom=line.bottom, right=line.right, text="", confidence=0)
        for line in lineup.lines(_grey(frame))
    ]
    return [*glance.legible(reader.read(relief(frame)), _FEWEST), *lined_up]


def relief(frame: Frame) -> NDArray[np.uint8]:
    """Return how far each pixel is above (dark) or below (bright) the mean around it, in local standard deviations."""
    grey = _grey(frame)
    low, high = np.percentile(grey, (0.5, 99.5))
    levels = (grey - low) * np.float32(255 / max(high - low, 1e-6))
    mean = _mean_around(levels)
    deviation = np.sqrt(np.maximum(_mean_around(levels * levels) - mean * mean, 0))
    return np.asarray(np.clip(128 - _GAIN * (levels - mean) / (deviation + _NOISE), 0, 255), np.uint8)


def _grey(frame: Frame) -> NDArray[np.float32]:
    return np.asarray(frame.astype(np.float32) @ _LUMA if frame.ndim == 3 else frame.astype(np.float32))


def _mean_around(levels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of the square around each pixel, by differences of sums."""
    size = 2 * _REACH + 1
    sums = np.pad(levels, ((_REACH + 1, _REACH), (_REACH + 1, _REACH)), mode="edge").astype(np.float64)
    sums[0], sums[:, 0] = 0, 0
    sums = sums.cumsum(0).cumsum(1)
    return (sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]) / size**2
