"""request, approve, deny, grants, revoke, lease: the use of a snapshot, asked for, granted and lent.

A lease is minutes long and ends earlier when its grant does. Expiry is part of every decision; no job enforces it.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from filmroom.errors import Denied, Invalid, LeaseEnded, Refused
from filmroom.flow import evidence
from filmroom.flow.project import open_project
from filmroom.govern import leases
from filmroom.ids import Versioned, check_name
from filmroom.ports import Ports
from filmroom.records import Grant, LeaseRecord, Request, RequestState

MAX_DAYS = 366
MAX_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    grant: str
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A request and, where it was approved, its grant."""

    request: Request
    grant: Grant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A signed token that lets its holder read a snapshot's shards until it expires."""

    lease: str = field(repr=False)
    expires: datetime


def request(ports: Ports, ref: Versioned, *, purpose: str, days: int) -> Request:
    """Ask for the use of a snapshot. Raises NotFound, or Invalid for an empty purpose or a period out of bounds."""
    permit = evidence.authorize(ports, "request", {"kind": "snapshot", "id": str(ref)})
    if not purpose.strip():
        raise Invalid("a request needs a purpose", "say in a sentence what the data is for")
    if not 1 <= days <= MAX_DAYS:
        raise Invalid(f"{days} days cannot be granted", f"ask for 1 to {MAX_DAYS}, and again when they are over")
    asked = Request(
        id=f"req-{ports.entropy.draw(6).hex()}",
        snapshot=ref,
        requester=permit.actor,
        purpose=purpose,
        days=days,
        at=ports.clock.now(),
    )
    with ports.catalog.write() as tx:
        tx.snapshots.get(ref)
        tx.access.add_request(asked)
        what = {"kind": "request", "id": asked.id, "snapshot": str(ref)}
        evidence.record(tx, ports, permit, what, {"days": days}, row=asked)
    return asked


def approve(ports: Ports, request: str) -> Granted:
    """Grant a request. Raises Denied for the requester's own, Refused when it was decided before."""
    now = ports.clock.now()
    with ports.catalog.read() as tx:
        asked = tx.access.get_request(request)
        project = open_project(tx, tx.snapshots.get(asked.snapshot).project, now)
    permit = evidence.authorize(ports, "approve", _resource(asked))
    ends = now + timedelta(days=asked.days)
    grant = Grant(
        id=f"grant-{ports.entropy.draw(6).hex()}",
        request=asked.id,
        snapshot=asked.snapshot,
        holder=asked.requester.name,
        purpose=asked.purpose,
        granted_at=now,
        expires=min(ends, project.until or ends),
    )
    with ports.catalog.write() as tx:
        decided = replace(asked, state=RequestState.APPROVED, decided_by=permit.actor, decided_at=now)
        tx.access.decide(decided)
        tx.access.add_grant(grant)
        evidence.record(tx, ports, permit, {"kind": "request", "id": asked.id}, {"grant": grant.id}, row=decided)
        evidence.record(tx, ports, permit, {"kind": "grant", "id": grant.id, "request": asked.id}, {}, row=grant)
    return Granted(grant=grant.id, expires=grant.expires)


def deny(ports: Ports, request: str, *, why: str) -> Request:
    """Turn a request down. Raises Denied for the requester's own, Refused when it was decided before."""
    with ports.catalog.read() as tx:
        asked = tx.access.get_request(request)
    permit = evidence.authorize(ports, "deny", _resource(asked))
    decided = replace(asked, state=RequestState.DENIED, decided_by=permit.actor, decided_at=ports.clock.now(), why=why)
    with ports.catalog.write() as tx:
        tx.access.decide(decided)
        evidence.record(tx, ports, permit, {"kind": "request", "id": asked.id}, {"state": decided.state}, row=decided)
    return decided


def grants(ports: Ports) -> list[Access]:
    """List requests, oldest first, with their grants."""
    evidence.authorize(ports, "grants")
    with ports.catalog.read() as tx:
        return [Access(request=asked, grant=grant) for asked, grant in tx.access.all()]


def revoke(ports: Ports, grant: str) -> Grant:
    """End a grant now, and with it every lease minted from it."""
    permit = evidence.authorize(ports, "revoke", {"kind": "grant", "id": grant})
    with ports.catalog.write() as tx:
        found = tx.access.get_grant(grant)
        if found.revoked_at is not None:
            raise Refused("this grant was revoked before", "see filmroom grants")
        tx.access.revoke(grant, ports.clock.now())
        ended = tx.access.get_grant(grant)
        evidence.record(tx, ports, permit, {"kind": "grant", "id": grant}, {"state": "revoked"}, row=ended)
        return ended


def lease(ports: Ports, ref: Versioned, *, minutes: int = 60, job: str = "") -> Lease:
    """Mint a lease from the actor's grant for a snapshot. Raises Denied without one, LeaseEnded when it is over."""
    if not 1 <= minutes <= MAX_MINUTES:
        raise Invalid(f"a lease cannot last {minutes} minutes", f"ask for 1 to {MAX_MINUTES}, and renew it")
    now = ports.clock.now()
    with ports.catalog.read() as tx:
        open_project(tx, tx.snapshots.get(ref).project, now)
        found = tx.access.grants_of(ports.actor.name, ref)
    try:
        grant = _best(found, ref, now)
    except Denied:
        evidence.refused(ports, "lease", {"kind": "snapshot", "id": str(ref)})
        raise
    permit = evidence.authorize(ports, "lease", grant_resource(grant, ref))
    with ports.catalog.write() as tx:
        lent = LeaseRecord(
            id=f"lease-{ports.entropy.draw(12).hex()}",
            grant=grant.id,
            snapshot=ref,
            holder=permit.actor.name,
            job=check_name(job) if job else "",
            issued_at=now,
            expires=min(now + timedelta(minutes=minutes), grant.expires),
        )
        tx.access.add_lease(lent)
        what = {"kind": "lease", "id": lent.id, "snapshot": str(ref), "grant": grant.id}
        evidence.record(tx, ports, permit, what, {}, row=lent)
    token = leases.mint(lent, ports.room, ports.keys.sign, ports.keys.public_key())
    return Lease(lease=token, expires=lent.expires)


def grant_resource(grant: Grant, ref: Versioned, *, ends: datetime | None = None) -> dict[str, str]:
    """Return what the policy has to know of a grant, and of a lease of it that ends earlier."""
    return {
        "kind": "snapshot",
        "id": str(ref),
        "snapshot": str(grant.snapshot),
        "holder": grant.holder,
        "expires": str(int(min(grant.expires, ends or grant.expires).timestamp())),
        "revoked": "yes" if grant.revoked_at else "no",
    }


def _best(found: list[Grant], ref: Versioned, now: datetime) -> Grant:
    if not found:
        raise Denied(f"you hold no grant for {ref}", f"run: filmroom request {ref} --purpose TEXT --days N")
    good = [grant for grant in found if grant.revoked_at is None and now < grant.expires]
    if not good:
        newest = max(found, key=lambda grant: grant.granted_at)
        how = "was revoked" if newest.revoked_at else "has expired"
        raise LeaseEnded(f"your grant for {ref} {how}", f"run: filmroom request {ref} --purpose TEXT --days N")
    return max(good, key=lambda grant: grant.expires)


def _resource(asked: Request) -> dict[str, str]:
    return {"kind": "request", "id": asked.id, "requester": asked.requester.name}
