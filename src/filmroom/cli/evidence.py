"""trace, audit, doctor: what happened, proven."""

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from filmroom.canon import Json
from filmroom.cli.session import DONE, FAILED, Session
from filmroom.flow.readback import DAYS, RATE
from filmroom.govern import lineage

audit = typer.Typer(help="The audit log.", no_args_is_help=True)


class Format(StrEnum):
    JSON = "json"
    MERMAID = "mermaid"
    PROV = "prov"
    OPENLINEAGE = "openlineage"


def add_to(app: typer.Typer) -> None:
    app.command("trace")(trace)
    app.add_typer(audit, name="audit")
    app.command("doctor")(doctor)


def trace(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="Patient ID, UID, digest or NAME@V.")],
    forward: Annotated[bool, typer.Option("--forward", help="Only what came of it.")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="Only what it came from.")] = False,
    format: Annotated[Format, typer.Option(help="How to print the graph.")] = Format.JSON,
) -> None:
    """Follow data from patient to model and back."""
    session: Session = context.obj
    both = forward == backward
    with session.open() as room:
        found = room.trace(name, forward=forward or both, backward=backward or both)
    match format:
        case Format.JSON:
            session.answer(found)
        case Format.MERMAID:
            text = lineage.mermaid(found.graph)
            session.answer({"mermaid": text}, lambda: _print(text))
        case Format.PROV:
            _document(lineage.prov(found.graph))
        case Format.OPENLINEAGE:
            _document(lineage.openlineage(found.graph, room=found.room, at=found.at))


@audit.command("show")
def show_audit(
    context: typer.Context,
    last: Annotated[int | None, typer.Option(help="Only the last so many entries.", min=1)] = None,
) -> None:
    """Show the log, oldest first."""
    session: Session = context.obj
    with session.open() as room:
        entries = room.audit(last=last)
    session.answer([{"index": each.index, **each.entry} for each in entries])


@audit.command("verify")
def verify_audit(context: typer.Context) -> int:
    """Prove that nobody shortened, edited or reordered the log."""
    session: Session = context.obj
    with session.open() as room:
        verdict = room.verify_audit()
    session.answer(verdict)
    return DONE if verdict.ok else FAILED


@audit.command("prove")
def prove_audit(
    context: typer.Context,
    entry: Annotated[int, typer.Argument(metavar="ENTRY", help="Its index, as `audit show` prints it.", min=0)],
    size: Annotated[int | None, typer.Option(help="Under the checkpoint of this size; else the newest.", min=1)] = None,
) -> None:
    """Prove that an entry is in the log, to somebody who has a checkpoint and not the log."""
    session: Session = context.obj
    with session.open() as room:
        proof = room.prove_audit(entry, size=size)
    session.answer(proof)


def doctor(
    context: typer.Context,
    scrub: Annotated[bool, typer.Option("--scrub", help="Read stored objects back and compare their digests.")] = False,
    days: Annotated[float, typer.Option(help="Scrub what was not read back for so many days.", min=0)] = DAYS,
    rate: Annotated[float, typer.Option(help="Scrub so many MB a second at most; 0 for no limit.", min=0)] = RATE
    / 10**6,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take in objects that a crash left without a row.")] = False,
) -> int:
    """Check that the room's parts answer and agree."""
    session: Session = context.obj
    with session.open() as room:
        diagnosis = room.doctor(scrub=scrub, days=days, rate=rate * 10**6, adopt=adopt)
    session.answer(diagnosis)
    return DONE if diagnosis.ok else FAILED


def _document(value: Json) -> None:
    """Print what is JSON by its nature, whoever reads it."""
    _print(json.dumps(value, ensure_ascii=False, indent=2))


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
