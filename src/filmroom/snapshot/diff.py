"""What changed between two snapshots: instances that came and went, and rows whose facts are different now."""

from collections.abc import Iterable
from dataclasses import dataclass

from filmroom.records import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """SOP Instance UIDs (pseudonymous) that only one side has, and those whose labels, part or content differ."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[str, ...]
    moved: tuple[str, ...]
    rewritten: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.relabelled or self.moved or self.rewritten)


def difference(before: Iterable[Row], after: Iterable[Row]) -> Difference:
    """Compare two manifests by SOP Instance UID. `moved` means moved between parts of the split."""
    old = {row.sop_uid: row for row in before}
    new = {row.sop_uid: row for row in after}
    both = sorted(old.keys() & new.keys())
    return Difference(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        relabelled=tuple(uid for uid in both if dict(old[uid].labels) != dict(new[uid].labels)),
        moved=tuple(uid for uid in both if old[uid].split != new[uid].split),
        rewritten=tuple(uid for uid in both if old[uid].commitment != new[uid].commitment),
    )
