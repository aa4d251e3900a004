"""Label tables: a target column, a finding and a value; whatever is wrong is told by its line or column."""

import csv
import io
from datetime import UTC, datetime

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from filmroom.catalog.label_tables import OPTIONAL, TARGETS, read_csv, read_parquet
from filmroom.catalog.labels import REASONS, problem
from filmroom.errors import Invalid
from filmroom.records import LabelKind, Level, Shape, Space, Statement, Unmatched

CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(str.strip)
CODES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+:/<>=-]{0,20}", fullmatch=True)
HEADER = "sop_instance_uid,finding,value"


def only(text: str) -> Statement:
    (found,) = read_csv(text)
    assert isinstance(found, Statement), found
    return found


def why(text: str) -> str:
    """The reason why the second line of a table makes no statement, or why its statement cannot be entered."""
    (found,) = read_csv(text)
    if isinstance(found, Unmatched):
        assert found.place == "line 2"
        return found.reason
    return problem(found)


@given(st.sampled_from(list(TARGETS)), st.lists(st.tuples(CELLS, CODES, CODES, st.none() | CELLS), max_size=5))
def test_what_a_spreadsheet_writes_is_read(column: str, rows: list[tuple[str, str, str, str | None]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column, "finding", "value", "confidence"])
    writer.writerows(rows)
    assert [
        (each.level, each.target, each.finding, each.value, each.confidence)
        for each in read_csv(text.getvalue())
        if isinstance(each, Statement)
    ] == [(TARGETS[column], *(cell.strip() for cell in row[:3]), (row[3] or "").strip() or None) for row in rows]


def test_a_byte_order_mark_spaces_and_another_order_of_columns_do_no_harm() -> None:
    found = only("\ufeffvalue , finding,series_instance_uid\n yes , nodule , 1.2 \n")
    assert (found.place, found.level, found.target, found.finding, found.value) == (
        "line 2",
        Level.SERIES,
        "1.2",
        "nodule",
        "yes",
    )


def test_lines_are_counted_with_the_header_as_line_1() -> None:
    assert [each.place for each in read_csv("patient_id,finding,value\na,b,c\n\nd,e,f\n")] == ["line 2", "line 4"]


def test_a_line_can_say_all_that_a_ledger_keeps() -> None:
    columns = ["sop_instance_uid", "finding", "value", *OPTIONAL]
    cells = "1.2,27925004,present,SCT,Nodule,mm,0.8,consensus,board,2026-02-03T10:00:00+01:00,,box,,3,10 20.50 30 40.00001,n1"
    found = only(f"{','.join(columns)}\n{cells}\n")
    assert found.finding == "SCT:27925004" and found.meaning == "Nodule" and found.unit == "mm"
    assert (found.kind, found.by, found.confidence) == (LabelKind.CONSENSUS, "board", "0.8")
    assert found.said_at == "2026-02-03T10:00:00+01:00"
    assert found.region is not None
    assert (found.region.mark, found.region.shape, found.region.space) == ("n1", Shape.BOX, Space.PIXEL)
    assert (found.region.frame, found.region.geometry) == (3, "10 20.5 30 40")
    assert problem(found) == ""


def test_a_region_without_a_mark_is_told_from_others_by_where_it_is() -> None:
    lines = "\n".join(f"1.2,nodule,present,point,{at}" for at in ("1 2", "3 4", "1 2"))
    marks = [
        each.region.mark
        for each in read_csv(f"{HEADER},shape,geometry\n{lines}\n")
        if isinstance(each, Statement) and each.region
    ]
    assert marks[0] == marks[2] != marks[1]


@pytest.mark.parametrize("written", ["yes", "TRUE", "1"])
def test_a_withdrawal_needs_no_value(written: str) -> None:
    found = only(f"{HEADER},withdrawn\n1.2,nodule,,{written}\n")
    assert found.value is None and problem(found) == "kind-missing"


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
        "patient_id,finding,finding,value",
    ],
)
def test_a_header_that_is_not_understood_is_refused_with_the_columns_that_are(header: str) -> None:
    with pytest.raises(Invalid, match=r"header is not understood.*sop_instance_uid"):
        read_csv(f"{header}\nx,y,z,w\n")


@pytest.mark.parametrize(
    ("columns", "cells", "reason"),
    [
        ("", "x,nodule,", "value-missing"),
        ("", "x,,yes", "finding-missing"),
        ("", ",nodule,yes", "target-missing"),
        ("", "x,nodule", "value-missing"),
        ("", "x", "finding-missing"),
        ("", " , , ", "target-missing"),
        ("", "x,nodule,yes,more", "cells-too-many"),
        ("", "x,nodule,yes", "kind-missing"),
        (",kind", "x,nodule,yes,guess", "kind-unknown"),
        (",kind,said_at", "x,nodule,yes,model,yesterday", "time-wrong"),
        (",kind,said_at", "x,nodule,yes,model,2026-02-30", "time-wrong"),
        (",kind,withdrawn", "x,nodule,yes,model,perhaps", "not-a-code"),
        (",kind,unit", "x,nodule,5,model,square miles", "not-a-code"),
        (",kind,confidence", "x,nodule,5,model,very sure", "not-a-code"),
        (",kind,mark,shape,geometry", "x,nodule,present,model,Mrs Jones,point,1 2", "not-a-code"),
        (",kind,shape,geometry", "x,nodule,present,model,box,1 2 3", "geometry-wrong"),
        (",kind,shape,geometry", "x,nodule,present,model,blob,1 2", "geometry-wrong"),
        (",kind,shape,geometry", "x,nodule,present,model,point,1 nan", "geometry-wrong"),
        (",kind,shape,geometry", "x,nodule,present,model,point,here", "geometry-wrong"),
        (",kind,shape,geometry", "x,nodule,present,model,mask,2 2 1 2", "geometry-wrong"),
        (",kind,frame,shape,geometry", "x,nodule,present,model,0,point,1 2", "geometry-wrong"),
        (",kind,space,shape,geometry", "x,nodule,present,model,patient,point,1 2", "geometry-wrong"),
        (",kind,frame", "x,nodule,present,model,2", "geometry-wrong"),
    ],
)
def test_a_line_that_makes_no_label_is_told_with_its_reason(columns: str, cells: str, reason: str) -> None:
    assert why(f"{HEADER}{columns}\n{cells}\n") == reason
    assert reason in REASONS


@pytest.mark.parametrize("value", ["Mrs Jones", "born 1950", "a" * 70, "ja,nein", "müde"])
def test_a_value_that_could_hold_a_sentence_about_a_patient_is_no_code(value: str) -> None:
    assert why(f'{HEADER},kind\na,nodule,"{value}",model\n') == "not-a-code"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_any_text_is_a_label_file_or_invalid(text: str) -> None:
    try:
        read_csv(text)
    except Invalid:
        return


def test_a_line_that_the_csv_module_refuses_is_invalid() -> None:
    with pytest.raises(Invalid):
        read_csv(f"patient_id,finding,value\n{'a' * 140_000},b,c\n")


def as_parquet(**columns: list[object]) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def test_a_typed_table_says_what_the_same_lines_of_text_say() -> None:
    moment = datetime(2026, 2, 3, 9, tzinfo=UTC)
    typed = as_parquet(
        sop_instance_uid=["1.2", "1.3", None],
        finding=["grade", "grade", "grade"],
        value=[3.0, 2.5, 1.0],
        frame=[None, 2, None],
        shape=[None, "point", None],
        geometry=[None, [1.0, 2.25], None],
        said_at=[moment, None, None],
        withdrawn=[False, True, None],
    )
    text = (
        "sop_instance_uid,finding,value,frame,shape,geometry,said_at,withdrawn\n"
        "1.2,grade,3,,,,2026-02-03T09:00:00+00:00,false\n1.3,grade,2.5,2,point,1 2.25,,true\n,grade,1,,,,,\n"
    )
    rows, lines = read_parquet(typed), read_csv(text)
    assert [each.place for each in rows] == ["row 1", "row 2", "row 3"]
    assert [{**vars_of(each), "place": ""} for each in rows] == [{**vars_of(each), "place": ""} for each in lines]


def vars_of(each: Statement | Unmatched) -> dict[str, object]:
    return {name: getattr(each, name) for name in each.__slots__}


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1 and no more PAR1", as_parquet(patient_id=["a"], finding=["b"])])
def test_what_is_no_table_of_labels_is_invalid(data: bytes) -> None:
    with pytest.raises(Invalid):
        read_parquet(data)
