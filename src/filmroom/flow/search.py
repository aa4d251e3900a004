"""search: the catalog as other systems ask it (QIDO-RS, C-FIND): rows with what lies below each of them.

The same permission, language and evidence as `query`; the rows and their counts are of one consistent view.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from filmroom.catalog.matching import among
from filmroom.flow import evidence
from filmroom.ports import Ports, Transaction
from filmroom.records import Level, Value

_NAMES = {Level.STUDY: "study_uid", Level.SERIES: "series_uid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`rows` in the order of the catalog; `is_last` when nothing follows.

    Counts are by study or series UID, of current instances only, and of what was asked for: `series` and `modalities`
    of studies, `instances` of studies or series.
    """

    level: Level
    rows: tuple[Mapping[str, Value], ...] = field(repr=False)
    is_last: bool
    series: Mapping[str, int] = field(repr=False)
    instances: Mapping[str, int] = field(repr=False)
    modalities: Mapping[str, tuple[str, ...]] = field(repr=False)


def search(
    ports: Ports,
    where: str,
    *,
    level: Level,
    to: str,
    select: Sequence[str] = (),
    below: Collection[Level] = (),
    limit: int | None = None,
    offset: int = 0,
) -> Page:
    """Return the rows of `level` for whoever is named `to`: at most `limit`, from the `offset`-th on.

    `below` says whether series or instances are counted; then `select` has the level's UID. Raises Denied, or Invalid
    for `where`.
    """
    what = {"kind": "catalog", "id": level, "to": to}
    permit = evidence.authorize(ports, "query", what)
    one_more = None if limit is None else limit + 1
    with ports.catalog.read() as tx:
        found = tx.instances.query(where, level, select=select, order=None, limit=one_more, offset=offset)
        rows = found[:limit]
        series, instances, modalities = _below(tx, level, rows, below)
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, what, {"rows": len(rows)})
    return Page(
        level=level,
        rows=tuple(rows),
        is_last=len(found) == len(rows),
        series=series,
        instances=instances,
        modalities=modalities,
    )


def _below(
    tx: Transaction, level: Level, rows: Sequence[Mapping[str, Value]], below: Collection[Level]
) -> tuple[Counter[str], Counter[str], dict[str, tuple[str, ...]]]:
    """Count what lies below the rows."""
    series: Counter[str] = Counter()
    instances: Counter[str] = Counter()
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    name = _NAMES.get(level)
    if name is None or not below:
        return series, instances, {}
    for where in among(name, (str(row[name]) for row in rows)):
        if Level.INSTANCE in below:
            for row in tx.instances.query(where, Level.INSTANCE, select=(name,), order=None, limit=None):
                instances[str(row[name])] += 1
        if Level.SERIES in below:
            chosen = (name, "series_uid", "modality_received")
            for row in tx.instances.query(where, Level.SERIES, select=chosen, order=None, limit=None):
                series[str(row[name])] += 1
                if row["modality_received"]:
                    kinds[str(row[name])].add(str(row["modality_received"]))
    return series, instances, {uid: tuple(sorted(words)) for uid, words in kinds.items()}
