"""labels: statements about images, imported into append-only sets."""

from dataclasses import dataclass, field
from pathlib import Path

from filmroom.canon import digest_of
from filmroom.catalog import labels as ledgers
from filmroom.errors import Invalid, NotFound
from filmroom.flow import evidence
from filmroom.ids import Versioned, check_name
from filmroom.ports import Ports, Transaction
from filmroom.records import Label, LabelEntry, LabelKind, Level


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A line of the file whose target the catalog does not have, or has more than once (`ambiguous`)."""

    line: int
    level: Level
    ambiguous: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    set: str
    version: int
    added: int
    superseded: int
    unmatched: tuple[Unmatched, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    set: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChange:
    """A target whose value for a finding differs between two versions; None where a side says nothing."""

    level: Level
    target: str = field(repr=False)
    finding: str
    before: str | None
    after: str | None


def import_labels(ports: Ports, file: Path, *, name: str, kind: LabelKind, by: str | None = None) -> Imported:
    """Append the statements of a CSV file to a set. Said again by the same reader, a statement adds nothing."""
    permit = evidence.authorize(ports, "labels", {"kind": "label-set", "id": check_name(name)})
    try:
        lines = ledgers.read_csv(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise Invalid("the label file cannot be read", "give a CSV file in UTF-8") from None
    with ports.catalog.write() as tx:
        targets: dict[tuple[Level, str], set[str]] = {}
        labels, unmatched = [], []
        for line in lines:
            asked = (line.level, line.target)
            if asked not in targets:
                targets[asked] = _targets(tx, *asked)
            found = targets[asked]
            if len(found) != 1:
                unmatched.append(Unmatched(line.number, line.level, ambiguous=bool(found)))
                continue
            (target,) = found
            labels.append(
                Label(
                    level=line.level,
                    target=target,
                    finding=line.finding,
                    value=line.value,
                    kind=kind,
                    by=by or permit.actor.name,
                    confidence=line.confidence,
                )
            )
        ledger = _ledger(tx, name)
        added = ledgers.append(ledger, labels, ports.clock.now())
        version = (added or ledger)[-1].position if added or ledger else 0
        if added:
            tx.labels.append(name, added)
            outcome: dict[str, int | str] = {"version": version, "added": len(added), "entries": str(digest_of(added))}
            evidence.record(tx, ports, permit, {"kind": "label-set", "id": name}, outcome)
    return Imported(
        set=name,
        version=version,
        added=len(added),
        superseded=sum(entry.supersedes is not None for entry in added),
        unmatched=tuple(unmatched),
    )


def label_sets(ports: Ports) -> list[LabelSet]:
    evidence.authorize(ports, "labels")
    with ports.catalog.read() as tx:
        return [LabelSet(set=name, version=version) for name, version in tx.labels.all()]


def show_labels(ports: Ports, ref: str) -> list[LabelEntry]:
    """Return the ledger of SET or SET@VERSION. Raises NotFound."""
    evidence.authorize(ports, "labels", {"kind": "label-set", "id": ref})
    with ports.catalog.read() as tx:
        version = label_version(tx, ref)
        return tx.labels.entries(version.name, version.version)


def diff_labels(ports: Ports, before: str, after: str) -> list[LabelChange]:
    """Return what the second version says differently from the first."""
    evidence.authorize(ports, "labels", {"kind": "label-set", "id": after})
    with ports.catalog.read() as tx:
        old, new = (
            ledgers.resolve(tx.labels.entries(ref.name, ref.version))
            for ref in (label_version(tx, before), label_version(tx, after))
        )
    keys = sorted({(target, finding) for side in (old, new) for target in side for finding in side[target]})
    changes = (
        LabelChange(
            level=target[0],
            target=target[1],
            finding=finding,
            before=old.get(target, {}).get(finding),
            after=new.get(target, {}).get(finding),
        )
        for target, finding in keys
    )
    return [change for change in changes if change.before != change.after]


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


def _ledger(tx: Transaction, name: str) -> list[LabelEntry]:
    try:
        return tx.labels.entries(name)
    except NotFound:
        return []


def _targets(tx: Transaction, level: Level, text: str) -> set[str]:
    """Return what may be meant in the catalog, by what the archive calls it or by what a project calls it."""
    found = tx.instances.find(level, text) or [tx.instances.get(source) for source in tx.copies.source_of_uid(text)]
    return {each.names[level] for each in found}
