"""The index of a whole shardset: which sample lies where, with its split, labels and sources.

The document is a magic number, a JSON header and tables of fixed-width records that are used where they lie: opening the
index of a million samples makes no object per sample. Texts (subjects, UIDs, label values) are pools: offsets and UTF-8.
It holds pseudonyms and labels, so it is sealed under the shardset's own key. Rules: a checksum covers every byte; every
number is checked against the table it points into; another version is refused.
Layout, little-endian: 16 bytes magic, 8 bytes header length, header, then each table at the offset that the header states
(a multiple of 64), then CRC-32C of everything before.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from filmroom.canon import canonical
from filmroom.errors import Corrupt, FilmroomError, Invalid
from filmroom.ids import Digest
from filmroom.shards.layout import ArrayLayout, check, shard_name

VERSION = 1

_MAGIC = b"filmroom-index\r\n"
_ALIGN = 64
_CRC_BYTES = 4
_NO_VALUE = -1

Table: TypeAlias = NDArray[np.void]
Scalar = TypeVar("Scalar", bound=np.generic)

_U8: np.dtype[np.uint64] = np.dtype("<u8")
_ARRAYS = np.dtype(
    [("form", "<u4"), ("subject", "<u4"), ("count", "<u4"), ("per_shard", "<u4"), ("first_object", "<u8")]
)
_SOURCES = np.dtype([("uid", "<u4"), ("frame", "<u4")])


def _samples_dtype(labels: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("key", "S64"),
            ("array", "<u4"),
            ("position", "<u4"),
            ("split", "<u4"),
            ("source_count", "<u4"),
            ("first_source", "<u8"),
            ("labels", "<i4", (labels,)),
        ]
    )


@dataclass(frozen=True, slots=True)
class ArrayEntry:
    """One array: its number, whose samples it holds, how it lies, and the plain size of each of its shards in bytes."""

    number: int
    subject: str
    layout: ArrayLayout
    shard_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One sample: its key (64 hex), its place, and what is known of it. A source is (SOP Instance UID, frame from 1)."""

    key: str
    array: int
    position: int
    split: str
    labels: Mapping[str, str]
    sources: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """A read-only list of texts that lies in two arrays."""

    ends: NDArray[np.uint64]
    text: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> str:
        start = int(self.ends[number - 1]) if number else 0
        return self.text[start : int(self.ends[number])].tobytes().decode()


class Spot(NamedTuple):
    """Where a sample lies: the number of its shard object among all, which shard of which array that is, the place in
    it, and whose it is. A tuple, because there is one for every sample that is read."""

    object: int
    array: int
    shard: int
    position: int
    subject: int
    key: str


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard object: its name below the prefix, its plain size in bytes, its array's layout, and whose it is."""

    name: str
    plain_size: int
    layout: ArrayLayout
    subject: int


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """A decoded index. Tables are read-only views of the document; numbers in them were checked.

    `samples` has the fields key, array, position, split, first_source, source_count and labels (a code per label name,
    -1 where a sample has no such label).
    """

    recipe: str
    snapshot: str
    splits: tuple[str, ...]
    label_names: tuple[str, ...]
    forms: tuple[ArrayLayout, ...]
    samples: Table
    arrays: Table
    object_bytes: NDArray[np.uint64]
    subjects: Pool
    label_values: tuple[Pool, ...]
    uids: Pool
    source_table: Table

    def __len__(self) -> int:
        return len(self.samples)

    def key(self, sample: int) -> str:
        return bytes(self.samples["key"][sample]).decode()

    def spots(self, samples: NDArray[np.int64]) -> list[Spot]:
        """Return where each of the samples lies, in their order."""
        records = self.samples[samples]
        arrays = self.arrays[records["array"]]
        shards, positions = np.divmod(records["position"], arrays["per_shard"])
        objects = arrays["first_object"] + shards
        columns = (objects, records["array"], shards, positions, arrays["subject"], records["key"])
        return [
            Spot(object, array, shard, position, subject, key.decode())
            for object, array, shard, position, subject, key in zip(*(each.tolist() for each in columns), strict=True)
        ]

    def form_numbers(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the place in `forms` of each sample's form."""
        return np.asarray(self.arrays["form"][self.samples["array"][samples]], dtype=np.int64)

    def layout(self, array: int) -> ArrayLayout:
        record = self.arrays[array]
        form = self.forms[int(record["form"])]
        shape = (int(record["count"]), *form.sample_shape)
        return ArrayLayout(shape, form.chunk, (int(record["per_shard"]), *form.shard[1:]), form.dtype)

    def shard(self, array: int, shard: int) -> ShardEntry:
        """Return the array's shard with that number, which exists."""
        layout, record = self.layout(array), self.arrays[array]
        size = int(self.object_bytes[int(record["first_object"]) + shard])
        return ShardEntry(shard_name(array, shard, len(layout.shape)), size, layout, int(record["subject"]))

    def labels(self, sample: int) -> dict[str, str | None]:
        """Return the sample's value for every label name, None where it has none."""
        codes = self.samples["labels"][sample].tolist()
        return {
            name: None if code == _NO_VALUE else pool[code]
            for name, code, pool in zip(self.label_names, codes, self.label_values, strict=True)
        }

    def sources(self, sample: int) -> tuple[tuple[str, int], ...]:
        """Return the (SOP Instance UID, frame number from 1) that the sample was made of."""
        record = self.samples[sample]
        first, count = int(record["first_source"]), int(record["source_count"])
        return tuple((self.uids[uid], frame) for uid, frame in self.source_table[first : first + count].tolist())


def encode_index(
    arrays: Sequence[ArrayEntry], entries: Sequence[IndexEntry], *, recipe: Digest, snapshot: str
) -> bytes:
    """Return the index document of a shardset whose samples are `entries`, in that order.

    `arrays` are those of every `Encoded`, numbered 0, 1, 2, ... without gaps; `snapshot` is the snapshot's id, which the
    order of samples is drawn from. Raises Invalid when arrays and entries do not agree.
    """
    if [array.number for array in arrays] != list(range(len(arrays))):
        raise Invalid("the arrays of a shardset are not numbered 0, 1, 2, ...", "encode subjects one after another")
    subjects, forms, uids, splits = _Codes(), _Codes(), _Codes(), _Codes()
    names = sorted({name for entry in entries for name in entry.labels})
    values = [_Codes() for _ in names]
    array_table = np.zeros(len(arrays), _ARRAYS)
    sizes: list[int] = []
    for array in arrays:
        form = forms.of(canonical(_form(array.layout)).decode())
        row = (form, subjects.of(array.subject), array.layout.shape[0], array.layout.shard[0], len(sizes))
        array_table[array.number] = row
        sizes.extend(array.shard_bytes)
    samples = np.zeros(len(entries), _samples_dtype(len(names)))
    sources: list[tuple[int, int]] = []
    for number, entry in enumerate(entries):
        if not (len(entry.key) == 64 and entry.key.isascii()) or entry.array >= len(arrays):
            raise Invalid("a sample of the index has no proper key or array", "use what `encode_subject` returned")
        codes = [
            codes.of(entry.labels[name]) if name in entry.labels else _NO_VALUE
            for name, codes in zip(names, values, strict=True)
        ]
        place = (entry.key.encode(), entry.array, entry.position, splits.of(entry.split))
        samples[number] = (*place, len(entry.sources), len(sources), codes)
        sources.extend((uids.of(uid), frame) for uid, frame in entry.sources)
    tables: list[tuple[str, NDArray[np.generic]]] = [
        ("samples", samples),
        ("arrays", array_table),
        ("object_bytes", np.array(sizes, dtype="<u8")),
        ("sources", np.array(sources, dtype=_SOURCES)),
    ]
    pools = [
        ("subjects", subjects),
        ("uids", uids),
        *((f"values.{number}", codes) for number, codes in enumerate(values)),
    ]
    for name, pool in pools:
        tables += [(f"{name}.ends", pool.ends()), (f"{name}.text", pool.text())]
    header = {
        "version": VERSION,
        "recipe": str(recipe),
        "snapshot": snapshot,
        "splits": list(splits.numbers),
        "labels": names,
        "forms": [json.loads(form) for form in forms.numbers],
    }
    return _assemble(header, tables)


def decode_index(document: bytes) -> Index:
    """Return the index as views of `document`. Raises Corrupt for anything but an index of this version, undamaged."""
    body = document[:-_CRC_BYTES]
    start = len(_MAGIC) + 8
    if len(body) < start or not body.startswith(_MAGIC):
        raise _damaged("it is not an index")
    if google_crc32c.value(body) != int.from_bytes(document[-_CRC_BYTES:], "little"):
        raise _damaged("its checksum does not match")
    stop = start + int.from_bytes(body[len(_MAGIC) : start], "little")
    try:
        header = json.loads(body[start:stop])
        if header["version"] != VERSION:
            raise _damaged("it has another version")
        tables = _Tables(body, header["tables"])
        names = tuple(map(str, header["labels"]))
        index = Index(
            recipe=str(header["recipe"]),
            snapshot=str(header["snapshot"]),
            splits=tuple(map(str, header["splits"])),
            label_names=names,
            forms=tuple(_layout(form) for form in header["forms"]),
            samples=tables.take("samples", _samples_dtype(len(names))),
            arrays=tables.take("arrays", _ARRAYS),
            object_bytes=tables.take("object_bytes", _U8),
            subjects=tables.pool("subjects"),
            label_values=tuple(tables.pool(f"values.{number}") for number in range(len(names))),
            uids=tables.pool("uids"),
            source_table=tables.take("sources", _SOURCES),
        )
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        raise _damaged("its header is malformed") from None
    _check(index)
    return index


class _Codes:
    """Numbers texts in the order in which they are first seen."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))

    def ends(self) -> NDArray[np.generic]:
        return np.cumsum([len(text.encode()) for text in self.numbers], dtype="<u8")

    def text(self) -> NDArray[np.generic]:
        return np.frombuffer("".join(self.numbers).encode(), dtype=np.uint8)


class _Tables:
    """The tables of a document, by name."""

    def __init__(self, body: bytes, stated: Iterable[tuple[str, int, int]]) -> None:
        self._body = body
        self._places = {name: (offset, count) for name, offset, count in stated}

    def take(self, name: str, dtype: np.dtype[Scalar]) -> NDArray[Scalar]:
        offset, count = self._places[name]
        if offset < 0 or count < 0 or offset + count * dtype.itemsize > len(self._body):
            raise _damaged("a table lies outside the document")
        return np.frombuffer(self._body, dtype, count, offset) if count else np.empty(0, dtype)

    def pool(self, name: str) -> Pool:
        ends, text = self.take(f"{name}.ends", _U8), self.take(f"{name}.text", np.dtype(np.uint8))
        pool = Pool(ends, text)
        last = int(pool.ends[-1]) if len(pool) else 0
        if last != len(pool.text) or bool(np.any(pool.ends[1:] < pool.ends[:-1])):
            raise _damaged("a list of texts is malformed")
        return pool


def _assemble(header: dict[str, object], tables: Sequence[tuple[str, NDArray[np.generic]]]) -> bytes:
    # The header states offsets, and its own length moves them: leave it as much room as the widest numbers would take.
    room = len(canonical({**header, "tables": [[name, 2**52, 2**52] for name, _ in tables]}))
    offset = _aligned(len(_MAGIC) + 8 + room)
    stated, placed = [], []
    for name, table in tables:
        stated.append([name, offset, len(table)])
        placed.append((offset, table.tobytes()))
        offset = _aligned(offset + table.nbytes)
    text = canonical({**header, "tables": stated}).ljust(room)
    document = bytearray(offset)
    document[: len(_MAGIC) + 8 + room] = _MAGIC + room.to_bytes(8, "little") + text
    for at, data in placed:
        document[at : at + len(data)] = data
    body = bytes(document)
    return body + int(google_crc32c.value(body)).to_bytes(_CRC_BYTES, "little")


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


def _form(layout: ArrayLayout) -> dict[str, object]:
    return {
        "dtype": layout.dtype,
        "sample": list(layout.sample_shape),
        "chunk": list(layout.chunk),
        "shard": list(layout.shard[1:]),
    }


def _layout(form: Mapping[str, object]) -> ArrayLayout:
    """Return the form as a layout of one sample. Raises TypeError, KeyError or Corrupt for a malformed one."""
    sample, chunk, shard = (tuple(map(int, _list(form[name]))) for name in ("sample", "chunk", "shard"))
    layout = ArrayLayout((1, *sample), chunk, (1, *shard), str(form["dtype"]))
    try:
        check(layout)
    except FilmroomError:
        raise _damaged("it states an impossible layout") from None
    return layout


def _list(value: object) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
        raise TypeError
    return value


def _check(index: Index) -> None:
    """Raise Corrupt unless every number points into the table that it belongs to."""
    samples, arrays = index.samples, index.arrays
    per_shard = np.maximum(arrays["per_shard"], 1).astype(np.uint64)
    shards = (arrays["count"] + per_shard - 1) // per_shard
    sound = [
        np.all(arrays["form"] < len(index.forms)),
        np.all(arrays["subject"] < len(index.subjects)),
        np.all(arrays["per_shard"] > 0),
        _within(arrays["first_object"], shards, len(index.object_bytes)),
        np.all(samples["array"] < len(arrays)),
        np.all(samples["split"] < len(index.splits)),
        _within(samples["first_source"], samples["source_count"], len(index.source_table)),
        np.all(index.source_table["uid"] < len(index.uids)),
        all(np.all(samples["labels"][:, at] < len(pool)) for at, pool in enumerate(index.label_values)),
        np.all(samples["labels"] >= _NO_VALUE),
    ]
    if not all(map(bool, sound)) or bool(np.any(samples["position"] >= arrays["count"][samples["array"]])):
        raise _damaged("a number points outside its table")


def _within(first: NDArray[np.unsignedinteger], count: NDArray[np.unsignedinteger], total: int) -> bool:
    """Say whether every run of `count` from `first` lies within `total`, without adding, which could overflow."""
    return bool(np.all(first <= total)) and bool(np.all(count <= total - first))


def _damaged(what: str) -> Corrupt:
    return Corrupt(f"the index of this shardset cannot be used: {what}", "restore it from a copy or build again")
