"""NIfTI volumes and slides are kept, listed and traced beside the DICOM objects, and no later stage takes them."""

import gzip
import json
import struct
import zipfile

import pytest

from filmroom.errors import Invalid, NotFound
from filmroom.flow.doctor import doctor
from filmroom.flow.readback import Pace
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Digest, Zone
from filmroom.records import Outcome


def volume(number: int = 0, dims: tuple[int, ...] = (4, 3, 2)) -> bytes:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(dims), *dims, *[1] * (7 - len(dims)))
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", head, 108, 352)
    head[123] = 10
    head[344:348] = b"n+1\0"
    return bytes(head) + struct.pack("<h", number) * 24


def deliver_bids(world) -> tuple[bytes, bytes]:
    plain, packed = volume(1), gzip.compress(volume(2))
    world.deliver("sub-01/anat/sub-01_T1w.nii.gz", packed)
    world.deliver("sub-01/anat/sub-01_T1w.json", json.dumps({"Modality": "MR", "EchoTime": 0.03}).encode())
    world.deliver("sub-02/anat/sub-02_T1w.nii", plain)
    world.deliver("participants.json", b"{}")
    return plain, packed


def test_a_bids_folder_is_accounted_for_and_its_volumes_are_found(world) -> None:
    plain, packed = deliver_bids(world)
    receipt = world.room.receive([world.inbox], "lab")
    assert (receipt.received, receipt.stored, receipt.ignored) == (4, 2, 2)
    assert receipt.reasons == {"not-dicom:text": 1, "sidecar": 1}
    rows = world.room.query("file_kind = 'nifti'", level="file", order="file_patient").rows
    assert [row["file_digest"] for row in rows] == [str(Digest.of(packed)), str(Digest.of(plain))]
    assert (rows[0]["file_patient"], rows[0]["file_modality"], rows[0]["width"]) == ("sub-01", "MR", 4)
    assert json.loads(rows[0]["file_sidecar"])["EchoTime"] == 0.03
    assert world.room.query("file_modality IS NULL", level="file", select=["file_name"]).rows == (
        {"file_name": "inbox/sub-02/anat/sub-02_T1w.nii"},
    )
    assert [summary.counts[Outcome.STORED] for summary in world.room.batches()] == [2]
    assert world.room.verify_audit().ok and world.room.doctor().ok


def test_delivered_again_they_are_duplicates_and_nothing_is_written(world) -> None:
    deliver_bids(world)
    world.room.receive([world.inbox], "lab")
    before = world.read_all(Zone.CLINICAL)
    again = world.room.receive([world.inbox], "lab")
    assert (again.received, again.duplicate, again.ignored) == (4, 2, 2)
    assert world.read_all(Zone.CLINICAL) == before
    world.deliver("copy/one.nii", volume(9))
    world.deliver("copy/other.nii", volume(9))
    both = world.room.receive([world.inbox / "copy"], "lab")
    assert (both.stored, both.duplicate) == (1, 1)


def test_each_lies_sealed_under_a_key_of_its_own(world) -> None:
    plain, packed = deliver_bids(world)
    world.room.receive([world.inbox], "lab")
    zone = SealedZone(world.ports, Zone.CLINICAL)
    subjects = set()
    for data in (plain, packed):
        with world.ports.catalog.read() as tx:
            stored = tx.files.get(Digest.of(data))
        assert zone.get_content(stored.digest, stored.subject) == data
        subjects.add(stored.subject)
    assert len(subjects) == 2 and not any("sub-" in subject for subject in subjects)


def test_sidecars_are_found_in_zip_archives_too(world) -> None:
    packed = world.inbox / "bids.zip"
    world.inbox.mkdir()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("anat/sub-01_T1w.nii", volume())
        archive.writestr("anat/sub-01_T1w.json", '{"Modality": "MR"}')
    receipt = world.room.receive([packed], "lab")
    assert (receipt.stored, receipt.reasons) == (1, {"sidecar": 1})
    assert world.room.query("file_modality = 'MR'", level="file").count == 1


def test_no_later_stage_takes_them_and_says_so(world, make_ct) -> None:
    deliver_bids(world)
    world.deliver("ct", make_ct("P1", 1, 1))
    world.room.receive([world.inbox], "lab")
    world.room.project("p", purpose="test")
    with pytest.raises(Invalid, match="not de-identified or frozen yet"):
        world.room.deidentify("p", where="file_kind = 'nifti'")
    assert world.room.deidentify("p").instances == 1
    with pytest.raises(Invalid, match="not de-identified or frozen yet"):
        world.room.freeze("x", project="p", where="width = 4")
    with pytest.raises(Invalid, match="DICOM objects"):
        world.room.query("modality = 'CT'", level="file")
    with pytest.raises(Invalid, match="not de-identified or frozen yet"):
        world.room.query(level="instance", select=["width"])


def test_a_trace_leads_to_the_delivery(world) -> None:
    plain, _ = deliver_bids(world)
    receipt = world.room.receive([world.inbox], "lab")
    for name in (str(Digest.of(plain)), f"file:{Digest.of(plain)}"):
        found = world.room.trace(name)
        assert found.kind == "file"
        assert {node.id for node in found.nodes} == {f"file:{Digest.of(plain)}", f"batch:{receipt.batch.id}"}
    with pytest.raises(NotFound):
        world.room.trace(f"file:{Digest.of(b'other')}")


def test_they_are_scrubbed_mended_and_adopted_like_everything_else(world) -> None:
    plain, _ = deliver_bids(world)
    world.room.receive([world.inbox], "lab")
    store, zone = world.ports.objects[Zone.CLINICAL], SealedZone(world.ports, Zone.CLINICAL)
    name = zone.name_of(Digest.of(plain))
    whole = store.get(name)
    store.put(name, whole[:-1] + bytes([whole[-1] ^ 1]))
    diagnosis = doctor(world.ports, pace=Pace(days=0, wait=lambda seconds: False))
    assert diagnosis.scrubbed is not None and diagnosis.scrubbed.damaged == {"rotten": 1}
    world.room.receive([world.inbox], "lab")
    assert world.room.doctor().ok

    lost = volume(77)
    subject = "file/of-a-crash"
    zone.ensure([subject])
    zone.put(zone.name_of(Digest.of(lost)), subject, lost)
    adopted = world.room.doctor(adopt=True).adopted
    assert adopted is not None and adopted.stored == 1
    assert world.room.query(level="file").count == 3


def test_a_volume_that_is_short_is_kept_in_quarantine(world) -> None:
    world.deliver("short.nii", volume()[:-1])
    receipt = world.room.receive([world.inbox], "lab")
    assert (receipt.quarantined, receipt.reasons) == (1, {"volume-short": 1})
    (case,) = world.room.quarantine()
    assert case.instance is None
