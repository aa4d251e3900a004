"""Shuffled slices through a lease, beside arrays in memory and beside zarr-python on the same shards, opened for it."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr

from bench.figures import Figure, compared, median_rate
from bench.images import write_series
from filmroom.loader.data import Data
from filmroom.loader.order import order
from filmroom.loader.zarr import ShardsetStore
from filmroom.wiring import init, open_room

COUNT = int(os.environ.get("FILMROOM_BENCH_INSTANCES", "400"))
BATCH = 16
RECIPE = 'name = "slices"\nversion = 1\nkind = "image"\n[[step]]\nop = "dtype"\ntype = "int16"\n'


def run(work: Path) -> Iterator[Figure]:
    source = work / "source"
    source.mkdir()
    write_series(source, COUNT)
    init(work / "room")
    with open_room(work / "room") as room:
        room.receive([source], "bench")
        room.project("bench", purpose="measure")
        room.deidentify("bench")
        room.freeze("bench", project="bench")
        built = room.build("bench@1", recipe=RECIPE)
        asked = room.acting_as("dana").request("bench@1", purpose="measure", days=1)
        room.acting_as("sam").approve(asked.id)
        lease = room.acting_as("dana").lease("bench@1").lease
        data = room.load("bench@1", lease=lease)
        yield Figure(what="stored size of raw", value=100 * built.bytes / built.raw_bytes, unit="%", target=55)
        memory = np.stack([data[number].image for number in range(len(data))])
        limit = Figure(what="arrays in memory", value=median_rate(COUNT, lambda: _memory(memory)), unit="samples/s")
        yield limit
        peer = Figure(what="zarr-python", value=_zarr(data), unit="samples/s")
        yield peer
        for threads in (1, 2):
            opened = room.load("bench@1", lease=lease, threads=threads)
            rate = median_rate(COUNT, lambda opened=opened: _drain(opened))
            yield compared(f"filmroom, sealed, {threads} threads", rate, "samples/s", peer)
            yield compared(f"filmroom, sealed, {threads} threads", rate, "samples/s", limit)


def _drain(data: Data) -> None:
    for batch in data.batches(BATCH, seed=1, epoch=0):
        batch.image[0, 0, 0]


def _memory(images: np.ndarray) -> None:
    """What nobody can beat: the same batches, each copied together in memory into one buffer that is there already."""
    picked = order(len(images), seed=1, epoch=0, snapshot="bench")
    batch = np.empty((BATCH, *images.shape[1:]), images.dtype)
    for start in range(0, len(images), BATCH):
        some = picked[start : start + BATCH]
        # Any mode but the default: that one would copy everything twice.
        np.take(images, some, axis=0, out=batch[: len(some)], mode="clip")
        batch[0, 0, 0]


def _zarr(data: Data) -> float:
    store = ShardsetStore(data._objects, data._prefix, data.index, data._release)
    group = zarr.open_group(store, mode="r", zarr_format=3)
    rows = [(int(row["array"]), int(row["position"])) for row in data.index.samples]
    arrays = {number: group[f"a/{number:05d}"] for number in {array for array, _ in rows}}
    picked = order(len(rows), seed=1, epoch=0, snapshot="bench")

    def read() -> None:
        for number in picked[: len(picked) // 2]:
            array, position = rows[int(number)]
            arrays[array][position]

    return median_rate(len(picked) // 2, read, rounds=1)
