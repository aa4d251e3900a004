"""Reception: how an object gets in, whichever door it comes through.

Folder import, C-STORE and STOW-RS all hand their objects to one `Reception`. It takes them in groups: decide, seal and
store the bytes, and write ledger rows, instances, cases and audit leaves in one transaction. It is committed when the bytes are
durable, and nobody is told before that an object is in; what many senders bring at the same time shares it. Bytes of an object
that turned out to be damaged take its place.
"""

import queue
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import Self

from filmroom.canon import digest_of
from filmroom.dicom.part10 import split
from filmroom.errors import FilmroomError, KeyGone, Unavailable
from filmroom.flow import evidence
from filmroom.flow.incomplete import judge_delivery
from filmroom.flow.sealed import SealedZone, case_subject, file_subject, patient_subject
from filmroom.ids import Digest, Zone
from filmroom.ingest.accept import accept, may_be_file
from filmroom.ports import Content, Ports, Transaction
from filmroom.records import (
    Accepted,
    Batch,
    Beside,
    Case,
    Conflict,
    Decision,
    Discrepancy,
    Duplicate,
    Filed,
    Holding,
    Ignored,
    ImageFile,
    Instance,
    InstanceState,
    Kept,
    LedgerRow,
    Outcome,
    Permit,
    Quarantined,
    Reason,
    StoredInstance,
)

GROUP_OBJECTS = 64
GROUP_BYTES = 64 * 2**20
UID_CONFLICT = "uid-conflict"
QUARANTINE = "quarantine/"
"""Where objects that are not trusted lie in the clinical zone, apart from those that are."""

_WORKERS = 8
_AGAIN_SECONDS = 2.0
_LARGEST_HEADER = 64 * 1024
_ERASED = Reason("patient-erased", "this patient's keys were destroyed; nothing of theirs is taken in again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of a delivery: received = stored + duplicate + conflict + quarantined + ignored.

    `missing` are digests that the manifest announced and that did not come; `short` is how many objects fewer than
    expected came. `discrepancies` say what else the sender announced that is not what came.
    """

    batch: Batch
    received: int
    stored: int
    duplicate: int
    conflict: int
    quarantined: int
    ignored: int
    bytes: int
    seconds: float
    reasons: Mapping[str, int]
    missing: tuple[Digest, ...] = ()
    short: int = 0
    discrepancies: tuple[Discrepancy, ...] = ()

    @property
    def is_complete(self) -> bool:
        return not self.missing and not self.short and not any(each.is_lack for each in self.discrepancies)


@dataclass(frozen=True, slots=True)
class Arrived:
    """One object at the door: its bytes, or why there are none.

    A door that made the file's header itself says the object's SOP Instance UID as `headed`: what is here already with
    the same data set is then the same object, whatever its header says. One that hashed what
    came gives the `digest`. `doubt` speaks against the bytes from outside.
    A door that takes image files says what stands beside each object.
    """

    name: str = field(repr=False)
    data: Content = field(repr=False)
    problem: Reason | None = None
    headed: str = field(default="", repr=False)
    doubt: Reason | None = None
    beside: Beside | None = None
    digest: Digest | None = None


@dataclass(slots=True)
class Delivery:
    """One open batch: who brings it, and what came of it so far. Made by `Reception.open`."""

    batch: Batch
    permit: Permit
    started: float
    tally: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    position: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """An object that was decided about, how much of it there is, and the damaged object whose place it takes."""

    delivery: Delivery
    name: str = field(repr=False)
    size: int
    digest: Digest
    decision: Decision
    subject: str
    mends: Kept | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one object: its ledger row, and what it is where that was read."""

    row: LedgerRow
    instance: Instance | None


@dataclass(frozen=True, slots=True)
class Staged:
    """Objects that were decided about and whose bytes are on their way to the store. Made by `Reception.stage`."""

    taken: Sequence[Judged]
    writing: Sequence[Future[None]] = field(repr=False)

    def written(self) -> Sequence[Judged]:
        """Return the objects when their bytes are durable. Raises what the store raises."""
        for each in self.writing:
            each.result()
        return self.taken


class Reception:
    """Takes objects in, for any number of open deliveries. Thread-safe; close it when no more will come.

    A delivery that cannot be finished because the catalog is away is tried again every `again` seconds.
    """

    def __init__(self, ports: Ports, *, again: float = _AGAIN_SECONDS) -> None:
        self._ports = ports
        self._again = again
        self._unfinished: list[Delivery] = []
        self._later: threading.Timer | None = None
        self._later_lock = threading.Lock()
        self._is_over = False
        self._zone = SealedZone(ports, Zone.CLINICAL)
        self._workers = ThreadPoolExecutor(_WORKERS, "filmroom-take")
        self._turn = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[Staged, Future[LedgerRow]]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        if self._later is not None:
            self._later.cancel()
            self._later.join()
        for delivery in self._unfinished:
            self._is_finished(delivery)
        self._workers.shutdown()

    def open(self, source: str, *, expected: int | None = None) -> Delivery:
        """Begin a delivery. Raises Denied, which is written down."""
        ports = self._ports
        permit = evidence.authorize(ports, "import", {"kind": "zone", "id": Zone.CLINICAL})
        batch = Batch(
            id=f"batch-{ports.entropy.draw(8).hex()}",
            source=source,
            received_at=ports.clock.now(),
            processing_version=ports.code["filmroom"],
            expected=expected,
        )
        with ports.catalog.write() as tx:
            tx.batches.open(batch)
            evidence.record(tx, ports, permit, {"kind": "batch", "id": batch.id}, {"state": "opened"})
        return Delivery(batch, permit, ports.clock.monotonic())

    def take(self, delivery: Delivery, arrived: Arrived) -> Taken:
        """Take one object in, and return when it is durable. Callers that come at the same time share a transaction."""
        try:
            return self._take(delivery, arrived)
        except KeyGone:  # the patient was erased while it was on its way
            return self._take(delivery, arrived)

    def _take(self, delivery: Delivery, arrived: Arrived) -> Taken:
        staged = self.stage(delivery, [arrived])
        if not self._ports.objects[Zone.CLINICAL].is_near:
            staged.written()
        answer: Future[LedgerRow] = Future()
        self._waiting.put((staged, answer))
        # Whoever gets the turn serves everybody who waits; the others find their answer given.
        while not answer.done():
            with self._turn:
                if not answer.done():
                    self._serve()
        return Taken(answer.result(), _instance(staged.taken[0].decision))

    def stage(self, delivery: Delivery, group: Sequence[Arrived]) -> Staged:
        """Decide about a group, and begin to write its bytes; `take_staged` finishes it."""
        taken = self._mending(self._decide(delivery, group), group)
        wanted = [(each, arrived) for each, arrived in zip(taken, group, strict=True) if _is_sealed(each)]
        self._zone.ensure(each.subject for each, _ in wanted)
        return Staged(taken, [self._workers.submit(self._put, each, arrived.data) for each, arrived in wanted])

    def take_staged(self, staged: Staged) -> list[LedgerRow]:
        """Take a staged group in, in its order, and return when all of it is durable.

        Raises KeyGone when somebody of it was erased meanwhile: stage it again.
        """
        staged.written()  # before it keeps others from writing
        with self._turn:
            return self._catalog([staged])

    def finish(
        self,
        delivery: Delivery,
        *,
        announced: frozenset[Digest] = frozenset(),
        discrepancies: Sequence[Discrepancy] = (),
    ) -> Receipt:
        """Close a delivery. `announced` are digests that should have come and did not."""
        ports, batch = self._ports, delivery.batch
        closed_at: datetime = ports.clock.now()
        with ports.catalog.write() as tx:
            tx.batches.close(batch.id, closed_at)
            lacking = sum(each.is_lack for each in discrepancies)
            short = max(0, len(announced), lacking, (batch.expected or 0) - delivery.position)
            judge_delivery(tx, batch.id, closed_at, short=short)
            codes = Counter(each.code for each in discrepancies)
            outcome: dict[str, int | str] = {"state": "closed", **_counts(delivery.tally), **codes}
            evidence.record(tx, ports, delivery.permit, {"kind": "batch", "id": batch.id}, outcome)
        return Receipt(
            batch=replace(batch, closed_at=closed_at),
            received=delivery.position,
            **_counts(delivery.tally),
            bytes=delivery.tally["bytes"],
            seconds=round(ports.clock.monotonic() - delivery.started, 3),
            reasons=dict(sorted(delivery.reasons.items())),
            missing=tuple(sorted(announced)),
            short=max(0, (batch.expected or 0) - delivery.position),
            discrepancies=tuple(sorted(discrepancies)),
        )

    def finish_when_possible(self, delivery: Delivery) -> None:
        """Close a delivery that nobody waits for: now, or when the catalog is back. Its objects are in anyhow."""
        if self._is_finished(delivery):
            return
        with self._later_lock:
            self._unfinished.append(delivery)
            if len(self._unfinished) == 1:
                self._try_again_later()

    def _try_again_later(self) -> None:
        if self._is_over:
            return
        self._later = threading.Timer(self._again, self._try_again)
        self._later.daemon = True
        self._later.start()

    def _try_again(self) -> None:
        """Finish what was left unfinished, up to the first that cannot be: the next would wait in vain, too."""
        while self._is_finished(self._unfinished[0]):
            with self._later_lock:
                del self._unfinished[0]
                if not self._unfinished:
                    return
        self._try_again_later()

    def _is_finished(self, delivery: Delivery) -> bool:
        try:
            self.finish(delivery)
        except Unavailable:
            return False
        except FilmroomError:
            pass  # no other time will do: what is missing is the closing line, as after a crash
        return True

    def _serve(self) -> None:
        """Take in what waits, up to a group; everybody gets an answer or the reason why there is none."""
        group: list[tuple[Staged, Future[LedgerRow]]] = []
        while len(group) < GROUP_OBJECTS:
            try:
                group.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        try:
            self._answer(group)
        except BaseException as error:
            # Whatever it was, nobody may be left waiting for an answer.
            for _, answer in group:
                if not answer.done():
                    answer.set_exception(error)
            if not isinstance(error, Exception):
                raise

    def _answer(self, group: Sequence[tuple[Staged, Future[LedgerRow]]]) -> None:
        """Take a group in together; where that cannot be, each by itself, so that one does not stop the others."""
        try:
            rows = self._catalog([staged for staged, _ in group])
        except Unavailable:
            raise
        except Exception:
            if len(group) < 2:
                raise
            for one in group:
                try:
                    self._answer([one])
                except Exception as error:  # noqa: BLE001  # it is raised where this one is waited for
                    one[1].set_exception(error)
        else:
            for (_, answer), row in zip(group, rows, strict=True):
                answer.set_result(row)

    def _decide(self, delivery: Delivery, group: Sequence[Arrived]) -> list[Judged]:
        """Decide about each object by itself; what others or the same group say of it is settled in the transaction."""
        digests = list(map(_digest, group) if len(group) == 1 else self._workers.map(_digest, group))
        with self._ports.catalog.read() as tx:
            here = tx.instances.known([digest for digest, each in zip(digests, group, strict=True) if not each.headed])
            here |= tx.files.known(
                [digest for digest, each in zip(digests, group, strict=True) if each.beside and may_be_file(each.data)]
            )
            standing = tx.instances.revisions([each.headed for each in group if each.headed])
        taken = []
        for digest, arrived in zip(digests, group, strict=True):
            revision, size = standing.get(arrived.headed), len(arrived.data)
            if arrived.problem is not None:
                decision: Decision = Ignored(digest, arrived.problem)
            elif revision is not None and (revision.digest == digest or self._is_same(arrived.data, revision)):
                digest, size = revision.digest, revision.size_bytes
                decision = Duplicate(digest)
            else:
                decision = accept(
                    arrived.data, digest, is_here=digest in here, doubt=arrived.doubt, beside=arrived.beside
                )
            subject = _subject(self._ports, decision)
            taken.append(Judged(delivery, arrived.name, size, digest, decision, subject))
        erased = self._zone.erased(each.subject for each in taken if _is_kept(each.decision))
        return [self._kept_out(each) if each.subject in erased else each for each in taken]

    def _kept_out(self, taken: Judged) -> Judged:
        decision = Quarantined(taken.digest, (_ERASED,))
        return replace(taken, decision=decision, subject=_subject(self._ports, decision))

    def _is_same(self, data: Content, revision: StoredInstance) -> bool:
        """Say whether a standing object has the data set of `data`, whose header was made at the door.

        What does not fit into memory is not compared: from another door it is another object.
        """
        if not isinstance(data, bytes):
            return False
        if abs(revision.size_bytes - len(data)) > _LARGEST_HEADER:
            return False
        try:
            standing = self._zone.get_content(revision.digest, revision.subject)
        except Unavailable:
            raise
        except FilmroomError:
            return False
        theirs, ours = split(standing), split(data)
        same_syntax = theirs.syntax in ("", ours.syntax)
        return same_syntax and memoryview(standing)[theirs.start :] == memoryview(data)[ours.start :]

    def _mending(self, taken: Sequence[Judged], group: Sequence[Arrived]) -> list[Judged]:
        """Note which of these are the very bytes of an object that is damaged where it lies."""
        known = [each.digest for each in taken if isinstance(each.decision, Duplicate | Quarantined)]
        if not known:
            return list(taken)
        with self._ports.catalog.read() as tx:
            damaged = {kept.digest: kept for kept in tx.custody.damaged(known)}
        if not damaged:
            return list(taken)
        erased = self._zone.erased(kept.subject for kept in damaged.values())
        mendable = {digest: kept for digest, kept in damaged.items() if kept.subject not in erased}
        return [
            replace(each, mends=kept, subject=kept.subject)
            if (kept := mendable.get(each.digest)) is not None and _digest(arrived) == each.digest
            else each
            for each, arrived in zip(taken, group, strict=True)
        ]

    def _put(self, taken: Judged, data: Content) -> None:
        is_case = (
            isinstance(taken.decision, Quarantined) if taken.mends is None else taken.mends.holding is Holding.CASE
        )
        name = f"{QUARANTINE if is_case else ''}{self._zone.name_of(taken.digest)}"
        if isinstance(data, bytes):
            self._zone.put(name, taken.subject, data)
        else:
            self._zone.put_pieces(name, taken.subject, data.pieces())

    def _catalog(self, group: Sequence[Staged]) -> list[LedgerRow]:
        """Write ledger rows, instances, cases and a leaf for each delivery, in one transaction; it waits for the bytes."""
        taken = [each for staged in group for each in staged.taken]
        with self._ports.catalog.write() as tx:
            if self._zone.forget_erased(tx.keys, (each.subject for each in taken if _is_sealed(each))):
                raise KeyGone("a patient was erased whose object is on its way", "send it again: it will be refused")
            lines = _numbered(_settle(tx, taken))
            rows = _catalog(self._ports, tx, lines)
            tx.custody.note(
                [replace(each.mends, damage=None) for each in taken if each.mends is not None], self._ports.clock.now()
            )
            by_batch: dict[str, tuple[Delivery, list[LedgerRow]]] = {}
            for (_, each), row in zip(lines, rows, strict=True):
                by_batch.setdefault(each.delivery.batch.id, (each.delivery, []))[1].append(row)
            for batch, (delivery, ledger) in by_batch.items():
                tx.batches.add(batch, ledger)
                counts = _counts(Counter(line.outcome.value for line in ledger))
                outcome: dict[str, int | str] = {"state": "received", **counts, "ledger": str(digest_of(ledger))}
                evidence.record(tx, self._ports, delivery.permit, {"kind": "batch", "id": batch}, outcome)
            for staged in group:
                staged.written()
        for (position, each), row in zip(lines, rows, strict=True):
            each.delivery.position = position
            each.delivery.tally.update({row.outcome.value: 1, "bytes": row.size_bytes})
            each.delivery.reasons.update(reason.code for reason in row.reasons)
        return rows


def _is_kept(decision: Decision) -> bool:
    return isinstance(decision, Accepted | Filed | Quarantined)


def _is_sealed(taken: Judged) -> bool:
    return _is_kept(taken.decision) or taken.mends is not None


def _digest(arrived: Arrived) -> Digest:
    if arrived.digest is not None:
        return arrived.digest
    return Digest.of(arrived.data) if isinstance(arrived.data, bytes) else arrived.data.digest


def _instance(decision: Decision) -> Instance | None:
    return None if isinstance(decision, Filed | Duplicate | Ignored) else decision.instance


def _numbered(taken: Sequence[Judged]) -> list[tuple[int, Judged]]:
    """Give each object its place in its delivery, behind what that has brought so far."""
    positions: Counter[str] = Counter()
    lines = []
    for each in taken:
        positions[each.delivery.batch.id] += 1
        lines.append((each.delivery.position + positions[each.delivery.batch.id], each))
    return lines


def _settle(tx: Transaction, taken: Sequence[Judged]) -> list[Judged]:
    """Settle, now that nobody else can write, what other writers and this very group brought before."""
    accepted = [each.decision.instance for each in taken if isinstance(each.decision, Accepted)]
    here, current = tx.instances.standing(accepted)
    here |= tx.files.known([each.digest for each in taken if isinstance(each.decision, Filed)])
    settled = []
    for each in taken:
        decision = each.decision
        if isinstance(decision, Accepted):
            instance = decision.instance
            if instance.digest in here:
                decision = Duplicate(instance.digest)
            else:
                here.add(instance.digest)
                if current.setdefault(instance.sop_uid, instance.digest) != instance.digest:
                    decision = Conflict(instance)
        elif isinstance(decision, Filed):
            if each.digest in here:
                decision = Duplicate(each.digest)
            here.add(each.digest)
        settled.append(replace(each, decision=decision))
    return settled


def _catalog(ports: Ports, tx: Transaction, lines: Sequence[tuple[int, Judged]]) -> list[LedgerRow]:
    """Write instances and cases, and return the ledger's rows."""
    rows: list[LedgerRow] = []
    instances: list[tuple[Instance, str, str, InstanceState]] = []
    files: list[tuple[ImageFile, str, str]] = []
    cases: list[Case] = []
    for position, each in lines:
        outcome, reasons = _verdict(each.decision)
        rows.append(
            LedgerRow(
                position=position,
                name=each.name,
                digest=each.digest,
                size_bytes=each.size,
                outcome=outcome,
                reasons=reasons,
            )
        )
        batch, subject = each.delivery.batch.id, each.subject
        match each.decision:
            case Accepted(instance):
                instances.append((instance, subject, batch, InstanceState.CURRENT))
            case Filed(file):
                files.append((file, subject, batch))
            case Conflict(instance):
                instances.append((instance, subject, batch, InstanceState.CONFLICT))
                cases.append(_case(ports, each, reasons, instance))
            case Quarantined(_, _, maybe):
                cases.append(_case(ports, each, reasons, maybe))
            case Duplicate() | Ignored():
                pass
    tx.instances.add(instances)
    tx.files.add(files)
    standing = tx.cases.known([case.digest for case in cases]) if cases else set()
    for case in cases:
        if case.digest not in standing:
            standing.add(case.digest)
            tx.cases.add(case)
    return rows


def _case(ports: Ports, taken: Judged, reasons: tuple[Reason, ...], instance: Instance | None) -> Case:
    return Case(
        id=f"case-{ports.entropy.draw(6).hex()}",
        name=taken.name,
        digest=taken.digest,
        size_bytes=taken.size,
        batch=taken.delivery.batch.id,
        subject=taken.subject,
        reasons=reasons,
        instance=instance,
    )


def _verdict(decision: Decision) -> tuple[Outcome, tuple[Reason, ...]]:
    match decision:
        case Accepted() | Filed():
            return Outcome.STORED, ()
        case Duplicate():
            return Outcome.DUPLICATE, ()
        case Conflict():
            detail = "the room has this SOP Instance UID with other bytes; both are kept until somebody decides"
            return Outcome.CONFLICT, (Reason(UID_CONFLICT, detail),)
        case Quarantined(_, reasons, _):
            return Outcome.QUARANTINED, reasons
        case Ignored(_, reason):
            return Outcome.IGNORED, (reason,)


def _subject(ports: Ports, decision: Decision) -> str:
    match decision:
        case Accepted(instance) | Conflict(instance):
            return patient_subject(ports, instance.issuer, instance.patient_id, instance.study_uid)
        case Filed(file):
            return file_subject(ports, file.digest)
        case Quarantined(digest, _, _) | Ignored(digest, _) | Duplicate(digest):
            return case_subject(ports, digest)


def _counts(tally: Mapping[str, int]) -> dict[str, int]:
    return {outcome.value: tally.get(outcome.value, 0) for outcome in Outcome}
