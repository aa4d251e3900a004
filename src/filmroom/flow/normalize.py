"""normalize: what is cataloged is read anew with newer tables; what was received stays beside it.

The tables read nothing but columns that hold what was received (`dicom.normalize`), so no object is opened. A few series
are one transaction: whoever is interrupted, and runs it again, goes on with those that an older version was applied to.
Copies and snapshots that were made before keep what they have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from filmroom.dicom.attributes import BY_NAME
from filmroom.dicom.normalize import readings, version
from filmroom.flow import evidence
from filmroom.ids import Zone
from filmroom.ports import Ports
from filmroom.records import Level, Value

_SERIES_AT_ONCE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalized:
    """How many instances were read anew by tables of this version, and of how many something is different now."""

    version: int
    instances: int
    changed: int


def normalize(ports: Ports) -> Normalized:
    """Read anew every instance that older tables were applied to. Raises Denied."""
    what = {"kind": "zone", "id": Zone.CLINICAL}
    permit = evidence.authorize(ports, "normalize", what)
    instances = changed = 0
    with ports.progress.task("normalize", None) as advance:
        while True:
            with ports.catalog.write() as tx:
                outdated = tx.instances.outdated(version(), _SERIES_AT_ONCE)
                if not outdated:
                    return Normalized(version=version(), instances=instances, changed=changed)
                fresh = _read(outdated)
                differing = sum(_differs(keys, columns, fresh) for keys, columns in outdated)
                for level, entities in fresh.items():
                    tx.instances.rewrite(level, entities)
                counts: dict[str, int | str] = {"version": version(), "read": len(outdated), "changed": differing}
                evidence.record(tx, ports, permit, what, {"state": "normalized", **counts})
            instances, changed = instances + len(outdated), changed + differing
            advance(len(outdated))


def _read(
    outdated: Sequence[tuple[Mapping[Level, int], Mapping[str, Value]]],
) -> dict[Level, dict[int, dict[str, Value]]]:
    """Return what is normalised, by level and key: the first instance that tells it fills a column of what is above it."""
    fresh: dict[Level, dict[int, dict[str, Value]]] = {}
    for keys, columns in outdated:
        for name, value in readings({name: value for name, value in columns.items() if value is not None}).items():
            level = BY_NAME[name].level
            entity = fresh.setdefault(level, {}).setdefault(keys[level], {})
            if entity.get(name) is None:
                entity[name] = value
    return fresh


def _differs(
    keys: Mapping[Level, int], columns: Mapping[str, Value], fresh: Mapping[Level, Mapping[int, Mapping[str, Value]]]
) -> bool:
    return any(
        columns[name] != value
        for level, entities in fresh.items()
        for name, value in entities[keys[level]].items()
        if name != "normalization"
    )
