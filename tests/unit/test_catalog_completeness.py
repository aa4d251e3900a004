"""What is missing is seen where it can be seen, and what is commonly sent is not suspected."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filmroom.catalog.completeness import lacks
from filmroom.dicom.geometry import place
from filmroom.records import Reason, SeriesFacts, Slice

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def stack(*numbers: int, spacing: float = 2.5, plane: str | None = "axial") -> tuple[Slice, ...]:
    """Slices with these numbers, each where its number says."""
    return tuple(
        Slice(number, plane, None if plane is None else number * spacing, "ORIGINAL\\PRIMARY", 1) for number in numbers
    )


def numbered(*numbers: int | None) -> tuple[Slice, ...]:
    return tuple(Slice(number, None, None, "", 1) for number in numbers)


def at(*positions: float) -> tuple[Slice, ...]:
    """Slices at these places, numbered anew without a hole."""
    return tuple(Slice(number, "axial", position, "", 1) for number, position in enumerate(positions, 1))


def codes(slices: tuple[Slice, ...], modality: str = "CT") -> list[str]:
    return [reason.code for reason in lacks(SeriesFacts(modality=modality, slices=slices))]


@pytest.mark.parametrize(
    "slices",
    [
        (),
        stack(1),
        stack(*range(1, 40)),
        stack(*range(7, 40)),  # nobody can see that the first six are missing
        numbered(*range(1, 40)),
        numbered(1, 11, 21, 31),  # numbers that count in tens
        numbered(3, 1000, 77_777),  # numbers that do not count
        numbered(None, None),
        numbered(1, 1, 2, 2, 3, 3),  # several echoes
        stack(*range(1, 9)) + stack(*range(1, 9)),  # several times
        at(0, 5, 10, 15, 25, 35, 45),  # wider above the skull base
        at(0, 1.0, 2.7, 3.1, 9.9, 12),  # drawn by hand
        at(0, 2.5, 5.01, 7.49, 10),  # jitter
        tuple(Slice(number, "axial", position, "", 1) for number, position in ((2, 0.0), (3, 1), (7, 2), (9, 3))),
    ],
)
def test_what_is_commonly_sent_is_not_suspected(slices: tuple[Slice, ...]) -> None:
    assert codes(slices) == []


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_a_hole_in_the_numbers_is_named(modality: str) -> None:
    facts = SeriesFacts(modality=modality, slices=numbered(1, 2, 3, 5, 9, 10, 11, 12))
    assert lacks(facts) == (Reason("numbers-missing", "instance numbers 4, 6-8 are missing"),)


def test_many_holes_are_named_up_to_a_bound() -> None:
    kept = [number for number in range(1, 100) if number % 4]
    (reason,) = lacks(SeriesFacts(modality="CT", slices=numbered(*kept)))
    assert reason.detail.startswith("instance numbers 4, 8, 12,")
    assert reason.detail.endswith("40 and more are missing")


def test_a_hole_between_slices_is_seen_although_the_numbers_were_made_anew() -> None:
    (reason,) = lacks(SeriesFacts(modality="CT", slices=at(0, 2, 4, 6, 12, 14, 16)))
    assert reason == Reason("slices-missing", "2 slices are missing between others")


def test_a_localizer_or_a_frame_of_many_says_nothing() -> None:
    scout = Slice(1, "sagittal", 0.0, "ORIGINAL\\PRIMARY\\LOCALIZER", 1)
    assert codes((scout, *stack(3, 4, 5, 6))) == []
    assert codes(tuple(Slice(number, None, None, "", 40) for number in (1, 2, 4))) == []


def test_other_modalities_number_as_they_like() -> None:
    assert codes(numbered(1, 2, 5), "US") == []


def test_fewer_than_announced_is_said_of_every_modality() -> None:
    facts = SeriesFacts(
        modality="DX", slices=numbered(1, 2), announced=3, study_announced=10, study_instances=9, waiting=1
    )
    assert [reason.code for reason in lacks(facts, 4)] == [
        "series-short",
        "study-short",
        "in-quarantine",
        "delivery-short",
    ]
    assert lacks(SeriesFacts(modality="DX", slices=numbered(1, 2), announced=2), 0) == ()


def test_a_short_delivery_is_remembered_until_another_is_about_the_series() -> None:
    before = (Reason("delivery-short", "its delivery brought 4 objects fewer than announced"),)
    facts = SeriesFacts(modality="DX", slices=numbered(1), standing=before)
    assert lacks(facts) == before
    assert lacks(facts, 0) == ()


@settings(deadline=None)
@given(st.integers(4, 60), st.integers(-5, 500), st.floats(0.3, 20), st.data())
def test_a_slice_lost_from_the_middle_is_always_missed(
    count: int, first: int, spacing: float, data: st.DataObject
) -> None:
    numbers = list(range(first, first + count + 1))
    assert codes(stack(*numbers, spacing=spacing)) == []
    numbers.pop(data.draw(st.integers(1, count - 1)))
    assert codes(stack(*numbers, spacing=spacing)) in (["slices-missing"], ["numbers-missing"])
    assert codes(numbered(*numbers)) == ["numbers-missing"]


# -- where a slice lies --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "cosines", "where"),
    [
        ((1, 2, 30), AXIAL, ("axial", 30.0)),
        ((1, 2, 30), (-1, 0, 0, 0, 1, 0), ("axial", 30.0)),  # seen from the other side
        ((1, 2, 30), (0, 1, 0, 0, 0, -1), ("sagittal", 1.0)),
        ((1, 2, 30), (1, 0, 0, 0, 0, -1), ("coronal", 2.0)),
        ((0, 0, 10), (1, 0, 0, 0, 0.8, 0.6), ("axial", 8.0)),
    ],
)
def test_a_slice_lies_in_a_plane(
    position: tuple[float, ...], cosines: tuple[float, ...], where: tuple[str, float]
) -> None:
    assert place(position, cosines) == where


@pytest.mark.parametrize(
    ("position", "cosines"),
    [
        ((), ()),
        ((0, 0), AXIAL),
        ((0, 0, 0), (1, 0, 0, 1, 0, 0)),
        ((0, 0, 0), (0,) * 6),
        ((0, 0, 1e300), AXIAL),
        ((0, 0, float("nan")), AXIAL),
        ((0, 0, 0), (1e200, 0, 0, 0, 1e200, 0)),
    ],
)
def test_what_is_no_place_is_none(position: tuple[float, ...], cosines: tuple[float, ...]) -> None:
    assert place(position, cosines) is None
