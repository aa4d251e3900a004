"""import: a delivery comes in, and every object of it is accounted for.

Objects are taken in small groups. For each group: decide, seal and store the bytes durably, then write the ledger rows,
the instances, the cases and one audit leaf in one transaction. Nothing is called stored before that transaction is
committed. Interrupted, and run again, the same delivery finds what it had stored as duplicates.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from filmroom.canon import digest_of
from filmroom.errors import Invalid, NotFound
from filmroom.flow import evidence
from filmroom.flow.sealed import SealedZone, case_subject, patient_subject
from filmroom.ids import Digest, Zone
from filmroom.ingest import sources
from filmroom.ingest.accept import accept
from filmroom.ports import Ports, Transaction
from filmroom.records import (
    Accepted,
    Batch,
    Case,
    Conflict,
    Decision,
    Duplicate,
    Ignored,
    Instance,
    InstanceState,
    LedgerRow,
    Outcome,
    Permit,
    Quarantined,
    Reason,
)

GROUP_OBJECTS = 64
GROUP_BYTES = 64 * 2**20
_WRITERS = 8

UID_CONFLICT = "uid-conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of a delivery: received = stored + duplicate + conflict + quarantined + ignored.

    `missing` are digests that the manifest announced and that did not come; `short` is how many objects fewer than
    expected came.
    """

    batch: Batch
    received: int
    stored: int
    duplicate: int
    conflict: int
    quarantined: int
    ignored: int
    bytes: int
    seconds: float
    reasons: Mapping[str, int]
    missing: tuple[Digest, ...] = ()
    short: int = 0

    @property
    def is_complete(self) -> bool:
        return not self.missing and not self.short


@dataclass(frozen=True, slots=True)
class _Taken:
    """An arrival that was decided about, with its bytes still in hand."""

    position: int
    name: str
    data: bytes
    digest: Digest
    decision: Decision


def receive(
    ports: Ports,
    paths: Sequence[Path],
    *,
    source: str,
    expect: int | None = None,
    manifest: Path | None = None,
) -> Receipt:
    """Take in files, folders and archives. Raises NotFound for a path that is not there, before anything is taken."""
    permit = evidence.authorize(ports, "import", {"kind": "zone", "id": Zone.CLINICAL})
    announced = _read_manifest(manifest) if manifest else frozenset[Digest]()
    total = sources.count(paths)
    started = ports.clock.monotonic()
    batch = Batch(
        id=f"batch-{ports.entropy.draw(8).hex()}",
        source=source,
        received_at=ports.clock.now(),
        processing_version=ports.code["filmroom"],
        expected=expect,
    )
    with ports.catalog.write() as tx:
        tx.batches.open(batch)
        evidence.record(tx, ports, permit, {"kind": "batch", "id": batch.id}, {"state": "opened"})

    zone = SealedZone(ports, Zone.CLINICAL)
    rows: list[LedgerRow] = []
    with ports.progress.task("import", total) as advance:
        for group in _groups(sources.arrivals(paths)):
            rows += _take_group(ports, zone, permit, batch, group)
            advance(len(group))

    with ports.catalog.write() as tx:
        closed = replace(batch, closed_at=ports.clock.now())
        tx.batches.close(batch.id, closed.closed_at or batch.received_at)
        evidence.record(tx, ports, permit, {"kind": "batch", "id": batch.id}, {"state": "closed", **_counts(rows)})
    return Receipt(
        batch=closed,
        received=len(rows),
        **_counts(rows),
        bytes=sum(row.size_bytes for row in rows),
        seconds=round(ports.clock.monotonic() - started, 3),
        reasons=_reason_counts(rows),
        missing=tuple(sorted(announced - {row.digest for row in rows})),
        short=max(0, (expect or 0) - len(rows)),
    )


def _groups(
    arrivals: Iterable[sources.Arrival],
) -> Iterator[list[tuple[int, sources.Arrival]]]:
    """Number the arrivals and hand them on in groups that are small in number and in bytes."""
    group: list[tuple[int, sources.Arrival]] = []
    size = 0
    for position, arrival in zip(count(1), arrivals, strict=False):
        group.append((position, arrival))
        size += len(arrival.data or b"")
        if len(group) >= GROUP_OBJECTS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _take_group(
    ports: Ports, zone: SealedZone, permit: Permit, batch: Batch, group: Sequence[tuple[int, sources.Arrival]]
) -> list[LedgerRow]:
    taken = _decide(ports, group)
    _store(ports, zone, taken)
    with ports.catalog.write() as tx:
        rows = _catalog(ports, tx, batch, _settle(tx, taken))
        evidence.record(
            tx,
            ports,
            permit,
            {"kind": "batch", "id": batch.id},
            {"state": "received", **_counts(rows), "ledger": str(digest_of(rows))},
        )
    return rows


def _decide(ports: Ports, group: Sequence[tuple[int, sources.Arrival]]) -> list[_Taken]:
    """Decide about each object on its own; what the same group says twice is settled later."""
    digests = {position: Digest.of(arrival.data or b"") for position, arrival in group}
    with ports.catalog.read() as tx:
        known = tx.batches.known(sorted(set(digests.values())))
        taken = []
        for position, arrival in group:
            digest = digests[position]
            if arrival.problem is not None or arrival.data is None:
                problem = arrival.problem or Reason("unreadable", "the source did not give its bytes")
                decision: Decision = Ignored(digest, problem)
            else:
                decision = accept(
                    arrival.data,
                    current=lambda uid: tx.instances.current([uid]).get(uid),
                    known=lambda digest: _before(tx, digest, known),
                )
            taken.append(_Taken(position, arrival.name, arrival.data or b"", digest, decision))
    return taken


def _before(
    tx: Transaction, digest: Digest, known: Mapping[Digest, tuple[Outcome, tuple[Reason, ...]]]
) -> Outcome | None:
    """What became of these bytes before; quarantined bytes that were released since are here like any others."""
    if digest not in known:
        return None
    outcome, _ = known[digest]
    if outcome is Outcome.QUARANTINED:
        try:
            tx.instances.get(digest)
        except NotFound:
            return outcome
        return Outcome.STORED
    return outcome


def _store(ports: Ports, zone: SealedZone, taken: Sequence[_Taken]) -> None:
    """Make the bytes durable, each under its patient's key, or its case's when it is not trusted."""
    jobs = [
        (_subject(ports, each.decision), each)
        for each in taken
        if isinstance(each.decision, Accepted | Conflict | Quarantined)
    ]
    zone.ensure(subject for subject, _ in jobs)
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(lambda job: zone.put(zone.name_of(job[1].digest), job[0], job[1].data), jobs):
            pass


def _settle(tx: Transaction, taken: Sequence[_Taken]) -> list[_Taken]:
    """Decide again, now that nobody else can write: other writers and this very group may have come first."""
    known = tx.batches.known([each.digest for each in taken])
    uids = [each.decision.instance.sop_uid for each in taken if isinstance(each.decision, Accepted | Conflict)]
    current = tx.instances.current(uids)
    here = {digest for digest, (outcome, _) in known.items() if outcome in (Outcome.STORED, Outcome.CONFLICT)}
    settled = []
    for each in taken:
        decision = each.decision
        if isinstance(decision, Accepted | Conflict):
            instance = decision.instance
            if instance.digest in here:
                decision = Duplicate(instance.digest)
            else:
                here.add(instance.digest)
                revision = current.setdefault(instance.sop_uid, instance.digest)
                same = revision == instance.digest
                decision = Accepted(instance) if same else Conflict(instance, revision)
        settled.append(replace(each, decision=decision))
    return settled


def _catalog(ports: Ports, tx: Transaction, batch: Batch, taken: Sequence[_Taken]) -> list[LedgerRow]:
    rows: list[LedgerRow] = []
    instances: list[tuple[Instance, str, str, InstanceState]] = []
    cases: list[Case] = []
    for each in taken:
        outcome, reasons = _verdict(each.decision)
        rows.append(
            LedgerRow(
                position=each.position,
                name=each.name,
                digest=each.digest,
                size_bytes=len(each.data),
                outcome=outcome,
                reasons=reasons,
            )
        )
        match each.decision:
            case Accepted(instance):
                instances.append((instance, _subject(ports, each.decision), batch.id, InstanceState.CURRENT))
            case Conflict(instance, _):
                instances.append((instance, _subject(ports, each.decision), batch.id, InstanceState.CONFLICT))
                cases.append(_case(ports, batch, each, reasons, instance))
            case Quarantined(_, _, maybe):
                cases.append(_case(ports, batch, each, reasons, maybe))
            case Duplicate() | Ignored():
                pass
    tx.instances.add(instances)
    standing = set(tx.batches.known([case.digest for case in cases]))
    for case in cases:
        if case.digest not in standing:
            standing.add(case.digest)
            tx.cases.add(case)
    tx.batches.add(batch.id, rows)
    return rows


def _case(ports: Ports, batch: Batch, taken: _Taken, reasons: tuple[Reason, ...], instance: Instance | None) -> Case:
    return Case(
        id=f"case-{ports.entropy.draw(6).hex()}",
        name=taken.name,
        digest=taken.digest,
        size_bytes=len(taken.data),
        batch=batch.id,
        subject=_subject(ports, taken.decision),
        reasons=reasons,
        instance=instance,
    )


def _verdict(decision: Decision) -> tuple[Outcome, tuple[Reason, ...]]:
    match decision:
        case Accepted():
            return Outcome.STORED, ()
        case Duplicate():
            return Outcome.DUPLICATE, ()
        case Conflict():
            detail = "the room has this SOP Instance UID with other bytes; both are kept until somebody decides"
            return Outcome.CONFLICT, (Reason(UID_CONFLICT, detail),)
        case Quarantined(_, reasons, _):
            return Outcome.QUARANTINED, reasons
        case Ignored(_, reason):
            return Outcome.IGNORED, (reason,)


def _subject(ports: Ports, decision: Decision) -> str:
    match decision:
        case Accepted(instance) | Conflict(instance, _):
            return patient_subject(ports, instance.issuer, instance.patient_id, instance.study_uid)
        case Quarantined(digest, _, _) | Ignored(digest, _) | Duplicate(digest):
            return case_subject(ports, digest)


def _counts(rows: Iterable[LedgerRow]) -> dict[str, int]:
    found = {outcome.value: 0 for outcome in Outcome}
    for row in rows:
        found[row.outcome] += 1
    return found


def _reason_counts(rows: Iterable[LedgerRow]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        for reason in row.reasons:
            found[reason.code] = found.get(reason.code, 0) + 1
    return dict(sorted(found.items()))


def _read_manifest(path: Path) -> frozenset[Digest]:
    """Read announced digests: `sha256sum` lines, or a digest a line."""
    try:
        lines = path.read_text("utf-8").splitlines()
        return frozenset(Digest.parse(line.split()[0]) for line in lines if line.strip())
    except (OSError, UnicodeDecodeError, Invalid):
        raise Invalid(
            "the manifest cannot be read", "give a text file with a SHA-256 digest at each line's start"
        ) from None
