"""Permission before an act and evidence after it, the same for every verb."""

from collections.abc import Mapping

from filmroom.crypto import merkle
from filmroom.errors import Denied
from filmroom.govern import audit
from filmroom.ids import Digest
from filmroom.ports import Ports, Transaction
from filmroom.records import Event, Permit

LATEST = "checkpoint"


def authorize(ports: Ports, verb: str, what: Mapping[str, str] | None = None) -> Permit:
    """Return the policy's permit; a refusal is written down before Denied is raised."""
    resource = dict(what or {})
    try:
        return ports.authorizer.permit(ports.actor, verb, resource, now=ports.clock.now())
    except Denied:
        event = Event(actor=ports.actor, verb=verb, what=_public(resource), denied=True)
        with ports.catalog.write() as tx:
            _append(tx, ports, event)
        raise


def record(
    tx: Transaction, ports: Ports, permit: Permit, what: Mapping[str, str], outcome: Mapping[str, int | str]
) -> None:
    """Add the act to the audit log, in the transaction that makes it true."""
    _append(
        tx,
        ports,
        Event(actor=permit.actor, verb=permit.verb, what=dict(what), outcome=dict(outcome), policy=permit.policy),
    )


def publish(ports: Ports) -> None:
    """Keep the newest signed checkpoint outside the catalog, so that a shortened log is noticed."""
    with ports.catalog.read() as tx:
        checkpoints = tx.log.checkpoints()
    if checkpoints:
        ports.audit.put(LATEST, checkpoints[-1].note.encode())


def _append(tx: Transaction, ports: Ports, event: Event) -> None:
    tx.log.append([audit.leaf(event, at=ports.clock.now(), room=ports.room)])
    size, frontier = tx.log.frontier()
    root = Digest(merkle.frontier_root([bytes.fromhex(each.hex) for each in frontier]).hex())
    tx.log.add_checkpoint(
        audit.checkpoint(
            size, root, origin=audit.origin(ports.room), sign=ports.keys.sign, public_key=ports.keys.public_key()
        )
    )


def _public(resource: Mapping[str, str]) -> dict[str, str]:
    """What of a resource may stand in the log: ids and digests."""
    return {name: resource[name] for name in ("kind", "id") if name in resource}
