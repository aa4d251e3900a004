"""One untidy folder all the way: what it holds is read, what it lacks is said, and what becomes of it is found again."""

import gzip
import json
import struct

import pytest

from filmroom.errors import Refused
from filmroom.flow.doctor import doctor
from filmroom.flow.readback import Pace
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Digest, Zone

LACKS = "in a series that lacks instances"


def volume() -> bytes:
    """Write a NIfTI-1 volume of 2 x 2 x 2 voxels in gzip."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, 2, 2, 2, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return gzip.compress(bytes(head) + bytes(16))


def deliver(world, make_ct) -> dict[str, bytes]:
    """Put a whole and an incomplete series, a volume with its sidecar, and a note into the inbox."""
    whole = {
        f"a/{number}": make_ct("P1", 1, number, BodyPartExamined="BRUSTKORB", Manufacturer="Siemens Healthineers AG")
        for number in range(1, 5)
    }
    holed = {f"b/{number}": make_ct("P2", 1, number, BodyPartExamined="THORAX") for number in (1, 2, 4, 5)}
    beside = {
        "c/sub-01_T1w.nii.gz": volume(),
        "c/sub-01_T1w.json": json.dumps({"Modality": "MR"}).encode(),
        "c/readme.txt": b"as agreed on the telephone",
    }
    files = {**whole, **holed, **beside}
    for name, data in files.items():
        world.deliver(name, data)
    return files


def test_an_untidy_folder_is_read_held_back_accepted_frozen_scrubbed_and_traced(world, make_ct) -> None:
    room, files = world.room, deliver(world, make_ct)
    receipt = room.receive([world.inbox], "clinic")
    assert (receipt.received, receipt.stored, receipt.ignored) == (11, 9, 2)
    assert receipt.reasons == {"not-dicom:text": 1, "sidecar": 1}

    chest = room.query("body_part = 'CHEST'", select=["body_part_examined", "completeness", "series_uid"]).rows
    assert {(row["body_part_examined"], row["completeness"]) for row in chest} == {
        ("BRUSTKORB", "complete"),
        ("THORAX", "incomplete"),
    }
    assert room.query("manufacturer = 'Siemens'", select=["manufacturer_received"]).rows == (
        {"manufacturer_received": "Siemens Healthineers AG"},
    )
    assert room.query("file_modality = 'MR'", level="file").count == 1

    room.project("lung", purpose="test")
    assert room.deidentify("lung").clean == 8
    with pytest.raises(Refused, match=LACKS):
        room.freeze("only-holed", project="lung", where="body_part_examined = 'THORAX'")
    assert room.freeze("lung", project="lung").left_out == {LACKS: 4}
    (state,) = room.incomplete()
    assert [reason.code for reason in state.lacks] == ["slices-missing"]
    room.accept_incomplete(state.series_uid, why="the scan was stopped")
    frozen = room.freeze("lung", project="lung")
    assert (str(frozen.snapshot), frozen.instances, frozen.left_out) == ("lung@2", 8, {})

    rotten = Digest.of(files["b/4"])
    name = SealedZone(world.ports, Zone.CLINICAL).name_of(rotten)
    store = world.ports.objects[Zone.CLINICAL]
    store.put(name, store.get(name)[:-1] + b"?")
    diagnosis = doctor(world.ports, pace=Pace(days=0, wait=lambda seconds: False))
    assert diagnosis.scrubbed is not None
    assert (diagnosis.scrubbed.checked, diagnosis.scrubbed.damaged, diagnosis.ok) == (9, {"rotten": 1}, False)
    found = room.trace(str(rotten))
    labels = {node.id: node.label for node in found.nodes}
    assert labels[f"instance:{rotten}"] == "CT instance, rotten"
    assert "snapshot:lung@2" in labels and "snapshot:lung@1" not in labels
    assert room.verify("lung@2").ok and not room.reproduce("lung@2").ok

    assert room.receive([world.inbox], "clinic").duplicate == 9
    assert room.doctor().ok and room.reproduce("lung@2").ok
    assert {node.label for node in room.trace(str(rotten)).nodes if node.kind == "instance"} == {"CT instance"}
    log = "".join(str(entry.entry) for entry in room.audit())
    assert not any(word in log for word in ("Planted", "BRUSTKORB", "telephone", "stopped", state.series_uid))
    assert room.verify_audit().ok
