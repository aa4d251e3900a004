"""audit: show the log, prove that nobody shortened, edited or reordered it or its rows, and that one entry is in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from filmroom.canon import Json, digest_of
from filmroom.crypto import merkle
from filmroom.errors import Corrupt, NotFound
from filmroom.flow import evidence
from filmroom.flow.incomplete import DECISION, decision_of
from filmroom.govern import audit
from filmroom.ids import Digest
from filmroom.ports import Ports, Transaction
from filmroom.records import Checkpoint, Completeness, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    index: int
    entry: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That an entry is in the log of a signed checkpoint, for who has neither: docs/formats/audit.md says how to check it.

    `path` holds the sibling hashes from the entry's leaf upward (RFC 9162, 2.1.3.1).
    """

    index: int
    entry: Mapping[str, Json]
    path: tuple[Digest, ...]
    checkpoint: str


def show_audit(ports: Ports, *, last: int | None = None) -> list[LogEntry]:
    """Return the log's entries, or the last so many, oldest first."""
    evidence.authorize(ports, "audit")
    with ports.catalog.read() as tx:
        start = max(0, tx.log.size() - last) if last is not None else 0
        leaves = list(tx.log.leaves(start))
    return [LogEntry(index=start + offset, entry=audit.read_leaf(leaf)) for offset, leaf in enumerate(leaves)]


def prove_audit(ports: Ports, index: int, *, size: int | None = None) -> Proof:
    """Prove one entry under the checkpoint over the first `size` entries, or under the newest.

    Raises NotFound when no such checkpoint covers it, Corrupt when the log is not what the checkpoint signs.
    """
    evidence.authorize(ports, "audit")
    with ports.catalog.read() as tx:
        signed = tx.log.latest_checkpoint() if size is None else tx.log.checkpoint_at(size)
        if signed is None or not 0 <= index < signed.size:
            raise NotFound(f"no such checkpoint covers entry {index}", "see filmroom audit show; entries count from 0")
        leaves = list(tx.log.leaves(stop=signed.size))
    path = merkle.inclusion_proof([merkle.leaf_hash(each) for each in leaves], index)
    if not merkle.verify_inclusion(leaves[index], index, signed.size, path, bytes.fromhex(signed.root.hex)):
        raise Corrupt("the log is not what the checkpoint signs", "run: filmroom audit verify")
    hashes = tuple(Digest(each.hex()) for each in path)
    return Proof(index=index, entry=audit.read_leaf(leaves[index]), path=hashes, checkpoint=signed.note)


def verify_audit(ports: Ports) -> audit.Verdict:
    """Check every leaf against every signed checkpoint, the one outside the catalog too, and the catalog against the log.

    Rows of deliveries, label sets, projects, cohorts, snapshots, shardsets, requests, grants, leases, questions and opened shards must be what
    was written down when they were made or last decided about, and every accepted series somebody's decision.
    """
    evidence.authorize(ports, "audit")
    origin, public_key = audit.origin(ports.room), ports.keys.public_key()
    problems: tuple[str, ...] = ()
    outside: list[Checkpoint] = []
    try:
        note = ports.audit.get(evidence.LATEST).decode("utf-8", "replace")
        size, root = audit.open_checkpoint(note, origin, public_key)
        outside = [Checkpoint(size=size, root=root, note=note)]
    except NotFound:
        pass  # nothing was published yet: the room was never closed
    except Corrupt as error:
        problems = (f"the checkpoint outside the catalog: {error.what}",)
    with ports.catalog.read() as tx:
        checkpoints = [*tx.log.checkpoints(), *outside]
        verdict = audit.verify(tx.log.leaves(), checkpoints, origin=origin, public_key=public_key)
    problems += verdict.problems + tuple(_rows_differ(ports))
    return replace(verdict, ok=not problems, problems=problems)


def _rows_differ(ports: Ports) -> Iterator[str]:
    """Yield a problem for each row that is not what the log says was written last, and for each that it does not know."""
    said: dict[tuple[str, str], str] = {}
    deliveries: dict[str, list[tuple[int, str]]] = {}
    labels: dict[str, list[tuple[int, str]]] = {}
    decisions: set[str] = set()
    with ports.catalog.read() as tx:
        for leaf in tx.log.leaves():
            try:
                entry = audit.read_leaf(leaf)
            except Corrupt:
                continue  # the log's own check says so
            what, outcome = _texts(entry["what"]), _texts(entry["outcome"])
            kind, name = what.get("kind", ""), what.get("id", "")
            if evidence.ROW in outcome:
                said[kind, name] = outcome[evidence.ROW]
            if DECISION in outcome:
                decisions.add(outcome[DECISION])
            if "ledger" in outcome:
                count = sum(int(outcome.get(each, "0")) for each in Outcome)
                deliveries.setdefault(name, []).append((count, outcome["ledger"]))
            if "entries" in outcome:
                labels.setdefault(name, []).append((int(outcome["added"]), outcome["entries"]))
        yield from _records_differ(tx, said)
        for series in tx.wholeness.unfinished():
            if series.state is Completeness.ACCEPTED and decision_of(series) not in decisions:
                yield f"a series of {series.subject} was accepted in the catalog without the log"
        for batch, groups in deliveries.items():
            yield from _list_differs(f"the ledger of {batch}", list(tx.batches.ledger(batch)), groups)
        for name, groups in labels.items():
            yield from _list_differs(f"label set {name}", tx.labels.entries(name) if _has(tx, name) else [], groups)


def _records_differ(tx: Transaction, said: Mapping[tuple[str, str], str]) -> Iterator[str]:
    standing: dict[tuple[str, str], object] = {}
    for asked, grant in tx.access.all():
        standing["request", asked.id] = asked
        if grant is not None:
            standing["grant", grant.id] = grant
    for question in tx.questions.all():
        standing["question", question.id] = question
    for project in tx.projects.all():
        standing["project", project.name] = project
    for cohort in tx.cohorts.all():
        standing["cohort", str(cohort.ref)] = cohort
    for snapshot in tx.snapshots.all():
        standing["snapshot", str(snapshot.ref)] = snapshot
        for lease in tx.access.leases(snapshot.ref):
            standing["lease", lease.id] = lease
        for opening in tx.access.openings(snapshot.ref):
            standing["opening", opening.id] = opening
        for shardset in tx.shardsets.find(snapshot.ref):
            standing["shardset", str(shardset.id)] = shardset
    for kind, name in sorted(said.keys() | standing.keys()):
        if (kind, name) not in standing:
            yield f"{kind} {name} is in the log and not in the catalog"
        elif (kind, name) not in said:
            yield f"{kind} {name} is in the catalog and not in the log"
        elif str(digest_of(standing[kind, name])) != said[kind, name]:
            yield f"{kind} {name} was changed in the catalog without the log"


def _list_differs(name: str, rows: Sequence[object], groups: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Rows were written in groups, and the log has a digest of each group."""
    start = 0
    for count, digest in groups:
        if str(digest_of(rows[start : start + count])) != digest:
            yield f"{name} is not what the log says, from entry {start + 1} on"
            return
        start += count
    if start != len(rows):
        yield f"{name} has {len(rows) - start} entries that the log does not know"


def _has(tx: Transaction, name: str) -> bool:
    return name in dict(tx.labels.all())


def _texts(value: object) -> dict[str, str]:
    return {str(key): str(item) for key, item in value.items()} if isinstance(value, dict) else {}
