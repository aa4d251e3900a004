"""Deliveries, quarantine cases, data keys and the patient hierarchy, on every engine."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.errors import NotFound, Refused
from filmroom.ids import Digest, Zone
from filmroom.ports import Transaction, WrappedKey
from filmroom.records import (
    Batch,
    Case,
    CaseState,
    FileKind,
    Finding,
    Holding,
    ImageFile,
    Instance,
    InstanceState,
    LedgerRow,
    Level,
    Outcome,
    Reason,
    Severity,
    StoredFile,
    StoredInstance,
    Value,
)

NOW = datetime(2024, 5, 31, 12, 0, 0, 123456, tzinfo=UTC)
CURRENT = InstanceState.CURRENT
NASTY = "a\0b\udc80'\"; drop table patient --\U0001f9e0\\%_"
"""What a sender may call a file: with a NUL, a byte that is no text, quotes."""


def _digest(number: int) -> Digest:
    return Digest.of(str(number).encode())


def _batch(name: str = "b") -> Batch:
    return Batch(id=name, source="disk", received_at=NOW, processing_version="1", expected=7)


def _row(position: int, number: int, outcome: Outcome, *reasons: Reason) -> LedgerRow:
    return LedgerRow(
        position=position,
        name=f"IM{position}",
        digest=_digest(number),
        size_bytes=2**40,
        outcome=outcome,
        reasons=reasons,
    )


def _instance(number: int, series: str = "1.1.1", values: dict[str, Value] | None = None) -> Instance:
    return Instance(
        digest=_digest(number),
        size_bytes=100 + number,
        issuer="H",
        patient_id="4711",
        study_uid=series.rpartition(".")[0],
        series_uid=series,
        sop_uid=f"{series}.{number}",
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax="1.2.840.10008.1.2.1",
        pixel_digest=_digest(-number),
        values=values or {},
        findings=(Finding("odd-value", Severity.INFO, "PatientAge"),),
    )


def _add(catalog: SqlCatalog, *instances: Instance, subject: str = "p1", state: InstanceState = CURRENT) -> None:
    with catalog.write() as tx:
        if not tx.batches.all():
            tx.batches.open(_batch())
        tx.instances.add([(each, subject, "b", state) for each in instances])


def _row_of(catalog: SqlCatalog, level: Level, where: str = "") -> dict[str, Value]:
    with catalog.read() as tx:
        (row,) = tx.instances.query(where, level, select=(), order=None, limit=None)
    return row


# -- deliveries ----------------------------------------------------------------------------------------------------


def test_a_batch_comes_back_as_it_was_opened_and_closed(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.batches.open(_batch())
        assert tx.batches.get("b") == _batch()
        tx.batches.close("b", NOW + timedelta(seconds=1))
        assert tx.batches.get("b").closed_at == NOW + timedelta(seconds=1)
        for missing in (
            lambda: tx.batches.get("x"),
            lambda: tx.batches.close("x", NOW),
            lambda: tx.batches.ledger("x"),
        ):
            with pytest.raises(NotFound):
                missing()


def test_the_ledger_keeps_every_object_in_order_and_is_counted(catalog: SqlCatalog) -> None:
    rows = [
        _row(1, 1, Outcome.STORED),
        _row(2, 1, Outcome.DUPLICATE),
        _row(3, 3, Outcome.QUARANTINED, Reason("a", "x"), Reason("b", "y")),
    ]
    with catalog.write() as tx:
        tx.batches.open(replace(_batch("late"), received_at=NOW + timedelta(days=1)))
        tx.batches.open(_batch())
        tx.batches.add("b", rows[:1])
        tx.batches.add("b", rows[1:])
        tx.batches.add("b", [])
    with catalog.read() as tx:
        assert list(tx.batches.ledger("b")) == rows
        assert list(tx.batches.ledger("late")) == []
        (first, counts, size), (second, none, zero) = tx.batches.all()
    assert (first.id, second.id) == ("b", "late")
    assert {outcome: count for outcome, count in counts.items() if count} == {
        Outcome.STORED: 1,
        Outcome.DUPLICATE: 1,
        Outcome.QUARANTINED: 1,
    }
    assert (size, zero, sum(none.values())) == (3 * 2**40, 0, 0)


def test_two_rows_of_one_batch_cannot_have_one_position(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.batches.open(_batch())
    with pytest.raises(Refused), catalog.write() as tx:
        tx.batches.add("b", [_row(1, 1, Outcome.STORED), _row(1, 2, Outcome.STORED)])
    with catalog.read() as tx:
        assert list(tx.batches.ledger("b")) == []


def test_names_that_no_engine_can_hold_are_kept_visibly(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.batches.open(_batch())
        tx.batches.add("b", [replace(_row(1, 1, Outcome.IGNORED), name=NASTY)])
        (row,) = tx.batches.ledger("b")
    assert row.name == NASTY.replace("\0", "\u2400").replace("\udc80", "\\udc80")


# -- cases ---------------------------------------------------------------------------------------------------------


def _case(name: str, instance: Instance | None = None) -> Case:
    return Case(
        id=name,
        name="IM1",
        digest=_digest(1),
        size_bytes=9,
        batch="b",
        subject="case:1",
        reasons=(Reason("a", "x"), Reason("b", "y")),
        instance=instance,
    )


def test_cases_are_known_by_their_bytes_and_by_their_series(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.batches.open(_batch())
        tx.cases.add(replace(_case("a", _instance(1, "1.1.1")), digest=_digest(1)))
        tx.cases.add(replace(_case("b", _instance(2, "1.1.2")), digest=_digest(2)))
        tx.cases.add(replace(_case("c"), digest=_digest(3)))
    with catalog.read() as tx:
        assert tx.cases.known([_digest(1), _digest(3), _digest(4)]) == {_digest(1), _digest(3)}
        assert tx.cases.sop_uids("1.1.2") == {_instance(2, "1.1.2").sop_uid}
        assert tx.cases.sop_uids("1.1") == set()


def test_a_case_is_decided_once(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.batches.open(_batch())
        for name in ("c2", "c1"):
            tx.cases.add(_case(name))
        tx.cases.decide("c1", CaseState.REJECTED, "ann", NOW, "blurred")
        expected = replace(_case("c1"), state=CaseState.REJECTED, decided_by="ann", decided_at=NOW, why="blurred")
        assert tx.cases.get("c1") == expected
        with pytest.raises(Refused, match="rejected already"):
            tx.cases.decide("c1", CaseState.RELEASED, "bob", NOW, "fine")
        with pytest.raises(NotFound):
            tx.cases.decide("c9", CaseState.RELEASED, "bob", NOW, "fine")
        assert tx.cases.all() == [_case("c2"), expected]
        assert tx.cases.all(CaseState.OPEN) == [_case("c2")]


VALUES = st.one_of(st.none(), st.text(max_size=9), st.integers(), st.floats(allow_nan=False))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=9), VALUES, max_size=5), st.text(), st.booleans())
def test_the_instance_of_a_case_comes_back_to_the_last_bit(
    catalog: SqlCatalog, values: dict[str, Value], uid: str, pixels: bool
) -> None:
    instance = replace(_instance(1, values=values), sop_uid=uid, pixel_digest=_digest(5) if pixels else None)
    name = secrets.token_hex(8)
    with catalog.write() as tx:
        if not tx.batches.all():
            tx.batches.open(_batch())
        tx.cases.add(_case(name, instance))
        found = tx.cases.get(name).instance
    assert found == instance
    assert [type(value) for value in found.values.values()] == [type(value) for value in values.values()]


# -- keys ----------------------------------------------------------------------------------------------------------


def test_a_subject_keeps_its_first_key(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.keys.ensure(Zone.CLINICAL, {"a": b"1"})
        tx.keys.ensure(Zone.CLINICAL, {"a": b"2", "b": b"3"})
        tx.keys.ensure(Zone.RESEARCH, {"a": b"4"})
        tx.keys.ensure(Zone.RESEARCH, {})
        many = [f"s{i}" for i in range(2000)]
        tx.keys.ensure(Zone.MODELS, dict.fromkeys(many, b"k"))
        assert len(tx.keys.get(Zone.MODELS, many)) == 2000
    with catalog.read() as tx:
        assert tx.keys.get(Zone.CLINICAL, ["a", "b", "c"]) == {
            "a": WrappedKey(zone=Zone.CLINICAL, subject="a", wrapped=b"1"),
            "b": WrappedKey(zone=Zone.CLINICAL, subject="b", wrapped=b"3"),
        }
        assert tx.keys.get(Zone.RESEARCH, ["a"])["a"].wrapped == b"4"


# -- instances -----------------------------------------------------------------------------------------------------


def test_an_instance_is_found_by_its_digest_with_everything_above_it(catalog: SqlCatalog) -> None:
    _add(catalog, _instance(1, values={"modality": "CT"}))
    with catalog.read() as tx:
        assert tx.instances.get(_digest(1)) == StoredInstance(
            digest=_digest(1),
            size_bytes=101,
            subject="p1",
            study_uid="1.1",
            series_uid="1.1.1",
            sop_uid="1.1.1.1",
            sop_class="1.2.840.10008.5.1.4.1.1.2",
            transfer_syntax="1.2.840.10008.1.2.1",
            modality="CT",
            state=CURRENT,
        )
        levels = {Level.PATIENT: "p1", Level.STUDY: "1.1", Level.SERIES: "1.1.1", Level.INSTANCE: "1.1.1.1"}
        assert tx.instances.get(_digest(1)).names == levels
        with pytest.raises(NotFound):
            tx.instances.get(_digest(2))


def test_the_first_instance_fills_its_series_and_later_ones_only_what_is_empty(catalog: SqlCatalog) -> None:
    _add(catalog, _instance(1, values={"modality": "CT", "sex": "F", "kvp_kv": 120}))
    _add(
        catalog,
        _instance(2, values={"modality": "MR", "protocol": "chest", "age_years": 0.5}),
        _instance(3, values={"protocol": "head", "sex": "M", "kernel": "B30"}),
    )
    row = _row_of(catalog, Level.SERIES)
    assert (row["modality"], row["sex"], row["kvp_kv"]) == ("CT", "F", 120.0)
    assert (row["protocol"], row["age_years"], row["kernel"]) == ("chest", 0.5, "B30")
    assert (row["patient_id"], row["issuer"], row["subject"]) == ("4711", "H", "p1")
    stats = catalog.stats()
    assert [stats[name] for name in ("patient", "study", "series", "instance")] == [1, 1, 1, 3]


def test_one_study_uid_of_two_patients_makes_two_studies(catalog: SqlCatalog) -> None:
    _add(catalog, _instance(1), subject="p1")
    _add(catalog, _instance(2), subject="p2")
    stats = catalog.stats()
    assert [stats[name] for name in ("patient", "study", "series", "instance")] == [2, 2, 2, 2]
    with catalog.read() as tx:
        assert [each.subject for each in tx.instances.find(Level.STUDY, "1.1")] == ["p1", "p2"]


def _current(tx: Transaction, sop_uids: list[str]) -> dict[str, Digest]:
    return {uid: revision.digest for uid, revision in tx.instances.revisions(sop_uids).items()}


def test_a_large_group_over_many_series_is_cataloged_at_once(catalog: SqlCatalog) -> None:
    _add(catalog, *(_instance(i, f"1.{i % 700}.{i % 3}") for i in range(1400)))
    stats = catalog.stats()
    assert (stats["study"], stats["instance"]) == (700, 1400)
    with catalog.read() as tx:
        uids = [_instance(i, f"1.{i % 700}.{i % 3}").sop_uid for i in range(1400)]
        assert len(tx.instances.revisions([*uids, "no"])) == 1400
        assert len(list(tx.instances.matching(""))) == 1400


def test_what_is_cataloged_is_known_in_whatever_state(catalog: SqlCatalog) -> None:
    _add(catalog, _instance(1))
    _add(catalog, _instance(2), state=InstanceState.SUPERSEDED)
    with catalog.read() as tx:
        assert tx.instances.known([*map(_digest, range(3000))]) == {_digest(1), _digest(2)}
        found = tx.instances.some([*map(_digest, range(3000))])
        assert found == {each: tx.instances.get(each) for each in (_digest(1), _digest(2))}


def test_one_question_tells_known_bytes_and_current_revisions(catalog: SqlCatalog) -> None:
    new = replace(_instance(2), sop_uid="1.1.1.1")
    _add(catalog, _instance(1))
    _add(catalog, new, state=InstanceState.CONFLICT)
    others = [_instance(i, f"1.{i}.1") for i in range(3, 1400)]
    with catalog.read() as tx:
        assert tx.instances.standing([]) == (set(), {})
        known, current = tx.instances.standing([_instance(1), *others, new, _instance(1)])
        assert (known, current) == ({_digest(1), _digest(2)}, {"1.1.1.1": _digest(1)})
        revisions = tx.instances.revisions(["1.1.1.1", "1.9"])
        assert [(uid, each.digest) for uid, each in revisions.items()] == [("1.1.1.1", _digest(1))]


def test_what_was_odd_about_an_instance_can_be_asked_for(catalog: SqlCatalog) -> None:
    plain = replace(_instance(2), findings=())
    cut = (Finding("trailing-zeros", Severity.INFO), Finding("odd-value", Severity.INFO, "PatientAge"))
    _add(catalog, replace(_instance(1), findings=cut), plain)
    assert _row_of(catalog, Level.INSTANCE, "findings LIKE '%odd-value%'")["digest"] == str(_digest(1))
    assert (
        _row_of(catalog, Level.INSTANCE, "findings LIKE '%odd%'")["findings"] == "trailing-zeros odd-value:PatientAge"
    )
    assert _row_of(catalog, Level.INSTANCE, "findings IS NULL")["digest"] == str(plain.digest)


def test_the_same_bytes_cannot_be_cataloged_twice(catalog: SqlCatalog) -> None:
    _add(catalog, _instance(1))
    with pytest.raises(Refused):
        _add(catalog, _instance(1))


def test_only_the_current_revision_is_seen_by_queries(catalog: SqlCatalog) -> None:
    old, new = _instance(1), replace(_instance(2), sop_uid="1.1.1.1")
    _add(catalog, old)
    _add(catalog, new, state=InstanceState.CONFLICT)
    with catalog.write() as tx:
        assert _current(tx, ["1.1.1.1"]) == {"1.1.1.1": old.digest}
        tx.instances.set_state(old.digest, InstanceState.SUPERSEDED)
        assert _current(tx, ["1.1.1.1"]) == {}
        assert tx.instances.query("", Level.PATIENT, select=(), order=None, limit=None) == []
        tx.instances.set_state(new.digest, CURRENT)
        assert _current(tx, ["1.1.1.1"]) == {"1.1.1.1": new.digest}
        assert [each.digest for each in tx.instances.matching("")] == [new.digest]
        assert [each.digest for each in tx.instances.find(Level.INSTANCE, "1.1.1.1")] == [new.digest]
        with pytest.raises(NotFound):
            tx.instances.set_state(_digest(9), CURRENT)


def test_two_current_revisions_of_one_uid_cannot_be(catalog: SqlCatalog) -> None:
    old, new = _instance(1), replace(_instance(2), sop_uid="1.1.1.1")
    _add(catalog, old)
    with pytest.raises(Refused):
        _add(catalog, new)
    _add(catalog, new, state=InstanceState.CONFLICT)
    with pytest.raises(Refused), catalog.write() as tx:
        tx.instances.set_state(new.digest, CURRENT)


def test_a_patient_is_found_by_patient_id_and_by_subject(catalog: SqlCatalog) -> None:
    _add(catalog, _instance(1), _instance(2, "1.1.2"))
    with catalog.read() as tx:
        for level, name, count in (
            (Level.PATIENT, "4711", 2),
            (Level.PATIENT, "p1", 2),
            (Level.STUDY, "1.1", 2),
            (Level.SERIES, "1.1.2", 1),
            (Level.INSTANCE, "1.1.1.1", 1),
            (Level.PATIENT, "1.1", 0),
        ):
            assert len(tx.instances.find(level, name)) == count


def test_filled_columns_are_counted_for_each_modality_by_its_current_instances(catalog: SqlCatalog) -> None:
    _add(catalog, _instance(1, values={"modality": "CT", "rows": 5}), _instance(2))
    _add(catalog, _instance(3, "1.1.2", {"rows": 5}), _instance(4, "1.1.2"))
    _add(catalog, _instance(5), state=InstanceState.REJECTED)
    with catalog.read() as tx:
        found = {(modality, column): counts for modality, column, *counts in tx.instances.filled()}
    assert {modality for modality, _ in found} == {"CT", ""}
    assert (found["CT", "rows"], found["", "rows"]) == ([1, 2], [1, 2])
    assert (found["CT", "modality"], found["", "modality"], found["", "kernel"]) == ([2, 2], [0, 2], [0, 2])


def test_what_older_tables_were_applied_to_is_listed_by_series_and_written_anew(catalog: SqlCatalog) -> None:
    _add(catalog, _instance(1, "1.1", {"normalization": 1}), _instance(2, "1.1", {"normalization": 2, "view": "AP"}))
    _add(catalog, _instance(3, "1.2"), state=InstanceState.CONFLICT)
    _add(catalog, _instance(4, "1.3", {"normalization": 2}))
    with catalog.write() as tx:
        assert len(tx.instances.outdated(2, 1)) == 2, "all of one series"
        outdated = tx.instances.outdated(2, 9)
        assert [columns["sop_uid"] for _, columns in outdated] == ["1.1.1", "1.1.2", "1.2.3"]
        keys, columns = outdated[1]
        assert (columns["series_uid"], columns["view"], columns["modality"]) == ("1.1", "AP", None)
        tx.instances.rewrite(Level.SERIES, {keys[Level.SERIES]: {"modality": "CT"}})
        tx.instances.rewrite(
            Level.INSTANCE, {each[Level.INSTANCE]: {"normalization": 2, "view": None} for each, _ in outdated}
        )
        tx.instances.rewrite(Level.STUDY, {})
        assert tx.instances.outdated(2, 9) == []
        rows = tx.instances.query("", Level.INSTANCE, select=["modality", "view"], order="sop_uid", limit=None)
    assert rows == [{"modality": "CT", "view": None}] * 2 + [{"modality": None, "view": None}]


def test_values_of_the_wrong_kind_are_left_out_and_hostile_text_is_kept(catalog: SqlCatalog) -> None:
    wrong: dict[str, Value] = {
        "rows": 2**70,
        "columns": "512",
        "kvp_kv": float("nan"),
        "weight_kg": 10**400,
        "unknown": 1,
    }
    _add(
        catalog, replace(_instance(1, values={**wrong, "protocol": NASTY, "age_years": float("inf")}), patient_id=NASTY)
    )
    row = _row_of(catalog, Level.INSTANCE)
    assert [row[name] for name in ("rows", "columns", "kvp_kv", "weight_kg", "age_years")] == [None] * 5
    assert row["protocol"] == NASTY.replace("\0", "\u2400").replace("\udc80", "\\udc80") == row["patient_id"]


def test_a_uid_that_no_engine_can_hold_is_still_found(catalog: SqlCatalog) -> None:
    _add(catalog, replace(_instance(1), sop_uid="1.2\0"))
    with catalog.read() as tx:
        assert _current(tx, ["1.2\0", "1.3"]) == {"1.2\0": _digest(1)}


@pytest.mark.parametrize("level", [each for each in Level if each is not Level.FILE])
def test_the_same_series_twice_in_one_group_is_one_series(catalog: SqlCatalog, level: Level) -> None:
    _add(catalog, _instance(2, values={"modality": "CT"}), _instance(1, values={"modality": "MR"}))
    with catalog.read() as tx:
        rows = tx.instances.query("modality = 'CT' and digest is not null", level, select=(), order=None, limit=None)
    assert len(rows) == (2 if level == Level.INSTANCE else 1)


def test_what_is_kept_is_due_in_the_order_of_its_last_check_and_belongs_to_one_holding(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.batches.open(_batch())
        tx.instances.add([(_instance(number), "s", "b", CURRENT) for number in (1, 2, 3)])
        tx.cases.add(replace(_case("c"), digest=_digest(4)))
        tx.cases.add(replace(_case("let in"), digest=_digest(3)))
        kept = {each.digest: each for each in tx.custody.due(NOW, 10)}
        assert {digest: each.holding for digest, each in kept.items()} == {
            **dict.fromkeys(map(_digest, (1, 2, 3)), Holding.INSTANCE),
            _digest(4): Holding.CASE,
        }
        assert (kept[_digest(1)].subject, kept[_digest(4)].subject) == ("s", "case:1")
        for days, number in enumerate((4, 2, 1)):
            tx.custody.note([kept[_digest(number)]], NOW + timedelta(days=days))
    with catalog.read() as tx:
        later = NOW + timedelta(days=2)
        assert [each.digest for each in tx.custody.due(later, 10)] == [_digest(3), _digest(4), _digest(2)]
        assert [each.digest for each in tx.custody.due(later, 2)] == [_digest(3), _digest(4)]
        assert [each.digest for each in tx.custody.due(later, 1)] == [_digest(3)]
        assert tx.custody.damaged() == []
    with catalog.write() as tx:
        tx.custody.note([replace(kept[_digest(number)], damage="gone") for number in (1, 4)], NOW)
        assert {each.digest: each.damage for each in tx.custody.damaged()} == dict.fromkeys(
            map(_digest, (1, 4)), "gone"
        )
        assert [each.digest for each in tx.custody.damaged([_digest(2), _digest(4)])] == [_digest(4)]
        assert tx.instances.get(_digest(1)).damage == "gone"
        tx.custody.note([kept[_digest(4)]], NOW)
        assert [each.digest for each in tx.custody.damaged()] == [_digest(1)]


def test_every_key_of_a_zone_is_listed_destroyed_or_not(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.keys.ensure(Zone.CLINICAL, {"a": b"1", "b": b"2"})
        tx.keys.ensure(Zone.RESEARCH, {"c": b"3"})
        assert {each.subject for each in tx.keys.all(Zone.CLINICAL)} == {"a", "b"}


def test_image_files_are_known_found_and_in_custody_beside_the_instances(catalog: SqlCatalog) -> None:
    file = ImageFile(
        digest=_digest(9),
        size_bytes=2**40,
        kind=FileKind.NIFTI,
        values={"file_name": NASTY, "width": 512, "spacing_x_mm": 0.5, "depth": 2**80},
        findings=(Finding("volume-long", Severity.INFO),),
    )
    with catalog.write() as tx:
        tx.batches.open(_batch())
        tx.instances.add([(_instance(1), "s", "b", CURRENT)])
        tx.files.add([(file, "file/x", "b")])
    with catalog.read() as tx:
        assert tx.files.known([*map(_digest, range(3000))]) == {_digest(9)}
        assert tx.files.get(_digest(9)) == StoredFile(
            digest=_digest(9),
            size_bytes=2**40,
            subject="file/x",
            kind=FileKind.NIFTI,
            batch="b",
            findings=file.findings,
        )
        with pytest.raises(NotFound):
            tx.files.get(_digest(1))
        (row,) = tx.instances.query("width > 100 AND spacing_x_mm = 0.5", Level.FILE, select=(), order=None, limit=None)
        assert (row["file_digest"], row["file_kind"], row["depth"]) == (str(_digest(9)), "nifti", None)
        assert tx.instances.query("width = 1", Level.FILE, select=("width",), order="width desc", limit=1) == []
        assert len(list(tx.instances.matching(""))) == 1
        assert {kept.holding for kept in tx.custody.due(NOW, 10)} == {Holding.INSTANCE, Holding.FILE}
    with catalog.write() as tx:
        (kept,) = [each for each in tx.custody.due(NOW, 10) if each.holding is Holding.FILE]
        tx.custody.note([replace(kept, damage="rotten")], NOW)
        assert tx.files.get(_digest(9)).damage == "rotten"
        assert [each.digest for each in tx.custody.damaged([_digest(9), _digest(1)])] == [_digest(9)]
