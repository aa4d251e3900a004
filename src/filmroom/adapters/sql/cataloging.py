"""Adding instances with their patients, studies and series, and keeping what series repeat so that queries are fast.

The first instance of a patient, study or series fills its columns; later ones fill only what is still empty. A series
has its kind (`schema.KIND`) while an instance of it is current, and repeats what it would be looked up for above; both are
set when it is added, and again by `refresh` when what they are made of changes.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, Table, Update, bindparam, exists, func, select, update

from filmroom.adapters.sql.bulk import keys, put, put_new
from filmroom.adapters.sql.rows import Lookup, rows_in
from filmroom.catalog.language import fold, words_of
from filmroom.catalog.schema import (
    KIND,
    MIRRORED,
    TABLES,
    WORDED,
    instance,
    patient,
    series,
    series_kind,
    study,
    wording,
)
from filmroom.catalog.types import fit
from filmroom.dicom.attributes import BY_NAME, columns_of
from filmroom.records import ColumnType, Instance, InstanceState, Level, Value

_Key = tuple[int, str]
"""What names an entity: its parent's surrogate key (0 for a patient) and its name below it."""

_Facts = dict[str, Any]

_ABOVE = (Level.PATIENT, Level.STUDY, Level.SERIES)
_NAMES = {Level.PATIENT: "subject", Level.STUDY: "study_uid", Level.SERIES: "series_uid"}
_PARENTS = {Level.PATIENT: "", Level.STUDY: "patient_pk", Level.SERIES: "study_pk"}
_COLUMNS = {
    level: [each.name for each in columns_of(level) if each.level is level] for level in (*_ABOVE, Level.INSTANCE)
}
_OF_KIND = {level: [name for name in _COLUMNS[level] if name in (*KIND, *MIRRORED, *WORDED)] for level in _ABOVE}
_TEXTS = frozenset(column.name for column in BY_NAME.values() if column.type in (ColumnType.TEXT, ColumnType.DATE))
_CURRENT = InstanceState.CURRENT


class Cataloging:
    """One addition: what is here already, what is new, and what was filled up."""

    def __init__(self, connection: Connection, instances: Sequence[tuple[Instance, str, str, InstanceState]]) -> None:
        self._connection = connection
        self._instances = instances
        self._facts = [_facts(each, subject) for each, subject, _, _ in instances]
        self._entities: dict[Level, dict[_Key, _Facts]] = {level: {} for level in _ABOVE}
        self._here: dict[Level, dict[_Key, _Facts]] = {level: {} for level in _ABOVE}
        self._refilled: set[int] = set()  # series whose kind or repeated columns may be others now

    def run(self) -> None:
        self._find_series()
        parents = [0] * len(self._facts)
        for level in _ABOVE:
            named = [(parent, facts[_NAMES[level]]) for parent, facts in zip(parents, self._facts, strict=True)]
            self._merge(level, named)
            self._find(level)
            self._fill(level)
            self._add(level)
            entities = self._entities[level]
            parents = [entities[key]["pk"] for key in named]
        self._add_instances(parents)
        self._reopen(parents)
        current = {parent for parent, each in zip(parents, self._instances, strict=True) if each[3] is _CURRENT}
        woken = {row["pk"] for row in self._here[Level.SERIES].values() if row["kind"] is None} & current
        refresh(self._connection, self._refilled | woken)

    def _find_series(self) -> None:
        """Find the series that are here already, with their studies and patients, in one question."""
        uids = [facts["series_uid"] for facts in self._facts]
        for row in _CHAIN.rows(self._connection, uids):
            parent = 0
            for level, (start, stop) in _SPANS.items():
                columns = dict(zip(TABLES[level].c.keys(), row[start:stop], strict=True))
                self._here[level][parent, columns[_NAMES[level]]] = columns
                parent = columns["pk"]

    def _merge(self, level: Level, named: Sequence[_Key]) -> None:
        """Put together what the instances say of each entity; the first value stands."""
        entities = self._entities[level]
        for key, facts in zip(named, self._facts, strict=True):
            entity = entities.get(key)
            if entity is None:
                entities[key] = {name: facts[name] for name in _COLUMNS[level] if name in facts}
            else:
                for name in _COLUMNS[level]:
                    if name in facts:
                        entity.setdefault(name, facts[name])

    def _find(self, level: Level) -> None:
        here, parent, new = self._here[level], _PARENTS[level], self._new(level)
        unknown = {key[1] for key in self._entities[level] if key not in here and key[0] not in new}
        for row in _ENTITIES[level].rows(self._connection, sorted(unknown)):
            columns = dict(row._mapping)
            here[columns[parent] if parent else 0, columns[_NAMES[level]]] = columns

    def _new(self, level: Level) -> set[int]:
        """Return the keys of the parents that are new themselves, and have nothing below them in the catalog."""
        if level is Level.PATIENT:
            return set()
        above = _ABOVE[_ABOVE.index(level) - 1]
        return {entity["pk"] for key, entity in self._entities[above].items() if key not in self._here[above]}

    def _fill(self, level: Level) -> None:
        """Fill what is still empty of the entities that are here."""
        rows = []
        for key, entity in self._entities[level].items():
            have = self._here[level].get(key)
            if have is None:
                continue
            entity["pk"] = have["pk"]
            new = {name: value for name, value in entity.items() if have.get(name) is None}
            if new:
                rows.append({"key": have["pk"], **{f"new_{name}": new.get(name) for name in _COLUMNS[level]}})
                if not new.keys().isdisjoint(_OF_KIND[level]):
                    self._refilled |= series_below(self._connection, level, have["pk"])
            entity.update({name: value for name, value in have.items() if value is not None})
        if rows:
            self._connection.execute(_FILLS[level], rows)

    def _add(self, level: Level) -> None:
        new = [(key, entity) for key, entity in self._entities[level].items() if key not in self._here[level]]
        pks = keys(self._connection, TABLES[level], len(new))
        for (key, entity), pk in zip(new, pks, strict=True):
            entity["pk"] = pk
            if level is not Level.PATIENT:
                entity[_PARENTS[level]] = key[0]
        added = [entity for _, entity in new]
        if level is Level.SERIES and added:
            self._derive(added)
        put(self._connection, TABLES[level], added)

    def _derive(self, added: Sequence[_Facts]) -> None:
        """Set the kind of new series, and what they repeat."""
        studies = {each["pk"]: each for each in self._entities[Level.STUDY].values()}
        patients = {each["pk"]: each for each in self._entities[Level.PATIENT].values()}
        current = {
            facts["series_uid"] for facts, each in zip(self._facts, self._instances, strict=True) if each[3] is _CURRENT
        }
        kinds = _Kinds()
        for entity in added:
            above = studies[entity["study_pk"]]
            entity["uid_number"] = number(entity["series_uid"])
            entity.update(kinds.of(entity, above, patients[above["patient_pk"]], entity["series_uid"] in current))
        kinds.write(self._connection)

    def _add_instances(self, parents: Sequence[int]) -> None:
        rows = [
            {name: facts[name] for name in _COLUMNS[Level.INSTANCE] if name in facts}
            | {"pk": pk, "series_pk": parent, "batch": batch, "state": str(state)}
            for pk, facts, parent, (_, _, batch, state) in zip(
                keys(self._connection, instance, len(self._facts)), self._facts, parents, self._instances, strict=True
            )
        ]
        put(self._connection, instance, rows)

    def _reopen(self, parents: Iterable[int]) -> None:
        """Make series that were judged before unjudged again."""
        if any(row["completeness"] is not None for row in self._here[Level.SERIES].values()):
            reopened = update(series).where(series.c.pk.in_(set(parents))).values(completeness=None)
            self._connection.execute(reopened)


# -- what series repeat --------------------------------------------------------------------------------------------


class _Kinds:
    """Kinds and wordings that were met, to be written once."""

    def __init__(self) -> None:
        self._kinds: dict[int, _Facts] = {}
        self._more: Counter[int] = Counter()
        self._wordings: dict[int, str] = {}

    def of(
        self, of_series: _Facts, of_study: _Facts, of_patient: _Facts, is_current: bool, was: int | None = None
    ) -> _Facts:
        """Return the series' columns that are made of others; `was` is the kind that it had."""
        made_of = {
            name: (of_series if name in _COLUMNS[Level.SERIES] else of_study).get(name) for name in (*KIND, *WORDED)
        }
        facts = {name: made_of[name] for name in KIND}
        kind = number(tuple(facts.values())) if is_current else None
        if kind != was:
            self._count(kind, facts, 1)
            self._count(was, None, -1)
        worded = {name: None if made_of[name] is None else number(made_of[name]) for name in WORDED}
        self._wordings |= {key: str(made_of[name]) for name, key in worded.items() if key is not None}
        return {
            "kind": kind,
            "patient_pk": of_patient["pk"],
            "sex": of_patient.get("sex"),
            **{name: of_study.get(name) for name in ("study_date", "age_years")},
            **{f"{name}_wording": key for name, key in worded.items()},
        }

    def write(self, connection: Connection) -> None:
        put_new(connection, series_kind, [{"pk": pk, **facts, "series": 0} for pk, facts in self._kinds.items()])
        more = [{"key": pk, "more": count} for pk, count in self._more.items() if count]
        if more:
            connection.execute(_MORE, more)
        texts = [
            {"pk": pk, "text": text, "folded": fold(text), "words": words_of(text)}
            for pk, text in self._wordings.items()
        ]
        put_new(connection, wording, texts)

    def _count(self, kind: int | None, facts: _Facts | None, by: int) -> None:
        if kind is None:
            return
        self._more[kind] += by
        if facts is not None:
            self._kinds[kind] = facts


def refresh(connection: Connection, changed: Collection[int]) -> None:
    """Set the kind of these series, and what they repeat, by what is cataloged now."""
    if not changed:
        return
    kinds, rows = _Kinds(), []
    for row in rows_in(connection, _REPEATED, series.c.pk, sorted(changed)):
        found = row._mapping
        above, middle, own = ({name: found[f"{level}_{name}"] for name in ("pk", *_OF_KIND[level])} for level in _ABOVE)
        made = kinds.of(own, middle, above, bool(row.is_current), row.was)
        rows.append({"key": own["pk"], **{f"new_{name}": value for name, value in made.items()}})
    kinds.write(connection)
    connection.execute(_REPEAT, rows)


def series_below(connection: Connection, level: Level, pk: int) -> set[int]:
    """Return the series of a patient, study or series."""
    if level is Level.SERIES:
        return {pk}
    above = study.c.patient_pk if level is Level.PATIENT else study.c.pk
    return set(
        connection.execute(
            select(series.c.pk).join(study, series.c.study_pk == study.c.pk).where(above == pk)
        ).scalars()
    )


def number(value: object) -> int:
    """Return 63 bits that stand for a text, or for a combination of values."""
    return int.from_bytes(blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


# -- one instance --------------------------------------------------------------------------------------------------


def _facts(found: Instance, subject: str) -> _Facts:
    """Return the values of all columns that have one; what the record says in fields of its own goes before `values`."""
    own: dict[str, Value] = {
        **found.values,
        "patient_id": found.patient_id or None,
        "issuer": found.issuer or None,
        "subject": subject,
        "study_uid": found.study_uid,
        "series_uid": found.series_uid,
        "sop_uid": found.sop_uid,
        "sop_class": found.sop_class,
        "transfer_syntax": found.transfer_syntax,
        "digest": str(found.digest),
        "pixel_digest": None if found.pixel_digest is None else str(found.pixel_digest),
        "size_bytes": found.size_bytes,
        "findings": " ".join(f"{each.code}:{each.place}".rstrip(":") for each in found.findings) or None,
    }
    facts: _Facts = {}
    for name, value in own.items():
        plain = (
            name in _TEXTS and type(value) is str and value.isascii() and "\0" not in value
        )  # what `fit` leaves as it is
        held = value if plain or name not in BY_NAME else fit(BY_NAME[name], value)
        if held is not None:
            facts[name] = held
    return facts


# -- statements ----------------------------------------------------------------------------------------------------


def _spans() -> dict[Level, tuple[int, int]]:
    """Return where the columns of each level stand in a row of `_CHAIN`."""
    spans, at = {}, 0
    for level in _ABOVE:
        spans[level] = (at, at + len(TABLES[level].c))
        at += len(TABLES[level].c)
    return spans


def _filling(table: Table, names: Sequence[str]) -> Update:
    """Return the statement that fills what is empty."""
    new = {name: func.coalesce(table.c[name], bindparam(f"new_{name}", type_=table.c[name].type)) for name in names}
    return update(table).where(table.c.pk == bindparam("key")).values(new)


_joined = series.join(study, series.c.study_pk == study.c.pk).join(patient, study.c.patient_pk == patient.c.pk)
_SPANS = _spans()
_CHAIN = Lookup(select(*patient.c, *study.c, *series.c).select_from(_joined), series.c.series_uid)
_ENTITIES = {level: Lookup(select(TABLES[level]), TABLES[level].c[name]) for level, name in _NAMES.items()}
_FILLS = {level: _filling(TABLES[level], _COLUMNS[level]) for level in _ABOVE}
_MORE = (
    update(series_kind)
    .where(series_kind.c.pk == bindparam("key"))
    .values(series=series_kind.c.series + bindparam("more", type_=series_kind.c.series.type))
)
_MADE = ("kind", "patient_pk", *MIRRORED, *(f"{name}_wording" for name in WORDED))
_REPEAT = (
    update(series)
    .where(series.c.pk == bindparam("key"))
    .values({name: bindparam(f"new_{name}", type_=series.c[name].type) for name in _MADE})
)
_REPEATED = select(
    *(TABLES[level].c[name].label(f"{level}_{name}") for level in _ABOVE for name in ("pk", *_OF_KIND[level])),
    series.c.kind.label("was"),
    exists().where(instance.c.series_pk == series.c.pk, instance.c.state == _CURRENT).label("is_current"),
).select_from(_joined)
