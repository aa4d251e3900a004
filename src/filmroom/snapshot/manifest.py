"""What exactly a snapshot is: rows, their Merkle root, and the root document whose digest is the snapshot's id.

The bytes that are hashed are described in docs/formats/snapshot.md, with an example that a test checks. Rows hold
pseudonyms and commitments only; where the ciphertext lies is kept beside the manifest, not in it, so that building the
same thing again reaches the same root although encryption is randomised.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from filmroom.canon import Json, canonical, digest_of, plain, rfc3339
from filmroom.crypto import merkle
from filmroom.errors import Corrupt, Invalid
from filmroom.ids import Digest, Versioned
from filmroom.records import Row
from filmroom.snapshot.cohort import Flow
from filmroom.snapshot.gates import Passage
from filmroom.snapshot.split import Split

PAYLOAD_TYPE = "application/vnd.filmroom.snapshot+json"
FORMAT = 1
ROWS_PER_FILE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a snapshot was asked to be. The same definition over the same facts gives the same root.

    `where` commits to the condition's text, and `criteria` to all of a cohort's definition: they may name a patient, and
    stay in the catalog.
    """

    project: str
    where: Digest
    cohort: Versioned | None
    criteria: Digest | None
    label_sets: tuple[Versioned, ...]
    split: Split
    stratify: tuple[str, ...]
    profile: Digest
    verifier: str
    requires: tuple[str, ...] = ()

    def document(self) -> dict[str, Json]:
        return {
            "project": self.project,
            "where": str(self.where),
            "cohort": str(self.cohort) if self.cohort else None,
            "criteria": str(self.criteria) if self.criteria else None,
            "labels": [str(each) for each in self.label_sets],
            "split": str(self.split),
            "stratify": list(self.stratify),
            "seed": str(self.split.seed),
            "profile": str(self.profile),
            "verifier": self.verifier,
            "requires": list(self.requires),
        }

    @property
    def digest(self) -> Digest:
        return digest_of(self.document())


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """How much leaks between parts, by kind, and why it may."""

    why: str
    found: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What else the root document records: when and by whom, from which catalog state, by which code, who stayed out, and
    what the project's gates found.
    """

    catalog_sequence: int
    code: Mapping[str, str]
    frozen_at: datetime
    frozen_by: str
    parent: Digest | None
    flow: Flow
    gates: tuple[Passage, ...] = ()
    leaks: Leaks | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A manifest's rows in its order, their root, and the named files in which they lie, a row a line."""

    rows: tuple[Row, ...]
    root: Digest
    files: tuple[tuple[str, bytes], ...]


def tabulate(rows: Iterable[Row], per_file: int = ROWS_PER_FILE) -> Table:
    """Put rows in order and encode each of them once: root and files are made of the same bytes."""
    ordered = in_order(rows)
    lines = [row_bytes(row) for row in ordered]
    files = (
        (f"rows-{start // per_file:04d}.jsonl", b"\n".join([*lines[start : start + per_file], b""]))
        for start in range(0, len(lines), per_file)
    )
    return Table(rows=tuple(ordered), root=Digest(merkle.root(lines).hex()), files=tuple(files))


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return the rows in the manifest's order, which does not depend on the order in which they were found."""
    return sorted(rows, key=lambda row: (row.subject, row.study_uid, row.series_uid, row.sop_uid))


def row_bytes(row: Row) -> bytes:
    """Return the canonical bytes of a row: what a leaf of the snapshot's Merkle tree is made of."""
    return canonical(row)


def root_of(rows: Iterable[Row]) -> Digest:
    """Return the RFC 6962 Merkle root over rows in the manifest's order."""
    return Digest(merkle.root(row_bytes(row) for row in rows).hex())


def read_rows(data: bytes) -> Iterator[Row]:
    """Read one row file. Raises Corrupt where a line is not a row."""
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            fields = json.loads(line)
            row = Row(
                **{
                    **fields,
                    "commitment": Digest.parse(fields["commitment"]),
                    "attestation": Digest.parse(fields["attestation"]),
                }
            )
            if row_bytes(row) != line or type(row.frames) is not int or not isinstance(row.labels, dict):
                raise ValueError("not as it was written")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Invalid):
            raise Corrupt(f"line {number} of a row file is not a manifest row", "restore it from a replica") from None
        yield row


def root_document(
    ref: Versioned, definition: Definition, table: Table, circumstances: Circumstances
) -> dict[str, Json]:
    """Return the document whose canonical bytes are signed and whose digest is the snapshot's id."""
    return {
        "format": FORMAT,
        "kind": "filmroom.snapshot",
        "name": ref.name,
        "version": ref.version,
        "parent": str(circumstances.parent) if circumstances.parent else None,
        "definition": definition.document(),
        "root": str(table.root),
        "rows": [
            {"name": name, "digest": str(Digest.of(data)), "count": data.count(b"\n")} for name, data in table.files
        ],
        "counts": dict(counts(table.rows)),
        "splits": dict(splits(table.rows, definition.split)),
        "flow": plain(circumstances.flow),
        "gates": [plain(each) for each in circumstances.gates],
        "leaks": plain(circumstances.leaks),
        "catalog_sequence": circumstances.catalog_sequence,
        "code": dict(circumstances.code),
        "frozen_at": rfc3339(circumstances.frozen_at),
        "frozen_by": circumstances.frozen_by,
    }


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Return how many there are at each level, by the names that `records.Snapshot` has for it."""
    return {
        "instances": len(rows),
        "series": len({row.series_uid for row in rows}),
        "studies": len({row.study_uid for row in rows}),
        "patients": len({row.subject for row in rows}),
    }


def splits(rows: Sequence[Row], split: Split) -> dict[str, int]:
    """Return how many instances each part has, empty parts too."""
    found = dict.fromkeys(split.names, 0)
    for row in rows:
        found[row.split] += 1
    return found
