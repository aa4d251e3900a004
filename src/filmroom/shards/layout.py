"""How samples lie in Zarr v3 arrays: shapes, chunks, shards, names, and the metadata document.

The format is Zarr v3 with `sharding_indexed`; inner codecs `bytes(little) -> blosc(lz4hc, 5, shuffle) -> crc32c`, index
codecs `bytes(little) -> crc32c`, index at the end, fill value 0. One array holds the samples of one subject that have one
shape and dtype; axis 0 counts the samples, and shards divide axis 0 only.
It reads and writes no objects. Rules: what is read is validated whole, and anything unexpected is refused, never
guessed. Neither a name nor a document says whose samples they are.
Sources: Zarr core specification v3; ZEP 2 (sharding codec).
"""

import json
from dataclasses import dataclass
from math import prod

import numpy as np

from filmroom.canon import Json
from filmroom.errors import Invalid, Unreadable
from filmroom.ids import Digest

DTYPES = ("uint8", "uint16", "int16", "float16", "float32")
INDEX = "index"
GROUP = "zarr.json"
GROUPS = (GROUP, "a/zarr.json")
"""Where `group_metadata` lies below the shardset's prefix: the root group and that of the arrays."""
MISSING = 2**64 - 1
"""Offset and length of a chunk that holds nothing but the fill value."""

ENTRY_BYTES = 16
CRC_BYTES = 4

_SHARD_BYTES = 64 * 2**20
_PATCH = 32
_BLOSC_MAX = 2**31 - 1 - 16


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """The shape of one array, of its chunks and of its shards. Lengths in elements, dtype by its Zarr name."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    dtype: str

    @property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.shape[1:]

    @property
    def chunks_per_shard(self) -> tuple[int, ...]:
        return tuple(whole // part for whole, part in zip(self.shard, self.chunk, strict=True))

    @property
    def chunk_bytes(self) -> int:
        """Return the size of one decoded chunk; chunks at the edge are padded, so every chunk has it."""
        return prod(self.chunk) * self.numpy_dtype.itemsize

    @property
    def index_bytes(self) -> int:
        """Return the size of the index at the end of a shard, its checksum included."""
        return prod(self.chunks_per_shard) * ENTRY_BYTES + CRC_BYTES

    @property
    def shards(self) -> int:
        return -(-self.shape[0] // self.shard[0])


def plan(count: int, sample_shape: tuple[int, ...], dtype: str, *, volume: bool) -> ArrayLayout:
    """Return the layout for `count` samples: whole images as chunks, or bricks of up to 32 voxels a side for volumes.

    A shard holds as many samples as fit into 64 MiB uncompressed, at least one. Raises Invalid for what has no layout.
    """
    if dtype not in DTYPES:
        raise Invalid(
            f"samples of type {dtype} cannot be stored", f"end the recipe with a dtype step: {', '.join(DTYPES)}"
        )
    if count < 1 or not sample_shape or min(sample_shape) < 1:
        raise Invalid("an array without samples or without pixels has no layout", "leave it out")
    inner = tuple(min(_PATCH, length) for length in sample_shape) if volume else sample_shape
    padded = tuple(-(-length // part) * part for length, part in zip(sample_shape, inner, strict=True))
    size = np.dtype(dtype).itemsize
    if prod(inner) * size > _BLOSC_MAX:
        raise Invalid("an image of 2 GiB or more does not fit into a chunk", "add a resize step to the recipe")
    per_shard = max(1, min(count, _SHARD_BYTES // (prod(padded) * size)))
    return ArrayLayout((count, *sample_shape), (1, *inner), (per_shard, *padded), dtype)


def array_name(array: int) -> str:
    """Return where the array lies below the shardset's prefix."""
    return f"a/{array:05d}"


def metadata_name(array: int) -> str:
    return f"{array_name(array)}/zarr.json"


def shard_name(array: int, shard: int, dimensions: int) -> str:
    """Return the name of a shard of an array with that many dimensions, axis 0 included."""
    return f"{array_name(array)}/c/{shard}" + "/0" * (dimensions - 1)


def group_metadata(recipe: Digest) -> bytes:
    """Return the `zarr.json` of each of `GROUPS`; it says nothing of any subject."""
    return _document({"attributes": {"filmroom_recipe": str(recipe)}, "node_type": "group", "zarr_format": 3})


def array_metadata(layout: ArrayLayout, recipe: Digest) -> bytes:
    """Return the `zarr.json` of an array; its only attribute is the recipe's digest."""
    return _document(
        {
            "attributes": {"filmroom_recipe": str(recipe)},
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(layout.shard)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": [_sharding(layout)],
            "data_type": layout.dtype,
            "fill_value": 0.0 if layout.dtype.startswith("float") else 0,
            "node_type": "array",
            "shape": list(layout.shape),
            "storage_transformers": [],
            "zarr_format": 3,
        }
    )


def parse_array(document: bytes) -> ArrayLayout:
    """Return the layout that a `zarr.json` states. Raises Unreadable for whatever `ShardReader` would not read."""
    try:
        stated = json.loads(document)
    except (ValueError, RecursionError):
        raise _refuse("it is not JSON") from None
    array = _object(stated, "the document")
    if array.get("zarr_format") != 3 or array.get("node_type") != "array":
        raise _refuse("it is not a Zarr v3 array")
    if array.get("storage_transformers"):
        raise _refuse("it has storage transformers")
    dtype = array.get("data_type")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise _refuse("its data type is not among those of samples")
    fill = array.get("fill_value")
    if isinstance(fill, bool) or not isinstance(fill, int | float) or fill != 0:
        raise _refuse("its fill value is not 0")
    if array.get("chunk_key_encoding") not in (
        {"name": "default"},
        {"name": "default", "configuration": {"separator": "/"}},
    ):
        raise _refuse("its chunk keys are encoded otherwise")
    grid = _object(array.get("chunk_grid"), "the chunk grid")
    codecs = array.get("codecs")
    if grid.get("name") != "regular" or not isinstance(codecs, list) or len(codecs) != 1:
        raise _refuse("it is not sharded")
    sharding = _configuration(codecs[0], "sharding_indexed")
    layout = ArrayLayout(
        _lengths(array.get("shape")),
        _lengths(sharding.get("chunk_shape")),
        _lengths(_object(grid.get("configuration"), "the chunk grid").get("chunk_shape")),
        dtype,
    )
    check(layout)
    _check_codecs(sharding, layout)
    return layout


def check(layout: ArrayLayout) -> None:
    """Raise Unreadable unless chunks divide shards and shards divide axis 0 only."""
    lengths = {len(layout.shape), len(layout.chunk), len(layout.shard)}
    if len(lengths) != 1 or len(layout.shape) < 2:
        raise _refuse("shape, shard and chunk differ in their number of axes")
    if layout.dtype not in DTYPES:
        raise _refuse("its data type is not among those of samples")
    if min(layout.shape + layout.chunk + layout.shard) < 1 or layout.chunk[0] != 1:
        raise _refuse("a chunk holds more than one sample, or nothing")
    if any(whole % part for whole, part in zip(layout.shard, layout.chunk, strict=True)):
        raise _refuse("its chunks do not divide its shards")
    if any(part < whole for whole, part in zip(layout.sample_shape, layout.shard[1:], strict=True)):
        raise _refuse("its shards divide another axis than the first")
    if layout.chunk_bytes > _BLOSC_MAX or prod(layout.chunks_per_shard) > 2**32:
        raise _refuse("its chunks or shards are too large")


def _sharding(layout: ArrayLayout) -> Json:
    size = layout.numpy_dtype.itemsize
    little: Json = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc: Json = {
        "blocksize": 0,
        "clevel": 5,
        "cname": "lz4hc",
        "shuffle": "shuffle" if size > 1 else "noshuffle",
        "typesize": size,
    }
    return {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(layout.chunk),
            "codecs": [little, {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}],
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        },
    }


def _check_codecs(sharding: dict[str, Json], layout: ArrayLayout) -> None:
    if sharding.get("index_location", "end") != "end":
        raise _refuse("its shard index is not at the end")
    inner, index = sharding.get("codecs"), sharding.get("index_codecs")
    if not isinstance(inner, list) or len(inner) != 3 or not isinstance(index, list) or len(index) != 2:
        raise _refuse("its codecs are not bytes, blosc and crc32c")
    for codec, item_bytes in ((inner[0], layout.numpy_dtype.itemsize), (index[0], 8)):
        endian = _configuration(codec, "bytes").get("endian", "little" if item_bytes == 1 else None)
        if endian != "little":
            raise _refuse("it is not little-endian")
    for codec in (inner[2], index[1]):
        if _configuration(codec, "crc32c"):
            raise _refuse("its checksum has options")
    blosc = _configuration(inner[1], "blosc")
    if blosc.get("typesize") != layout.numpy_dtype.itemsize:
        raise _refuse("blosc's type size is not that of the data type")


def _configuration(codec: Json, name: str) -> dict[str, Json]:
    stated = _object(codec, "a codec")
    if stated.get("name") != name:
        raise _refuse(f"where {name} should be is another codec")
    return _object(stated.get("configuration") or {}, "a codec's configuration")


def _object(value: Json, what: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise _refuse(f"{what} is not an object")
    return value


def _lengths(value: Json) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise _refuse("a shape is not a list")
    lengths = tuple(item for item in value if isinstance(item, int) and not isinstance(item, bool) and 0 < item < 2**31)
    if len(lengths) != len(value):
        raise _refuse("a shape holds something else than lengths")
    return lengths


def _document(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _refuse(why: str) -> Unreadable:
    return Unreadable(f"this array's metadata cannot be used: {why}", "build the shardset again, or use a Zarr reader")
