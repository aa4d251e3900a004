"""What is taken out of Pixel Data, and that the picture stays the same."""

import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from filmroom.deid import pixels
from filmroom.records import Reason

JPEG, JPEG_LS, J2K, RLE = (f"1.2.840.10008.1.2.{end}" for end in ("4.50", "4.80", "4.90", "5"))
LITTLE = "1.2.840.10008.1.2.1"
SECRET = b"ZQ99PLNT"
PICTURE = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 3


def image(frames: int = 1, *, allocated: int = 8, stored: int = 8, signed: int = 0, side: int = 32) -> Dataset:
    ds = Dataset()
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.NumberOfFrames = 1, "MONOCHROME2", frames
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = allocated, stored, stored - 1, signed
    return ds


def segment(marker: int, text: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(text) + 2).to_bytes(2, "big") + text


def rle(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *, gap: bytes = b"", tail: bytes = b"") -> bytes:
    plane = picture.tobytes()
    packed = b"".join(b"\x7f" + plane[at : at + 128] for at in range(0, len(plane), 128))
    return struct.pack("<16L", 1, 64 + len(gap), *[0] * 14) + gap + packed + tail


def cleaned(value: bytes, ds: Dataset, syntax: str) -> pixels.Cleaned:
    result = pixels.clean(value, ds, syntax)
    assert isinstance(result, pixels.Cleaned), result
    return result


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("syntax", [JPEG, JPEG_LS])
def test_jpeg_comments_and_application_segments_go(syntax: str, frames: int) -> None:
    encoded = bytes(imagecodecs.jpeg8_encode(PICTURE) if syntax == JPEG else imagecodecs.jpegls_encode(PICTURE))
    planted = encoded[:2] + segment(0xFE, SECRET) + segment(0xE1, b"Exif" + SECRET) + encoded[2:] + SECRET
    result = cleaned(encapsulate([planted] * frames), image(frames), syntax)
    assert SECRET not in result.value
    assert result.frames_stripped == frames
    left = list(generate_frames(bytes(result.value), number_of_frames=frames))
    decode = imagecodecs.jpeg8_decode if syntax == JPEG else imagecodecs.jpegls_decode
    assert [np.array_equal(decode(frame), decode(encoded)) for frame in left] == [True] * frames


def test_jpeg_2000_comments_go_from_the_main_and_the_tile_headers() -> None:
    encoded = bytes(imagecodecs.jpeg2k_encode(PICTURE, codecformat="j2k", reversible=True))
    tile = encoded.index(b"\xff\x90")
    data = encoded.index(b"\xff\x93", tile)
    com = segment(0x64, b"\0\1" + SECRET)
    length = int.from_bytes(encoded[tile + 6 : tile + 10], "big") + len(com)
    planted = (
        encoded[:tile] + com + encoded[tile : tile + 6] + length.to_bytes(4, "big")
        + encoded[tile + 10 : data] + com + encoded[data:] + SECRET
    )  # fmt: skip
    result = cleaned(encapsulate([planted]), image(), J2K)
    assert SECRET not in result.value
    frame = next(generate_frames(bytes(result.value), number_of_frames=1))
    assert np.array_equal(imagecodecs.jpeg2k_decode(frame), imagecodecs.jpeg2k_decode(encoded))


def test_a_jp2_file_in_place_of_a_codestream_is_refused() -> None:
    encoded = bytes(imagecodecs.jpeg2k_encode(PICTURE, codecformat="jp2", reversible=True))
    assert isinstance(pixels.clean(encapsulate([encoded]), image(), J2K), Reason)


def test_what_has_nothing_but_frames_is_copied_verbatim() -> None:
    first = cleaned(encapsulate([bytes(imagecodecs.jpegls_encode(PICTURE))], has_bot=False), image(), JPEG_LS)
    once = bytes(first.value)
    again = cleaned(once, image(), JPEG_LS)
    assert (again.value, again.frames_stripped) == (once, 0)


def test_an_overlay_in_unused_bits_goes() -> None:
    words = np.arange(1024, dtype="<u2").reshape(32, 32)
    hidden = words | (1 << 15)
    result = cleaned(hidden.tobytes(), image(allocated=16, stored=12), LITTLE)
    assert result.value == words.tobytes()
    assert result.bits_cleared
    assert not cleaned(words.tobytes(), image(allocated=16, stored=12), LITTLE).bits_cleared


def test_a_picture_that_does_not_begin_at_the_lowest_bit_is_refused() -> None:
    ds = image(allocated=16, stored=12)
    ds.HighBit = 15
    assert isinstance(pixels.clean(bytes(2048), ds, LITTLE), Reason)


def test_a_sign_is_no_overlay() -> None:
    words = np.arange(-512, 512, dtype="<i2")
    result = cleaned(words.tobytes(), image(allocated=16, stored=12, signed=1), LITTLE)
    assert result.value == words.tobytes() and not result.bits_cleared


def test_what_follows_the_image_goes_and_a_short_one_is_refused() -> None:
    raw = PICTURE.tobytes()
    assert cleaned(raw + SECRET, image(), LITTLE).value == raw
    assert isinstance(pixels.clean(raw[:-1], image(), LITTLE), Reason)


@given(st.binary(max_size=200), st.sampled_from([JPEG, JPEG_LS, J2K, RLE, LITTLE]))
def test_hostile_bytes_are_a_reason_or_cleaned_but_never_an_exception(value: bytes, syntax: str) -> None:
    assert isinstance(pixels.clean(value, image(side=4), syntax), Reason | pixels.Cleaned)
    framed = encapsulate([b"\xff\xd8" + value])
    assert isinstance(pixels.clean(framed, image(side=4), syntax), Reason | pixels.Cleaned)


@pytest.mark.parametrize(
    "planted",
    [rle(PICTURE, gap=SECRET), rle(PICTURE, tail=SECRET), rle(PICTURE)[:52] + SECRET + bytes(4) + rle(PICTURE)[64:]],
)
def test_slack_in_an_rle_frame_goes(planted: bytes) -> None:
    result = cleaned(encapsulate([planted]), image(), RLE)
    assert SECRET in planted and SECRET not in result.value
    assert next(generate_frames(bytes(result.value), number_of_frames=1)) == rle(PICTURE)


def test_an_overlay_in_the_high_bits_of_an_rle_frame_is_refused() -> None:
    words = np.full((32, 32), 1 << 15 | 7, dtype=np.uint16)
    high, low = (words >> 8).astype(np.uint8), (words & 255).astype(np.uint8)
    first, second = rle(high)[64:], rle(low)[64:]
    frame = struct.pack("<16L", 2, 64, 64 + len(first), *[0] * 13) + first + second
    result = pixels.clean(encapsulate([frame]), image(allocated=16, stored=12), RLE)
    assert isinstance(result, Reason)
    fine = cleaned(encapsulate([frame], has_bot=False), image(allocated=16, stored=16), RLE)
    assert fine.value == encapsulate([frame], has_bot=False)


@pytest.mark.parametrize(
    "planted",
    [
        segment(0xE0, SECRET),
        segment(0xEE, b"Adobe\0\x64\0\0\0\0\0" + SECRET),
        segment(0xF0, SECRET),
        segment(0xDF, SECRET),
        segment(0xDB, b"\x03" + SECRET.ljust(64, b"A")),
        segment(0xC4, b"\x03" + bytes([0] * 7 + [8] + [0] * 8) + SECRET),
    ],
)
def test_jpeg_segments_that_decoding_does_not_need_go(planted: bytes) -> None:
    encoded = bytes(imagecodecs.jpeg8_encode(PICTURE))
    result = cleaned(encapsulate([encoded[:2] + planted + encoded[2:]]), image(), JPEG)
    assert SECRET not in result.value
    frame = next(generate_frames(bytes(result.value), number_of_frames=1))
    assert np.array_equal(imagecodecs.jpeg8_decode(frame), imagecodecs.jpeg8_decode(encoded))


def test_a_thumbnail_in_the_jfif_header_goes() -> None:
    encoded = bytes(imagecodecs.jpeg8_encode(PICTURE))
    assert encoded[2:4] == b"\xff\xe0"
    size = int.from_bytes(encoded[4:6], "big")
    planted = segment(0xE0, encoded[6:18] + b"\1\1" + SECRET)
    result = cleaned(encapsulate([encoded[:2] + planted + encoded[4 + size :]]), image(), JPEG)
    assert next(generate_frames(bytes(result.value), number_of_frames=1)).rstrip(b"\0") == encoded.rstrip(b"\0")


def test_a_jpeg_segment_that_is_longer_than_its_numbers_say_is_refused() -> None:
    encoded = bytes(imagecodecs.jpeg8_encode(PICTURE))
    at = encoded.index(b"\xff\xda")
    size = int.from_bytes(encoded[at + 2 : at + 4], "big")
    longer = encoded[:at] + segment(0xDA, encoded[at + 4 : at + 2 + size] + SECRET) + encoded[at + 2 + size :]
    assert isinstance(pixels.clean(encapsulate([longer]), image(), JPEG), Reason)


@pytest.mark.parametrize("marker", [0x55, 0x57, 0x63, 0x6F, 0x7A])
def test_jpeg_2000_segments_that_decoding_does_not_need_go(marker: int) -> None:
    encoded = bytes(imagecodecs.jpeg2k_encode(PICTURE, codecformat="j2k", reversible=True))
    tile = encoded.index(b"\xff\x90")
    result = cleaned(encapsulate([encoded[:tile] + segment(marker, SECRET) + encoded[tile:]]), image(), J2K)
    assert SECRET not in result.value
    frame = next(generate_frames(bytes(result.value), number_of_frames=1))
    assert np.array_equal(imagecodecs.jpeg2k_decode(frame), imagecodecs.jpeg2k_decode(encoded))
