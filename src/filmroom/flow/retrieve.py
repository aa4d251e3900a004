"""retrieve: stored objects go back to whoever may have them, over whichever protocol they ask.

Permission comes first and the evidence before the first byte leaves; what was sent is written down at the end. Audit
leaves name the level, counts and the digest of what was asked for, never an identifier.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from filmroom.canon import digest_of
from filmroom.errors import FilmroomError, NotFound
from filmroom.flow import evidence
from filmroom.flow.sealed import SealedZone
from filmroom.ids import Digest, Zone
from filmroom.ports import Ports, Transaction
from filmroom.records import Level, Permit, StoredInstance, Value

RETRIEVE = "retrieve"
"""The permission that a retrieval needs: whoever may have what the archive holds, patients' names and all."""

_KEYS = {Level.STUDY: "study_uid", Level.SERIES: "series_uid", Level.INSTANCE: "sop_uid"}
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """One object that can be sent: which it is, and how it is encoded."""

    digest: Digest
    subject: str
    sop_class: str
    sop_uid: str = field(repr=False)
    transfer_syntax: str
    size_bytes: int
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Series:
    """What the room has of one series: SOP Instance UIDs that are cataloged, and those that wait in quarantine."""

    cataloged: frozenset[str] = field(repr=False)
    quarantined: frozenset[str] = field(repr=False)


class Retrieval:
    """Objects that somebody may have now. Made by `retrieve`; say `finish` when all was sent that could be."""

    def __init__(self, ports: Ports, permit: Permit, what: Mapping[str, str], objects: Sequence[Held]) -> None:
        self._ports = ports
        self._permit = permit
        self._what = what
        self._zone = SealedZone(ports, Zone.CLINICAL)
        self.objects = tuple(objects)

    def content(self, held: Held) -> bytes:
        """Return the object's bytes as they were received. Raises NotFound, KeyGone, Corrupt or Unavailable."""
        return self._zone.get_content(held.digest, held.subject)

    def finish(self, *, sent: int, failed: int) -> None:
        """Write down what became of it."""
        with self._ports.catalog.write() as tx:
            outcome: dict[str, int | str] = {"state": "closed", "sent": sent, "failed": failed}
            evidence.record(tx, self._ports, self._permit, self._what, outcome)


def retrieve(ports: Ports, level: Level, uids: Sequence[str], *, to: str) -> Retrieval:
    """Choose the current instances of these studies, series or instances, for the peer named `to`.

    Raises Denied, which is written down.
    """
    what = {"kind": "retrieval", "id": str(digest_of({"level": level, "uids": sorted(uids)})), "to": to}
    permit = evidence.authorize(ports, RETRIEVE, what)
    with ports.catalog.read() as tx:
        objects = list(_held(tx, _KEYS[level], uids))
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, what, {"state": "opened", "level": level, "objects": len(objects)})
    return Retrieval(ports, permit, what, objects)


def find(
    ports: Ports, where: str, level: Level, *, select: Sequence[str], related: Iterable[Level] = (), to: str
) -> list[dict[str, Value]]:
    """Query the catalog for the peer named `to`: one permission and one leaf for the whole answer.

    For each level in `related` a row gets `related_<level>`: how many series or instances its study or series has, and
    for Level.SERIES `related_modalities`, joined by backslashes. Raises Denied, and Invalid for a bad condition.
    """
    what = {"kind": "catalog", "id": level, "to": to}
    permit = evidence.authorize(ports, "query", what)
    with ports.catalog.read() as tx:
        rows = tx.instances.query(where, level, select=select, order=None, limit=None)
        for each in related:
            _count(tx, rows, level, each)
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, what, {"rows": len(rows)})
    return rows


def committed(ports: Ports, wanted: Sequence[tuple[str, str]], *, to: str) -> list[str]:
    """Say of each (SOP Class UID, SOP Instance UID) whether the room answers for it: "" for yes, else why not.

    The room answers for an object that has a current revision (so has every one in conflict or superseded) whose bytes
    are there. Why not is `missing`, `other-class` or `unreadable`. Needs the permission to import, as it is the sender's question.
    """
    what = {"kind": "commitment", "id": str(digest_of([list(pair) for pair in wanted])), "to": to}
    permit = evidence.authorize(ports, "import", what)
    zone = SealedZone(ports, Zone.CLINICAL)
    with ports.catalog.read() as tx:
        found = [(sop_class, tx.instances.find(Level.INSTANCE, uid)) for sop_class, uid in wanted]
    answers = [_answer(ports, zone, sop_class, stored) for sop_class, stored in found]
    with ports.catalog.write() as tx:
        counts: dict[str, int | str] = {"committed": answers.count(""), "refused": len(answers) - answers.count("")}
        evidence.record(tx, ports, permit, what, counts)
    return answers


def series(ports: Ports, series_uid: str) -> Series:
    """Return what the room has of a series, let in or not. Raises Denied."""
    evidence.authorize(ports, "query", {"kind": "catalog", "id": Level.SERIES})
    with ports.catalog.read() as tx:
        cataloged = {each.sop_uid for each in tx.instances.find(Level.SERIES, series_uid)}
        cases = tx.cases.sop_uids(series_uid)
    return Series(frozenset(cataloged), frozenset(cases - cataloged))


def _held(tx: Transaction, column: str, uids: Sequence[str]) -> Iterator[Held]:
    for start in range(0, len(uids), _AT_ONCE):
        where = f"{column} IN ({_list(uids[start : start + _AT_ONCE])})"
        select = [
            "digest",
            "subject",
            "sop_class",
            "sop_uid",
            "transfer_syntax",
            "size_bytes",
            "study_uid",
            "series_uid",
        ]
        for row in tx.instances.query(where, Level.INSTANCE, select=select, order=None, limit=None):
            yield Held(
                digest=Digest.parse(str(row["digest"])),
                subject=str(row["subject"]),
                sop_class=str(row["sop_class"]),
                sop_uid=str(row["sop_uid"]),
                transfer_syntax=str(row["transfer_syntax"]),
                size_bytes=int(row["size_bytes"] or 0),
                study_uid=str(row["study_uid"]),
                series_uid=str(row["series_uid"]),
            )


def _count(tx: Transaction, rows: list[dict[str, Value]], level: Level, below: Level) -> None:
    key = _KEYS[level]
    uids = sorted({str(row[key]) for row in rows})
    counts: dict[str, int] = {}
    modalities: dict[str, set[str]] = {}
    select = [key, "modality", _KEYS[below]] if below is Level.SERIES else [key, _KEYS[below]]
    for start in range(0, len(uids), _AT_ONCE):
        where = f"{key} IN ({_list(uids[start : start + _AT_ONCE])})"
        for row in tx.instances.query(where, below, select=select, order=None, limit=None):
            uid = str(row[key])
            counts[uid] = counts.get(uid, 0) + 1
            if row.get("modality"):
                modalities.setdefault(uid, set()).add(str(row["modality"]))
    for row in rows:
        uid = str(row[key])
        row[f"related_{below}"] = counts.get(uid, 0)
        if below is Level.SERIES:
            row["related_modalities"] = "\\".join(sorted(modalities.get(uid, ())))


def _answer(ports: Ports, zone: SealedZone, sop_class: str, stored: Sequence[StoredInstance]) -> str:
    if not stored:
        return "missing"
    same = [each for each in stored if each.sop_class == sop_class]
    if not same:
        return "other-class"
    try:
        for each in same:
            ports.objects[Zone.CLINICAL].size(zone.name_of(each.digest))
    except NotFound:
        return "unreadable"
    except FilmroomError as error:
        if error.retriable:
            return "unreadable"
        raise
    return ""


def _list(texts: Sequence[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
