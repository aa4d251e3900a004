"""Every point where filmroom touches the outside, as small protocols that say what is guaranteed.

A verb is handed one `Ports` record and touches nothing else: no clock, no randomness, no environment, no network.
Each protocol has a contract suite in tests/contract, run on every adapter.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from filmroom.ids import Digest, Versioned, Zone
from filmroom.records import (
    Actor,
    Batch,
    By,
    Candidate,
    Case,
    CaseState,
    Cell,
    Checkpoint,
    Cohort,
    Completeness,
    Copy,
    CopyState,
    Counted,
    Fact,
    Grant,
    ImageFile,
    Instance,
    InstanceState,
    Kept,
    LabelEntry,
    LeaseRecord,
    LedgerRow,
    Level,
    Line,
    Member,
    Model,
    Opening,
    Outcome,
    PartitionBy,
    Permit,
    Project,
    Question,
    Reason,
    Request,
    SealedObject,
    SeriesFacts,
    SeriesState,
    Shardset,
    Snapshot,
    StoredFile,
    StoredInstance,
    Value,
)

# -- bytes ---------------------------------------------------------------------------------------------------------


class Objects(Protocol):
    """Immutable-by-convention objects under `/`-separated names, in one location. Thread-safe.

    A `put` is atomic (no reader sees half an object) and durable when it returns; putting the same name again
    replaces the object. Raises NotFound for a name that is not there, Invalid for one that no store can hold, and
    Unavailable when the store does not answer or does not take the room's keys.
    """

    @property
    def is_near(self) -> bool:
        """Say whether a put takes no longer than a transaction, so that one may be open meanwhile."""
        ...

    def put(self, name: str, data: bytes | bytearray | memoryview | Iterator[bytes]) -> None:
        """Keep these bytes. What comes in pieces is never in memory as a whole."""
        ...

    def get(self, name: str) -> bytes: ...

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return the bytes from `start`, at most `length` of them, fewer only at the object's end."""
        ...

    def size(self, name: str) -> int: ...

    def delete(self, name: str) -> None:
        """Remove the object. Removing what is not there changes nothing."""
        ...

    def sweep(self, idle_seconds: float) -> int:
        """Remove what puts that were cut off left behind and nobody wrote to for so long; return how much there was."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names below `prefix`, a whole path segment or "" for all, in no promised order."""
        ...


class Spooled(Protocol):
    """Bytes that are too many for memory, appended once and then read in any order. Who opened it closes it."""

    def append(self, data: bytes | bytearray | memoryview) -> None: ...

    @property
    def digest(self) -> Digest: ...

    def __len__(self) -> int: ...

    def __getitem__(self, where: slice) -> bytes: ...

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to `stop`, in pieces that are small."""
        ...

    def close(self) -> None: ...


class Spools(Protocol):
    def open(self) -> Spooled:
        """Begin an empty one."""
        ...


Content: TypeAlias = bytes | Spooled
"""One object's bytes, in memory or not."""


# -- keys ----------------------------------------------------------------------------------------------------------


class Keys(Protocol):
    """The key provider. Zone keys never leave it; what it hands out is wrapped, derived or signed.

    `vault` is the fourth key, beside the zones': the master of every pseudonym.
    """

    def wrap(self, zone: Zone, key_id: str, key: bytes) -> bytes:
        """Seal a data key under the zone's key, bound to `key_id`."""
        ...

    def unwrap(self, zone: Zone, key_id: str, wrapped: bytes) -> bytes:
        """Open a wrapped data key. Raises KeyGone when it is not this provider's or not this `key_id`'s."""
        ...

    def derive(self, zone: Zone, purpose: str) -> bytes:
        """Return 32 bytes that depend on the zone's key and on `purpose` only."""
        ...

    def pseudonym_key(self, project: str) -> bytes:
        """Return the project's 32-byte master for pseudonyms, derived from the vault key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes) of the room's signing key."""
        ...

    def public_key(self) -> bytes:
        """Return the raw Ed25519 public key (32 bytes)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A data key at rest. `wrapped` is None once the key was destroyed."""

    zone: Zone
    subject: str
    wrapped: bytes | None


# -- the catalog ---------------------------------------------------------------------------------------------------


class DataKeys(Protocol):
    """Data keys, wrapped, by zone and subject."""

    def ensure(self, zone: Zone, wrapped: Mapping[str, bytes]) -> None:
        """Keep each subject's wrapped key unless the subject has one, destroyed or not."""
        ...

    def get(self, zone: Zone, subjects: Sequence[str]) -> dict[str, WrappedKey]:
        """Return what is known of these subjects; a subject without a key is absent."""
        ...

    def all(self, zone: Zone) -> Iterator[WrappedKey]:
        """Yield every key of a zone, those that were destroyed too."""
        ...


class Batches(Protocol):
    def open(self, batch: Batch) -> None: ...

    def close(self, batch: str, at: datetime) -> None: ...

    def add(self, batch: str, rows: Sequence[LedgerRow]) -> None: ...

    def all(self) -> list[tuple[Batch, dict[Outcome, int], int]]:
        """Return every batch, oldest first, with its count by outcome and its bytes."""
        ...

    def get(self, batch: str) -> Batch: ...

    def ledger(self, batch: str) -> Iterator[LedgerRow]: ...


class Cases(Protocol):
    def add(self, case: Case) -> None: ...

    def get(self, case: str) -> Case: ...

    def all(self, state: CaseState | None = None) -> list[Case]: ...

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        """Return which of these bytes have a case, open or decided."""
        ...

    def sop_uids(self, series_uid: str) -> set[str]:
        """Return the SOP Instance UIDs of a series that a case was ever opened for."""
        ...

    def decide(self, case: str, state: CaseState, by: str, at: datetime, why: str) -> None:
        """Close an open case. Raises Refused when it was decided before."""
        ...


class Instances(Protocol):
    def add(self, instances: Sequence[tuple[Instance, str, str, InstanceState]]) -> None:
        """Catalog (instance, subject, batch, state) with its patient, study and series."""
        ...

    def get(self, digest: Digest) -> StoredInstance: ...

    def some(self, digests: Sequence[Digest]) -> dict[Digest, StoredInstance]:
        """Return those of these that are cataloged, in whatever state."""
        ...

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        """Return which of these bytes are cataloged, in whatever state."""
        ...

    def standing(self, instances: Sequence[Instance]) -> tuple[set[Digest], dict[str, Digest]]:
        """Return which of these bytes are cataloged, and the current revision of each SOP Instance UID that has one."""
        ...

    def revisions(self, sop_uids: Sequence[str]) -> dict[str, StoredInstance]:
        """Return the current revision of each SOP Instance UID that has one, with all that is known of it."""
        ...

    def set_state(self, digest: Digest, state: InstanceState) -> None: ...

    def query(
        self, where: str, level: Level, *, select: Sequence[str], order: str | None, limit: int | None, offset: int = 0
    ) -> list[dict[str, Value]]:
        """Return a row for each `level` entity with a current instance that satisfies `where`.

        `offset` rows are skipped before the first. `where` is the query language of `catalog.query`; "" means everything.
        Empty `select` means all columns of the level and of the levels above. Raises Invalid with the nearest word for
        one that does not exist.
        """
        ...

    def count(self, where: str, level: Level) -> int:
        """Return how many rows `query` would give."""
        ...

    def facet(self, where: str, level: Level, name: str, most: int) -> list[tuple[Value, int]]:
        """Return a column's `most` frequent values among these rows, and how many have each; None is no value."""
        ...

    def matching(self, where: str) -> Iterator[StoredInstance]:
        """Yield the current instances that satisfy `where`, by patient, study, series and SOP Instance UID."""
        ...

    def candidates(
        self,
        where: str,
        exclude: Sequence[str],
        *,
        project: str,
        profile: Digest,
        verifier: str,
        columns: Sequence[str] = (),
    ) -> Iterator[Candidate]:
        """Yield the current instances that satisfy `where`, in no order, with the project's copy under this profile.

        `exclude` are conditions, of which each instance is told the first that it satisfies; `columns` are the columns of
        its `values`.
        """
        ...

    def find(self, level: Level, name: str) -> list[StoredInstance]:
        """Return the current instances of a patient (Patient ID or subject), study, series or SOP Instance UID."""
        ...

    def outdated(self, version: int, most: int) -> list[tuple[dict[Level, int], dict[str, Value]]]:
        """Return the instances of up to `most` series of which one was normalised by tables older than `version`.

        Each is given by the catalog's own keys of it, its series and its study, and by its columns, which are in the
        order in which they came. They may be in whatever state.
        """
        ...

    def rewrite(self, level: Level, columns: Mapping[int, Mapping[str, Value]]) -> None:
        """Set columns of studies, series or instances, by their keys; all of them the same columns."""
        ...

    def filled(self) -> list[tuple[str, str, int, int]]:
        """Return (modality, column, filled, instances) for every column of every modality."""
        ...


class Wholeness(Protocol):
    """Whether series are whole. A series is given by the catalog's own key; a new instance makes it unjudged again."""

    def of_batch(self, batch: str) -> list[int]:
        """Return the series of what a delivery brought, for the first time, again, or into quarantine."""
        ...

    def of_uid(self, series_uid: str) -> list[int]: ...

    def beside(self, keys: Sequence[int]) -> list[int]:
        """Return the other series of those studies of which the sender announced how many instances they have."""
        ...

    def announce(self, counts: Mapping[str, int]) -> list[int]:
        """Keep how many instances the series with these UIDs are said to have; return those that are judged already."""
        ...

    def facts(self, keys: Sequence[int]) -> Iterator[tuple[int, SeriesFacts]]: ...

    def judge(
        self, verdicts: Sequence[tuple[int, tuple[Reason, ...]]], at: datetime, *, by_delivery: bool = True
    ) -> None:
        """Keep what each series lacks. An earlier decision stands as long as it lacks the same.

        What no delivery was the cause of leaves the moment of the last judgement, from which a study is quiet.
        """
        ...

    def accept(self, series_uid: str, by: str, at: datetime, why: str) -> None:
        """Let the incomplete series with this UID be used. Raises Refused when there is none."""
        ...

    def unfit(self, quiet_since: datetime) -> dict[tuple[str, str, str], Completeness | None]:
        """Return the series that are not to be handed on, by subject, study and series UID.

        Those are the incomplete ones, and, as None, all of a study of which one is not judged or was after `quiet_since`.
        """
        ...

    def unfinished(self, series_uid: str | None = None) -> list[SeriesState]:
        """Return the series that are not complete, or what is known of the ones with this UID."""
        ...


class Quality(Protocol):
    """Counts over the whole catalog, in groups; and rows for gates. Without `by` there is one group, "".

    With a project it is about what the project has a copy of, in whatever state.
    """

    def cells(
        self,
        level: Level,
        *,
        keys: Sequence[str] = (),
        counted: Sequence[Counted] = (),
        by: By | None = None,
        project: str | None = None,
    ) -> list[Cell]:
        """Count series or instances, as `level` says, by group and by the values of `keys`; what is absent is "".

        A series is of the delivery that brought its first instance.
        """
        ...

    def rows(self, digests: Sequence[Digest], columns: Sequence[str]) -> Iterator[dict[str, Value]]:
        """Yield these columns of each of these instances."""
        ...

    def received(self, by: By | None = None) -> list[Cell]:
        """Count what was received by outcome and codes of reasons: `values` are the outcome and then the codes, sorted."""
        ...

    def copies(self, by: By | None = None, project: str | None = None) -> list[Cell]:
        """Count outcomes of de-identification: `values` are project, state, and then the codes of reasons, sorted."""
        ...

    def labels(self, by: By | None = None) -> list[Cell]:
        """Count what stands in each label set: `values` is its name, `things` its statements that stand.

        `counts` has the findings of a whole target about which two people differ, of all that somebody spoke of, and the
        statements whose target is not in the catalog, of all. Only months can tell statements apart.
        """
        ...


class Columnar(Protocol):
    """The whole catalog in rows."""

    def rows(self, level: Level, by: PartitionBy) -> Iterator[tuple[str, dict[str, Value]]]:
        """Yield (partition, row) of every current series or instance, or of every image file, partition by partition.

        Rows of series have the columns of the levels above too, rows of instances the names of patient, study and series.
        All have `received_at` and `source`, of the first instance where it is a series.
        """
        ...


class Files(Protocol):
    """Image files, which are no DICOM objects. `Instances.query` finds them at the level `file`."""

    def add(self, files: Sequence[tuple[ImageFile, str, str]]) -> None:
        """Catalog (image file, subject, batch)."""
        ...

    def get(self, digest: Digest) -> StoredFile: ...

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        """Return which of these bytes are cataloged as image files."""
        ...


class Custody(Protocol):
    """When the objects of the clinical zone were last read back, and which were not what they had been.

    What lies in quarantine belongs to it until the same bytes are let in.
    """

    def due(self, before: datetime, limit: int) -> list[Kept]:
        """Return what was never read back, then what was before this moment, longest ago first; at most so many."""
        ...

    def damaged(self, digests: Sequence[Digest] | None = None) -> list[Kept]:
        """Return what is damaged, of all or of these."""
        ...

    def note(self, kept: Sequence[Kept], at: datetime) -> None:
        """Keep that these were read back, each with its damage or None."""
        ...


class Projects(Protocol):
    def add(self, project: Project) -> None: ...

    def require(self, name: str, gates: tuple[str, ...]) -> None:
        """Put these gates in place of those that the project has. Raises NotFound."""
        ...

    def get(self, name: str) -> Project: ...

    def all(self) -> list[Project]: ...


class Copies(Protocol):
    def put(self, copies: Sequence[Copy]) -> None:
        """Keep the outcome for (project, source, profile, verifier); it replaces an earlier one."""
        ...

    def done(self, project: str, profile: Digest, verifier: str) -> set[Digest]:
        """Return the sources that were dealt with under this profile by this verifier; `failed` ones were not."""
        ...

    def get(self, copy: int) -> Copy: ...

    def of(self, project: str, sources: Sequence[Digest], profile: Digest, verifier: str) -> list[Copy]:
        """Return what came of these sources under this profile by this verifier, in their order."""
        ...

    def some(self, copies: Sequence[int]) -> Iterator[Copy]:
        """Yield the copies that have one of these ids, in no order."""
        ...

    def all(self, *, project: str | None = None, state: CopyState | None = None) -> list[Copy]: ...

    def by_digest(self, digests: Sequence[Digest]) -> list[Copy]:
        """Return the copies that have one of these digests, by id."""
        ...

    def by_source(self, sources: Sequence[Digest]) -> list[Copy]:
        """Return what came of these sources, in every project, by id."""
        ...

    def source_of_uid(self, uid: str) -> list[Digest]:
        """Return the sources whose copies carry this study, series or SOP Instance UID."""
        ...


class Labels(Protocol):
    def append(self, name: str, entries: Sequence[LabelEntry]) -> None: ...

    def entries(self, name: str, up_to: int | None = None) -> list[LabelEntry]:
        """Return the set's ledger, oldest first. Raises NotFound for a set that was never written to."""
        ...

    def all(self) -> list[tuple[str, int]]:
        """Return (name, version) of each set; the version is its last position."""
        ...


class Cohorts(Protocol):
    def add(self, cohort: Cohort) -> None:
        """Keep a definition. Raises Refused for a version that is there."""
        ...

    def get(self, ref: Versioned) -> Cohort: ...

    def latest(self, name: str) -> Cohort | None: ...

    def all(self) -> list[Cohort]: ...


class Facts(Protocol):
    def put(self, facts: Sequence[Fact]) -> None:
        """Keep these; one with the subject and name of an earlier one replaces it."""
        ...

    def remove(self, names: Sequence[tuple[str, str]]) -> None:
        """Drop the facts of these subjects and names."""
        ...

    def of(self, subjects: Sequence[str]) -> list[Fact]:
        """Return what is known of these subjects, by subject, time and name."""
        ...


class Snapshots(Protocol):
    def add(self, snapshot: Snapshot, members: Sequence[Member]) -> None: ...

    def get(self, ref: Versioned) -> Snapshot: ...

    def latest(self, name: str) -> Snapshot | None: ...

    def all(self) -> list[Snapshot]: ...

    def members(self, ref: Versioned) -> list[Member]: ...

    def parts(self, project: str) -> list[tuple[Versioned, str, str]]:
        """Return (snapshot, part, pseudonym) for each patient of each of the project's snapshots, oldest version first."""
        ...

    def patients(self, ref: Versioned, part: str | None = None) -> set[str]:
        """Return the subjects of the clinical zone whose images are in a snapshot, or in one part of it."""
        ...

    def containing(self, copies: Sequence[Digest]) -> list[Versioned]: ...

    def by_id(self, snapshot: Digest) -> Snapshot | None: ...


class Shardsets(Protocol):
    def add(self, shardset: Shardset, objects: Sequence[SealedObject]) -> None: ...

    def get(self, shardset: Digest) -> Shardset: ...

    def find(self, snapshot: Versioned, recipe: Digest | None = None) -> list[Shardset]:
        """Return the snapshot's shardsets, newest first."""
        ...

    def objects(self, shardset: Digest) -> list[SealedObject]: ...

    def replace_objects(self, shardset: Digest, objects: Sequence[SealedObject]) -> None:
        """Keep where and how repaired objects lie now."""
        ...


class Access(Protocol):
    def add_request(self, request: Request) -> None: ...

    def get_request(self, request: str) -> Request: ...

    def decide(self, request: Request) -> None:
        """Keep the decision. Raises Refused when the stored request is no longer waiting."""
        ...

    def add_grant(self, grant: Grant) -> None: ...

    def get_grant(self, grant: str) -> Grant: ...

    def revoke(self, grant: str, at: datetime) -> None: ...

    def all(self) -> list[tuple[Request, Grant | None]]: ...

    def grants_of(self, holder: str, snapshot: Versioned) -> list[Grant]: ...

    def add_lease(self, lease: LeaseRecord) -> None: ...

    def get_lease(self, lease: str) -> tuple[LeaseRecord, Grant]: ...

    def leases(self, snapshot: Versioned) -> list[LeaseRecord]: ...

    def add_opening(self, opening: Opening) -> None: ...

    def openings(self, snapshot: Versioned) -> list[Opening]:
        """Return what was released to leases of this snapshot, oldest first."""
        ...


class Questions(Protocol):
    """Who asked whom a pseudonym stands for, and who agreed."""

    def add(self, question: Question) -> None: ...

    def get(self, question: str) -> Question: ...

    def put(self, question: Question) -> None:
        """Keep what was answered. Raises NotFound."""
        ...

    def all(self) -> list[Question]: ...


class Models(Protocol):
    def add(self, model: Model) -> None: ...

    def get(self, ref: Versioned) -> Model: ...

    def latest(self, name: str) -> Model | None: ...

    def of(self, snapshot: Versioned) -> list[Model]: ...

    def by_digest(self, digest: Digest) -> list[Model]: ...


class Log(Protocol):
    """The audit log's leaves. An index is given inside the transaction and never twice; there are no gaps."""

    def append(self, leaves: Sequence[bytes]) -> tuple[int, tuple[Digest, ...]]:
        """Add leaves and return the log's new size and frontier. Concurrent transactions are put in an order."""
        ...

    def size(self) -> int: ...

    def frontier(self) -> tuple[int, tuple[Digest, ...]]:
        """Return the size and the roots of the perfect subtrees at the right edge, largest first (RFC 6962)."""
        ...

    def leaves(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]: ...

    def add_checkpoint(self, checkpoint: Checkpoint) -> None: ...

    def checkpoints(self) -> list[Checkpoint]: ...

    def checkpoint_at(self, size: int) -> Checkpoint | None:
        """Return the checkpoint over the first `size` leaves."""
        ...

    def latest_checkpoint(self) -> Checkpoint | None: ...


class Transaction(Protocol):
    """One unit of work over the whole catalog: what is written together is kept together, or not at all."""

    @property
    def keys(self) -> DataKeys: ...
    @property
    def batches(self) -> Batches: ...
    @property
    def cases(self) -> Cases: ...
    @property
    def instances(self) -> Instances: ...
    @property
    def wholeness(self) -> Wholeness: ...
    @property
    def quality(self) -> Quality: ...
    @property
    def columnar(self) -> Columnar: ...
    @property
    def files(self) -> Files: ...
    @property
    def custody(self) -> Custody: ...
    @property
    def projects(self) -> Projects: ...
    @property
    def copies(self) -> Copies: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def facts(self) -> Facts: ...
    @property
    def cohorts(self) -> Cohorts: ...
    @property
    def snapshots(self) -> Snapshots: ...
    @property
    def shardsets(self) -> Shardsets: ...
    @property
    def access(self) -> Access: ...

    @property
    def questions(self) -> Questions: ...
    @property
    def models(self) -> Models: ...
    @property
    def log(self) -> Log: ...


class Catalog(Protocol):
    """Opens transactions. Raises Unavailable when the engine does not answer. Thread-safe."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Commit on leaving, durably; roll back when an exception leaves. Writers wait for each other."""
        ...

    def read(self) -> AbstractContextManager[Transaction]:
        """A consistent view; nothing can be written through it."""
        ...

    def close(self) -> None: ...


# -- the rest ------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    def now(self) -> datetime:
        """Return the time, with a time zone."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start, for durations."""
        ...


class Entropy(Protocol):
    def draw(self, count: int) -> bytes:
        """Return unpredictable bytes."""
        ...


class Authorizer(Protocol):
    """Asks the policy. Returns a Permit, or raises Denied with the reason in words."""

    def permit(self, actor: Actor, verb: str, resource: Mapping[str, str], *, now: datetime) -> Permit: ...


class Progress(Protocol):
    def task(self, label: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Show long work. The callable adds that many done items. Labels never hold a patient's value."""
        ...


class TextReader(Protocol):
    def read(self, picture: NDArray[np.uint8]) -> Sequence[Line]:
        """Return what looks like lines of text in a grey picture (rows, columns): the same for the same picture."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Who reads text in pixels: the first before it is blanked, the second, who sees otherwise, afterwards."""

    first: TextReader
    second: TextReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a verb may touch, and in whose name.

    `room` names the room in tokens and in the audit log. `code` names the versions of what runs, by package.
    `audit` holds the signed checkpoints, apart from the catalog whose log they speak of. `quiet` is how long nothing of
    a study must have come before it is handed on. Without `readers`, people have to look for text in pixels.
    """

    room: str
    actor: Actor
    code: Mapping[str, str]
    catalog: Catalog
    objects: Mapping[Zone, Objects]
    audit: Objects
    keys: Keys
    authorizer: Authorizer
    clock: Clock
    entropy: Entropy
    progress: Progress
    spools: Spools
    quiet: timedelta = timedelta(0)
    readers: Readers | None = None


class KeyRelease(Protocol):
    """A lease as the loader sees it: proves that reading is still allowed and hands out the keys of shards.

    Every method raises LeaseEnded once the lease or its grant has ended.
    """

    def check(self) -> None: ...

    def keys(self, subjects: Iterable[str]) -> dict[str, bytes]:
        """Return the 32-byte key of each subject, after it was written down that these subjects' shards were opened."""
        ...
