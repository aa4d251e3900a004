"""Text in pictures, read by PP-OCRv4. Home of rapidocr_onnxruntime, the extra `[ocr]`; its models lie in its wheel.

The same picture gives the same lines on one machine. Another processor can round otherwise and move a box by a pixel.
"""

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from filmroom.ports import Readers
from filmroom.records import Line

if TYPE_CHECKING:
    from rapidocr_onnxruntime import RapidOCR

PACKAGE = "rapidocr-onnxruntime"
USUAL, LARGE = 736, 900
"""Shorter sides in pixels that text of 8 to 26 pixels is read at: what the models were made for, and another."""
_LARGER = 4


def is_installed() -> bool:
    return importlib.util.find_spec("rapidocr_onnxruntime") is not None


@cache
def readers() -> Readers | None:
    """Return who reads text in pixels, None where the extra is not installed."""
    return Readers(first=Reader(USUAL), second=Reader(LARGE)) if is_installed() else None


class Reader:
    """Reads text after making a picture larger until its shorter side has `side` pixels, but no more than four times.

    Loads its models when first used.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._engine: RapidOCR | None = None

    def read(self, picture: NDArray[np.uint8]) -> tuple[Line, ...]:
        """Return what looks like lines of text in a grey picture (rows, columns), also what could hardly be read."""
        if self._engine is None:
            self._engine = _engine()
        self._engine.text_det.limit_side_len = min(self._side, _LARGER * min(picture.shape))
        found, _ = self._engine(picture, use_cls=False)
        return tuple(_line(corners, str(text), float(confidence)) for corners, text, confidence in found or ())


def _engine() -> "RapidOCR":
    from rapidocr_onnxruntime import RapidOCR

    # one thread: work is spread over processes, and sums come out in the same order
    return RapidOCR(text_score=0.0, intra_op_num_threads=1, inter_op_num_threads=1)


def _line(corners: list[list[float]], text: str, confidence: float) -> Line:
    left, top = (int(min(corner[axis] for corner in corners)) for axis in (0, 1))
    right, bottom = (int(max(corner[axis] for corner in corners)) + 1 for axis in (0, 1))
    return Line(top=top, left=left, bottom=bottom, right=right, text=text, confidence=confidence)
