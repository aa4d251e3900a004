"""audit: show the log, and prove that nobody shortened, edited or reordered it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from filmroom.canon import Json
from filmroom.errors import Corrupt, NotFound
from filmroom.flow import evidence
from filmroom.govern import audit
from filmroom.ports import Ports
from filmroom.records import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    index: int
    entry: Mapping[str, Json]


def show_audit(ports: Ports, *, last: int | None = None) -> list[LogEntry]:
    """Return the log's entries, or the last so many, oldest first."""
    evidence.authorize(ports, "audit")
    with ports.catalog.read() as tx:
        start = max(0, tx.log.size() - last) if last is not None else 0
        leaves = list(tx.log.leaves(start))
    return [LogEntry(index=start + offset, entry=audit.read_leaf(leaf)) for offset, leaf in enumerate(leaves)]


def verify_audit(ports: Ports) -> audit.Verdict:
    """Check every leaf against every signed checkpoint, the one that is kept outside the catalog too."""
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
    return replace(verdict, ok=verdict.ok and not problems, problems=problems + verdict.problems)
