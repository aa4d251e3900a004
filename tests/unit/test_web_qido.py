"""Query parameters become conditions, and nothing that a client writes gets out of its quotes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from filmroom.catalog.query import compile_where
from filmroom.errors import Invalid
from filmroom.records import Level
from filmroom.web import qido


def where(*parameters: tuple[str, str]) -> str:
    return qido.read({}, parameters).where


@pytest.mark.parametrize(
    ("name", "value", "condition"),
    [
        ("PatientID", "O'Hara", "(patient_id = 'O''Hara')"),
        ("00100020", "A*B?", "(patient_id LIKE 'A%B_')"),
        ("StudyDate", "20240131", "(study_date = '2024-01-31')"),
        ("StudyDate", "20240101-20240131", "(study_date >= '2024-01-01' AND study_date <= '2024-01-31')"),
        ("StudyDate", "-20240131", "(study_date <= '2024-01-31')"),
        ("StudyDate", "20240131-", "(study_date >= '2024-01-31')"),
        ("ModalitiesInStudy", "ct", "(modality_received = 'CT')"),
        ("StudyInstanceUID", "1.2,1.3\\1.4", "(study_uid IN ('1.2', '1.3', '1.4'))"),
        ("InstanceNumber", "+7", "(instance_number = 7)"),
        ("SliceThickness", "1.50", "(slice_thickness_mm = 1.50)"),
        ("PatientName", "*", ""),
        ("StudyTime", "", ""),
        ("00081030", "", ""),
        ("includefield", "all", ""),
    ],
)
def test_a_matching_key_becomes_a_condition(name: str, value: str, condition: str) -> None:
    assert where((name, value)) == condition
    compile_where(where((name, value)), Level.STUDY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PatientName", "Secret"),
        ("StudyDate", "Secret"),
        ("StudyDate", "2024-01-01"),
        ("InstanceNumber", "Secret"),
        ("limit", "-1"),
        ("offset", "Secret"),
        ("offset", "9999999"),
        ("Secret", "1"),
        ("RequestAttributesSequence.ScheduledProcedureStepID", "Secret"),
        ("PatientAge", "045Y"),
    ],
)
def test_what_cannot_be_searched_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(Invalid) as refusal:
        where((name, value))
    assert "Secret" not in str(refusal.value)


KEYS = ["PatientID", "00100020", "StudyDescription", "ImageType", "Modality", "StudyInstanceUID", "StudyDate", "Rows"]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.text(max_size=30)), max_size=4))
def test_any_value_is_a_condition_of_the_closed_language_or_refused(parameters: list[tuple[str, str]]) -> None:
    try:
        condition = qido.read({"StudyInstanceUID": "1' OR '1' = '1"}, parameters).where
    except Invalid:
        return
    try:
        compile_where(condition, Level.INSTANCE)
    except Invalid as refusal:
        assert "date" in str(refusal)  # a day that no calendar has


@given(st.text(max_size=40).filter(lambda text: "*" not in text and "?" not in text and text.strip()))
def test_a_text_reaches_the_database_as_it_was_written(text: str) -> None:
    compiled = compile_where(where(("StudyDescription", text)), Level.STUDY).compile(dialect=sqlite.dialect())
    expected = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\u2400")
    assert expected in compiled.params.values()


def test_limits_are_capped_and_fuzzy_matching_is_answered_with_a_warning() -> None:
    search = qido.read({}, [("limit", "99999999"), ("offset", "5"), ("fuzzymatching", "true")])
    assert (search.limit, search.offset) == (qido.MAX_LIMIT, 5)
    assert "fuzzy" in search.warnings[0]
