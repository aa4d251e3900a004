"""A training loop reads a sealed shardset: same samples whatever the threads, resumable, and only under a lease."""

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from filmroom.crypto.seal import context_of, seal
from filmroom.errors import Corrupt, Invalid, KeyGone, LeaseEnded, NotFound, Refused
from filmroom.ids import Digest, Zone
from filmroom.loader.data import Batch, Data, open_data
from filmroom.loader.stream import prefetch
from filmroom.shards.index import encode_index
from filmroom.shards.write import Encoded, encode_subject

PREFIX = "shardsets/0a"
OWN = "shardset/0a"
RECIPE = Digest.of(b"recipe")
Pixels = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Sample:
    key: str
    subject: str
    image: Pixels
    sources: tuple[tuple[str, int], ...]
    split: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Recipe:
    kind: str
    digest: Digest = RECIPE


@dataclass(slots=True)
class Memory:
    objects: dict[str, bytes] = field(default_factory=dict)
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
        return iter(list(self.objects))


@dataclass(slots=True)
class Lease:
    """A key release that can be revoked, and that writes down what it was asked for."""

    subjects: set[str]
    revoked: bool = False
    asked: list[str] = field(default_factory=list)
    checked: int = 0

    def check(self) -> None:
        self.checked += 1
        if self.revoked:
            raise LeaseEnded("the lease was revoked", "ask for another")

    def keys(self, subjects: Iterable[str]) -> dict[str, bytes]:
        self.check()
        wanted = list(subjects)
        self.asked += wanted
        return {name: key_of(name) for name in wanted if name in self.subjects}


def key_of(subject: str) -> bytes:
    return bytes.fromhex(Digest.of(subject.encode()).hex)


def sample(number: int, shape: tuple[int, ...] = (6, 5), dtype: str = "int16") -> Sample:
    draw = np.random.Generator(np.random.Philox(number))
    labels = {"age": str(20 + number)} | ({"side": "LR"[number % 2]} if number % 3 else {})
    return Sample(
        key=f"{number:064x}",
        subject=f"P-{number // 4}",
        image=(draw.random(shape) * 1000).astype(dtype),
        sources=((f"1.2.{number}", 1),),
        split="test" if number // 4 == 1 else "train",
        labels=labels,
    )


@dataclass(slots=True)
class Room:
    store: Memory
    lease: Lease
    samples: list[Sample]

    def open(self, split: str | None = None, threads: int = 2) -> Data:
        return open_data(self.store, PREFIX, self.lease, split=split, threads=threads)


def build(samples: list[Sample], kind: str = "image") -> Room:
    store, encoded, start = Memory(), list[Encoded](), 0
    subjects = sorted({item.subject for item in samples})
    for subject in subjects:
        part = encode_subject(start, [item for item in samples if item.subject == subject], Recipe(kind))
        start += len(part.arrays)
        for name, data in part.objects:
            full = f"{PREFIX}/{name}"
            store.put(full, seal(key_of(subject), context_of(Zone.RESEARCH, full), data))
        encoded.append(part)
    arrays = [array for part in encoded for array in part.arrays]
    entries = [entry for part in encoded for entry in part.entries]
    index = encode_index(arrays, entries, recipe=RECIPE, snapshot="sha256:01")
    store.put(f"{PREFIX}/index", seal(key_of(OWN), context_of(Zone.RESEARCH, f"{PREFIX}/index"), index))
    return Room(store, Lease({OWN, *subjects}), samples)


@pytest.fixture
def room() -> Room:
    return build([sample(number) for number in range(23)])


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("filmroom-loader")]


def keys(batches: Iterable[Batch]) -> list[list[str]]:
    return [batch.keys.tolist() for batch in batches]


def test_every_item_is_the_sample_that_was_built(room: Room) -> None:
    data = room.open()
    assert len(data) == 23
    for item, built in zip(data, room.samples, strict=True):
        np.testing.assert_array_equal(item.image, built.image)
        assert (item.key, item.labels["age"]) == (built.key, built.labels["age"])
    assert data[-1].key == room.samples[-1].key
    assert data.sources(3) == (("1.2.3", 1),)
    with pytest.raises(IndexError):
        data[23]


def test_a_split_is_only_its_samples(room: Room) -> None:
    data = room.open("test")
    assert data.split == "test"
    assert data.splits == {"train": 19, "test": 4}
    assert [item.key for item in data] == [built.key for built in room.samples if built.split == "test"]
    with pytest.raises(Invalid, match="train"):
        room.open("valid")


def test_batches_hold_the_right_pixels_and_labels(room: Room) -> None:
    built = {item.key: item for item in room.samples}
    seen = 0
    for batch in room.open().batches(4):
        for number, key in enumerate(batch.keys.tolist()):
            np.testing.assert_array_equal(batch.image[number], built[key].image)
            assert batch.labels["age"][number] == float(built[key].labels["age"])
            assert batch.labels["side"][number] == built[key].labels.get("side", "")
            seen += 1
    assert seen == 23
    assert batch.image.shape == (3, 6, 5)


def test_threads_do_not_change_what_comes_or_when(room: Room) -> None:
    one, two, eight = (
        [(batch.keys.tolist(), batch.image.tobytes()) for batch in room.open(threads=threads).batches(3, seed=5)]
        for threads in (1, 2, 8)
    )
    assert one == two == eight


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_ranks_together_see_every_sample_once(room: Room, world: int) -> None:
    parts = [keys(room.open().batches(24, rank=rank, world=world)) for rank in range(world)]
    assert sorted(key for part in parts for batch in part for key in batch) == [item.key for item in room.samples]


def test_a_batch_is_overwritten_by_a_later_one_unless_copied(room: Room) -> None:
    borrowed = [batch.image for batch in room.open().batches(1)]
    owned = [batch.image for batch in room.open().batches(1, copy=True)]
    assert any(not np.array_equal(*pair) for pair in zip(borrowed, owned, strict=True))
    whole = {item.key: item.image for item in room.samples}
    for key, image in zip(keys(room.open().batches(1)), owned, strict=True):
        np.testing.assert_array_equal(image[0], whole[key[0]])


def test_a_job_resumes_mid_epoch_twice_and_in_another_world_size(room: Room) -> None:
    whole = keys(room.open().batches(4, seed=9, epoch=2))
    seen: list[list[str]] = []
    state = None
    for steps in (2, 1):
        data = room.open()
        if state:
            data.load_state_dict(state)
        stream = data.batches(4, seed=9, epoch=2)
        seen += keys(islice(stream, steps))
        state = data.state_dict()
        del stream
    assert state is not None
    assert state["next"] == 12
    ranks = []
    for rank in (0, 1):
        data = room.open()
        data.load_state_dict(state)
        ranks.append(keys(data.batches(4, seed=9, epoch=2, rank=rank, world=2)))
        assert keys(data.batches(4, seed=9, epoch=3)) == keys(room.open().batches(4, seed=9, epoch=3))
    assert seen == whole[:3]
    assert [sorted(one + two) for one, two in zip(*ranks, strict=True)] == [sorted(batch) for batch in whole[3:]]


def test_a_call_that_was_refused_does_not_lose_the_place_to_resume_at(room: Room) -> None:
    whole = keys(room.open().batches(4, seed=9, epoch=2))
    started = room.open()
    stream = started.batches(4, seed=9, epoch=2)
    next(stream)
    data = room.open()
    data.load_state_dict(started.state_dict())
    wrongs: list[dict[str, Any]] = [
        {"size": 0},
        {"size": 3, "world": 2},
        {"size": 4, "rank": 1},
        {"size": 4, "seed": 8},
    ]
    for wrong in wrongs:
        with pytest.raises(Invalid):
            data.batches(**{"seed": 9, "epoch": 2, **wrong})
    assert keys(data.batches(4, seed=9, epoch=2)) == whole[1:]


def test_a_state_of_other_data_is_refused(room: Room) -> None:
    data = room.open()
    with pytest.raises(Invalid):
        room.open("test").load_state_dict(data.state_dict())
    with pytest.raises(Invalid):
        data.load_state_dict({})
    data.load_state_dict(data.state_dict())
    with pytest.raises(Invalid):
        data.batches(4, seed=1)


def test_a_revoked_lease_stops_the_very_next_read(room: Room) -> None:
    data = room.open()
    data[0]
    batches = data.batches(2)
    next(batches)
    room.lease.revoked = True
    with pytest.raises(LeaseEnded):
        next(batches)
    with pytest.raises(LeaseEnded):
        data[0]
    with pytest.raises(LeaseEnded):
        room.open()


def test_the_lease_is_asked_once_a_batch_and_once_an_item(room: Room) -> None:
    data = room.open()
    keys(data.batches(5))  # every key is known from here on
    before = room.lease.checked
    keys(data.batches(5))
    assert room.lease.checked == before + 5
    data[3]
    assert room.lease.checked == before + 6


def test_each_subjects_key_is_asked_for_once(room: Room) -> None:
    data = room.open(threads=8)
    for _ in range(2):
        keys(data.batches(5))
    assert sorted(room.lease.asked) == sorted(room.lease.subjects)


def test_an_erased_subject_is_an_error_and_the_others_are_not(room: Room) -> None:
    room.lease.subjects.remove("P-0")
    data = room.open()
    with pytest.raises(KeyGone):
        data[0]
    assert data[4].key == room.samples[4].key


def test_damage_reaches_the_consumer_and_says_where(room: Room) -> None:
    name = f"{PREFIX}/a/00002/c/0/0/0"
    damaged = bytearray(room.store.objects[name])
    damaged[100] ^= 1
    room.store.put(name, damaged)
    with pytest.raises(Corrupt, match=name):
        keys(room.open().batches(4))


def test_a_damaged_index_is_refused_at_opening(room: Room) -> None:
    whole = room.store.objects[f"{PREFIX}/index"]
    for at in (0, 60, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        room.store.put(f"{PREFIX}/index", damaged)
        with pytest.raises(Corrupt):
            room.open()


def test_leaving_early_leaves_no_thread(room: Room) -> None:
    for _ in room.open(threads=8).batches(1):
        break
    stream = room.open(threads=8).batches(1)
    next(stream)
    del stream  # the fixture looks for threads


def test_different_shapes_cannot_be_stacked_but_read_one_by_one() -> None:
    room = build([sample(0, (4, 4)), sample(1, (4, 5))])
    data = room.open()
    with pytest.raises(Invalid, match="resize"):
        data.batches(2)
    assert [item.image.shape for item in data] == [(4, 4), (4, 5)]
    assert next(data.patches((2, 2), 2)).image.shape == (2, 2, 2)


def test_a_shape_that_only_another_split_has_is_in_nobodys_way() -> None:
    room = build([*(sample(number, (4, 4)) for number in range(4)), *(sample(number, (4, 5)) for number in (4, 5))])
    assert next(room.open("train").batches(2)).image.shape == (2, 4, 4)
    assert next(room.open("test").batches(2)).image.shape == (2, 4, 5)
    with pytest.raises(Invalid, match="resize"):
        room.open().batches(2)


def test_patches_are_parts_of_their_volumes_and_the_same_every_time() -> None:
    room = build([sample(number, (40, 36, 50 + number), "uint8") for number in range(5)], "volume")
    whole = {item.key: item.image for item in room.samples}
    first = [(batch.keys.tolist(), batch.image.copy()) for batch in room.open().patches((33, 8, 8), 2, seed=1)]
    again = [(batch.keys.tolist(), batch.image.copy()) for batch in room.open(threads=8).patches((33, 8, 8), 2, seed=1)]
    for (names, image), (names_again, image_again) in zip(first, again, strict=True):
        assert names == names_again
        np.testing.assert_array_equal(image, image_again)
        for key, patch in zip(names, image, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(whole[key], (33, 8, 8))
            assert (windows == patch).all(axis=(3, 4, 5)).any()
    other = [batch.image.copy() for batch in room.open().patches((33, 8, 8), 2, seed=1, epoch=1)]
    assert any(not np.array_equal(*pair) for pair in zip((image for _, image in first), other, strict=True))


def test_patches_can_be_kept_in_order_and_whole_batches_only() -> None:
    room = build([sample(number, (6, 6)) for number in range(5)])
    made = list(room.open().patches((2, 2), 2, shuffle=False, copy=True, drop_last=True))
    assert keys(made) == [[item.key for item in room.samples[at : at + 2]] for at in (0, 2)]
    assert len({batch.image.ctypes.data for batch in made}) == 2


@pytest.mark.parametrize("shape", [(41, 8, 8), (8, 8), (8, 0, 8)])
def test_a_patch_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Invalid):
        build([sample(0, (40, 36, 50))], "volume").open().patches(shape, 1)


def test_a_slow_first_batch_and_one_buffer_do_not_deadlock() -> None:
    gate = threading.Event()

    def fill(work: int, buffer: list[int]) -> int:
        if work == 0:
            assert gate.wait(30), "nobody else came to work"
        elif work == 3:
            gate.set()
        return work

    assert list(prefetch(iter(range(20)), fill, [[], [], [], []], 4)) == list(range(20))
    gate.set()
    assert list(prefetch(iter(range(20)), fill, [[]], 4)) == list(range(20))


def test_an_error_comes_where_its_batch_would_have_come() -> None:
    def fill(work: int, _: None) -> int:
        if work == 2:
            raise Corrupt("damage")
        return work

    stream = prefetch(iter(range(9)), fill, [None] * 4, 4)
    assert list(islice(stream, 2)) == [0, 1]
    with pytest.raises(Corrupt):
        next(stream)


def test_the_loader_needs_none_of_the_room() -> None:
    heavy = "torch", "pydicom", "sqlalchemy", "SimpleITK", "zarr", "typer"
    code = "import sys, filmroom.loader.data; print(*[m for m in sys.argv[1:] if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_a_sealed_shardset_opens_as_a_zarr_store_under_the_lease(room: Room) -> None:
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    from filmroom.loader.zarr import ShardsetStore

    store = ShardsetStore(room.store, PREFIX, room.open().index, room.lease)
    group = zarr.open_group(store, mode="r")
    assert sorted(dict(group.members())) == ["a"]
    for array, at in ((0, 0), (5, 20)):
        found = np.asarray(group[f"a/{array:05d}"][:])
        np.testing.assert_array_equal(found, np.stack([item.image for item in room.samples[at : at + 4]]))
    with pytest.raises(Refused):
        group["a/00000"][:] = 1
    room.lease.revoked = True
    with pytest.raises(LeaseEnded):
        np.asarray(group["a/00001"][:])


def test_the_torch_loader_goes_through_epochs_and_resumes_in_the_middle_of_one(room: Room) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra `torch`)")
    from filmroom.loader.torch import Loader

    loader = Loader(room.open(), 4, seed=9, epoch=1, drop_last=True)
    epochs = [[batch.keys for batch in loader] for _ in range(2)]
    wanted = [keys(room.open().batches(4, seed=9, epoch=epoch, drop_last=True)) for epoch in (1, 2)]
    assert epochs == wanted
    broken_off = Loader(room.open(), 4, seed=9, epoch=2)
    next(iter(broken_off))
    resumed = Loader(room.open(), 4, seed=9)
    resumed.load_state_dict(broken_off.state_dict())
    assert [batch.keys for batch in resumed] == keys(room.open().batches(4, seed=9, epoch=2))[1:]
    refused = Loader(room.open(), 3, world=2)
    with pytest.raises(Invalid):
        iter(refused)
    assert refused.epoch == 0


def test_the_torch_loader_hands_out_patches(room: Room) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra `torch`)")
    from filmroom.loader.torch import Loader

    wanted = [batch.image.tobytes() for batch in room.open().patches((3, 2), 4, seed=1)]
    made = [batch.image.numpy().tobytes() for batch in Loader(room.open(), 4, seed=1, patch=(3, 2))]
    assert made == wanted


def test_the_torch_loader_pins_memory_where_there_is_a_device_for_it(room: Room) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra `torch`)")
    from filmroom.loader.torch import Loader

    if not torch.cuda.is_available():
        with pytest.raises(Invalid, match="CUDA"):
            Loader(room.open(), 4, pin=True)
        return
    batches = list(Loader(room.open(), 4, pin=True))
    assert all(batch.image.is_pinned() for batch in batches)
    assert len({batch.image.data_ptr() for batch in batches}) == len(batches)
