"""The facts that pass from one stage to the next. Frozen, free of I/O, and in the order of the flow.

Units are in the names. `Mapping` fields are treated as immutable by everyone. What may hold a patient's value is kept out
of reprs, so that a record can stand in a log line or a traceback.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from filmroom.ids import Digest, Versioned

Value: TypeAlias = str | int | float | None
"""What one catalog column holds for one row."""


# -- who -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `owner` is set when the owner of an embedded room acts under another identity's name."""

    name: str
    owner: str | None = None


# -- what a check saw ----------------------------------------------------------------------------------------------


class Severity(StrEnum):
    INFO = "info"
    REVIEW = "review"
    ERROR = "error"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What a check saw: a stable code, how bad, and where (an attribute keyword or path); never a value."""

    code: str
    severity: Severity
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of text in a picture: its box in pixels from the upper left, `bottom` and `right` beside it, and the reading.

    `confidence` is from 0 to 1.
    """

    top: int
    left: int
    bottom: int
    right: int
    text: str = field(repr=False)
    confidence: float


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """Why something was refused: a stable code, and the same in words, without any patient value."""

    code: str
    detail: str


# -- the front door ------------------------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What became of one received object. Every object has exactly one."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One DICOM SOP Instance revision: which bytes it is, who it says it is, and what the catalog indexes.

    `values` is keyed by column name (`dicom.attributes.COLUMNS`); a column that the object does not fill is absent.
    `pixel_digest` covers the encoded value of Pixel Data as it lies in the file; None when there is none.
    """

    digest: Digest
    size_bytes: int
    issuer: str = field(repr=False)
    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    sop_uid: str = field(repr=False)
    sop_class: str
    transfer_syntax: str
    pixel_digest: Digest | None
    values: Mapping[str, Value] = field(repr=False)
    findings: tuple[Finding, ...] = ()


class FileKind(StrEnum):
    NIFTI = "nifti"
    SLIDE = "slide"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image that is no DICOM object: a NIfTI volume or a whole-slide file.

    `values` is keyed by the columns of the level `file`; what neither its header nor its sidecar says is absent.
    """

    digest: Digest
    size_bytes: int
    kind: FileKind
    values: Mapping[str, Value] = field(repr=False)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside an object in its delivery: its name there, and its sidecar's bytes, b"" for none."""

    name: str = field(repr=False)
    sidecar: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """New to the room: store it and catalog it."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Filed:
    """An image file that is new to the room: store it and catalog it, beside the DICOM objects."""

    file: ImageFile


@dataclass(frozen=True, slots=True)
class Duplicate:
    """These very bytes are here already."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Conflict:
    """The SOP Instance UID is here already with other bytes: both are kept until a person decides."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Not trusted. Every reason is listed. `instance` is there when enough could be read to let it in by decision."""

    digest: Digest
    reasons: tuple[Reason, ...]
    instance: Instance | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing for a film room (a text file, a directory listing of a medium); counted all the same."""

    digest: Digest
    reason: Reason


Decision: TypeAlias = Accepted | Filed | Duplicate | Conflict | Quarantined | Ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One delivery."""

    id: str
    source: str
    received_at: datetime
    processing_version: str
    closed_at: datetime | None = None
    expected: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One received object of a batch. `name` is as the sender called it, and belongs to the clinical zone."""

    position: int
    name: str = field(repr=False)
    digest: Digest
    size_bytes: int
    outcome: Outcome
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Discrepancy:
    """What a sender announced is not what came: a stable code, and which object, as the sender calls it."""

    code: str
    name: str = field(repr=False)

    @property
    def is_lack(self) -> bool:
        """Say whether something that should be here is not, or not as it was sent."""
        return self.code.endswith(("-missing", "-mismatch"))


class CaseState(StrEnum):
    OPEN = "open"
    RELEASED = "released"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A quarantine case, or a conflict of revisions: kept until a person decides."""

    id: str
    name: str = field(repr=False)
    digest: Digest
    size_bytes: int
    batch: str
    subject: str
    reasons: tuple[Reason, ...]
    state: CaseState = CaseState.OPEN
    instance: Instance | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An instance as the catalog has it. `subject` names the key its bytes are sealed under; `damage` is that of `Kept`."""

    digest: Digest
    size_bytes: int
    subject: str
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    sop_uid: str = field(repr=False)
    sop_class: str
    transfer_syntax: str
    modality: str
    state: "InstanceState"
    damage: str | None = None

    @property
    def names(self) -> "dict[Level, str]":
        """Return what names this instance at each level: patient subject, study, series and SOP Instance UID."""
        return {
            Level.PATIENT: self.subject,
            Level.STUDY: self.study_uid,
            Level.SERIES: self.series_uid,
            Level.INSTANCE: self.sop_uid,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """An image file as the catalog has it. `subject` names the key its bytes are sealed under."""

    digest: Digest
    size_bytes: int
    subject: str
    kind: FileKind
    batch: str
    findings: tuple[Finding, ...] = ()
    damage: str | None = None


class InstanceState(StrEnum):
    """`current` is the revision that queries and snapshots see."""

    CURRENT = "current"
    CONFLICT = "conflict"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"


# -- what is kept --------------------------------------------------------------------------------------------------


class Holding(StrEnum):
    """As what the room keeps an object of the clinical zone."""

    INSTANCE = "instance"
    FILE = "file"
    CASE = "case"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An object of the clinical zone. `damage` is the code of what was wrong when it was last read back."""

    holding: Holding
    digest: Digest
    subject: str
    size_bytes: int
    damage: str | None = None


# -- whole or not --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slice:
    """One current instance of a series. `plane` and `position_mm` say where it lies (`dicom.geometry`)."""

    number: int | None
    plane: str | None
    position_mm: float | None
    image_type: str
    frames: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFacts:
    """What is here of one series.

    `announced` are instances that the sender's own objects speak of, or an archive that was asked, of the series and of
    its study; `waiting` are
    instances of it in quarantine that are not here in another form; `standing` is what it was found to lack before.
    """

    modality: str
    slices: tuple[Slice, ...]
    announced: int | None = None
    study_announced: int | None = None
    study_instances: int = 0
    waiting: int = 0
    standing: tuple[Reason, ...] = ()


class Completeness(StrEnum):
    """What is known of a series of which nothing is on its way.

    `accepted` is incomplete, and somebody decided that it may be used all the same.
    """

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesState:
    """Whether a series is whole, and what it lacks. `state` is None while its delivery is open or was interrupted."""

    subject: str
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    modality: str
    state: Completeness | None
    lacks: tuple[Reason, ...]
    judged_at: datetime | None = None
    accepted_by: str | None = None
    accepted_at: datetime | None = None
    why: str | None = None


# -- the catalog ---------------------------------------------------------------------------------------------------


class Level(StrEnum):
    """The DICOM query levels (PS3.4 C.6.1), and that of image files, which stands beside them."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"
    FILE = "file"


class ColumnType(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    REAL = "real"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Column:
    """One word of the query language. `dicom` is the attribute it is read from, by keyword; "" when derived."""

    name: str
    level: Level
    type: ColumnType
    unit: str
    description: str
    dicom: str


# -- quality -------------------------------------------------------------------------------------------------------


class By(StrEnum):
    """What figures about quality are told apart by: Institution Name, source of the delivery, month of receipt (UTC)."""

    SITE = "site"
    SOURCE = "source"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Counted:
    """A numeric or text column to be counted, in what has one of `modalities`, or in everything when that is empty.

    Without bounds: how many have a value, of all. With them: how many lie within, both ends included, of those that have one.
    """

    column: str
    modalities: frozenset[str] = frozenset()
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What the catalog counts in one group, for one combination of values: so many things, of so many patients.

    `counts` has (count, total) for each column that was asked for.
    """

    group: str
    values: tuple[str, ...] = field(repr=False)
    things: int
    patients: int = 0
    counts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the quality report: `count` of `total`, and the share that this is; None where it is no share.

    `name` is a column, an outcome or a code, `value` what a header says where the measure is about that.
    """

    measure: str
    name: str
    value: str
    group: str
    count: int
    total: int
    share: float | None


class PartitionBy(StrEnum):
    """What tells the partitions of an export apart: the month of receipt (UTC), or the modality."""

    MONTH = "month"
    MODALITY = "modality"


# -- the boundary --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A purpose, with its own pseudonym keys. `budget_bytes` is written down; nothing is refused for it yet.

    `requires` are gates (`snapshot.gates`) that must hold for what is frozen.
    """

    name: str
    purpose: str
    profile: str
    created_at: datetime
    created_by: str
    until: datetime | None = None
    budget_bytes: int | None = None
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a verification looked at, out of what was there."""

    elements: int
    elements_present: int
    frames: int
    frames_present: int
    identifiers: int

    @property
    def is_full(self) -> bool:
        return self.elements == self.elements_present and self.frames == self.frames_present


class CopyState(StrEnum):
    """`failed` means that nothing was decided: the source could not be read, and will be tried again."""

    CLEAN = "clean"
    REVIEW = "review"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What came of de-identifying one instance for one project.

    `digest` and the UIDs are those of the copy, None when it was refused before there was one. `subject` is the
    patient's pseudonym in this project. `attestation` is the DSSE envelope of the verifier's record; only a copy in
    state `clean` has one.
    """

    project: str
    source: Digest
    profile: Digest
    verifier: str
    state: CopyState
    reasons: tuple[Reason, ...]
    findings: tuple[Finding, ...]
    subject: str
    digest: Digest | None = None
    size_bytes: int = 0
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    modality: str = ""
    frames: int = 0
    coverage: Coverage | None = None
    attestation: str | None = None
    id: int | None = None
    decided_by: str | None = None
    why: str | None = None


# -- labels --------------------------------------------------------------------------------------------------------


class LabelKind(StrEnum):
    """How a statement came about, in the order in which one is believed over another."""

    CONSENSUS = "consensus"
    RADIOLOGIST = "radiologist"
    REPORT = "report"
    CODE = "code"
    MODEL = "model"


PRESENT = "present"
"""The value of a finding that was seen; a mark with it counts as a label of its whole image."""


class Shape(StrEnum):
    """What a region is made of; `dicom.regions` says how many points each takes."""

    POINT = "point"
    BOX = "box"
    LINE = "line"
    CONTOUR = "contour"
    CIRCLE = "circle"
    ELLIPSE = "ellipse"
    MASK = "mask"


class Space(StrEnum):
    """What coordinates are measured in.

    `pixel`: (column, row) of the image in pixels, 0 at the outer edge of the upper left pixel, so that its centre is at
    (0.5, 0.5), as in SCOORD (PS3.3 C.18.6.1.2). `patient`: (x, y, z) in mm to the left, back and head (PS3.3 C.7.6.2.1.1).
    """

    PIXEL = "pixel"
    PATIENT = "patient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where in its target something is.

    `mark` tells one of a reader's marks from another, and stays when the reader moves it. `frame` counts from 1; None
    stands for the only frame, or for all of a tiled slide. `geometry` is canonical text, as `dicom.regions` writes it.
    """

    mark: str
    shape: Shape
    space: Space
    frame: int | None
    geometry: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One statement about an image, series, study or patient, or a region of it: who said what, and how.

    `finding` is SCHEME:CODE with a coding scheme designator of PS3.16, or a word of the project's own. `value` has the
    UCUM `unit` if it is a measurement; it is None when the reader takes back what they had said.
    """

    level: Level
    target: str = field(repr=False)
    finding: str
    value: str | None
    kind: LabelKind
    by: str
    confidence: str | None = None
    unit: str | None = None
    meaning: str | None = None
    region: Region | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEntry:
    """A label at its position in the set's ledger, and the position that it supersedes, if any.

    `at` is when it was written down; `said_at` when it was said, in ISO 8601 as far as the source knows; `source` is the
    file that it was in.
    """

    position: int
    label: Label
    at: datetime
    supersedes: int | None = None
    said_at: str | None = None
    source: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a source says about a target, before anybody looked whether the catalog has it; None where it is silent.

    `place` is where it stands in the source; `size` are the rows and columns of the image as the source saw it.
    """

    place: str
    level: Level
    target: str = field(repr=False)
    finding: str = field(repr=False)
    value: str | None = field(repr=False)
    kind: LabelKind | None = None
    by: str | None = None
    confidence: str | None = field(default=None, repr=False)
    unit: str | None = field(default=None, repr=False)
    meaning: str | None = field(default=None, repr=False)
    region: Region | None = None
    said_at: str | None = None
    source: Digest | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, order=True)
class Unmatched:
    """What of a source became no label: where it stands there, and why as a code of `catalog.labels.REASONS`."""

    place: str
    reason: str


# -- cohorts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Who is left out, as a condition, and why, in words that everybody may read who sees the snapshot."""

    reason: str
    where: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which of a project's instances belong to a cohort: the condition first, then what leaves it again, in order.

    `require` are labels that must be there, as SET[@V].FINDING[:KIND]; `not_in` are snapshots of which no patient may be,
    as NAME@V[:PART]; `labels` are sets that a snapshot takes along.
    """

    project: str
    where: str = field(default="", repr=False)
    exclude: tuple[Exclusion, ...] = ()
    require: tuple[str, ...] = ()
    not_in: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """A named, versioned definition. `digest` is that of the criteria's canonical JSON."""

    ref: Versioned
    digest: Digest
    criteria: Criteria
    defined_at: datetime
    defined_by: str


class Candidate(NamedTuple):
    """A current instance that satisfies a cohort's condition, and what came of it in the project, if anything did.

    `patient`, `study` and `series` are the catalog's own keys, `exclusion` the place of the first exclusion that it
    satisfies; `copy`, `state` and `pseudonym` are of the project's copy. A tuple, for there are hundreds of thousands.
    """

    patient: int
    study: int
    series: int
    subject: str
    study_uid: str
    series_uid: str
    sop_uid: str
    pixel_digest: str | None
    damage: str | None
    exclusion: int | None
    copy: int | None
    state: str | None
    pseudonym: str | None
    values: tuple[Value, ...]


# -- other facts about patients ------------------------------------------------------------------------------------


class FactKind(StrEnum):
    """What sort of fact: a measured or coded result, or a diagnosis or procedure code."""

    RESULT = "result"
    CODE = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A fact about a patient that is in no image. `code` and `unit` are written as those of a `Label`.

    `name` is what its source calls it, the same when it is corrected. `at` is when it held, in ISO 8601.
    """

    subject: str
    name: str = field(repr=False)
    kind: FactKind
    code: str
    value: str = field(repr=False)
    unit: str | None = None
    meaning: str | None = None
    at: str = field(repr=False)
    source: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A fact as a source tells it, before anybody looked whether the catalog has the patient.

    `place` is where it stands in the source; `value` is None when the source takes back what it told.
    """

    place: str
    patient_id: str = field(repr=False)
    issuer: str | None = field(default=None, repr=False)
    name: str = field(default="", repr=False)
    kind: FactKind
    code: str
    value: str | None = field(repr=False)
    unit: str | None = None
    meaning: str | None = field(default=None, repr=False)
    at: str = field(default="", repr=False)


# -- snapshots -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanInstance:
    """A de-identified copy that the verifier passed. Only `deid.verify` makes one."""

    project: str
    digest: Digest
    subject: str
    study_uid: str
    series_uid: str
    sop_uid: str
    modality: str
    frames: int
    attestation: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a snapshot's manifest. `commitment` hides the copy's digest under the patient's salt."""

    subject: str
    study_uid: str
    series_uid: str
    sop_uid: str
    modality: str
    frames: int
    commitment: Digest
    attestation: Digest
    split: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An immutable dataset version. `id` is the digest of its root document, `root` the Merkle root over its rows."""

    ref: Versioned
    id: Digest
    root: Digest
    definition: Digest
    project: str
    where: str = field(repr=False)
    instances: int
    series: int
    studies: int
    patients: int
    splits: Mapping[str, int]
    cohort: Versioned | None = None
    label_sets: tuple[str, ...]
    frozen_at: datetime
    frozen_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A snapshot's row as the catalog keeps it: which copy stands at which position."""

    position: int
    copy: Digest
    subject: str
    split: str


# -- shards --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedObject:
    """An object of a shardset as it lies in the store. `plain` is committed, `sealed` is the stored bytes' digest."""

    name: str
    subject: str
    size_bytes: int
    sealed: Digest
    plain: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shardset:
    """A snapshot x recipe, written as Zarr v3 shards. `content` covers the plaintext of every object."""

    id: Digest
    snapshot: Versioned
    recipe: Digest
    recipe_text: str
    content: Digest
    samples: int
    raw_bytes: int
    stored_bytes: int
    failures: tuple[Reason, ...]
    built_at: datetime
    built_by: str
    code: str


# -- access --------------------------------------------------------------------------------------------------------


class RequestState(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    id: str
    snapshot: Versioned
    requester: Actor
    purpose: str
    days: int
    at: datetime
    state: RequestState = RequestState.WAITING
    decided_by: Actor | None = None
    decided_at: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whom one pseudonym of a project stands for, asked by one person. Once two others agreed, it may be answered."""

    id: str
    project: str
    pseudonym: str
    requester: Actor
    why: str
    at: datetime
    state: RequestState = RequestState.WAITING
    agreed: tuple[Actor, ...] = ()
    decided_at: datetime | None = None
    expires: datetime | None = None
    turned_down: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientIdentity:
    """Who a patient is: Issuer of Patient ID and Patient ID, as they were received."""

    issuer: str = field(repr=False)
    patient_id: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A person's or job's approved right to use a snapshot for a purpose until a moment."""

    id: str
    request: str
    snapshot: Versioned
    holder: str
    purpose: str
    granted_at: datetime
    expires: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A minutes-long credential minted from a grant. Its token is signed and is not kept."""

    id: str
    grant: str
    snapshot: Versioned
    holder: str
    job: str
    issued_at: datetime
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Keys of a shardset that were released to a lease.

    A pseudonym among `subjects` stands for all shards of that patient, the name of the shardset's own key for its index.
    """

    id: str
    lease: str
    shardset: Digest
    subjects: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Permit:
    """The policy let `actor` do `verb`. `policy` is the digest of the policies that were asked."""

    actor: Actor
    verb: str
    policy: Digest


# -- models --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What was trained. `shardset` is None when it is not known which of several it was."""

    ref: Versioned
    digest: Digest
    size_bytes: int
    snapshot: Versioned
    shardset: Digest | None
    lease: str | None
    metrics: Mapping[str, Value]
    registered_at: datetime
    registered_by: str


# -- evidence ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What the audit log says about one act: who, which verb, on what, under which policy, and what came of it.

    `what` holds ids and digests, `outcome` counts and codes. Neither ever holds a patient's value.
    """

    actor: Actor
    verb: str
    what: Mapping[str, str]
    outcome: Mapping[str, "int | str"] = field(default_factory=dict)
    policy: Digest | None = None
    denied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A signed statement of the audit log's size and root, as a C2SP note."""

    size: int
    root: Digest
    note: str
