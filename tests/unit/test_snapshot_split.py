"""A patient is in one part and stays there whoever comes, and the parts have their fractions of everything."""

import hashlib
from fractions import Fraction
from random import Random
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.errors import Invalid
from filmroom.snapshot.split import Split, assign, is_held_out, keep, parse_split

SUBJECTS = st.from_regex(r"P[A-Z2-7]{16}", fullmatch=True)


@st.composite
def splits(draw: st.DrawFn) -> Split:
    weights = draw(st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(any))
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    text = ",".join(f"part-{number}={share}" for number, share in enumerate(shares))
    return parse_split(text, draw(st.integers(0, 2**31)))


@given(splits())
def test_the_parts_add_up_and_read_back(split: Split) -> None:
    assert sum(share for _, share in split.parts) == 1
    assert parse_split(str(split), split.seed) == split


Strata: TypeAlias = dict[str, tuple[str, ...]]
STRATA: st.SearchStrategy[Strata] = st.dictionaries(
    st.integers(0, 10**6).map(lambda number: f"P{number:06d}"),
    st.tuples(st.sampled_from(["GE", "SIEMENS", "GE+SIEMENS", ""]), st.sampled_from(["yes", "no"])),
    min_size=1,
    max_size=60,
)


def excess(found: dict[str, str], split: Split) -> dict[str, Fraction]:
    """How many patients each part has more than its fraction."""
    return {name: list(found.values()).count(name) - len(found) * share for name, share in split.parts}


@given(STRATA, splits())
def test_everybody_is_in_one_part_and_nobody_in_a_part_of_nothing(strata: Strata, split: Split) -> None:
    found = assign(strata, split, {})
    assert found.keys() == strata.keys()
    assert all(dict(split.parts)[part] > 0 for part in found.values())


@given(STRATA, splits(), st.randoms(use_true_random=False))
def test_it_does_not_matter_in_which_order_patients_were_found(strata: Strata, split: Split, chance: Random) -> None:
    shuffled = list(strata.items())
    chance.shuffle(shuffled)
    assert assign(dict(shuffled), split, {}) == assign(strata, split, {})


@given(STRATA, splits())
def test_every_part_has_its_fraction_of_every_stratum_and_of_all(strata: Strata, split: Split) -> None:
    found = assign(strata, split, {})
    for stratum in set(strata.values()):
        inside = {patient: part for patient, part in found.items() if strata[patient] == stratum}
        assert all(abs(more) < 1 for more in excess(inside, split).values())
    assert all(abs(more) < len(split.parts) for more in excess(found, split).values())


@given(STRATA, STRATA, splits(), splits())
def test_nobody_ever_moves_whoever_comes_and_goes_and_whatever_the_fractions(
    first: Strata, second: Strata, one: Split, other: Split
) -> None:
    before = assign(first, one, {})
    after = assign(second, other, before)
    again = assign(first | second, other, before | after)
    for patient in first.keys() & second.keys():
        assert after[patient] == before[patient] or before[patient] not in other.names
    for patient, part in (before | after).items():
        assert again[patient] == part or part not in other.names


@given(STRATA, STRATA, splits())
def test_who_comes_later_brings_the_parts_as_near_as_they_can_come(first: Strata, second: Strata, split: Split) -> None:
    both = first | second
    found = assign(both, split, assign(first, split, {}))
    for stratum in set(both.values()):
        inside = {patient: part for patient, part in found.items() if both[patient] == stratum}
        new = [patient for patient in inside if patient not in first]
        # A part that got somebody new was behind before.
        for name in {inside[patient] for patient in new}:
            assert excess(inside, split)[name] < 1


def test_what_was_held_out_anywhere_stays_held_out_and_a_version_s_own_parts_come_first() -> None:
    split = parse_split("train=0.5,test=0.5", 0)
    before = [
        (False, "test", "A"),
        (False, "train", "B"),
        (False, "test", "C"),
        (True, "train", "C"),
        (True, "old", "D"),
    ]
    assert keep(before, split) == {"A": "test", "C": "train"}
    assert [is_held_out(name) for name in ("test", "test-2", "holdout", "train", "val")] == [True] * 3 + [False] * 2


def test_another_seed_is_another_split() -> None:
    strata = {f"P{number}": ("",) for number in range(1_000)}
    one, other = (assign(strata, parse_split("a=0.5,b=0.5", seed), {}) for seed in (0, 1))
    assert 400 < sum(one[patient] != other[patient] for patient in strata) < 600


@given(st.sets(SUBJECTS, min_size=1, max_size=20), st.integers(0, 2**31))
def test_the_order_is_what_the_format_page_says(patients: set[str], seed: int) -> None:
    # docs/formats/snapshot.md: with one stratum and halves, first and second take turns.
    ordered = sorted(patients, key=lambda each: hashlib.sha256(f"filmroom/split/2|{seed}|{each}".encode()).digest())
    found = assign(dict.fromkeys(patients, ()), parse_split("a=1/2,b=1/2", seed), {})
    assert [found[patient] for patient in ordered] == [("a", "b")[at % 2] for at in range(len(ordered))]


def test_without_a_split_there_is_one_part() -> None:
    split = parse_split("", seed=7)
    assert (split.names, assign({"P1": ()}, split, {})) == (("all",), {"P1": "all"})


def test_decimals_are_exact() -> None:
    assert parse_split("a=0.1,b=0.2,c=0.7", 0).parts[0] == ("a", Fraction(1, 10))
    assert parse_split(" a = 1/3 , b = 2/3 ", 0).names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("train=0.8,test=0.1", "add up"),
        ("train=0.8,test=0.3", "add up"),
        ("train=1,train=0", "twice"),
        ("train", "NAME=FRACTION"),
        ("train=", "NAME=FRACTION"),
        ("train=x", "NAME=FRACTION"),
        ("train=1/0", "NAME=FRACTION"),
        ("train=nan", "NAME=FRACTION"),
        ("train=-1,test=2", "NAME=FRACTION"),
        ("=1", "cannot be a name"),
        ("Train=1", "cannot be a name"),
        ("train=1,", "NAME=FRACTION"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        parse_split(text, 0)
