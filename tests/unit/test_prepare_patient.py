"""A patient's copies become samples or failures, all of them, in one order."""

import random
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from filmroom.ids import Digest
from filmroom.prepare.recipe import Recipe, parse
from filmroom.prepare.run import Failure, Item, Sample, prepare, sample_key
from filmroom.records import Row

NONE = Digest.of(b"")
IMAGE = parse('name = "i"\nkind = "image"\n[[step]]\nop = "rescale"\n')
VOLUME = parse('name = "v"\nkind = "volume"\n[[step]]\nop = "rescale"\n')
Pixels = NDArray[np.generic]


def row(uid: str, series: str = "1.9", **changes: str) -> Row:
    labels = {"finding": "yes", "side": changes.get("side", "L")}
    return Row(
        subject=changes.get("subject", "P-1"),
        study_uid="1.8",
        series_uid=series,
        sop_uid=uid,
        modality="CT",
        frames=1,
        commitment=NONE,
        attestation=NONE,
        split=changes.get("split", "train"),
        labels=labels,
    )


def ct(pixels: Pixels, **attributes: object) -> bytes:
    """A CT object as Part 10 bytes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2")
    dataset = FileDataset(BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelSpacing, dataset.ImageOrientationPatient = [2, 1], [1, 0, 0, 0, 1, 0]
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def stack(count: int = 5, changes: Mapping[str, Mapping[int, object]] | None = None) -> list[Item]:
    """A series of slices 3 mm apart, each with its own intercept; changes by attribute and slice."""
    items = []
    for at in range(count):
        attributes: dict[str, object] = {
            "ImagePositionPatient": [0, 0, 3 * at],
            "RescaleIntercept": -at,
            "RescaleSlope": 1,
        }
        attributes |= {keyword: by[at] for keyword, by in (changes or {}).items() if at in by}
        items.append((row(f"1.2.{9 - at}"), ct(np.full((3, 4), 100 * at, np.int16), **attributes)))
    return items


def only(recipe: Recipe, items: list[Item]) -> Sample | Failure:
    (outcome,) = prepare(recipe, items)
    return outcome


def sample(recipe: Recipe, items: list[Item]) -> Sample:
    outcome = only(recipe, items)
    assert isinstance(outcome, Sample), outcome
    return outcome


def code(recipe: Recipe, items: list[Item]) -> str:
    outcome = only(recipe, items)
    assert isinstance(outcome, Failure)
    assert set(outcome.sop_uids) == {row.sop_uid for row, _ in items}
    return outcome.reason.code


def test_a_volume_is_sorted_by_place_and_every_slice_has_its_own_rescale() -> None:
    made = sample(VOLUME, stack())
    assert made.image[:, 0, 0].tolist() == [0, 99, 198, 297, 396]
    assert made.sources == tuple((f"1.2.{9 - at}", 1) for at in range(5))
    assert made.key == sample_key(made.sources)
    assert (made.subject, made.split) == ("P-1", "train")


def test_the_order_of_arrival_changes_nothing() -> None:
    items = [
        *stack(),
        (row("1.3.1", "1.7"), b"noise"),
        *((row(f"1.4.{at}", "1.6"), data) for at, (_, data) in enumerate(stack())),
    ]
    wanted = list(prepare(VOLUME, items))
    random.Random(5).shuffle(items)
    found = list(prepare(VOLUME, items))
    assert [type(outcome) for outcome in wanted] == [Sample, Failure, Sample]
    for one, two in zip(wanted, found, strict=True):
        if isinstance(one, Sample) and isinstance(two, Sample):
            assert (one.key, one.image.tobytes()) == (two.key, two.image.tobytes())
        else:
            assert one == two


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"ImagePositionPatient": {4: [0, 0, 15]}}, "gap"),
        ({"ImagePositionPatient": {4: [0, 0, 9]}}, "duplicate-position"),
        ({"ImagePositionPatient": {4: [0, 0, 13]}}, "uneven-spacing"),
        ({"ImagePositionPatient": {at: [0, at, 3 * at] for at in range(5)}}, "sheared"),
        ({"ImagePositionPatient": {2: None}}, "no-geometry"),
        ({"ImagePositionPatient": {2: [0, 0, 1e300]}}, "position"),
        ({"ImageOrientationPatient": {0: [0, 1, 0, 0, 0, 1]}}, "mixed-orientation"),
        ({"ImageOrientationPatient": {at: [1, 0, 0, 1, 0, 0] for at in range(5)}}, "orientation"),
        ({"PixelSpacing": {3: [2, 1.5]}}, "mixed-spacing"),
        ({"PixelSpacing": {at: [0, 0] for at in range(5)}}, "mixed-spacing"),
    ],
)
def test_what_is_no_volume_is_a_failure_with_a_reason(changes: dict[str, dict[int, object]], wanted: str) -> None:
    assert code(VOLUME, stack(changes=changes)) == wanted


def test_one_slice_is_no_volume_and_sizes_must_agree() -> None:
    assert code(VOLUME, stack(1)) == "single-slice"
    other = ct(np.zeros((4, 4), np.int16), ImagePositionPatient=[0, 0, 15])
    assert code(VOLUME, [*stack(), (row("1.2.99"), other)]) == "mixed-size"


def test_a_volume_without_one_of_its_copies_is_none() -> None:
    assert code(VOLUME, [*stack(), (row("1.2.99"), b"noise")]) == "unreadable"


def test_a_patient_in_two_splits_is_refused() -> None:
    items = stack()
    items[0] = (row(items[0][0].sop_uid, split="test"), items[0][1])
    assert code(VOLUME, items) == "mixed-split"


def test_a_volume_has_the_labels_that_its_slices_agree_on() -> None:
    items = stack()
    items[0] = (row(items[0][0].sop_uid, side="R"), items[0][1])
    assert sample(VOLUME, items).labels == {"finding": "yes"}


def test_one_undecodable_copy_never_stops_the_rest() -> None:
    good = ct(np.ones((2, 2), np.uint16))
    outcomes = list(
        prepare(IMAGE, [(row("1.1"), good), (row("1.2"), good[:-3]), (row("1.3"), b""), (row("1.4"), good)])
    )
    assert [type(outcome) for outcome in outcomes] == [Sample, Failure, Failure, Sample]


def test_every_frame_is_a_sample_or_only_the_middle_one() -> None:
    cine = ct(np.arange(20, dtype=np.uint16).reshape(5, 2, 2))
    every = list(prepare(IMAGE, [(row("1.1"), cine)]))
    middle = parse('name = "m"\nkind = "image"\nframes = "middle"\n')
    assert [outcome.sources for outcome in every if isinstance(outcome, Sample)] == [
        (("1.1", at),) for at in range(1, 6)
    ]
    assert sample(middle, [(row("1.1"), cine)]).sources == (("1.1", 3),)
    assert sample(middle, [(row("1.1"), cine)]).image.tolist() == [[8, 9], [10, 11]]


def test_an_enhanced_object_has_place_and_rescale_by_frame() -> None:
    groups = []
    for at in (2, 0, 1):
        position, value, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, 4 * at]
        value.RescaleIntercept, value.RescaleSlope = 10 * at, 1
        group.PlanePositionSequence, group.PixelValueTransformationSequence = Sequence([position]), Sequence([value])
        groups.append(group)
    data = ct(np.zeros((3, 2, 2), np.uint16), PerFrameFunctionalGroupsSequence=Sequence(groups))
    made = sample(VOLUME, [(row("1.1"), data)])
    assert made.sources == (("1.1", 2), ("1.1", 3), ("1.1", 1))
    assert made.image[:, 0, 0].tolist() == [0, 10, 20]


def test_a_modality_lut_is_looked_up() -> None:
    table = Dataset()
    table.LUTDescriptor = [3, 5, 16]
    table["LUTDescriptor"].VR = "US"
    table.LUTData = [7, 8, 9]
    table["LUTData"].VR = "US"
    table.ModalityLUTType = "HU"
    data = ct(np.array([[0, 5], [6, 900]], np.uint16), ModalityLUTSequence=Sequence([table]))
    assert sample(IMAGE, [(row("1.1"), data)]).image.tolist() == [[7, 7], [8, 9]]


def test_broken_attributes_and_cut_bytes_are_failures_and_nothing_else() -> None:
    whole = ct(np.ones((2, 2), np.uint16), RescaleSlope=2, RescaleIntercept=1)
    draw = np.random.Generator(np.random.Philox(3))
    for _ in range(300):
        damaged = bytearray(whole[: int(draw.integers(100, len(whole) + 1))])
        for at in draw.integers(132, len(whole), 4).tolist():
            if at < len(damaged):
                damaged[at] = int(draw.integers(256))
        for recipe in (IMAGE, VOLUME):
            assert all(isinstance(found, Sample | Failure) for found in prepare(recipe, [(row("1.1"), bytes(damaged))]))


def test_real_files_are_samples_or_failures(pydicom_files: Path) -> None:
    items = [
        (row(f"1.2.{at}", f"1.3.{at}"), path.read_bytes())
        for at, path in enumerate(sorted((pydicom_files / "test_files").glob("*.dcm")))
        if path.stat().st_size < 300_000
    ]
    for name in ("slices", "chest-xray"):
        text = (Path(__file__).parents[2] / f"src/filmroom/prepare/recipes/{name}.toml").read_text()
        outcomes = list(prepare(parse(text), items))
        assert sum(isinstance(outcome, Sample) for outcome in outcomes) > 30
        assert {uid for found in outcomes if isinstance(found, Failure) for uid in found.sop_uids} | {
            uid for found in outcomes if isinstance(found, Sample) for uid, _ in found.sources
        } == {row.sop_uid for row, _ in items}
