"""deidentify, freeze, build, share, load: the happy road, and the proofs along it."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import update

from filmroom.canon import digest_of
from filmroom.catalog.schema import data_key, opening
from filmroom.errors import Corrupt, Denied, Invalid, LeaseEnded, Refused
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Digest, Versioned, Zone
from filmroom.wiring import Room

RECIPE = """
name = "plain"
version = 1
kind = "image"
[[step]]
op = "rescale"
[[step]]
op = "dtype"
type = "int16"
"""


@pytest.fixture
def filled(world, make_ct):
    """A room with five patients, two images each, de-identified for project `lung`."""
    for patient in ("P1", "P2", "P3", "P4", "P5"):
        for number in (1, 2):
            world.deliver(f"{patient}/{number}", make_ct(patient, 1, number))
    world.room.receive([world.inbox], "ct-1")
    world.room.project("lung", purpose="find nodules")
    run = world.room.deidentify("lung")
    assert (run.clean, run.review, run.refused) == (10, 0, 0)
    assert run.frames == 10
    return world


@pytest.fixture
def built(filled):
    filled.room.freeze("lung", project="lung", split="train=0.6,test=0.4", seed=3)
    filled.room.build("lung@1", recipe=RECIPE)
    return filled


def lend(world, **kwargs):
    dana, sam = world.room.acting_as("dana"), world.room.acting_as("sam")
    asked = dana.request("lung@1", purpose="baseline", days=1)
    sam.approve(asked.id)
    return dana.lease("lung@1", **kwargs).lease


def test_samples_are_the_received_pixels_in_hounsfield_units(built, make_ct) -> None:
    data = built.room.load("lung@1", lease=lend(built))
    assert len(data) == 10
    wanted = {
        (np.arange(256) * (n + 1) + sum(f"P{patient}".encode()) - 1024).astype(np.int16).tobytes()
        for n in (1, 2)
        for patient in range(1, 6)
    }
    assert {data[i].image.tobytes() for i in range(10)} == wanted
    seen = [key for batch in data.batches(4, seed=1, epoch=0) for key in batch.keys]
    assert sorted(seen) == sorted(data[i].key for i in range(10))


def test_a_split_keeps_patients_together(built) -> None:
    rows = built.room.show("lung@1").rows
    parts = {row.subject: {other.split for other in rows if other.subject == row.subject} for row in rows}
    assert all(len(split) == 1 for split in parts.values())
    token = lend(built)
    train, test = (built.room.load("lung@1", lease=token, split=split) for split in ("train", "test"))
    assert len(train) + len(test) == 10


def test_the_same_freeze_again_is_the_same_version(filled) -> None:
    first = filled.room.freeze("lung", project="lung", split="train=0.6,test=0.4", seed=3)
    second = filled.room.freeze("lung", project="lung", split="train=0.6,test=0.4", seed=3)
    other = filled.room.freeze("lung", project="lung", split="train=0.6,test=0.4", seed=4)
    assert (second.snapshot, second.root, second.existing) == (first.snapshot, first.root, True)
    assert other.snapshot == Versioned("lung", 2)


def test_there_is_nothing_to_freeze_before_copies_are_clean(world, make_ct) -> None:
    world.deliver("1", make_ct())
    world.room.receive([world.inbox], "ct-1")
    world.room.project("lung", purpose="find nodules")
    with pytest.raises(Refused, match="1 not de-identified yet"):
        world.room.freeze("lung", project="lung")


def test_nobody_approves_their_own_request_and_the_attempt_is_written_down(built) -> None:
    dana = built.room.acting_as("dana")
    asked = dana.request("lung@1", purpose="baseline", days=1)
    with pytest.raises(Denied):
        dana.approve(asked.id)
    last = built.room.audit(last=1)[0].entry
    assert (last["verb"], last["denied"]) == ("approve", True)
    assert last["actor"] == "dana" and last["owner"] == "olga"
    built.room.acting_as("sam").approve(asked.id)
    with pytest.raises(Refused):
        built.room.acting_as("sam").approve(asked.id)


def test_without_a_grant_there_is_no_lease(built) -> None:
    with pytest.raises(Denied, match="no grant"):
        built.room.acting_as("dana").lease("lung@1")


def test_a_revoked_grant_stops_the_very_next_read(built) -> None:
    data = built.room.load("lung@1", lease=lend(built))
    batches = data.batches(2, seed=0, epoch=0)
    next(batches)
    grant = built.room.grants()[0].grant
    built.room.acting_as("sam").revoke(grant.id)
    with pytest.raises(LeaseEnded, match="revoked"):
        for _ in batches:
            pass
    with pytest.raises(LeaseEnded):
        data[0]
    with pytest.raises(LeaseEnded):
        built.room.acting_as("dana").lease("lung@1")


def test_a_lease_ends_by_the_clock_and_with_its_grant(built) -> None:
    data = built.room.load("lung@1", lease=lend(built, minutes=10))
    built.clock.pass_by(minutes=9, seconds=59)
    data[0]
    built.clock.pass_by(seconds=1)
    with pytest.raises(LeaseEnded, match="lease has expired"):
        data[0]
    renewed = built.room.acting_as("dana").lease("lung@1", minutes=24 * 60)
    assert renewed.expires == built.room.grants()[0].grant.expires


def test_a_token_that_was_forged_opens_nothing_and_the_attempt_is_written_down(built) -> None:
    head, claims, signature = lend(built).split(".")
    other = lend(built).split(".")
    for forged in (f"{head}.{claims}.{other[2]}", f"{head}.{claims}.", "nothing", f"{head}.{other[1]}.{signature}"):
        with pytest.raises(Denied, match="not a lease of this room"):
            built.room.load("lung@1", lease=forged)
        last = built.room.audit(last=1)[0].entry
        assert (last["verb"], last["denied"]) == ("load", True)


class CountedKeys:
    """The room's keys, counting how often a signature was about to be verified."""

    def __init__(self, keys) -> None:
        self._keys = keys
        self.verifications = 0

    def __getattr__(self, name):
        self.verifications += name == "public_key"
        return getattr(self._keys, name)


def test_a_token_is_verified_when_the_data_is_opened_and_not_for_every_batch(built) -> None:
    token, keys = lend(built), CountedKeys(built.ports.keys)
    data = Room(replace(built.ports, keys=keys)).load("lung@1", lease=token)
    list(data.batches(2))  # every key is known from here on
    assert keys.verifications
    before = keys.verifications
    assert len(list(data.batches(2))) == 5
    assert keys.verifications == before


def test_opened_shards_are_in_the_log_before_their_keys_are_out(built) -> None:
    token = lend(built)
    size = built.room.verify_audit().size
    data = built.room.load("lung@1", lease=token)
    data[0]
    entries = [entry.entry for entry in built.room.audit() if entry.index >= size]
    assert [entry["verb"] for entry in entries] == ["load", "load"]  # the index, then the first patient's shard
    assert entries[0]["what"]["lease"] == entries[1]["what"]["lease"]


def test_the_log_is_bound_to_whose_shards_were_opened_however_many(built) -> None:
    data = built.room.load("lung@1", lease=lend(built, job="baseline"))
    first = built.room.show("lung@1").rows[0].subject
    data[0]
    list(data.batches(10))
    with built.ports.catalog.read() as tx:
        index, one, others = tx.access.openings(Versioned("lung", 1))
    assert index.subjects == (f"shardset/{index.shardset.hex}",)
    assert one.subjects == (first,)
    assert {*one.subjects, *others.subjects} == {row.subject for row in built.room.show("lung@1").rows}
    assert not {*one.subjects} & {*others.subjects}
    entry = built.room.audit(last=1)[0].entry
    assert (entry["what"]["kind"], entry["what"]["id"], entry["what"]["job"]) == ("opening", others.id, "baseline")
    assert entry["outcome"] == {"keys": 4, "row": str(digest_of(others))}
    assert built.room.verify_audit().ok
    with built.ports.catalog.write() as tx:
        tx.access._connection.execute(
            update(opening).where(opening.c.id == others.id).values(subjects=list(others.subjects[1:]))
        )
    assert built.room.verify_audit().problems == (f"opening {others.id} was changed in the catalog without the log",)


def test_a_flipped_byte_is_found_by_reader_and_verify_and_mended_by_build(built) -> None:
    token = lend(built)
    store = built.ports.objects[Zone.RESEARCH]
    name = next(name for name in store.names("shardsets") if "/c/" in name)
    whole = store.get(name)
    store.put(name, whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    data = built.room.load("lung@1", lease=token)
    with pytest.raises(Corrupt):
        [data[i] for i in range(len(data))]
    assert not built.room.verify("lung@1").ok
    assert built.room.build("lung@1", recipe=RECIPE).repaired
    assert built.room.verify("lung@1").ok
    data = built.room.load("lung@1", lease=token)
    assert len({data[i].key for i in range(len(data))}) == 10


def test_mending_one_object_leaves_the_others_and_their_readers_alone(built) -> None:
    data = built.room.load("lung@1", lease=lend(built))
    data[0]
    before = built.read_all(Zone.RESEARCH, "shardsets")
    lost = next(name for name in sorted(before) if name.endswith("a/00000/zarr.json"))
    built.ports.objects[Zone.RESEARCH].delete(lost)
    mended = built.room.build("lung@1", recipe=RECIPE)
    assert (mended.existing, mended.repaired) == (True, 1)
    assert built.room.audit(last=1)[0].entry["outcome"]["repaired"] == 1
    after = built.read_all(Zone.RESEARCH, "shardsets")
    assert [name for name in before if after[name] != before[name]] == [lost]
    assert len({item.key for item in data}) == 10
    assert built.room.verify("lung@1").ok
    assert built.room.build("lung@1", recipe=RECIPE).repaired == 0


def test_verify_finds_a_copy_that_was_exchanged(built) -> None:
    store = built.ports.objects[Zone.RESEARCH]
    names = [name for name in store.names("") if not name.startswith(("shardsets", "snapshots"))]
    store.put(names[0], store.get(names[1]))
    verdict = built.room.verify("lung@1")
    assert not verdict.ok and len(verdict.problems) == 1


def test_verify_finds_a_row_that_was_edited(built) -> None:
    snapshot = built.room.snapshots()[0]
    zone = SealedZone(built.ports, Zone.RESEARCH)
    name = f"snapshots/{snapshot.id.hex}/rows-0000.jsonl"
    rows = zone.get(name, "project/lung")
    zone.put(name, "project/lung", rows.replace(b'"split":"train"', b'"split":"test"', 1))
    assert not built.room.verify("lung@1").ok


def test_everything_comes_again_after_the_research_zone_was_wiped(built) -> None:
    store = built.ports.objects[Zone.RESEARCH]
    kept = {name for name in store.names("") if name.startswith("snapshots")}
    for name in list(store.names("")):
        if name not in kept:
            store.delete(name)
    assert not built.room.verify("lung@1").ok
    verdict = built.room.reproduce("lung@1")
    assert verdict.ok and verdict.checked > 10


def destroy_key(world, subject) -> None:
    with world.ports.catalog.write() as tx:
        tx.keys._connection.execute(update(data_key).where(data_key.c.subject == subject).values(wrapped=None))


def test_reproducing_goes_on_past_what_is_gone_and_tells_of_all_of_it(built) -> None:
    clinical = SealedZone(built.ports, Zone.CLINICAL)
    rows = built.room.show("lung@1").rows
    first, second, third = dict.fromkeys(row.subject for row in rows[:6])
    with built.ports.catalog.read() as tx:
        members = [tx.copies.by_digest([member.copy])[0] for member in tx.snapshots.members(Versioned("lung", 1))]
        lost = [tx.instances.get(copy.source) for copy in members if copy.subject in (first, third)]
        shardset = tx.shardsets.find(Versioned("lung", 1))[0]
    built.ports.objects[Zone.CLINICAL].delete(clinical.name_of(lost[0].digest))
    destroy_key(built, lost[3].subject)
    destroy_key(built, f"shardset/{shardset.id.hex}/{second}")
    verdict = built.room.reproduce("lung@1")
    told = sorted(problem.partition(":")[0] for problem in verdict.problems)
    assert told == [
        f"member {[copy.subject for copy in members].index(first)}",
        *(f"member {at}" for at, copy in enumerate(members) if copy.subject == third),
        f"the index of {shardset.id}".partition(":")[0],
        *sorted(f"the shards of {subject} were not compared" for subject in (first, second, third)),
    ]
    assert verdict.checked > len(rows) + 6  # two patients' shards were compared all the same


def test_trace_answers_both_ways(built, tmp_path) -> None:
    token = lend(built, job="baseline-1")
    artifact = tmp_path / "weights"
    artifact.write_bytes(b"learned")
    built.room.acting_as("dana").model("nodules", snapshot="lung@1", artifact=artifact, lease=token)
    backward = built.room.trace("model:nodules@1", forward=False)
    assert len(backward.answers.studies) == 5
    assert backward.answers.models == ("nodules@1",)
    assert backward.answers.access[0]["job"] == "baseline-1"
    assert {node.kind for node in backward.nodes} >= {"patient", "study", "instance", "copy", "snapshot", "recipe"}
    assert len({node.id for node in backward.nodes}) == len(backward.nodes)
    forward = built.room.trace("P3", backward=False)
    assert {node.id for node in forward.nodes} >= {"snapshot:lung@1", "model:nodules@1"}
    instances = [node for node in forward.nodes if node.kind == "instance"]
    assert len(instances) == 2


def test_a_series_is_followed_without_the_others_of_its_study(world, make_ct) -> None:
    for series in (1, 2):
        world.deliver(f"{series}", make_ct("P1", series, 1))
    world.room.receive([world.inbox], "ct-1")
    world.room.project("lung", purpose="find nodules")
    world.room.deidentify("lung")
    world.room.freeze("lung", project="lung")
    first, second = (row["series_uid"] for row in world.room.query(select=["series_uid"], order="series_uid").rows)
    found = world.room.trace(first)
    assert (found.kind, found.id) == ("series", f"series:{first}")
    kinds = [node.kind for node in found.nodes]
    assert {kind: kinds.count(kind) for kind in ("patient", "study", "series", "instance", "copy", "snapshot")} == {
        "patient": 1, "study": 1, "series": 1, "instance": 1, "copy": 1, "snapshot": 1,
    }  # fmt: skip
    study = world.room.trace(f"study:{found.answers.studies[0]}")
    assert {node.id for node in study.nodes if node.kind == "series"} == {f"series:{first}", f"series:{second}"}


def test_a_model_is_of_the_shards_that_were_opened_and_not_of_the_newest(built, tmp_path) -> None:
    artifact = tmp_path / "weights"

    def register(name, **kwargs):
        artifact.write_bytes(name.encode())
        return built.room.model(name, snapshot="lung@1", artifact=artifact, **kwargs)

    with built.ports.catalog.read() as tx:
        first = tx.shardsets.find(Versioned("lung", 1))[0]
    assert register("only").shardset == first.id
    built.clock.pass_by(seconds=1)
    second = built.room.build("lung@1", recipe=RECIPE.replace("int16", "float32")).shardset
    token, unused, both = lend(built), lend(built), lend(built)
    built.room.load("lung@1", lease=token, recipe=first.recipe)[0]
    for recipe in (None, first.recipe):
        built.room.load("lung@1", lease=both, recipe=recipe)[0]
    assert register("trained", lease=token).shardset == first.id
    for name, kwargs in (("unleased", {}), ("unopened", {"lease": unused}), ("either", {"lease": both})):
        assert register(name, **kwargs).shardset is None
    edges = {(edge.source, edge.target, edge.verb) for edge in built.room.trace("model:trained@1").edges}
    assert (f"shardset:{first.id}", "model:trained@1", "model") in edges
    loads = [source for source, _, verb in edges if verb == "load"]
    assert loads.count(f"shardset:{first.id}") == 1 and f"shardset:{second}" not in loads


def test_a_digest_that_two_models_have_names_neither(built, tmp_path) -> None:
    artifact = tmp_path / "weights"
    artifact.write_bytes(b"learned")
    for name in ("one", "two"):
        model = built.room.model(name, snapshot="lung@1", artifact=artifact)
    with pytest.raises(Invalid, match="model:one@1, model:two@1"):
        built.room.trace(str(model.digest))
    assert built.room.trace("model:two@1").id == "model:two@1"


def test_no_patient_value_is_in_the_log_or_the_research_zone(built) -> None:
    with built.ports.catalog.read() as tx:
        leaves = b"\n".join(tx.log.leaves())
    assert b"Planted" not in leaves and b"P1" not in leaves
    zone = SealedZone(built.ports, Zone.RESEARCH)
    with built.ports.catalog.read() as tx:
        copies = tx.copies.all(project="lung")
    for copy in copies:
        data = zone.get_content(copy.digest, f"project/lung/{copy.subject}")
        assert b"Planted" not in data and b"1.2.826.0.1.3680043.8.498" not in data
        assert Digest.of(data) == copy.digest
