"""load: read a snapshot's samples through a lease.

The lease is looked at before every batch, and every shard that is opened is written down before its key is released: a
reader can have read less than the audit log says, never more.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from filmroom.errors import Denied, NotFound
from filmroom.flow import evidence
from filmroom.flow.build import prefix
from filmroom.flow.sealed import shardset_subject, unwrap
from filmroom.flow.share import grant_resource
from filmroom.govern import leases
from filmroom.ids import Digest, Versioned, Zone
from filmroom.loader.data import Data, open_data
from filmroom.ports import Ports
from filmroom.records import Actor, Grant, LeaseRecord, Opening, Permit


class LeaseGate:
    """Releases a shardset's keys to the holder of a lease: the `KeyRelease` of a room that is at hand.

    The token is verified when the gate is made, for it cannot change; the lease that it stands for, and the grant behind
    it, are looked at each time. Making it raises LeaseEnded for a token that has expired, and Denied for one that is not
    this room's.
    """

    def __init__(self, ports: Ports, token: str, ref: Versioned, shardset: Digest) -> None:
        self._ports = ports
        self._ref = ref
        self._shardset = shardset
        with self._refusals_written():
            self._lease = leases.read(token, room=ports.room, public_key=ports.keys.public_key(), now=ports.clock.now())

    def check(self) -> None:
        """Raise LeaseEnded once the lease has ended, or Denied for one that is not for this snapshot."""
        self._alive()

    def keys(self, subjects: Iterable[str]) -> dict[str, bytes]:
        """Return the keys of these subjects: the shardset's own, or patients by pseudonym."""
        wanted = {subject: self._key_name(subject) for subject in subjects}
        lease, grant = self._alive()
        permit = self._permit(lease, grant)
        with self._ports.catalog.write() as tx:
            opened = unwrap(self._ports, tx.keys, Zone.RESEARCH, list(wanted.values()))
            opening = self._opening(lease, wanted)
            tx.access.add_opening(opening)
            what = {
                "kind": "opening",
                "id": opening.id,
                "shardset": str(self._shardset),
                "snapshot": str(self._ref),
                "lease": lease.id,
                "job": lease.job,
            }
            evidence.record(tx, self._ports, permit, what, {"keys": len(opened)}, row=opening)
        return {subject: opened[name] for subject, name in wanted.items()}

    def _alive(self) -> tuple[LeaseRecord, Grant]:
        with self._refusals_written():
            with self._ports.catalog.read() as tx:
                lease, grant = tx.access.get_lease(self._lease)
            leases.alive(lease, grant, self._ports.clock.now())
            if lease.snapshot != self._ref:
                raise Denied(f"this lease is not for {self._ref}", f"run: filmroom lease {self._ref}")
        return lease, grant

    @contextmanager
    def _refusals_written(self) -> Iterator[None]:
        try:
            yield
        except Denied:
            evidence.refused(self._ports, "load", {"kind": "snapshot", "id": str(self._ref)})
            raise

    def _opening(self, lease: LeaseRecord, subjects: Iterable[str]) -> Opening:
        """Return the record of whose shards are opened: the leaf has its digest, for the list may be long."""
        return Opening(
            id=f"opening-{self._ports.entropy.draw(12).hex()}",
            lease=lease.id,
            shardset=self._shardset,
            subjects=tuple(subjects),
            at=self._ports.clock.now(),
        )

    def _permit(self, lease: LeaseRecord, grant: Grant) -> Permit:
        """Ask the policy about the holder: a lease's token speaks for who it was lent to, whoever opened the room."""
        ports = self._ports
        if ports.actor.name != lease.holder:
            ports = replace(ports, actor=Actor(lease.holder, ports.actor.owner or ports.actor.name))
        return evidence.authorize(ports, "load", grant_resource(grant, self._ref, ends=lease.expires))

    def _key_name(self, subject: str) -> str:
        own = shardset_subject(self._shardset)
        return own if subject == own else shardset_subject(self._shardset, subject)


def load(
    ports: Ports,
    ref: Versioned,
    *,
    lease: str,
    split: str | None = None,
    recipe: Digest | None = None,
    threads: int = 2,
) -> Data:
    """Open the snapshot's newest shardset, or that of one recipe. Raises NotFound before anything was built."""
    with ports.catalog.read() as tx:
        found = tx.shardsets.find(ref, recipe)
    if not found:
        raise NotFound(f"{ref} has no shards", f"run: filmroom build {ref} --recipe FILE")
    gate = LeaseGate(ports, lease, ref, found[0].id)
    return open_data(ports.objects[Zone.RESEARCH], prefix(found[0].id), gate, split=split, threads=threads)
