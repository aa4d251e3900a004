"""Instances with their patients, studies and series, and the questions that are asked about them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
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

from filmroom.adapters.sql.cataloging import Cataloging, refresh, series_below
from filmroom.adapters.sql.rows import CHUNK, Lookup, required, stream
from filmroom.catalog.query import (
    compile_bound,
    compile_count,
    compile_facet,
    compile_query,
    compile_where,
    entity_order,
    everything,
    within,
)
from filmroom.catalog.schema import KIND, MIRRORED, TABLES, WORDED, copy, label_entry, patient, series, snapshot, study
from filmroom.catalog.schema import instance as instance_table
from filmroom.catalog.types import AsText, Words, fit, storable
from filmroom.dicom.attributes import BY_NAME, columns_of
from filmroom.errors import NotFound
from filmroom.ids import Digest, Versioned
from filmroom.records import Candidate, Instance, InstanceState, Level, StoredInstance, Value

_COLUMNS = columns_of(Level.INSTANCE)


_PAGE = 10_000
"""Up to so many rows are looked for by a bound first."""


class SqlInstances:
    """Implements `ports.Instances`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known = _Known(connection)

    def add(self, instances: Sequence[tuple[Instance, str, str, InstanceState]]) -> None:
        if instances:
            Cataloging(self._connection, instances).run()

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
        held = select(instance_table.c.series_pk).where(instance_table.c.digest == str(digest))
        refresh(self._connection, set(self._connection.execute(held).scalars()))

    def query(
        self, where: str, level: Level, *, select: Sequence[str], order: str | None, limit: int | None, offset: int = 0
    ) -> list[dict[str, Value]]:
        statement = compile_query(
            where, level, chosen=select, order=order, limit=limit, offset=offset, known=self._known
        )
        if level is Level.SERIES and order is not None and limit and limit + offset <= _PAGE:
            statement = self._bounded(statement, where, order, limit, offset)
        return [dict(row._mapping) for row in self._connection.execute(statement)]

    def count(self, where: str, level: Level) -> int:
        return int(self._connection.execute(compile_count(where, level, self._known)).scalar_one())

    def facet(self, where: str, level: Level, name: str, most: int) -> list[tuple[Value, int]]:
        rows = self._connection.execute(compile_facet(where, level, name, most, self._known))
        return [(value, int(count)) for value, count in rows]

    def matching(self, where: str) -> Iterator[StoredInstance]:
        statement = _stored().where(compile_where(where, Level.INSTANCE, self._known))
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
        left = [(compile_where(each, Level.INSTANCE, self._known), at) for at, each in enumerate(exclude)]
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
        rows = stream(self._connection, statement.where(compile_where(where, Level.INSTANCE, self._known)))
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
            if level is not Level.INSTANCE and not news.keys().isdisjoint((*KIND, *MIRRORED, *WORDED)):
                refresh(self._connection, {key for pk in columns for key in series_below(self._connection, level, pk)})

    def _bounded(
        self, statement: Select[*tuple[Any, ...]], where: str, order: str, limit: int, offset: int
    ) -> Select[*tuple[Any, ...]]:
        """Return the statement for the rows that can be on the page: naming and sorting all others costs the most."""
        bounding = compile_bound(where, order, limit, offset, self._known)
        bound = None if bounding is None else self._connection.execute(bounding).scalar_one_or_none()
        return statement if bound is None else within(statement, order, bound)


class _Known:
    """Implements `catalog.query.Known`, each thing looked up once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._levels: dict[str, Collection[Level]] = {}

    def label_levels(self, name: str) -> Collection[Level]:
        if name not in self._levels:
            self._levels[name] = found = set[Level]()
            last = ""  # each step finds the next level in an index, where a set has a million entries of one
            while (
                level := self._connection.execute(_NEXT_LEVEL, {"set": name, "last": last}).scalar_one()
            ) is not None:
                found.add(Level(level))
                last = level
        if not self._levels[name]:
            raise NotFound("there is no such label set", "`filmroom labels list` lists them")
        return self._levels[name]

    def snapshot_key(self, ref: Versioned) -> int:
        named = (snapshot.c.name == ref.name, snapshot.c.version == ref.version)
        found: int | None = self._connection.execute(select(snapshot.c.pk).where(*named)).scalar_one_or_none()
        if found is None:
            raise NotFound("there is no such snapshot", "`filmroom snapshots` lists them")
        return found


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


_LEVEL = type_coerce(label_entry.c.level, Words)
_NEXT_LEVEL = select(func.min(_LEVEL)).where(
    label_entry.c.name == bindparam("set"), bindparam("last", type_=Words) < _LEVEL
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
