"""A series that lacks instances, or may still grow, is not frozen unless somebody decided so."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from filmroom.catalog.schema import series as series_table
from filmroom.errors import NotFound, Refused
from filmroom.flow.reception import Arrived, Reception
from filmroom.records import Completeness
from filmroom.wiring import Room

LACKS = "in a series that lacks instances"
GROWS = "in a study that may still grow"


@pytest.fixture
def ready(world):
    """A room with a project, whose series come in by number."""
    world.room.project("lung", purpose="test")
    return world


def bring(world, make_ct, *numbers: int, patient: str = "P1", series: int = 1, **attributes: object):
    for number in numbers:
        world.deliver(f"{patient}-{series}-{number}", make_ct(patient, series, number, **attributes))
    receipt = world.room.receive([world.inbox], "ct-1")
    world.room.deidentify("lung")
    return receipt


def series_uid(world, where: str = "") -> str:
    (row,) = world.room.query(where, select=["series_uid"]).rows
    return str(row["series_uid"])


def states(world) -> list[str | None]:
    return [row["completeness"] for row in world.room.query(select=["completeness"], order="series_uid").rows]


def test_a_whole_series_is_complete_and_frozen(ready, make_ct) -> None:
    bring(ready, make_ct, *range(1, 7))
    assert states(ready) == ["complete"]
    assert ready.room.incomplete() == []
    assert ready.room.freeze("lung", project="lung").instances == 6


def test_a_series_with_a_hole_stays_out_until_the_rest_comes(ready, make_ct) -> None:
    bring(ready, make_ct, 1, 2, 3, 5, 6)
    bring(ready, make_ct, *range(1, 5), patient="P2")
    (state,) = ready.room.incomplete()
    assert (state.state, [reason.code for reason in state.lacks]) == (Completeness.INCOMPLETE, ["slices-missing"])
    frozen = ready.room.freeze("lung", project="lung")
    assert (frozen.instances, frozen.left_out) == (4, {LACKS: 5})
    bring(ready, make_ct, 4)
    assert states(ready) == ["complete", "complete"]
    assert ready.room.freeze("lung", project="lung").instances == 10


def test_when_nothing_is_left_the_refusal_says_where_to_look(ready, make_ct) -> None:
    bring(ready, make_ct, 1, 2, 3, 5)
    with pytest.raises(Refused) as refusal:
        ready.room.freeze("lung", project="lung")
    assert LACKS in refusal.value.what and "filmroom incomplete list" in refusal.value.next_step


def test_somebody_may_decide_that_a_series_is_used_as_it_is(ready, make_ct) -> None:
    bring(ready, make_ct, 1, 2, 3, 5)
    uid = series_uid(ready)
    (decided,) = ready.room.accept_incomplete(uid, why="the fourth was never made")
    assert (decided.state, decided.accepted_by, decided.why) == (
        Completeness.ACCEPTED,
        "olga",
        "the fourth was never made",
    )
    assert ready.room.freeze("lung", project="lung").instances == 4
    with pytest.raises(Refused):
        ready.room.accept_incomplete(uid, why="again")
    (leaf,) = [entry.entry for entry in ready.room.audit() if entry.entry["verb"] == "incomplete"]
    assert leaf["outcome"]["decision"].startswith("sha256:")
    assert uid not in str(leaf) and "never made" not in str(leaf)
    assert ready.room.verify_audit().ok


def test_only_a_decision_in_the_log_makes_a_series_accepted(ready, make_ct) -> None:
    bring(ready, make_ct, 1, 2, 3, 5)
    uid = series_uid(ready)
    ready.room.accept_incomplete(uid, why="the fourth was never made")
    ready.room.receive([ready.inbox], "ct-1")
    assert ready.room.verify_audit().ok
    with ready.ports.catalog.write() as tx:
        tx.wholeness._connection.execute(update(series_table).values(why="nobody asked"))
    (problem,) = ready.room.verify_audit().problems
    assert "accepted in the catalog without the log" in problem
    bring(ready, make_ct, 4)
    assert ready.room.verify_audit().ok


def test_a_decision_holds_as_long_as_the_same_is_missing(ready, make_ct) -> None:
    bring(ready, make_ct, 1, 2, 3, 5)
    ready.room.accept_incomplete(series_uid(ready), why="known")
    ready.room.receive([ready.inbox], "ct-1")
    assert states(ready) == ["accepted"]
    bring(ready, make_ct, 8)
    assert states(ready) == ["incomplete"]
    (state,) = ready.room.incomplete()
    assert state.accepted_by is state.why is None


def test_a_series_that_is_not_there_cannot_be_accepted(ready) -> None:
    with pytest.raises(NotFound):
        ready.room.accept_incomplete("1.2.3", why="?")


def test_a_study_of_which_something_is_on_its_way_is_not_frozen(ready, make_ct) -> None:
    bring(ready, make_ct, 1, 2, 3)
    with Reception(ready.ports) as reception:
        delivery = reception.open("scanner")
        reception.take(delivery, Arrived("4", make_ct("P1", 2, 4)))
        ready.room.deidentify("lung")
        assert states(ready) == ["complete", None]
        with pytest.raises(Refused, match=GROWS):
            ready.room.freeze("lung", project="lung")
        reception.finish(delivery)
    assert ready.room.freeze("lung", project="lung").instances == 4


def test_an_interrupted_delivery_counts_as_growing_until_it_is_brought_again(ready, make_ct) -> None:
    with Reception(ready.ports) as reception:
        reception.take(reception.open("scanner"), Arrived("1", make_ct("P1", 1, 1)))
    assert states(ready) == [None]
    assert [each.state for each in ready.room.incomplete()] == [None]
    bring(ready, make_ct, 1)
    assert states(ready) == ["complete"]


def test_a_study_must_be_quiet_for_as_long_as_the_room_says(ready, make_ct) -> None:
    patient_room = Room(replace(ready.ports, quiet=timedelta(minutes=5)))
    bring(ready, make_ct, 1, 2, 3)
    with pytest.raises(Refused, match=GROWS):
        patient_room.freeze("lung", project="lung")
    ready.clock.pass_by(minutes=4)
    bring(ready, make_ct, 4)
    ready.clock.pass_by(minutes=2)
    with pytest.raises(Refused, match=GROWS):
        patient_room.freeze("lung", project="lung")
    ready.clock.pass_by(minutes=3)
    assert patient_room.freeze("lung", project="lung").instances == 4


def test_a_decision_does_not_begin_the_quiet_anew(ready, make_ct) -> None:
    patient_room = Room(replace(ready.ports, quiet=timedelta(minutes=5)))
    whole = make_ct("P1", 1, 6)
    ready.deliver("cut", whole[: len(whole) - 100])
    bring(ready, make_ct, 1, 2, 3, 5)
    ready.clock.pass_by(minutes=6)
    (case,) = ready.room.quarantine()
    ready.room.reject_case(case.id, why="cut")
    patient_room.accept_incomplete(series_uid(ready), why="known")
    assert patient_room.freeze("lung", project="lung").instances == 4


def test_fewer_than_the_delivery_announced_marks_what_it_brought(ready, make_ct) -> None:
    for number in (1, 2, 3):
        ready.deliver(str(number), make_ct("P1", 1, number))
    ready.room.receive([ready.inbox], "ct-1", expect=5)
    (state,) = ready.room.incomplete()
    assert [(reason.code, reason.detail) for reason in state.lacks] == [
        ("delivery-short", "its delivery brought 2 objects fewer than announced")
    ]
    ready.room.receive([ready.inbox], "ct-1", expect=3)
    assert ready.room.incomplete() == []


def test_fewer_than_the_sender_s_objects_announce_is_said_of_the_whole_study(ready, make_ct) -> None:
    bring(ready, make_ct, 1, 2, NumberOfStudyRelatedInstances=4, NumberOfSeriesRelatedInstances=2)
    bring(ready, make_ct, 3, series=2, NumberOfStudyRelatedInstances=4)
    assert [[reason.code for reason in each.lacks] for each in ready.room.incomplete()] == [["study-short"]] * 2
    bring(ready, make_ct, 4, series=2)
    assert ready.room.incomplete() == []


def test_what_waits_in_quarantine_is_missing_in_its_series_until_it_is_decided(ready, make_ct) -> None:
    whole = make_ct("P1", 1, 4)
    ready.deliver("cut", whole[: len(whole) - 100])
    bring(ready, make_ct, 1, 2, 3)
    assert [reason.code for each in ready.room.incomplete() for reason in each.lacks] == ["in-quarantine"]
    (case,) = ready.room.quarantine()
    ready.room.reject_case(case.id, why="cut")
    assert ready.room.incomplete() == []


def test_a_sound_copy_of_what_waits_in_quarantine_is_enough(ready, make_ct) -> None:
    whole = make_ct("P1", 1, 4)
    ready.deliver("cut", whole[: len(whole) - 100])
    bring(ready, make_ct, 1, 2, 3, 4)
    assert ready.room.incomplete() == []


def test_a_released_case_leaves_its_series_judged(ready, make_ct) -> None:
    whole = make_ct("P1", 1, 4)
    ready.deliver("cut", whole[: len(whole) - 100])
    bring(ready, make_ct, 1, 2, 3)
    (case,) = ready.room.quarantine()
    ready.room.release_case(case.id, why="only the last row")
    assert states(ready) == ["complete"]


def test_a_decided_conflict_that_takes_an_instance_out_of_another_series_leaves_that_judged(ready, make_ct) -> None:
    bring(ready, make_ct, 1, 2, 3, 4, 5)
    uid = series_uid(ready)
    ready.deliver("moved", make_ct("P1", 1, 3, SeriesInstanceUID=f"{uid}.7"))
    ready.room.receive([ready.inbox / "moved"], "ct-1")
    (case,) = ready.room.quarantine()
    ready.room.release_case(case.id, why="it belongs there")
    ready.room.deidentify("lung")
    assert states(ready) == ["incomplete", "complete"]
    assert ready.room.freeze("lung", project="lung").left_out == {LACKS: 4}
