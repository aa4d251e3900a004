"""Annotation tools read copies and send back what their users drew: it becomes labels of the images it is about."""

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from filmroom.errors import Denied, Invalid
from filmroom.flow.sealed import SealedZone
from filmroom.govern.policy import Policies
from filmroom.ids import Zone
from filmroom.records import Actor
from filmroom.verbs import Role
from filmroom.wiring import Room


def segmentation(images, *, uid="1.2.3.1", creator="Ann^Reader", rows=16):
    """A SEG with a frame of the upper half for each of these SOP Instance UIDs, as bytes."""
    code, segment = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "10200004", "SCT", "Liver"
    segment.SegmentNumber, segment.SegmentLabel, segment.SegmentAlgorithmType = 1, "Liver", "MANUAL"
    segment.SegmentedPropertyTypeCodeSequence = [code]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.2", "1.2.3.3"
    dataset.PatientID, dataset.Modality, dataset.ContentCreatorName = "SUBJECT", "SEG", creator
    dataset.ContentDate, dataset.ContentTime = "20260301", "101500"
    dataset.SegmentationType, dataset.SegmentSequence = "BINARY", [segment]
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames, dataset.SamplesPerPixel = rows, 16, len(images), 1
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = dataset.PixelRepresentation = 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    half = np.arange(rows * 16) < 128
    dataset.PixelData = np.packbits(np.tile(half, len(images)), bitorder="little").tobytes()
    dataset.PerFrameFunctionalGroupsSequence = list(map(frame_of, images))
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def frame_of(image):
    source, derivation, identified, group = (Dataset() for _ in range(4))
    source.ReferencedSOPInstanceUID = image
    derivation.SourceImageSequence = [source]
    identified.ReferencedSegmentNumber = 1
    group.DerivationImageSequence, group.SegmentIdentificationSequence = [derivation], [identified]
    return group


@pytest.fixture
def filled(world, make_ct):
    """Two images of one patient, clean for project `lung`; gives their own UIDs and those of the copies."""
    for number in (1, 2):
        world.deliver(f"ct/{number}", make_ct(number=number))
    world.room.receive([world.inbox / "ct"], "ct-1")
    world.room.project("lung", purpose="segment livers")
    world.room.deidentify("lung")
    with world.ports.catalog.read() as tx:
        copies = {tx.instances.get(copy.source).sop_uid: copy.sop_uid for copy in tx.copies.all()}
    world.images, world.copies = sorted(copies), [copies[uid] for uid in sorted(copies)]
    return world


def test_what_was_drawn_on_copies_is_said_of_the_images_by_who_drew_it(filled) -> None:
    filled.deliver("seg/1", segmentation(filled.copies))
    filled.room.receive([filled.inbox / "seg"], "annotation tool")
    told = filled.room.import_labels(name="livers", kind="radiologist", from_room="modality = 'SEG'")
    assert (told.added, told.unmatched) == (2, ())
    entries = filled.room.show_labels("livers")
    assert [entry.label.target for entry in entries] == filled.images
    assert {(entry.label.by, entry.label.finding) for entry in entries} == {("Ann^Reader", "SCT:10200004")}
    assert entries[0].said_at == "2026-03-01T10:15:00" and entries[0].source is not None
    assert filled.room.import_labels(name="livers", kind="radiologist", from_room="").added == 0
    frozen = filled.room.freeze("lung", project="lung", where="modality = 'CT'", labels=["livers"])
    rows = filled.room.show(str(frozen.snapshot)).rows
    assert [dict(row.labels) for row in rows] == [{"SCT:10200004": "present"}] * 2
    assert filled.room.verify_audit().ok


def test_a_file_about_the_archive_s_own_images_says_the_same(filled) -> None:
    path = filled.deliver("seg.dcm", segmentation([*filled.images, "1.2.3.4"]))
    told = filled.room.import_labels(path, name="livers", kind="radiologist")
    assert (told.added, [(each.place, each.reason) for each in told.unmatched]) == (
        2,
        [("segment 1, frame 3", "target-unknown")],
    )


def test_a_mask_of_another_size_than_its_image_is_told(filled) -> None:
    path = filled.deliver("seg.dcm", segmentation(filled.images[:1], rows=32))
    (left_out,) = filled.room.import_labels(path, name="livers", kind="radiologist").unmatched
    assert left_out.reason == "beyond-image"


def test_two_readers_masks_are_compared(filled) -> None:
    for number, creator in enumerate(("Ann", "Ben"), start=1):
        path = filled.deliver(creator, segmentation(filled.images[:number], uid=f"1.2.3.{number}", creator=creator))
        filled.room.import_labels(path, name="livers", kind="radiologist")
    (overlap,) = filled.room.labels_agreement("livers", "SCT:10200004").masks
    assert (overlap.series, overlap.mean) == (1, pytest.approx(2 / 3))


def test_taking_objects_out_of_the_room_needs_the_permission_to_retrieve(filled) -> None:
    researcher = Policies.shipped(lambda _: frozenset({Role.RESEARCHER}))
    room = Room(replace(filled.ports, actor=Actor("rita"), authorizer=researcher))
    with pytest.raises(Denied):
        room.import_labels(name="livers", kind="model", from_room="")
    with pytest.raises(Invalid):
        room.import_labels(name="livers", kind="model")


def test_an_object_that_is_damaged_is_told_and_the_others_are_read(filled) -> None:
    for number in (1, 2):
        filled.deliver(f"seg/{number}", segmentation(filled.copies[:number], uid=f"1.2.3.{number}"))
    filled.room.receive([filled.inbox / "seg"], "annotation tool")
    with filled.ports.catalog.read() as tx:
        victim = next(tx.instances.matching("modality = 'SEG'"))
    filled.ports.objects[Zone.CLINICAL].delete(SealedZone(filled.ports, Zone.CLINICAL).name_of(victim.digest))
    told = filled.room.import_labels(name="livers", kind="radiologist", from_room="")
    assert told.added == 2
    assert [(each.place, each.reason) for each in told.unmatched] == [(str(victim.digest), "unreadable")]
