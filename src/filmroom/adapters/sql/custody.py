"""What lies in the clinical zone, table by table, and when each object of it was last read back."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, exists, select, type_coerce, update

from filmroom.adapters.sql.rows import chunks
from filmroom.catalog.query import everything
from filmroom.catalog.schema import image_file, instance, patient, quarantine_case
from filmroom.catalog.types import Words
from filmroom.ids import Digest
from filmroom.records import Holding, Kept

_TABLES: dict[Holding, Table] = {
    Holding.INSTANCE: instance,
    Holding.FILE: image_file,
    Holding.CASE: quarantine_case,
}


class SqlCustody:
    """Implements `ports.Custody`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def due(self, before: datetime, limit: int) -> list[Kept]:
        never = [
            kept
            for holding, table in _TABLES.items()
            for kept in self._kept(holding, _kept(holding).where(table.c.checked_at.is_(None)).limit(limit))
        ]
        if len(never) >= limit:
            return never[:limit]
        rest = limit - len(never)
        found = [
            (row.checked_at, holding, row)
            for holding, table in _TABLES.items()
            for row in self._connection.execute(
                _kept(holding).where(table.c.checked_at < before).order_by(table.c.checked_at).limit(rest)
            )
        ]
        oldest = sorted(found, key=lambda each: each[0])[:rest]
        return [*never, *(_record(holding, row) for _, holding, row in oldest)]

    def damaged(self, digests: Sequence[Digest] | None = None) -> list[Kept]:
        return [kept for holding, table in _TABLES.items() for kept in self._damaged(holding, table, digests)]

    def note(self, kept: Sequence[Kept], at: datetime) -> None:
        for holding, table in _TABLES.items() if kept else ():
            for damage in {each.damage for each in kept if each.holding is holding}:
                digests = [str(each.digest) for each in kept if each.holding is holding and each.damage == damage]
                for part in chunks(digests):
                    named = _text_digest(table).in_(part)
                    self._connection.execute(update(table).where(named).values(checked_at=at, damage=damage))

    def _damaged(self, holding: Holding, table: Table, digests: Sequence[Digest] | None) -> Iterator[Kept]:
        statement = _kept(holding).where(table.c.damage.is_not(None))
        if digests is None:
            yield from self._kept(holding, statement)
            return
        for part in chunks([*map(str, digests)]):
            yield from self._kept(holding, statement.where(_text_digest(table).in_(part)))

    def _kept(self, holding: Holding, statement: Select[*tuple[Any, ...]]) -> list[Kept]:
        return [_record(holding, row) for row in self._connection.execute(statement)]


def _kept(holding: Holding) -> Select[*tuple[Any, ...]]:
    match holding:
        case Holding.INSTANCE:
            columns = instance.c["digest", "size_bytes", "checked_at", "damage"]
            return select(*columns, patient.c.subject).select_from(everything())
        case Holding.FILE:
            named = [image_file.c[f"file_{name}"].label(name) for name in ("digest", "size_bytes", "subject")]
            return select(*named, *image_file.c["checked_at", "damage"])
        case Holding.CASE:
            let_in = exists().where(instance.c.digest == _text_digest(quarantine_case))
            return select(*quarantine_case.c["digest", "size_bytes", "checked_at", "damage", "subject"]).where(~let_in)


def _text_digest(table: Table) -> ColumnElement[str]:
    """Return the table's digest as text, whatever type reads it."""
    return type_coerce(table.c.file_digest if table is image_file else table.c.digest, Words)


def _record(holding: Holding, row: Row[*tuple[Any, ...]]) -> Kept:
    return Kept(
        holding=holding,
        digest=row.digest if isinstance(row.digest, Digest) else Digest.parse(row.digest),
        subject=row.subject,
        size_bytes=row.size_bytes,
        damage=row.damage,
    )
