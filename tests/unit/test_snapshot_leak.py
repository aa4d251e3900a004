"""What leaks between parts is found however many there are, and what stays on one side is none."""

from hypothesis import given
from hypothesis import strategies as st

from filmroom.snapshot.leak import Leak, LeakKind, counts, leaks

PARTS = {"A": "train", "B": "train", "C": "test"}
PIXELS = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(["1", "2", "3", None])), max_size=12)


def test_each_kind_is_told_with_both_sides() -> None:
    found = leaks(PARTS, [("C", "A")], [("B", "1"), ("C", "1")], [("old@1", "test", "A"), ("old@1", "test", "C")])
    assert found == [
        Leak(code=LeakKind.EARLIER_TEST, parts=("test", "train"), patients=("A",), earlier="old@1"),
        Leak(code=LeakKind.SAME_PATIENT, parts=("train", "test"), patients=("A", "C")),
        Leak(code=LeakKind.SAME_PIXELS, parts=("train", "test"), patients=("B", "C")),
    ]
    assert counts(found) == {"earlier-test": 1, "same-patient": 1, "same-pixels": 1}


@given(PIXELS)
def test_pixels_leak_exactly_when_two_parts_have_them(pixels: list[tuple[str, str | None]]) -> None:
    sides: dict[str, set[str]] = {}
    for patient, digest in pixels:
        if digest is not None:
            sides.setdefault(digest, set()).add(PARTS[patient])
    assert bool(leaks(PARTS, [], pixels, [])) == any(len(each) > 1 for each in sides.values())


def test_what_is_on_one_side_does_not_leak() -> None:
    assert not leaks(PARTS, [("A", "B")], [("A", "1"), ("B", "1"), ("C", None), ("A", None)], [("old@1", "train", "C")])
    assert not leaks(PARTS, [], [], [("old@1", "test", "gone"), ("old@1", "holdout", "C")])
