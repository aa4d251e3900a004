"""search: the catalog as other systems ask it (QIDO-RS): a page of rows with what lies below each of them.

The same permission, language and evidence as `query`; the rows and their counts are of one consistent view.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from filmroom.flow import evidence
from filmroom.ports import Ports, Transaction
from filmroom.records import Level, Value

_NAMES = {Level.STUDY: "study_uid", Level.SERIES: "series_uid"}
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`rows` in the order of the catalog; `is_last` when nothing follows.

    Counts are by study or series UID, and of current instances only: `series` and `modalities` of studies, `instances`
    of studies or series.
    """

    level: Level
    rows: tuple[Mapping[str, Value], ...] = field(repr=False)
    is_last: bool
    series: Mapping[str, int] = field(repr=False)
    instances: Mapping[str, int] = field(repr=False)
    modalities: Mapping[str, tuple[str, ...]] = field(repr=False)


def search(ports: Ports, where: str, *, level: Level, limit: int, offset: int = 0) -> Page:
    """Return at most `limit` rows of `level` from the `offset`-th on. Raises Denied, or Invalid for `where`."""
    permit = evidence.authorize(ports, "query", {"kind": "catalog", "id": level})
    with ports.catalog.read() as tx:
        found = tx.instances.query(where, level, select=(), order=None, limit=offset + limit + 1)
        rows = found[offset : offset + limit]
        series, instances, modalities = _below(tx, level, rows)
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, {"kind": "catalog", "id": level}, {"rows": len(rows)})
    return Page(
        level=level,
        rows=tuple(rows),
        is_last=len(found) <= offset + limit,
        series=series,
        instances=instances,
        modalities=modalities,
    )


def _below(
    tx: Transaction, level: Level, rows: Sequence[Mapping[str, Value]]
) -> tuple[Counter[str], Counter[str], dict[str, tuple[str, ...]]]:
    """Count what lies below the rows."""
    series: Counter[str] = Counter()
    instances: Counter[str] = Counter()
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    name = _NAMES.get(level)
    if name is None:
        return series, instances, {}
    for where in _conditions(name, [str(row[name]) for row in rows]):
        for row in tx.instances.query(where, Level.INSTANCE, select=(name,), order=None, limit=None):
            instances[str(row[name])] += 1
        if level is Level.STUDY:
            chosen = (name, "series_uid", "modality")
            for row in tx.instances.query(where, Level.SERIES, select=chosen, order=None, limit=None):
                series[str(row[name])] += 1
                if row["modality"]:
                    kinds[str(row[name])].add(str(row["modality"]))
    return series, instances, {uid: tuple(sorted(words)) for uid, words in kinds.items()}


def _conditions(name: str, uids: Sequence[str]) -> Iterator[str]:
    distinct = sorted(set(uids))
    for start in range(0, len(distinct), _AT_ONCE):
        quoted = (quote(uid) for uid in distinct[start : start + _AT_ONCE])
        yield f"{name} IN ({', '.join(quoted)})"


def quote(text: str) -> str:
    """Return a text as a literal of the query language."""
    return "'" + text.replace("'", "''") + "'"
