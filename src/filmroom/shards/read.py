"""Samples out of shard objects, straight into memory that the caller owns.

It asks for ranges of one object, plain or sealed, and decodes; it knows nothing of leases, order or labels. Rules: every
chunk's checksum and every size is checked before a pixel is handed on, so that damage is an error that names object and
sample, never a wrong pixel; only the chunks that a region touches are read; decoding is one thread without the GIL.
"""

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import google_crc32c
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from filmroom.crypto.seal import HEADER, RangeReader, context_of
from filmroom.errors import Corrupt, KeyGone, NotFound
from filmroom.ids import Zone
from filmroom.ports import Objects
from filmroom.shards.layout import CRC_BYTES, MISSING, ArrayLayout

_GAP_BYTES = 64 * 1024
"""Two chunks that lie closer than this are read with one request."""

_BLOSC_HEADER = struct.Struct("<BBBBIII")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One chunk of a region: its extent in the shard, and where it overlaps (per axis) the region and itself."""

    offset: int
    length: int
    target: tuple[slice, ...]
    source: tuple[slice, ...]


class PlainRanges:
    """Ranges of one object's plaintext. Thread-safe; a sealed object's header is read when it is made.

    `key` None is for an object that is not sealed. Damage raises Corrupt.
    """

    __slots__ = ("_name", "_objects", "_plain_size", "_seal")

    def __init__(self, objects: Objects, name: str, key: bytes | None, plain_size: int) -> None:
        self._objects = objects
        self._name = name
        self._plain_size = plain_size
        self._seal: RangeReader | None = None
        if key is not None:
            try:
                self._seal = RangeReader(key, context_of(Zone.RESEARCH, name), self._stored(0, HEADER))
            except KeyGone:
                raise _damaged("the shard does not open with its subject's key") from None

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly these bytes."""
        if self._seal is None:
            return self._stored(offset, length)
        start, stop = self._seal.ciphertext_range(offset, length, self._plain_size)
        return self._seal.open(self._stored(start, stop - start), offset, length)

    def _stored(self, start: int, length: int) -> bytes:
        try:
            stored = self._objects.get_range(self._name, start, length)
        except NotFound:
            raise _damaged("the shard is not there") from None
        if len(stored) != length:
            raise _damaged("the shard is cut short")
        return stored


@dataclass(frozen=True, slots=True)
class _Opened:
    index: NDArray[np.uint64]
    ranges: PlainRanges


class ShardReader:
    """Reads one shard object. Thread-safe; the object is opened, and its index read, once, by the first reader.

    `name` is the full name in `objects`; `key` is the subject's, None for a plain object; `plain_size` is vouched for
    by the shardset's index. Damage raises Corrupt.
    """

    __slots__ = ("_key", "_layout", "_lock", "_name", "_objects", "_opened", "_plain_size")

    def __init__(self, objects: Objects, name: str, layout: ArrayLayout, key: bytes | None, plain_size: int) -> None:
        self._objects = objects
        self._name = name
        self._layout = layout
        self._key = key
        self._plain_size = plain_size
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    def read(self, position: int, start: tuple[int, ...], out: NDArray[np.generic], *, sample: str) -> None:
        """Fill `out` with the region of the sample at `position` in this shard that begins at `start`.

        `out` has the array's dtype and as many axes as a sample; the region lies within the sample, which the caller
        makes sure of. `sample` is the key that an error names.
        """
        assert out.dtype == self._layout.numpy_dtype and out.ndim == len(self._layout.sample_shape)
        try:
            opened = self._open()
            for chunk, stored in self._fetch(opened, position, start, out.shape):
                if stored is None:
                    out[chunk.target] = 0
                else:
                    self._decode(stored, chunk, out)
        except Corrupt as damage:
            raise Corrupt(f"{self._name}, sample {sample}: {damage.what}", damage.next_step) from damage

    def _open(self) -> _Opened:
        opened = self._opened
        if opened is None:
            with self._lock:
                opened = self._opened
                if opened is None:
                    opened = self._opened = self._read_index()
        return opened

    def _read_index(self) -> _Opened:
        size = self._layout.index_bytes
        if self._plain_size < size:
            raise _damaged("the shard is too short for its index")
        ranges = PlainRanges(self._objects, self._name, self._key, self._plain_size)
        stored = ranges.read(self._plain_size - size, size)
        index = np.frombuffer(_checked(stored), dtype="<u8").reshape(*self._layout.chunks_per_shard, 2)
        return _Opened(index, ranges)

    def _fetch(
        self, opened: _Opened, position: int, start: tuple[int, ...], shape: tuple[int, ...]
    ) -> Iterator[tuple[_Chunk, bytes | None]]:
        """Yield each chunk of the region with its stored bytes; None for one that is all fill value."""
        chunks = sorted(self._chunks(opened, position, start, shape), key=lambda chunk: chunk.offset)
        stored = [chunk for chunk in chunks if chunk.offset != MISSING]
        for chunk in chunks[len(stored) :]:
            yield chunk, None
        for run in _runs(stored):
            begin = run[0].offset
            block = opened.ranges.read(begin, max(chunk.offset + chunk.length for chunk in run) - begin)
            for chunk in run:
                yield chunk, block[chunk.offset - begin : chunk.offset - begin + chunk.length]

    def _chunks(
        self, opened: _Opened, position: int, start: tuple[int, ...], shape: tuple[int, ...]
    ) -> Iterator[_Chunk]:
        sides = self._layout.chunk[1:]
        end = self._plain_size - self._layout.index_bytes
        touched = (
            range(first // side, (first + length - 1) // side + 1)
            for first, length, side in zip(start, shape, sides, strict=True)
        )
        for at in product(*touched):
            offset, length = map(int, opened.index[(position, *at)])
            missing = offset == MISSING and length == MISSING
            if not missing and (length <= CRC_BYTES + _BLOSC_HEADER.size or offset + length > end):
                raise _damaged("the shard's index points outside the shard")
            target, source = [], []
            for place, side, first, wanted in zip(at, sides, start, shape, strict=True):
                origin = place * side - first
                low, high = max(origin, 0), min(origin + side, wanted)
                target.append(slice(low, high))
                source.append(slice(low - origin, high - origin))
            yield _Chunk(offset, length, tuple(target), tuple(source))

    def _decode(self, stored: bytes, chunk: _Chunk, out: NDArray[np.generic]) -> None:
        sides = self._layout.chunk[1:]
        frame = _checked(stored)
        self._check_frame(frame)
        target = out[chunk.target]
        whole = target.shape == sides and target.flags.c_contiguous and target.flags.writeable
        memory = target if whole else np.empty(sides, dtype=out.dtype)
        try:
            imagecodecs.blosc_decode(frame, numthreads=1, out=memory.reshape(-1).view(np.uint8).data)
        except imagecodecs.BloscError:
            raise _damaged("a chunk does not decode") from None
        if not whole:
            out[chunk.target] = memory[chunk.source]

    def _check_frame(self, frame: bytes) -> None:
        """Compare the sizes in the blosc header with what the chunk must be, before anything is decoded into memory."""
        _, _, _, item, plain, block, packed = _BLOSC_HEADER.unpack_from(frame)
        size = self._layout.numpy_dtype.itemsize
        if plain != self._layout.chunk_bytes or packed != len(frame) or block > plain or item != size:
            raise _damaged("a chunk's sizes are not those of the array")


def _runs(chunks: list[_Chunk]) -> Iterator[list[_Chunk]]:
    """Group chunks, sorted by offset, so that each group is read with one request."""
    run: list[_Chunk] = []
    for chunk in chunks:
        if run and chunk.offset - (run[-1].offset + run[-1].length) > _GAP_BYTES:
            yield run
            run = []
        run.append(chunk)
    if run:
        yield run


def _checked(stored: bytes) -> bytes:
    data = stored[:-CRC_BYTES]
    if google_crc32c.value(data) != int.from_bytes(stored[-CRC_BYTES:], "little"):
        raise _damaged("a checksum does not match")
    return data


def _damaged(what: str) -> Corrupt:
    return Corrupt(what, "run `filmroom verify` on the snapshot and restore or rebuild the shardset")
