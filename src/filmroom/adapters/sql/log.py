"""The audit log's leaves, and the right edge of their Merkle tree (RFC 6962).

The tree's size and frontier lie in one row, `audit_head`, which an appending transaction locks: so indices follow each
other without gaps, in the order of the commits.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, bindparam, select, update

from filmroom.adapters.sql.rows import add, stream, values_of
from filmroom.catalog.schema import audit_head, audit_leaf
from filmroom.catalog.schema import checkpoint as checkpoint_table
from filmroom.crypto.merkle import extend
from filmroom.errors import Corrupt
from filmroom.ids import Digest
from filmroom.records import Checkpoint

_HASH_BYTES = 32


class SqlLog:
    """Implements `ports.Log`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, leaves: Sequence[bytes]) -> tuple[int, tuple[Digest, ...]]:
        size, frontier = self._head(lock=True)
        add(self._connection, audit_leaf, [{"idx": size + i, "leaf": leaf} for i, leaf in enumerate(leaves)])
        size, frontier = extend(size, frontier, leaves)
        self._connection.execute(_SET_HEAD, {"new_size": size, "new_frontier": b"".join(frontier)})
        return size, _digests(frontier)

    def size(self) -> int:
        return self._head()[0]

    def frontier(self) -> tuple[int, tuple[Digest, ...]]:
        size, frontier = self._head()
        return size, _digests(frontier)

    def leaves(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        statement = select(audit_leaf.c.leaf).where(audit_leaf.c.idx >= start).order_by(audit_leaf.c.idx)
        if stop is not None:
            statement = statement.where(audit_leaf.c.idx < stop)
        # SQLite may give text for bytes that somebody edited there; they are read all the same, so that it is noticed.
        return (
            row.leaf.encode() if isinstance(row.leaf, str) else bytes(row.leaf)
            for row in stream(self._connection, statement)
        )

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        add(self._connection, checkpoint_table, [values_of(checkpoint)])

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints in the order in which they were added."""
        rows = self._connection.execute(select(checkpoint_table).order_by(checkpoint_table.c.pk))
        return [Checkpoint(size=row.size, root=row.root, note=row.note) for row in rows]

    def checkpoint_at(self, size: int) -> Checkpoint | None:
        row = self._connection.execute(
            select(checkpoint_table).where(checkpoint_table.c.size == size).limit(1)
        ).one_or_none()
        return Checkpoint(size=row.size, root=row.root, note=row.note) if row else None

    def latest_checkpoint(self) -> Checkpoint | None:
        newest = select(checkpoint_table).order_by(checkpoint_table.c.pk.desc()).limit(1)
        row = self._connection.execute(newest).one_or_none()
        return Checkpoint(size=row.size, root=row.root, note=row.note) if row else None

    def _head(self, *, lock: bool = False) -> tuple[int, list[bytes]]:
        row = self._connection.execute(_LOCK_HEAD if lock else _HEAD).one_or_none()
        if row is None or len(row.frontier) != _HASH_BYTES * row.size.bit_count():
            raise Corrupt("the head of the audit log is damaged", "restore the catalog from a backup")
        return row.size, [row.frontier[i : i + _HASH_BYTES] for i in range(0, len(row.frontier), _HASH_BYTES)]


_HEAD = select(*audit_head.c["size", "frontier"])
_LOCK_HEAD = _HEAD.with_for_update()
_SET_HEAD = update(audit_head).values(size=bindparam("new_size"), frontier=bindparam("new_frontier"))


def _digests(hashes: Sequence[bytes]) -> tuple[Digest, ...]:
    return tuple(Digest(each.hex()) for each in hashes)
