"""The second gate: conditions of `catalog.language` become statements over the catalog's tables, the same for both engines.

The meaning is the same on both: text compares by code point and with regard to case, ILIKE without; in LIKE and ILIKE `%`
and `_` are the only special characters, but for the one that ESCAPE names. Comparing with NULL is neither true nor false. An entity of
a level is found when at least one of its current instances satisfies the condition.

The shape of a statement follows what a condition looks at. What only looks at columns of `schema.KIND` is asked of the kinds,
of which there are few, and they know how many series they have; what looks for text, of the wordings; the rest of the
series, which repeat what is often asked for; and instances only where nothing else will do.
"""

import operator
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    distinct,
    exists,
    false,
    func,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlglot import exp

from filmroom.catalog import language
from filmroom.catalog.language import Labelled, check_side, column, fold, is_number, literal, refused, unknown
from filmroom.catalog.schema import (
    KIND,
    MIRRORED,
    TABLES,
    WORDED,
    copy,
    instance,
    label_entry,
    label_now,
    patient,
    series,
    series_kind,
    snapshot_member,
    study,
    wording,
)
from filmroom.catalog.types import fit
from filmroom.dicom.attributes import BY_NAME, columns_of
from filmroom.errors import Invalid
from filmroom.ids import Versioned
from filmroom.records import PRESENT, Column, InstanceState, LabelKind, Level

FOLD = "filmroom_fold"
"""The name under which `language.fold` must be registered with every SQLite connection."""

LEVELS = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE)
NAMES = {
    Level.PATIENT: "subject",
    Level.STUDY: "study_uid",
    Level.SERIES: "series_uid",
    Level.INSTANCE: "sop_uid",
}
"""What names an entity of a level, and a label's target."""


class Known(Protocol):
    """What has to be looked up to know what a condition means. Raises NotFound for what is not there."""

    def label_levels(self, name: str) -> Collection[Level]:
        """Return the levels of a label set's targets."""
        ...

    def snapshot_key(self, ref: Versioned) -> int:
        """Return the surrogate key of a snapshot."""
        ...


class _Anything:
    """For reading a condition without a catalog."""

    def label_levels(self, name: str) -> Collection[Level]:
        return LEVELS

    def snapshot_key(self, ref: Versioned) -> int:
        return 0


ANYTHING = _Anything()

_MAX_PATTERN = 10_000
_MAX_INT = 2**63 - 1
_COMPARISONS: dict[type[exp.Expression], Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[bool]]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_OPERANDS: dict[type[exp.Expression], set[str]] = {exp.In: {"expressions"}, exp.Between: {"low", "high"}}


class _Folded(FunctionElement[str]):
    """A text column as `fold` would write it."""

    type = Text()
    inherit_cache = True


@compiles(_Folded)
def _folded_by_us(element: _Folded, compiler: SQLCompiler, **options: object) -> str:
    return f"{FOLD}({compiler.process(element.clauses, **options)})"


@compiles(_Folded, "postgresql")
def _folded_by_postgresql(element: _Folded, compiler: SQLCompiler, **options: object) -> str:
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "pg_c_utf8")'


# -- statements ----------------------------------------------------------------------------------------------------


def compile_where(where: str, level: Level, known: Known = ANYTHING) -> ColumnElement[bool]:
    """Return the condition for a statement over `level`'s table joined to those above it.

    It is true for an entity with at least one current instance that satisfies `where`; "" is satisfied by every
    instance. Raises Invalid for everything that the language does not have.
    """
    parts = _parts(where, level, known)
    match level:
        case Level.FILE:
            return and_(true(), *(part.sql(_FILES) for part in parts))
        case Level.INSTANCE:
            kinds, others = _split(parts, _is_of_kind)
            current = instance.c.state == InstanceState.CURRENT
            return and_(current, *_in_kind(kinds), *(part.sql(_EVERYWHERE) for part in others))
        case Level.SERIES:
            return and_(*_of_series(parts))
        case _:
            own, below = _split(parts, lambda part: part.columns and part.levels <= set(_down_to(level)))
            return and_(*(part.sql(_ABOVE) for part in own), _has_series(level, below))


def compile_query(
    where: str,
    level: Level,
    *,
    chosen: Sequence[str] = (),
    order: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    known: Known = ANYTHING,
) -> Select[*tuple[Any, ...]]:
    """Return the statement for a row for each entity of `level`: columns of the level and above, in their own names.

    `order` is a column, with ` desc` behind it for the largest first; rows without a value come last. Rows that are
    equal by `order` are ordered by what names them: subject, study, series and SOP Instance UID, digest.
    """
    names = dict.fromkeys(_visible(name, level).name for name in chosen) or [each.name for each in columns_of(level)]
    statement = (
        select(*(_sql(BY_NAME[name]).label(name) for name in names))
        .select_from(_joined(_down_to(level)))
        .where(compile_where(where, level, known))
    )
    if order is not None:
        by = _order(order, level)
        statement = statement.order_by((by.sql.desc() if by.is_down else by.sql.asc()).nulls_last())
    statement = statement.order_by(*entity_order(level))
    if (limit is not None and limit < 0) or offset < 0:
        raise Invalid("a limit or an offset cannot be negative", "leave it out for all rows")
    if offset:
        statement = statement.offset(min(offset, _MAX_INT))
    return statement if limit is None else statement.limit(min(limit, _MAX_INT))


def compile_count(where: str, level: Level, known: Known = ANYTHING) -> Select[int]:
    """Return the statement for how many entities of `level` `compile_query` would give rows of."""
    if level in (Level.FILE, Level.INSTANCE):
        return select(func.count()).select_from(_joined(_down_to(level))).where(compile_where(where, level, known))
    parts = _parts(where, level, known)
    if level is Level.SERIES and all(map(_is_of_kind, parts)):
        return select(func.coalesce(func.sum(series_kind.c.series), 0)).where(*(part.sql(_KINDS) for part in parts))
    counted = {Level.PATIENT: distinct(series.c.patient_pk), Level.STUDY: distinct(series.c.study_pk)}
    what = func.count(counted[level]) if level in counted else func.count()
    return select(what).select_from(_series_and(_beside(parts))).where(*_of_series(parts))


def compile_facet(where: str, level: Level, name: str, most: int, known: Known = ANYTHING) -> Select[*tuple[Any, ...]]:
    """Return the statement for the values of a column and how many entities of `level` have each, most frequent first.

    Entities without a value are counted too, under NULL. Values that are equally frequent come in their order.
    """
    by = _visible(name, level)
    if level is Level.SERIES:
        statement, value, count = _facet_of_series(_parts(where, level, known), by)
    else:
        value, count = _sql(by), func.count()
        condition = compile_where(where, level, known)
        statement = select(value, count).select_from(_joined(_down_to(level))).where(condition)
    if most < 1:
        raise Invalid("a facet has at least one value", "ask for more")
    return statement.group_by(value).order_by(count.desc(), value.asc().nulls_last()).limit(min(most, _MAX_INT))


def compile_bound(
    where: str, order: str, limit: int, offset: int, known: Known = ANYTHING
) -> Select[*tuple[Any, ...]] | None:
    """Return the statement for the value of `order` beyond which no series of the page lies; None where none helps.

    It gives no row, or NULL, when the page takes every series that has a value.
    """
    by = _order(order, Level.SERIES)
    parts = _parts(where, Level.SERIES, known)
    if by.column.level is not Level.SERIES and by.column.name not in MIRRORED:
        return None
    value = series.c[by.column.name]
    statement = select(value).select_from(_series_and(_beside(parts))).where(*_of_series(parts), value.is_not(None))
    last = limit + offset - 1
    return statement.order_by(value.desc() if by.is_down else value.asc()).offset(last).limit(1)


def within(statement: Select[*tuple[Any, ...]], order: str, bound: object) -> Select[*tuple[Any, ...]]:
    """Return the statement for rows up to the bound of `compile_bound`."""
    by = _order(order, Level.SERIES)
    value = series.c[by.column.name]
    limit = bindparam(None, bound, type_=value.type, unique=True)
    return statement.where(value >= limit if by.is_down else value <= limit)


def entity_order(level: Level) -> list[ColumnElement[str]]:
    """Return what names an entity of `level`, from the patient down, for a statement's ORDER BY."""
    names = {
        Level.PATIENT: ("subject",),
        Level.STUDY: ("study_uid",),
        Level.SERIES: ("series_uid",),
        Level.INSTANCE: ("sop_uid", "digest"),
        Level.FILE: ("file_name", "file_digest"),
    }
    return [TABLES[each].c[name] for each in _down_to(level) for name in names[each]]


def everything() -> FromClause:
    """Return the four levels' tables, joined."""
    return _joined(LEVELS)


@dataclass(frozen=True, slots=True)
class _Order:
    column: Column
    sql: ColumnElement[Any]
    is_down: bool


def _order(order: str, level: Level) -> _Order:
    name, _, direction = order.strip().partition(" ")
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise Invalid("an order is one column, with asc or desc behind it", "write for example: study_date desc")
    by = _visible(name, level)
    return _Order(by, _sql(by), direction.strip().lower() == "desc")


def _facet_of_series(
    parts: Sequence["_Part"], by: Column
) -> tuple[Select[*tuple[Any, ...]], ColumnElement[Any], ColumnElement[int]]:
    """Return the statement without its grouping, and the value and the count that it selects."""
    if by.name not in KIND:
        value = _sql(by, _SERIES)
        beside = _beside(parts) | ({by.level} & {Level.PATIENT, Level.STUDY} if by.name not in MIRRORED else set())
        counted: ColumnElement[int] = func.count()
        return select(value, counted).select_from(_series_and(beside)).where(*_of_series(parts)), value, counted
    value = series_kind.c[by.name]
    if all(map(_is_of_kind, parts)):
        counted = func.sum(series_kind.c.series)
        kinds = [part.sql(_KINDS) for part in parts]
        return select(value, counted).where(series_kind.c.series > 0, *kinds), value, counted
    some = select(series.c.kind, func.count().label("some")).select_from(_series_and(_beside(parts)))
    found = some.where(*_of_series(parts)).group_by(series.c.kind).subquery()
    counted = func.sum(found.c.some)
    joined = found.join(series_kind, series_kind.c.pk == found.c.kind)
    return select(value, counted).select_from(joined), value, counted


# -- where a condition is asked ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Which tables a condition can look at, and whether it is only asked whether it is true: then NULL may be false."""

    of_kinds: bool = False
    has_series: bool = False
    matters: bool = field(default=True, kw_only=True)


_KINDS, _SERIES, _ABOVE = _Place(of_kinds=True), _Place(has_series=True), _Place()
_EVERYWHERE, _FILES = _SERIES, _ABOVE


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the conditions that all have to be true, and the columns that it looks at."""

    node: exp.Expression
    columns: frozenset[str]
    known: Known

    @property
    def levels(self) -> set[Level]:
        return {BY_NAME[name].level for name in self.columns}

    def sql(self, place: _Place) -> ColumnElement[bool]:
        try:
            return _Translation(place, self.known).condition(self.node, only_true=True)
        except RecursionError:
            raise language.too_deep() from None


def _parts(where: str, level: Level, known: Known) -> list[_Part]:
    parts = []
    for node in language.read(where, level):
        try:
            names = frozenset(_looked_at(node, known))
        except RecursionError:
            raise language.too_deep() from None
        parts.append(_Part(node, names, known))
        for name in names:
            check_side(BY_NAME[name], level)
    return parts


def _looked_at(node: exp.Expression, known: Known) -> Iterable[str]:
    for each in node.find_all(exp.Column):
        if each.name.lower() in BY_NAME:
            yield each.name.lower()
    for call in node.find_all(exp.Anonymous):
        if call.name.lower() == "has_label":
            yield from (NAMES[level] for level in known.label_levels(language.labelled(call).name))
        if call.name.lower() == "in_snapshot":
            yield "digest"


def _split(parts: Sequence[_Part], test: Callable[[_Part], object]) -> tuple[list[_Part], list[_Part]]:
    return [part for part in parts if test(part)], [part for part in parts if not test(part)]


def _is_of_kind(part: _Part) -> bool:
    return bool(part.columns) and part.columns <= set(KIND)


def _is_of_instance(part: _Part) -> bool:
    return Level.INSTANCE in part.levels


def _is_selective(part: _Part) -> bool:
    """Say whether a condition alone finds series by an index, and most likely few of them."""
    node = part.node.unnest()
    node = node.this if isinstance(node, exp.Escape) else node
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in ("matches", "has_label")
    return isinstance(node, exp.Like | exp.ILike) and not part.columns.isdisjoint(WORDED)


def _in_kind(kinds: Sequence[_Part], *, last: bool = False) -> list[ColumnElement[bool]]:
    """Return the condition that series are of these kinds; `last` when something else finds fewer of them."""
    conditions = [part.sql(_KINDS) for part in kinds]
    kind = series.c.kind + 0 if last else series.c.kind  # which no index helps to find
    return [kind.in_(select(series_kind.c.pk).where(*conditions))] if conditions else []


def _of_series(parts: Sequence[_Part]) -> list[ColumnElement[bool]]:
    """Return the conditions for series, joined to what `_beside` says."""
    kinds, others = _split(parts, _is_of_kind)
    inner, outer = _split(others, _is_of_instance)
    found = _in_kind(kinds, last=any(map(_is_selective, outer))) or [series.c.kind.is_not(None)]
    found += [part.sql(_SERIES) for part in outer]
    if inner:
        current = (instance.c.series_pk == series.c.pk, instance.c.state == InstanceState.CURRENT)
        inside = exists().where(*current, *(part.sql(_SERIES) for part in inner))
        found.append(inside.correlate(series, study, patient))
    return found


def _beside(parts: Sequence[_Part]) -> set[Level]:
    """Return the tables that these conditions for series look at, above the series themselves."""
    names = {name for part in parts if not _is_of_kind(part) for name in part.columns} - {
        *MIRRORED,
        "study_description",
    }
    levels = {BY_NAME[name].level for name in names} & {Level.PATIENT, Level.STUDY}
    looks = {name for part in parts for name in part.columns} & {"study_description"}
    return levels | ({Level.STUDY} if looks else set())


def _series_and(above: Collection[Level]) -> FromClause:
    joined: FromClause = series
    if Level.STUDY in above:
        joined = joined.join(study, study.c.pk == series.c.study_pk)
    if Level.PATIENT in above:
        joined = joined.join(patient, patient.c.pk == series.c.patient_pk)
    return joined


def _has_series(level: Level, parts: Sequence[_Part]) -> ColumnElement[bool]:
    """Return the condition that a patient or study has a series that satisfies `parts`."""
    key = series.c[f"{level}_pk"]
    if not parts:
        return exists().where(key == TABLES[level].c.pk, series.c.kind.is_not(None)).correlate(TABLES[level])
    within = select(key).select_from(_series_and(_beside(parts))).where(*_of_series(parts))
    return TABLES[level].c.pk.in_(within.correlate(None))


def _down_to(level: Level) -> Sequence[Level]:
    """Return the levels whose tables a row of `level` is made of, from the top."""
    return (level,) if level is Level.FILE else LEVELS[: LEVELS.index(level) + 1]


def _joined(levels: Sequence[Level]) -> FromClause:
    start: FromClause = TABLES[levels[0]]
    return reduce(lambda left, pair: left.join(TABLES[pair[1]], _link(*pair)), pairwise(levels), start)


def _link(upper: Level, lower: Level) -> ColumnElement[bool]:
    return TABLES[lower].c[f"{upper}_pk"] == TABLES[upper].c.pk


def _sql(of: Column, place: _Place = _ABOVE) -> ColumnElement[Any]:
    if place.of_kinds:
        return series_kind.c[of.name]
    if place.has_series and of.name in MIRRORED:
        return series.c[of.name]
    return TABLES[of.level].c[of.name]


def _visible(name: str, level: Level) -> Column:
    of = BY_NAME.get(name.lower())
    if of is None:
        raise unknown(name, "to select or to order by")
    check_side(of, level)
    if level is not Level.FILE and LEVELS.index(of.level) > LEVELS.index(level):
        raise Invalid(
            f"{of.name} is a column of the level {of.level}, and a {level} has many of them",
            f"query at level {of.level}, or use {of.name} in the condition only",
        )
    return of


# -- the tree ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Translation:
    """From a tree to a condition over the tables of a place."""

    place: _Place
    known: Known

    def condition(self, node: exp.Expression, *, only_true: bool) -> ColumnElement[bool]:
        """Return the condition; `only_true` when nobody asks whether it is false or unknown."""
        if isinstance(node, exp.Paren):
            return self.condition(node.this, only_true=only_true)
        if isinstance(node, exp.Not):
            return not_(self.condition(node.this, only_true=False))
        if isinstance(node, exp.And | exp.Or):
            parts = [self.condition(part, only_true=only_true) for part in language.flat(node)]
            return and_(*parts) if isinstance(node, exp.And) else or_(*parts)
        if isinstance(node, exp.Anonymous):
            return self._function(node)
        if isinstance(node, exp.Escape):
            return self._escaping(node, only_true)
        known = {"this", "negate", *_OPERANDS.get(type(node), {"expression"})}
        if any(value for name, value in node.args.items() if name not in known):
            raise refused("a form of comparison that does not exist here")
        negated = bool(node.args.get("negate"))
        found = self._predicate(node, only_true and not negated)
        return not_(found) if negated else found

    def _predicate(self, node: exp.Expression, only_true: bool) -> ColumnElement[bool]:
        if type(node) in _COMPARISONS:
            return self._comparison(node)
        if isinstance(node, exp.Is):
            if not isinstance(node.expression, exp.Null):
                raise refused("IS without NULL")
            return self._sql(column(node.this)).is_(None)
        if isinstance(node, exp.In):
            of, values = column(node.this), node.args.get("expressions")
            if not values:
                raise refused("IN without a list of values in parentheses")
            return self._sql(of).in_([literal(value, of) for value in values])
        if isinstance(node, exp.Between):
            of = column(node.this)
            low, high = (self._bound(node.args[side], of) for side in ("low", "high"))
            return and_(self._sql(of) >= low, self._sql(of) <= high)  # PostgreSQL's BETWEEN takes no COLLATE
        if isinstance(node, exp.Like | exp.ILike):
            return self._like(column(node.this), node.expression, isinstance(node, exp.ILike), only_true)
        if isinstance(node, exp.Column):
            raise refused("a column that is compared with nothing")
        raise refused("something that is no comparison of a column")

    def _comparison(self, node: exp.Expression) -> ColumnElement[bool]:
        compare = _COMPARISONS[type(node)]
        left, right = node.this, node.args["expression"]
        if isinstance(left, exp.Column) and isinstance(right, exp.Column):
            first, second = column(left), column(right)
            if is_number(first) != is_number(second):
                raise Invalid(f"{first.name} and {second.name} cannot be compared", "compare text with text")
            return compare(self._sql(first), self._sql(second))
        if isinstance(left, exp.Column):
            of = column(left)
            return compare(self._sql(of), self._bound(right, of))
        of = column(right)
        return compare(self._bound(left, of), self._sql(of))

    def _escaping(self, node: exp.Escape, only_true: bool) -> ColumnElement[bool]:
        like, sign = node.this, node.args["expression"]
        if not isinstance(like, exp.Like | exp.ILike):
            raise refused("ESCAPE without LIKE or ILIKE")
        if not isinstance(sign, exp.Literal) or not sign.is_string or len(sign.this) != 1 or sign.this in "%_":
            raise Invalid("ESCAPE names one sign that is neither % nor _", "write for example ESCAPE '!'")
        negated, folded = bool(like.args.get("negate")), isinstance(like, exp.ILike)
        found = self._like(column(like.this), like.expression, folded, only_true and not negated, str(sign.this))
        return not_(found) if negated else found

    def _like(
        self, of: Column, node: exp.Expression, folded: bool, only_true: bool, escape: str = ""
    ) -> ColumnElement[bool]:
        if is_number(of) or not isinstance(node, exp.Literal) or not node.is_string:
            raise Invalid("LIKE and ILIKE compare a text column with 'text'", "% stands for any characters, _ for one")
        pattern = language.pattern(str(fit(of, node.this)), escape)
        if len(pattern) > _MAX_PATTERN:
            raise Invalid(f"a pattern of more than {_MAX_PATTERN} characters", "make it shorter")
        pattern = fold(pattern) if folded else pattern
        if only_true and self.place.has_series and of.name in WORDED:
            said = wording.c.folded if folded else wording.c.text
            return _worded(of, said.like(pattern, escape="!"))
        found = self._sql(of)
        return (_Folded(found) if folded else found).like(pattern, escape="!")

    def _sql(self, of: Column) -> ColumnElement[Any]:
        return _sql(of, self.place)

    def _bound(self, node: exp.Expression, of: Column) -> ColumnElement[Any]:
        return bindparam(None, literal(node, of), type_=self._sql(of).type, unique=True)

    # -- functions

    def _function(self, node: exp.Anonymous) -> ColumnElement[bool]:
        match node.name.lower():
            case "matches":
                return self._matches(node)
            case "has_label":
                return self._has_label(language.labelled(node))
            case "in_snapshot":
                return self._in_snapshot(node)
            case _:
                raise refused("a function that does not exist")

    def _matches(self, node: exp.Anonymous) -> ColumnElement[bool]:
        of, patterns = language.sought(node)
        if of.name not in WORDED:
            raise Invalid(f"matches does not look into {of.name}", f"it looks into {', '.join(WORDED)}")
        found = and_(*(wording.c.words.like(pattern) for pattern in patterns))
        if not self.place.has_series:  # a study or patient is asked without its series
            words = select(wording.c.text).where(found)
            there = self._sql(of)
            return case((there.is_not(None), there.in_(words)), else_=null())
        return case((_key(of).is_not(None), _worded(of, found)), else_=null())

    def _has_label(self, asked: Labelled) -> ColumnElement[bool]:
        levels = [level for level in LEVELS if level in self.known.label_levels(asked.name)]
        told = _said_then if asked.version is not None else _said_now
        found = [told(asked, level) for level in levels]
        return or_(*found) if found else false()

    def _in_snapshot(self, node: exp.Anonymous) -> ColumnElement[bool]:
        key = self.known.snapshot_key(language.snapshot(node))
        members = snapshot_member.join(copy, copy.c.digest == snapshot_member.c.copy)
        sources = select(copy.c.source).select_from(members).where(snapshot_member.c.snapshot_pk == key)
        return instance.c.digest.in_(sources)


def _key(of: Column) -> ColumnElement[int]:
    return series.c[f"{of.name}_wording"]


def _worded(of: Column, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return _key(of).in_(select(wording.c.pk).where(condition))


def _said_now(asked: Labelled, level: Level) -> ColumnElement[bool]:
    """Return the condition that the newest version of a set says it."""
    of_series = level is Level.SERIES
    statement = select(label_now.c.number if of_series else label_now.c.target).where(
        label_now.c.name == asked.name, label_now.c.level == level
    )
    told = {"finding": asked.finding, "value": asked.value}
    statement = statement.where(*(label_now.c[name] == said for name, said in told.items() if said is not None))
    return (series.c.uid_number if of_series else TABLES[level].c[NAMES[level]]).in_(statement)


def _said_then(asked: Labelled, level: Level) -> ColumnElement[bool]:
    """Return the condition that an older version said it.

    What a set says is what `labels.resolve` says: of the statements that stand, the one of the kind that is believed first, and
    of those the latest.
    """
    said = label_entry.alias()
    statement = select(said.c.target).where(_is_standing(said, asked), said.c.level == level)
    if asked.finding is not None:
        statement = statement.where(said.c.finding == asked.finding)
    if asked.value is not None:
        better = label_entry.alias()
        about = (better.c[name] == said.c[name] for name in ("level", "target", "finding"))
        ours, theirs = _rank(said), _rank(better)
        nearer = or_(theirs < ours, and_(theirs == ours, better.c.position > said.c.position))
        beaten = exists().where(*about, nearer, _is_standing(better, asked))
        statement = statement.where(said.c.value == asked.value, not_(beaten))
    return TABLES[level].c[NAMES[level]].in_(statement)


def _is_standing(said: Any, asked: Labelled) -> ColumnElement[bool]:
    """A statement that was taken back has a later one without a value; a mark speaks for the whole where it says PRESENT."""
    later = label_entry.alias()
    over = exists().where(later.c.name == said.c.name, later.c.supersedes == said.c.position, _until(later, asked))
    speaks = or_(said.c.shape.is_(None), said.c.value == PRESENT)
    return and_(said.c.name == asked.name, said.c.value.is_not(None), speaks, _until(said, asked), not_(over))


def _until(said: Any, asked: Labelled) -> ColumnElement[bool]:
    return true() if asked.version is None else said.c.position <= asked.version


def _rank(said: Any) -> ColumnElement[int]:
    """The lower, the more it is believed."""
    kind: ColumnElement[int] = case({kind.value: 2 * place for place, kind in enumerate(LabelKind)}, value=said.c.kind)
    return kind + case((said.c.shape.is_(None), 0), else_=1)
