"""retrieve: stored objects go back to whoever may have them, over whichever protocol they ask.

Permission comes first and the evidence before the first byte leaves; what was sent is written down at the end. Audit
leaves name the level, counts and the digest of what was asked for, never an identifier.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from filmroom.canon import digest_of
from filmroom.catalog.matching import among
from filmroom.errors import FilmroomError, NotFound
from filmroom.flow import evidence
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Zone
from filmroom.ports import Ports, Transaction
from filmroom.records import Level, Permit, StoredInstance

RETRIEVE = "retrieve"
"""The permission that a retrieval needs: whoever may have what the archive holds, patients' names and all."""

PIECE = 8 * 2**20
"""Bytes of an object that are in memory at once where they are handed on piece by piece."""

_KEYS = {Level.STUDY: "study_uid", Level.SERIES: "series_uid", Level.INSTANCE: "sop_uid"}


@dataclass(frozen=True, slots=True)
class Series:
    """What came of one series: SOP Instance UIDs that are cataloged and sound, and others that a case was opened for.

    A case that was rejected counts too: the object came, and somebody decided about it.
    """

    cataloged: frozenset[str] = field(repr=False)
    quarantined: frozenset[str] = field(repr=False)


class Retrieval:
    """Objects that somebody may have now. Made by `retrieve`; count in `sent` what was given, and `finish`.

    A context manager: leaving it finishes it, whatever went wrong.
    """

    def __init__(
        self, ports: Ports, permit: Permit, what: Mapping[str, str], objects: Sequence[StoredInstance]
    ) -> None:
        self._ports = ports
        self._permit = permit
        self._what = what
        self._zone = SealedZone(ports, Zone.CLINICAL)
        self._is_open = True
        self.objects = tuple(objects)
        self.sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.finish()

    def content(self, stored: StoredInstance) -> bytes:
        """Return the object's bytes as they were received. Raises NotFound, KeyGone, Corrupt or Unavailable."""
        return self._zone.get_content(stored.digest, stored.subject)

    def pieces(self, stored: StoredInstance, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes from `start` to `stop`, or to its end, a few MiB at a time; each is proven to be its own.

        Raises what `content` does, in the middle if it is there that something is wrong.
        """
        stop = stored.size_bytes if stop is None else stop
        if stop - start == stored.size_bytes <= PIECE:
            yield self.content(stored)
            return
        for at in range(start, stop, PIECE):
            yield self._zone.get_part(stored, at, min(stop, at + PIECE))

    def finish(self) -> None:
        """Write down how many objects were sent; the others failed. Finishing twice changes nothing."""
        if not self._is_open:
            return
        failed = len(self.objects) - self.sent
        outcome: dict[str, int | str] = {"state": "closed", "sent": self.sent, "failed": failed}
        with self._ports.catalog.write() as tx:
            evidence.record(tx, self._ports, self._permit, self._what, outcome)
        self._is_open = False


def retrieve(
    ports: Ports, level: Level, uids: Sequence[str], *, to: str, within: Mapping[Level, str] | None = None
) -> Retrieval:
    """Choose the current instances of these studies, series or instances, for the peer named `to`.

    `within` are the study and series that they must be of. Raises Denied, which is written down.
    """
    what = {"kind": "retrieval", "id": str(digest_of({"level": level, "uids": sorted(uids)})), "to": to}
    permit = evidence.authorize(ports, RETRIEVE, what)
    with ports.catalog.read() as tx:
        found = _stored(tx, level, uids)
        objects = [each for each in found if all(each.names[above] == uid for above, uid in (within or {}).items())]
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, what, {"state": "opened", "level": level, "objects": len(objects)})
    return Retrieval(ports, permit, what, objects)


def committed(ports: Ports, wanted: Sequence[tuple[str, str]], *, to: str) -> list[str]:
    """Say of each (SOP Class UID, SOP Instance UID) whether the room answers for it: "" for yes, else why not.

    The room answers for an object that has a current revision (so has every one in conflict or superseded) whose bytes
    are there and not known to be damaged. Why not is `missing`, `other-class` or `unreadable`. Needs the permission to
    import, as it is the sender's question.
    """
    what = {"kind": "commitment", "id": str(digest_of([list(pair) for pair in wanted])), "to": to}
    permit = evidence.authorize(ports, "import", what)
    zone = SealedZone(ports, Zone.CLINICAL)
    with ports.catalog.read() as tx:
        found = tx.instances.revisions([uid for _, uid in wanted])
    answers = [_answer(ports, zone, sop_class, found.get(uid)) for sop_class, uid in wanted]
    with ports.catalog.write() as tx:
        counts: dict[str, int | str] = {"committed": answers.count(""), "refused": len(answers) - answers.count("")}
        evidence.record(tx, ports, permit, what, counts)
    return answers


def series(ports: Ports, series_uid: str) -> Series:
    """Return what came of a series, whether it was let in, waits or was rejected. Raises Denied."""
    evidence.authorize(ports, "query", {"kind": "catalog", "id": Level.SERIES})
    with ports.catalog.read() as tx:
        cataloged = {each.sop_uid for each in tx.instances.find(Level.SERIES, series_uid) if not each.damage}
        cases = tx.cases.sop_uids(series_uid)
    return Series(frozenset(cataloged), frozenset(cases - cataloged))


def _stored(tx: Transaction, level: Level, uids: Iterable[str]) -> Iterator[StoredInstance]:
    for where in among(_KEYS[level], uids):
        yield from tx.instances.matching(where)


def _answer(ports: Ports, zone: SealedZone, sop_class: str, stored: StoredInstance | None) -> str:
    if stored is None:
        return "missing"
    if stored.sop_class != sop_class:
        return "other-class"
    if stored.damage:
        return "unreadable"
    try:
        ports.objects[Zone.CLINICAL].size(zone.name_of(stored.digest))
    except NotFound:
        return "unreadable"
    except FilmroomError as error:
        if error.retriable:
            return "unreadable"
        raise
    return ""
