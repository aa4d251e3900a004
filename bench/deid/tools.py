"""Runs filmroom and its peers over a planted folder, each with its own defaults, and says what came of every file."""

import json
import subprocess
import time
from pathlib import Path

from bench.deid.output import REFUSED, REVIEW, Output
from bench.peers import bare, environment
from filmroom.deid import profile as profiles
from filmroom.deid.apply import Applied, apply
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.flow.deidentify import review_name, review_subject
from filmroom.flow.scrub import Outcome
from filmroom.flow.sealed import SealedZone, project_subject
from filmroom.ids import Digest, Zone
from filmroom.records import CopyState
from filmroom.settings import Environment
from filmroom.wiring import init, open_room, scrub

PEERS = {"dicom-anonymizer": "dicom-anonymizer==2.1.0", "dicognito": "dicognito==0.19.0", "dcmanon": "dcmanon==0.3.1"}
_PROJECT = "ruler"


def filmroom(planted: Path, work: Path, *, reads: bool = True) -> Output:
    """Import the folder into a new room, de-identify it, and write out what reached the research zone.

    `work/review` gets the copies that wait for eyes. `cpu` is that of de-identification: writing, sealing and verifying
    are in it, import is not; `reads` is whether text in pixels is read.
    """
    (work / "review").mkdir(parents=True)
    (work / "released").mkdir()
    init(work / "room")
    sources = {Digest.of(path.read_bytes()): str(path.relative_to(planted)) for path in sorted(planted.rglob("*.dcm"))}
    released: dict[str, Path] = {}
    waiting: dict[str, Path] = {}
    said: dict[str, str] = {}
    why: dict[str, str] = {}
    with open_room(work / "room", environment=_environment(reads)) as room:
        room.receive([planted], "ruler")
        room.project(_PROJECT, purpose="to be measured", profile=_accepting_faces(work))
        start = time.process_time()
        room.deidentify(_PROJECT)
        cpu = time.process_time() - start
        for case in room.quarantine():
            name = sources[case.digest]
            said[name], why[name] = REFUSED, ", ".join(reason.code for reason in case.reasons)
        ports = room.serve("ruler")
        clinical, research = SealedZone(ports, Zone.CLINICAL), SealedZone(ports, Zone.RESEARCH)
        with ports.catalog.read() as tx:
            copies = tx.copies.all(project=_PROJECT)
        for copy in copies:
            name = sources[copy.source]
            why[name] = ", ".join(sorted({reason.code for reason in copy.reasons}))
            if copy.state is CopyState.CLEAN and copy.digest:
                data = research.get(research.name_of(copy.digest), project_subject(copy.project, copy.subject))
                released[name] = _put(data, work / "released" / f"{copy.sop_uid}.dcm")
            elif copy.state is CopyState.REVIEW and copy.digest:
                data = clinical.get(review_name(clinical, copy.digest), review_subject(copy))
                waiting[name] = _put(data, work / "review" / f"{copy.sop_uid}.dcm")
                said[name] = REVIEW
            else:
                said[name] = REFUSED
    return Output(
        tool="filmroom", folder=work / "released", released=released, said=said, why=why, waiting=waiting, cpu=cpu
    )


def filmroom_scrub(planted: Path, work: Path, *, reads: bool = True) -> Output:
    """De-identify the folder without a room, as `filmroom scrub` does: read, copy, verify, write."""
    work.mkdir(parents=True)
    start = time.process_time()
    done = scrub(planted, str(work / "out"), profile=_accepting_faces(work), environment=_environment(reads))
    cpu = time.process_time() - start
    states = {Outcome.REVIEW: REVIEW, Outcome.REFUSED: REFUSED}
    rows = {row.source.partition("/")[2]: row for row in done.rows}
    return Output(
        tool="filmroom scrub",
        folder=work / "out",
        released={name: work / "out" / row.output for name, row in rows.items() if row.outcome is Outcome.CLEAN},
        said={name: states[row.outcome] for name, row in rows.items() if row.outcome in states},
        why={name: ", ".join(sorted({each.code for each in row.reasons})) for name, row in rows.items()},
        cpu=cpu,
    )


def _accepting_faces(work: Path) -> str:
    """Write the default profile as one that lets heads out, as no peer asks for faces, and return its path."""
    place = work / "profile.toml"
    blocking, accepting = (f'faces = "{word}"' for word in (profiles.Faces.BLOCK, profiles.Faces.ACCEPT))
    place.write_text(profiles.load(profiles.DEFAULT).text.replace(blocking, accepting), "utf-8")
    return str(place)


def copy_only(planted: Path, work: Path) -> float:
    """Return the seconds of processor time that reading, copying and writing take without looking again, as peers do."""
    work.mkdir(parents=True)
    profile, pseudonyms = profiles.load(profiles.DEFAULT), Pseudonyms(bytes(32))
    start = time.process_time()
    for path in sorted(planted.rglob("*.dcm")):
        copy = apply(path.read_bytes(), profile, pseudonyms)
        if isinstance(copy, Applied):
            (work / f"{copy.sop_uid}.dcm").write_bytes(copy.data)
    return time.process_time() - start


def waiting(output: Output) -> Output:
    """Return filmroom's output with the copies that wait for eyes as the released ones: eyes look at pixels, not headers."""
    others = dict.fromkeys([*output.released, *output.said], REFUSED)
    folder = output.folder.with_name("review")
    return Output(tool=f"{output.tool}, in review", folder=folder, released=output.waiting, said=others)


def peer(tool: str, planted: Path, work: Path) -> Output | None:
    """Run another tool in an environment of its own; None where it cannot be installed."""
    python = environment(tool, PEERS[tool])
    if python is None:
        return None
    script = Path(__file__).with_name("peer.py")
    command = [str(python), str(script), tool, str(planted), str(work)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=work.parent, env=bare())
    told = json.loads(result.stdout.splitlines()[-1])
    return Output(
        tool=tool,
        folder=work,
        released={name: Path(path) for name, path in told["released"].items()},
        said=dict.fromkeys(told["failed"], REFUSED),
        why=told["failed"],
        cpu=told["cpu"],
    )


def _environment(reads: bool) -> Environment:
    return Environment() if reads else Environment(read_pixels=False)


def _put(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path
