"""What is known of a series' wholeness, on every engine."""

from datetime import UTC, datetime, timedelta

import pytest

from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.errors import Refused
from filmroom.ids import Digest
from filmroom.records import (
    Batch,
    Case,
    Completeness,
    Instance,
    InstanceState,
    LedgerRow,
    Outcome,
    Reason,
    Slice,
    Value,
)

NOW = datetime(2024, 5, 31, 12, 0, tzinfo=UTC)
HOLE = (Reason("numbers-missing", "instance numbers 2 are missing"),)
OTHER = (Reason("numbers-missing", "instance numbers 2-3 are missing"),)


def _digest(number: int) -> Digest:
    return Digest.of(str(number).encode())


def _instance(number: int, series: str, study: str = "1", **values: Value) -> Instance:
    return Instance(
        digest=_digest(number),
        size_bytes=10,
        issuer="",
        patient_id="p",
        study_uid=study,
        series_uid=series,
        sop_uid=f"9.{number}",
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax="1.2.840.10008.1.2.1",
        pixel_digest=None,
        values={"modality": "CT", "instance_number": number, **values},
    )


def _deliver(catalog: SqlCatalog, batch: str, *instances: Instance, again: tuple[int, ...] = ()) -> None:
    with catalog.write() as tx:
        tx.batches.open(Batch(id=batch, source="disk", received_at=NOW, processing_version="1"))
        tx.instances.add([(each, "s", batch, InstanceState.CURRENT) for each in instances])
        rows = [(each.digest, Outcome.STORED) for each in instances]
        rows += [(_digest(number), Outcome.DUPLICATE) for number in again]
        tx.batches.add(
            batch,
            [
                LedgerRow(position=position, name="", digest=digest, size_bytes=10, outcome=outcome)
                for position, (digest, outcome) in enumerate(rows, 1)
            ],
        )


def _judge(catalog: SqlCatalog, series: str, lacks: tuple[Reason, ...] = (), at: datetime = NOW) -> None:
    with catalog.write() as tx:
        tx.wholeness.judge([(key, lacks) for key in tx.wholeness.of_uid(series)], at)


def _unfit(catalog: SqlCatalog, since: datetime = NOW) -> dict[str, Completeness | None]:
    with catalog.read() as tx:
        return {series: state for (_, _, series), state in tx.wholeness.unfit(since).items()}


def test_a_delivery_is_about_what_it_brought_again_or_for_the_first_time_or_into_quarantine(
    catalog: SqlCatalog,
) -> None:
    _deliver(catalog, "b1", _instance(1, "1.1"), _instance(2, "1.2"), _instance(3, "1.3"))
    _deliver(catalog, "b2", _instance(4, "1.2"), again=(1,))
    waiting = _instance(5, "1.3")
    case = Case(
        id="c", name="", digest=waiting.digest, size_bytes=1, batch="b2", subject="s", reasons=(), instance=waiting
    )
    with catalog.write() as tx:
        tx.cases.add(case)
        every = sorted(tx.wholeness.of_batch("b1"))
        assert sorted(tx.wholeness.of_batch("b2")) == every
        assert len(every) == 3
        facts = dict(tx.wholeness.facts(every))
        assert [facts[key].waiting for key in every] == [0, 0, 1]
        assert [len(facts[key].slices) for key in every] == [1, 2, 1]
        assert tx.wholeness.of_batch("b3") == []


def test_the_facts_are_those_of_current_instances(catalog: SqlCatalog) -> None:
    place: dict[str, Value] = {"plane": "axial", "slice_position_mm": 2.5, "image_type": "ORIGINAL", "frames": 1}
    _deliver(
        catalog, "b1", _instance(1, "1.1", "1", series_announced=7, study_announced=9, **place), _instance(2, "1.1")
    )
    _deliver(catalog, "b2", _instance(3, "1.2"))
    with catalog.write() as tx:
        tx.instances.set_state(_digest(2), InstanceState.SUPERSEDED)
        (key,) = tx.wholeness.of_uid("1.1")
        ((_, facts),) = tx.wholeness.facts([key])
        assert facts.slices == (Slice(1, "axial", 2.5, "ORIGINAL", 1),)
        assert (facts.modality, facts.announced, facts.study_announced, facts.study_instances) == ("CT", 7, 9, 2)
        assert tx.wholeness.beside([key]) == tx.wholeness.of_uid("1.2")


def test_what_an_archive_says_of_a_series_counts_from_then_on(catalog: SqlCatalog) -> None:
    _deliver(catalog, "b1", _instance(1, "1.1", series_announced=7), _instance(2, "1.2"))
    _judge(catalog, "1.1")
    with catalog.write() as tx:
        assert tx.wholeness.announce({"1.1": 3, "1.2": 4, "1.9": 5}) == tx.wholeness.of_uid("1.1"), "the judged one"
        keys = [*tx.wholeness.of_uid("1.1"), *tx.wholeness.of_uid("1.2")]
        assert [facts.announced for _, facts in tx.wholeness.facts(keys)] == [3, 4]
        assert tx.wholeness.announce({}) == []


def test_only_studies_whose_size_was_announced_have_series_beside(catalog: SqlCatalog) -> None:
    _deliver(catalog, "b1", _instance(1, "1.1"), _instance(2, "1.2"))
    with catalog.read() as tx:
        assert tx.wholeness.beside(tx.wholeness.of_uid("1.1")) == []


def test_a_series_is_unfit_until_it_is_judged_and_found_whole(catalog: SqlCatalog) -> None:
    _deliver(catalog, "b1", _instance(1, "1.1"), _instance(2, "1.2"), _instance(3, "2.1", "2"))
    assert _unfit(catalog) == {"1.1": None, "1.2": None, "2.1": None}
    _judge(catalog, "1.1")
    _judge(catalog, "2.1", HOLE)
    assert _unfit(catalog) == {"1.1": None, "1.2": None, "2.1": Completeness.INCOMPLETE}
    _judge(catalog, "1.2")
    assert _unfit(catalog) == {"2.1": Completeness.INCOMPLETE}
    assert set(_unfit(catalog, NOW - timedelta(seconds=1))) == {"1.1", "1.2", "2.1"}


def test_a_new_instance_makes_its_series_unjudged_and_leaves_the_others(catalog: SqlCatalog) -> None:
    _deliver(catalog, "b1", _instance(1, "1.1"), _instance(2, "2.1", "2"))
    _judge(catalog, "1.1")
    _judge(catalog, "2.1")
    _deliver(catalog, "b2", _instance(3, "1.1"))
    assert _unfit(catalog) == {"1.1": None}


def test_a_decision_stands_while_the_same_is_missing(catalog: SqlCatalog) -> None:
    _deliver(catalog, "b1", _instance(1, "1.1"))
    _judge(catalog, "1.1", HOLE)
    with catalog.write() as tx:
        tx.wholeness.accept("1.1", "olga", NOW, "known")
        with pytest.raises(Refused):
            tx.wholeness.accept("1.1", "olga", NOW, "again")
    _judge(catalog, "1.1", HOLE)
    with catalog.read() as tx:
        (state,) = tx.wholeness.unfinished()
        assert (state.state, state.lacks, state.why) == (Completeness.ACCEPTED, HOLE, "known")
    assert _unfit(catalog) == {}
    _judge(catalog, "1.1", OTHER)
    with catalog.read() as tx:
        (state,) = tx.wholeness.unfinished()
        assert (state.state, state.lacks, state.accepted_by) == (Completeness.INCOMPLETE, OTHER, None)
    _judge(catalog, "1.1")
    with catalog.read() as tx:
        assert tx.wholeness.unfinished() == []
        (state,) = tx.wholeness.unfinished("1.1")
        assert state.state is Completeness.COMPLETE
