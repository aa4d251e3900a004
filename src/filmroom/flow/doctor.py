"""doctor: do the room's parts answer, and do they agree? And, when asked: read back what is kept, adopt what nobody knows.

An orphan is an object without a row: its bytes were durable before a crash, and the transaction that would have told of them
was not. Adopted, it is opened with the key that fits, and goes through the front door in a batch of the source `doctor`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from filmroom.crypto import seal
from filmroom.errors import Corrupt, FilmroomError, KeyGone, NotFound
from filmroom.flow import evidence
from filmroom.flow.audit import verify_audit
from filmroom.flow.deidentify import REVIEW, review_name
from filmroom.flow.readback import Pace, Scrubbed, scrub
from filmroom.flow.receive import in_groups
from filmroom.flow.reception import QUARANTINE, Arrived, Receipt, Reception
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Zone
from filmroom.ports import Ports
from filmroom.records import Beside, CaseState, CopyState, Outcome, Reason

_IDLE_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: whether it is well, and what was seen or what to do."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """`scrubbed`, `adopted` and `swept` say what was done, when it was asked for; `checks` how things are after that."""

    ok: bool
    checks: tuple[Check, ...]
    scrubbed: Scrubbed | None = None
    adopted: Receipt | None = None
    swept: int | None = None


def doctor(ports: Ports, *, pace: Pace | None = None, adopt: bool = False) -> Diagnosis:
    """Look at the catalog, every zone, the keys, the audit log, and at objects that no row speaks of or that are damaged.

    With a `pace`, read back what is due first; with `adopt`, take in orphans and clear away what writes that were cut off
    left behind. Raises Denied, and Unavailable when either cannot be done.
    """
    permit = evidence.authorize(ports, "doctor")
    scrubbed = None if pace is None else scrub(ports, permit, pace)
    adopted = _adopt(ports) if adopt else None
    swept = sum(ports.objects[zone].sweep(_IDLE_SECONDS) for zone in Zone) if adopt else None
    checks = tuple(_checks(ports))
    return Diagnosis(
        ok=all(check.ok for check in checks), checks=checks, scrubbed=scrubbed, adopted=adopted, swept=swept
    )


def _checks(ports: Ports) -> Iterator[Check]:
    try:
        with ports.catalog.read() as tx:
            yield Check(name="catalog", ok=True, detail=f"answers; {tx.log.size()} audit entries")
    except FilmroomError as error:
        yield Check(name="catalog", ok=False, detail=str(error))
        return
    for zone in Zone:
        yield _zone(ports, zone)
    try:
        ports.keys.unwrap(Zone.CLINICAL, "probe", ports.keys.wrap(Zone.CLINICAL, "probe", bytes(32)))
        public_key = ports.keys.public_key().hex()
        yield Check(
            name="keys", ok=True, detail=f"wrap and unwrap; the room signs with Ed25519 public key {public_key}"
        )
    except FilmroomError as error:
        yield Check(name="keys", ok=False, detail=str(error))
    verdict = verify_audit(ports)
    detail = f"{verdict.size} entries hold" if verdict.ok else "; ".join(verdict.problems)
    yield Check(name="audit", ok=verdict.ok, detail=detail)
    yield from _clinical_objects(ports)


def _zone(ports: Ports, zone: Zone) -> Check:
    try:
        count = sum(1 for _ in ports.objects[zone].names(""))
    except FilmroomError as error:
        return Check(name=f"zone {zone}", ok=False, detail=str(error))
    return Check(name=f"zone {zone}", ok=True, detail=f"answers; {count} objects")


def _clinical_objects(ports: Ports) -> Iterator[Check]:
    """Every stored object lies where it should, and what else lies there is what a crash left behind."""
    expected = _expected(ports)
    lying = set(ports.objects[Zone.CLINICAL].names(""))
    gone = len(expected - lying)
    detail = f"{gone} objects are gone; restore them from a replica" if gone else f"{len(expected)} objects are there"
    yield Check(name="stored objects", ok=not gone, detail=detail)
    with ports.catalog.read() as tx:
        damaged = len(tx.custody.damaged())
        open_now = sum(batch.closed_at is None for batch, _, _ in tx.batches.all())
    detail = f"{damaged} were not what they had been when they were read back; import them again, or restore a replica"
    yield Check(name="damaged objects", ok=not damaged, detail=detail if damaged else "none that is known")
    detail = f"{open_now} go on or were cut off; series of those that were cut off stay out of snapshots until accepted"
    yield Check(name="open deliveries", ok=True, detail=detail if open_now else "none")
    detail = f"{len(lying - expected)} objects that no row needs; filmroom doctor --adopt takes them in"
    yield Check(name="orphans", ok=True, detail=detail)


def _expected(ports: Ports) -> set[str]:
    """Return the names of all objects that the catalog knows to lie in the clinical zone."""
    zone = SealedZone(ports, Zone.CLINICAL)
    expected: set[str] = set()
    with ports.catalog.read() as tx:
        for batch, _, _ in tx.batches.all():
            for row in tx.batches.ledger(batch.id):
                if row.outcome in (Outcome.STORED, Outcome.CONFLICT):
                    expected.add(zone.name_of(row.digest))
                elif row.outcome is Outcome.QUARANTINED:
                    expected.add(f"{QUARANTINE}{zone.name_of(row.digest)}")
        released = [case.digest for case in tx.cases.all(CaseState.RELEASED)]
        waiting = [copy.digest for copy in tx.copies.all(state=CopyState.REVIEW) if copy.digest is not None]
    return expected | {zone.name_of(digest) for digest in released} | {review_name(zone, digest) for digest in waiting}


def _adopt(ports: Ports) -> Receipt | None:
    """Take in every orphan that a key of the zone opens; return None when there is none.

    What was a copy waiting for review is made anew, not adopted.
    """
    orphans = sorted(set(ports.objects[Zone.CLINICAL].names("")) - _expected(ports))
    orphans = [name for name in orphans if not name.startswith(REVIEW)]
    if not orphans:
        return None
    with Reception(ports) as reception:
        delivery = reception.open("doctor", expected=len(orphans))
        for group in in_groups(_opened(ports, orphans)):
            reception.take_staged(reception.stage(delivery, group))
        return reception.finish(delivery)


def _opened(ports: Ports, names: Sequence[str]) -> Iterator[Arrived]:
    """Open objects of which nobody knows any more whose they are, by trying the zone's keys on their headers."""
    zone = SealedZone(ports, Zone.CLINICAL)
    owners = _owners(ports, names)
    for name in names:
        label = f"orphan {name.rpartition('/')[2]}"
        try:
            yield Arrived(label, zone.get(name, owners[name]), beside=Beside(label))
        except KeyError:
            yield Arrived(label, b"", Reason("orphan-sealed", "no key of the room opens it"))
        except (Corrupt, KeyGone, NotFound):
            yield Arrived(label, b"", Reason("orphan-damaged", "it is not what was sealed"))


def _owners(ports: Ports, names: Sequence[str]) -> dict[str, str]:
    """Return the subject whose key each of these objects is sealed under, where there is one."""
    store = ports.objects[Zone.CLINICAL]
    headers = {name: store.get_range(name, 0, seal.HEADER) for name in names}
    owners: dict[str, str] = {}
    with ports.catalog.read() as tx:
        for wrapped in tx.keys.all(Zone.CLINICAL) if headers else ():
            if wrapped.wrapped is None:
                continue
            key = ports.keys.unwrap(Zone.CLINICAL, wrapped.subject, wrapped.wrapped)
            for name, header in headers.items():
                if name not in owners and seal.fits(key, seal.context_of(Zone.CLINICAL, name), header):
                    owners[name] = wrapped.subject
    return owners
