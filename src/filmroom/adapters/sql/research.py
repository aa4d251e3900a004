"""Projects, the outcomes of de-identification, and label sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, or_, select, update

from filmroom.adapters.sql.bulk import put
from filmroom.adapters.sql.cataloging import number
from filmroom.adapters.sql.rows import (
    add,
    chunks,
    coverage_from,
    findings_from,
    reasons_from,
    required,
    rows_in,
    values_of,
)
from filmroom.catalog.labels import resolve
from filmroom.catalog.schema import copy as copy_table
from filmroom.catalog.schema import label_entry, label_now
from filmroom.catalog.schema import project as project_table
from filmroom.errors import NotFound, Refused
from filmroom.ids import Digest
from filmroom.records import Copy, CopyState, Label, LabelEntry, Project, Region

_Name: TypeAlias = tuple[str, Digest, Digest, str]


class SqlProjects:
    """Implements `ports.Projects`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, project: Project) -> None:
        there = select(project_table.c.name).where(project_table.c.name == project.name)
        if self._connection.execute(there).one_or_none() is not None:
            raise Refused("there is a project of this name", "choose another")
        add(self._connection, project_table, [values_of(project)])

    def get(self, name: str) -> Project:
        row = self._connection.execute(select(project_table).where(project_table.c.name == name)).one_or_none()
        return _project(required(row, "project"))

    def require(self, name: str, gates: tuple[str, ...]) -> None:
        statement = update(project_table).where(project_table.c.name == name).values(requires=gates)
        if self._connection.execute(statement).rowcount == 0:
            required(None, "project")

    def all(self) -> list[Project]:
        rows = self._connection.execute(select(project_table).order_by(project_table.c.name))
        return [_project(dict(row._mapping)) for row in rows]


class SqlCopies:
    """Implements `ports.Copies`. A copy keeps its id when its outcome is replaced."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, copies: Sequence[Copy]) -> None:
        latest = {_name(copy): _columns(copy) for copy in copies}
        there: dict[_Name, int] = {}
        names = copy_table.c["id", "project", "source", "profile", "verifier"]
        for row in rows_in(self._connection, select(*names), copy_table.c.source, [copy.source for copy in copies]):
            there[row.project, row.source, row.profile, row.verifier] = row.id
        old = [{**row, "key": there[name]} for name, row in latest.items() if name in there]
        if old:
            self._connection.execute(update(copy_table).where(copy_table.c.id == bindparam("key")), old)
        add(self._connection, copy_table, [row for name, row in latest.items() if name not in there])

    def done(self, project: str, profile: Digest, verifier: str) -> set[Digest]:
        decided = copy_table.c.state != CopyState.FAILED
        statement = select(copy_table.c.source).where(decided, *_under(project, profile, verifier))
        return set(self._connection.execute(statement).scalars())

    def get(self, copy: int) -> Copy:
        row = self._connection.execute(select(copy_table).where(copy_table.c.id == copy)).one_or_none()
        return _copy(required(row, "copy"))

    def of(self, project: str, sources: Sequence[Digest], profile: Digest, verifier: str) -> list[Copy]:
        statement = select(copy_table).where(*_under(project, profile, verifier))
        found = {row.source: row for row in rows_in(self._connection, statement, copy_table.c.source, sources)}
        return [_copy(dict(found[source]._mapping)) for source in dict.fromkeys(sources) if source in found]

    def some(self, copies: Sequence[int]) -> Iterator[Copy]:
        rows = rows_in(self._connection, select(copy_table), copy_table.c.id, copies)
        return (_copy(dict(row._mapping)) for row in rows)

    def all(self, *, project: str | None = None, state: CopyState | None = None) -> list[Copy]:
        conditions: list[ColumnElement[bool]] = []
        if project is not None:
            conditions.append(copy_table.c.project == project)
        if state is not None:
            conditions.append(copy_table.c.state == state)
        return self._where(*conditions)

    def by_digest(self, digests: Sequence[Digest]) -> list[Copy]:
        return self._among(copy_table.c.digest, digests)

    def by_source(self, sources: Sequence[Digest]) -> list[Copy]:
        return self._among(copy_table.c.source, sources)

    def source_of_uid(self, uid: str) -> list[Digest]:
        if not uid:
            return []  # a refused copy has no UIDs
        named = (copy_table.c.study_uid == uid, copy_table.c.series_uid == uid, copy_table.c.sop_uid == uid)
        rows = self._connection.execute(select(copy_table.c.source).where(or_(*named)).order_by(copy_table.c.id))
        return list(dict.fromkeys(rows.scalars()))

    def _among(self, column: ColumnElement[Any], digests: Sequence[Digest]) -> list[Copy]:
        rows = rows_in(self._connection, select(copy_table), column, digests)
        return [_copy(dict(row._mapping)) for row in sorted(rows, key=lambda row: row.id)]

    def _where(self, *conditions: ColumnElement[bool]) -> list[Copy]:
        rows = self._connection.execute(select(copy_table).where(*conditions).order_by(copy_table.c.id))
        return [_copy(dict(row._mapping)) for row in rows]


class SqlLabels:
    """Implements `ports.Labels`. A set's positions only grow: an entry at or before its end is Refused."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, name: str, entries: Sequence[LabelEntry]) -> None:
        last = select(func.max(label_entry.c.position)).where(label_entry.c.name == name)
        end = self._connection.execute(last).scalar_one()
        rows = []
        for entry in entries:
            if end is not None and entry.position <= end:
                raise Refused("a label set is only written at its end", "read its entries again")
            end = entry.position
            rows.append({"name": name, **_label_columns(entry)})
        add(self._connection, label_entry, rows)
        self._say(name, entries)

    def entries(self, name: str, up_to: int | None = None) -> list[LabelEntry]:
        statement = select(label_entry).where(label_entry.c.name == name).order_by(label_entry.c.position)
        entries = [_entry(dict(row._mapping)) for row in self._connection.execute(statement)]
        if not entries:
            raise NotFound("there is no such label set", "list the label sets")
        return [entry for entry in entries if up_to is None or entry.position <= up_to]

    def all(self) -> list[tuple[str, int]]:
        last = select(label_entry.c.name, func.max(label_entry.c.position)).group_by(label_entry.c.name)
        return [(name, version) for name, version in self._connection.execute(last.order_by(label_entry.c.name))]

    def _say(self, name: str, entries: Sequence[LabelEntry]) -> None:
        """Keep what the set says now about these targets."""
        for level in {entry.label.level for entry in entries}:
            of_level = (label_entry.c.name == name, label_entry.c.level == level)
            about = select(label_entry).where(*of_level).order_by(label_entry.c.position)
            for targets in chunks([entry.label.target for entry in entries if entry.label.level is level]):
                rows = self._connection.execute(about.where(label_entry.c.target.in_(targets)))
                said = resolve(_entry(dict(row._mapping)) for row in rows)
                before = (label_now.c.name == name, label_now.c.level == level, label_now.c.target.in_(targets))
                self._connection.execute(delete(label_now).where(*before))
                now = [
                    {"name": name, "level": str(level), "target": target, "finding": finding, "value": value}
                    | {"number": number(target)}
                    for (_, target), findings in said.items()
                    for finding, value in findings.items()
                ]
                put(self._connection, label_now, now)


def _project(row: dict[str, Any]) -> Project:
    return Project(**{**row, "requires": tuple(row["requires"])})


def _name(copy: Copy) -> _Name:
    return (copy.project, copy.source, copy.profile, copy.verifier)


def _under(project: str, profile: Digest, verifier: str) -> tuple[ColumnElement[bool], ...]:
    columns = copy_table.c
    return (columns.project == project, columns.profile == profile, columns.verifier == verifier)


def _columns(copy: Copy) -> dict[str, Any]:
    return {name: value for name, value in values_of(copy).items() if name != "id"}


def _copy(row: dict[str, Any]) -> Copy:
    documents = {
        "reasons": reasons_from(row["reasons"]),
        "findings": findings_from(row["findings"]),
        "coverage": coverage_from(row["coverage"]),
    }
    return Copy(**{**row, **documents})


def _label_columns(entry: LabelEntry) -> dict[str, Any]:
    label, region = entry.label, entry.label.region
    own = {name: getattr(entry, name) for name in _OF_ENTRY}
    said = {name: getattr(label, name) for name in _OF_LABEL}
    return {**said, **{name: getattr(region, name, None) for name in _OF_REGION}, **own}


def _entry(row: Mapping[str, Any]) -> LabelEntry:
    region = None if row["shape"] is None else Region(**{name: row[name] for name in _OF_REGION})
    label = Label(**{name: row[name] for name in _OF_LABEL}, region=region)
    return LabelEntry(label=label, **{name: row[name] for name in _OF_ENTRY})


_OF_ENTRY, _OF_LABEL, _OF_REGION = (
    tuple(field.name for field in fields(record) if field.name not in ("label", "region"))
    for record in (LabelEntry, Label, Region)
)
