"""What a hostile reader or an unlucky moment tried, and what came of it."""

import threading

import pytest

from filmroom.errors import Denied, LeaseEnded, NotFound, Refused, Unavailable
from filmroom.flow.reception import Arrived, Reception
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Digest, Zone
from filmroom.records import CopyState, Outcome, Reason

RECIPE = 'name = "plain"\nversion = 1\nkind = "image"\n[[step]]\nop = "rescale"\n'


@pytest.fixture
def filled(world, make_ct):
    """Two patients, two images each, clean for project `lung`."""
    for patient in ("P1", "P2"):
        for number in (1, 2):
            world.deliver(f"{patient}/{number}", make_ct(patient, 1, number))
    world.room.receive([world.inbox], "ct-1")
    world.room.project("lung", purpose="find nodules")
    world.room.deidentify("lung")
    return world


def lend(world, ref):
    asked = world.room.acting_as("dana").request(ref, purpose="baseline", days=3)
    world.room.acting_as("sam").approve(asked.id)
    return world.room.acting_as("dana").lease(ref).lease


def test_a_lease_opens_its_own_snapshot_and_no_other(filled) -> None:
    filled.room.freeze("one", project="lung", where="patient_id = 'P1'")
    filled.room.freeze("two", project="lung", where="patient_id = 'P2'")
    for ref in ("one@1", "two@1"):
        filled.room.build(ref, recipe=RECIPE)
    token = lend(filled, "one@1")
    assert len(filled.room.load("one@1", lease=token)) == 2
    with pytest.raises(Denied, match="not for two@1"):
        filled.room.load("two@1", lease=token)
    assert filled.room.audit(last=1)[0].entry["denied"]


def test_a_refused_lease_leaves_a_leaf(filled) -> None:
    filled.room.freeze("one", project="lung")
    with pytest.raises(Denied):
        filled.room.acting_as("dana").lease("one@1")
    last = filled.room.audit(last=1)[0].entry
    assert (last["verb"], last["denied"], last["actor"]) == ("lease", True, "dana")


def test_a_query_that_names_a_patient_stays_out_of_the_research_zone(filled) -> None:
    filled.room.freeze("one", project="lung", where="patient_id = 'P1'")
    assert filled.room.snapshots()[0].where == "patient_id = 'P1'"
    zone = SealedZone(filled.ports, Zone.RESEARCH)
    for name in filled.ports.objects[Zone.RESEARCH].names("snapshots"):
        assert b"P1'" not in zone.get(name, "project/lung")


def test_the_same_artifact_under_two_names_can_be_read_under_both(filled, tmp_path) -> None:
    filled.room.freeze("one", project="lung")
    artifact = tmp_path / "weights"
    artifact.write_bytes(b"learned")
    first, second, again = (filled.room.model(name, snapshot="one@1", artifact=artifact) for name in ("a", "b", "a"))
    assert again.ref == first.ref
    zone = SealedZone(filled.ports, Zone.MODELS)
    for model in (first, second):
        name = model.ref.name
        assert zone.get(f"{name}/{zone.name_of(model.digest)}", f"model/{name}") == b"learned"


def test_a_released_object_is_never_sealed_over(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    cut = image[: len(image) - 100]
    world.deliver("cut", cut)
    world.room.receive([world.inbox], "ct-1")
    (case,) = world.room.quarantine()
    world.room.release_case(case.id)
    world.room.receive([world.inbox], "ct-1")
    zone = SealedZone(world.ports, Zone.CLINICAL)
    with world.ports.catalog.read() as tx:
        stored = tx.instances.get(Digest.of(cut))
    assert zone.get_content(stored.digest, stored.subject) == cut
    assert world.room.doctor().ok


def test_bytes_that_a_door_turned_away_once_come_in_another_time(world, make_ct) -> None:
    """Ignored for how they came (to another study's address), then sent as they should be; cut ones are a case."""
    image, cut = make_ct("P1", 1, 1), make_ct("P1", 1, 2)[:-100]
    with Reception(world.ports) as reception:
        delivery = reception.open("stow")
        problem = Reason("other-study", "of another study than the request says")
        for data in (image, cut):
            assert reception.take(delivery, Arrived("part", data, problem)).row.outcome is Outcome.IGNORED
        taken = [reception.take(delivery, Arrived("part", data)).row.outcome for data in (image, image, cut, cut)]
        reception.finish(delivery)
    assert taken == [Outcome.STORED, Outcome.DUPLICATE, Outcome.QUARANTINED, Outcome.QUARANTINED]
    assert [case.digest for case in world.room.quarantine()] == [Digest.of(cut)]


def test_a_released_case_takes_over_from_the_current_revision(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    world.deliver("good", image)
    world.deliver("cut", make_ct("P1", 1, 1, change=3)[: len(image) - 100])
    world.room.receive([world.inbox], "ct-1")
    (case,) = world.room.quarantine()
    world.room.release_case(case.id, why="the first one was of another patient")
    rows = world.room.query(level="instance", select=["digest"]).rows
    assert [row["digest"] for row in rows] == [str(case.digest)]


def test_a_store_that_is_away_refuses_nothing_for_ever(world, make_ct) -> None:
    world.deliver("1", make_ct())
    world.room.receive([world.inbox], "ct-1")
    world.room.project("lung", purpose="find nodules")
    store = world.ports.objects[Zone.CLINICAL]
    (name,) = store.names("")
    kept = store.get(name)
    store.delete(name)
    assert world.room.deidentify("lung").failed == 1
    store.put(name, kept)
    assert world.room.deidentify("lung").clean == 1


def test_a_header_that_the_verifier_cannot_read_costs_one_copy_and_not_the_run(world, make_ct) -> None:
    image = make_ct("P1", 1, 1)
    end = 144 + int.from_bytes(image[140:144], "little")
    broken = b"\x02\x00\x00\x09SQ\x00\x00\x06\x00\x00\x00PLANTS"
    length = (end - 144 + len(broken)).to_bytes(4, "little")
    world.deliver("odd", image[:140] + length + image[144:end] + broken + image[end:])
    world.deliver("good", make_ct("P2", 1, 1))
    assert world.room.receive([world.inbox], "ct-1").stored == 2
    world.room.project("lung", purpose="find nodules")
    run = world.room.deidentify("lung")
    assert (run.clean, run.refused, run.findings["unreadable"]) == (1, 1, 1)


def test_a_dataset_with_holes_is_not_built(filled) -> None:
    filled.room.freeze("one", project="lung")
    store = filled.ports.objects[Zone.RESEARCH]
    name = next(name for name in store.names("") if not name.startswith("snapshots"))
    store.delete(name)
    with pytest.raises(NotFound):
        filled.room.build("one@1", recipe=RECIPE)


def test_a_label_for_an_id_that_two_patients_have_matches_neither(world, make_ct, tmp_path) -> None:
    world.deliver("a", make_ct("P1", 1, 1, IssuerOfPatientID="north"))
    world.deliver("b", make_ct("P1", 2, 1, IssuerOfPatientID="south", StudyInstanceUID="1.2.3"))
    world.room.receive([world.inbox], "ct-1")
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_id,finding,value\nP1,nodule,1\n")
    told = world.room.import_labels(labels, name="reads", kind="radiologist")
    assert told.added == 0 and told.unmatched[0].reason == "target-ambiguous"


def test_a_reviewers_decision_is_not_written_over(filled) -> None:
    with filled.ports.catalog.read() as tx:
        copy = tx.copies.all(project="lung")[0]
    from dataclasses import replace

    with filled.ports.catalog.write() as tx:
        tx.copies.put([replace(copy, decided_by="rita", why="looked at")])
    filled.room.deidentify("lung")
    with filled.ports.catalog.read() as tx:
        assert tx.copies.get(copy.id).decided_by == "rita"
        assert all(each.state is CopyState.CLEAN for each in tx.copies.all())


def test_what_was_kept_for_reviewing_is_gone_with_the_last_decision_about_it(world, make_ct) -> None:
    from dataclasses import replace

    for number in (1, 2, 3):
        world.deliver(f"{number}", make_ct("P1", 1, number, BurnedInAnnotation="YES"))
    world.room.receive([world.inbox], "ct-1")
    world.room.project("lung", purpose="find nodules")
    assert world.room.deidentify("lung").review == 3
    passed, refused, twice = world.room.review()
    assert len(world.read_all(Zone.CLINICAL, "review")) == 3
    assert world.room.decide_review(passed.id, passed=True, why="no text").state is CopyState.CLEAN
    assert world.room.decide_review(refused.id, passed=False, why="a name").state is CopyState.REFUSED
    with world.ports.catalog.write() as tx:
        tx.copies.put([replace(twice, verifier="another/2")])
    other = next(each for each in world.room.review() if each.verifier == "another/2")
    world.room.decide_review(twice.id, passed=False, why="a name")
    assert len(world.read_all(Zone.CLINICAL, "review")) == 1  # the other verifier's copy still waits for it
    world.room.decide_review(other.id, passed=False, why="a name")
    assert world.read_all(Zone.CLINICAL, "review") == {}
    (orphans,) = (check for check in world.room.doctor().checks if check.name == "orphans")
    assert orphans.detail.startswith("0 objects")


def test_a_snapshot_still_verifies_after_a_newer_verifier_went_over_the_archive(filled) -> None:
    from dataclasses import replace

    filled.room.freeze("one", project="lung")
    with filled.ports.catalog.write() as tx:
        newer = [replace(each, verifier="another/2", attestation="{}") for each in tx.copies.all(project="lung")]
        tx.copies.put(newer)
    assert filled.room.verify("one@1").ok


def test_a_project_that_has_ended_gives_nothing_more(filled) -> None:
    from datetime import timedelta

    end = filled.clock.now() + timedelta(days=1)
    filled.room.project("brief", purpose="a day", until=end)
    filled.room.deidentify("brief")
    filled.room.freeze("brief", project="brief")
    filled.room.build("brief@1", recipe=RECIPE)
    token = lend(filled, "brief@1")
    assert filled.room.grants()[-1].grant.expires == end
    filled.clock.pass_by(days=1, seconds=1)
    for act in (
        lambda: filled.room.deidentify("brief"),
        lambda: filled.room.freeze("brief", project="brief"),
        lambda: filled.room.acting_as("dana").lease("brief@1"),
    ):
        with pytest.raises((Refused, LeaseEnded)):
            act()
    with pytest.raises(LeaseEnded):
        filled.room.load("brief@1", lease=token)


def test_many_senders_share_a_transaction_and_each_gets_an_answer(world, make_ct) -> None:
    images = [make_ct("P1", 1, number) for number in range(1, 21)]
    with Reception(world.ports) as reception:
        delivery = reception.open("ct-1")
        rows = []
        threads = [
            threading.Thread(target=lambda image=image: rows.append(reception.take(delivery, Arrived("x", image)).row))
            for image in images
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        receipt = reception.finish(delivery)
    assert len(rows) == receipt.received == receipt.stored == 20
    assert sorted(row.position for row in rows) == list(range(1, 21))


@pytest.mark.parametrize("is_near", [True, False])
def test_a_store_that_fails_is_told_to_every_sender_and_counts_nothing(world, make_ct, is_near) -> None:
    class Away:
        def __init__(self) -> None:
            self.is_near = is_near

        def put(self, name, data) -> None:
            raise Unavailable("the store is away", "try again")

    from dataclasses import replace

    broken = replace(world.ports, objects={**world.ports.objects, Zone.CLINICAL: Away()})
    with Reception(broken) as reception:
        delivery = reception.open("ct-1")
        with pytest.raises(Unavailable):
            reception.take(delivery, Arrived("x", make_ct()))
        assert reception.finish(delivery).received == 0
