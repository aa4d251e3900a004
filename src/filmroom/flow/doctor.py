"""doctor: do the room's parts answer, and do they agree?"""

from collections.abc import Iterator
from dataclasses import dataclass

from filmroom.errors import FilmroomError
from filmroom.flow import evidence
from filmroom.flow.audit import verify_audit
from filmroom.flow.deidentify import review_name
from filmroom.flow.reception import QUARANTINE
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Zone
from filmroom.ports import Ports
from filmroom.records import CaseState, CopyState, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: whether it is well, and what was seen or what to do."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    ok: bool
    checks: tuple[Check, ...]


def doctor(ports: Ports) -> Diagnosis:
    """Look at the catalog, every zone, the keys, the audit log, and at objects that no row speaks of."""
    evidence.authorize(ports, "doctor")
    checks = tuple(_checks(ports))
    return Diagnosis(ok=all(check.ok for check in checks), checks=checks)


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
    expected |= {zone.name_of(digest) for digest in released} | {review_name(zone, digest) for digest in waiting}
    lying = set(ports.objects[Zone.CLINICAL].names(""))
    gone = len(expected - lying)
    detail = f"{gone} objects are gone; restore them from a replica" if gone else f"{len(expected)} objects are there"
    yield Check(name="stored objects", ok=not gone, detail=detail)
    orphans = len(lying - expected)
    yield Check(
        name="orphans", ok=True, detail=f"{orphans} objects that no row needs; importing their source adopts them"
    )
