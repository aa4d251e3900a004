"""What is kept is read back now and then: rot is found, marked and mended; what a crash left behind is adopted."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import update

from filmroom.adapters.keys import FileKeys
from filmroom.catalog.schema import data_key
from filmroom.dicom.parse import parse
from filmroom.errors import Corrupt, KeyGone
from filmroom.flow.doctor import doctor
from filmroom.flow.readback import GROUP, Pace, keep_scrubbing
from filmroom.flow.receive import receive, stage_and_write
from filmroom.flow.reception import Arrived, Judged, Reception
from filmroom.flow.retrieve import committed, series
from filmroom.flow.sealed import SealedZone, case_subject, patient_subject
from filmroom.govern.policy import Policies
from filmroom.ids import Digest, Zone
from filmroom.records import Outcome


@dataclass
class Patience:
    """Waits in no time, and says to stop after so many waits."""

    stop_after: int | None = None
    waits: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.stop_after is not None and len(self.waits) >= self.stop_after


def scrub(world, *, days: float = 0, rate: float = 0, patience: Patience | None = None):
    world.clock.pass_by(seconds=1)
    return doctor(world.ports, pace=Pace(days=days, rate=rate, wait=(patience or Patience()).wait))


def object_of(world, data: bytes, below: str = "") -> str:
    return below + SealedZone(world.ports, Zone.CLINICAL).name_of(Digest.of(data))


def rot(world, name: str) -> bytes:
    store = world.ports.objects[Zone.CLINICAL]
    whole: bytes = store.get(name)
    store.put(name, whole[:-1] + bytes([whole[-1] ^ 1]))
    return whole


def check(diagnosis, name: str):
    return next(each for each in diagnosis.checks if each.name == name)


def log(world):
    return [(each.entry["what"], each.entry["outcome"]) for each in world.room.audit()]


def test_a_rotten_object_is_found_and_nothing_uses_it_until_it_comes_again(world, make_ct) -> None:
    good, bad = make_ct("P1", 1, 1), make_ct("P1", 1, 2)
    world.deliver("1", good)
    world.deliver("2", bad)
    world.room.receive([world.inbox], "ct-1")
    assert scrub(world).ok
    world.room.project("p", purpose="test")
    assert world.room.deidentify("p").clean == 2
    rot(world, object_of(world, bad))
    diagnosis = scrub(world)
    assert diagnosis.scrubbed.damaged == {"rotten": 1}
    assert not diagnosis.ok and not check(diagnosis, "damaged objects").ok
    assert [row["digest"] for row in world.room.query("damage = 'rotten'", level="instance").rows] == [
        str(Digest.of(bad))
    ]
    with pytest.raises(Corrupt):
        retrieval = world.room.retrieve([world.room.query(level="study").rows[0]["study_uid"]])
        [retrieval.content(held) for held in retrieval.objects]
    assert world.room.deidentify("p").failed == 0
    frozen = world.room.freeze("ct", project="p")
    assert (frozen.instances, frozen.left_out) == (1, {"damaged in the clinical zone": 1})
    world.room.project("later", purpose="test")
    run = world.room.deidentify("later")
    assert (run.clean, run.failed, run.findings["corrupt"]) == (1, 1, 1)

    again = world.room.receive([world.inbox], "ct-1")
    assert (again.duplicate, again.stored) == (2, 0)
    assert world.room.query("damage IS NULL", level="instance").count == 2
    assert scrub(world).ok
    assert world.room.deidentify("later").clean == 1
    assert world.room.freeze("ct", project="p").instances == 2
    assert ({"kind": "instance", "id": str(Digest.of(bad))}, {"state": "rotten"}) in log(world)
    assert world.room.verify_audit().ok


def test_what_is_gone_or_has_a_broken_header_is_damaged_and_what_a_replica_brings_back_is_mended(
    world, make_ct
) -> None:
    images = [make_ct("P1", 1, number) for number in (1, 2)]
    for number, image in enumerate(images):
        world.deliver(str(number), image)
    world.room.receive([world.inbox], "ct-1")
    store = world.ports.objects[Zone.CLINICAL]
    names = [object_of(world, image) for image in images]
    whole = [store.get(name) for name in names]
    store.delete(names[0])
    store.put(names[1], bytes(56) + whole[1][56:])
    assert scrub(world).scrubbed.damaged == {"gone": 1, "rotten": 1}
    for name, data in zip(names, whole, strict=True):
        store.put(name, data)
    diagnosis = scrub(world, days=30)
    assert (diagnosis.scrubbed.checked, diagnosis.scrubbed.mended, diagnosis.ok) == (2, 2, True)
    assert world.room.query(level="instance").count == 2


def test_what_lies_in_quarantine_is_read_back_too_and_mended_by_the_same_bytes(world, make_ct) -> None:
    cut = make_ct("P1", 1, 1)[:-100]
    world.deliver("cut", cut)
    world.room.receive([world.inbox], "ct-1")
    rot(world, object_of(world, cut, "quarantine/"))
    assert scrub(world).scrubbed.damaged == {"rotten": 1}
    (case,) = world.room.quarantine()
    with pytest.raises(Corrupt):
        world.room.release_case(case.id)
    world.room.receive([world.inbox], "ct-1")
    assert scrub(world).ok
    world.room.release_case(case.id)
    rot(world, object_of(world, cut))
    assert scrub(world).scrubbed.damaged == {"rotten": 1}
    assert world.room.receive([world.inbox], "ct-1").duplicate == 1
    assert scrub(world).ok and world.room.query(level="instance").count == 1


def test_the_room_does_not_answer_for_what_it_knows_to_be_damaged_and_a_pull_fetches_it_again(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    world.deliver("1", image)
    world.room.receive([world.inbox], "ct-1")
    found = parse(image).instance
    assert found is not None
    asked = [(found.sop_class, found.sop_uid)]
    assert committed(world.ports, asked, to="ct-1") == [""]
    rot(world, object_of(world, image))
    scrub(world)
    assert committed(world.ports, asked, to="ct-1") == ["unreadable"]
    assert not series(world.ports, found.series_uid).cataloged
    world.room.receive([world.inbox], "ct-1")
    assert committed(world.ports, asked, to="ct-1") == [""]
    assert series(world.ports, found.series_uid).cataloged == {found.sop_uid}


def erase(world, subject: str) -> None:
    """As another process does it."""
    with world.ports.catalog.write() as tx:
        tx.keys._connection.execute(update(data_key).where(data_key.c.subject == subject).values(wrapped=None))


def test_who_was_erased_by_another_process_is_refused_at_once_at_every_door(world, make_ct) -> None:
    """A reception that has their key open learns of it when it catalogs; so does a process that helps it."""
    first, second = make_ct("P1", 1, 1), make_ct("P1", 1, 2)
    others = [make_ct("P1", 1, number) for number in (3, 4)]
    with Reception(world.ports) as door, Reception(world.ports) as elsewhere:
        delivery = door.open("pacs")
        door.take(delivery, Arrived("one", first))
        elsewhere.take(delivery, Arrived("other", make_ct("P1", 2, 1)))
        erase(world, world.room.query("", level="patient", select=["subject"]).rows[0]["subject"])
        rows = [door.take(delivery, Arrived("two", second)).row]
        for number, each in enumerate(others):
            world.deliver(str(number), each)

        class Helper:
            count = 1
            files = 0

            def stage(self, delivery, group):
                self.files += len(group)
                done: Future[Sequence[Judged]] = Future()
                done.set_result(stage_and_write(world.ports, elsewhere, delivery, group))
                return done

        helper = Helper()
        receipt = receive(world.ports, [world.inbox], source="folder", helpers=helper)
    assert helper.files == len(others)
    rows += world.room.show_batch(receipt.batch.id).ledger
    assert [(row.outcome, [reason.code for reason in row.reasons]) for row in rows] == [
        (Outcome.QUARANTINED, ["patient-erased"])
    ] * 3


def test_what_was_erased_is_not_said_to_be_mended(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    world.deliver("1", image)
    world.room.receive([world.inbox], "ct-1")
    rot(world, object_of(world, image))
    assert scrub(world).scrubbed.damaged == {"rotten": 1}
    with world.ports.catalog.write() as tx:
        subject = tx.instances.get(Digest.of(image)).subject
    erase(world, subject)
    diagnosis = scrub(world)
    assert (diagnosis.scrubbed.erased, diagnosis.scrubbed.mended, diagnosis.ok) == (1, 0, True)
    assert [outcome["state"] for what, outcome in log(world) if what["kind"] == "instance"] == ["rotten", "erased"]


def test_a_run_that_is_stopped_is_gone_on_with_and_what_was_seen_lately_is_left_alone(world, make_ct) -> None:
    count = GROUP + 8
    for number in range(1, count + 1):
        world.deliver(str(number), make_ct("P1", 1, number))
    world.room.receive([world.inbox], "ct-1")
    first = scrub(world, days=30, patience=Patience(stop_after=10)).scrubbed
    assert first.checked == 10
    assert scrub(world, days=30).scrubbed.checked == count - 10
    assert scrub(world, days=30).scrubbed.checked == 0
    world.clock.pass_by(days=31)
    assert scrub(world, days=30, patience=Patience(stop_after=10)).scrubbed.checked == 10
    world.clock.pass_by(days=1)
    assert scrub(world, days=30).scrubbed.checked == count - 10, "the ones that were longest ago"
    scrubbed = [outcome for _, outcome in log(world) if outcome.get("state") == "scrubbed"]
    assert [each["checked"] for each in scrubbed] == [10, count - 10, 0, 10, count - 10]


def test_a_run_reads_no_faster_than_it_may(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    world.deliver("1", image)
    world.room.receive([world.inbox], "ct-1")
    patience = Patience()
    scrub(world, rate=1000, patience=patience)
    assert patience.waits == [len(image) / 1000]


def test_a_server_scrubs_every_so_often_whatever_goes_wrong_with_one_run(world, make_ct) -> None:
    world.deliver("1", make_ct("P1", 1, 1))
    world.room.receive([world.inbox], "ct-1")
    said: list[str] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        world.clock.pass_by(seconds=seconds, days=40)
        return waits.count(2 * 3600) > 2

    waits: list[float] = []
    turns = iter([False, True])
    keep_scrubbing(world.ports, 2, wait, lambda: next(turns), said.append)
    assert [outcome["checked"] for _, outcome in log(world) if outcome.get("state") == "scrubbed"] == [1]
    assert said == []

    waits.clear()
    forbidden = replace(world.ports, authorizer=Policies.shipped(lambda actor: frozenset()))
    keep_scrubbing(forbidden, 2, wait, lambda: True, said.append)
    assert len(said) == 2 and "[denied]" in said[0]


def test_keys_that_do_not_fit_are_no_rot(world, make_ct, tmp_path) -> None:
    world.deliver("1", make_ct("P1", 1, 1))
    world.room.receive([world.inbox], "ct-1")
    other = FileKeys.create(tmp_path / "other keys", world.ports.entropy)
    with pytest.raises(KeyGone):
        doctor(replace(world.ports, keys=other), pace=Pace(days=0, wait=Patience().wait))
    with world.ports.catalog.read() as tx:
        assert tx.custody.damaged() == []


def test_deliveries_that_were_cut_off_are_counted(world, make_ct) -> None:
    world.deliver("1", make_ct("P1", 1, 1))
    world.room.receive([world.inbox], "ct-1")
    assert check(world.room.doctor(), "open deliveries").detail == "none"
    with Reception(world.ports) as reception:
        reception.open("ct-2")
    assert check(world.room.doctor(), "open deliveries").detail.startswith("1 go on or were cut off")


def test_what_a_crash_left_without_a_row_is_adopted(world, make_ct) -> None:
    stored, cut = make_ct("P1", 1, 1), make_ct("P2", 1, 1)[:-100]
    world.deliver("1", make_ct("P1", 1, 7))
    world.room.receive([world.inbox], "ct-1")
    _crash_before_the_row(world, {"": stored, "quarantine/": cut})
    assert "2 objects" in check(world.room.doctor(), "orphans").detail

    diagnosis = world.room.doctor(adopt=True)
    assert (diagnosis.adopted.batch.source, diagnosis.adopted.received) == ("doctor", 2)
    assert (diagnosis.adopted.stored, diagnosis.adopted.quarantined) == (1, 1)
    assert "0 objects" in check(diagnosis, "orphans").detail and diagnosis.ok
    assert world.room.query(level="instance").count == 2
    assert len(world.room.quarantine()) == 1
    assert world.room.doctor(adopt=True).adopted is None


def test_an_orphan_that_no_key_opens_or_that_is_damaged_is_said_and_left_where_it_is(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    _crash_before_the_row(world, {"": image})
    rot(world, object_of(world, image))
    store = world.ports.objects[Zone.CLINICAL]
    store.put("aa/foreign", bytes(500))
    diagnosis = world.room.doctor(adopt=True)
    rows = world.room.show_batch(diagnosis.adopted.batch.id).ledger
    assert [(row.outcome, row.reasons[0].code) for row in rows] == [
        (Outcome.IGNORED, code) for code in _in_order(object_of(world, image), "orphan-damaged", "orphan-sealed")
    ]
    assert "2 objects" in check(diagnosis, "orphans").detail
    assert len(list(store.names(""))) == 2


def _in_order(name: str, its: str, others: str) -> list[str]:
    return [its, others] if name < "aa/foreign" else [others, its]


def _crash_before_the_row(world, objects: dict[str, bytes]) -> None:
    """Take objects in as a room does that dies before the transaction: keys and bytes are there, rows are not."""
    zone = SealedZone(world.ports, Zone.CLINICAL)
    for below, data in objects.items():
        found = parse(data).instance
        assert found is not None
        subject = (
            case_subject(world.ports, Digest.of(data))
            if below
            else patient_subject(world.ports, found.issuer, found.patient_id, found.study_uid)
        )
        zone.ensure([subject])
        zone.put(object_of(world, data, below), subject, data)
