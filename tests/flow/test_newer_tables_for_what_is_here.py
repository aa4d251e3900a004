"""Tables that are newer than what is cataloged are applied to it, with what was received as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import update

from filmroom.catalog.schema import instance, series
from filmroom.dicom.normalize import version
from filmroom.flow.normalize import normalize
from filmroom.records import Level


def as_if_older(world, **columns: object) -> None:
    """Let the catalog be as an older version, which read columns of series otherwise, would have left it."""
    with world.ports.catalog.write() as tx:
        tx.instances._connection.execute(update(instance).values(normalization=version() - 1))
        if columns:
            tx.instances._connection.execute(update(series).values(columns))


def all_rows(world):
    return world.room.query("", level=Level.INSTANCE, order="sop_uid").rows


@pytest.fixture
def known(world, make_ct):
    for number in range(1, 4):
        world.deliver(f"a{number}", make_ct("P1", 1, number, BodyPartExamined="BRUSTKORB", Manufacturer="siemens"))
    world.deliver("b", make_ct("P2", 1, 1, BodyPartExamined="", SeriesDescription="Knee left"))
    world.room.receive([world.inbox], "ct-1")
    return all_rows(world)


def test_newer_tables_change_what_was_read_and_not_what_was_received(world, known) -> None:
    as_if_older(world, body_part="THORAX", body_part_code=None, manufacturer="siemens", laterality="R")
    older = all_rows(world)
    assert older != known
    done = world.room.normalize()
    assert (done.version, done.instances, done.changed) == (version(), 4, 4)
    assert all_rows(world) == known
    leaf = next(each.entry for each in reversed(world.room.audit()) if each.entry["verb"] == "normalize")
    assert leaf["outcome"] == {"state": "normalized", "version": version(), "read": 4, "changed": 4}


def test_what_is_read_by_these_tables_already_is_left_alone(world, known) -> None:
    assert world.room.normalize().instances == 0
    as_if_older(world)
    assert (world.room.normalize().changed, all_rows(world)) == (0, known)
    assert [each.entry["verb"] for each in world.room.audit()].count("normalize") == 1


class Stopping:
    """Shows progress to somebody who has enough of it."""

    @contextmanager
    def task(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        def advance(done: int) -> None:
            raise KeyboardInterrupt

        yield advance


def test_a_run_that_was_stopped_goes_on(world, make_ct) -> None:
    for number in range(25):
        world.deliver(str(number), make_ct("P1", number, 1))
    world.room.receive([world.inbox], "ct-1")
    known = all_rows(world)
    as_if_older(world, body_part="ARM")
    with pytest.raises(KeyboardInterrupt):
        normalize(replace(world.ports, progress=Stopping()))
    assert 0 < sum(row["normalization"] == version() for row in all_rows(world)) < 25
    done = world.room.normalize()
    assert 0 < done.instances < 25
    assert all_rows(world) == known
