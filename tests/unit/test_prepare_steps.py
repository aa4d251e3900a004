"""Each op does to numbers what its summary says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from filmroom.prepare.recipe import parse
from filmroom.prepare.steps import Grid, Lut, Modality, Picture, run
from filmroom.records import Reason

Pixels = NDArray[np.generic]
RAMP = np.arange(12, dtype=np.int16).reshape(3, 4)
GRID = Grid((1.0, 1.0, 2.0), (10.0, 20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def outcome(picture: Picture, op: str, rest: str = "") -> Picture | Reason:
    kind = "volume" if picture.grid else "image"
    return run(parse(f'name = "r"\nkind = "{kind}"\n[[step]]\nop = "{op}"\n{rest}').steps, picture)


def after(picture: Picture, op: str, rest: str = "") -> Picture:
    found = outcome(picture, op, rest)
    assert isinstance(found, Picture)
    return found


def grey(pixels: Pixels, modality: Modality | None = None, *, monochrome1: bool = False) -> Picture:
    return Picture(pixels, 0.0, 4095.0, modality or Modality(), monochrome1)


def close(found: Pixels, wanted: object) -> None:
    np.testing.assert_allclose(np.asarray(found, np.float64), np.asarray(wanted, np.float64), rtol=1e-5)


def test_rescale_is_slope_and_intercept_once() -> None:
    picture = after(grey(RAMP, Modality(2.0, -1024.0)), "rescale")
    np.testing.assert_array_equal(picture.pixels, RAMP * np.float32(2) - 1024)
    assert (picture.pixels.dtype.name, picture.low, picture.high) == ("float32", -1024.0, 7166.0)
    np.testing.assert_array_equal(after(picture, "rescale").pixels, picture.pixels)


def test_a_slope_that_leads_nowhere_is_refused() -> None:
    refused = outcome(grey(RAMP, Modality(1e300, 0.0)), "rescale")
    assert isinstance(refused, Reason)


def test_rescale_by_table_holds_its_ends() -> None:
    table = Lut(2, np.array([100, 50, 7], np.uint16))
    picture = after(grey(RAMP, Modality(9.0, 9.0, table)), "rescale")
    assert picture.pixels.ravel()[:6].tolist() == [100, 100, 100, 50, 7, 7]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_monochrome1_is_mirrored_and_monochrome2_is_not(dtype: type[np.generic]) -> None:
    picture = Picture(np.array([[0, 1], [2, 255]], dtype), 0.0, 255.0, monochrome1=True)
    mirrored = after(picture, "invert-monochrome1")
    assert mirrored.pixels.tolist() == [[255, 254], [253, 0]]
    assert mirrored.pixels.dtype == dtype
    assert after(mirrored, "invert-monochrome1").pixels.tolist() == mirrored.pixels.tolist()


def test_mirroring_after_rescale_is_rescaling_after_mirroring() -> None:
    steps = [f'[[step]]\nop = "{op}"\n' for op in ("rescale", "invert-monochrome1")]
    head = 'name = "r"\nkind = "image"\n'
    picture = Picture(RAMP, 0.0, 4095.0, Modality(2.0, -5.0), monochrome1=True)
    one, other = (run(parse(head + "".join(order)).steps, picture) for order in (steps, steps[::-1]))
    assert isinstance(one, Picture)
    assert isinstance(other, Picture)
    close(one.pixels, other.pixels)


def test_colour_becomes_luma_and_colour_is_refused_where_grey_is_meant() -> None:
    colour = Picture(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8), 0.0, 255.0)
    close(after(colour, "to-grey").pixels, [[76.245, 149.685]])
    refused = outcome(colour, "window", "center = 1\nwidth = 2")
    assert isinstance(refused, Reason)
    assert refused.code == "colour"


def test_a_window_goes_from_0_to_1() -> None:
    assert after(grey(RAMP), "window", "center = 4\nwidth = 4").pixels.ravel()[1:8].tolist() == [
        0,
        0,
        0.25,
        0.5,
        0.75,
        1,
        1,
    ]


def test_normalize_is_by_percentile_and_a_constant_is_0() -> None:
    pixels = after(grey(RAMP), "normalize", "low = 0\nhigh = 100").pixels
    close(pixels.ravel(), np.arange(12) / 11)
    assert not after(grey(np.full((3, 3), 7)), "normalize").pixels.any()
    assert isinstance(outcome(grey(np.full((2, 2), np.nan, np.float32)), "normalize"), Reason)


def test_resize_keeps_edges_and_means() -> None:
    pixels = np.repeat(np.arange(8, dtype=np.float32)[None], 6, axis=0)
    half = after(grey(pixels), "resize", "rows = 3\ncolumns = 4").pixels
    close(half, np.repeat([[0.5, 2.5, 4.5, 6.5]], 3, axis=0))
    twice = after(grey(pixels), "resize", "rows = 6\ncolumns = 16").pixels
    close(twice[0, :4], [0, 0.25, 0.75, 1.25])
    colour = Picture(np.zeros((6, 8, 3), np.uint8), 0.0, 255.0)
    assert after(colour, "resize", "rows = 3\ncolumns = 4").pixels.shape == (3, 4, 3)


def test_resample_keeps_places_in_the_patient() -> None:
    z, y, x = np.meshgrid(np.arange(5) * 2.0, np.arange(4), np.arange(6), indexing="ij")
    place = (100 * z + 10 * y + x).astype(np.float32)
    picture = after(Picture(place, 0.0, 1e4, grid=GRID), "resample", "spacing-mm = [1, 1, 0.5]")
    assert picture.pixels.shape == (9, 4, 11)
    z, y, x = np.meshgrid(np.arange(9), np.arange(4), np.arange(11) / 2, indexing="ij")
    close(picture.pixels, 100 * z + 10 * y + x)
    assert picture.grid is not None
    assert (picture.grid.spacing, picture.grid.origin) == ((0.5, 1.0, 1.0), GRID.origin)


def test_resample_refuses_to_fill_the_memory() -> None:
    grid = Grid((100.0, 100.0, 100.0), GRID.origin, GRID.direction)
    refused = outcome(
        Picture(np.zeros((50, 50, 50), np.int16), 0, 1, grid=grid), "resample", "spacing-mm = [0.1, 0.1, 0.1]"
    )
    assert isinstance(refused, Reason)


@pytest.mark.parametrize(
    ("have", "want"), [((4, 4), (2, 2)), ((5, 5), (2, 2)), ((2, 3), (5, 8)), ((9, 2), (4, 6)), ((1, 1), (1, 1))]
)
def test_crop_or_pad_keeps_the_centre(have: tuple[int, int], want: tuple[int, int]) -> None:
    pixels = np.arange(1, have[0] * have[1] + 1, dtype=np.int16).reshape(have)
    found = after(grey(pixels), "crop-or-pad", f"shape = {list(want)}\nvalue = -1").pixels
    assert found.shape == want
    assert found.dtype == np.int16
    kept = tuple(min(pair) for pair in zip(have, want, strict=True))
    assert (found != -1).sum() == kept[0] * kept[1]
    start = [(n - k) // 2 for n, k in zip(have, kept, strict=True)]
    np.testing.assert_array_equal(
        found[found != -1], pixels[start[0] : start[0] + kept[0], start[1] : start[1] + kept[1]].ravel()
    )


def test_crop_or_pad_fills_with_what_the_type_has_or_becomes_float() -> None:
    picture = after(Picture(np.ones((2, 2), np.uint8), 0.0, 255.0), "crop-or-pad", "shape = [4, 4]\nvalue = -1000")
    assert (picture.pixels.dtype.name, picture.pixels[0, 0]) == ("float32", -1000)


def test_crop_moves_the_origin() -> None:
    picture = after(Picture(np.zeros((8, 8, 8), np.int16), 0, 1, grid=GRID), "crop-or-pad", "shape = [4, 8, 6]")
    assert picture.grid is not None
    assert picture.grid.origin == (11.0, 20.0, 34.0)


@pytest.mark.parametrize(
    ("to", "rest", "values", "wanted"),
    [
        ("uint8", "", [-5, 0.5, 1.5, 300], [0, 0, 2, 255]),
        ("uint8", "scale = true", [0, 0.5, 1, 2], [0, 128, 255, 255]),
        ("int16", "", [-4e4, -3.2, 7, np.nan], [-32768, -3, 7, 0]),
        ("uint16", "scale = true", [0, 1, 0.25, np.inf], [0, 65535, 16384, 65535]),
        ("float16", "", [0.5, -2, np.nan, 0], [0.5, -2, np.nan, 0]),
    ],
)
def test_dtype_rounds_and_cuts_off(to: str, rest: str, values: list[float], wanted: list[float]) -> None:
    pixels = after(grey(np.array([values], np.float32)), "dtype", f'type = "{to}"\n{rest}').pixels
    assert pixels.dtype == to
    np.testing.assert_array_equal(pixels, np.array([wanted], to))


def test_what_float16_cannot_hold_is_refused() -> None:
    assert isinstance(outcome(grey(np.array([[1e6]], np.float32)), "dtype", 'type = "float16"'), Reason)
