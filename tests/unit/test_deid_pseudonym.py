"""Pseudonyms: stable in a project, unlinkable between projects, dates moved by whole weeks."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from filmroom.deid.pseudonym import Pseudonyms

ONE, OTHER = Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
texts = st.text(max_size=20)


@given(texts, texts)
def test_the_same_patient_has_the_same_name_and_the_two_projects_have_nothing_in_common(
    issuer: str, number: str
) -> None:
    assert ONE.patient(issuer, number) == Pseudonyms(b"1" * 32).patient(issuer, number)
    assert ONE.patient(issuer, number) != OTHER.patient(issuer, number)
    assert ONE.uid(number) != OTHER.uid(number)
    assert ONE.identifier("accession", number) != OTHER.identifier("accession", number)
    assert ONE.identifier("accession", number) != ONE.identifier("study", number)


@given(texts, texts)
def test_the_issuer_counts_and_does_not_run_into_the_number(issuer: str, number: str) -> None:
    assert ONE.patient(issuer + "x", number) != ONE.patient(issuer, "x" + number)


@given(texts)
def test_a_uid_is_a_version_8_uuid_that_fits(uid: str) -> None:
    mapped = ONE.uid(uid)
    assert mapped.startswith("2.25.") and len(mapped) <= 44
    assert uuid.UUID(int=int(mapped.removeprefix("2.25."))).version == 8


@given(texts, texts)
def test_the_shift_is_whole_weeks_never_zero_at_most_ten_years(issuer: str, number: str) -> None:
    days = ONE.shift_days(issuer, number)
    assert days % 7 == 0 and 7 <= abs(days) <= 3640
    assert days == ONE.shift_days(issuer, number)


def test_shifts_go_both_ways_and_differ_between_patients() -> None:
    shifts = [ONE.shift_days("", str(number)) for number in range(200)]
    assert min(shifts) < 0 < max(shifts) and len(set(shifts)) > 100


def test_a_repr_does_not_show_the_keys() -> None:
    assert repr(ONE) == "Pseudonyms()"
