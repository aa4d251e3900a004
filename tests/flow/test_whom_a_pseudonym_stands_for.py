"""The crosswalk: one asks, two others agree, one patient is named, and every step is in the log."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import update

from filmroom.catalog.schema import data_key
from filmroom.errors import Denied, Invalid, KeyGone, NotFound, Refused
from filmroom.ids import Zone
from filmroom.wiring import Room

PATIENT, ISSUER = "MRN-4711", "GENERAL"


@pytest.fixture
def pseudonym(world, make_ct):
    world.deliver("a.dcm", make_ct(PatientID=PATIENT, IssuerOfPatientID=ISSUER))
    world.room.receive([world.inbox], source="ct-1")
    world.room.project("lung", purpose="nodules", profile="research")
    world.room.deidentify("lung")
    [copy] = [each for each in _copies(world) if each.subject]
    return copy.subject


def _copies(world):
    with world.ports.catalog.read() as tx:
        return tx.copies.all()


def _asked(room: Room, pseudonym: str) -> str:
    return room.acting_as("ann").ask_identity(pseudonym, project="lung", why="an incidental finding").id


def test_two_others_agree_and_who_asked_learns_one_patient(world, pseudonym) -> None:
    question = _asked(world.room, pseudonym)
    for name in ("bob", "eve"):
        world.room.acting_as(name).countersign(question)
    found = world.room.acting_as("ann").show_identity(question)
    assert (found.issuer, found.patient_id) == (ISSUER, PATIENT)


def test_one_agreement_is_not_enough_and_nobody_agrees_twice(world, pseudonym) -> None:
    question = _asked(world.room, pseudonym)
    world.room.acting_as("bob").countersign(question)
    with pytest.raises(Refused, match="agreed to this question before"):
        world.room.acting_as("bob").countersign(question)
    with pytest.raises(Refused, match="lacks 1 of 2"):
        world.room.acting_as("ann").show_identity(question)


def test_who_asks_cannot_agree(world, pseudonym) -> None:
    question = _asked(world.room, pseudonym)
    with pytest.raises(Denied):
        world.room.acting_as("ann").countersign(question)


def test_only_who_asked_learns_it_and_only_for_a_day(world, pseudonym) -> None:
    question = _asked(world.room, pseudonym)
    for name in ("bob", "eve"):
        world.room.acting_as(name).countersign(question)
    with pytest.raises(Denied, match="somebody else"):
        world.room.acting_as("bob").show_identity(question)
    world.clock.pass_by(hours=24)
    with pytest.raises(Denied, match="expired"):
        world.room.acting_as("ann").show_identity(question)


def test_one_can_turn_it_down_with_a_reason(world, pseudonym) -> None:
    question = _asked(world.room, pseudonym)
    with pytest.raises(Invalid, match="reason"):
        world.room.acting_as("bob").countersign(question, passed=False)
    world.room.acting_as("bob").countersign(question, passed=False, why="no consent")
    with pytest.raises(Refused, match="denied already"):
        world.room.acting_as("eve").countersign(question)
    with pytest.raises(Refused, match="turned down"):
        world.room.acting_as("ann").show_identity(question)


def test_what_nobody_can_be_asked_about(world, pseudonym) -> None:
    with pytest.raises(NotFound, match="no such pseudonym"):
        world.room.ask_identity("PAAAAAAAAAAAAAAAA", project="lung", why="x")
    with pytest.raises(NotFound):
        world.room.ask_identity(pseudonym, project="heart", why="x")
    with pytest.raises(Invalid, match="reason"):
        world.room.ask_identity(pseudonym, project="lung", why=" ")


def test_the_vault_tells_nothing_to_who_reads_its_files(world, pseudonym) -> None:
    [(name, sealed)] = world.read_all(Zone.VAULT).items()
    for secret in (PATIENT, ISSUER, pseudonym, "lung"):
        assert secret not in name
        assert secret.encode() not in sealed


def test_an_entry_is_written_once_and_copies_of_a_second_run_add_none(world, make_ct, pseudonym) -> None:
    before = world.read_all(Zone.VAULT)
    world.deliver("b.dcm", make_ct(PatientID=PATIENT, IssuerOfPatientID=ISSUER, InstanceNumber=2))
    world.room.receive([world.inbox], source="ct-1")
    world.room.deidentify("lung")
    assert world.read_all(Zone.VAULT) == before


def test_with_its_key_gone_a_pseudonym_is_anonymous_to_the_room_as_well(world, pseudonym) -> None:
    question = _asked(world.room, pseudonym)
    for name in ("bob", "eve"):
        world.room.acting_as(name).countersign(question)
    with world.ports.catalog.write() as tx:
        tx.keys._connection.execute(update(data_key).where(data_key.c.zone == Zone.VAULT).values(wrapped=None))
    with pytest.raises(KeyGone):
        world.room.acting_as("ann").show_identity(question)


def test_every_step_is_in_the_log_without_the_patient_and_an_edited_answer_is_found(world, pseudonym) -> None:
    question = _asked(world.room, pseudonym)
    for name in ("bob", "eve"):
        world.room.acting_as(name).countersign(question)
    world.room.acting_as("ann").show_identity(question)
    with world.ports.catalog.read() as tx:
        leaves = [leaf.decode() for leaf in tx.log.leaves()]
    steps = [
        (entry["verb"], entry["actor"]) for leaf in leaves if (entry := json.loads(leaf))["what"].get("id") == question
    ]
    assert steps == [("reidentify", "ann"), ("countersign", "bob"), ("countersign", "eve"), ("reidentify", "ann")]
    assert not any(PATIENT in leaf or ISSUER in leaf for leaf in leaves)
    assert world.room.verify_audit().ok
    with world.ports.catalog.write() as tx:
        tx.questions.put(replace(tx.questions.get(question), agreed=()))
    assert not world.room.verify_audit().ok
