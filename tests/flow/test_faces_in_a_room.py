"""What becomes of series from which a face can be rebuilt, in a room and in a folder."""

import zipfile
from io import BytesIO

import pydicom
import pytest

from filmroom.errors import Refused
from filmroom.ids import Zone
from filmroom.records import CopyState
from filmroom.wiring import scrub

SLICES = 8
"""Of 6 mm each: long enough for a face."""


@pytest.fixture
def head(make_ct):
    return {
        f"{number}.dcm": make_ct(
            number=number,
            BodyPartExamined="HEAD",
            PixelSpacing=[12, 12],
            SliceThickness=6,
            RecognizableVisualFeatures="NO",
        )
        for number in range(1, SLICES + 1)
    }


@pytest.fixture
def filled(world, head):
    for name, data in head.items():
        world.deliver(name, data)
    world.room.receive([world.inbox], "ct-1")
    return world


def test_a_head_does_not_leave_and_the_reason_says_what_can_be_done(filled) -> None:
    filled.room.project("brain", purpose="testing")
    run = filled.room.deidentify("brain", where="instance_number = 1")
    assert (run.clean, run.review, run.refused, run.findings) == (0, 0, 1, {"face-possible": 1})
    run = filled.room.deidentify("brain")
    assert (run.clean, run.refused) == (0, SLICES - 1)
    assert not filled.read_all(Zone.RESEARCH)


def test_under_an_agreement_it_leaves_marked_and_comes_again_the_same(filled) -> None:
    filled.room.project("brain", purpose="testing", profile="internal-pseudonymous")
    run = filled.room.deidentify("brain")
    assert (run.clean, run.findings["face-possible"]) == (SLICES, SLICES)
    filled.room.freeze("brain", project="brain")
    assert filled.room.reproduce("brain@1").ok


def test_in_a_folder_it_is_counted_and_what_came_single_in_an_archive_could_be_part_of_one(
    head, make_ct, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("FILMROOM_READ_PIXELS", "false")
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in head.items():
        (folder / name).write_bytes(data)
    (folder / "one.dcm").write_bytes(make_ct(patient="P2", BodyPartExamined="HEAD", PixelSpacing=[12, 12]))
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("x.dcm", make_ct(patient="P3", BodyPartExamined="HEAD", PixelSpacing=[12, 12]))
    run = scrub(folder, str(tmp_path / "out"))
    assert (run.clean, run.findings["face-possible"]) == (1, SLICES + 1)
    [copy] = (tmp_path / "out").glob("*.dcm")
    assert "RecognizableVisualFeatures" not in pydicom.dcmread(BytesIO(copy.read_bytes()))


def test_one_look_decides_about_a_series_that_names_no_part_of_the_body_and_about_nothing_else(world, make_ct) -> None:
    for number in range(1, SLICES + 1):
        untold = make_ct(number=number, BodyPartExamined="", PixelSpacing=[12, 12], SliceThickness=6)
        world.deliver(f"{number}.dcm", untold)
        saved = make_ct(series=2, number=number, ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"])
        world.deliver(f"saved-{number}.dcm", saved)
    world.room.receive([world.inbox], "ct-1")
    world.room.project("knee", purpose="testing")
    run = world.room.deidentify("knee")
    assert (run.review, run.findings["face-not-excluded"]) == (2 * SLICES, SLICES)
    untold, saved = (
        next(each.id for each in world.room.review() if each.reasons[0].code == code)
        for code in ("face-not-excluded", "needs-eyes")
    )
    with pytest.raises(Refused, match="each picture"):
        world.room.decide_series(saved, passed=True, why="a knee")
    decided = world.room.decide_series(untold, passed=True, why="a knee")
    assert {copy.state for copy in decided} == {CopyState.CLEAN} and len(decided) == SLICES
    assert len(world.room.review()) == SLICES
    with pytest.raises(Refused):
        world.room.decide_series(untold, passed=False, why="again")
