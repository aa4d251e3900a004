"""A sealed shardset as a read-only Zarr store, for whatever reads Zarr. Needs the `zarr` package, which the core does not.

It opens sealed shards by range and hands their plaintext to Zarr; metadata documents come from the authenticated index.
Rules: the lease is asked before every read; nothing can be written; it is for convenience, `loader.data` is for speed.
"""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterable, Iterator

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from filmroom.errors import KeyGone, Refused
from filmroom.ids import Digest
from filmroom.ports import KeyRelease, Objects
from filmroom.shards.index import Index
from filmroom.shards.layout import GROUPS, array_metadata, group_metadata, metadata_name
from filmroom.shards.read import PlainRanges

_METADATA = re.compile(r"a/(\d{5,})/zarr\.json\Z", re.ASCII)
_SHARD = re.compile(r"a/(\d{5,})/c/(\d+)(?:/0)+\Z", re.ASCII)


class ShardsetStore(Store):
    """The arrays `a/00000`, `a/00001`, ... of a shardset. Every read raises LeaseEnded once the lease has ended."""

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, objects: Objects, prefix: str, index: Index, release: KeyRelease) -> None:
        super().__init__(read_only=True)
        self._objects = objects
        self._prefix = prefix
        self._index = index
        self._release = release
        self._lock = threading.Lock()
        self._keys: dict[str, bytes] = {}

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = Store.__hash__

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        data = await asyncio.to_thread(self._read, key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return key in set(self._names())

    async def set(self, key: str, value: Buffer) -> None:
        raise _read_only()

    async def delete(self, key: str) -> None:
        raise _read_only()

    async def list(self) -> AsyncIterator[str]:
        for name in self._names():
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for name in self._names():
            if name.startswith(prefix):
                yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in dict.fromkeys(
            name[len(folder) :].partition("/")[0] for name in self._names() if name.startswith(folder)
        ):
            yield name

    def _names(self) -> Iterator[str]:
        yield from GROUPS
        for array in range(len(self._index.arrays)):
            yield metadata_name(array)
            for shard in range(self._index.layout(array).shards):
                yield self._index.shard(array, shard).name

    def _read(self, name: str, wanted: ByteRequest | None) -> bytes | None:
        self._release.check()
        recipe = Digest.parse(self._index.recipe)
        if name in GROUPS:
            return _part(group_metadata(recipe), wanted)
        if (found := _METADATA.match(name)) and int(found[1]) < len(self._index.arrays):
            return _part(array_metadata(self._index.layout(int(found[1])), recipe), wanted)
        found = _SHARD.match(name)
        if found is None or int(found[1]) >= len(self._index.arrays):
            return None
        array, shard = int(found[1]), int(found[2])
        if shard >= self._index.layout(array).shards:
            return None
        place = self._index.shard(array, shard)
        if place.name != name:
            return None
        key = self._key(self._index.subjects[place.subject])
        ranges = PlainRanges(self._objects, f"{self._prefix}/{name}", key, place.plain_size)
        start, stop = _bounds(wanted, place.plain_size)
        return ranges.read(start, stop - start)

    def _key(self, subject: str) -> bytes:
        with self._lock:
            if subject not in self._keys:
                keys = self._release.keys([subject])
                if subject not in keys:
                    raise KeyGone("the key of a patient in this shardset no longer exists", "build it again")
                self._keys[subject] = keys[subject]
            return self._keys[subject]


def _part(document: bytes, wanted: ByteRequest | None) -> bytes:
    start, stop = _bounds(wanted, len(document))
    return document[start:stop]


def _bounds(wanted: ByteRequest | None, size: int) -> tuple[int, int]:
    match wanted:
        case None:
            return 0, size
        case RangeByteRequest():
            return min(wanted.start, size), min(wanted.end, size)
        case OffsetByteRequest():
            return min(wanted.offset, size), size
        case SuffixByteRequest():
            return max(0, size - wanted.suffix), size


def _read_only() -> Refused:
    return Refused("a shardset cannot be written through this store", "build another shardset")
