"""Permission before an act and evidence after it, the same for every verb."""

from collections.abc import Mapping

from filmroom.canon import digest_of
from filmroom.crypto import merkle
from filmroom.errors import Corrupt, Denied, NotFound
from filmroom.govern import audit
from filmroom.ids import Digest
from filmroom.ports import Ports, Transaction
from filmroom.records import Event, Permit

LATEST = "checkpoint"
ROW = "row"


def authorize(ports: Ports, verb: str, what: Mapping[str, str] | None = None) -> Permit:
    """Return the policy's permit; a refusal is written down before Denied is raised."""
    resource = dict(what or {})
    try:
        return ports.authorizer.permit(ports.actor, verb, resource, now=ports.clock.now())
    except Denied:
        refused(ports, verb, resource)
        raise


def refused(ports: Ports, verb: str, what: Mapping[str, str]) -> None:
    """Write down an attempt that was turned away."""
    event = Event(actor=ports.actor, verb=verb, what=_public(what), denied=True)
    with ports.catalog.write() as tx:
        _append(tx, ports, event)


def record(
    tx: Transaction,
    ports: Ports,
    permit: Permit,
    what: Mapping[str, str],
    outcome: Mapping[str, int | str],
    *,
    row: object = None,
) -> None:
    """Add the act to the audit log, in the transaction that makes it true.

    `row` is the catalog record that now says so: its digest goes into the leaf, so that an edited or deleted row is found.
    """
    bound = {} if row is None else {ROW: str(digest_of(row))}
    _append(
        tx,
        ports,
        Event(
            actor=permit.actor,
            verb=permit.verb,
            what=dict(what),
            outcome={**outcome, **bound},
            policy=permit.policy,
        ),
    )


def publish(ports: Ports) -> None:
    """Keep the newest signed checkpoint outside the catalog, so that a shortened or older log is noticed.

    What lies outside is only ever replaced by a longer log that has it as a beginning; otherwise it stays, as evidence.
    """
    with ports.catalog.read() as tx:
        newest = tx.log.latest_checkpoint()
        if newest is None:
            return
        try:
            note = ports.audit.get(LATEST).decode("utf-8", "replace")
            size, root = audit.open_checkpoint(note, audit.origin(ports.room), ports.keys.public_key())
        except NotFound:
            size, root = 0, None
        except Corrupt:
            return
        before = tx.log.checkpoint_at(size) if size else None
    if size < newest.size and (root is None or (before is not None and before.root == root)):
        ports.audit.put(LATEST, newest.note.encode())


def _append(tx: Transaction, ports: Ports, event: Event) -> None:
    size, frontier = tx.log.append([audit.leaf(event, at=ports.clock.now(), room=ports.room)])
    root = Digest(merkle.frontier_root([bytes.fromhex(each.hex) for each in frontier]).hex())
    tx.log.add_checkpoint(
        audit.checkpoint(
            size, root, origin=audit.origin(ports.room), sign=ports.keys.sign, public_key=ports.keys.public_key()
        )
    )


def _public(resource: Mapping[str, str]) -> dict[str, str]:
    """What of a resource may stand in the log: ids and digests."""
    return {name: resource[name] for name in ("kind", "id") if name in resource}
