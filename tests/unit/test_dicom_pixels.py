"""Frames come out as they were stored, whatever they were compressed with, or not at all."""

import csv
import hashlib
import struct
from collections import Counter
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from filmroom.dicom.encode import encode
from filmroom.dicom.parse import read
from filmroom.dicom.pixels import frame_count, frames
from filmroom.errors import Unreadable

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4."


def image(shape: tuple[int, ...], bits: tuple[int, int], signed: bool, photometric: str, syntax: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.7"
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = 1 if len(shape) == 2 else 3
    if len(shape) == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored = bits
    dataset.HighBit = bits[1] - 1
    dataset.PixelRepresentation = int(signed)
    return dataset


def compressed(dataset: Dataset, parts: list[bytes]) -> Dataset:
    dataset.NumberOfFrames = len(parts)
    dataset.add_new("PixelData", "OB", encapsulate(parts))
    return dataset


def decoded(dataset: Dataset) -> list[NDArray[np.generic]]:
    return list(frames(read(encode(dataset))))


@settings(deadline=None)
@given(st.data(), st.sampled_from([IMPLICIT, EXPLICIT, BIG]), st.booleans(), st.integers(9, 16))
def test_native_values_come_back_without_what_lies_above_bits_stored(
    data: st.DataObject, syntax: str, signed: bool, stored: int
) -> None:
    words = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=12, max_size=12))
    dataset = image((2, 3), (16, stored), signed, "MONOCHROME2", syntax)
    dataset.NumberOfFrames = 2
    dataset.add_new("PixelData", "OW", struct.pack(f"{'>' if syntax == BIG else '<'}12H", *words))
    out = np.concatenate([frame.ravel() for frame in decoded(dataset)]).tolist()
    masked = [word & ((1 << stored) - 1) for word in words]
    assert out == ([word - (1 << stored) if signed and word >> (stored - 1) else word for word in masked])


@pytest.mark.parametrize("syntax", [f"{JPEG}57", f"{JPEG}70", f"{JPEG}80", f"{JPEG}90", f"{JPEG}201"])
@pytest.mark.parametrize("signed", [False, True])
def test_lossless_codecs_return_what_went_in(syntax: str, signed: bool) -> None:
    lowest = -2048 if signed else 0
    ramp = (np.arange(32 * 40).reshape(32, 40) * 7 % 4096 + lowest).astype(np.int16 if signed else np.uint16)
    bits = ramp.view(np.uint16) & 0x0FFF
    if syntax in (f"{JPEG}57", f"{JPEG}70"):
        part = imagecodecs.jpeg8_encode(bits, lossless=True, bitspersample=12)
    elif syntax == f"{JPEG}80":
        part = imagecodecs.jpegls_encode(bits)
    elif syntax == f"{JPEG}90":
        part = imagecodecs.jpeg2k_encode(bits, reversible=True, codecformat="j2k", bitspersample=12)
    else:
        part = imagecodecs.htj2k_encode(bits, reversible=True)
    dataset = compressed(image(ramp.shape, (16, 12), signed, "MONOCHROME2", syntax), [bytes(part)] * 2)
    out = decoded(dataset)
    assert [frame.dtype for frame in out] == [ramp.dtype] * 2
    assert all((frame == ramp).all() for frame in out)


def colours() -> NDArray[np.uint8]:
    """Broad stripes, so that subsampled chroma does not blur them."""
    stripes = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 100, 50]], np.uint8)
    return np.repeat(np.repeat(stripes[np.newaxis], 48, axis=0), 16, axis=1)


@pytest.mark.parametrize(("stored_as", "photometric"), [("YCBCR", "YBR_FULL_422"), ("RGB", "RGB")])
def test_jpeg_colours_are_rgb_whichever_way_they_are_stored(stored_as: str, photometric: str) -> None:
    picture = colours()
    part = imagecodecs.jpeg8_encode(picture, level=98, colorspace="RGB", outcolorspace=stored_as)
    (out,) = decoded(compressed(image(picture.shape, (8, 8), False, photometric, f"{JPEG}50"), [bytes(part)]))
    assert out.dtype == np.uint8
    inner = [slice(None), np.arange(picture.shape[1]) % 16 == 8]
    assert np.abs(out[tuple(inner)].astype(int) - picture[tuple(inner)].astype(int)).max() <= 6


def test_native_ybr_is_turned_into_rgb() -> None:
    dataset = image((1, 2, 3), (8, 8), False, "YBR_FULL", EXPLICIT)
    dataset.add_new("PixelData", "OB", bytes([76, 85, 255, 255, 128, 128]))
    (out,) = decoded(dataset)
    assert np.abs(out.astype(int) - [[[254, 0, 0], [255, 255, 255]]]).max() <= 1


def test_planes_are_put_together() -> None:
    dataset = image((1, 2, 3), (8, 8), False, "RGB", EXPLICIT)
    dataset.PlanarConfiguration = 1
    dataset.add_new("PixelData", "OB", bytes([1, 2, 3, 4, 5, 6]))
    (out,) = decoded(dataset)
    assert out.tolist() == [[[1, 3, 5], [2, 4, 6]]]


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
@pytest.mark.parametrize("wide", [False, True])
def test_palettes_are_looked_up_in_either_byte_order_and_width(syntax: str, wide: bool) -> None:
    dataset = image((1, 4), (8, 8), False, "PALETTE COLOR", syntax)
    order = ">" if syntax == BIG else "<"
    for number, colour in enumerate(("Red", "Green", "Blue")):
        entries = [10 * number, 20 * number, 30 * number, 200 + number]
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [4, 1, 16 if wide else 8])
        packed = struct.pack("4B", *entries)
        narrow = packed if syntax == EXPLICIT else struct.pack(">2H", *struct.unpack("<2H", packed))
        table = struct.pack(f"{order}4H", *(entry << 8 for entry in entries)) if wide else narrow
        dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", table)
    dataset.add_new("PixelData", "OB", bytes([0, 1, 2, 9]))
    (out,) = decoded(dataset)
    assert out.tolist() == [[[0, 10, 20], [0, 10, 20], [0, 20, 40], [200, 201, 202]]]


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("columns", [3, 5, 8])
def test_one_bit_frames_need_not_begin_at_a_byte(syntax: str, columns: int) -> None:
    bits = np.random.default_rng(columns).integers(0, 2, (4, 3, columns), np.uint8)
    dataset = image((3, columns), (1, 1), False, "MONOCHROME2", syntax)
    dataset.NumberOfFrames = 4
    packed = np.packbits(bits, bitorder="little").tobytes()
    dataset.add_new("PixelData", "OB" if syntax == EXPLICIT else "OW", packed + bytes(len(packed) % 2))
    assert [frame.tolist() for frame in decoded(dataset)] == bits.tolist()
    assert [frame.tolist() for frame in frames(dataset, range(2, 3))] == [bits[2].tolist()]
    dataset.NumberOfFrames = 6
    with pytest.raises(Unreadable):
        decoded(dataset)


def test_without_pixels_there_are_no_frames() -> None:
    dataset = Dataset()
    assert frame_count(dataset) == 0
    assert list(frames(dataset)) == []


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.3.4", f"{JPEG}52"])
def test_an_unknown_transfer_syntax_is_refused_by_name(syntax: str) -> None:
    dataset = compressed(image((8, 8), (8, 8), False, "MONOCHROME2", syntax), [b"\xff\xd8\xff\xd9"])
    with pytest.raises(Unreadable, match=syntax):
        list(frames(dataset))


def test_a_codestream_of_another_size_or_without_an_end_is_refused() -> None:
    part = bytes(imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8)))
    for wrong in (image((16, 17), (8, 8), False, "MONOCHROME2", f"{JPEG}50"), None):
        dataset = wrong or image((16, 16), (8, 8), False, "MONOCHROME2", f"{JPEG}50")
        with pytest.raises(Unreadable, match="another size" if wrong else "ends early"):
            list(frames(compressed(dataset, [part if wrong else part[:-2]])))


@pytest.mark.parametrize(("stored", "high"), [(12, 15), (12, 10), (16, 7)])
def test_values_that_do_not_begin_at_the_lowest_bit_are_refused(stored: int, high: int) -> None:
    dataset = image((1, 2), (16, stored), False, "MONOCHROME2", EXPLICIT)
    dataset.HighBit = high
    dataset.add_new("PixelData", "OW", struct.pack("<2H", 0x1230, 0x4560))
    with pytest.raises(Unreadable, match="High Bit"):
        decoded(dataset)


def test_missing_frames_are_refused() -> None:
    part = bytes(imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8)))
    dataset = compressed(image((16, 16), (8, 8), False, "MONOCHROME2", f"{JPEG}50"), [part, part])
    dataset.NumberOfFrames = 3
    with pytest.raises(Unreadable):
        list(frames(dataset))


def _may_differ(row: dict[str, str]) -> bool:
    """Say whether another decoder's array is not ours by design: how it rounds, what it makes of colours or of excess."""
    is_wide_colour = row["photometric"] == "RGB" and float(row["bits_alloc"]) > 8
    is_lossy_jpeg = row["ts"].startswith(("JPEG Baseline", "JPEG Extended"))
    has_excess = row["path"].startswith("SAFEHR-data+PIXL")  # four times the pixels of its one frame
    return row["photometric"] == "PALETTE COLOR" or is_wide_colour or is_lossy_jpeg or has_excess


def test_on_the_corpus_frames_agree_with_another_decoder(corpus: Path) -> None:
    counts: Counter[str] = Counter()
    for row in csv.DictReader((corpus / "manifest.csv").read_text(encoding="utf-8").splitlines()):
        if row["decode_ok"] != "True":
            continue
        dataset = read((corpus / row["path"]).read_bytes())
        out = list(frames(dataset))
        many = np.stack(out)
        single = many[0] if len(out) == 1 else many
        big = row["pix_dtype"].startswith(">")
        arrays = (each.byteswap() if big else each for each in (many, single))
        sums = {hashlib.sha256(each.tobytes()).hexdigest()[:16] for each in arrays}
        counts["agree" if row["pix_sha"] in sums else "differ"] += 1
        assert row["pix_sha"] in sums or _may_differ(row), row["path"]
    assert counts["agree"] > 500
