"""What a key means is said once for every door, and as exactly as the query language can."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filmroom.catalog import matching
from filmroom.catalog.query import compile_where
from filmroom.dicom.attributes import BY_NAME, COLUMNS
from filmroom.errors import Invalid
from filmroom.records import Level

KEYED = sorted({column.name for column in matching.COLUMN_OF.values()})


@given(st.sampled_from(KEYED), st.text(max_size=40))
def test_every_key_is_a_condition_or_refused_without_its_value(name: str, text: str) -> None:
    try:
        condition = matching.condition(BY_NAME[name], f"Secret{text}")
    except Invalid as refusal:
        assert "Secret" not in str(refusal)
        return
    compile_where(condition, Level.INSTANCE)


@pytest.mark.parametrize(
    ("name", "key", "stored", "fits"),
    [
        ("image_type", "AX*", "ORIGINAL\\PRIMARY\\AXIAL", True),
        ("image_type", "PRIM*AL", "ORIGINAL\\PRIMARY\\AXIAL", False),
        ("image_type", "?RIGINAL", "ORIGINAL\\PRIMARY", True),
        ("image_type", "A*L", "ORIGINAL\\PRIMARY", False),
        ("image_type", "*ab*ab", "abab", True),
        ("image_type", "*ab*ab", "ab", False),
        ("image_type", "a*?b*c", "axbc", True),
        ("image_type", "a*?b*c", "abc", False),
        ("image_type", "*", "", True),
    ],
)
def test_a_wild_card_stands_for_characters_of_one_value(name: str, key: str, stored: str, fits: bool) -> None:
    pattern = matching.pattern(BY_NAME[name], key)
    assert pattern is not None
    assert bool(pattern.match(stored)) is fits


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wild_cards_mean_what_they_mean_in_file_names(key: str, stored: str) -> None:
    pattern = matching.pattern(BY_NAME["image_type"], key)
    assert (key == stored if pattern is None else bool(pattern.match(stored))) is fnmatchcase(stored, key)


def test_wild_cards_without_end_are_answered_all_the_same() -> None:
    for name in ("image_type", "image_type"):
        for key in ("*?" * 30 + "%", "*A" * 30 + "%"):
            pattern = matching.pattern(BY_NAME[name], key)
            assert pattern is not None and not pattern.match("A" * 64)


@pytest.mark.parametrize(
    ("name", "key", "condition"),
    [
        ("series_description", "50%", "series_description = '50%'"),
        ("series_description", "50%_*!?", "series_description LIKE '50!%!_%!!_' ESCAPE '!'"),
        ("modality_received", "c*", "modality_received LIKE 'C%'"),
    ],
)
def test_nothing_but_the_wild_cards_of_dicom_stands_for_something_else(name: str, key: str, condition: str) -> None:
    assert matching.condition(BY_NAME[name], key) == condition
    assert matching.pattern(BY_NAME[name], key) is None


def test_only_text_has_wild_cards_and_a_uid_has_none() -> None:
    for name in ("rows", "study_date", "study_uid"):
        assert matching.pattern(BY_NAME[name], "1*") is None
    assert matching.condition(BY_NAME["study_uid"], "1.2*") == "study_uid = '1.2*'"


def test_what_the_catalog_calculates_is_matched_by_nobody() -> None:
    assert "PatientAge" not in matching.COLUMN_OF and "PixelSpacing" not in matching.COLUMN_OF
    assert {column.dicom for column in COLUMNS if column.dicom} - matching.COLUMN_OF.keys() == {
        "ImageOrientationPatient",
        "PatientAge",
        "PixelSpacing",
    }


@settings(deadline=None)
@given(st.lists(st.text(max_size=3000), max_size=60), st.integers(0, 2500))
def test_a_list_of_any_length_is_asked_for_in_conditions_that_the_language_takes(texts: list[str], more: int) -> None:
    wanted = {*texts, *map(str, range(more))}
    conditions = list(matching.among("sop_uid", wanted))
    for condition in conditions:
        compile_where(condition, Level.INSTANCE)
    assert sum(condition.count(", ") + 1 for condition in conditions) >= len(wanted)
