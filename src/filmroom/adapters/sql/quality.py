"""Counts about the catalog's content: one statement each, and the engine does the counting."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Subquery,
    Text,
    and_,
    case,
    distinct,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
)

from filmroom.adapters.sql.rows import ReasonDocument, rows_in
from filmroom.catalog.query import everything
from filmroom.catalog.schema import TABLES, batch, instance, label_entry, ledger, patient, series, study
from filmroom.catalog.schema import copy as copy_table
from filmroom.dicom.attributes import BY_NAME
from filmroom.ids import Digest
from filmroom.records import By, Cell, Counted, InstanceState, Level, Value

_CURRENT = instance.c.state == InstanceState.CURRENT
_SITE = func.coalesce(study.c.institution, "")
_MOMENT = type_coerce(batch.c.received_at, Text)
RFC3339 = 27
"""How many characters a time in the catalog has."""


class SqlQuality:
    """Implements `ports.Quality`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def cells(
        self,
        level: Level,
        *,
        keys: Sequence[str] = (),
        counted: Sequence[Counted] = (),
        by: By | None = None,
        project: str | None = None,
    ) -> list[Cell]:
        source: FromClause = series.join(study).join(patient)
        if level is not Level.SERIES:
            source, group, condition = delivered(), _group(by, _MOMENT + batch.c.source), _counts(project)
        elif by in (By.SOURCE, By.MONTH):
            first = first_receipts(project)
            source, group = source.join(first, series.c.pk == first.c.series_pk), _group(by, first.c.first)
            condition = true()
        else:
            group, condition = _group(by, literal("")), _has_some(project)
        named = [group.label("group"), *(func.coalesce(_sql(key), "").label(f"key_{key}") for key in keys)]
        numbers = [number for each in counted for number in _numbers(each)]
        statement = (
            select(*named, func.count(), func.count(distinct(patient.c.pk)), *numbers)
            .select_from(source)
            .where(condition)
        )
        rows = self._connection.execute(statement.group_by(*named).order_by(*named))
        return [_cell(row, len(keys)) for row in rows]

    def rows(self, digests: Sequence[Digest], columns: Sequence[str]) -> Iterator[dict[str, Value]]:
        statement = select(*(_sql(name).label(name) for name in columns)).select_from(everything())
        return (
            dict(row._mapping)
            for row in rows_in(self._connection, statement, instance.c.digest, list(map(str, digests)))
        )

    def received(self, by: By | None = None) -> list[Cell]:
        known = ledger.join(batch, ledger.c.batch == batch.c.id).outerjoin(
            instance, instance.c.digest == ledger.c.digest
        )
        source = known.outerjoin(series, instance.c.series_pk == series.c.pk).outerjoin(study)
        group = _group(by, _MOMENT + batch.c.source).label("group")
        columns = (group, ledger.c.outcome, ledger.c.reasons)
        rows = self._connection.execute(select(*columns, func.count()).select_from(source).group_by(*columns))
        return _coded((each, (str(outcome),), reasons, count) for each, outcome, reasons, count in rows)

    def copies(self, by: By | None = None, project: str | None = None) -> list[Cell]:
        source = delivered().join(copy_table, copy_table.c.source == instance.c.digest)
        group = _group(by, _MOMENT + batch.c.source).label("group")
        columns = (group, copy_table.c.project, copy_table.c.state, copy_table.c.reasons)
        statement = select(*columns, func.count()).select_from(source).group_by(*columns)
        if project is not None:
            statement = statement.where(copy_table.c.project == project)
        rows = self._connection.execute(statement)
        return _coded((each, (name, str(state)), reasons, count) for each, name, state, reasons, count in rows)

    def labels(self, by: By | None = None) -> list[Cell]:
        columns = label_entry.c
        later = label_entry.alias()
        superseded = and_(later.c.name == columns.name, later.c.supersedes == columns.position)
        month = func.substr(type_coerce(columns.at, Text), 1, 7) if by is By.MONTH else literal("")
        whole = _as_number(columns.shape.is_(None)).label("whole")
        differ = and_(func.count(distinct(columns.value)) > 1, func.count(distinct(columns.by)) > 1)
        spoken = (
            select(
                func.max(month).label("group"),
                columns.name,
                whole,
                func.count().label("statements"),
                _as_number(differ).label("differ"),
                func.max(_as_number(_is_gone())).label("gone"),
            )
            .select_from(label_entry.outerjoin(later, superseded))
            .where(later.c.position.is_(None), columns.value.is_not(None))
            .group_by(columns.name, columns.level, columns.target, columns.finding, whole)
            .subquery()
        )
        named = (spoken.c.group, spoken.c.name)
        sums = (
            spoken.c.statements,
            spoken.c.whole * spoken.c.differ,
            spoken.c.whole,
            spoken.c.gone * spoken.c.statements,
        )
        statement = select(*named, *map(func.sum, sums))
        return [
            Cell(group, (name,), int(said), counts=((int(against), int(pairs)), (int(lost), int(said))))
            for group, name, said, against, pairs, lost in self._connection.execute(
                statement.group_by(*named).order_by(*named)
            )
        ]


def first_receipts(project: str | None = None) -> Subquery:
    """Return, for each series with a current instance, `first`: when its first one was received, and from which source."""
    return (
        select(instance.c.series_pk, func.min(_MOMENT + batch.c.source).label("first"))
        .join(batch, instance.c.batch == batch.c.id)
        .where(_counts(project))
        .group_by(instance.c.series_pk)
        .subquery()
    )


def delivered() -> FromClause:
    """Return the four levels' tables, joined, with the delivery of each instance."""
    return everything().join(batch, instance.c.batch == batch.c.id)


def _group(by: By | None, receipt: ColumnElement[str]) -> ColumnElement[str]:
    match by:
        case By.SITE:
            return _SITE
        case By.SOURCE:
            return func.substr(receipt, RFC3339 + 1)
        case By.MONTH:
            return func.substr(receipt, 1, len("2026-03"))
        case None:
            return literal("")


def _counts(project: str | None) -> ColumnElement[bool]:
    """Say of an instance that it is current, and that the project has a copy of it if one is named."""
    if project is None:
        return _CURRENT
    copied = select(copy_table.c.id).where(copy_table.c.source == instance.c.digest, copy_table.c.project == project)
    return and_(_CURRENT, copied.correlate(instance).exists())


def _has_some(project: str | None) -> ColumnElement[bool]:
    """Say of a series that it has an instance that counts."""
    some = select(instance.c.pk).where(instance.c.series_pk == series.c.pk, _counts(project))
    return some.correlate(series).exists()


def _numbers(each: Counted) -> tuple[ColumnElement[int], ColumnElement[int]]:
    column = _sql(each.column)
    asked = series.c.modality.in_(sorted(each.modalities)) if each.modalities else true()
    filled = and_(asked, column.is_not(None))
    if each.bounds is None:
        return func.sum(_as_number(filled)), func.sum(_as_number(asked))
    low, high = each.bounds
    return func.sum(_as_number(and_(filled, column >= low, column <= high))), func.sum(_as_number(filled))


def _as_number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _sql(name: str) -> ColumnElement[Any]:
    found: ColumnElement[Any] = TABLES[BY_NAME[name].level].c[name]
    return found


def _cell(row: Sequence[Any], keys: int) -> Cell:
    group, values, (things, patients, *numbers) = row[0], row[1 : keys + 1], row[keys + 1 :]
    counts = tuple((int(numbers[at]), int(numbers[at + 1])) for at in range(0, len(numbers), 2))
    return Cell(group, tuple(values), things, patients, counts)


def _coded(rows: Iterable[tuple[str, tuple[str, ...], Sequence[ReasonDocument], int]]) -> list[Cell]:
    """Add up rows that differ in the words of their reasons only."""
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for group, values, reasons, count in rows:
        found[group, (*values, *sorted({each["code"] for each in reasons}))] += count
    return [Cell(group, values, things) for (group, values), things in sorted(found.items())]


def _is_gone() -> ColumnElement[bool]:
    """Say of a statement that its target has no current instance."""
    names: Mapping[Level, ColumnElement[str]] = {
        Level.PATIENT: patient.c.subject,
        Level.STUDY: study.c.study_uid,
        Level.SERIES: series.c.series_uid,
        Level.INSTANCE: instance.c.sop_uid,
    }
    return or_(*(and_(label_entry.c.level == level, ~_is_there(name)) for level, name in names.items()))


def _is_there(name: ColumnElement[str]) -> ColumnElement[bool]:
    there: Select[*tuple[Any, ...]] = select(instance.c.pk).select_from(everything())
    return there.where(name == label_entry.c.target, _CURRENT).correlate(label_entry).exists()
