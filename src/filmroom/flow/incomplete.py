"""incomplete: series that lack instances or may still grow, and the decision that one may be used as it is.

What a delivery was about is judged when it is closed, and kept with the series, so that `freeze` only asks who is unfit.
A new instance makes its series unjudged again: it counts as growing until a delivery that is about it is closed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from filmroom.canon import digest_of
from filmroom.catalog.completeness import lacks
from filmroom.errors import NotFound
from filmroom.flow import evidence
from filmroom.ports import Ports, Transaction
from filmroom.records import Completeness, SeriesState, StoredInstance

DECISION = "decision"
"""In a leaf's outcome: the digest of a decision to use a series as it is."""

_AT_ONCE = 500
WHY = {
    Completeness.INCOMPLETE: "in a series that lacks instances",
    None: "in a study that may still grow",
}


def incomplete(ports: Ports) -> list[SeriesState]:
    """List the series that are not complete, also those that somebody accepted."""
    evidence.authorize(ports, "incomplete")
    with ports.catalog.read() as tx:
        return tx.wholeness.unfinished()


def accept_incomplete(ports: Ports, series_uid: str, *, why: str) -> list[SeriesState]:
    """Let a series be used although it lacks instances, as long as it lacks the same. It is judged anew before.

    Raises NotFound, or Refused when it was accepted before. A series that lacks nothing is complete from now on.
    """
    permit = evidence.authorize(ports, "incomplete")
    with ports.catalog.write() as tx:
        keys = tx.wholeness.of_uid(series_uid)
        if not keys:
            raise NotFound("there is no series with this UID", "see filmroom incomplete list")
        now = ports.clock.now()
        _judge(tx, keys, now, by_delivery=False)
        if any(each.lacks for each in tx.wholeness.unfinished(series_uid)):
            tx.wholeness.accept(series_uid, permit.actor.name, now, why)
        decided = tx.wholeness.unfinished(series_uid)
        for each in decided:
            outcome: dict[str, int | str] = {"state": str(each.state), "lacks": len(each.lacks)}
            if each.state is Completeness.ACCEPTED:
                outcome[DECISION] = decision_of(each)
            evidence.record(tx, ports, permit, {"kind": "patient", "id": each.subject}, outcome)
        return decided


def decision_of(series: SeriesState) -> str:
    """Return the digest of what somebody decided about a series, which stands until it lacks something else.

    A UID is a patient's value, and so may be a reason: a leaf has this instead of them.
    """
    names = [series.study_uid, series.series_uid]
    return str(digest_of([*names, series.lacks, series.accepted_by, series.accepted_at, series.why]))


def judge_delivery(tx: Transaction, batch: str, at: datetime, *, short: int) -> None:
    """Judge what a delivery was about. `short` is how many objects fewer than announced it brought."""
    keys = tx.wholeness.of_batch(batch)
    _judge(tx, keys, at, short)
    _judge(tx, tx.wholeness.beside(keys), at)


def judge_series(tx: Transaction, series_uid: str, at: datetime) -> None:
    """Judge a series anew, after something else than a delivery changed it."""
    _judge(tx, tx.wholeness.of_uid(series_uid), at, by_delivery=False)


def announced(ports: Ports, counts: Mapping[str, int], *, by: str) -> None:
    """Keep how many instances the archive named `by` says that series have, by UID, and judge them by it.

    A series of which a delivery is open is judged when that is closed. Raises Denied.
    """
    what = {"kind": "announcement", "id": str(digest_of(counts)), "by": by}
    permit = evidence.authorize(ports, "import", what)
    if not counts:
        return
    with ports.catalog.write() as tx:
        _judge(tx, tx.wholeness.announce(counts), ports.clock.now(), by_delivery=False)
        evidence.record(tx, ports, permit, what, {"state": "announced", "series": len(counts)})


def why_not(unfit: Mapping[tuple[str, str, str], Completeness | None], instance: StoredInstance) -> str:
    """Return why this instance is not to be handed on, "" when it may be; `unfit` is what the catalog says of series."""
    key = (instance.subject, instance.study_uid, instance.series_uid)
    return WHY[unfit[key]] if key in unfit else ""


def _judge(
    tx: Transaction, keys: Sequence[int], at: datetime, short: int | None = None, *, by_delivery: bool = True
) -> None:
    for start in range(0, len(keys), _AT_ONCE):
        facts = tx.wholeness.facts(keys[start : start + _AT_ONCE])
        tx.wholeness.judge([(key, lacks(each, short)) for key, each in facts], at, by_delivery=by_delivery)
