"""project, deidentify, scrub, review, reidentify, countersign: the boundary between the clinical and the research zone."""

import csv
import os
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, TextIO

import typer

from filmroom.canon import plain
from filmroom.cli.session import DONE, FAILED, Session, TerminalProgress
from filmroom.deid import profile as profiles
from filmroom.deid.describe import describe, in_words
from filmroom.errors import Invalid
from filmroom.flow.scrub import Row
from filmroom.wiring import scrub as scrub_folder

project = typer.Typer(help="A purpose, with its own pseudonym keys.", no_args_is_help=True)
reidentify = typer.Typer(help="Whom a pseudonym stands for, when two others agree.", no_args_is_help=True)
review = typer.Typer(help="De-identified copies that need eyes.", no_args_is_help=True)

_GB = 10**9

Requires = Annotated[
    list[str] | None,
    typer.Option("--require", metavar="GATE", help="What must hold to freeze: completeness.body_part >= 0.95."),
]
GatesFile = Annotated[Path | None, typer.Option("--gates", help="The same, listed in a TOML file under require.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(project, name="project")
    app.command("deidentify")(deidentify)
    app.command("scrub")(scrub)
    app.add_typer(review, name="review")
    app.add_typer(reidentify, name="reidentify")
    app.command("countersign")(countersign)


@project.command("create")
def create_project(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    purpose: Annotated[str, typer.Option(help="What the data is for, in a sentence.")],
    profile: Annotated[str, typer.Option(help="De-identification profile.")] = "research",
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Last day of the project, YYYY-MM-DD.")] = None,
    budget_gb: Annotated[
        int | None,
        typer.Option(
            help="Storage budget in gigabytes (10^9 bytes); written down, not enforced yet.", min=1, max=10**9
        ),
    ] = None,
    require: Requires = None,
    gates: GatesFile = None,
) -> None:
    """Create a project."""
    session: Session = context.obj
    try:
        day = datetime.strptime(until, "%Y-%m-%d").replace(tzinfo=UTC) if until else None
    except ValueError:
        raise Invalid(f"{until!r} is not a date", "write YYYY-MM-DD") from None
    end = datetime.combine(day, time.max, UTC) if day else None
    budget = budget_gb * _GB if budget_gb else None
    with session.open() as room:
        made = room.project(
            name, purpose=purpose, profile=profile, until=end, budget_bytes=budget, requires=_gates(require, gates)
        )
    session.answer(
        {
            "project": made.name,
            "purpose": made.purpose,
            "profile": made.profile,
            "until": made.until,
            "requires": made.requires,
        }
    )


@project.command("require")
def require_gates(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    require: Requires = None,
    gates: GatesFile = None,
    nothing: Annotated[bool, typer.Option("--nothing", help="Take all gates away.")] = False,
) -> None:
    """Say what must hold before a project freezes anything, in place of what it required; without options, show it."""
    session: Session = context.obj
    asked = _gates(require, gates)
    if nothing and asked:
        raise Invalid("gates are given and taken away at once", "leave out --nothing")
    with session.open() as room:
        made = room.require(name, asked if asked or nothing or gates else None)
    session.answer({"project": made.name, "requires": made.requires})


def _gates(texts: Sequence[str] | None, file: Path | None) -> list[str]:
    """Return the gates of options and of a TOML file with the key `require`."""
    if file is None:
        return list(texts or ())
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        raise Invalid("the file of gates cannot be read", "give a TOML file in UTF-8") from None
    listed = document.get("require")
    if (
        document.keys() != {"require"}
        or not isinstance(listed, list)
        or not all(isinstance(each, str) for each in listed)
    ):
        raise Invalid("a file of gates has one key", 'write: require = ["completeness.body_part >= 0.95"]')
    return [*(texts or ()), *listed]


def deidentify(
    context: typer.Context,
    project: Annotated[str, typer.Option(help="For which project.")],
    where: Annotated[str, typer.Option(help="Which instances; all when empty.")] = "",
) -> None:
    """Make verified de-identified copies for a project."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.deidentify(project, where=where))


@review.command("list")
def list_reviews(context: typer.Context) -> None:
    """List copies that wait for a decision."""
    session: Session = context.obj
    with session.open() as room:
        waiting = room.review()
    session.answer(
        [
            {
                "id": copy.id,
                "project": copy.project,
                "source": copy.source,
                "modality": copy.modality,
                "frames": copy.frames,
                "reasons": copy.reasons,
            }
            for copy in waiting
        ]
    )


@review.command("show")
def show_review(
    context: typer.Context,
    copy: Annotated[int, typer.Argument(metavar="ID", max=2**62)],
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an HTML page with frames of source and copy, clinical, side by side."),
    ] = None,
) -> None:
    """Show a copy with its findings."""
    session: Session = context.obj
    with session.open() as room:
        shown = room.show_review(copy)
        if pictures is not None:
            page = room.picture_review(copy)
            with _own_file(pictures) as file:
                file.write(page)
        session.answer(shown)


@review.command("decide")
def decide_review(
    context: typer.Context,
    copy: Annotated[int, typer.Argument(metavar="ID", max=2**62)],
    why: Annotated[str, typer.Option(help="What was seen.")],
    passed: Annotated[bool, typer.Option("--pass/--refuse", help="Pass it, or refuse it.")],
    series: Annotated[
        bool, typer.Option("--series", help="All of its series that wait only because no part of the body is named.")
    ] = False,
) -> None:
    """Pass or refuse a waiting copy."""
    session: Session = context.obj
    with session.open() as room:
        if series:
            session.answer(room.decide_series(copy, passed=passed, why=why))
        else:
            session.answer(room.decide_review(copy, passed=passed, why=why))


def scrub(
    context: typer.Context,
    source: Annotated[Path | None, typer.Argument(metavar="SRC", help="A folder, file or archive.")] = None,
    target: Annotated[Path | None, typer.Argument(metavar="DST", help="The folder for the clean copies.")] = None,
    profile: Annotated[
        str, typer.Option(help="What happens to which attribute: a name, or a TOML file.")
    ] = profiles.DEFAULT,
    key: Annotated[
        Path | None,
        typer.Option(help="The key of the pseudonyms; made when it is not there. Without it they differ each time."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--map", help="Write source, output, outcome and reasons of each file as CSV. Sensitive."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Make copies in so many processes.")] = 1,
    described: Annotated[
        str | None,
        typer.Option("--describe", metavar="PROFILE", help="Only say what this profile does to every attribute."),
    ] = None,
) -> int:
    """De-identify a folder, without a room. Only what the verifier passes is written."""
    session: Session = context.obj
    if described is not None:
        told = profiles.load(described)
        session.answer(describe(told), lambda: typer.echo("\n".join(in_words(told))))
        return DONE
    if source is None or target is None:
        raise Invalid("scrub needs a folder to read and one to write to", "name both, or --describe a profile")
    done = scrub_folder(source, str(target), profile=profile, key=key, workers=workers, progress=TerminalProgress())
    if table is not None:
        _write_map(table, done.rows)
    answer = plain(done)
    assert isinstance(answer, dict)
    del answer["rows"]
    session.answer(answer)
    return DONE if done.clean == done.files else FAILED


def _write_map(path: Path, rows: Sequence[Row]) -> None:
    """Write the file for its owner alone: names of files can be names of patients."""
    with _own_file(path) as file:
        writer = csv.writer(file)
        writer.writerow(("source", "output", "outcome", "reasons"))
        for row in rows:
            writer.writerow((row.source, row.output, row.outcome, "; ".join(each.code for each in row.reasons)))


def _own_file(path: Path) -> TextIO:
    """Open a new file that nobody but its owner can read, in the place of one that may be there."""
    path.unlink(missing_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="")


@reidentify.command("request")
def ask_identity(
    context: typer.Context,
    pseudonym: Annotated[str, typer.Argument(metavar="PSEUDONYM")],
    project: Annotated[str, typer.Option(help="The project that has the pseudonym.")],
    why: Annotated[str, typer.Option(help="Why the hospital has to know.")],
) -> None:
    """Ask whom a pseudonym stands for."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.ask_identity(pseudonym, project=project, why=why))


@reidentify.command("list")
def list_questions(context: typer.Context) -> None:
    """List who asked, and who agreed."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.reidentify())


@reidentify.command("show")
def show_identity(context: typer.Context, question: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Say whom the pseudonym stands for, to who asked and when two others agreed."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.show_identity(question))


def countersign(
    context: typer.Context,
    question: Annotated[str, typer.Argument(metavar="ID")],
    passed: Annotated[bool, typer.Option("--agree/--refuse", help="Agree, or turn it down.")] = True,
    why: Annotated[str, typer.Option(help="What speaks against it.")] = "",
) -> None:
    """Answer somebody else's question whom a pseudonym stands for."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.countersign(question, passed=passed, why=why))
