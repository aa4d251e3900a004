"""Scrubbing, a part of `doctor`: every received object is read back now and then and compared with its digest.

What was never read back comes first, then what was longest ago; each group's moments are kept when the group is done, so a run
that is stopped is gone on with by the next. What is not what it was is marked, and nothing uses it until it is whole again:
restored to its place from a replica and found whole by the next run, or imported again.
"""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from filmroom.errors import Corrupt, FilmroomError, KeyGone, NotFound
from filmroom.flow import evidence
from filmroom.flow.reception import QUARANTINE
from filmroom.flow.sealed import SealedZone, unwrap
from filmroom.ids import Zone
from filmroom.ports import Ports
from filmroom.records import Holding, Kept, Permit

GROUP = 32
DAYS = 30
RATE = 50 * 10**6

_ZONE = {"kind": "zone", "id": Zone.CLINICAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a run reads: what was not read back for `days`, at `rate` bytes a second at most (0: as fast as it goes).

    `wait` sleeps for some seconds, and says whether to stop.
    """

    days: float = DAYS
    rate: float = RATE
    wait: Callable[[float], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubbed:
    """What a run saw. `damaged` counts by code what is not what it was; `mended` was damaged before, and is whole.

    `erased` are objects whose key was destroyed: there is nothing to compare.
    """

    checked: int
    bytes: int
    mended: int
    erased: int
    damaged: Mapping[str, int]
    seconds: float


def scrub(ports: Ports, permit: Permit, pace: Pace) -> Scrubbed:
    """Read back what is due, what is damaged first. Raises KeyGone when the room's own keys do not fit."""
    run = _Run(ports, permit, pace)
    try:
        run.check_all()
    finally:
        # stopped or not, the log says what was looked at
        with ports.catalog.write() as tx:
            counts = {"checked": run.tally["checked"], "bytes": run.tally["bytes"], "mended": run.tally["mended"]}
            outcome: dict[str, int | str] = {"state": "scrubbed", **counts, **run.damaged}
            evidence.record(tx, ports, permit, _ZONE, outcome)
    return Scrubbed(
        checked=run.tally["checked"],
        bytes=run.tally["bytes"],
        mended=run.tally["mended"],
        erased=run.tally["erased"],
        damaged=dict(sorted(run.damaged.items())),
        seconds=round(ports.clock.monotonic() - run.started, 3),
    )


def keep_scrubbing(
    ports: Ports,
    hours: float,
    wait: Callable[[float], object],
    has_turn: Callable[[], bool],
    complain: Callable[[str], None],
) -> None:
    """Scrub every so many hours until `wait` says to stop; what goes wrong with one run is told, and the next one comes.

    Of several processes that do so, only the one that has the turn scrubs.
    """
    while not wait(hours * 3600):
        if not has_turn():
            continue
        try:
            scrub(ports, evidence.authorize(ports, "doctor"), Pace(wait=wait))
        except FilmroomError as error:
            complain(f"scrubbing was not finished, and is gone on with in {hours:g} hours: [{error.code}] {error}")


class _Run:
    def __init__(self, ports: Ports, permit: Permit, pace: Pace) -> None:
        self._ports = ports
        self._permit = permit
        self._pace = pace
        self._zone = SealedZone(ports, Zone.CLINICAL)
        self.started = ports.clock.monotonic()
        self.tally: Counter[str] = Counter()
        self.damaged: Counter[str] = Counter()

    def check_all(self) -> None:
        before = self._ports.clock.now() - timedelta(days=self._pace.days)
        with self._ports.catalog.read() as tx:
            group = tx.custody.damaged()
        with self._ports.progress.task("scrub", None) as advance:
            while group or (group := self._due(before)):
                if not self._check_group(group[:GROUP], advance):
                    return
                group = group[GROUP:]

    def _due(self, before: datetime) -> list[Kept]:
        with self._ports.catalog.read() as tx:
            return tx.custody.due(before, GROUP)

    def _check_group(self, group: Sequence[Kept], advance: Callable[[int], None]) -> bool:
        """Read a group back and keep what was seen; return whether to go on."""
        erased = self._zone.erased(kept.subject for kept in group)
        seen: list[tuple[Kept, Kept]] = []
        is_stopped = False
        for kept in group:
            is_erased = kept.subject in erased
            seen.append((kept, replace(kept, damage=None if is_erased else self._damage(kept))))
            self.tally.update({"erased": 1} if is_erased else {"checked": 1, "bytes": kept.size_bytes})
            advance(1)
            if is_stopped := bool(self._pace.wait(self._ahead())):
                break
        self._keep(seen, erased)
        return not is_stopped

    def _damage(self, kept: Kept) -> str | None:
        try:
            self._zone.get_content(kept.digest, kept.subject, below=QUARANTINE if kept.holding is Holding.CASE else "")
        except NotFound:
            return "gone"
        except Corrupt:
            return "rotten"
        except KeyGone:
            # A damaged header looks like a wrong key; that the key itself is right is asked apart, and may raise.
            with self._ports.catalog.read() as tx:
                unwrap(self._ports, tx.keys, Zone.CLINICAL, [kept.subject])
            return "rotten"
        return None

    def _ahead(self) -> float:
        """Return how many seconds the run is ahead of its rate."""
        if not self._pace.rate:
            return 0.0
        return max(0.0, self.tally["bytes"] / self._pace.rate - (self._ports.clock.monotonic() - self.started))

    def _keep(self, seen: Sequence[tuple[Kept, Kept]], erased: Container[str]) -> None:
        """Keep the moments, and write down each object whose state is another than before."""
        with self._ports.catalog.write() as tx:
            tx.custody.note([after for _, after in seen], self._ports.clock.now())
            for before, after in seen:
                if after.damage is not None:
                    self.damaged[after.damage] += 1
                if after.damage != before.damage:
                    state = after.damage or ("erased" if after.subject in erased else "mended")
                    self.tally["mended"] += state == "mended"
                    what = {"kind": after.holding, "id": str(after.digest)}
                    evidence.record(tx, self._ports, self._permit, what, {"state": state})
