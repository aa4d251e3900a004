"""A sealed object opens whole and by range, and anything that was done to it is noticed."""

from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filmroom.crypto.seal import CHUNK, HEADER, TAG, RangeReader, open_sealed, seal, sealed_size
from filmroom.errors import Corrupt, Invalid, KeyGone

KEY = bytes(range(32))
CONTEXT = b"filmroom/v1|research|shard"
EDGES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK, 100_000)
STEP = CHUNK + TAG


def plaintext(size: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


@cache
def sealed(size: int) -> bytes:
    return seal(KEY, CONTEXT, plaintext(size))


@given(st.binary(max_size=40_000), st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_what_is_sealed_opens_to_the_same_bytes_and_has_the_announced_size(
    data: bytes, key: bytes, context: bytes
) -> None:
    box = seal(key, context, data)
    assert len(box) == sealed_size(len(data))
    assert open_sealed(key, context, box) == data


@pytest.mark.parametrize("size", [*EDGES, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_sizes_around_chunks_and_pieces_come_back(size: int) -> None:
    assert open_sealed(KEY, CONTEXT, sealed(size)) == plaintext(size)
    assert len(sealed(size)) == sealed_size(size)


def test_any_buffer_can_be_sealed_and_no_two_seals_are_alike() -> None:
    data = plaintext(50_000)
    boxes = [seal(KEY, CONTEXT, buffer) for buffer in (data, bytearray(data), memoryview(data))]
    assert {open_sealed(KEY, CONTEXT, box) for box in boxes} == {data}
    assert len(set(boxes)) == 3


@pytest.mark.parametrize(("key", "context"), [(bytes(32), CONTEXT), (KEY, CONTEXT + b"x"), (KEY, b"")])
def test_another_key_or_context_is_told_apart_from_damage(key: bytes, context: bytes) -> None:
    with pytest.raises(KeyGone, match="wrong key"):
        open_sealed(key, context, sealed(100))
    with pytest.raises(KeyGone, match="wrong key"):
        RangeReader(key, context, sealed(100)[:HEADER])


@given(st.sampled_from(EDGES), st.data())
def test_a_flipped_bit_anywhere_is_found(size: int, data: st.DataObject) -> None:
    box = bytearray(sealed(size))
    place = data.draw(st.integers(0, len(box) - 1))
    box[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(KeyGone if place < HEADER else Corrupt):
        open_sealed(KEY, CONTEXT, bytes(box))


@given(st.sampled_from(EDGES), st.data())
def test_a_cut_anywhere_is_found(size: int, data: st.DataObject) -> None:
    box = sealed(size)
    with pytest.raises(Corrupt):
        open_sealed(KEY, CONTEXT, box[: data.draw(st.integers(0, len(box) - 1))])


def test_a_cut_at_a_chunk_an_added_byte_and_swapped_chunks_are_found() -> None:
    box = sealed(3 * CHUNK)
    first, second, rest = box[HEADER : HEADER + STEP], box[HEADER + STEP : HEADER + 2 * STEP], box[HEADER + 2 * STEP :]
    for bad in (box[:-TAG], box[: HEADER + STEP], box + b"\0", box[:HEADER] + second + first + rest):
        with pytest.raises(Corrupt):
            open_sealed(KEY, CONTEXT, bad)


@given(st.sampled_from(EDGES), st.data())
def test_ranges_agree_with_the_whole(size: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, size))
    length = data.draw(st.integers(0, size - offset))
    assert read_range(size, offset, length) == plaintext(size)[offset : offset + length]


@pytest.mark.parametrize("size", EDGES)
def test_ranges_at_the_seams_agree_with_the_whole(size: int) -> None:
    seams = sorted(
        {place for k in range(4) for place in (k * CHUNK - 1, k * CHUNK, k * CHUNK + 1) if 0 <= place <= size}
    )
    for offset in seams:
        for stop in [stop for stop in seams if stop >= offset] + [size]:
            assert read_range(size, offset, stop - offset) == plaintext(size)[offset:stop]


def read_range(size: int, offset: int, length: int) -> bytes:
    box = sealed(size)
    start, stop = RangeReader.ciphertext_range(offset, length, size)
    assert HEADER <= start <= stop <= len(box)
    return RangeReader(KEY, CONTEXT, box[:HEADER]).open(box[start:stop], offset, length)


@given(st.integers(-5, 70_000), st.integers(-5, 70_000))
@example(CHUNK, 1)
@example(CHUNK + 1, 0)
def test_a_range_outside_the_object_is_refused(offset: int, length: int) -> None:
    if min(offset, length) >= 0 and offset + length <= CHUNK:
        RangeReader.ciphertext_range(offset, length, CHUNK)
        return
    with pytest.raises(Corrupt):
        RangeReader.ciphertext_range(offset, length, CHUNK)


def test_a_range_from_another_place_too_short_or_changed_is_refused() -> None:
    box = sealed(100_000)
    reader = RangeReader(KEY, CONTEXT, box[:HEADER])
    start, stop = reader.ciphertext_range(CHUNK, 2 * CHUNK, 100_000)
    good = box[start:stop]
    assert reader.open(good, CHUNK, 2 * CHUNK) == plaintext(100_000)[CHUNK : 3 * CHUNK]
    changed = bytearray(good)
    changed[5] ^= 1
    for bad in (box[start + STEP : stop + STEP], good[:STEP], good[:-1], good[: STEP + 3], b"", bytes(changed)):
        with pytest.raises(Corrupt):
            reader.open(bad, CHUNK, 2 * CHUNK)
    with pytest.raises(Corrupt):
        reader.open(good, -1, 5)


def test_a_header_or_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(Corrupt):
        RangeReader(KEY, CONTEXT, sealed(1)[: HEADER - 1])
    with pytest.raises(Invalid):
        seal(b"short", CONTEXT, b"")
    with pytest.raises(Invalid):
        open_sealed(b"short", CONTEXT, sealed(1))
