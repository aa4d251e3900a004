"""Deliveries with their ledgers, quarantine cases, and data keys."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from filmroom.adapters.sql.rows import (
    Lookup,
    add,
    instance_from,
    reasons_from,
    required,
    stream,
    values_of,
)
from filmroom.catalog.schema import batch as batch_table
from filmroom.catalog.schema import data_key, ledger, quarantine_case
from filmroom.errors import Refused
from filmroom.ids import Digest, Zone
from filmroom.ports import WrappedKey
from filmroom.records import Batch, Case, CaseState, LedgerRow, Outcome


class SqlDataKeys:
    """Implements `ports.DataKeys`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ensure(self, zone: Zone, wrapped: Mapping[str, bytes]) -> None:
        there = self.get(zone, list(wrapped))
        rows = [
            {"zone": zone, "subject": subject, "wrapped": key}
            for subject, key in wrapped.items()
            if subject not in there
        ]
        add(self._connection, data_key, rows)

    def get(self, zone: Zone, subjects: Sequence[str]) -> dict[str, WrappedKey]:
        return {
            row.subject: WrappedKey(zone=row.zone, subject=row.subject, wrapped=row.wrapped)
            for row in _KEYS[zone].rows(self._connection, subjects)
        }

    def all(self, zone: Zone) -> Iterator[WrappedKey]:
        for row in stream(self._connection, select(data_key).where(data_key.c.zone == zone)):
            yield WrappedKey(zone=row.zone, subject=row.subject, wrapped=row.wrapped)


class SqlBatches:
    """Implements `ports.Batches`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, batch: Batch) -> None:
        add(self._connection, batch_table, [values_of(batch)])

    def close(self, batch: str, at: datetime) -> None:
        statement = update(batch_table).where(batch_table.c.id == batch).values(closed_at=at)
        if self._connection.execute(statement).rowcount == 0:
            required(None, "batch")

    def add(self, batch: str, rows: Sequence[LedgerRow]) -> None:
        add(self._connection, ledger, [{"batch": batch, **values_of(row)} for row in rows])

    def all(self) -> list[tuple[Batch, dict[Outcome, int], int]]:
        counts: dict[str, dict[Outcome, int]] = {}
        sizes: dict[str, int] = {}
        columns = (ledger.c.batch, ledger.c.outcome)
        sums = select(*columns, func.count().label("objects"), func.sum(ledger.c.size_bytes).label("size"))
        for row in self._connection.execute(sums.group_by(*columns)):
            counts.setdefault(row.batch, dict.fromkeys(Outcome, 0))[row.outcome] = row.objects
            sizes[row.batch] = sizes.get(row.batch, 0) + int(row.size)
        batches = self._connection.execute(select(batch_table).order_by(batch_table.c.received_at, batch_table.c.id))
        return [
            (Batch(**dict(row._mapping)), counts.get(row.id, dict.fromkeys(Outcome, 0)), sizes.get(row.id, 0))
            for row in batches
        ]

    def get(self, batch: str) -> Batch:
        row = self._connection.execute(select(batch_table).where(batch_table.c.id == batch)).one_or_none()
        return Batch(**required(row, "batch"))

    def ledger(self, batch: str) -> Iterator[LedgerRow]:
        self.get(batch)
        rows = stream(self._connection, select(ledger).where(ledger.c.batch == batch).order_by(ledger.c.position))
        return map(_ledger_row, rows)


class SqlCases:
    """Implements `ports.Cases`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, case: Case) -> None:
        series_uid = None if case.instance is None else case.instance.series_uid
        add(self._connection, quarantine_case, [{**values_of(case), "series_uid": series_uid}])

    def get(self, case: str) -> Case:
        row = self._connection.execute(select(quarantine_case).where(quarantine_case.c.id == case)).one_or_none()
        return _case(required(row, "case"))

    def all(self, state: CaseState | None = None) -> list[Case]:
        statement = select(quarantine_case).order_by(quarantine_case.c.pk)
        if state is not None:
            statement = statement.where(quarantine_case.c.state == state)
        return [_case(dict(row._mapping)) for row in self._connection.execute(statement)]

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        return {row.digest for row in _CASES.rows(self._connection, digests)}

    def sop_uids(self, series_uid: str) -> set[str]:
        statement = select(quarantine_case.c.instance).where(quarantine_case.c.series_uid == series_uid)
        return {row.instance["sop_uid"] for row in self._connection.execute(statement)}

    def decide(self, case: str, state: CaseState, by: str, at: datetime, why: str) -> None:
        standing = quarantine_case.c.state == CaseState.OPEN
        statement = update(quarantine_case).where(quarantine_case.c.id == case, standing)
        done = self._connection.execute(statement.values(state=state, decided_by=by, decided_at=at, why=why))
        if done.rowcount == 0:
            raise Refused(f"the case is {self.get(case).state} already", "a decision stands")


def _ledger_row(row: Row[*tuple[Any, ...]]) -> LedgerRow:
    return LedgerRow(
        position=row.position,
        name=row.name,
        digest=row.digest,
        size_bytes=row.size_bytes,
        outcome=row.outcome,
        reasons=reasons_from(row.reasons),
    )


def _case(row: dict[str, Any]) -> Case:
    del row["pk"], row["series_uid"], row["checked_at"], row["damage"]
    documents = {"reasons": reasons_from(row["reasons"]), "instance": instance_from(row["instance"])}
    return Case(**{**row, **documents})


_KEYS = {zone: Lookup(select(data_key).where(data_key.c.zone == zone), data_key.c.subject) for zone in Zone}
_CASES = Lookup(select(quarantine_case.c.digest), quarantine_case.c.digest)
