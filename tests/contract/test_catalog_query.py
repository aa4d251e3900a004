"""What a condition means: the same on every engine as for a reader who evaluates it by hand on each instance."""

import operator
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.catalog import matching
from filmroom.catalog.labels import resolve
from filmroom.catalog.language import fold
from filmroom.dicom.attributes import BY_NAME
from filmroom.errors import Invalid, NotFound
from filmroom.ids import Digest
from filmroom.records import Batch, Instance, InstanceState, Label, LabelEntry, LabelKind, Level, Value

Facts: TypeAlias = dict[str, Value]
Truth: TypeAlias = "bool | None"
Test: TypeAlias = tuple[str, Callable[[Facts], Truth]]

TEXTS = ("CT", "ct", "MR", "", "a_b", "a%b", "A\\B", "SCHÄDEL", "Schädel", "50!", "it's", "ΣÉ", "\n")
NUMBERS: dict[str, tuple[Value, ...]] = {
    "rows": (-5, 0, 1, 512, 2**40, None),
    "columns": (0, 1, 512, 513, None),
    "kvp_kv": (-0.5, 0.0, 80.0, 120.5, None),
    "weight_kg": (0.1, 70.0, None),
}
WORDS = ("sex", "study_description", "modality", "series_description", "image_type")
DATES: tuple[Value, ...] = ("1999-12-31", "2024-02-29", "2024-03-01", None)


@pytest.fixture(scope="module", params=["sqlite-memory", "sqlite-file", "postgresql"])
def catalog(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    new_catalog: Callable[[str, Path], SqlCatalog],
) -> Iterator[SqlCatalog]:
    made = new_catalog(request.param, tmp_path_factory.mktemp("catalog"))
    _fill(made)
    yield made
    made.close()


def _facts() -> list[Facts]:
    """Make 60 instances of 6 patients; what belongs to a patient, study or series is the same in all of its instances."""
    draw = random.Random(7)

    def values(*names: str) -> Facts:
        return {name: draw.choice(NUMBERS.get(name, (*TEXTS, None))) for name in names}

    facts: list[Facts] = []
    for patient in range(6):
        of_patient = {"subject": f"p{patient}", **values("sex")}
        for study in range(2):
            of_study = {"study_uid": f"1.{patient}.{study}", "study_date": draw.choice(DATES)}
            of_study |= values("study_description", "weight_kg")
            for series in range(5):
                of_series: Facts = {"series_uid": f"1.{patient}.{study}.{series}"}
                of_series |= values("modality", "series_description", "kvp_kv")
                of_instance = {"sop_uid": f"1.{patient}.{study}.{series}.0", **values("rows", "columns", "image_type")}
                facts.append(of_patient | of_study | of_series | of_instance)
    return facts


FACTS = _facts()


def _instance(facts: Facts) -> Instance:
    digest = Digest.of(str(facts["sop_uid"]).encode())
    return Instance(
        digest=digest,
        size_bytes=1,
        issuer="",
        patient_id="",
        study_uid=str(facts["study_uid"]),
        series_uid=str(facts["series_uid"]),
        sop_uid=str(facts["sop_uid"]),
        sop_class="1.2",
        transfer_syntax="1.2",
        pixel_digest=None,
        values={name: value for name, value in facts.items() if value is not None},
    )


def _fill(catalog: SqlCatalog) -> None:
    """Catalog all of FACTS, and beside each a superseded revision that no query may see."""
    batch = Batch(id="b", source="", received_at=datetime(2024, 1, 1, tzinfo=UTC), processing_version="1")
    rows = [(_instance(facts), str(facts["subject"]), "b", InstanceState.CURRENT) for facts in FACTS]
    with catalog.write() as tx:
        tx.batches.open(batch)
        tx.instances.add(rows)
        old = Instance(
            digest=Digest.of(b"old"),
            size_bytes=1,
            issuer="",
            patient_id="",
            study_uid="1.0.0",
            series_uid="1.0.0.9",
            sop_uid="1.0.0.9.0",
            sop_class="1.2",
            transfer_syntax="1.2",
            pixel_digest=None,
            values={"modality": "OLD"},
        )
        tx.instances.add([(old, "p0", "b", InstanceState.SUPERSEDED)])
        for name, entries in LEDGERS.items():
            for start in range(0, len(entries), 7):  # a set grows, and what it says changes
                tx.labels.append(name, entries[start : start + 7])


def _ledgers() -> dict[str, list[LabelEntry]]:
    """Make a set of which readers speak about all levels, contradict each other, and correct themselves."""
    draw, entries = random.Random(8), list[LabelEntry]()
    for position in range(1, 120):
        level = draw.choice((Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE))
        label = Label(
            level=level,
            target=str(draw.choice(FACTS)[NAMES[level]]),
            finding=draw.choice(("nodule", "motion")),
            value=draw.choice(("yes", "no")),
            kind=draw.choice(list(LabelKind)),
            by=draw.choice(("ann", "bob")),
        )
        before = [entry.position for entry in entries if _speaks_like(entry.label, label)]
        at = datetime(2024, 1, 1, tzinfo=UTC)
        entries.append(LabelEntry(position=position, label=label, at=at, supersedes=max(before, default=None)))
    only_series = [replace(entry, supersedes=None) for entry in entries if entry.label.level is Level.SERIES]
    return {"reads": entries, "series": [replace(only_series[0], position=1)]}


def _speaks_like(one: Label, other: Label) -> bool:
    return replace(one, value="", confidence=None) == replace(other, value="", confidence=None)


NAMES = {
    Level.PATIENT: "subject",
    Level.STUDY: "study_uid",
    Level.SERIES: "series_uid",
    Level.INSTANCE: "sop_uid",
}
LEDGERS = _ledgers()


# -- conditions, each with the reader's way to evaluate it ----------------------------------------------------------

COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _sql(value: Value) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def _compare(name: str, sign: str, value: Value) -> Test:
    def holds(facts: Facts) -> Truth:
        return None if facts[name] is None else bool(COMPARE[sign](facts[name], value))  # type: ignore[arg-type]

    return f"{name} {sign} {_sql(value)}", holds


def _member(name: str, values: list[Value], word: str) -> Test:
    def holds(facts: Facts) -> Truth:
        return None if facts[name] is None else (facts[name] in values) == (word == "IN")

    return f"{name} {word} ({', '.join(map(_sql, values))})", holds


def _between(name: str, low: Value, high: Value, word: str) -> Test:
    def holds(facts: Facts) -> Truth:
        if facts[name] is None:
            return None
        return (low <= facts[name] <= high) == (word == "BETWEEN")  # type: ignore[operator]

    return f"{name} {word} {_sql(low)} AND {_sql(high)}", holds


def _like(name: str, pattern: str, word: str) -> Test:
    parts = {"%": ".*", "_": "."}
    expression = "".join(parts.get(character, re.escape(character)) for character in pattern)
    flags = re.DOTALL | (re.IGNORECASE if "ilike" in word else 0)

    def holds(facts: Facts) -> Truth:
        if facts[name] is None:
            return None
        return (re.fullmatch(expression, str(facts[name]), flags) is None) == ("not" in word)

    return f"{name} {word} {_sql(pattern)}", holds


def _null(name: str, word: str) -> Test:
    return f"{name} {word}", lambda facts: (facts[name] is None) == (word == "is null")


def _not(test: Test) -> Test:
    def holds(facts: Facts) -> Truth:
        truth = test[1](facts)
        return None if truth is None else not truth

    return f"not ({test[0]})", holds


def _chain(word: str, tests: list[Test]) -> Test:
    """AND is false when one is false, OR is true when one is true; else unknown when one is unknown."""
    decisive = word == "or"

    def holds(facts: Facts) -> Truth:
        truths = [test[1](facts) for test in tests]
        return decisive if decisive in truths else None if None in truths else not decisive

    return "(" + f" {word} ".join(test[0] for test in tests) + ")", holds


def _matches(name: str, words: list[str]) -> Test:
    def holds(facts: Facts) -> Truth:
        if facts[name] is None:
            return None
        there = re.findall(r"[^\W_]+", fold(str(facts[name])))
        return all(any(_is_sought(word, each) for each in there) for word in words)

    return f"matches({name}, {_sql(' '.join(words))})", holds


def _is_sought(word: str, there: str) -> bool:
    word = fold(word)
    return there.startswith(word[:-1]) if word.endswith("*") else there == word


def _labelled(name: str, version: int | None, finding: str | None, value: str | None) -> Test:
    said = resolve(entry for entry in LEDGERS[name] if version is None or entry.position <= version)
    wanted = [each for each in (finding, value) if each is not None]
    arguments = [f"{name}@{version}" if version else name, *([finding, value][: len(wanted)])]

    def holds(facts: Facts) -> Truth:
        told = [said.get((level, str(facts[column])), {}) for level, column in NAMES.items()]
        if finding is None:
            return any(told)
        return any(finding in each and value in (None, each[finding]) for each in told)

    return f"has_label({', '.join(map(_sql, arguments))})", holds


def _columns(first: str, sign: str, second: str) -> Test:
    def holds(facts: Facts) -> Truth:
        left, right = facts[first], facts[second]
        return None if left is None or right is None else bool(COMPARE[sign](left, right))

    return f"{first} {sign} {second}", holds


SIGNS = st.sampled_from(sorted(COMPARE))
TEXT = st.sampled_from(TEXTS)
PATTERN = st.lists(st.sampled_from(["%", "_", *"aAbBcCtT\\!'Ää50", "SCHÄDEL", "σé"]), max_size=5).map("".join)
NUMERIC = st.one_of(
    *(st.tuples(st.just(name), st.sampled_from([each for each in values if each is not None]))
      for name, values in NUMBERS.items())
)  # fmt: skip
COLUMN_VALUE = st.one_of(
    NUMERIC,
    st.tuples(st.sampled_from(WORDS), TEXT),
    st.tuples(st.just("study_date"), st.sampled_from(DATES[:3])),
)


def _same_column(pair: tuple[str, Value]) -> st.SearchStrategy[Value]:
    name = pair[0]
    if name in NUMBERS:
        return st.sampled_from([each for each in NUMBERS[name] if each is not None])
    return st.sampled_from(DATES[:3]) if name == "study_date" else TEXT


SIMPLE: st.SearchStrategy[Test] = st.one_of(
    st.builds(lambda pair, sign: _compare(pair[0], sign, pair[1]), COLUMN_VALUE, SIGNS),
    COLUMN_VALUE.flatmap(
        lambda pair: st.builds(
            _member,
            st.just(pair[0]),
            st.lists(_same_column(pair), min_size=1, max_size=3),
            st.sampled_from(["IN", "NOT IN"]),
        )
    ),
    COLUMN_VALUE.flatmap(
        lambda pair: st.builds(
            _between,
            st.just(pair[0]),
            st.just(pair[1]),
            _same_column(pair),
            st.sampled_from(["BETWEEN", "NOT BETWEEN"]),
        )
    ),
    st.builds(_like, st.sampled_from(WORDS), PATTERN, st.sampled_from(["like", "ilike", "not like", "not ilike"])),
    st.builds(_null, st.sampled_from([*WORDS, *NUMBERS, "study_date"]), st.sampled_from(["is null", "is not null"])),
    st.builds(_columns, st.sampled_from(["rows", "kvp_kv"]), SIGNS, st.sampled_from(["columns", "rows", "weight_kg"])),
    st.builds(
        _matches,
        st.sampled_from(["series_description", "study_description"]),
        st.lists(st.sampled_from(["ct", "A", "b", "sch*", "50", "c*", "é", "σé"]), min_size=1, max_size=2),
    ),
    st.builds(_labelled, st.just("reads"), st.sampled_from([None, 50]), st.sampled_from([None, "nodule"]), st.none()),
    st.builds(
        _labelled,
        st.sampled_from(["reads", "series"]),
        st.sampled_from([None, 1, 80]),
        st.sampled_from(["nodule", "motion"]),
        st.sampled_from(["yes", "no"]),
    ),
    st.builds(_columns, st.just("modality"), SIGNS, st.sampled_from(["series_description", "study_date"])),
)
CONDITION: st.SearchStrategy[Test] = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        inner.map(_not), st.builds(_chain, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=4))
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONDITION, st.sampled_from([*NAMES]))
def test_a_condition_finds_what_a_reader_would_find(catalog: SqlCatalog, test: Test, level: Level) -> None:
    where, holds = test
    satisfying = [facts for facts in FACTS if holds(facts) is True]
    levels = list(NAMES)[: list(NAMES).index(level) + 1]
    with catalog.read() as tx:
        found = [each.sop_uid for each in tx.instances.matching(where)]
        rows = tx.instances.query(where, level, select=[NAMES[level]], order=None, limit=None)
        assert tx.instances.count(where, level) == len(rows)
        for name in [each for each in ("sex", "modality", "kvp_kv", "rows") if BY_NAME[each].level in levels]:
            values = tx.instances.query(where, level, select=[name], order=None, limit=None)
            assert dict(tx.instances.facet(where, level, name, 99)) == Counter(row[name] for row in values)
    assert found == [facts["sop_uid"] for facts in satisfying], where
    assert [row[NAMES[level]] for row in rows] == list(dict.fromkeys(facts[NAMES[level]] for facts in satisfying))


SCRAPS = [
    "modality",
    "rows",
    "kvp_kv",
    "=",
    "<",
    "(",
    ")",
    "and",
    "not",
    "in",
    "is",
    "null",
    "like",
    "'CT'",
    "5",
    "-",
    ",",
]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.lists(st.sampled_from(SCRAPS), max_size=8).map(" ".join), st.text(max_size=20).map(
        lambda text: "modality = '" + text.replace("'", "''") + "'")),
    st.sampled_from(Level),
)  # fmt: skip
def test_any_text_gives_rows_or_is_invalid(catalog: SqlCatalog, where: str, level: Level) -> None:
    try:
        with catalog.read() as tx:
            rows = tx.instances.query(where, level, select=(), order=None, limit=3)
    except Invalid:
        return
    assert len(rows) <= 3


@pytest.mark.parametrize(
    ("pattern", "text", "like", "ilike"),
    [
        ("CT", "CT", True, True),
        ("ct", "CT", False, True),
        ("schädel", "SCHÄDEL", False, True),
        ("SCH_DEL", "SCHÄDEL", True, True),
        ("50!", "50!", True, True),
        ("5%!", "50!", True, True),
        ("A\\B", "A\\B", True, True),
        ("a\\%", "A\\B", False, True),
        ("a\\%b", "a%b", False, False),
        ("é%", "ΣÉ", False, False),
        ("σé", "ΣÉ", False, True),
        ("", "CT", False, False),
    ],
)
def test_like_regards_case_and_ilike_does_not_and_nothing_escapes_by_itself(
    catalog: SqlCatalog, pattern: str, text: str, like: bool, ilike: bool
) -> None:
    for word, expected in (("like", like), ("ilike", ilike)):
        for name in WORDS:
            with catalog.read() as tx:
                found = list(tx.instances.matching(f"{name} {word} '{pattern}' and {name} = '{text}'"))
            count = sum(facts[name] == text for facts in FACTS)
            assert len(found) == (count if expected else 0)
    assert any(facts[name] == text for facts in FACTS for name in WORDS)


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        ("a_?", {"a_b"}),
        ("a%*", {"a%b"}),
        ("*_*", {"a_b"}),
        ("5?!", {"50!"}),
        ("50!*", {"50!"}),
        ("it's*", {"it's"}),
        ("a?b", {"a_b", "a%b"}),
        ("?\\B", {"A\\B"}),
    ],
)
def test_a_door_is_given_what_its_wild_cards_mean_and_no_more(catalog: SqlCatalog, key: str, texts: set[str]) -> None:
    where = matching.condition(BY_NAME["series_description"], key)
    with catalog.read() as tx:
        found = {each.sop_uid for each in tx.instances.matching(where)}
        others = {each.sop_uid for each in tx.instances.matching(f"not ({where})")}
    assert found == {facts["sop_uid"] for facts in FACTS if facts["series_description"] in texts}
    assert others == {facts["sop_uid"] for facts in FACTS if facts["series_description"] not in {*texts, None}}


def test_one_of_several_values_is_enough_and_no_sign_of_it_stands_for_another(catalog: SqlCatalog) -> None:
    for key, texts in {"A": {"A\\B"}, "a%": set(), "a%b": {"a%b"}, "B*": {"A\\B"}}.items():
        with catalog.read() as tx:
            found = {each.sop_uid for each in tx.instances.matching(matching.condition(BY_NAME["image_type"], key))}
        assert found == {facts["sop_uid"] for facts in FACTS if facts["image_type"] in texts}, key


def test_everything_is_found_by_an_empty_condition_but_no_old_revision(catalog: SqlCatalog) -> None:
    with catalog.read() as tx:
        assert len(list(tx.instances.matching(""))) == len(FACTS)
        assert not list(tx.instances.matching("modality = 'OLD'"))
        assert len(tx.instances.query(" ", Level.SERIES, select=(), order=None, limit=None)) == len(FACTS)


def test_a_row_has_the_columns_of_its_level_and_of_those_above(catalog: SqlCatalog) -> None:
    with catalog.read() as tx:
        row = tx.instances.query("study_uid = '1.0.0'", Level.STUDY, select=(), order=None, limit=None)[0]
        chosen = tx.instances.query("", Level.SERIES, select=["MODALITY", "Sex"], order=None, limit=1)[0]
    assert row["subject"] == "p0" and row["study_uid"] == "1.0.0" and row["study_date"] == FACTS[0]["study_date"]
    assert "modality" not in row and "digest" not in row
    assert list(chosen) == ["modality", "sex"]


def test_order_puts_rows_without_a_value_last_in_both_directions(catalog: SqlCatalog) -> None:
    values = sorted(
        {str(facts["series_uid"]): facts["kvp_kv"] for facts in FACTS if facts["kvp_kv"] is not None}.values(),
        key=lambda value: float(value or 0),
    )
    with catalog.read() as tx:
        up = tx.instances.query("", Level.SERIES, select=["kvp_kv"], order="kvp_kv", limit=None)
        down = tx.instances.query("", Level.SERIES, select=["kvp_kv"], order="KVP_kV desc", limit=None)
    assert [row["kvp_kv"] for row in up][: len(values)] == values
    assert [row["kvp_kv"] for row in down][: len(values)] == values[::-1]
    assert up[-1]["kvp_kv"] is None and down[-1]["kvp_kv"] is None


@pytest.mark.parametrize("level", NAMES)
def test_pages_put_together_are_the_whole_answer(catalog: SqlCatalog, level: Level) -> None:
    names = [NAMES[level]]
    with catalog.read() as tx:
        whole = tx.instances.query("rows >= 0", level, select=names, order=None, limit=None)
        pages = [
            tx.instances.query("rows >= 0", level, select=names, order=None, limit=7, offset=start)
            for start in range(0, len(whole) + 7, 7)
        ]
        rest = tx.instances.query("rows >= 0", level, select=names, order=None, limit=None, offset=2)
        assert tx.instances.query("", level, select=names, order=None, limit=1, offset=2**70) == []
        with pytest.raises(Invalid):
            tx.instances.query("", level, select=names, order=None, limit=None, offset=-1)
    assert [row for page in pages for row in page] == whole and pages[-1] == []
    assert rest == whole[2:]


@pytest.mark.parametrize("order", ["kvp_kv", "kvp_kv desc", "study_date desc", "sex", "series_uid desc"])
@pytest.mark.parametrize(("limit", "offset"), [(1, 0), (9, 0), (20, 33), (99, 0)])
def test_a_page_in_some_order_is_part_of_the_whole_in_that_order(
    catalog: SqlCatalog, order: str, limit: int, offset: int
) -> None:
    with catalog.read() as tx:
        whole = tx.instances.query("modality <> 'CT'", Level.SERIES, select=["series_uid"], order=order, limit=None)
        page = tx.instances.query(
            "modality <> 'CT'", Level.SERIES, select=["series_uid"], order=order, limit=limit, offset=offset
        )
    assert page == whole[offset : offset + limit]


def test_facets_have_the_most_frequent_values_first_and_what_has_none(catalog: SqlCatalog) -> None:
    counted = Counter(facts["modality"] for facts in FACTS)
    with catalog.read() as tx:
        found = tx.instances.facet("", Level.SERIES, "modality", 3)
    assert found == sorted(counted.items(), key=lambda each: (-each[1], each[0] is None, str(each[0])))[:3]


def test_a_series_without_a_current_instance_is_not_found_and_is_found_again(
    new_catalog: Callable[[str, Path], SqlCatalog], tmp_path: Path
) -> None:
    catalog = new_catalog("sqlite-memory", tmp_path)
    _fill(catalog)
    digest, series = _instance(FACTS[0]).digest, f"series_uid = '{FACTS[0]['series_uid']}'"
    where = "modality is null" if FACTS[0]["modality"] is None else f"modality = {_sql(FACTS[0]['modality'])}"
    with catalog.write() as tx:
        before = tx.instances.count(where, Level.SERIES)
        tx.instances.set_state(digest, InstanceState.SUPERSEDED)
        assert tx.instances.count(series, Level.SERIES) == 0
        assert tx.instances.count(where, Level.SERIES) == before - 1
        tx.instances.set_state(digest, InstanceState.CURRENT)
        assert tx.instances.count(series, Level.SERIES) == 1
        assert tx.instances.count(where, Level.SERIES) == before


def test_a_value_that_comes_later_is_found_in_every_series_that_it_is_about(
    new_catalog: Callable[[str, Path], SqlCatalog], tmp_path: Path
) -> None:
    catalog = new_catalog("sqlite-memory", tmp_path)
    facts: Facts = {"subject": "p", "study_uid": "1", "series_uid": "1.1", "sop_uid": "1.1.1"}
    other = facts | {"series_uid": "1.2", "sop_uid": "1.2.1"}
    later = facts | {"sop_uid": "1.1.2", "sex": "F", "trial": "t", "study_date": "2024-01-01", "modality": "CT"}
    with catalog.write() as tx:
        tx.batches.open(Batch(id="b", source="", received_at=datetime(2024, 1, 1, tzinfo=UTC), processing_version="1"))
        for some in ([facts, other], [later | {"study_description": "Lung CT"}]):
            tx.instances.add([(_instance(each), "p", "b", InstanceState.CURRENT) for each in some])
        for where, count in (
            ("trial = 't'", 2),
            ("sex = 'F' AND study_date = '2024-01-01'", 2),
            ("matches(study_description, 'lung')", 2),
            ("modality = 'CT'", 1),
            ("modality IS NULL", 1),
        ):
            assert tx.instances.count(where, Level.SERIES) == count, where
            assert len(tx.instances.query(where, Level.SERIES, select=(), order=None, limit=None)) == count, where


def test_a_label_set_or_snapshot_that_is_not_there_is_not_taken_for_an_empty_one(catalog: SqlCatalog) -> None:
    for where in ("not has_label('raeds')", "not in_snapshot('chest@1')"):
        with pytest.raises(NotFound), catalog.read() as tx:
            tx.instances.count(where, Level.SERIES)


def test_text_is_ordered_by_code_point(catalog: SqlCatalog) -> None:
    with catalog.read() as tx:
        rows = tx.instances.query(
            "modality is not null", Level.SERIES, select=["modality"], order="modality", limit=None
        )
    found = [str(row["modality"]) for row in rows]
    assert found == sorted(found)
