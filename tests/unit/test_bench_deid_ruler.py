"""The ruler of de-identification is itself measured: on copies that nobody touched, on none at all, and on small values."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pydicom
import pydicom.data
import pytest
from bench.deid import compat, key, shown, strict
from bench.deid.key import HIDDEN, AnswerKey
from bench.deid.output import REFUSED, Output, in_folder
from bench.deid.pixels import has_more_than_pixels
from bench.deid.plant import plant
from bench.deid.views import Shown, frames
from pydicom.encaps import encapsulate, generate_frames

from filmroom.deid import profile
from filmroom.deid.apply import Applied, apply
from filmroom.deid.pseudonym import Pseudonyms

Planted: TypeAlias = tuple[AnswerKey, Path, Mapping[str, Shown]]

SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
NAMES = """CT_small.dcm MR_small.dcm MR_small_bigendian.dcm JPEG2000.dcm image_dfl.dcm rtplan.dcm
 reportsi.dcm SC_rgb_small_odd.dcm rtdose_1frame.dcm JPGExtended.dcm MR_small_RLE.dcm""".split()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("ruler") / "planted"
    answers = plant(folder, len(NAMES), 7, [SHIPPED / name for name in NAMES])
    return answers, folder, shown(answers, folder)


def test_every_plant_is_found_in_a_copy_that_nobody_touched(planted: Planted) -> None:
    answers, folder, sources = planted
    found = strict.score(answers, in_folder(folder), sources)
    left = {(leak.place, leak.file, leak.attribute) for leak in found.leaks}
    texts = [each for each in answers.plants if each.action != HIDDEN]
    assert len(texts) > 300 and len({each.place for each in texts}) > 80
    assert not [each.place for each in texts if (each.place, each.file, each.attribute) not in left]
    assert len(found.visible) == len(answers.plants) - len(texts) > 0
    assert found.over_scrubbed == found.tally.total["interval_preserved"], (
        "not moved is not kept; all the rest is there"
    )


def test_a_run_that_loses_files_fails_all_that_was_asked_of_them_unless_it_says_so(planted: Planted) -> None:
    answers, folder, sources = planted
    first = answers.files[0].file
    nothing = Output(tool="none", folder=folder, released={})
    silent = strict.score(answers, nothing, sources)
    assert len(silent.silent) == len(answers.files) and silent.tally.share() == 0
    told = strict.score(answers, replace(nothing, said={file.file: REFUSED for file in answers.files}), sources)
    assert not told.silent and not told.tally.total and told.kept_back == len(answers.plants)
    one = strict.score(answers, replace(nothing, said={first: REFUSED}), sources)
    assert first not in one.silent and len(one.silent) == len(answers.files) - 1


def test_what_filmroom_makes_passes_both_ways_of_scoring(planted: Planted, tmp_path: Path) -> None:
    answers, folder, sources = planted
    released, rules = {}, profile.load("research")
    for name in sources:
        copy = apply((folder / name).read_bytes(), rules, Pseudonyms(b"k" * 32))
        if isinstance(copy, Applied):
            released[name] = tmp_path / f"{copy.sop_uid}.dcm"
            released[name].write_bytes(copy.data)
    said = {name: REFUSED for name in sources if name not in released}
    output = Output(tool="filmroom", folder=tmp_path, released=released, said=said)
    found = strict.score(answers, output, sources)
    assert len(released) > 5 and not found.leaks and not found.others and not found.silent
    assert found.tally.share("meta_set", "filemeta_clean", "private_disposition", "uid_consistent") == 100
    assert found.visible and not found.hidden, "no text was read, so none can count as hidden"
    assert compat.score(answers, output, sources, only_released=True).share("text_removed", "uid_changed") > 99


def test_a_leak_in_one_file_is_counted_where_it_was_planted(planted: Planted, tmp_path: Path) -> None:
    answers, _, sources = planted
    plants = {
        each.place: each for each in answers.plants if each.place.startswith("text:") and each.file.endswith("000.dcm")
    }
    wanted = next(each for each in plants.values() if each.forms[0].isalpha() and len(each.forms) == 1)
    bare = pydicom.Dataset()
    bare.SOPClassUID, bare.SOPInstanceUID = answers.files[0].sop_class, "2.25.7"
    bare.add_new(0x00091001, "UN", f"..{wanted.forms[0].upper()}..".encode("utf-16-le"))
    bare.save_as(tmp_path / "one.dcm", implicit_vr=False, little_endian=True)
    found = strict.score(
        answers, Output(tool="leaky", folder=tmp_path, released={wanted.file: tmp_path / "one.dcm"}), sources
    )
    assert [leak.place for leak in found.leaks] == [wanted.place]


def test_blanked_text_counts_as_hidden_and_a_blanked_picture_as_damage(planted: Planted, tmp_path: Path) -> None:
    answers, folder, sources = planted
    burned = [each for each in answers.plants if each.burned]
    name = burned[0].file
    for rest, hidden, kept in ((True, True, True), (False, True, False)):
        dataset = pydicom.dcmread(folder / name)
        pixels = dataset.pixel_array.copy()
        for each in (each.burned for each in burned if each.file == name and each.burned):
            top, left, bottom, right = each.box
            pixels[top:bottom, left:right] = pixels[top, left]
        dataset.PixelData = pixels.tobytes() if rest else bytes(len(pixels.tobytes()))
        dataset.save_as(tmp_path / "one.dcm")
        output = Output(tool="blanker", folder=tmp_path, released={name: tmp_path / "one.dcm"})
        tally = strict.score(answers, output, sources).tally
        assert (tally.share("pixels_hidden") == 100, tally.share("pixels_retained") == 100) == (hidden, kept)
    assert frames(sources[name].dataset) is not None


@pytest.mark.parametrize(
    ("text", "value", "kept", "gone"),
    [
        ("AX T2 FLAIR", "ax t2 flair", 1, 0),
        ("AX T2 FLAIR", "T2", 1 / 3, 2 / 3),
        ("12", "1203", 1, 0),  # the hole of substrings, reproduced
        ("1.0", "1", 1, 1),
        ("SMITH", "", 0, 1),
        ("the of", "x", None, None),  # made of stopwords only
    ],
)
def test_the_challenges_matching_of_texts_is_reproduced(
    text: str, value: str, kept: float | None, gone: float | None
) -> None:
    assert compat.retained(text, value) == (None if kept is None else pytest.approx(kept))
    assert compat.removed(text, value) == (None if gone is None else pytest.approx(gone))


def test_in_the_challenges_way_a_missing_file_passes_what_had_to_go_and_fails_what_had_to_stay(
    planted: Planted,
) -> None:
    answers, folder, sources = planted
    tally = compat.score(answers, Output(tool="none", folder=folder, released={}), sources)
    for action in ("text_removed", "date_shifted", "uid_changed", "pixels_hidden"):
        assert tally.total[action] and tally.share(action) == 100
    for action in (
        "text_retained",
        "tag_retained",
        "text_notnull",
        "uid_consistent",
        "patid_consistent",
        "pixels_retained",
    ):
        assert tally.total[action] and tally.share(action) == 0


def test_nobody_is_asked_to_keep_the_bytes_of_pixel_data_that_has_more_in_it_than_pixels() -> None:
    def has_more(name: str, **changes: object) -> bool:
        dataset = pydicom.dcmread(SHIPPED / name)
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        return has_more_than_pixels(dataset)

    for name in ("CT_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_gdcm.dcm"):
        assert not has_more(name)
    assert has_more("JPEG2000.dcm"), "it has a comment of its own"
    pixels = pydicom.dcmread(SHIPPED / "CT_small.dcm").PixelData
    assert has_more("CT_small.dcm", PixelData=pixels + b"Anna")
    assert has_more("CT_small.dcm", PixelData=b"\xff" * len(pixels), BitsStored=12, PixelRepresentation=0)
    frame = next(generate_frames(pydicom.dcmread(SHIPPED / "SC_rgb_jpeg_gdcm.dcm").PixelData, number_of_frames=1))
    for changed in (frame[:2] + b"\xff\xfe\0\x06Anna" + frame[2:], frame + b"Anna"):
        assert has_more("SC_rgb_jpeg_gdcm.dcm", PixelData=encapsulate([changed]))


def test_a_time_counts_as_kept_in_either_notation_and_a_word_of_a_name_need_not_be(tmp_path: Path) -> None:
    source = pydicom.dcmread(SHIPPED / "MR_small.dcm")
    source.StudyTime, source.StationName, source.VerifyingObserverName = "10:20:30.50", "VUMC 7", "Test-Vumc^V"
    source.save_as(tmp_path / "odd.dcm")
    answers = plant(tmp_path / "planted", 1, 7, [tmp_path / "odd.dcm"])
    sources = shown(answers, tmp_path / "planted")
    kept = {each.attribute: each.value for each in answers.files[0].kept}
    assert kept["StudyTime"] == "10:20:30.50" and "StationName" not in kept
    for time, is_kept in (("102030.5", True), ("10:20:30.500", True), ("102031", False), ("102030", False)):
        source.StudyTime = time
        source.save_as(tmp_path / "copy.dcm")
        output = Output(tool="one", folder=tmp_path, released={answers.files[0].file: tmp_path / "copy.dcm"})
        misses = {miss.place for miss in strict.score(answers, output, sources).tally.misses}
        assert ("StudyTime" not in misses) is is_kept


def test_the_same_seed_plants_the_same_folder_and_the_key_is_read_as_it_was_written(
    planted: Planted, tmp_path: Path
) -> None:
    answers, folder, _ = planted
    again = plant(tmp_path / "planted", len(NAMES), 7, [SHIPPED / name for name in NAMES])
    assert again == answers == key.read(folder.with_name("planted.key.json"))
    assert all(
        (folder / each.file).read_bytes() == (tmp_path / "planted" / each.file).read_bytes() for each in answers.files
    )
