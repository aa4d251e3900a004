"""Instances with their patients, studies and series, and the questions that are asked about them."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
    type_coerce,
    update,
)

from filmroom.adapters.sql.rows import CHUNK, Lookup, add, required, stream
from filmroom.catalog.query import compile_query, compile_where, entity_order, everything
from filmroom.catalog.schema import TABLES, copy, patient, series, study
from filmroom.catalog.schema import instance as instance_table
from filmroom.catalog.types import AsText, fit, storable
from filmroom.dicom.attributes import BY_NAME, columns_of
from filmroom.ids import Digest
from filmroom.records import Candidate, Instance, InstanceState, Level, StoredInstance, Value

_Key = tuple[int, str]
"""What names an entity: its parent's surrogate key (0 for a patient) and its name below it."""

_COLUMNS = columns_of(Level.INSTANCE)
_NAMES = {Level.PATIENT: "subject", Level.STUDY: "study_uid", Level.SERIES: "series_uid"}


class SqlInstances:
    """Implements `ports.Instances`.

    The first instance of a patient, study or series fills its columns; later ones fill only what is still empty.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, instances: Sequence[tuple[Instance, str, str, InstanceState]]) -> None:
        if not instances:
            return
        values = [_values(instance, subject) for instance, subject, _, _ in instances]
        parents = [0] * len(values)
        standing = self._standing(values)
        for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
            keys = [(parent, str(row[_NAMES[level]])) for parent, row in zip(parents, values, strict=True)]
            known = self._ensure(level, keys, values, standing[level])
            parents = [known[key] for key in keys]
        if any(row["completeness"] is not None for row in standing[Level.SERIES].values()):
            reopened = update(series).where(series.c.pk.in_(set(parents))).values(completeness=None)
            self._connection.execute(reopened)
        rows = [
            {**_at(Level.INSTANCE, row), "series_pk": parent, "batch": batch, "state": state}
            for (_, _, batch, state), row, parent in zip(instances, values, parents, strict=True)
        ]
        add(self._connection, instance_table, rows)

    def get(self, digest: Digest) -> StoredInstance:
        row = self._connection.execute(_stored().where(instance_table.c.digest == str(digest))).one_or_none()
        required(row, "instance")
        assert row is not None
        return _record(row)

    def some(self, digests: Sequence[Digest]) -> dict[Digest, StoredInstance]:
        rows = _STORED.rows(self._connection, map(str, digests))
        return {record.digest: record for record in map(_record, rows)}

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        return {Digest.parse(row.digest) for row in _BY_DIGEST.rows(self._connection, map(str, digests))}

    def standing(self, instances: Sequence[Instance]) -> tuple[set[Digest], dict[str, Digest]]:
        known: set[Digest] = set()
        current: dict[str, Digest] = {}
        for start in range(0, len(instances), CHUNK):
            some = instances[start : start + CHUNK]
            uids = {storable(each.sop_uid): each.sop_uid for each in some}
            digests = {str(each.digest): each.digest for each in some}
            for row in self._connection.execute(_STANDING, {"digests": list(digests), "uids": list(uids)}):
                if row.digest in digests:
                    known.add(digests[row.digest])
                if row.state is InstanceState.CURRENT and row.sop_uid in uids:
                    current[uids[row.sop_uid]] = Digest.parse(row.digest)
        return known, current

    def revisions(self, sop_uids: Sequence[str]) -> dict[str, StoredInstance]:
        stored = {storable(uid): uid for uid in sop_uids}
        return {stored[row.sop_uid]: _record(row) for row in _REVISIONS.rows(self._connection, stored)}

    def set_state(self, digest: Digest, state: InstanceState) -> None:
        statement = update(instance_table).where(instance_table.c.digest == str(digest)).values(state=state)
        if self._connection.execute(statement).rowcount == 0:
            required(None, "instance")

    def query(
        self, where: str, level: Level, *, select: Sequence[str], order: str | None, limit: int | None, offset: int = 0
    ) -> list[dict[str, Value]]:
        statement = compile_query(where, level, chosen=select, order=order, limit=limit, offset=offset)
        return [dict(row._mapping) for row in self._connection.execute(statement)]

    def matching(self, where: str) -> Iterator[StoredInstance]:
        statement = _stored().where(compile_where(where, Level.INSTANCE))
        return map(_record, stream(self._connection, statement.order_by(*entity_order(Level.INSTANCE))))

    def candidates(
        self,
        where: str,
        exclude: Sequence[str],
        *,
        project: str,
        profile: Digest,
        verifier: str,
        columns: Sequence[str] = (),
    ) -> Iterator[Candidate]:
        left = [(compile_where(each, Level.INSTANCE), at) for at, each in enumerate(exclude)]
        made = and_(
            copy.c.source == instance_table.c.digest,
            copy.c.project == project,
            copy.c.profile == profile,
            copy.c.verifier == verifier,
        )
        fixed = (
            patient.c.pk,
            study.c.pk,
            series.c.pk,
            patient.c.subject,
            study.c.study_uid,
            series.c.series_uid,
            *instance_table.c["sop_uid", "pixel_digest", "damage"],
            case(*left, else_=null()) if left else null(),
            copy.c.id,
            type_coerce(copy.c.state, Text),
            copy.c.subject,
        )
        joined = everything().outerjoin(copy, made)
        # Texts as the driver gives them: hundreds of thousands of rows come through here.
        asked = [type_coerce(each, Text) if isinstance(each.type, AsText) else each for each in fixed]
        values = compile_query("", Level.INSTANCE, chosen=columns).selected_columns if columns else ()
        statement = select(*asked, *values).select_from(joined)
        rows = stream(self._connection, statement.where(compile_where(where, Level.INSTANCE)))
        count = len(asked)
        return (Candidate._make((*row[:count], row[count:])) for row in rows)

    def find(self, level: Level, name: str) -> list[StoredInstance]:
        names = {
            Level.PATIENT: or_(patient.c.patient_id == name, patient.c.subject == name),
            Level.STUDY: study.c.study_uid == name,
            Level.SERIES: series.c.series_uid == name,
            Level.INSTANCE: instance_table.c.sop_uid == name,
        }
        current = instance_table.c.state == InstanceState.CURRENT
        statement = _stored().where(names[level], current).order_by(*entity_order(Level.INSTANCE))
        return [_record(row) for row in self._connection.execute(statement)]

    def filled(self) -> list[tuple[str, str, int, int]]:
        modality = func.coalesce(series.c.modality, "").label("modality_or_none")
        counts = [func.count(TABLES[column.level].c[column.name]) for column in _COLUMNS]
        statement = (
            select(modality, func.count(), *counts)
            .select_from(everything())
            .where(compile_where("", Level.INSTANCE))
            .group_by(modality)
            .order_by(modality)
        )
        return [
            (name, column.name, filled, instances)
            for name, instances, *counted in self._connection.execute(statement)
            for column, filled in zip(_COLUMNS, counted, strict=True)
        ]

    def outdated(self, version: int, most: int) -> list[tuple[dict[Level, int], dict[str, Value]]]:
        own = instance_table.c
        older = or_(own.normalization.is_(None), own.normalization < version)
        some = select(own.series_pk).where(older).distinct().order_by(own.series_pk).limit(most)
        levels = (Level.STUDY, Level.SERIES, Level.INSTANCE)
        statement = select(
            *(TABLES[level].c.pk.label(f"{level}_key") for level in levels),
            *(TABLES[column.level].c[column.name] for column in _COLUMNS),
        )
        statement = statement.select_from(everything()).where(own.series_pk.in_(some))
        return [
            (
                {level: row._mapping[f"{level}_key"] for level in levels},
                {column.name: row._mapping[column.name] for column in _COLUMNS},
            )
            for row in self._connection.execute(statement.order_by(own.series_pk, own.pk))
        ]

    def rewrite(self, level: Level, columns: Mapping[int, Mapping[str, Value]]) -> None:
        rows = [
            {"key": key, **{f"new_{name}": fit(BY_NAME[name], value) for name, value in values.items()}}
            for key, values in columns.items()
        ]
        if rows:
            table = TABLES[level]
            news = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in next(iter(columns.values()))}
            self._connection.execute(update(table).where(table.c.pk == bindparam("key")).values(news), rows)

    def _standing(self, values: Sequence[Mapping[str, Value]]) -> dict[Level, dict[_Key, dict[str, Any]]]:
        """Return the series that are here already, with their studies and patients, in one question."""
        found: dict[Level, dict[_Key, dict[str, Any]]] = {level: {} for level in _NAMES}
        for row in _CHAIN.rows(self._connection, [each["series_uid"] for each in values]):
            parent = 0
            for level, (start, stop) in _SPANS.items():
                columns = dict(zip(TABLES[level].c.keys(), row[start:stop], strict=True))
                found[level][parent, columns[_NAMES[level]]] = columns
                parent = columns["pk"]
        return found

    def _ensure(
        self,
        level: Level,
        keys: Sequence[_Key],
        values: Sequence[Mapping[str, Value]],
        standing: Mapping[_Key, dict[str, Any]],
    ) -> dict[_Key, int]:
        """Return the surrogate key of each entity, after those that were missing were added and the rest filled up."""
        table = TABLES[level]
        wanted: dict[_Key, dict[str, Value]] = {}
        for key, row in zip(keys, values, strict=True):
            merged = wanted.setdefault(key, _at(level, row))
            merged.update({name: value for name, value in _at(level, row).items() if merged[name] is None})
        there = {**standing, **self._there(level, wanted.keys() - standing.keys())}
        self._fill(table, [(there[key], row) for key, row in wanted.items() if key in there])
        missing = [{**row, **_parent(level, key)} for key, row in wanted.items() if key not in there]
        if missing:
            add(self._connection, table, missing)
            there.update(self._there(level, wanted.keys() - there.keys()))
        return {key: there[key]["pk"] for key in wanted}

    def _there(self, level: Level, wanted: AbstractSet[_Key]) -> dict[_Key, dict[str, Any]]:
        name = _NAMES[level]
        found: dict[_Key, dict[str, Any]] = {}
        for row in _ENTITIES[level].rows(self._connection, [key[1] for key in wanted]):
            columns = dict(row._mapping)
            key = (columns[_PARENTS[level]] if level in _PARENTS else 0, columns[name])
            if key in wanted:
                found[key] = columns
        return found

    def _fill(self, table: Table, pairs: Sequence[tuple[dict[str, Any], Mapping[str, Value]]]) -> None:
        rows = [
            {"key": have["pk"], **{f"new_{name}": value for name, value in row.items()}}
            for have, row in pairs
            if any(have[name] is None and value is not None for name, value in row.items())
        ]
        if rows:
            names = [name.removeprefix("new_") for name in rows[0] if name != "key"]
            news = {
                name: func.coalesce(table.c[name], bindparam(f"new_{name}", type_=table.c[name].type)) for name in names
            }
            self._connection.execute(update(table).where(table.c.pk == bindparam("key")).values(news), rows)


_PARENTS = {Level.STUDY: "patient_pk", Level.SERIES: "study_pk"}


def _spans() -> dict[Level, tuple[int, int]]:
    """Return where the columns of each level stand in a row of `_CHAIN`."""
    spans, at = {}, 0
    for level in _NAMES:
        spans[level] = (at, at + len(TABLES[level].c))
        at += len(TABLES[level].c)
    return spans


def _parent(level: Level, key: _Key) -> dict[str, int]:
    return {_PARENTS[level]: key[0]} if level in _PARENTS else {}


def _values(instance: Instance, subject: str) -> dict[str, Value]:
    """Return every column's value; what the record says in fields of its own goes before `values`."""
    own: dict[str, Value] = {
        "patient_id": instance.patient_id or None,
        "issuer": instance.issuer or None,
        "subject": subject,
        "study_uid": instance.study_uid,
        "series_uid": instance.series_uid,
        "sop_uid": instance.sop_uid,
        "sop_class": instance.sop_class,
        "transfer_syntax": instance.transfer_syntax,
        "digest": str(instance.digest),
        "pixel_digest": None if instance.pixel_digest is None else str(instance.pixel_digest),
        "size_bytes": instance.size_bytes,
        "findings": " ".join(f"{each.code}:{each.place}".rstrip(":") for each in instance.findings) or None,
    }
    return {column.name: fit(column, own.get(column.name, instance.values.get(column.name))) for column in _COLUMNS}


def _at(level: Level, values: Mapping[str, Value]) -> dict[str, Value]:
    return {column.name: values[column.name] for column in _COLUMNS if column.level == level}


def _stored() -> Select[*tuple[Any, ...]]:
    return select(
        *instance_table.c["digest", "size_bytes", "sop_uid", "sop_class", "transfer_syntax", "state", "damage"],
        patient.c.subject,
        study.c.study_uid,
        *series.c["series_uid", "modality"],
    ).select_from(everything())


def _record(row: Row[*tuple[Any, ...]]) -> StoredInstance:
    return StoredInstance(
        digest=Digest.parse(row.digest),
        size_bytes=row.size_bytes,
        subject=row.subject,
        study_uid=row.study_uid,
        series_uid=row.series_uid,
        sop_uid=row.sop_uid,
        sop_class=row.sop_class,
        transfer_syntax=row.transfer_syntax,
        modality=row.modality or "",
        state=row.state,
        damage=row.damage,
    )


_SPANS = _spans()
_ENTITIES = {level: Lookup(select(TABLES[level]), TABLES[level].c[name]) for level, name in _NAMES.items()}
_CHAIN = Lookup(
    select(*patient.c, *study.c, *series.c).select_from(
        series.join(study, series.c.study_pk == study.c.pk).join(patient, study.c.patient_pk == patient.c.pk)
    ),
    series.c.series_uid,
)
_STORED = Lookup(_stored(), instance_table.c.digest)
_BY_DIGEST = Lookup(select(instance_table.c.digest), instance_table.c.digest)
_REVISIONS = Lookup(_stored().where(instance_table.c.state == InstanceState.CURRENT), instance_table.c.sop_uid)
_STANDING = select(*instance_table.c["digest", "sop_uid", "state"]).where(
    or_(
        instance_table.c.digest.in_(bindparam("digests", expanding=True)),
        instance_table.c.sop_uid.in_(bindparam("uids", expanding=True)),
    )
)
