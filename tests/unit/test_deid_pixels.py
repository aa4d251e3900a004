"""What is taken out of Pixel Data, and that the picture stays the same."""

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
    left = list(generate_frames(result.value, number_of_frames=frames))
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
    frame = next(generate_frames(result.value, number_of_frames=1))
    assert np.array_equal(imagecodecs.jpeg2k_decode(frame), imagecodecs.jpeg2k_decode(encoded))


def test_a_jp2_file_in_place_of_a_codestream_is_refused() -> None:
    encoded = bytes(imagecodecs.jpeg2k_encode(PICTURE, codecformat="jp2", reversible=True))
    assert isinstance(pixels.clean(encapsulate([encoded]), image(), J2K), Reason)


def test_what_has_nothing_but_frames_is_copied_verbatim() -> None:
    once = cleaned(encapsulate([bytes(imagecodecs.jpegls_encode(PICTURE))], has_bot=False), image(), JPEG_LS).value
    again = cleaned(once, image(), JPEG_LS)
    assert (again.value, again.frames_stripped) == (once, 0)


def test_an_overlay_in_unused_bits_goes() -> None:
    words = np.arange(1024, dtype="<u2").reshape(32, 32)
    hidden = words | (1 << 15)
    result = cleaned(hidden.tobytes(), image(allocated=16, stored=12), LITTLE)
    assert result.value == words.tobytes()
    assert result.bits_cleared
    assert not cleaned(words.tobytes(), image(allocated=16, stored=12), LITTLE).bits_cleared


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
