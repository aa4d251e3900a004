"""What becomes of images with text in them, in a room with readers and in one without."""

import re
import zipfile
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from filmroom.deid import ocr
from filmroom.errors import Refused
from filmroom.ids import Zone
from filmroom.ports import Readers
from filmroom.records import CopyState, Line
from filmroom.wiring import Room, scrub

pytest.importorskip("rapidocr_onnxruntime")

SIDE = 160
CR = "1.2.840.10008.5.1.4.1.1.1"


class Blind:
    def read(self, picture) -> Sequence[Line]:
        return ()


@pytest.fixture(scope="module")
def readers() -> Readers:
    return Readers(first=ocr.Reader(ocr.USUAL), second=ocr.Reader(ocr.LARGE))


def slice_with(text: str, number: int) -> dict[str, object]:
    """Return the attributes of a slice of its own with this text at the place where every slice has it."""
    canvas = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(canvas).text((8, 8), text, fill=255, font=ImageFont.load_default(14))
    y, x = np.mgrid[:SIDE, :SIDE]
    body = 900 * np.exp(-(((y - 100) / 30) ** 4) - ((x - 60 - 8 * number) / 40) ** 4)
    body += np.random.default_rng(number).normal(100, 8, body.shape)
    stored = np.where(np.asarray(canvas) > 100, 1500, body).astype("<u2")
    return {"Rows": SIDE, "Columns": SIDE, "PixelData": stored.tobytes()}


def filled(world, make_ct, readers: Readers | None, text: str, **more) -> Room:
    for number in (1, 2, 3):
        world.deliver(f"{number}.dcm", make_ct(number=number, **slice_with(text, number), **more))
    room = Room(replace(world.ports, readers=readers))
    room.receive([world.inbox], "ct-1")
    room.project("lung", purpose="testing")
    return room


def test_a_name_that_stands_in_every_slice_of_a_series_is_blanked_and_the_series_released(
    world, make_ct, readers
) -> None:
    room = filled(world, make_ct, readers, "PLANTED P1")
    run = room.deidentify("lung")
    assert (run.clean, run.review, run.refused) == (3, 0, 0), run
    assert run.findings["pixels-blanked"] == run.findings["pixels-read"] == 3


def test_slices_are_sampled_where_a_radiograph_stands_first_in_their_series(world, make_ct, readers) -> None:
    for number in (1, 2, 3):
        more = {} if number > 1 else {"SOPClassUID": CR, "Modality": "CR"}
        world.deliver(f"{number}.dcm", make_ct(number=number, **slice_with("PLANTED P1", number), **more))
    room = Room(replace(world.ports, readers=readers))
    room.receive([world.inbox], "ct-1")
    room.project("lung", purpose="testing")
    run = room.deidentify("lung")
    assert run.findings["pixels-blanked"] == 3, run


def test_of_a_clean_series_samples_are_read(world, make_ct, readers) -> None:
    run = filled(world, make_ct, readers, "").deidentify("lung")
    assert run.clean == 3
    assert run.findings == {"series-read": 3}


def test_a_radiograph_is_released_by_readers_and_waits_without_them(world, make_ct, readers) -> None:
    room = filled(world, make_ct, None, "", SOPClassUID=CR, Modality="CR")
    assert room.deidentify("lung").review == 3
    other = Room(replace(world.ports, readers=readers))
    other.project("chest", purpose="testing")
    assert other.deidentify("chest").clean == 3


def test_what_the_first_reader_misses_is_never_released(world, make_ct, readers) -> None:
    blind = Readers(first=Blind(), second=readers.second)
    run = filled(world, make_ct, blind, "PLANTED P1").deidentify("lung")
    assert run.clean == 0
    assert run.findings["text-in-pixels"] == 3
    assert world.read_all(Zone.RESEARCH) == {}


def test_a_person_can_pass_text_that_is_nobody_s(world, make_ct, readers) -> None:
    blind = Readers(first=Blind(), second=readers.second)
    room = filled(world, make_ct, blind, "PORTABLE")
    assert room.deidentify("lung").review == 3
    waiting = room.review()[0]
    assert waiting.id is not None
    assert room.decide_review(waiting.id, passed=True, why="a word").state is CopyState.CLEAN


@dataclass
class Sees:
    """A reader that reads the same line in every picture."""

    line: Line

    def read(self, picture) -> Sequence[Line]:
        return [self.line]


def test_who_decides_sees_the_frames_of_source_and_copy_beside_each_other(world, make_ct) -> None:
    blanked = Sees(Line(top=8, left=8, bottom=24, right=100, text="PLANTED P1", confidence=0.9))
    left = Sees(Line(top=120, left=30, bottom=130, right=90, text="WARD 7", confidence=0.9))
    room = filled(world, make_ct, Readers(first=blanked, second=left), "PLANTED P1")
    assert room.deidentify("lung").review == 3
    waiting = room.review()[0]
    assert waiting.id is not None
    page = room.picture_review(waiting.id)
    assert "CLINICAL" in page and "text-in-pixels" in page
    assert page.count('<rect x="30" y="120" width="60" height="10"/>') == page.count("<figcaption>after") > 0
    before, after = (_pictures(page, title)[0] for title in ("before", "after"))
    tinted = before[..., 0] > before[..., 1]
    assert tinted[8:24, 8:100].mean() > 0.9 and not tinted[40:].any()
    assert not after[8:24, 8:100].any()
    assert "src=" not in page and "http" not in page.replace("http-equiv", "")
    assert "PLANTED" not in page.upper()
    entry = room.audit(last=1)[0].entry
    assert (entry["verb"], entry["outcome"]) == ("review", {"state": "pictured", "frames": 1})
    room.decide_review(waiting.id, passed=False, why="a ward")
    with pytest.raises(Refused, match="does not wait"):
        room.picture_review(waiting.id)


def _pictures(page: str, title: str) -> list[np.ndarray]:
    found = re.findall(rf"<figcaption>{title}</figcaption>.*?base64,([A-Za-z0-9+/=]+)", page)
    return [np.asarray(Image.open(BytesIO(b64decode(each)))) for each in found]


def test_a_folder_s_series_are_sampled_too_and_in_an_archive_every_slice_is_read(
    make_ct, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("FILMROOM_READ_PIXELS", "true")
    for series, (name, text) in enumerate({"named": "PLANTED P1", "clean": ""}.items(), 1):
        for number in (1, 2, 3):
            path = tmp_path / name / f"{number}.dcm"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(make_ct(series=series, number=number, **slice_with(text, number)))
    named = scrub(tmp_path / "named", str(tmp_path / "out1"))
    assert (named.clean, named.findings) == (3, {"pixels-blanked": 3, "pixels-read": 3})
    clean = scrub(tmp_path / "clean", str(tmp_path / "out2"), workers=2)
    assert (clean.clean, clean.findings) == (3, {"series-read": 3})
    archive = tmp_path / "clean.zip"
    _pack(archive, tmp_path / "clean")
    packed = scrub(archive, str(tmp_path / "out3"))
    assert (packed.clean, packed.findings) == (3, {"pixels-read": 3})


def test_a_folder_is_not_read_where_reading_is_left_to_people(make_ct, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FILMROOM_READ_PIXELS", "false")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(make_ct(**slice_with("PLANTED P1", 1)))
    assert scrub(folder, str(tmp_path / "out")).findings == {"pixels-not-read": 1}


def many(world, make_ct, readers: Readers, named: int, text: str, above: int) -> Room:
    """Return a room with 30 slices of one series, of which one has this text."""
    for number in range(1, 31):
        values = slice_with("", number)
        if number == named:
            canvas = Image.new("L", (SIDE, SIDE))
            ImageDraw.Draw(canvas).text((8, 8), text, fill=255, font=ImageFont.load_default(12))
            clean = values["PixelData"]
            assert isinstance(clean, bytes)
            stored = np.frombuffer(clean, "<u2").reshape(SIDE, SIDE)
            values["PixelData"] = (stored + above * (np.asarray(canvas) > 100)).astype("<u2").tobytes()
        world.deliver(f"{number:02}.dcm", make_ct(number=number, **values))
    room = Room(replace(world.ports, readers=readers))
    room.receive([world.inbox], "ct-1")
    room.project("lung", purpose="testing")
    return room


@pytest.mark.parametrize("above", [1200, 150], ids=["bright", "faint"])
def test_a_name_in_one_slice_that_is_no_sample_is_blanked_or_waits(world, make_ct, readers, above) -> None:
    run = many(world, make_ct, readers, 5, "PLANTED P1", above).deidentify("lung")
    assert run.findings.get("pixels-blanked", 0) + run.review + run.refused == 1, run
    assert run.clean >= 29


def test_a_single_slice_with_text_that_no_reader_reads_waits_alone(world, make_ct) -> None:
    run = many(world, make_ct, Readers(first=Blind(), second=Blind()), 5, "PLANTED P1", 1200).deidentify("lung")
    assert (run.clean, run.review) == (29, 1), run
    assert run.findings["looks-like-text"] == 1


def _pack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)
