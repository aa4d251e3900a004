"""Samples of one subject to shard objects, the same bytes for the same samples every time.

It seals nothing and stores nothing: the caller does both. Rules: our own encoder, because the order of chunks and
the codec's settings are part of a shardset's identity; a chunk of nothing but zeros is not stored, yet every shard is;
one object never holds two subjects' samples, so that destroying a subject's key erases whole objects.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol, TypeAlias

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from filmroom.errors import Invalid
from filmroom.ids import Digest
from filmroom.shards.index import ArrayEntry, IndexEntry
from filmroom.shards.layout import (
    CRC_BYTES,
    MISSING,
    ArrayLayout,
    array_metadata,
    metadata_name,
    plan,
    shard_name,
)

Pixels: TypeAlias = NDArray[np.generic]


class Sample(Protocol):
    """One sample as `prepare.run` makes it."""

    @property
    def key(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def image(self) -> Pixels: ...
    @property
    def sources(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def split(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


class Recipe(Protocol):
    """What a shardset keeps of a recipe: its digest, and whether samples are read in patches (`kind` "volume")."""

    @property
    def digest(self) -> Digest: ...
    @property
    def kind(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """One subject's objects, by name below the shardset's prefix, and what the index says of them.

    Every object, the arrays' `zarr.json` included, is to be sealed under the subject's key.
    """

    objects: tuple[tuple[str, bytes], ...]
    arrays: tuple[ArrayEntry, ...]
    entries: tuple[IndexEntry, ...]


def encode_subject(start_array: int, samples: Sequence[Sample], recipe: Recipe) -> Encoded:
    """Return the objects of one subject's samples; arrays are numbered from `start_array`.

    Samples keep their order among those of the same shape and dtype; entries keep the order of `samples`.
    Raises Invalid for samples of several subjects, or with a dtype that has no Zarr name here.
    """
    if len({sample.subject for sample in samples}) > 1:
        raise Invalid("the samples of several subjects cannot share a shard", "encode each subject by itself")
    groups: dict[tuple[tuple[int, ...], str], list[Sample]] = {}
    places: list[tuple[int, int]] = []
    numbers: dict[tuple[tuple[int, ...], str], int] = {}
    for sample in samples:
        form = (sample.image.shape, sample.image.dtype.name)
        group = groups.setdefault(form, [])
        places.append((numbers.setdefault(form, start_array + len(numbers)), len(group)))
        group.append(sample)
    objects: list[tuple[str, bytes]] = []
    arrays: list[ArrayEntry] = []
    for form, group in groups.items():
        number = numbers[form]
        layout = plan(len(group), *form, volume=recipe.kind == "volume")
        shards = list(_shards(layout, [sample.image for sample in group]))
        objects.append((metadata_name(number), array_metadata(layout, recipe.digest)))
        objects.extend((shard_name(number, at, len(layout.shape)), shard) for at, shard in enumerate(shards))
        arrays.append(ArrayEntry(number, group[0].subject, layout, tuple(map(len, shards))))
    entries = [
        IndexEntry(sample.key, array, position, sample.split, dict(sample.labels), sample.sources)
        for sample, (array, position) in zip(samples, places, strict=True)
    ]
    return Encoded(tuple(objects), tuple(arrays), tuple(entries))


def encode_shard(layout: ArrayLayout, images: Sequence[Pixels]) -> bytes:
    """Return one shard: the chunks of `images`, at most `layout.shard[0]` of them, in C order, then the index."""
    offset = 0
    parts: list[bytes] = []
    index = np.full((layout.shard[0], *layout.chunks_per_shard[1:], 2), MISSING, dtype="<u8")
    for number, image in enumerate(images):
        for at in product(*map(range, layout.chunks_per_shard[1:])):
            chunk = _encode_chunk(layout, image, at)
            if chunk is not None:
                index[(number, *at)] = (offset, len(chunk))
                parts.append(chunk)
                offset += len(chunk)
    parts.append(_with_crc(index.tobytes()))
    return b"".join(parts)


def _shards(layout: ArrayLayout, images: Sequence[Pixels]) -> Iterator[bytes]:
    step = layout.shard[0]
    for start in range(0, len(images), step):
        yield encode_shard(layout, images[start : start + step])


def _encode_chunk(layout: ArrayLayout, image: Pixels, at: tuple[int, ...]) -> bytes | None:
    """Return the chunk at these places of the chunk grid, padded with zeros; None when all its bytes are zero."""
    sides = layout.chunk[1:]
    block = image[tuple(slice(place * side, (place + 1) * side) for place, side in zip(at, sides, strict=True))]
    chunk = np.zeros(sides, dtype=layout.numpy_dtype)
    chunk[tuple(map(slice, block.shape))] = block
    if not chunk.reshape(-1).view(np.uint8).any():  # by bytes: -0.0 is stored
        return None
    size = layout.numpy_dtype.itemsize
    frame = imagecodecs.blosc_encode(
        # An array, whatever the stub says: the codec takes the type size from it and not from `typesize`.
        chunk,  # type: ignore[arg-type]
        level=5,
        compressor="lz4hc",
        shuffle="shuffle" if size > 1 else "noshuffle",
        typesize=size,
        blocksize=0,
        numthreads=1,
    )
    return _with_crc(bytes(frame))


def _with_crc(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(CRC_BYTES, "little")
