"""A cohort of many instances resolves, is split and looked through for leaks: time and memory, on an embedded catalog."""

import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from bench.figures import Figure
from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.deid import profile as profiles
from filmroom.deid import verify
from filmroom.flow.cohort import resolve
from filmroom.flow.freeze import place
from filmroom.ids import Digest
from filmroom.records import (
    Batch,
    Copy,
    CopyState,
    Coverage,
    Criteria,
    Exclusion,
    Instance,
    InstanceState,
    Label,
    LabelEntry,
    LabelKind,
    Level,
    Project,
)
from filmroom.snapshot.leak import leaks
from filmroom.snapshot.split import parse_split
from filmroom.wiring import init, open_room

COUNT = int(os.environ.get("FILMROOM_BENCH_COHORT", "500000"))
_PER_SERIES, _PER_PATIENT, _AT_ONCE = 100, 200, 5000
_MAKERS = ("GE", "SIEMENS", "PHILIPS", "CANON")
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_CRITERIA = Criteria(
    project="bench",
    where="modality = 'CT' AND slice_thickness_mm <= 2.5",
    exclude=(Exclusion("not an adult", "age_years < 18"), Exclusion("localizer", "image_type LIKE '%LOCALIZER%'")),
    require=("read.nodule",),
)
_SPLIT, _STRATIFY = "train=0.7,val=0.1,test=0.2", ("manufacturer", "label:read.nodule")


def run(work: Path) -> Iterator[Figure]:
    init(work / "room")
    _fill(work / "room", COUNT)
    # In a process of its own, so that what filled the catalog is not counted.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        idle = pool.submit(_memory).result()
        seconds, patients, memory = pool.submit(_resolve, work / "room").result()
    yield Figure(
        what=f"{COUNT:,} instances resolved, split and guarded", value=seconds, unit="s", note="(target <= 10)"
    )
    yield Figure(what="  patients among them", value=patients, unit="patients")
    yield Figure(what="  most memory in use", value=memory, unit="MB", note="(target <= 1,000)")
    yield Figure(what="  of that before it began", value=idle, unit="MB")


def _resolve(room: Path) -> tuple[float, int, float]:
    with open_room(room) as opened:
        start = time.perf_counter()
        ports = opened._ports
        with ports.catalog.read() as tx:
            found = resolve(tx, ports, _CRITERIA, stratify=_STRATIFY)
            before = tx.snapshots.parts(_CRITERIA.project)
        parts = place("bench", before, found, parse_split(_SPLIT, 0))
        pixels = ((each.pseudonym, each.pixel_digest) for each in found.eligible)
        assert not leaks(parts, found.same_person, pixels, ())
        taken = time.perf_counter() - start
        assert len(found.eligible) == COUNT, found.flow
        return taken, len(parts), _memory()


def _fill(room: Path, count: int) -> None:
    catalog = SqlCatalog.in_file(room / "catalog.db")
    profile = profiles.load("research").digest
    with catalog.write() as tx:
        tx.batches.open(Batch(id="b", source="bench", received_at=_NOW, processing_version="1"))
        tx.projects.add(Project(name="bench", purpose="p", profile="research", created_at=_NOW, created_by="bench"))
    for start in range(0, count, _AT_ONCE):
        some = range(start, min(start + _AT_ONCE, count))
        with catalog.write() as tx:
            tx.instances.add([(_instance(n), f"patient/{_patient(n)}", "b", InstanceState.CURRENT) for n in some])
            tx.copies.put([_copy(number, profile) for number in some])
    with catalog.write() as tx:
        series = -(-count // _PER_SERIES)
        tx.wholeness.judge([(key, ()) for n in range(series) for key in tx.wholeness.of_uid(f"1.2.{n}")], _NOW)
        tx.labels.append("read", [_entry(at) for at in range(series)])
    catalog.close()


def _patient(number: int) -> int:
    return number // _PER_PATIENT


def _instance(number: int) -> Instance:
    patient = _patient(number)
    return Instance(
        digest=_digest("source", number),
        size_bytes=524_288,
        issuer="",
        patient_id=f"P{patient:08d}",
        study_uid=f"1.3.{patient}",
        series_uid=f"1.2.{number // _PER_SERIES}",
        sop_uid=f"1.2.826.0.1.3680043.8.498.{number:039d}",
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax="1.2.840.10008.1.2.1",
        pixel_digest=_digest("pixels", number),
        values={
            "modality": "CT",
            "slice_thickness_mm": 1.25,
            "age_years": 50.0,
            "manufacturer": _MAKERS[patient % 4],
            "image_type": "ORIGINAL\\PRIMARY\\AXIAL",
        },
    )


def _copy(number: int, profile: Digest) -> Copy:
    return Copy(
        project="bench",
        source=_digest("source", number),
        profile=profile,
        verifier=verify.VERIFIER,
        state=CopyState.CLEAN,
        reasons=(),
        findings=(),
        subject=f"P{_patient(number):016d}",
        digest=_digest("copy", number),
        size_bytes=524_288,
        study_uid=f"2.25.3{_patient(number):037d}",
        series_uid=f"2.25.2{number // _PER_SERIES:037d}",
        sop_uid=f"2.25.1{number:037d}",
        modality="CT",
        frames=1,
        coverage=Coverage(elements=90, elements_present=90, frames=1, frames_present=1, identifiers=9),
        attestation="x" * 900,
    )


def _entry(series: int) -> LabelEntry:
    value = "yes" if series % 5 == 0 else "no"
    label = Label(
        level=Level.SERIES, target=f"1.2.{series}", finding="nodule", value=value, kind=LabelKind.RADIOLOGIST, by="r"
    )
    return LabelEntry(position=series + 1, label=label, at=_NOW)


def _digest(kind: str, number: int) -> Digest:
    return Digest.of(f"{kind} {number}".encode())


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
