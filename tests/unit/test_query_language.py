"""The language of conditions is closed: what it does not have is refused, with the place and without the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Dialect
from sqlalchemy.engine.url import make_url

from filmroom.catalog.language import MAX_CHARACTERS, MAX_CONDITIONS, MAX_DEPTH, MAX_LITERALS, fold
from filmroom.catalog.query import compile_query, compile_where
from filmroom.dicom.attributes import COLUMNS
from filmroom.errors import Invalid
from filmroom.records import Column, ColumnType, Level


def _dialect(url: str) -> Dialect:
    dialect: Dialect = make_url(url).get_dialect()()
    return dialect


SQLITE, POSTGRESQL = _dialect("sqlite://"), _dialect("postgresql+psycopg://")
LITERALS = {
    ColumnType.TEXT: "'x'",
    ColumnType.INTEGER: "-5",
    ColumnType.REAL: "0.5",
    ColumnType.DATE: "'2024-02-29'",
}


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_column_can_be_asked_for_in_any_case_of_letters(column: Column) -> None:
    name, literal = column.name, LITERALS[column.type]
    for word in (name, name.upper()):
        where = f"{word} = {literal} or not ({word} in ({literal}) and {word} is not null)"
        compile_where(where, Level.FILE if column.level is Level.FILE else Level.PATIENT)
        with pytest.raises(Invalid):
            compile_where(where, Level.PATIENT if column.level is Level.FILE else Level.FILE)


@pytest.mark.parametrize(
    "where",
    [
        "modality = 'CT'; drop table patient",
        "modality = 'CT' -- and more",
        "modality = 'CT' /* and more */",
        "/* more */ modality = 'CT'",
        "modality in (select modality from series)",
        "exists (select 1)",
        "(select 1) = 1",
        "lower(modality) = 'ct'",
        "load_extension('x') = 1",
        "pg_sleep(10) is null",
        "modality = 'CT' union select 1",
        "series.modality = 'CT'",
        "main.series.modality = 'CT'",
        "modality = :name",
        "modality = ?",
        "modality = @name",
        "modality = $1",
        "modality = $$CT$$",
        "modality = N'CT'",
        "modality = x'4354'",
        "modality = 'C' || 'T'",
        "modality = 'C' 'T'",
        "modality = cast('CT' as text)",
        "modality = 'CT'::text",
        "modality collate nocase = 'ct'",
        "modality = 'C%' escape '!'",
        "modality like any ('a', 'b')",
        "modality similar to 'CT'",
        "modality regexp 'CT'",
        "modality ~ 'CT'",
        "modality glob 'C*'",
        "case when rows = 1 then 1 end = 1",
        "rows + 1 = 2",
        "rows between symmetric 1 and 2",
        "rows is true",
        "rows is not 5",
        "rows isnull",
        "true",
        "1 = 1",
        "'a' = 'a'",
        "rows",
        "rows = 1 rows",
        "rows = 1 = 1",
        "(rows = 1) = (rows = 1)",
        "rows = - - 1",
        "rows in ()",
        "rows in 1",
        "rows in (1, null)",
        "rows in (columns)",
        "rows = null",
        "null = rows",
        "(rows, columns) = (1, 2)",
        "rows = 1,",
        "rows =",
        "= 1",
        "(rows = 1",
        "rows = 1)",
        "has_label",
        "has_label()",
        "has_label(modality)",
        "has_label('reads', 'a', 'b', 'c')",
        "has_label('reads' 'a')",
        "has_label('reads; drop table label_entry')",
        "has_label('reads@1 or 1=1')",
        "has_label(has_label('reads'))",
        "has_label('reads') = 1",
        "has_label('reads').x",
        "\"has_label\"('reads')",
        "matches(series_description)",
        "matches(series_description, '%_!')",
        "matches('lung', 'lung')",
        "matches(rows, 'lung')",
        "matches(series_description, kernel)",
        "matches(lower(series_description), 'lung')",
        "matches(series_description, (select 1))",
        "matches(distinct series_description, 'lung')",
        "in_snapshot('chest')",
        "in_snapshot('chest@1', 'b')",
        "in_snapshot('chest@1' or 1 = 1)",
        "modality = has_label('reads')",
        "modality in (has_label('reads'))",
        "modality = 'CT",
        'modality = "CT"',
        "and",
        "not",
        "\0",
        "rows = 1 \0 or 1 = 1",
    ],
)
def test_what_could_reach_beyond_the_columns_is_refused(where: str) -> None:
    with pytest.raises(Invalid):
        compile_where(where, Level.INSTANCE)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("modalty = 'CT'", "did you mean modality?"),
        ("has_lable('reads')", "did you mean has_label('SET[@V]'"),
        ("has_label('reads@new')", "a version of a label set is a number"),
        ("matches(kernel, 'b30')", "it looks into series_description"),
        ("rows = '512'", "rows holds numbers"),
        ("rows = 512.5", "rows holds whole numbers"),
        ("kvp_kv between 'a' and 'b'", "kvp_kv holds numbers"),
        ("modality = 5", "modality holds text"),
        ("modality = -'CT'", "a text with a minus"),
        ("study_date > '2024'", "study_date holds dates"),
        ("study_date > '2024-02-30'", "study_date holds dates"),
        ("rows like '5%'", "LIKE and ILIKE compare a text column"),
        ("modality like rows", "LIKE and ILIKE compare a text column"),
        ("modality like 'a%' escape '%'", "ESCAPE names one sign"),
        ("modality like 'a%' escape '!!'", "ESCAPE names one sign"),
        ("modality like 'a!b' escape '!'", "an escape that stands before none"),
        ("modality like 'a!' escape '!'", "an escape that stands before none"),
        ("rows like '1' escape '!'", "LIKE and ILIKE compare a text column"),
        ("modality = rows", "modality and rows cannot be compared"),
        ("rows = null", "IS NULL"),
        ("rows > 9223372036854775808", "beyond 64 bits"),
        ("kvp_kv > 1e400", "beyond 64 bits"),
        ("lower(modality) = 'x'", "a function at character 1"),
        ("rows = 1 and (modality -- x\n = 'CT')", "a comment at character 15"),
        (f"{'(' * (MAX_DEPTH + 1)}rows = 1{')' * (MAX_DEPTH + 1)}", "nested"),
        ("not " * 5000 + "rows = 1", "nested"),
        ("rows = 1 or " * (MAX_CONDITIONS + 1) + "rows = 1", "more than"),
        (f"rows in ({','.join(['1'] * (MAX_LITERALS + 1))})", "more than"),
        (" " * MAX_CHARACTERS + "rows = 1", "more than"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_write(where: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        compile_where(where, Level.SERIES)
    assert said in f"{refused.value} {refused.value.next_step}"
    assert refused.value.next_step


@pytest.mark.parametrize(
    "where", ["patient_id = Meier", 'patient_id = "Meier"', "Meier", "modality = 'Meier' x(", "#Meier"]
)
def test_a_refusal_never_repeats_the_text_which_may_name_a_patient(where: str) -> None:
    with pytest.raises(Invalid) as refused:
        compile_where(where, Level.SERIES)
    assert "meier" not in str(refused.value).lower()


def test_a_literal_is_always_a_parameter_and_never_part_of_the_statement() -> None:
    evil = "'' or 1=1; drop table patient --"
    where = (
        f"modality = '{evil.replace(chr(39), chr(39) * 2)}' and series_description ilike 'evil%' and rows in (4711, 2)"
        " and matches(protocol, 'evil word') and has_label('evil-set@4711', 'evil', 'evil')"
    )
    for dialect in (SQLITE, POSTGRESQL):
        compiled = compile_query(where, Level.SERIES).compile(dialect=dialect)
        assert "drop" not in str(compiled) and "4711" not in str(compiled) and "evil" not in str(compiled)
        assert evil in compiled.params.values()


def test_conditions_as_long_as_allowed_can_still_be_compiled() -> None:
    compile_where(" or ".join(["rows = 1"] * MAX_CONDITIONS), Level.PATIENT)
    compile_where(f"{'(' * MAX_DEPTH}rows = 1{')' * MAX_DEPTH}", Level.PATIENT)


def test_only_columns_of_the_level_or_above_can_be_selected() -> None:
    with pytest.raises(Invalid, match="modality is a column of the level series"):
        compile_query("", Level.STUDY, chosen=["study_uid", "modality"])
    with pytest.raises(Invalid, match="did you mean study_date"):
        compile_query("", Level.STUDY, chosen=["study_dat"])
    with pytest.raises(Invalid, match="modality is a column of the level series"):
        compile_query("", Level.PATIENT, order="modality")
    with pytest.raises(Invalid, match="an order is one column"):
        compile_query("", Level.STUDY, order="study_date desc, (select 1)")
    with pytest.raises(Invalid, match="negative"):
        compile_query("", Level.STUDY, limit=-1)


def test_a_study_is_joined_no_further_up_or_down_than_needed() -> None:
    statement = str(compile_query("", Level.SERIES, chosen=["modality"]))
    assert "instance" not in statement and statement.count(" JOIN ") == 2


WORDS = [column.name for column in COLUMNS[::5]] + [
    *("has_label", "matches", "in_snapshot", "'reads@1'", "series_description"),
    *("and", "or", "not", "in", "between", "like", "ilike", "is", "null", "escape", "select", "from", "union", "cast"),
    *(
        "(",
        ")",
        ",",
        "=",
        "<>",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "-",
        "+",
        ".",
        ";",
        "--",
        "/*",
        "*/",
        "::",
        "||",
        "?",
        "\\",
    ),
    *("'a'", "'2024-01-01'", "''", "'", '"', "1", "1.5", "1e9", "x'00'", "\n", "$$", "@", "{", "%", "[", "]", "`", "#"),
]


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)))
def test_any_text_either_compiles_or_is_invalid(where: str) -> None:
    try:
        statement = compile_query(where, Level.STUDY)
    except Invalid as refused:
        assert refused.next_step
    else:
        assert str(statement.compile(dialect=POSTGRESQL))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_folding_keeps_the_number_of_characters_and_is_idempotent(text: str) -> None:
    assert len(fold(text)) == len(text)
    assert fold(fold(text)) == fold(text)
