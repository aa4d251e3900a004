"""query, columns: find patients, studies, series or instances in the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from filmroom.dicom.attributes import COLUMNS
from filmroom.flow import evidence
from filmroom.ports import Ports
from filmroom.records import Column, Level, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    level: Level
    count: int
    rows: tuple[dict[str, Value], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many entities of a level there are, and how many of them have each value of some columns, most frequent first."""

    level: Level
    count: int
    facets: tuple["Frequency", ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frequency:
    """How many have a value in a column; None is no value."""

    column: str
    value: Value
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """How many of a modality's instances have a value in a column."""

    modality: str
    column: str
    filled: int
    instances: int


def query(
    ports: Ports,
    where: str = "",
    *,
    level: Level = Level.SERIES,
    select: Sequence[str] = (),
    order: str | None = None,
    limit: int | None = None,
) -> Rows:
    """Return a row for each entity of `level` with an instance that satisfies `where`; see docs/how-to/query.md."""
    permit = evidence.authorize(ports, "query", {"kind": "catalog", "id": level})
    with ports.catalog.read() as tx:
        rows = tx.instances.query(where, level, select=select, order=order, limit=limit)
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, {"kind": "catalog", "id": level}, {"rows": len(rows)})
    return Rows(level=level, count=len(rows), rows=tuple(rows))


def count(
    ports: Ports, where: str = "", *, level: Level = Level.SERIES, facets: Sequence[str] = (), top: int = 20
) -> Counted:
    """Return how many rows `query` would give, and the `top` values of each column of `facets` among them."""
    permit = evidence.authorize(ports, "query", {"kind": "catalog", "id": level})
    with ports.catalog.read() as tx:
        found = tuple(
            Frequency(column=name, value=value, count=some)
            for name in facets
            for value, some in tx.instances.facet(where, level, name, top)
        )
        counted = Counted(level=level, count=tx.instances.count(where, level), facets=found)
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, {"kind": "catalog", "id": level}, {"rows": counted.count})
    return counted


def columns(ports: Ports) -> tuple[Column, ...]:
    """Return the vocabulary of `where`."""
    evidence.authorize(ports, "columns")
    return COLUMNS


def filled(ports: Ports) -> list[Filled]:
    """Return in how many of its instances each modality's columns are filled."""
    evidence.authorize(ports, "query", {"kind": "catalog", "id": "filled"})
    with ports.catalog.read() as tx:
        return [
            Filled(modality=modality, column=column, filled=count, instances=instances)
            for modality, column, count, instances in tx.instances.filled()
        ]
