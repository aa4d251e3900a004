"""Label files: a target column, a finding and a value; whatever is wrong is told by its line or column."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.catalog.labels import TARGET_COLUMNS, read_csv
from filmroom.errors import Invalid
from filmroom.records import Level

CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(str.strip)
CODES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+:/<>=-]{0,20}", fullmatch=True)


@given(st.sampled_from(list(TARGET_COLUMNS)), st.lists(st.tuples(CELLS, CODES, CODES, st.none() | CELLS), max_size=5))
def test_what_a_spreadsheet_writes_is_read(column: str, rows: list[tuple[str, str, str, str | None]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column, "finding", "value", "confidence"])
    writer.writerows(rows)
    assert [
        (line.level, line.target, line.finding, line.value, line.confidence) for line in read_csv(text.getvalue())
    ] == [(TARGET_COLUMNS[column], *(cell.strip() for cell in row[:3]), (row[3] or "").strip() or None) for row in rows]


def test_a_byte_order_mark_spaces_and_another_order_of_columns_do_no_harm() -> None:
    (line,) = read_csv("\ufeffvalue , finding,series_instance_uid\n yes , nodule , 1.2 \n")
    assert (line.number, line.level, line.target, line.finding, line.value) == (2, Level.SERIES, "1.2", "nodule", "yes")


def test_lines_are_counted_with_the_header_as_line_1() -> None:
    assert [line.number for line in read_csv("patient_id,finding,value\na,b,c\n\nd,e,f\n")] == [2, 4]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "finding,value",
        "patient_id,finding",
        "patient_id,value",
        "patient_id,study_instance_uid,finding,value",
        "patient_id,finding,value,colour",
        "PatientID,finding,value",
        "patient_id;finding;value",
    ],
)
def test_a_header_that_is_not_understood_is_refused_with_the_columns_that_are(header: str) -> None:
    with pytest.raises(Invalid, match=r"header is not understood.*sop_instance_uid"):
        read_csv(f"{header}\nx,y,z,w\n")


@pytest.mark.parametrize("line", ["x,nodule,", "x,,yes", ",nodule,yes", "x,nodule", "x", " , , "])
def test_a_missing_cell_is_told_by_its_line_and_without_what_stands_in_it(line: str) -> None:
    with pytest.raises(Invalid, match=r"^line 3 of the label file lacks") as caught:
        read_csv(f"patient_id,finding,value\ngood,nodule,yes\n{line}\n")
    assert "nodule" not in str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_any_text_is_a_label_file_or_invalid(text: str) -> None:
    try:
        read_csv(text)
    except Invalid:
        return


def test_a_line_that_the_csv_module_refuses_is_invalid() -> None:
    with pytest.raises(Invalid):
        read_csv(f"patient_id,finding,value\n{'a' * 140_000},b,c\n")


@pytest.mark.parametrize("value", ["Mrs Jones", "born 1950", "a" * 70, "ja,nein", "müde"])
def test_a_value_that_could_hold_a_sentence_about_a_patient_is_refused(value: str) -> None:
    with pytest.raises(Invalid, match="line 2") as caught:
        read_csv(f'patient_id,finding,value\na,nodule,"{value}"\n')
    assert value not in str(caught.value)


@pytest.mark.parametrize("text", ["patient_id,finding,value\na,b,c,d\n", "patient_id,finding,finding,value\na,b,c,d\n"])
def test_nothing_in_a_label_file_is_dropped_in_silence(text: str) -> None:
    with pytest.raises(Invalid):
        read_csv(text)
