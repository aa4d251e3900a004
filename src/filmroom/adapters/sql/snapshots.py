"""Cohorts, snapshots with their members, shardsets with their objects, and models."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select, update

from filmroom.adapters.sql.rows import add, reasons_from, required, rows_in, values_of
from filmroom.catalog.schema import cohort as cohort_table
from filmroom.catalog.schema import copy as copy_table
from filmroom.catalog.schema import instance, patient, sealed_object, series, snapshot_member, study
from filmroom.catalog.schema import model as model_table
from filmroom.catalog.schema import shardset as shardset_table
from filmroom.catalog.schema import snapshot as snapshot_table
from filmroom.errors import NotFound, Refused
from filmroom.ids import Digest, Versioned
from filmroom.records import Cohort, Criteria, Exclusion, Member, Model, SealedObject, Shardset, Snapshot


class SqlCohorts:
    """Implements `ports.Cohorts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, cohort: Cohort) -> None:
        latest = self.latest(cohort.ref.name)
        if cohort.ref.version != (latest.ref.version if latest else 0) + 1:
            raise Refused("a cohort is only written at its end", "look at its newest version")
        add(self._connection, cohort_table, [_versioned_columns(cohort)])

    def get(self, ref: Versioned) -> Cohort:
        found = self._where(cohort_table.c.name == ref.name, cohort_table.c.version == ref.version)
        return found[0] if found else _cohort(required(None, "cohort"))

    def latest(self, name: str) -> Cohort | None:
        found = self._where(cohort_table.c.name == name)
        return found[-1] if found else None

    def all(self) -> list[Cohort]:
        return self._where()

    def _where(self, *conditions: ColumnElement[bool]) -> list[Cohort]:
        order = (cohort_table.c.name, cohort_table.c.version)
        rows = self._connection.execute(select(cohort_table).where(*conditions).order_by(*order))
        return [_cohort(dict(row._mapping)) for row in rows]


class SqlSnapshots:
    """Implements `ports.Snapshots`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, snapshot: Snapshot, members: Sequence[Member]) -> None:
        add(self._connection, snapshot_table, [_versioned_columns(snapshot)])
        key = self._key(snapshot.ref)
        add(self._connection, snapshot_member, [{"snapshot_pk": key, **values_of(member)} for member in members])

    def get(self, ref: Versioned) -> Snapshot:
        found = self._where(snapshot_table.c.name == ref.name, snapshot_table.c.version == ref.version)
        return found[0] if found else _snapshot(required(None, "snapshot"))

    def latest(self, name: str) -> Snapshot | None:
        found = self._where(snapshot_table.c.name == name)
        return found[-1] if found else None

    def all(self) -> list[Snapshot]:
        return self._where()

    def members(self, ref: Versioned) -> list[Member]:
        statement = select(snapshot_member).where(snapshot_member.c.snapshot_pk == self._key(ref))
        rows = self._connection.execute(statement.order_by(snapshot_member.c.position))
        return [Member(position=row.position, copy=row.copy, subject=row.subject, split=row.split) for row in rows]

    def parts(self, project: str) -> list[tuple[Versioned, str, str]]:
        joined = snapshot_table.join(snapshot_member, snapshot_member.c.snapshot_pk == snapshot_table.c.pk)
        parts = (*snapshot_table.c["pk", "name", "version"], *snapshot_member.c["split", "subject"])
        statement = select(*parts).select_from(joined).where(snapshot_table.c.project == project).distinct()
        rows = self._connection.execute(statement.order_by(*parts))
        return [(Versioned(row.name, row.version), row.split, row.subject) for row in rows]

    def patients(self, ref: Versioned, part: str | None = None) -> set[str]:
        snapshot = self.get(ref)
        joined = (
            snapshot_member.join(copy_table, copy_table.c.digest == snapshot_member.c.copy)
            .join(instance, instance.c.digest == copy_table.c.source)
            .join(series, series.c.pk == instance.c.series_pk)
            .join(study, study.c.pk == series.c.study_pk)
            .join(patient, patient.c.pk == study.c.patient_pk)
        )
        conditions = [snapshot_member.c.snapshot_pk == self._key(ref), copy_table.c.project == snapshot.project]
        if part is not None:
            conditions.append(snapshot_member.c.split == part)
        statement = select(patient.c.subject).select_from(joined).where(*conditions).distinct()
        return set(self._connection.execute(statement).scalars())

    def containing(self, copies: Sequence[Digest]) -> list[Versioned]:
        joined = snapshot_table.join(snapshot_member, snapshot_member.c.snapshot_pk == snapshot_table.c.pk)
        statement = select(*snapshot_table.c["name", "version"]).select_from(joined).distinct()
        rows = rows_in(self._connection, statement, snapshot_member.c.copy, copies)
        return sorted({Versioned(row.name, row.version) for row in rows})

    def by_id(self, snapshot: Digest) -> Snapshot | None:
        found = self._where(snapshot_table.c.id == snapshot)
        return found[0] if found else None

    def _key(self, ref: Versioned) -> int:
        named = (snapshot_table.c.name == ref.name, snapshot_table.c.version == ref.version)
        row = self._connection.execute(select(snapshot_table.c.pk).where(*named)).one_or_none()
        key: int = required(row, "snapshot")["pk"]
        return key

    def _where(self, *conditions: ColumnElement[bool]) -> list[Snapshot]:
        order = (snapshot_table.c.name, snapshot_table.c.version)
        rows = self._connection.execute(select(snapshot_table).where(*conditions).order_by(*order))
        return [_snapshot(dict(row._mapping)) for row in rows]


class SqlShardsets:
    """Implements `ports.Shardsets`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, shardset: Shardset, objects: Sequence[SealedObject]) -> None:
        add(self._connection, shardset_table, [values_of(shardset)])
        key = self._key(shardset.id)
        add(self._connection, sealed_object, [{"shardset_pk": key, **values_of(each)} for each in objects])

    def get(self, shardset: Digest) -> Shardset:
        row = self._connection.execute(select(shardset_table).where(shardset_table.c.id == shardset)).one_or_none()
        return _shardset(required(row, "shardset"))

    def find(self, snapshot: Versioned, recipe: Digest | None = None) -> list[Shardset]:
        statement = select(shardset_table).where(shardset_table.c.snapshot == snapshot)
        if recipe is not None:
            statement = statement.where(shardset_table.c.recipe == recipe)
        order = (shardset_table.c.built_at.desc(), shardset_table.c.pk.desc())
        return [_shardset(dict(row._mapping)) for row in self._connection.execute(statement.order_by(*order))]

    def objects(self, shardset: Digest) -> list[SealedObject]:
        """Return the objects in the order in which they were added."""
        statement = select(sealed_object).where(sealed_object.c.shardset_pk == self._key(shardset))
        return [
            SealedObject(
                name=row.name, subject=row.subject, size_bytes=row.size_bytes, sealed=row.sealed, plain=row.plain
            )
            for row in self._connection.execute(statement.order_by(sealed_object.c.pk))
        ]

    def replace_objects(self, shardset: Digest, objects: Sequence[SealedObject]) -> None:
        """Keep where and how repaired objects lie now. Raises NotFound for an object that the shardset never had."""
        key, there = self._key(shardset), {each.name for each in self.objects(shardset)}
        if not {each.name for each in objects} <= there:
            raise NotFound("the shardset never had one of these objects", "build the shardset anew")
        named = (sealed_object.c.shardset_pk == bindparam("key"), sealed_object.c.name == bindparam("called"))
        rows = []
        for each in objects:
            columns = values_of(each)
            rows.append({"key": key, "called": columns.pop("name"), **columns})
        if rows:
            self._connection.execute(update(sealed_object).where(*named), rows)

    def _key(self, shardset: Digest) -> int:
        row = self._connection.execute(select(shardset_table.c.pk).where(shardset_table.c.id == shardset)).one_or_none()
        key: int = required(row, "shardset")["pk"]
        return key


class SqlModels:
    """Implements `ports.Models`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, model: Model) -> None:
        add(self._connection, model_table, [_versioned_columns(model)])

    def get(self, ref: Versioned) -> Model:
        found = self._where(model_table.c.name == ref.name, model_table.c.version == ref.version)
        return found[0] if found else _model(required(None, "model"))

    def latest(self, name: str) -> Model | None:
        found = self._where(model_table.c.name == name)
        return found[-1] if found else None

    def of(self, snapshot: Versioned) -> list[Model]:
        return self._where(model_table.c.snapshot == snapshot)

    def by_digest(self, digest: Digest) -> list[Model]:
        return self._where(model_table.c.digest == digest)

    def _where(self, *conditions: ColumnElement[bool]) -> list[Model]:
        order = (model_table.c.name, model_table.c.version)
        rows = self._connection.execute(select(model_table).where(*conditions).order_by(*order))
        return [_model(dict(row._mapping)) for row in rows]


def _versioned_columns(record: Cohort | Snapshot | Model) -> dict[str, Any]:
    columns = values_of(record)
    del columns["ref"]
    return {**columns, "name": record.ref.name, "version": record.ref.version}


def _versioned_fields(row: dict[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in row.items() if name not in ("pk", "name", "version")}
    return {**fields, "ref": Versioned(row["name"], row["version"])}


def _cohort(row: dict[str, Any]) -> Cohort:
    fields = _versioned_fields(row)
    document = fields["criteria"]
    criteria = Criteria(
        project=document["project"],
        where=document["where"],
        exclude=tuple(Exclusion(**each) for each in document["exclude"]),
        require=tuple(document["require"]),
        not_in=tuple(document["not_in"]),
        labels=tuple(document["labels"]),
    )
    return Cohort(**{**fields, "criteria": criteria})


def _snapshot(row: dict[str, Any]) -> Snapshot:
    return Snapshot(**{**_versioned_fields(row), "label_sets": tuple(row["label_sets"])})


def _model(row: dict[str, Any]) -> Model:
    return Model(**_versioned_fields(row))


def _shardset(row: dict[str, Any]) -> Shardset:
    fields = {name: value for name, value in row.items() if name != "pk"}
    return Shardset(**{**fields, "failures": reasons_from(row["failures"])})
