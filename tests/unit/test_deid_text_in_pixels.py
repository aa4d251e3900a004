"""Text burned into pixels is blanked and nothing else is; what one reader misses, the other sees or a person looks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from filmroom.deid import ocr, profile, verify
from filmroom.deid.apply import Applied, apply
from filmroom.deid.eyes import Extent
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.deid.redact import redact
from filmroom.dicom import encode, parse, pixels
from filmroom.ports import TextReader
from filmroom.records import Line

pytest.importorskip("rapidocr_onnxruntime")

RESEARCH = profile.load("research")
PSEUDONYMS = Pseudonyms(b"k" * 32)
PREFIX = "1.2.840.10008.5.1.4.1.1."
CT, CR, US, US_FRAMES, SC = (PREFIX + end for end in ("2", "1", "6.1", "3.1", "7"))
NAME = "PLANTED^PAULA"
Picture = NDArray[np.unsignedinteger]


class Blind:
    """A reader that sees nothing."""

    def read(self, picture: NDArray[np.uint8]) -> Sequence[Line]:
        return ()


@dataclass
class Sees:
    """A reader that reads the same line in every picture."""

    line: Line

    def read(self, picture: NDArray[np.uint8]) -> Sequence[Line]:
        return [self.line]


@cache
def first() -> TextReader:
    return ocr.Reader(ocr.USUAL)


@cache
def second() -> TextReader:
    return ocr.Reader(ocr.LARGE)


def anatomy(top: int, dtype: str, size: tuple[int, int] = (384, 384)) -> Picture:
    """Return a smooth body with noise on it, up to `top`, on black."""
    rows, columns = size
    y, x = np.mgrid[:rows, :columns]
    body = np.exp(-(((y - rows / 2) / (rows / 3)) ** 4) - ((x - columns / 2) / (columns / 3)) ** 4)
    noise = np.random.default_rng(7).normal(0, 0.01, size)
    return np.asarray(np.clip((0.1 + 0.6 * body + noise) * top, 1, top), dtype)


def written(picture: Picture, text: str, value: float, *, at: tuple[int, int] = (20, 20), size: int = 20) -> Picture:
    canvas = Image.new("L", picture.shape[::-1])
    ImageDraw.Draw(canvas).text(at[::-1], text, fill=255, font=ImageFont.load_default(size))
    share = np.asarray(canvas, np.float64) / 255
    return np.asarray(picture * (1 - share) + value * share, picture.dtype)


def image(sop_class: str, frames: Picture, **more: object) -> Dataset:
    """Return an object of an invented patient with these frames: (frames, rows, columns) or with colours behind."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), UID("1.2.3.4.5.6.1")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4.5.6.2", "1.2.3.4.5.6.3"
    ds.PatientName, ds.PatientID, ds.Modality = NAME, "MRN-7719204", "OT"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    ds.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    if frames.ndim == 4:
        ds.PlanarConfiguration = 0
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    ds.BitsAllocated = 8 * frames.dtype.itemsize
    ds.BitsStored = 12 if ds.BitsAllocated == 16 else 8
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, 0
    ds.add_new("PixelData", "OB" if ds.BitsAllocated == 8 else "OW", frames.tobytes())
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def copied(source: Dataset, reader: TextReader) -> tuple[bytes, bytes]:
    """Return the source's bytes, and those of its copy without what `reader` reads."""
    data = encode.encode(source)
    made = apply(data, RESEARCH, PSEUDONYMS)
    assert isinstance(made, Applied), made
    return data, redact(made.data, RESEARCH, reader)


def judged(data: bytes, copy: bytes, reader: TextReader | None) -> verify.Passed | verify.Residue:
    return verify.verify(copy, verify.identifiers(data, 1), RESEARCH, reader, Extent.FRAMES)


def changed(data: bytes, copy: bytes) -> NDArray[np.bool_]:
    """Return which pixels of the first frame differ."""
    before, after = (next(pixels.frames(parse.read(each))) for each in (data, copy))
    differ = before != after
    return np.asarray(differ.any(axis=2) if differ.ndim == 3 else differ)


def codes(verdict: verify.Passed | verify.Residue) -> set[str]:
    return {finding.code for finding in verdict.findings}


GREY = anatomy(1800, "<u2")
BYTES = anatomy(255, "u1")


@pytest.mark.parametrize(
    ("sop_class", "picture", "value", "at", "size"),
    [
        pytest.param(CT, GREY, 1800, (20, 20), 20, id="white"),
        pytest.param(CT, GREY, 900, (350, 30), 12, id="half as bright, small"),
        pytest.param(CT, GREY, 4095, (180, 60), 16, id="above all anatomy, within it"),
        pytest.param(CR, BYTES, 0, (180, 60), 26, id="black on bright"),
        pytest.param(CR, BYTES, 75, (20, 20), 14, id="faint"),
    ],
)
def test_a_name_in_the_picture_is_blanked_and_nothing_beside_it(
    sop_class: str, picture: Picture, value: float, at: tuple[int, int], size: int
) -> None:
    data, copy = copied(image(sop_class, written(picture, NAME, value, at=at, size=size)[None]), first())
    verdict = judged(data, copy, second())
    assert isinstance(verdict, verify.Passed), verdict
    assert {"pixels-read", "pixels-blanked"} <= codes(verdict)
    said = parse.read(copy)
    assert said.BurnedInAnnotation == "NO"
    assert "113101" in [item.CodeValue for item in said.DeidentificationMethodCodeSequence]
    rows, columns = np.nonzero(changed(data, copy))
    assert at[0] - 6 <= rows.min() and rows.max() <= at[0] + 2 * size
    assert at[1] - 12 <= columns.min() and columns.max() <= at[1] + len(NAME) * size


def test_a_clean_radiograph_is_released_as_it_is() -> None:
    data, copy = copied(image(CR, BYTES[None]), first())
    verdict = judged(data, copy, second())
    assert isinstance(verdict, verify.Passed), verdict
    assert parse.read(copy).PixelData == parse.read(data).PixelData
    assert "pixels-blanked" not in codes(verdict)


def test_a_name_in_one_frame_of_a_coloured_loop_is_blanked_in_all_of_them() -> None:
    frames = np.repeat(np.stack([BYTES[:240, :320]] * 3, axis=-1)[None], 3, axis=0)
    frames[1, ..., 0] = written(frames[1, ..., 0], NAME, 255)
    data, copy = copied(image(US_FRAMES, frames), first())
    assert isinstance(judged(data, copy, second()), verify.Passed)
    before, after = (np.stack(list(pixels.frames(parse.read(each)))) for each in (data, copy))
    assert (before != after).any(axis=(1, 2, 3)).all()


def test_a_compressed_frame_is_written_uncompressed_when_something_is_blanked() -> None:
    import imagecodecs

    picture = written(GREY, NAME, 1800)
    source = image(CR, picture[None])
    source.file_meta.TransferSyntaxUID = JPEG2000Lossless
    frame = imagecodecs.jpeg2k_encode(picture, reversible=True, level=0, codecformat="j2k", bitspersample=12)
    source.PixelData = encapsulate([bytes(frame)])
    source["PixelData"].is_undefined_length = True
    data, copy = copied(source, first())
    assert isinstance(judged(data, copy, second()), verify.Passed)
    assert parse.read(copy).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert 0 < changed(data, copy).mean() < 0.1


@pytest.mark.parametrize("colours", [1, 3])
def test_a_compressed_loop_of_bytes_stays_compressed_without_loss(colours: int) -> None:
    frames = np.stack([np.roll(BYTES[:120, :160], 3 * number, axis=1) for number in range(3)])
    if colours == 3:
        frames = np.stack([frames, frames // 2, 255 - frames], axis=-1)
    source = image(US_FRAMES, frames)
    source.compress(RLELossless, generate_instance_uid=False)
    data, copy = copied(source, Sees(Line(top=10, left=10, bottom=20, right=60, text="P1 7", confidence=0.9)))
    verdict = judged(data, copy, Blind())
    assert isinstance(verdict, verify.Passed), verdict
    assert "pixels-blanked" in codes(verdict)
    made = parse.read(copy)
    assert made.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert len(made.PixelData) < frames.nbytes / 1.5
    gone = np.stack(list(pixels.frames(made))) != frames
    assert not gone[:, 30:].any() and not gone[:, :, 70:].any() and gone[:, 10:20, 10:60].mean() > 0.9


def test_bytes_in_big_endian_words_are_blanked_where_they_lie() -> None:
    frames = BYTES[None, :120, :160]
    source = image(US, frames)
    source.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    source.add_new("PixelData", "OW", np.frombuffer(frames.tobytes(), "<u2").byteswap().tobytes())
    data, copy = copied(source, Sees(Line(top=10, left=10, bottom=20, right=60, text="P1 7", confidence=0.9)))
    assert isinstance(judged(data, copy, Blind()), verify.Passed)
    rows, columns = np.nonzero(changed(data, copy))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 22, 7, 62)


def test_outside_of_its_declared_regions_ultrasound_is_black() -> None:
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 40, 60
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 299, 219
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.1
    source = image(US, BYTES[None, :240, :320], SequenceOfUltrasoundRegions=Items([region]))
    data, copy = copied(source, Blind())
    before, after = (next(pixels.frames(parse.read(each))) for each in (data, copy))
    assert np.array_equal(after[60:220, 40:300], before[60:220, 40:300])
    assert np.unique(after[:60]).size == np.unique(after[:, :40]).size == 1
    assert isinstance(judged(data, copy, second()), verify.Passed)


def test_the_patient_s_name_that_was_missed_is_refused_by_the_second_reader() -> None:
    data, copy = copied(image(CR, written(BYTES, NAME, 255)[None]), Blind())
    verdict = judged(data, copy, second())
    assert isinstance(verdict, verify.Residue) and not verdict.needs_eyes_only
    assert "identifier-in-pixels" in codes(verdict)
    assert NAME.lower() not in repr(verdict).lower() and "paula" not in repr(verdict).lower()


def test_any_other_text_that_was_missed_waits_for_a_person() -> None:
    data, copy = copied(image(CR, written(BYTES, "WARD 7 BED 12", 255)[None]), Blind())
    verdict = judged(data, copy, second())
    assert isinstance(verdict, verify.Residue) and verdict.needs_eyes_only
    assert "text-in-pixels" in codes(verdict)


@pytest.mark.parametrize(
    ("sop_class", "more"),
    [
        (CR, {"BurnedInAnnotation": "YES"}),
        (CR, {"RecognizableVisualFeatures": "YES"}),
        (SC, {}),
        (CT, {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}),
    ],
)
def test_what_is_stated_needs_a_person_though_nothing_was_read(sop_class: str, more: dict[str, object]) -> None:
    data, copy = copied(image(sop_class, GREY[None, :64, :64], **more), Blind())
    verdict = judged(data, copy, Blind())
    assert isinstance(verdict, verify.Residue) and verdict.needs_eyes_only
    assert "needs-eyes" in codes(verdict)


def test_without_a_second_reader_nobody_believes_that_the_pixels_are_clean() -> None:
    data, copy = copied(image(CT, GREY[None, :64, :64]), Blind())
    verdict = judged(data, copy, None)
    assert isinstance(verdict, verify.Residue) and verdict.needs_eyes_only
    assert {finding.place for finding in verdict.findings} >= {"BurnedInAnnotation"}


def test_a_pixel_that_was_altered_and_not_blanked_is_no_copy() -> None:
    data, copy = copied(image(CR, BYTES[None]), Blind())
    altered = parse.read(copy)
    altered.PixelData = altered.PixelData[:5000] + b"\x7b" + altered.PixelData[5001:]
    assert "pixels-differ" in codes(judged(data, encode.encode(altered), second()))
