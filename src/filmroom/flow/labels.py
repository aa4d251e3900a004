"""labels: statements about images, imported into append-only sets."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from filmroom.canon import digest_of
from filmroom.catalog import agreement, coco, fhir, label_tables
from filmroom.catalog import labels as ledgers
from filmroom.catalog.matching import among
from filmroom.dicom import annotations, parse, regions
from filmroom.errors import Corrupt, Invalid, KeyGone, NotFound, Unreadable
from filmroom.flow import evidence
from filmroom.flow.retrieve import retrieve
from filmroom.ids import Digest, Versioned, check_name
from filmroom.ports import Ports, Transaction
from filmroom.records import LabelEntry, LabelKind, Level, Region, Space, Statement, Unmatched


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of an import: every statement of the source was added, was there already, or is `unmatched`."""

    set: str
    version: int
    added: int
    superseded: int
    unmatched: tuple[Unmatched, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    set: str
    version: int


@dataclass(frozen=True, slots=True)
class Where:
    """Annotation objects that came to the room themselves: those that satisfy `where`. Needs the permission to retrieve."""

    where: str = field(repr=False)


class Change(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChange:
    """What the second of two versions says differently, about a target or with a reader's mark in it.

    A mark whose value is the same before and after was moved.
    """

    change: Change
    level: Level
    target: str = field(repr=False)
    finding: str
    mark: str | None
    by: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far readers agree about a finding; `kappa` is None when no item was read twice."""

    finding: str
    readers: tuple[agreement.Reader, ...]
    conflicts: int
    kappa: agreement.Kappa | None
    masks: tuple[agreement.Overlap, ...]


def import_labels(
    ports: Ports, origin: Path | Where, *, name: str, kind: LabelKind | None = None, by: str | None = None
) -> Imported:
    """Append the statements of a file, or of objects in the room, to a set.

    Said again by the same reader, a statement adds nothing.
    """
    permit = evidence.authorize(ports, "labels", {"kind": "label-set", "id": check_name(name)})
    said = [
        replace(each, kind=each.kind or kind, by=each.by or by or permit.actor.name)
        if isinstance(each, Statement)
        else each
        for each in (_read(origin) if isinstance(origin, Path) else _in_room(ports, origin.where, f"labels {name}"))
    ]
    with ports.catalog.write() as tx:
        ledger, now = ledgers.Ledger(_entries(tx, name)), ports.clock.now()
        unmatched = tuple(_enter(tx, ledger, said, now))
        if ledger.added:
            tx.labels.append(name, ledger.added)
            outcome: dict[str, int | str] = {
                "version": ledger.version,
                "added": len(ledger.added),
                "entries": str(digest_of(ledger.added)),
            }
            evidence.record(tx, ports, permit, {"kind": "label-set", "id": name}, outcome)
    return Imported(
        set=name,
        version=ledger.version,
        added=len(ledger.added),
        superseded=sum(entry.supersedes is not None for entry in ledger.added),
        unmatched=unmatched,
    )


def label_sets(ports: Ports) -> list[LabelSet]:
    evidence.authorize(ports, "labels")
    with ports.catalog.read() as tx:
        return [LabelSet(set=name, version=version) for name, version in tx.labels.all()]


def show_labels(ports: Ports, ref: str) -> list[LabelEntry]:
    """Return the ledger of SET or SET@VERSION. Raises NotFound."""
    return _ledger(ports, ref)


def diff_labels(ports: Ports, before: str, after: str) -> list[LabelChange]:
    """Return what the second version says differently from the first."""
    old, new = (_said(_ledger(ports, ref)) for ref in (before, after))
    return [
        LabelChange(
            change=Change.ADDED if key not in old else Change.CHANGED if key in new else Change.WITHDRAWN,
            level=key[0],
            target=key[1],
            finding=key[2],
            mark=key[3] or None,
            by=key[4] or None,
            before=old[key][0] if key in old else None,
            after=new[key][0] if key in new else None,
        )
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def labels_agreement(ports: Ports, ref: str, finding: str, *, kinds: Sequence[LabelKind] = ()) -> Agreement:
    """Return how far readers agree about a finding; of these kinds, or of all."""
    ledger = _ledger(ports, ref)
    found = {item: said for item, said in _readings(ledger, kinds).items() if item[2] == finding}
    said = (entry.label for entry in ledgers.standing(ledger).values())
    labels = [each for each in said if each.finding == finding and (not kinds or each.kind in kinds)]
    if not labels:
        raise NotFound("nobody says anything about this finding there", "see filmroom labels show")
    with ports.catalog.read() as tx:
        known = tx.instances.revisions([label.target for label in labels if label.region is not None])
    return Agreement(
        finding=finding,
        readers=tuple(sorted({agreement.Reader(label.by, label.kind) for label in labels})),
        kappa=agreement.kappa(found),
        conflicts=len(agreement.conflicts(found)),
        masks=tuple(agreement.overlaps(labels, {uid: each.series_uid for uid, each in known.items()})),
    )


def labels_conflicts(
    ports: Ports, ref: str, *, finding: str | None = None, kinds: Sequence[LabelKind] = ()
) -> list[agreement.Conflict]:
    """Return what readers differ about, of one finding or of all."""
    found = agreement.conflicts(_readings(_ledger(ports, ref), kinds))
    return [each for each in found if finding in (None, each.finding)]


def label_version(tx: Transaction, ref: str) -> Versioned:
    """Read SET@VERSION, or SET for its newest version. Raises NotFound for a set or version that is not there."""
    name = ref.partition("@")[0]
    newest = dict(tx.labels.all()).get(name)
    if newest is None:
        raise NotFound(f"there is no label set {name!r}", "see filmroom labels list")
    version = Versioned.parse(ref) if "@" in ref else Versioned(name, newest)
    if version.version > newest:
        raise NotFound(f"label set {name} has no version {version.version} yet", f"its newest is {name}@{newest}")
    return version


def _read(file: Path) -> Iterator[Statement | Unmatched]:
    """Yield what a file says, whatever its form."""
    try:
        data = file.read_bytes()
    except OSError:
        raise Invalid("the label file cannot be read", "give a file that is there") from None
    source = Digest.of(data)
    for each in _statements(data):
        yield replace(each, source=source) if isinstance(each, Statement) else each


def _in_room(ports: Ports, where: str, to: str) -> Iterator[Statement | Unmatched]:
    """Yield what annotation objects in the room say, which has to be retrieved. What cannot be read is told by its digest."""
    with ports.catalog.read() as tx:
        uids = [each.sop_uid for each in tx.instances.matching(where) if each.sop_class in annotations.SOP_CLASSES]
    with retrieve(ports, Level.INSTANCE, uids, to=to) as retrieval:
        for stored in retrieval.objects:
            try:
                said = annotations.statements(parse.read(retrieval.content(stored)))
            except (Corrupt, KeyGone, NotFound, Unreadable):
                yield Unmatched(str(stored.digest), "unreadable")
                continue
            retrieval.sent += 1
            for each in said:
                placed = replace(each, place=f"{stored.digest}, {each.place}")
                yield replace(placed, source=stored.digest) if isinstance(placed, Statement) else placed


def _statements(data: bytes) -> Sequence[Statement | Unmatched]:
    if parse.is_dicom(data):
        return annotations.statements(parse.read(data))
    if data.startswith(b"PAR1"):
        return label_tables.read_parquet(data)
    try:
        text = data.decode("utf-8-sig")
        document = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        raise Invalid("the label file cannot be read", "give CSV or JSON in UTF-8, Parquet, or DICOM") from None
    if isinstance(document, dict):
        return fhir.read(document) if "resourceType" in document else coco.read(document)
    return label_tables.read_csv(text)


def _enter(
    tx: Transaction, ledger: ledgers.Ledger, said: Sequence[Statement | Unmatched], now: datetime
) -> Iterator[Unmatched]:
    """Add to the ledger what can be, and yield the rest, in the order of the source."""
    problems = [each.reason if isinstance(each, Unmatched) else ledgers.problem(each) for each in said]
    whole = [each for each, flaw in zip(said, problems, strict=True) if isinstance(each, Statement) and not flaw]
    targets = _Targets(tx, whole)
    for each, flaw in zip(said, problems, strict=True):
        reason = flaw
        if isinstance(each, Statement) and not flaw:
            reason = targets.problem(each)
            if not reason:
                label = ledgers.label_of(each, targets.name(each))
                is_added = ledger.add(label, now, said_at=each.said_at, source=each.source)
                reason = "" if is_added else "nothing-to-withdraw"
        if reason:
            yield Unmatched(each.place, reason)


class _Targets:
    """What statements are about, in the catalog: by what the archive calls it or by what a project calls its copy."""

    def __init__(self, tx: Transaction, statements: Sequence[Statement]) -> None:
        asked = {(each.level, each.target) for each in statements}
        known = tx.instances.revisions([name for level, name in asked if level is Level.INSTANCE])
        self._names = {
            (level, name): {known[name].sop_uid}
            if level is Level.INSTANCE and name in known
            else _by_any_name(tx, level, name)
            for level, name in sorted(asked)
        }
        self._sizes = {
            str(row["sop_uid"]): (row["rows"], row["columns"], row["frames"])
            for where in among("sop_uid", self._measured(statements))
            for row in tx.instances.query(where, Level.INSTANCE, select=_SIZE, order=None, limit=None)
        }

    def name(self, statement: Statement) -> str:
        """Return what the catalog calls the target of a statement without a problem."""
        (name,) = self._names[statement.level, statement.target]
        return name

    def problem(self, statement: Statement) -> str:
        """Return the code of why the target cannot be said this about, "" when it can."""
        names = self._names[statement.level, statement.target]
        if len(names) != 1:
            return "target-ambiguous" if names else "target-unknown"
        region = statement.region
        if region is None or region.space is not Space.PIXEL:
            return ""
        if statement.level is not Level.INSTANCE:
            return "geometry-wrong"  # whose pixels?
        rows, columns, frames = self._sizes.get(self.name(statement), (None, None, None))
        if not isinstance(rows, int) or not isinstance(columns, int):
            return ""
        count = frames if isinstance(frames, int) else 1
        if statement.size not in (None, (rows, columns)):
            return "other-size"
        if region.frame is None and count > 1:
            return ""  # of a tiled slide as a whole, whose size the frames do not tell
        return "" if (region.frame or 1) <= count and regions.is_within(region, rows, columns) else "beyond-image"

    def _measured(self, statements: Sequence[Statement]) -> Iterator[str]:
        for each in statements:
            if each.region is not None and each.region.space is Space.PIXEL:
                yield from self._names[each.level, each.target]


_Key: TypeAlias = tuple[Level, str, str, str, str, str]
"""Level, target, finding, and of a mark its name, reader and kind, which are "" for the target as a whole."""

_SIZE = ("sop_uid", "rows", "columns", "frames")


def _by_any_name(tx: Transaction, level: Level, text: str) -> set[str]:
    found = tx.instances.find(level, text) or [tx.instances.get(source) for source in tx.copies.source_of_uid(text)]
    return {each.names[level] for each in found}


def _said(ledger: Sequence[LabelEntry]) -> dict[_Key, tuple[str, Region | None, str | None]]:
    """Return what the ledger says about each target as a whole, and each reader's marks, with what makes them differ."""
    said: dict[_Key, tuple[str, Region | None, str | None]] = {}
    for (level, target), findings in ledgers.resolve(ledger).items():
        said |= {(level, target, finding, "", "", ""): (value, None, None) for finding, value in findings.items()}
    for (level, target, finding, by, kind, mark), entry in ledgers.standing(ledger).items():
        if mark is not None:
            label = entry.label
            said[level, target, finding, mark, by, kind] = (label.value or "", label.region, label.unit)
    return said


def _readings(ledger: Sequence[LabelEntry], kinds: Sequence[LabelKind]) -> agreement.Readings:
    return agreement.readings(entry for entry in ledger if not kinds or entry.label.kind in kinds)


def _ledger(ports: Ports, ref: str) -> list[LabelEntry]:
    evidence.authorize(ports, "labels", {"kind": "label-set", "id": ref})
    with ports.catalog.read() as tx:
        version = label_version(tx, ref)
        return tx.labels.entries(version.name, version.version)


def _entries(tx: Transaction, name: str) -> list[LabelEntry]:
    try:
        return tx.labels.entries(name)
    except NotFound:
        return []
