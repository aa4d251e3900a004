"""model: register what was trained, with the snapshot it was trained on."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from filmroom.errors import Invalid, Refused
from filmroom.flow import evidence
from filmroom.flow.sealed import SealedZone
from filmroom.govern import leases
from filmroom.ids import Digest, Versioned, Zone, check_name
from filmroom.ports import Ports, Transaction
from filmroom.records import Model, Value


def register_model(
    ports: Ports,
    name: str,
    *,
    snapshot: Versioned,
    artifact: Path,
    metrics: Path | None = None,
    lease: str | None = None,
) -> Model:
    """Keep an artifact in the models zone and link it to its snapshot, and to the lease that it was trained under.

    The shardset is the one that was opened through the lease; without a lease, the only one that the snapshot has.
    Registering the same artifact for the same snapshot again returns the version it has. Raises NotFound for a
    snapshot that does not exist, and Refused for a lease of another snapshot.
    """
    permit = evidence.authorize(ports, "model", {"kind": "model", "id": check_name(name)})
    data, figures = _read(artifact), _metrics(metrics)
    digest = Digest.of(data)
    with ports.catalog.read() as tx:
        tx.snapshots.get(snapshot)
        newest = tx.models.latest(name)
        same = [each for each in tx.models.by_digest(digest) if (each.ref.name, each.snapshot) == (name, snapshot)]
        lease_id = None
        if lease:
            lease_id = leases.identify(lease, room=ports.room, public_key=ports.keys.public_key())
            if tx.access.get_lease(lease_id)[0].snapshot != snapshot:
                raise Refused(f"this lease is not for {snapshot}", "give the lease that the model was trained under")
        shardset = _shardset(tx, snapshot, lease_id)
    if same:
        return same[0]
    models = SealedZone(ports, Zone.MODELS)
    subject = f"model/{name}"
    models.ensure([subject])
    # The same artifact may be registered under two names, each with a key of its own.
    models.put(f"{name}/{models.name_of(digest)}", subject, data)
    model = Model(
        ref=Versioned(name, newest.ref.version + 1 if newest else 1),
        digest=digest,
        size_bytes=len(data),
        snapshot=snapshot,
        shardset=shardset,
        lease=lease_id,
        metrics=figures,
        registered_at=ports.clock.now(),
        registered_by=permit.actor.name,
    )
    with ports.catalog.write() as tx:
        tx.models.add(model)
        what = {"kind": "model", "id": str(model.ref), "snapshot": str(snapshot)}
        evidence.record(tx, ports, permit, what, {"digest": str(digest), "lease": lease_id or ""})
    return model


def _shardset(tx: Transaction, snapshot: Versioned, lease: str | None) -> Digest | None:
    """Return the shardset that the model was trained on, or None when it could be one of several."""
    opened = {opening.shardset for opening in tx.access.openings(snapshot) if opening.lease == lease}
    candidates = opened or {shardset.id for shardset in tx.shardsets.find(snapshot)}
    return candidates.pop() if len(candidates) == 1 else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise Invalid("the artifact cannot be read", "give the path of one file") from None


def _metrics(path: Path | None) -> Mapping[str, Value]:
    """Read a JSON object of names and numbers or texts."""
    if path is None:
        return {}
    try:
        figures = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        figures = None
    good = isinstance(figures, dict) and all(
        isinstance(each, str | int) or (isinstance(each, float) and math.isfinite(each)) for each in figures.values()
    )
    if not good:
        raise Invalid("the metrics cannot be read", "give a JSON object of names and finite numbers")
    return dict(figures)
