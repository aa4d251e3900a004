"""freeze, snapshots, show, diff, build, verify, reproduce: datasets and their proofs."""

from pathlib import Path
from typing import Annotated

import typer

from filmroom.cli.cohort import draw
from filmroom.cli.session import DONE, FAILED, Session
from filmroom.errors import Invalid, Leaking
from filmroom.flow.verify import Verdict
from filmroom.snapshot.cohort import flow_from
from filmroom.snapshot.figure import FigureFormat

Ref = Annotated[str, typer.Argument(metavar="NAME@V")]


def add_to(app: typer.Typer) -> None:
    for command in (freeze, snapshots, show, diff, build, verify, reproduce):
        app.command(command.__name__)(command)


def freeze(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The cohort's when left out.")] = "",
    project: Annotated[str, typer.Option(help="Whose clean copies, without a cohort.")] = "",
    where: Annotated[str, typer.Option(help="Which instances, without a cohort; all when empty.")] = "",
    cohort: Annotated[str, typer.Option(metavar="NAME[@V]", help="Whom: see filmroom cohort.")] = "",
    labels: Annotated[list[str] | None, typer.Option(metavar="SET[@V]", help="Label sets, later ones first.")] = None,
    split: Annotated[str, typer.Option(help="For example train=0.8,val=0.1,test=0.1; by patient.")] = "",
    stratify: Annotated[
        str, typer.Option(metavar="COLUMN,label:SET.FINDING,...", help="Whose values all parts have alike.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Which of the possible splits.")] = 0,
    allow_leak: Annotated[
        str, typer.Option(metavar="REASON", help="Why parts may share people, pixels or earlier test data.")
    ] = "",
) -> None:
    """Freeze clean instances, labels and a split into a signed snapshot."""
    session: Session = context.obj
    if not (name or cohort):
        raise typer.BadParameter("what is the snapshot to be called? give NAME, or --cohort")
    with session.open() as room:
        try:
            frozen = room.freeze(
                name,
                project=project,
                where=where,
                cohort=cohort,
                labels=labels or (),
                split=split,
                stratify=[each.strip() for each in stratify.split(",") if each.strip()],
                seed=seed,
                allow_leak=allow_leak,
            )
        except Leaking as error:
            session.answer({"leaks": error.leaks})
            raise
    session.answer(frozen)


def snapshots(context: typer.Context) -> None:
    """List snapshots."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.snapshots())


def show(
    context: typer.Context,
    ref: Ref,
    flow: Annotated[FigureFormat | None, typer.Option(help="Draw who dropped out of its cohort, and why.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the drawing here.")] = None,
) -> None:
    """Show a snapshot's root document and rows, or draw who is in it and who is not."""
    session: Session = context.obj
    with session.open() as room:
        found = room.show(ref)
    if flow is not None:
        draw(session, flow_from(found.document["flow"]), flow, out)
        return
    session.answer({"id": found.snapshot.id, **found.document, "members": found.rows})


def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A")],
    after: Annotated[str, typer.Argument(metavar="B")],
) -> None:
    """Compare two snapshots."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.diff(before, after))


def build(
    context: typer.Context,
    ref: Ref,
    recipe: Annotated[Path, typer.Option(help="A recipe file (TOML).")],
) -> int:
    """Turn a snapshot into shards by a recipe."""
    session: Session = context.obj
    try:
        text = recipe.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise Invalid("the recipe cannot be read", "give a TOML file in UTF-8") from None
    with session.open() as room:
        built = room.build(ref, recipe=text)
    session.answer(built)
    return FAILED if built.failures else DONE


def verify(context: typer.Context, ref: Ref) -> int:
    """Check a snapshot against its id, signature and root, and every copy and shard of it."""
    session: Session = context.obj
    with session.open() as room:
        return _judged(session, room.verify(ref))


def reproduce(context: typer.Context, ref: Ref) -> int:
    """Make a snapshot again from the clinical zone, and compare."""
    session: Session = context.obj
    with session.open() as room:
        return _judged(session, room.reproduce(ref))


def _judged(session: Session, verdict: Verdict) -> int:
    session.answer(verdict)
    return DONE if verdict.ok else FAILED
