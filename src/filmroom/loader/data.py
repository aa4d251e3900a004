"""A shardset as a training loop sees it: a sequence of items, and batches or patches in a reproducible order.

It needs an object store and a lease and nothing else of the room. Rules: the lease is asked before every item and every
batch is handed out, so that a revoked one stops the very next read; keys are asked for once a subject and kept in memory
only; what is handed out was checked (`shards.read`); the order is `loader.order`'s.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from filmroom.crypto.seal import context_of, open_sealed
from filmroom.errors import Corrupt, Invalid, KeyGone
from filmroom.ids import Zone
from filmroom.loader.order import order, philox, share
from filmroom.loader.stream import prefetch
from filmroom.ports import KeyRelease, Objects
from filmroom.shards.index import Index, Spot, decode_index
from filmroom.shards.layout import INDEX, ArrayLayout
from filmroom.shards.read import ShardReader

Pixels: TypeAlias = NDArray[np.generic]
Numbers: TypeAlias = NDArray[np.int64]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_OPEN_SHARDS = 4096
_STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Item:
    """One sample. A label that the sample lacks is None."""

    image: Pixels
    labels: Mapping[str, str | None]
    key: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples along axis 0. A label is an array of float64 (nan where absent) if all its values in the shardset are
    numbers, else of text ("" where absent)."""

    image: Pixels
    labels: Mapping[str, NDArray[np.generic]]
    keys: NDArray[np.str_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """One way through an epoch. `samples` holds positions in the split, in order; `corners` where patches begin."""

    seed: int
    epoch: int
    shuffle: bool
    samples: Numbers
    shape: tuple[int, ...]
    corners: Numbers | None


class Data:
    """The samples of one shardset, or of one split of it. Thread-safe, apart from its one resumable position.

    Every read raises LeaseEnded once the lease has ended, KeyGone for a subject that was erased, and Corrupt, naming the
    shard object and the sample, for damage.
    """

    def __init__(
        self, objects: Objects, prefix: str, index: Index, release: KeyRelease, *, split: str | None, threads: int
    ) -> None:
        self.split = split
        self.shardset = prefix.rpartition("/")[2]
        self.index = index
        self._objects = objects
        self._prefix = prefix
        self._release = release
        self._threads = threads
        self._rows = _rows(index, split)
        self._key_lock = threading.Lock()  # held while keys are fetched, which must not keep others from decoding
        self._keys: dict[int, bytes] = {}
        self._reader_lock = threading.Lock()
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._columns: dict[str, NDArray[np.generic]] = {}
        self._state: dict[str, int | str | bool | None] = self._position(0, 0, 0, True)
        self._resume: dict[str, int | str | bool | None] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Item:
        """Return the sample at `number`, in the order of the shardset. Raises IndexError outside the split."""
        row = self._row(number)
        self._release.check()
        [spot] = self.index.spots(np.array([row]))
        [reader] = self._readers_of([spot])
        form = self.index.forms[int(self.index.arrays["form"][spot.array])]
        image = np.empty(form.sample_shape, form.numpy_dtype)
        reader.read(spot.position, (0,) * image.ndim, image, sample=spot.key)
        return Item(image, self.index.labels(row), spot.key)

    def __iter__(self) -> Iterator[Item]:
        return (self[number] for number in range(len(self)))

    @cached_property
    def splits(self) -> dict[str, int]:
        """How many samples of the shardset lie in each split. A split whose images gave no sample is not named."""
        counts = np.bincount(self.index.samples["split"], minlength=len(self.index.splits))
        return dict(zip(self.index.splits, counts.tolist(), strict=True))

    def sources(self, number: int) -> tuple[tuple[str, int], ...]:
        """Return the (SOP Instance UID, frame number from 1) that the sample at `number` was made of."""
        return self.index.sources(self._row(number))

    def batches(
        self,
        size: int,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        copy: bool = False,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """Return an iterator over this rank's part of one epoch, in batches that hold `size` samples over all ranks.

        The order depends on the snapshot, `seed` and `epoch` only. `order.share` says how ranks divide a batch and what
        becomes of the last one. A batch's image is overwritten once the next batch is asked for: copy what is to be
        kept, or pass `copy`. After `load_state_dict` the first pass through that epoch begins where the state was taken.
        Raises Invalid at once for sizes that do not fit, and when samples differ in shape or dtype.
        """
        way = self._way(seed, epoch, shuffle, self._form())
        return self._run(way, size, (rank, world), copy=copy, drop_last=drop_last)

    def patches(
        self,
        shape: tuple[int, ...],
        size: int,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        copy: bool = False,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """Return an iterator over one random patch of every sample, in batches as `batches` makes them.

        `shape` is in voxels or pixels, one length per axis of a sample. Where a patch lies depends on snapshot, seed,
        epoch and sample only. Only the chunks that a patch touches are read. Raises Invalid at once when a sample is
        smaller than the patch.
        """
        extents = self._extents()
        if extents.shape[1] != len(shape) or min(shape, default=0) < 1 or bool(np.any(extents < np.array(shape))):
            raise Invalid(
                f"a patch of {'x'.join(map(str, shape))} does not fit into every sample",
                "ask for a smaller patch with one length per axis, or add a crop-or-pad step to the recipe",
            )
        draws = np.asarray(
            philox(self.index.snapshot, seed, epoch, "patches").random_raw(extents.size), dtype=np.uint64
        )
        room = (extents - np.array(shape) + 1).astype(np.uint64)
        way = self._way(seed, epoch, shuffle, tuple(shape))
        way = replace(way, corners=(draws.reshape(room.shape) % room).astype(np.int64))
        return self._run(way, size, (rank, world), copy=copy, drop_last=drop_last)

    def state_dict(self) -> dict[str, int | str | bool | None]:
        """Return where the latest pass is: the epoch and the global index of the first sample not handed out yet."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, int | str | bool | None]) -> None:
        """Let the next pass through the state's epoch begin where the state was taken, in any world size.

        Raises Invalid for a state of another shardset or split.
        """
        own = self._position(0, 0, 0, True)
        if any(type(state.get(name)) is not type(value) for name, value in own.items()) or any(
            state[name] != own[name] for name in ("version", "shardset", "split", "samples")
        ):
            raise Invalid(
                "this state is of another shardset or split",
                "open the shardset and split that the job was started with",
            )
        self._state, self._resume = dict(state), dict(state)

    def _position(self, seed: int, epoch: int, at: int, shuffle: bool) -> dict[str, int | str | bool | None]:
        return {
            "version": _STATE_VERSION,
            "shardset": self.shardset,
            "split": self.split,
            "samples": len(self),
            "seed": seed,
            "epoch": epoch,
            "shuffle": shuffle,
            "next": at,
        }

    def _row(self, number: int) -> int:
        return int(self._rows[number])

    @cached_property
    def _forms(self) -> dict[int, ArrayLayout]:
        """The forms that samples of the split have, by their number in the index."""
        used = np.flatnonzero(np.bincount(self.index.form_numbers(self._rows))).tolist()
        return {number: self.index.forms[number] for number in used}

    def _extents(self) -> Numbers:
        """Return the shape of every sample, one row each. Raises Invalid when they differ in number of axes or dtype."""
        kinds = {(len(form.sample_shape), form.dtype) for form in self._forms.values()}
        if len(kinds) > 1:
            raise self._mixed()
        axes = kinds.pop()[0] if kinds else 0
        table = np.zeros((len(self.index.forms), axes), dtype=np.int64)
        for number, form in self._forms.items():
            table[number] = form.sample_shape
        return np.asarray(table[self.index.form_numbers(self._rows)], dtype=np.int64)

    def _form(self) -> tuple[int, ...]:
        """Return the shape of every sample. Raises Invalid when they differ in it or in dtype."""
        kinds = {(form.sample_shape, form.dtype) for form in self._forms.values()}
        if len(kinds) > 1:
            raise self._mixed()
        return kinds.pop()[0] if kinds else ()

    def _mixed(self) -> Invalid:
        return Invalid(
            "samples differ in shape or dtype and cannot be stacked",
            "add a resize or crop-or-pad step (and a dtype step) to the recipe, or read items one by one",
        )

    def _way(self, seed: int, epoch: int, shuffle: bool, shape: tuple[int, ...]) -> _Pass:
        samples = order(len(self), seed=seed, epoch=epoch, shuffle=shuffle, snapshot=self.index.snapshot)
        return _Pass(seed=seed, epoch=epoch, shuffle=shuffle, samples=samples, shape=shape, corners=None)

    def _loaded(self, way: _Pass) -> Mapping[str, int | str | bool | None] | None:
        """Return the loaded state if it is of this epoch."""
        state = self._resume
        if state is None or state["epoch"] != way.epoch:
            return None
        if (state["seed"], state["shuffle"]) != (way.seed, way.shuffle):
            raise Invalid(
                "the loaded state was taken with another seed or shuffle", "pass what the job was started with"
            )
        return state

    def _run(self, way: _Pass, size: int, part: tuple[int, int], *, copy: bool, drop_last: bool) -> Iterator[Batch]:
        loaded = self._loaded(way)
        start = int(loaded["next"] or 0) if loaded else 0
        plan = share(way.samples, size, *part, start=start, drop_last=drop_last)
        if loaded:
            self._resume = None  # not before: what was refused above may be asked again in other words
        return self._hand_out(way, plan, start, (size, part[1]), copy=copy)

    def _hand_out(
        self, way: _Pass, plan: Iterator[Numbers], start: int, sizes: tuple[int, int], *, copy: bool
    ) -> Iterator[Batch]:
        size, world = sizes
        batches = -(-(len(way.samples) - start) // size)
        depth = min(max(6, 2 * self._threads), batches)
        dtype = next((form.numpy_dtype for form in self._forms.values()), np.dtype(np.float32))
        # Written once, so that no batch pays for the first touch of its pages.
        buffers = [np.full((size // world, *way.shape), 0, dtype) for _ in range(depth)]

        def fill(samples: Numbers, buffer: Pixels) -> Batch:
            return self._fill(way, samples, buffer)

        self._state = self._position(way.seed, way.epoch, start, way.shuffle)
        with closing(prefetch(plan, fill, buffers, self._threads)) as filled:
            for number, batch in enumerate(filled, start=1):
                self._release.check()  # in front of the hand-out and nowhere else: once a batch, and not while decoding
                at = min(start + number * size, len(way.samples))
                self._state = self._position(way.seed, way.epoch, at, way.shuffle)
                yield replace(batch, image=batch.image.copy()) if copy else batch

    def _fill(self, way: _Pass, samples: Numbers, buffer: Pixels) -> Batch:
        rows = self._rows[samples]
        spots = self.index.spots(rows)
        corners = repeat((0,) * len(way.shape)) if way.corners is None else map(tuple, way.corners[samples].tolist())
        for spot, reader, corner, image in zip(spots, self._readers_of(spots), corners, buffer, strict=False):
            reader.read(spot.position, corner, image, sample=spot.key)
        codes = self.index.samples["labels"][rows]
        labels = {name: self._column(name, at)[codes[:, at]] for at, name in enumerate(self.index.label_names)}
        return Batch(buffer[: len(rows)], labels, self.index.samples["key"][rows].astype(np.str_))

    def _fetch_keys(self, subjects: Iterable[int]) -> None:
        """Fetch the keys of subjects that were not opened before. Raises KeyGone when one has none any more."""
        asked = set(subjects)
        if asked <= self._keys.keys():
            return
        with self._key_lock:
            names = {subject: self.index.subjects[subject] for subject in sorted(asked - self._keys.keys())}
            keys = self._release.keys(list(names.values())) if names else {}
            if not all(name in keys for name in names.values()):
                raise KeyGone(
                    "the key of a patient in this shardset no longer exists", "build the snapshot's shardset again"
                )
            self._keys.update({subject: keys[name] for subject, name in names.items()})

    def _readers_of(self, spots: Sequence[Spot]) -> list[ShardReader]:
        """Return the reader of each spot's shard; the ones used last stay open."""
        self._fetch_keys(spot.subject for spot in spots)
        with self._reader_lock:
            readers = [self._reader(spot) for spot in spots]
            while len(self._readers) > _OPEN_SHARDS:
                self._readers.popitem(last=False)
        return readers

    def _reader(self, spot: Spot) -> ShardReader:
        reader = self._readers.pop(spot.object, None)
        if reader is None:
            shard = self.index.shard(spot.array, spot.shard)
            name, key = f"{self._prefix}/{shard.name}", self._keys[shard.subject]
            reader = ShardReader(self._objects, name, shard.layout, key, shard.plain_size)
        self._readers[spot.object] = reader
        return reader

    def _column(self, name: str, at: int) -> NDArray[np.generic]:
        """Return the label's values by code; code -1, no value, finds the last one."""
        column = self._columns.get(name)
        if column is None:
            pool = self.index.label_values[at]
            values = [pool[code] for code in range(len(pool))]
            numeric = all(map(_NUMBER.match, values))
            column = np.array([*map(float, values), np.nan]) if numeric else np.array([*values, ""], dtype=np.str_)
            self._columns[name] = column
        return column


def open_data(
    objects: Objects, prefix: str, release: KeyRelease, *, split: str | None = None, threads: int = 2
) -> Data:
    """Open the shardset whose objects lie below `prefix`, `shardsets/<hex>`; `split` None means all of it.

    The index is sealed under the subject `shardset/<hex>`. Raises Invalid for an unknown split or fewer than one thread,
    NotFound without a shardset, Corrupt for a damaged index, and LeaseEnded without a lease.
    """
    if threads < 1:
        raise Invalid("a loader needs at least one thread", "pass threads=1 or more")
    subject = f"shardset/{prefix.rpartition('/')[2]}"
    release.check()
    key = release.keys([subject]).get(subject)
    if key is None:
        raise KeyGone("the key of this shardset no longer exists", "build the snapshot's shardset again")
    name = f"{prefix}/{INDEX}"
    try:
        document = open_sealed(key, context_of(Zone.RESEARCH, name), objects.get(name))
    except KeyGone:
        raise Corrupt("the index of this shardset does not open with its key", "restore it from a copy") from None
    return Data(objects, prefix, decode_index(document), release, split=split, threads=threads)


def _rows(index: Index, split: str | None) -> Numbers:
    if split is None:
        return np.arange(len(index), dtype=np.int64)
    if split not in index.splits:
        raise Invalid(
            f"there is no sample in split {split!r}", f"choose among {', '.join(sorted(index.splits)) or 'none'}"
        )
    return np.flatnonzero(index.samples["split"] == index.splits.index(split)).astype(np.int64)
