"""Labels from spreadsheets, tables and annotation tools: what is meant is found, what is not is told, nothing twice."""

import csv
import io
import json

import pytest

from filmroom.errors import Invalid, NotFound
from filmroom.records import Level

STEM = f"1.2.826.0.1.3680043.8.498.{int.from_bytes(b'P1', 'big')}"
HEADER = "sop_instance_uid finding value by shape geometry mark withdrawn".split()


def image(number):
    return f"{STEM}.1.{number}"


def deliver(world, make_ct, numbers=range(1, 4)):
    for number in numbers:
        world.deliver(f"ct/{number}.dcm", make_ct(number=number))
    world.room.receive([world.inbox / "ct"], "ct-1")


def say(world, *rows, kind="radiologist"):
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *rows])
    return world.room.import_labels(world.deliver("labels.csv", text.getvalue().encode()), name="reads", kind=kind)


def test_every_row_is_entered_or_told_and_the_same_file_again_adds_nothing(world, make_ct) -> None:
    deliver(world, make_ct)
    rows = (
        (image(1), "nodule", "present", "ann", "box", "2 2 6 6", "n1", ""),
        (image(1), "nodule", "present", "ann", "box", "9 9 12 12", "n2", ""),
        (image(2), "nodule", "absent", "ann", "", "", "", ""),
        (image(2), "nodule", "present", "ann", "box", "2 2 60 60", "n3", ""),
        (image(2), "nodule", "present", "ann", "mask", "8 8 10 54", "n4", ""),
        (image(3), "nodule", "", "ben", "", "", "", "yes"),
        ("1.2.3", "nodule", "present", "ann", "", "", "", ""),
        (image(3), "a nodule", "present", "ann", "", "", "", ""),
    )
    first, second = say(world, *rows), say(world, *rows)
    assert (first.added, first.version, first.superseded) == (3, 3, 0)
    assert [(each.place, each.reason) for each in first.unmatched] == [
        ("line 5", "beyond-image"),
        ("line 6", "beyond-image"),
        ("line 7", "nothing-to-withdraw"),
        ("line 8", "target-unknown"),
        ("line 9", "not-a-code"),
    ]
    assert (second.added, second.version, second.unmatched) == (0, 3, first.unmatched)
    assert world.room.verify_audit().ok


def test_a_difference_names_what_was_added_changed_moved_and_withdrawn(world, make_ct) -> None:
    deliver(world, make_ct)
    say(
        world,
        (image(1), "nodule", "present", "ann", "box", "2 2 6 6", "n1", ""),
        (image(1), "nodule", "present", "ann", "box", "9 9 12 12", "n2", ""),
        (image(2), "nodule", "absent", "ann", "", "", "", ""),
    )
    say(
        world,
        (image(1), "nodule", "present", "ann", "box", "3 2 6 6", "n1", ""),
        (image(1), "nodule", "", "ann", "box", "9 9 12 12", "n2", "yes"),
        (image(2), "nodule", "present", "ann", "", "", "", ""),
        (image(3), "grade", "4", "ben", "", "", "", ""),
    )
    changes = world.room.diff_labels("reads@3", "reads")
    assert [(each.change, each.target, each.finding, each.mark, each.before, each.after) for each in changes] == [
        ("changed", image(1), "nodule", "n1", "present", "present"),
        ("withdrawn", image(1), "nodule", "n2", "present", None),
        ("changed", image(2), "nodule", None, "absent", "present"),
        ("added", image(3), "grade", None, None, "4"),
    ]
    assert world.room.diff_labels("reads", "reads") == []
    assert len(world.room.show_labels("reads@3")) == 3


def test_a_file_that_names_its_kinds_and_readers_needs_no_options(world, make_ct) -> None:
    deliver(world, make_ct)
    path = world.deliver(
        "labels.csv",
        f"series_instance_uid,finding,value,kind,by\n{STEM}.1,nodule,yes,consensus,board\n{STEM}.1,nodule,no,,\n".encode(),
    )
    told = world.room.import_labels(path, name="reads")
    assert [each.reason for each in told.unmatched] == ["kind-missing"]
    (entry,) = world.room.show_labels("reads")
    assert (entry.label.level, entry.label.by, entry.label.kind) == (Level.SERIES, "board", "consensus")


def test_readers_are_compared_and_their_conflicts_listed(world, make_ct) -> None:
    deliver(world, make_ct)
    half = "16 16 0 128 128"
    say(
        world,
        *((image(number), "nodule", value, "ann", "", "", "", "") for number, value in ((1, "yes"), (2, "no"))),
        *((image(number), "nodule", value, "ben", "", "", "", "") for number, value in ((1, "yes"), (2, "yes"))),
        (image(3), "lung", "present", "ann", "mask", half, "m", ""),
        (image(3), "lung", "present", "ben", "mask", "16 16 64 128 64", "m", ""),
    )
    say(world, (image(1), "nodule", "no", "net", "", "", "", ""), kind="model")
    among = world.room.labels_agreement("reads", "nodule", kinds=["radiologist"])
    assert (among.kappa.method, among.kappa.observed, among.conflicts) == ("cohen", 0.5, 1)
    assert world.room.labels_agreement("reads", "nodule").conflicts == 2
    assert [each.target for each in world.room.labels_conflicts("reads", kinds=["radiologist"])] == [image(2)]
    (overlap,) = world.room.labels_agreement("reads", "lung").masks
    assert (overlap.series, overlap.mean) == (1, 0.5)
    with pytest.raises(NotFound):
        world.room.labels_agreement("reads", "effusion")


def test_annotations_of_a_resized_image_are_told_and_json_is_known_by_what_it_holds(world, make_ct) -> None:
    deliver(world, make_ct)
    images = [
        {"id": number, "file_name": f"{image(number)}.png", "width": side, "height": side}
        for number, side in ((1, 16), (2, 8))
    ]
    boxes = [{"id": number, "image_id": number, "category_id": 1, "bbox": [1, 1, 4, 4]} for number in (1, 2)]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "nodule"}]}
    told = world.room.import_labels(
        world.deliver("coco.json", json.dumps(document).encode()), name="reads", kind="model", by="net-1"
    )
    assert (told.added, [each.reason for each in told.unmatched]) == (1, ["other-size"])
    bundle = world.deliver("bundle.json", b'{"resourceType": "Bundle", "type": "collection"}')
    assert [each.reason for each in world.room.import_labels(bundle, name="reads", kind="code").unmatched] == [
        "no-report"
    ]
    with pytest.raises(Invalid):
        world.room.import_labels(world.deliver("broken.json", b'{"images": ['), name="reads", kind="model")
