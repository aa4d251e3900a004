"""The composition root: a room's file and the environment become ports, and every verb gets them.

`Room` is what users hold. Its methods are the verbs of `verbs.VERBS`; each only passes on its ports, so what a verb does
is read in `flow/`. A room may be used by several threads and processes at once.
"""

import logging
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

from filmroom.adapters.keys import FileKeys
from filmroom.adapters.objects import S3Access, open_objects
from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.adapters.system import SilentProgress, SystemClock, SystemEntropy
from filmroom.errors import Invalid, Unavailable
from filmroom.flow.audit import LogEntry, show_audit, verify_audit
from filmroom.flow.batches import BatchLedger, BatchSummary, batches, show_batch
from filmroom.flow.build import Built, build
from filmroom.flow.deidentify import Run, deidentify
from filmroom.flow.doctor import Diagnosis, doctor
from filmroom.flow.evidence import publish
from filmroom.flow.freeze import Frozen, freeze
from filmroom.flow.labels import Imported, LabelChange, LabelSet, diff_labels, import_labels, label_sets, show_labels
from filmroom.flow.load import load
from filmroom.flow.model import register_model
from filmroom.flow.project import create_project
from filmroom.flow.quarantine import cases, reject_case, release_case, show_case
from filmroom.flow.query import Filled, Rows, columns, completeness, query
from filmroom.flow.receive import receive
from filmroom.flow.reception import Receipt
from filmroom.flow.retrieve import Retrieval, retrieve
from filmroom.flow.review import decide_review, reviews, show_review
from filmroom.flow.serve import serve
from filmroom.flow.share import Access, Granted, Lease, approve, deny, grants, lease, request, revoke
from filmroom.flow.snapshots import Manifest, diff, show, snapshots
from filmroom.flow.trace import Trace, trace
from filmroom.flow.verify import Verdict, reproduce, verify
from filmroom.govern.audit import Verdict as AuditVerdict
from filmroom.govern.policy import Policies, every_role
from filmroom.ids import Digest, Versioned, Zone, check_name
from filmroom.loader.data import Data
from filmroom.ports import Objects, Ports, Progress
from filmroom.records import (
    Actor,
    Case,
    CaseState,
    Column,
    Copy,
    Grant,
    LabelEntry,
    LabelKind,
    Level,
    Model,
    Project,
    Request,
    Snapshot,
)
from filmroom.settings import ROOM_FILE, Environment, RoomFile, read_environment, user
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
    environment = environment or read_environment()
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


def open_room(
    folder: Path,
    *,
    actor: str | None = None,
    progress: Progress | None = None,
    environment: Environment | None = None,
) -> "Room":
    """Open a room as its owner, or as `actor`. Raises NotFound where there is none, Unavailable when a part is away."""
    _hush_pydicom()
    environment = environment or read_environment()
    file = RoomFile.read(folder)
    entropy = SystemEntropy()
    catalog = _catalog(folder, file, environment)
    catalog.create()
    ports = Ports(
        room=file.name,
        actor=_actor(user(), actor),
        code={**{name: version(name) for name in PACKAGES}, "python": platform.python_version()},
        catalog=catalog,
        objects={zone: _objects(folder, location, zone, environment) for zone, location in file.zones.items()},
        audit=_objects(folder, file.audit, None, environment),
        keys=FileKeys(folder / file.keys, entropy),
        authorizer=Policies.shipped(every_role),
        clock=SystemClock(),
        entropy=entropy,
        progress=progress or SilentProgress(),
        workers=environment.cores,
    )
    return Room(ports)


class Room:
    """An open room, acting for one identity. Close it, or use it in a `with` statement."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

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
        return Room(replace(self._ports, actor=_actor(owner, name)))

    # -- what came in ----------------------------------------------------------------------------------------

    def receive(
        self, paths: Sequence[Path | str], source: str, *, expect: int | None = None, manifest: Path | None = None
    ) -> Receipt:
        return receive(self._ports, [Path(path) for path in paths], source=source, expect=expect, manifest=manifest)

    def serve(self, door: str) -> Ports:
        return serve(self._ports, door)

    def batches(self) -> list[BatchSummary]:
        return batches(self._ports)

    def show_batch(self, batch: str) -> BatchLedger:
        return show_batch(self._ports, batch)

    def quarantine(self, *, state: CaseState | None = CaseState.OPEN) -> list[Case]:
        return cases(self._ports, state=state)

    def show_case(self, case: str) -> Case:
        return show_case(self._ports, case)

    def release_case(self, case: str, *, why: str = "") -> Case:
        return release_case(self._ports, case, why=why)

    def reject_case(self, case: str, *, why: str) -> Case:
        return reject_case(self._ports, case, why=why)

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
        return query(self._ports, where, level=_one_of(Level, level), select=select, order=order, limit=limit)

    def retrieve(self, uids: Sequence[str], *, level: Level | str = Level.STUDY, to: str = "") -> Retrieval:
        return retrieve(self._ports, _one_of(Level, level), uids, to=to)

    def columns(self) -> tuple[Column, ...]:
        return columns(self._ports)

    def completeness(self) -> list[Filled]:
        return completeness(self._ports)

    def import_labels(self, file: Path | str, *, name: str, kind: LabelKind | str, by: str | None = None) -> Imported:
        return import_labels(self._ports, Path(file), name=name, kind=_one_of(LabelKind, kind), by=by)

    def labels(self) -> list[LabelSet]:
        return label_sets(self._ports)

    def show_labels(self, ref: str) -> list[LabelEntry]:
        return show_labels(self._ports, ref)

    def diff_labels(self, before: str, after: str) -> list[LabelChange]:
        return diff_labels(self._ports, before, after)

    # -- the boundary ----------------------------------------------------------------------------------------

    def project(
        self,
        name: str,
        *,
        purpose: str,
        profile: str = "research",
        until: datetime | None = None,
        budget_bytes: int | None = None,
    ) -> Project:
        return create_project(
            self._ports, name, purpose=purpose, profile=profile, until=until, budget_bytes=budget_bytes
        )

    def deidentify(self, project: str, *, where: str = "") -> Run:
        return deidentify(self._ports, project, where=where)

    def review(self) -> list[Copy]:
        return reviews(self._ports)

    def show_review(self, copy: int) -> Copy:
        return show_review(self._ports, copy)

    def decide_review(self, copy: int, *, passed: bool, why: str) -> Copy:
        return decide_review(self._ports, copy, passed=passed, why=why)

    # -- datasets --------------------------------------------------------------------------------------------

    def freeze(
        self, name: str, *, project: str, where: str = "", labels: Sequence[str] = (), split: str = "", seed: int = 0
    ) -> Frozen:
        return freeze(self._ports, name, project=project, where=where, labels=labels, split=split, seed=seed)

    def snapshots(self) -> list[Snapshot]:
        return snapshots(self._ports)

    def show(self, ref: str) -> Manifest:
        return show(self._ports, Versioned.parse(ref))

    def diff(self, before: str, after: str) -> Difference:
        return diff(self._ports, Versioned.parse(before), Versioned.parse(after))

    def build(self, ref: str, *, recipe: str) -> Built:
        return build(self._ports, Versioned.parse(ref), recipe_text=recipe)

    def verify(self, ref: str) -> Verdict:
        return verify(self._ports, Versioned.parse(ref))

    def reproduce(self, ref: str) -> Verdict:
        return reproduce(self._ports, Versioned.parse(ref))

    # -- who may use them ------------------------------------------------------------------------------------

    def request(self, ref: str, *, purpose: str, days: int) -> Request:
        return request(self._ports, Versioned.parse(ref), purpose=purpose, days=days)

    def approve(self, request: str) -> Granted:
        return approve(self._ports, request)

    def deny(self, request: str, *, why: str) -> Request:
        return deny(self._ports, request, why=why)

    def grants(self) -> list[Access]:
        return grants(self._ports)

    def revoke(self, grant: str) -> Grant:
        return revoke(self._ports, grant)

    def lease(self, ref: str, *, minutes: int = 60, job: str = "") -> Lease:
        return lease(self._ports, Versioned.parse(ref), minutes=minutes, job=job)

    def load(
        self, ref: str, *, lease: str, split: str | None = None, recipe: Digest | None = None, threads: int = 2
    ) -> Data:
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
        return trace(self._ports, name, forward=forward, backward=backward)

    def audit(self, *, last: int | None = None) -> list[LogEntry]:
        return show_audit(self._ports, last=last)

    def verify_audit(self) -> AuditVerdict:
        return verify_audit(self._ports)

    def doctor(self) -> Diagnosis:
        return doctor(self._ports)


Choice = TypeVar("Choice", bound=StrEnum)


def _one_of(choices: type[Choice], word: str) -> Choice:
    try:
        return choices(word)
    except ValueError:
        raise Invalid(f"{word!r} is none of the choices", f"choose {', '.join(choices)}") from None


def _hush_pydicom() -> None:
    """pydicom quotes the values that it warns about, and those may be a patient's; findings say where without quoting."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom(\.|$)")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


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
