"""Regions: one text for one place, masks that come back as they went, and nothing that makes no shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from filmroom.dicom.regions import is_within, mask_of, mask_region, region
from filmroom.errors import Invalid
from filmroom.records import Shape, Space


@given(arrays.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_a_mask_comes_back_as_it_went(mask: np.ndarray) -> None:
    assert (mask_of(mask_region(mask)) == mask).all()


def test_a_mask_is_its_size_and_its_runs_row_by_row_outside_first() -> None:
    assert mask_region(np.array([[0, 1, 1], [1, 0, 0]], bool)).geometry == "2 3 1 3 2"
    assert mask_region(np.array([[1, 0]], bool)).geometry == "1 2 0 1 1"


def test_numbers_are_written_as_short_as_they_can_be_and_alike() -> None:
    assert region(Shape.POINT, [1.0, -0.00001]).geometry == region(Shape.POINT, [1.00001, 0]).geometry == "1 0"
    assert region(Shape.POINT, [1 / 3, 1e3, -2.5], space=Space.PATIENT).geometry == "0.3333 1000 -2.5"


@pytest.mark.parametrize(
    ("shape", "numbers"),
    [
        (Shape.POINT, []),
        (Shape.POINT, [1]),
        (Shape.BOX, [1, 2]),
        (Shape.LINE, [1, 2]),
        (Shape.CONTOUR, [1, 2, 3, 4]),
        (Shape.CIRCLE, [1, 2, 3, 4, 5, 6]),
        (Shape.ELLIPSE, [1, 2, 3, 4]),
        (Shape.POINT, [1, float("inf")]),
        (Shape.MASK, [2, 2]),
        (Shape.MASK, [2, 2, 5]),
        (Shape.MASK, [2, 2, -1, 5]),
        (Shape.MASK, [2, 2, 1.5, 2.5]),
        (Shape.MASK, [1e6, 1e6, 1e12]),
    ],
)
def test_numbers_that_make_no_shape_are_refused(shape: Shape, numbers: list[float]) -> None:
    with pytest.raises(Invalid):
        region(shape, numbers)


def test_a_region_may_reach_the_edge_and_not_beyond() -> None:
    assert is_within(region(Shape.BOX, [0, 0, 20, 10]), rows=10, columns=20)
    assert not is_within(region(Shape.BOX, [0, 0, 10, 20]), rows=10, columns=20)
    assert is_within(mask_region(np.zeros((10, 20), bool)), rows=10, columns=20)
    assert not is_within(mask_region(np.zeros((20, 10), bool)), rows=10, columns=20)
