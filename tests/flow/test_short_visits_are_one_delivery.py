"""Requests that follow each other are one batch, which is closed when nobody came for a while."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.adapters.sql.transaction import SqlTransaction
from filmroom.adapters.system import SystemClock
from filmroom.dimse.intake import Intake
from filmroom.errors import Unavailable
from filmroom.flow.reception import Arrived, Reception
from filmroom.flow.visits import Visits
from filmroom.wiring import Room, init, open_room


class Later(SystemClock):
    """A clock that can be put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    init(tmp_path / "room")
    with open_room(tmp_path / "room") as opened:
        yield opened


def bring(reception: Reception, visits: Visits, data: bytes) -> None:
    with visits.visit() as delivery:
        reception.take(delivery, Arrived("part", data))


def test_requests_that_follow_each_other_share_a_batch_that_the_end_closes(room: Room) -> None:
    ports = room.serve("http")
    with Reception(ports) as reception:
        visits = Visits(reception, ports.clock, "web")
        bring(reception, visits, b"one")
        bring(reception, visits, b"two")
        assert [each.batch.closed_at for each in room.batches()] == [None]
        visits.close()
    (summary,) = room.batches()
    assert (summary.batch.source, summary.received, summary.batch.closed_at is None) == ("web", 2, False)


def test_a_batch_closes_by_itself_when_nobody_comes_and_the_next_visit_opens_another(room: Room) -> None:
    ports = room.serve("http")
    with Reception(ports) as reception:
        visits = Visits(reception, ports.clock, "web", quiet=0.05)
        bring(reception, visits, b"one")
        for _ in range(600):
            if room.batches()[0].batch.closed_at is not None:
                break
            time.sleep(0.05)
        bring(reception, visits, b"two")
        visits.close()
    assert [each.batch.closed_at is None for each in room.batches()] == [False, False]


def test_a_delivery_that_is_never_quiet_ends_after_an_hour_with_its_last_visitor(room: Room) -> None:
    clock = Later()
    ports = replace(room.serve("http"), clock=clock)
    with Reception(ports) as reception:
        visits = Visits(reception, clock, "web", quiet=0.05)
        with visits.visit() as old:
            clock.ahead = 4000.0
            with visits.visit() as new:
                assert old.batch.id != new.batch.id
            reception.take(old, Arrived("part", b"late"))
        visits.close()
    assert [each.batch.closed_at is None for each in room.batches()] == [False, False]


def test_a_visitor_who_outstays_the_end_is_answered_all_the_same(room: Room) -> None:
    ports = room.serve("http")
    with Reception(ports) as reception:
        visits = Visits(reception, ports.clock, "web")
        with visits.visit() as delivery:
            visits.close()
            assert reception.take(delivery, Arrived("part", b"late")).row.position == 1
    (summary,) = room.batches()
    assert (summary.received, summary.batch.closed_at is None) == (1, False)


def test_who_comes_after_the_end_is_told_to_come_again(room: Room) -> None:
    ports = room.serve("http")
    with Reception(ports) as reception:
        visits = Visits(reception, ports.clock, "web")
        visits.close()
        with pytest.raises(Unavailable), visits.visit():
            pass
    assert room.batches() == []


class AwayAtFirst(SqlCatalog):
    """A catalog that cannot be written to a few times."""

    tries = 0

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        self.tries -= 1
        if self.tries >= 0:
            raise Unavailable("away", "try again")
        with super().write() as tx:
            yield tx


@pytest.fixture
def unsteady(room: Room, tmp_path: Path) -> Iterator[AwayAtFirst]:
    catalog = AwayAtFirst.in_file(tmp_path / "room" / "catalog.db")
    yield catalog
    catalog.close()


@pytest.mark.parametrize("door", ["dicomweb", "dimse"])
def test_a_batch_that_could_not_be_closed_is_closed_when_the_catalog_is_back(
    room: Room, unsteady: AwayAtFirst, door: str
) -> None:
    ports = replace(room.serve("http"), catalog=unsteady)
    with Reception(ports, again=0.05) as reception:
        if door == "dicomweb":
            visits = Visits(reception, ports.clock, "web", quiet=60)
            bring(reception, visits, b"one")
            end = visits.close
        else:
            intake = Intake(reception, "pacs")
            assert intake.store("1.2.3", b"one")[0] == 0xA900
            end = intake.finish
        unsteady.tries = 3
        end()
        assert room.batches()[0].batch.closed_at is None
        for _ in range(600):
            if room.batches()[0].batch.closed_at is not None:
                break
            time.sleep(0.02)
        else:
            pytest.fail("the batch stayed open")


def test_what_could_not_be_closed_until_the_room_closes_is_closed_then(room: Room, unsteady: AwayAtFirst) -> None:
    ports = replace(room.serve("http"), catalog=unsteady)
    with Reception(ports, again=3600) as reception:
        deliveries = [reception.open("one"), reception.open("two")]
        unsteady.tries = 2
        for delivery in deliveries:
            reception.finish_when_possible(delivery)
        assert [each.batch.closed_at for each in room.batches()] == [None, None]
    assert [each.batch.closed_at is None for each in room.batches()] == [False, False]
