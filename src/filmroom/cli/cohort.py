"""cohort: who is in a dataset, and who drops out and why."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from filmroom.canon import Json
from filmroom.cli.session import Session, flat
from filmroom.errors import Invalid
from filmroom.records import Cohort, Criteria
from filmroom.snapshot import cohort as definitions
from filmroom.snapshot.cohort import Flow
from filmroom.snapshot.figure import FigureFormat, as_mermaid, as_svg, as_text

cohort = typer.Typer(help="Who is in a dataset, and who drops out and why.", no_args_is_help=True)

Texts = list[str] | None


def add_to(app: typer.Typer) -> None:
    app.add_typer(cohort, name="cohort")


@cohort.command("define")
def define(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The definition (TOML), or use the options.")
    ] = None,
    project: Annotated[str, typer.Option(help="Whose clean copies.")] = "",
    where: Annotated[str, typer.Option(help="Which instances; all when empty.")] = "",
    exclude: Annotated[Texts, typer.Option(metavar="REASON: WHERE", help="Who leaves again, in this order.")] = None,
    require: Annotated[
        Texts, typer.Option(metavar="SET[@V].FINDING[:KIND]", help="A label that must be there.")
    ] = None,
    not_in: Annotated[
        Texts, typer.Option(metavar="NAME@V[:PART]", help="A snapshot of which no patient may be.")
    ] = None,
    labels: Annotated[Texts, typer.Option(metavar="SET[@V]", help="Label sets that a snapshot takes along.")] = None,
) -> None:
    """Define a cohort, or its next version."""
    session: Session = context.obj
    given = Criteria(
        where=where,
        project=project,
        exclude=tuple(map(definitions.exclusion, exclude or ())),
        require=tuple(require or ()),
        not_in=tuple(not_in or ()),
        labels=tuple(labels or ()),
    )
    criteria = given
    if file is not None:
        if replace(given, project="") != Criteria(project=""):
            raise Invalid("a cohort comes from a file or from options", "write it all into the file")
        criteria = definitions.parse(_text(file))
        criteria = replace(criteria, project=project or criteria.project)
    with session.open() as room:
        session.answer(_shown(room.cohort(name, criteria)))


@cohort.command("list")
def list_cohorts(context: typer.Context) -> None:
    """List every version of every cohort."""
    session: Session = context.obj
    with session.open() as room:
        found = room.cohorts()
    names = ("cohort", "digest", "project", "defined_at", "defined_by")
    session.answer([{name: shown[name] for name in names} for shown in map(_shown, found)])


@cohort.command("show")
def show(context: typer.Context, ref: Annotated[str, typer.Argument(metavar="NAME[@V]")]) -> None:
    """Show a cohort's definition."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(_shown(room.show_cohort(ref)))


@cohort.command("flow")
def flow(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="NAME[@V]")],
    form: Annotated[FigureFormat, typer.Option("--format", help="How it is drawn.")] = FigureFormat.TEXT,
    out: Annotated[Path | None, typer.Option(help="Write it here.")] = None,
) -> None:
    """Count who would drop out at which step if the cohort was frozen now, as in a CONSORT figure."""
    session: Session = context.obj
    with session.open() as room:
        draw(session, room.cohort_flow(ref), form, out)


def draw(session: Session, flow: Flow, form: FigureFormat, out: Path | None) -> None:
    """Answer with a flow in one of its forms, or write it to a file."""
    makers = {FigureFormat.TEXT: as_text, FigureFormat.MERMAID: as_mermaid, FigureFormat.SVG: as_svg}
    if form not in makers or (session.as_json and out is None):
        session.answer(flow)
        return
    text = makers[form](flow)
    if out is None:
        typer.echo(text, nl=False)
        return
    out.write_text(text, "utf-8")
    session.answer({"out": str(out), "patients": flow.end.patients, "instances": flow.end.instances})


def _shown(cohort: Cohort) -> dict[str, Json]:
    fields = flat(cohort, "criteria")
    return {"cohort": fields.pop("ref"), "digest": fields.pop("digest"), **fields}


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise Invalid("the cohort's file cannot be read", "give a TOML file in UTF-8") from None
