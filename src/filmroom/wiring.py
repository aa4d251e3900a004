"""The composition root: a room's file and the environment become ports, and every verb gets them.

`Room` is what users hold. Its methods are the verbs of `verbs.VERBS`; each only passes on its ports, so what a verb does
is read in `flow/`. A room may be used by several threads and processes at once.
"""

import logging
import os
import platform
import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from filmroom.adapters.keys import FileKeys, key_in_file
from filmroom.adapters.objects import S3Access, open_objects
from filmroom.adapters.spool import FileSpools
from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.adapters.system import SilentProgress, SystemClock, SystemEntropy
from filmroom.catalog.agreement import Conflict
from filmroom.deid import ocr
from filmroom.deid.profile import DEFAULT
from filmroom.errors import Invalid, Unavailable
from filmroom.flow.audit import LogEntry, Proof, prove_audit, show_audit, verify_audit
from filmroom.flow.batches import BatchLedger, BatchSummary, batches, show_batch
from filmroom.flow.build import Built, build
from filmroom.flow.cohort import cohort_flow, cohorts, define_cohort, show_cohort
from filmroom.flow.deidentify import Run, deidentify
from filmroom.flow.doctor import Diagnosis, doctor
from filmroom.flow.evidence import publish
from filmroom.flow.export_catalog import Exported, export_catalog
from filmroom.flow.facts import FactsImported, import_facts, show_facts
from filmroom.flow.freeze import Frozen, freeze
from filmroom.flow.incomplete import accept_incomplete, incomplete
from filmroom.flow.labels import (
    Agreement,
    Imported,
    LabelChange,
    LabelSet,
    Where,
    diff_labels,
    import_labels,
    label_sets,
    labels_agreement,
    labels_conflicts,
    show_labels,
)
from filmroom.flow.load import load
from filmroom.flow.model import register_model
from filmroom.flow.normalize import Normalized, normalize
from filmroom.flow.project import create_project, require
from filmroom.flow.quality import Quality, quality
from filmroom.flow.quarantine import cases, reject_case, release_case, show_case
from filmroom.flow.query import Counted, Filled, Rows, columns, count, filled, query
from filmroom.flow.readback import DAYS, RATE, Pace
from filmroom.flow.receive import receive, stage_and_write
from filmroom.flow.reception import Arrived, Delivery, Judged, Receipt, Reception
from filmroom.flow.reidentify import answer, ask, countersign, questions
from filmroom.flow.retrieve import Retrieval, retrieve
from filmroom.flow.review import decide_review, decide_series, picture_review, reviews, show_review
from filmroom.flow.scrub import How, Scrub
from filmroom.flow.scrub import scrub as scrub_files
from filmroom.flow.serve import serve
from filmroom.flow.share import Access, Granted, Lease, approve, deny, grants, lease, request, revoke
from filmroom.flow.snapshots import Manifest, diff, show, snapshots
from filmroom.flow.trace import Trace, trace
from filmroom.flow.verify import Verdict, reproduce, verify
from filmroom.govern.audit import Verdict as AuditVerdict
from filmroom.govern.policy import Policies, every_role
from filmroom.ids import Digest, Versioned, Zone, check_name
from filmroom.ingest.sources import Unread
from filmroom.loader.data import Data
from filmroom.ports import Objects, Ports, Progress
from filmroom.records import (
    Actor,
    By,
    Case,
    CaseState,
    Cohort,
    Column,
    Copy,
    Criteria,
    Fact,
    Grant,
    LabelEntry,
    LabelKind,
    Level,
    Model,
    PartitionBy,
    PatientIdentity,
    Project,
    Question,
    Request,
    SeriesState,
    Snapshot,
)
from filmroom.settings import ROOM_FILE, Environment, RoomFile, user
from filmroom.snapshot.cohort import Flow
from filmroom.snapshot.diff import Difference

PACKAGES = ("filmroom", "pydicom", "numpy", "imagecodecs", "SimpleITK", "cryptography")
"""Whose versions are among the circumstances of a snapshot and a shardset."""


def init(
    folder: Path,
    *,
    catalog: str = "sqlite:///catalog.db",
    zones: Mapping[Zone, str] | None = None,
    environment: Environment | None = None,
) -> Path:
    """Make a room in `folder`, or finish one that was half made; an existing room is left as it is.

    `catalog` is an SQLAlchemy URL of SQLite (relative to the folder) or PostgreSQL (without a password). A zone lies in a
    folder, or at `s3://bucket/prefix`. Raises Invalid when the folder holds something else.
    """
    environment = environment or Environment()
    if (folder / ROOM_FILE).exists():
        return folder
    try:
        _make(folder, catalog, zones or {}, environment)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unknown error"
        raise Unavailable(f"the room cannot be made: {reason}", "name a folder that you may write") from None
    return folder


def _make(folder: Path, catalog: str, zones: Mapping[Zone, str], environment: Environment) -> None:
    try:
        has_password = bool(urlsplit(catalog).password)
    except ValueError:
        raise Invalid("the catalog's URL is not a URL", "write sqlite:///PATH or postgresql://HOST/DB") from None
    if has_password:
        raise Invalid("the catalog's URL holds a password", "leave it out, and set FILMROOM_CATALOG_PASSWORD")
    _check_is_free(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    entropy = SystemEntropy()
    file = RoomFile(
        name=f"room-{entropy.draw(6).hex()}",
        catalog=catalog,
        zones={zone: zones.get(zone, f"zones/{zone}") for zone in Zone},
        audit="audit",
        keys="keys",
    )
    FileKeys.create(folder / file.keys, entropy)
    made = _catalog(folder, file, environment)
    made.create()
    made.close()
    for zone, location in file.zones.items():
        _objects(folder, location, zone, environment)
    # The file comes last: a folder that has it is a whole room.
    file.write(folder)


def scrub(
    source: Path,
    target: str,
    *,
    profile: str = DEFAULT,
    key: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    environment: Environment | None = None,
) -> Scrub:
    """De-identify the files of a folder or archive, without a room.

    `key` is the file of the key that pseudonyms come from, made when it is not there; without one the key is forgotten, and a
    second run gives other pseudonyms. With more than one worker, others make the copies; a script that asks for them has to
    be importable, as with `multiprocessing`. Raises Invalid for a target inside the source.
    """
    if Path(target).resolve().is_relative_to(source.resolve()):
        raise Invalid("the copies would lie among their sources", "name a target outside of the source folder")
    _hush_libraries()
    entropy = SystemEntropy()
    secret = key_in_file(key, entropy) if key is not None else entropy.draw(32)
    with ExitStack() as stack:
        pool = None
        if workers > 1:
            pool = ProcessPoolExecutor(workers, get_context("spawn"), _hush_libraries)
            stack.callback(pool.shutdown, cancel_futures=True)
        return scrub_files(
            [source],
            open_objects(target),
            How(profile=profile, key=secret, reads_pixels=(environment or Environment()).read_pixels),
            clock=SystemClock(),
            progress=progress or SilentProgress(),
            executor=pool,
            ahead=4 * workers if pool else 0,
        )


def open_room(
    folder: Path,
    *,
    actor: str | None = None,
    progress: Progress | None = None,
    environment: Environment | None = None,
) -> "Room":
    """Open a room as its owner, or as `actor`.

    Raises NoRoom where there is none, NotFound when its catalog is gone, Unavailable when a part is away.
    """
    _hush_libraries()
    environment = environment or Environment()
    file = RoomFile.read(folder)
    entropy = SystemEntropy()
    catalog = _catalog(folder, file, environment)
    # Never `create`: in place of a catalog that was lost, an empty one would put new keys over the old objects'.
    catalog.upgrade()
    ports = Ports(
        room=file.name,
        actor=_actor(user(), actor),
        code={**{name: version(name) for name in _packages()}, "python": platform.python_version()},
        catalog=catalog,
        objects={zone: _objects(folder, location, zone, environment) for zone, location in file.zones.items()},
        audit=_objects(folder, file.audit, None, environment),
        keys=FileKeys(folder / file.keys, entropy),
        authorizer=Policies.shipped(every_role),
        clock=SystemClock(),
        entropy=entropy,
        progress=progress or SilentProgress(),
        spools=FileSpools(entropy),
        quiet=timedelta(seconds=file.quiet_seconds),
        readers=ocr.readers() if environment.read_pixels else None,
    )
    return Room(ports, lambda location: _objects(folder, location, None, environment), folder)


class Room:
    """An open room, acting for one identity. Close it, or use it in a `with` statement."""

    def __init__(
        self, ports: Ports, open_store: Callable[[str], Objects] = open_objects, folder: Path | None = None
    ) -> None:
        self._ports = ports
        self._open = open_store
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Publish the newest audit checkpoint, and let go of the catalog."""
        publish(self._ports)
        self._ports.catalog.close()

    def acting_as(self, name: str) -> "Room":
        """Return the same room for another identity; in an embedded room the owner answers for it."""
        owner = self._ports.actor.owner or self._ports.actor.name
        return Room(replace(self._ports, actor=_actor(owner, name)), self._open, self._folder)

    # -- what came in ----------------------------------------------------------------------------------------

    def receive(
        self,
        paths: Sequence[Path | str],
        source: str,
        *,
        expect: int | None = None,
        manifest: Path | None = None,
        processes: int = 1,
    ) -> Receipt:
        """Take in files, folders and archives. Raises NotFound for a path that is not there, before anything is taken.

        With more than one process, others read and decide about the DICOM files of folders while this one catalogs. A
        script that asks for them has to be importable, as with `multiprocessing`.
        """
        remote = {str(path): self._open(str(path)) for path in paths if "://" in str(path)}
        local = [Path(path) for path in paths if "://" not in str(path)]
        with ExitStack() as stack:
            helpers = None
            if processes > 1 and self._folder is not None and manifest is None:
                helpers = stack.enter_context(_Helpers(self._folder, self._ports.actor.name, processes))
            return receive(
                self._ports, local, source=source, expect=expect, manifest=manifest, stores=remote, helpers=helpers
            )

    def serve(self, door: str) -> Ports:
        """Write down that a door opens, and return what it works with. `door` is a protocol's name. Raises Denied."""
        return serve(self._ports, door)

    def batches(self) -> list[BatchSummary]:
        """List every delivery, oldest first."""
        return batches(self._ports)

    def show_batch(self, batch: str) -> BatchLedger:
        """Show a delivery with a row an object. Raises NotFound."""
        return show_batch(self._ports, batch)

    def quarantine(self, *, state: CaseState | None = CaseState.OPEN) -> list[Case]:
        """List cases, the open ones unless told otherwise."""
        return cases(self._ports, state=state)

    def show_case(self, case: str) -> Case:
        """Show one case. Raises NotFound."""
        return show_case(self._ports, case)

    def release_case(self, case: str, *, why: str = "") -> Case:
        """Let a case in. Raises Refused when too little of it can be read, or when it was decided before."""
        return release_case(self._ports, case, why=why)

    def reject_case(self, case: str, *, why: str) -> Case:
        """Keep a case out for good. Its bytes stay, sealed, until retention ends. Raises Refused when decided before."""
        return reject_case(self._ports, case, why=why)

    def incomplete(self) -> list[SeriesState]:
        """List the series that are not complete: they lack instances, or may still grow, or were accepted as they are."""
        return incomplete(self._ports)

    def accept_incomplete(self, series_uid: str, *, why: str) -> list[SeriesState]:
        """Let a series be used although it lacks instances. Raises NotFound, or Refused when it was accepted before."""
        return accept_incomplete(self._ports, series_uid, why=why)

    def normalize(self) -> Normalized:
        """Read what is cataloged anew where older normalisation tables were applied; interrupted, it goes on."""
        return normalize(self._ports)

    # -- what we have ----------------------------------------------------------------------------------------

    def query(
        self,
        where: str = "",
        *,
        level: Level | str = Level.SERIES,
        select: Sequence[str] = (),
        order: str | None = None,
        limit: int | None = None,
    ) -> Rows:
        """Return a row for each entity of `level` with an instance that satisfies `where`; see docs/how-to/query.md."""
        return query(self._ports, where, level=_one_of(Level, level), select=select, order=order, limit=limit)

    def quality(self, *, project: str | None = None, by: By | str | None = None) -> Quality:
        """Return how complete, consistent and plausible the catalog is; see docs/how-to/quality.md. Raises NotFound."""
        return quality(self._ports, project=project, by=_one_of(By, by) if by is not None else None)

    def export_catalog(
        self, out: Path | str, *, project: str | None = None, by: PartitionBy | str | None = None
    ) -> Exported:
        """Bring an export of catalog, labels and findings up to date, or begin one; `out` is a folder or an `s3://` prefix.

        With a project it is the de-identified form. Raises Refused when something else lies there.
        """
        place = str(out) if "://" in str(out) else str(Path(out).absolute())
        return export_catalog(
            self._ports, self._open(place), project=project, by=_one_of(PartitionBy, by) if by is not None else None
        )

    def count(
        self, where: str = "", *, level: Level | str = Level.SERIES, facets: Sequence[str] = (), top: int = 20
    ) -> Counted:
        """Return how many rows `query` would give, and the `top` values of each column of `facets` among them."""
        return count(self._ports, where, level=_one_of(Level, level), facets=facets, top=top)

    def retrieve(self, uids: Sequence[str], *, level: Level | str = Level.STUDY, to: str = "") -> Retrieval:
        """Choose the current instances of these studies, series or instances, for the peer named `to`. Raises Denied."""
        return retrieve(self._ports, _one_of(Level, level), uids, to=to)

    def columns(self) -> tuple[Column, ...]:
        """Return the vocabulary of `where`."""
        return columns(self._ports)

    def filled(self) -> list[Filled]:
        """Return in how many of its instances each modality's columns are filled."""
        return filled(self._ports)

    def import_labels(
        self,
        file: Path | str | None = None,
        *,
        name: str,
        kind: LabelKind | str | None = None,
        by: str | None = None,
        from_room: str | None = None,
    ) -> Imported:
        """Append the statements of a file to a set. Said again by the same reader, a statement adds nothing.

        `kind` and `by` are for what the file does not say itself. Instead of a file, `from_room` is a condition of the
        query language, for segmentations, structure sets and measurement reports that came to the room.
        """
        if (file is None) == (from_room is None):
            raise Invalid("labels come from a file or from the room", "give one of the two")
        said_how = None if kind is None else _one_of(LabelKind, kind)
        origin = Where(from_room or "") if file is None else Path(file)
        return import_labels(self._ports, origin, name=name, kind=said_how, by=by)

    def labels(self) -> list[LabelSet]:
        """List label sets with their newest versions."""
        return label_sets(self._ports)

    def show_labels(self, ref: str) -> list[LabelEntry]:
        """Return the ledger of SET or SET@VERSION. Raises NotFound."""
        return show_labels(self._ports, ref)

    def diff_labels(self, before: str, after: str) -> list[LabelChange]:
        """Return what the second version says differently from the first."""
        return diff_labels(self._ports, before, after)

    def labels_agreement(self, ref: str, finding: str, *, kinds: Sequence[LabelKind | str] = ()) -> Agreement:
        """Return kappa and Dice of the readers of a finding; of these kinds, or of all. Raises NotFound."""
        return labels_agreement(self._ports, ref, finding, kinds=[_one_of(LabelKind, kind) for kind in kinds])

    def labels_conflicts(
        self, ref: str, *, finding: str | None = None, kinds: Sequence[LabelKind | str] = ()
    ) -> list[Conflict]:
        """Return what readers differ about, of one finding or of all. Raises NotFound."""
        chosen = [_one_of(LabelKind, kind) for kind in kinds]
        return labels_conflicts(self._ports, ref, finding=finding, kinds=chosen)

    def import_facts(self, file: Path | str) -> FactsImported:
        """Keep the results and codes of a CSV file, a FHIR R4 bundle or HL7 v2 messages."""
        return import_facts(self._ports, Path(file))

    def facts(self, patient_id: str) -> list[Fact]:
        """Return what is known of a patient beside the images, oldest first. Raises NotFound."""
        return show_facts(self._ports, patient_id)

    # -- the boundary ----------------------------------------------------------------------------------------

    def project(
        self,
        name: str,
        *,
        purpose: str,
        profile: str = "research",
        until: datetime | None = None,
        budget_bytes: int | None = None,
        requires: Sequence[str] = (),
    ) -> Project:
        """Create a project; asking for the same again changes nothing. Raises Refused when it exists and differs.

        `requires` are gates, such as `completeness.body_part >= 0.95`: see docs/how-to/quality.md.
        """
        return create_project(
            self._ports,
            name,
            purpose=purpose,
            profile=profile,
            until=until,
            budget_bytes=budget_bytes,
            requires=requires,
        )

    def require(self, project: str, gates: Sequence[str] | None = None) -> Project:
        """Put these gates in place of those that the project has; an empty list takes them away, None changes nothing.

        Raises NotFound or Invalid.
        """
        return require(self._ports, project, gates)

    def deidentify(self, project: str, *, where: str = "") -> Run:
        """De-identify the current instances that satisfy `where`. Raises NotFound for a project that does not exist."""
        return deidentify(self._ports, project, where=where)

    def reidentify(self) -> list[Question]:
        """List who asked whom a pseudonym stands for, and who agreed."""
        return questions(self._ports)

    def ask_identity(self, pseudonym: str, *, project: str, why: str) -> Question:
        """Ask whom a pseudonym stands for. Raises NotFound, or Invalid without a reason."""
        return ask(self._ports, pseudonym, project=project, why=why)

    def countersign(self, question: str, *, passed: bool = True, why: str = "") -> Question:
        """Agree to a question, or turn it down. Raises Denied for one's own, Refused when it is settled."""
        return countersign(self._ports, question, passed=passed, why=why)

    def show_identity(self, question: str) -> PatientIdentity:
        """Say whom a pseudonym stands for. Raises Denied to others and after a day, Refused before two have agreed."""
        return answer(self._ports, question)

    def review(self) -> list[Copy]:
        """List the copies that wait for a decision."""
        return reviews(self._ports)

    def show_review(self, copy: int) -> Copy:
        """Show one copy. Raises NotFound."""
        return show_review(self._ports, copy)

    def picture_review(self, copy: int) -> str:
        """Return a page, HTML, with frames of a waiting copy beside those of its source.

        It is as clinical as the source, and that it was made is written down. Raises NotFound, Refused when the copy is not
        waiting, Unreadable when it is no image that can be decoded.
        """
        return picture_review(self._ports, copy)

    def decide_review(self, copy: int, *, passed: bool, why: str) -> Copy:
        """Pass or refuse a waiting copy. Passing verifies it again: a reviewer can answer for what only eyes can see,
        and for nothing else. Raises Refused when the copy is not waiting or when the verifier finds more than that.
        """
        return decide_review(self._ports, copy, passed=passed, why=why)

    def decide_series(self, copy: int, *, passed: bool, why: str) -> list[Copy]:
        """Decide alike about a waiting copy and the others of its series that wait only because no part of the body is named.

        Raises Refused for a copy that waits for anything else, and what `decide_review` does.
        """
        return decide_series(self._ports, copy, passed=passed, why=why)

    # -- datasets --------------------------------------------------------------------------------------------

    def cohort(self, name: str, criteria: Criteria) -> Cohort:
        """Keep a definition as the name's next version; the same as the newest is no new one. Raises Invalid or NotFound."""
        return define_cohort(self._ports, name, criteria)

    def cohorts(self) -> list[Cohort]:
        """List every version of every cohort."""
        return cohorts(self._ports)

    def show_cohort(self, ref: str) -> Cohort:
        """Return NAME@V, or the newest version of NAME. Raises NotFound."""
        return show_cohort(self._ports, ref)

    def cohort_flow(self, ref: str) -> Flow:
        """Return who would drop out of NAME[@V], and why, if it was frozen now. Raises NotFound."""
        return cohort_flow(self._ports, ref)

    def freeze(
        self,
        name: str = "",
        *,
        project: str = "",
        where: str = "",
        cohort: str = "",
        labels: Sequence[str] = (),
        split: str = "",
        stratify: Sequence[str] = (),
        seed: int = 0,
        allow_leak: str = "",
    ) -> Frozen:
        """Freeze the project's clean copies of what satisfies `where`, or of a cohort, by whose name it is called if by none.

        A split is by patient; `stratify` are columns, and labels as label:SET.FINDING, whose values all parts have alike.
        `allow_leak` says why parts may share people, pixels or earlier test data. Raises Leaking when they do without one,
        Refused when there is nothing to freeze.
        """
        return freeze(
            self._ports,
            name,
            project=project,
            where=where,
            cohort=cohort,
            labels=labels,
            split=split,
            stratify=stratify,
            seed=seed,
            allow_leak=allow_leak,
        )

    def snapshots(self) -> list[Snapshot]:
        """List the snapshots, oldest first."""
        return snapshots(self._ports)

    def show(self, ref: str) -> Manifest:
        """Return a snapshot's manifest. Raises NotFound, or Corrupt when it is not what was frozen."""
        return show(self._ports, Versioned.parse(ref))

    def diff(self, before: str, after: str) -> Difference:
        """Return what changed from one snapshot to another."""
        return diff(self._ports, Versioned.parse(before), Versioned.parse(after))

    def build(self, ref: str, *, recipe: str) -> Built:
        """Build a snapshot's shards by a recipe. Raises NotFound, Invalid for the recipe, Refused when no sample comes."""
        return build(self._ports, Versioned.parse(ref), recipe_text=recipe)

    def verify(self, ref: str) -> Verdict:
        """Check a snapshot against its id, signature and root, and every copy and shard of it. Raises NotFound."""
        return verify(self._ports, Versioned.parse(ref))

    def reproduce(self, ref: str) -> Verdict:
        """Make the snapshot again from the clinical zone, and compare rows and shard contents. Raises NotFound."""
        return reproduce(self._ports, Versioned.parse(ref))

    # -- who may use them ------------------------------------------------------------------------------------

    def request(self, ref: str, *, purpose: str, days: int) -> Request:
        """Ask for the use of a snapshot. Raises NotFound, or Invalid for an empty purpose or a period out of bounds."""
        return request(self._ports, Versioned.parse(ref), purpose=purpose, days=days)

    def approve(self, request: str) -> Granted:
        """Grant a request. Raises Denied for the requester's own, Refused when it was decided before."""
        return approve(self._ports, request)

    def deny(self, request: str, *, why: str) -> Request:
        """Turn a request down. Raises Denied for the requester's own, Refused when it was decided before."""
        return deny(self._ports, request, why=why)

    def grants(self) -> list[Access]:
        """List requests, oldest first, with their grants."""
        return grants(self._ports)

    def revoke(self, grant: str) -> Grant:
        """End a grant now, and with it every lease minted from it."""
        return revoke(self._ports, grant)

    def lease(self, ref: str, *, minutes: int = 60, job: str = "") -> Lease:
        """Mint a lease from the actor's grant for a snapshot. Raises Denied without one, LeaseEnded when it is over."""
        return lease(self._ports, Versioned.parse(ref), minutes=minutes, job=job)

    def load(
        self, ref: str, *, lease: str, split: str | None = None, recipe: Digest | None = None, threads: int = 2
    ) -> Data:
        """Open the snapshot's newest shardset, or that of one recipe. Raises NotFound before anything was built."""
        return load(self._ports, Versioned.parse(ref), lease=lease, split=split, recipe=recipe, threads=threads)

    def model(
        self,
        name: str,
        *,
        snapshot: str,
        artifact: Path | str,
        metrics: Path | str | None = None,
        lease: str | None = None,
    ) -> Model:
        """Keep an artifact in the models zone and link it to its snapshot, and to the lease that it was trained under.
        Registering the same artifact for the same snapshot again returns the version it has. Raises NotFound for a
        snapshot that does not exist, and Refused for a lease of another snapshot.
        """
        return register_model(
            self._ports,
            name,
            snapshot=Versioned.parse(snapshot),
            artifact=Path(artifact),
            metrics=Path(metrics) if metrics else None,
            lease=lease,
        )

    # -- evidence --------------------------------------------------------------------------------------------

    def trace(self, name: str, *, forward: bool = True, backward: bool = True) -> Trace:
        """Follow a patient, study, series, instance, snapshot, shardset or model, both ways unless told otherwise.
        `name` is a Patient ID, a UID, a digest, NAME@VERSION, or one of these after `patient:`, `study:`,
        `snapshot:`, `model:` ... where it could mean two things. Raises NotFound, or Invalid when it does.
        """
        return trace(self._ports, name, forward=forward, backward=backward)

    def audit(self, *, last: int | None = None) -> list[LogEntry]:
        """Return the log's entries, or the last so many, oldest first."""
        return show_audit(self._ports, last=last)

    def prove_audit(self, index: int, *, size: int | None = None) -> Proof:
        """Prove one entry, under the checkpoint over the first `size` entries or under the newest. Raises NotFound."""
        return prove_audit(self._ports, index, size=size)

    def verify_audit(self) -> AuditVerdict:
        """Check every leaf against every signed checkpoint, the one outside the catalog too, and the catalog against the
        log. Rows of deliveries, label sets, projects, snapshots, shardsets, requests, grants and leases must be what
        was written down when they were made or last decided about.
        """
        return verify_audit(self._ports)

    def doctor(self, *, scrub: bool = False, days: float = DAYS, rate: float = RATE, adopt: bool = False) -> Diagnosis:
        """Look at the catalog, every zone, the keys, the audit log, and at objects that no row speaks of or are damaged.

        `scrub` reads back what was not read back for `days`, at `rate` bytes a second at most (0 for no limit). `adopt`
        takes in objects that no row speaks of. Raises Denied.
        """
        if not (days >= 0 and rate >= 0):
            raise Invalid("days and a rate are not negative", "give 0 for everything, or for no limit")
        pace = Pace(days=days, rate=rate, wait=time.sleep) if scrub else None
        return doctor(self._ports, pace=pace, adopt=adopt)


class _Helpers:
    """Processes with the room open, for an import. Implements `flow.receive.Helpers`."""

    def __init__(self, folder: Path, actor: str, count: int) -> None:
        self.count = count
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), _help, (folder, actor))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def stage(self, delivery: Delivery, group: Sequence[Arrived | Unread]) -> Future[Sequence[Judged]]:
        return self._pool.submit(_stage, delivery, group)


_HELPING: list[tuple[Ports, Reception]] = []


def _help(folder: Path, actor: str) -> None:
    """Open the room in a process that helps, until the process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that is helped
    ports = open_room(folder, actor=actor)._ports
    _HELPING.append((ports, Reception(ports)))


def _stage(delivery: Delivery, group: Sequence[Arrived | Unread]) -> Sequence[Judged]:
    ports, reception = _HELPING[0]
    return stage_and_write(ports, reception, delivery, group)


Choice = TypeVar("Choice", bound=StrEnum)


def _one_of(choices: type[Choice], word: str) -> Choice:
    try:
        return choices(word)
    except ValueError:
        raise Invalid(f"{word!r} is none of the choices", f"choose {', '.join(choices)}") from None


def _packages() -> tuple[str, ...]:
    return (*PACKAGES, ocr.PACKAGE) if ocr.is_installed() else PACKAGES


def _hush_libraries() -> None:
    """pydicom and tifffile quote what they warn about, and that may be a patient's; findings say where without quoting."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom(\.|$)")
    for library in ("pydicom", "tifffile"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)


def _check_is_free(folder: Path) -> None:
    """A half-made room may be finished; somebody's other folder may not be taken over."""
    ours = {"keys", "catalog.db", "catalog.db-wal", "catalog.db-shm", "zones", "audit"}
    try:
        others = {entry.name for entry in folder.iterdir()} - ours if folder.exists() else set()
    except NotADirectoryError:
        others = {folder.name}
    if any(not name.startswith(f".{ROOM_FILE}") for name in others):
        raise Invalid(f"{folder} is not empty and not a room", "name a new folder")


def _actor(owner: str, name: str | None) -> Actor:
    return Actor(owner) if name is None or name == owner else Actor(check_name(name), owner)


def _catalog(folder: Path, file: RoomFile, environment: Environment) -> SqlCatalog:
    scheme, relative, path = file.catalog.partition("sqlite:///")
    if relative and not scheme and not path.startswith("/"):
        return SqlCatalog.in_file(folder.absolute() / path)
    password = environment.catalog_password
    return SqlCatalog(file.catalog, password=password.get_secret_value() if password else None)


def _objects(folder: Path, location: str, zone: Zone | None, environment: Environment) -> Objects:
    if "://" not in location:
        return open_objects(str(folder.absolute() / location))
    access_key, secret_key = environment.s3_keys(zone)
    access = S3Access(
        endpoint=environment.s3_endpoint,
        region=environment.s3_region,
        access_key=access_key,
        secret_key=secret_key,
        allow_http=environment.s3_endpoint.startswith("http://"),
    )
    return open_objects(location, access)
