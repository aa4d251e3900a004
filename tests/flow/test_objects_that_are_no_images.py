"""Reports, waveforms, contours and displays go the same road as images, as far as there is one for them."""

from pathlib import Path

import pytest

RECIPE = 'name = "plain"\nversion = 1\nkind = "image"\n[[step]]\nop = "rescale"\n'
OBJECTS = (
    "ImagingDataCommons+highdicom/data/test_files/sr_document.dcm",
    "pydicom+pydicom/src/pydicom/data/test_files/waveform_ecg.dcm",
    "qurit+rt-utils/tests/mock_data/rt.dcm",
    "nroduit+weasis-dicom-tools/weasis-dicom-tools/src/test/resources/org/dcm4che3/img/prLUTs.dcm",
)


@pytest.fixture
def mixed(world, make_ct, corpus: Path):
    """A room with an image and an object of each kind, de-identified for project `lung`."""
    world.deliver("1", make_ct())
    for file in OBJECTS:
        world.deliver(file, (corpus / file).read_bytes())
    world.room.receive([world.inbox], "all")
    world.room.project("lung", purpose="find nodules")
    run = world.room.deidentify("lung")
    assert (run.clean, run.review, run.refused, run.frames) == (5, 0, 0, 1)
    return world


def test_they_are_frozen_verified_and_made_again_like_images(mixed) -> None:
    mixed.room.freeze("lung", project="lung", split="train=1", seed=1)
    rows = mixed.room.show("lung@1").rows
    assert sorted(row.modality for row in rows) == ["CT", "ECG", "PR", "RTSTRUCT", "SR"]
    assert sorted(row.frames for row in rows) == [0, 0, 0, 0, 1]
    assert mixed.room.verify("lung@1").ok
    assert mixed.room.reproduce("lung@1").ok


def test_they_make_no_sample_and_are_told_as_failures_of_a_recipe_for_images(mixed) -> None:
    mixed.room.freeze("lung", project="lung", split="train=1", seed=1)
    built = mixed.room.build("lung@1", recipe=RECIPE)
    assert (built.samples, len(built.failures)) == (1, 4)
