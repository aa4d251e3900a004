"""Whether series are whole: what the catalog knows that speaks for or against it, and the verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Boolean, Connection, Row, Select, and_, bindparam, case, func, null, or_, select, update

from filmroom.adapters.sql.rows import chunks, reasons_from, rows_in
from filmroom.catalog.schema import instance, ledger, patient, quarantine_case, series, study
from filmroom.catalog.types import Document, Moment
from filmroom.errors import Refused
from filmroom.records import (
    CaseState,
    Completeness,
    InstanceState,
    Reason,
    SeriesFacts,
    SeriesState,
    Slice,
)

_CURRENT = instance.c.state == InstanceState.CURRENT
_ANNOUNCE = update(series).where(series.c.series_uid == bindparam("uid")).values(series_announced=bindparam("count"))
_ABOVE = series.join(study, series.c.study_pk == study.c.pk).join(patient, study.c.patient_pk == patient.c.pk)


class SqlWholeness:
    """Implements `ports.Wholeness`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_batch(self, batch: str) -> list[int]:
        brought = (
            select(instance.c.series_pk)
            .join(ledger, ledger.c.digest == instance.c.digest)
            .where(ledger.c.batch == batch)
        )
        waiting = (
            select(series.c.pk)
            .join(quarantine_case, quarantine_case.c.series_uid == series.c.series_uid)
            .where(quarantine_case.c.batch == batch)
        )
        return sorted(self._connection.execute(brought.union(waiting)).scalars())

    def of_uid(self, series_uid: str) -> list[int]:
        return list(self._connection.execute(select(series.c.pk).where(series.c.series_uid == series_uid)).scalars())

    def beside(self, keys: Sequence[int]) -> list[int]:
        announced = select(series.c.study_pk).join(study).where(study.c.study_announced.is_not(None))
        studies = {row.study_pk for row in rows_in(self._connection, announced, series.c.pk, keys)}
        beside = rows_in(self._connection, select(series.c.pk), series.c.study_pk, sorted(studies))
        return sorted({row.pk for row in beside} - set(keys))

    def announce(self, counts: Mapping[str, int]) -> list[int]:
        if counts:
            said = [{"uid": uid, "count": count} for uid, count in counts.items()]
            self._connection.execute(_ANNOUNCE, said)
        judged = select(series.c.pk).where(series.c.completeness.is_not(None))
        return sorted(row.pk for row in rows_in(self._connection, judged, series.c.series_uid, list(counts)))

    def facts(self, keys: Sequence[int]) -> Iterator[tuple[int, SeriesFacts]]:
        for some in chunks(keys):
            yield from self._facts(some)

    def judge(
        self, verdicts: Sequence[tuple[int, tuple[Reason, ...]]], at: datetime, *, by_delivery: bool = True
    ) -> None:
        columns, lacks = series.c, bindparam("new_lacks", type_=Document)
        same = and_(columns.accepted_by.is_not(None), columns.lacks == lacks)
        state = case(
            (bindparam("is_whole", type_=Boolean()), Completeness.COMPLETE.value),
            (same, Completeness.ACCEPTED.value),
            else_=Completeness.INCOMPLETE.value,
        )
        kept = {name: case((same, columns[name]), else_=null()) for name in ("accepted_by", "accepted_at", "why")}
        statement = update(series).where(columns.pk == bindparam("key"))
        moment = at if by_delivery else func.coalesce(columns.judged_at, bindparam("at", at, type_=Moment))
        statement = statement.values(completeness=state, judged_at=moment, lacks=lacks, **kept)
        rows = [{"key": key, "new_lacks": reasons, "is_whole": not reasons} for key, reasons in verdicts]
        if rows:
            self._connection.execute(statement, rows)

    def accept(self, series_uid: str, by: str, at: datetime, why: str) -> None:
        incomplete = (series.c.series_uid == series_uid, series.c.completeness == Completeness.INCOMPLETE.value)
        decided = {"completeness": Completeness.ACCEPTED.value, "accepted_by": by, "accepted_at": at, "why": why}
        if self._connection.execute(update(series).where(*incomplete).values(decided)).rowcount == 0:
            raise Refused("no series with this UID is incomplete", "see filmroom incomplete list")

    def unfit(self, quiet_since: datetime) -> dict[tuple[str, str, str], Completeness | None]:
        moving = or_(series.c.completeness.is_(None), series.c.judged_at > quiet_since)
        growing = set(self._connection.execute(select(series.c.study_pk).where(moving)).scalars())
        statement = select(patient.c.subject, study.c.study_uid, series.c.series_uid).select_from(_ABOVE)
        incomplete = statement.where(series.c.completeness == Completeness.INCOMPLETE.value)
        found: dict[tuple[str, str, str], Completeness | None] = {
            tuple(row): Completeness.INCOMPLETE for row in self._connection.execute(incomplete)
        }
        rows = rows_in(self._connection, statement, series.c.study_pk, sorted(growing))
        return found | dict.fromkeys(map(tuple, rows), None)

    def unfinished(self, series_uid: str | None = None) -> list[SeriesState]:
        columns = ("modality", "series_uid", "completeness", "lacks", "judged_at", "accepted_by", "accepted_at", "why")
        which = (
            or_(series.c.completeness.is_(None), series.c.completeness != Completeness.COMPLETE.value)
            if series_uid is None
            else series.c.series_uid == series_uid
        )
        statement = select(patient.c.subject, study.c.study_uid, *series.c[columns]).select_from(_ABOVE)
        rows = self._connection.execute(statement.where(which).order_by(series.c.pk))
        return [_state(row) for row in rows]

    def _facts(self, keys: Sequence[int]) -> Iterator[tuple[int, SeriesFacts]]:
        heads = {row.pk: row for row in rows_in(self._connection, _heads(), series.c.pk, keys)}
        in_study = self._in_study([row.study_pk for row in heads.values() if row.study_announced is not None])
        waiting = self._waiting([row.series_uid for row in heads.values()])
        columns = ("series_pk", "sop_uid", "instance_number", "plane", "slice_position_mm", "image_type", "frames")
        statement = select(*instance.c[columns]).where(_CURRENT, instance.c.series_pk.in_(keys))
        found = self._connection.execute(statement.order_by(instance.c.series_pk))
        members = {key: list(rows) for key, rows in groupby(found, key=lambda row: row.series_pk)}
        for key, head in heads.items():
            rows = members.get(key, [])
            yield (
                key,
                SeriesFacts(
                    modality=head.modality or "",
                    slices=tuple(_slice(row) for row in rows),
                    announced=head.series_announced,
                    study_announced=head.study_announced,
                    study_instances=in_study.get(head.study_pk, 0),
                    waiting=len(waiting.get(head.series_uid, set()) - {row.sop_uid for row in rows}),
                    standing=reasons_from(head.lacks or ()),
                ),
            )

    def _in_study(self, studies: Sequence[int]) -> dict[int, int]:
        statement = select(series.c.study_pk, func.count().label("instances")).join(instance).where(_CURRENT)
        found = rows_in(self._connection, statement.group_by(series.c.study_pk), series.c.study_pk, studies)
        return {row.study_pk: row.instances for row in found}

    def _waiting(self, series_uids: Sequence[str]) -> dict[str, set[str]]:
        """Return the SOP Instance UIDs of each series for which a case is open."""
        columns = quarantine_case.c
        statement = select(columns.series_uid, columns.instance).where(columns.state == CaseState.OPEN)
        found: dict[str, set[str]] = {}
        for row in rows_in(self._connection, statement, columns.series_uid, series_uids):
            found.setdefault(row.series_uid, set()).add(row.instance["sop_uid"])
        return found


def _heads() -> Select[*tuple[Any, ...]]:
    columns = series.c["pk", "study_pk", "series_uid", "modality", "series_announced", "lacks"]
    return select(*columns, study.c.study_announced).join(study)


def _slice(row: Row[*tuple[Any, ...]]) -> Slice:
    return Slice(row.instance_number, row.plane, row.slice_position_mm, row.image_type or "", row.frames)


def _state(row: Row[*tuple[Any, ...]]) -> SeriesState:
    return SeriesState(
        subject=row.subject,
        study_uid=row.study_uid,
        series_uid=row.series_uid,
        modality=row.modality or "",
        state=None if row.completeness is None else Completeness(row.completeness),
        lacks=reasons_from(row.lacks or ()),
        judged_at=row.judged_at,
        accepted_by=row.accepted_by,
        accepted_at=row.accepted_at,
        why=row.why,
    )
