"""snapshots, show, diff: what has been frozen, and how versions differ."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from filmroom.canon import Json
from filmroom.errors import Corrupt
from filmroom.flow import evidence
from filmroom.flow.freeze import ROOT, object_name
from filmroom.flow.sealed import SealedZone, project_subject
from filmroom.ids import Digest, Versioned, Zone
from filmroom.ports import Ports
from filmroom.records import Row, Snapshot
from filmroom.snapshot import manifest
from filmroom.snapshot.diff import Difference, difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A snapshot's root document and its rows, as they lie in the research zone."""

    snapshot: Snapshot
    document: Mapping[str, Json]
    rows: tuple[Row, ...]


def snapshots(ports: Ports) -> list[Snapshot]:
    """List the snapshots, oldest first."""
    evidence.authorize(ports, "snapshots")
    with ports.catalog.read() as tx:
        return tx.snapshots.all()


def show(ports: Ports, ref: Versioned) -> Manifest:
    """Return a snapshot's manifest. Raises NotFound, or Corrupt when it is not what was frozen."""
    evidence.authorize(ports, "show", {"kind": "snapshot", "id": str(ref)})
    return read_manifest(ports, ref)


def diff(ports: Ports, before: Versioned, after: Versioned) -> Difference:
    """Return what changed from one snapshot to another."""
    evidence.authorize(ports, "diff", {"kind": "snapshot", "id": str(after)})
    return difference(read_manifest(ports, before).rows, read_manifest(ports, after).rows)


def read_manifest(ports: Ports, ref: Versioned) -> Manifest:
    """Read root document and rows, and prove both against the snapshot's id. Raises NotFound or Corrupt."""
    with ports.catalog.read() as tx:
        snapshot = tx.snapshots.get(ref)
    research = SealedZone(ports, Zone.RESEARCH)
    subject = project_subject(snapshot.project)
    root = research.get(object_name(snapshot.id, ROOT), subject)
    if Digest.of(root) != snapshot.id:
        raise Corrupt(f"the root document of {ref} is not the one that was frozen", f"run: filmroom verify {ref}")
    document = json.loads(root)
    rows: list[Row] = []
    for file in document["rows"]:
        data = research.get(object_name(snapshot.id, file["name"]), subject)
        if str(Digest.of(data)) != file["digest"]:
            raise Corrupt(f"{file['name']} of {ref} is not what was frozen", f"run: filmroom verify {ref}")
        rows += manifest.read_rows(data)
    return Manifest(snapshot=snapshot, document=document, rows=tuple(rows))
