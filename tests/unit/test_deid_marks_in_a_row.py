"""Every slice gets a cheap look on both sides: text in a single one is read, or held; clean noise asks nobody."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from filmroom.deid import lineup, redact, strokes
from filmroom.records import Line

pytest.importorskip("cv2")

SIDE = 160
NAME = "PLANTED^PAULA"
Picture = NDArray[np.uint16]


class Asked:
    """A reader that sees nothing and counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def read(self, picture: NDArray[np.uint8]) -> Sequence[Line]:
        self.times += 1
        return ()


def noisy(seed: int) -> Picture:
    """Return a body on air as a scanner gives it: 1,000 above, and noise of 12."""
    y, x = np.mgrid[:SIDE, :SIDE]
    body = 1000 * np.exp(-(((y - 90) / 40) ** 4) - ((x - 80) / 50) ** 4)
    return np.asarray(np.clip(body + np.random.default_rng(seed).normal(60, 12, body.shape), 0, 4095), "<u2")


def with_text(picture: Picture, above: float, size: int) -> Picture:
    canvas = Image.new("L", picture.shape[::-1])
    ImageDraw.Draw(canvas).text((6, 6), NAME, fill=255, font=ImageFont.load_default(size))
    return np.asarray(picture + above * (np.asarray(canvas) >= 128), picture.dtype)


@pytest.mark.parametrize("above", [1000, 400, 180], ids=["bright", "middling", "faint"])
@pytest.mark.parametrize("size", [10, 14])
def test_either_side_sees_a_name_by_itself(above: float, size: int) -> None:
    picture = with_text(noisy(1), above, size)
    assert strokes.rows(picture)
    assert lineup.lines(picture)


def test_dark_letters_on_a_bright_ground_are_seen_too() -> None:
    picture = np.asarray(4095 - with_text(noisy(1), 1000, 12), "<u2")
    assert strokes.rows(picture)
    assert lineup.lines(picture)


def test_clean_noisy_slices_ask_a_reader_hardly_ever() -> None:
    reader = Asked()
    slices = [noisy(seed) for seed in range(40)]
    for each in slices:
        for row in strokes.rows(each):
            redact.text_in(np.asarray(each[row.surroundings()], np.float32), reader)
    assert reader.times <= 2
    assert sum(bool(lineup.lines(each)) for each in slices) <= 1


def test_a_picture_of_one_grey_has_no_text() -> None:
    blank = np.full((SIDE, SIDE), 7, np.uint8)
    assert strokes.rows(blank) == []
    assert lineup.lines(blank) == []
