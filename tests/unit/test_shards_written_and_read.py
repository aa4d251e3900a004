"""Shards that we write are Zarr, Zarr that others write is read, and damage is never a pixel."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr
import zarr.codecs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from filmroom.crypto.seal import context_of, seal
from filmroom.errors import Corrupt, Invalid, NotFound, Unreadable
from filmroom.ids import Digest, Zone
from filmroom.shards.layout import (
    DTYPES,
    GROUPS,
    ArrayLayout,
    array_metadata,
    group_metadata,
    parse_array,
    plan,
)
from filmroom.shards.read import ShardReader
from filmroom.shards.write import encode_shard, encode_subject

RECIPE = Digest.of(b"recipe")
KEY = bytes(range(32))
NAME = "shardsets/00/a/00000/c/0/0/0"
Pixels = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Sample:
    image: Pixels
    key: str = "0" * 64
    subject: str = "P-1"
    sources: tuple[tuple[str, int], ...] = (("1.2.3", 1),)
    split: str = "train"
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    kind: str
    digest: Digest = RECIPE


@dataclass(slots=True)
class Memory:
    """An object store in memory that counts requests."""

    objects: dict[str, bytes]
    requests: int = 0

    @property
    def is_near(self) -> bool:
        return True

    def put(self, name: str, data: bytes | bytearray | memoryview | Iterator[bytes]) -> None:
        self.objects[name] = bytes(data) if isinstance(data, bytes | bytearray | memoryview) else b"".join(data)

    def get(self, name: str) -> bytes:
        self.requests += 1
        if name not in self.objects:
            raise NotFound("no such object")
        return self.objects[name]

    def get_range(self, name: str, start: int, length: int) -> bytes:
        return self.get(name)[start : start + length]

    def size(self, name: str) -> int:
        return len(self.get(name))

    def delete(self, name: str) -> None:
        self.objects.pop(name, None)

    def sweep(self, idle_seconds: float) -> int:
        return 0

    def names(self, prefix: str) -> Iterator[str]:
        return (name for name in list(self.objects) if name.startswith(prefix))


def images(count: int, shape: tuple[int, ...], dtype: str, seed: int = 0) -> list[Pixels]:
    draw = np.random.Generator(np.random.Philox(seed))
    return [(draw.random(shape) * 200).astype(dtype) for _ in range(count)]


def read_back(shard: bytes, layout: ArrayLayout, position: int, *, key: bytes | None = None, plain: int = 0) -> Pixels:
    reader = ShardReader(Memory({NAME: shard}), NAME, layout, key, plain or len(shard))
    out = np.full(layout.sample_shape, 77, layout.numpy_dtype)
    reader.read(position, (0,) * out.ndim, out, sample="k")
    return out


def written(folder: Path, samples: list[Sample], kind: str) -> None:
    encoded = encode_subject(0, samples, Recipe(kind))
    for name, data in [*((name, group_metadata(RECIPE)) for name in GROUPS), *encoded.objects]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "shape"), [("image", (17, 9)), ("image", (8, 6, 3)), ("volume", (40, 33, 70))])
def test_what_we_write_opens_with_zarr_python(tmp_path: Path, dtype: str, kind: str, shape: tuple[int, ...]) -> None:
    pixels = images(3, shape, dtype)
    pixels[1][:] = 0
    written(tmp_path, [Sample(image) for image in pixels], kind)
    group = zarr.open_group(tmp_path, mode="r")
    assert [name for name, _ in group.members(max_depth=None)] == ["a", "a/00000"]
    array = group["a/00000"]
    assert isinstance(array, zarr.Array)
    np.testing.assert_array_equal(np.asarray(array[:]), np.stack(pixels))
    assert dict(array.attrs) == {"filmroom_recipe": str(RECIPE)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "chunk"), [((5, 17, 9), (1, 17, 9)), ((2, 40, 33, 9), (1, 32, 32, 8))])
def test_what_zarr_python_writes_is_read_alike(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], chunk: tuple[int, ...]
) -> None:
    sides = tuple(-(-length // part) * part for length, part in zip(shape[1:], chunk[1:], strict=True))
    array = zarr.create_array(
        tmp_path,
        shape=shape,
        chunks=chunk,
        shards=(2, *sides),
        dtype=dtype,
        fill_value=0,
        compressors=[
            zarr.codecs.BloscCodec(cname="lz4hc", clevel=5, shuffle="shuffle" if dtype != "uint8" else "noshuffle"),
            zarr.codecs.Crc32cCodec(),
        ],
    )
    pixels = np.stack(images(shape[0], shape[1:], dtype))
    pixels[0] = 0  # its chunks are not written
    array[:] = pixels
    layout = parse_array((tmp_path / "zarr.json").read_bytes())
    for sample in range(shape[0]):
        shard, position = divmod(sample, layout.shard[0])
        stored = tmp_path.joinpath("c", str(shard), *["0"] * (len(shape) - 1)).read_bytes()
        np.testing.assert_array_equal(read_back(stored, layout, position), pixels[sample])


def test_the_same_samples_give_the_same_bytes() -> None:
    samples = [Sample(image) for image in images(4, (20, 20), "int16")]
    assert encode_subject(3, samples, Recipe("image")) == encode_subject(3, samples, Recipe("image"))


def test_each_shape_and_type_has_its_array_and_no_name_says_whose() -> None:
    pixels = [*images(2, (4, 4), "uint8"), *images(1, (4, 5), "uint8"), *images(1, (4, 4), "int16")]
    encoded = encode_subject(
        7, [Sample(image) for image in [pixels[0], pixels[2], pixels[1], pixels[3]]], Recipe("image")
    )
    assert [(entry.array, entry.position) for entry in encoded.entries] == [(7, 0), (8, 0), (7, 1), (9, 0)]
    assert [name for name, _ in encoded.objects][:2] == ["a/00007/zarr.json", "a/00007/c/0/0/0"]
    assert not any(b"P-1" in data or "P-1" in name for name, data in encoded.objects)


def test_two_subjects_never_share_a_shard() -> None:
    one, two = images(2, (4, 4), "uint8")
    with pytest.raises(Invalid):
        encode_subject(0, [Sample(one), Sample(two, subject="P-2")], Recipe("image"))


def test_a_shard_holds_64_mib_and_at_least_one_sample() -> None:
    assert plan(1000, (512, 512), "int16", volume=False).shard == (128, 512, 512)
    assert plan(2, (400, 512, 512), "int16", volume=True).shard == (1, 416, 512, 512)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_region_is_what_slicing_gives(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 12)] * 3))
    sides = data.draw(st.tuples(*[st.integers(1, 8)] * 3))
    padded = tuple(-(-length // side) * side for length, side in zip(shape, sides, strict=True))
    layout = ArrayLayout((2, *shape), (1, *sides), (2, *padded), "int16")
    pixels = images(2, shape, "int16", seed=data.draw(st.integers(0, 9)))
    pixels[1][: shape[0] // 2] = 0
    start = tuple(data.draw(st.integers(0, length - 1)) for length in shape)
    extent = tuple(data.draw(st.integers(1, length - first)) for length, first in zip(shape, start, strict=True))
    shard = encode_shard(layout, pixels)
    out = np.full(extent, 77, "<i2")
    for position in (0, 1):
        ShardReader(Memory({NAME: shard}), NAME, layout, None, len(shard)).read(position, start, out, sample="k")
        region = tuple(slice(first, first + length) for first, length in zip(start, extent, strict=True))
        np.testing.assert_array_equal(out, pixels[position][region])


def test_a_shard_of_nothing_but_zeros_is_an_index_and_reads_as_zeros() -> None:
    layout = plan(2, (4, 4), "int16", volume=False)
    shard = encode_shard(layout, [np.zeros((4, 4), "int16")] * 2)
    assert len(shard) == layout.index_bytes
    assert not read_back(shard, layout, 1).any()


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "sealed"])
def test_one_flipped_byte_anywhere_is_an_error_that_names_object_and_sample(key: bytes | None) -> None:
    layout = plan(2, (5, 7), "int16", volume=False)
    pixels = images(2, (5, 7), "int16")
    plain = encode_shard(layout, pixels)
    stored = plain if key is None else seal(key, context_of(Zone.RESEARCH, NAME), plain)
    for position in (0, 1):
        np.testing.assert_array_equal(read_back(stored, layout, position, key=key, plain=len(plain)), pixels[position])
    for at in range(len(stored)):
        damaged = bytearray(stored)
        damaged[at] ^= 0x41
        raised = 0
        for position in (0, 1):
            try:
                found = read_back(bytes(damaged), layout, position, key=key, plain=len(plain))
            except Corrupt as error:
                assert NAME in error.what
                assert "sample k" in error.what
                raised += 1
            else:
                np.testing.assert_array_equal(found, pixels[position])
        assert raised, f"byte {at} was changed and nobody noticed"


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "sealed"])
def test_a_shard_that_is_cut_short_or_gone_is_an_error(key: bytes | None) -> None:
    layout = plan(1, (5, 7), "int16", volume=False)
    plain = encode_shard(layout, images(1, (5, 7), "int16"))
    stored = plain if key is None else seal(key, context_of(Zone.RESEARCH, NAME), plain)
    for length in range(len(stored)):
        with pytest.raises(Corrupt):
            read_back(stored[:length], layout, 0, key=key, plain=len(plain))
    with pytest.raises(Corrupt):
        ShardReader(Memory({}), NAME, layout, key, len(plain)).read(0, (0, 0), np.zeros((5, 7), "<i2"), sample="k")


def test_an_object_sealed_as_another_one_does_not_open() -> None:
    layout = plan(1, (5, 7), "int16", volume=False)
    plain = encode_shard(layout, images(1, (5, 7), "int16"))
    with pytest.raises(Corrupt):
        read_back(
            seal(KEY, context_of(Zone.RESEARCH, "shardsets/00/a/00001/c/0/0/0"), plain),
            layout,
            0,
            key=KEY,
            plain=len(plain),
        )


def crc(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def shard_around(chunk: bytes, offset: int | None = None, length: int | None = None) -> bytes:
    entry = np.array([0 if offset is None else offset, len(chunk) if length is None else length], dtype="<u8")
    return chunk + crc(entry.tobytes())


def frame_of(pixels: Pixels) -> bytes:
    """The blosc frame of the only chunk of a shard of one image."""
    layout = plan(1, pixels.shape, "int16", volume=False)
    return encode_shard(layout, [pixels])[: -layout.index_bytes - 4]


FRAME = frame_of(np.arange(35, dtype="int16").reshape(5, 7))


@pytest.mark.parametrize(
    "shard",
    [
        shard_around(crc(FRAME), offset=2**63),
        shard_around(crc(FRAME), length=len(FRAME) + 5),
        shard_around(crc(FRAME), length=4),
        shard_around(crc(FRAME[:4] + (71).to_bytes(4, "little") + FRAME[8:])),
        shard_around(crc(FRAME[:4] + (2**31).to_bytes(4, "little") + FRAME[8:])),
        shard_around(crc(FRAME + b"\0")),
        shard_around(crc(FRAME[:3] + b"\1" + (FRAME[4:]))),
    ],
    ids=["far", "long", "short", "size", "huge", "tail", "item"],
)
def test_a_shard_that_lies_with_a_right_checksum_is_refused(shard: bytes) -> None:
    with pytest.raises(Corrupt):
        read_back(shard, plan(1, (5, 7), "int16", volume=False), 0)


def test_a_chunk_that_does_not_decode_is_refused() -> None:
    frame = frame_of(np.arange(4096, dtype="int16").reshape(64, 64))
    shard = shard_around(crc(frame[:20] + b"\xff" * (len(frame) - 20)))
    with pytest.raises(Corrupt):
        read_back(shard, plan(1, (64, 64), "int16", volume=False), 0)


def test_the_codec_sees_items_and_not_bytes() -> None:
    frame = frame_of(np.arange(4096, dtype="int16").reshape(64, 64))
    assert frame[3] == 2
    assert len(frame) < 4096


def test_one_sample_is_one_request_once_the_shard_is_open() -> None:
    layout = plan(1, (70, 70, 70), "int16", volume=True)
    shard = encode_shard(layout, images(1, (70, 70, 70), "int16"))
    store = Memory({NAME: shard})
    reader = ShardReader(store, NAME, layout, None, len(shard))
    out = np.empty((70, 70, 70), "<i2")
    reader.read(0, (0, 0, 0), out, sample="k")
    assert store.requests == 2
    reader.read(0, (0, 0, 0), out, sample="k")
    assert store.requests == 3


def changed(change: Callable[[dict], None]) -> bytes:  # type: ignore[type-arg]
    document = json.loads(array_metadata(plan(2, (4, 4), "int16", volume=False), RECIPE))
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(zarr_format=2),
        lambda d: d.update(data_type="int64"),
        lambda d: d.update(data_type=[]),
        lambda d: d.update(fill_value=1),
        lambda d: d.update(fill_value="NaN"),
        lambda d: d.update(storage_transformers=[{}]),
        lambda d: d.update(shape=[2, -4, 4]),
        lambda d: d.update(shape=[2, 8, 4]),
        lambda d: d.update(shape=None),
        lambda d: d.update(codecs=[{"name": "bytes"}]),
        lambda d: d["chunk_grid"].update(name="rectilinear"),
        lambda d: d["chunk_key_encoding"].update(name="v2"),
        lambda d: d["codecs"][0]["configuration"].update(index_location="start"),
        lambda d: d["codecs"][0]["configuration"].update(chunk_shape=[1, 3, 4]),
        lambda d: d["codecs"][0]["configuration"]["codecs"][0]["configuration"].update(endian="big"),
        lambda d: d["codecs"][0]["configuration"]["index_codecs"][0]["configuration"].update(endian="big"),
        lambda d: d["codecs"][0]["configuration"]["codecs"].reverse(),
        lambda d: d["codecs"][0]["configuration"]["codecs"].pop(),
        lambda d: d["codecs"][0]["configuration"]["codecs"][1].update(name="zstd"),
        lambda d: d["codecs"][0]["configuration"]["codecs"][1]["configuration"].update(typesize=1),
    ],
)
def test_unknown_metadata_is_refused_and_never_guessed(change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    with pytest.raises(Unreadable):
        parse_array(changed(change))


@given(count=st.integers(1, 2000), shape=st.lists(st.integers(1, 700), min_size=2, max_size=3), volume=st.booleans())
def test_metadata_says_the_layout_again(count: int, shape: list[int], volume: bool) -> None:
    for dtype in DTYPES:
        layout = plan(count, tuple(shape), dtype, volume=volume)
        assert parse_array(array_metadata(layout, RECIPE)) == layout


@given(st.binary(max_size=200))
def test_noise_is_no_metadata(noise: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_array(noise)
