"""init, import, batches, quarantine, incomplete, normalize."""

from pathlib import Path
from typing import Annotated

import typer

from filmroom.canon import Json, plain
from filmroom.cli.session import DONE, FAILED, Session, flat
from filmroom.flow.batches import BatchSummary
from filmroom.ids import Zone
from filmroom.records import Case, CaseState, SeriesState
from filmroom.wiring import init as make_room

quarantine = typer.Typer(help="What was refused at the door, kept until a person decides.", no_args_is_help=True)
incomplete = typer.Typer(help="Series that lack instances or may still grow.", no_args_is_help=True)
batches = typer.Typer(help="Deliveries and their ledgers.", invoke_without_command=True)


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)
    app.command("import")(receive)
    app.add_typer(batches, name="batches")
    app.add_typer(quarantine, name="quarantine")
    app.add_typer(incomplete, name="incomplete")
    app.command("normalize")(normalize)


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="ROOM", help="A new folder.")],
    catalog: Annotated[str, typer.Option(help="SQLAlchemy URL of the catalog.")] = "sqlite:///catalog.db",
    clinical: Annotated[str, typer.Option(help="Folder or s3://BUCKET/PREFIX of the clinical zone.")] = "",
    research: Annotated[str, typer.Option(help="Folder or s3://BUCKET/PREFIX of the research zone.")] = "",
    models: Annotated[str, typer.Option(help="Folder or s3://BUCKET/PREFIX of the models zone.")] = "",
    vault: Annotated[str, typer.Option(help="Folder or s3://BUCKET/PREFIX of the vault.")] = "",
) -> None:
    """Make a room; running it again changes nothing."""
    session: Session = context.obj
    given = {Zone.CLINICAL: clinical, Zone.RESEARCH: research, Zone.MODELS: models, Zone.VAULT: vault}
    zones = {zone: location for zone, location in given.items() if location}
    session.answer({"room": str(make_room(folder, catalog=catalog, zones=zones))})


def receive(
    context: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Files, folders, zip or tar archives, or s3://BUCKET/PREFIX.")
    ],
    source: Annotated[str, typer.Option(help="Who sent it.")],
    expect: Annotated[int | None, typer.Option(help="How many objects should come.", min=0)] = None,
    manifest: Annotated[Path | None, typer.Option(help="Digests that should come, as sha256sum prints them.")] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Read and decide in so many processes; for large folders.")
    ] = 1,
) -> int:
    """Let a delivery in; every object of it is accounted for."""
    session: Session = context.obj
    with session.open() as room:
        receipt = room.receive(paths, source, expect=expect, manifest=manifest, processes=processes)
    session.answer(receipt)
    return DONE if receipt.is_complete else FAILED


@batches.callback()
def list_batches(context: typer.Context) -> None:
    """List deliveries, oldest first."""
    if context.invoked_subcommand is None:
        session: Session = context.obj
        with session.open() as room:
            session.answer([_summary(each) for each in room.batches()])


@batches.command("show")
def show_batch(context: typer.Context, batch: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show a delivery with its ledger, a row an object."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(flat(room.show_batch(batch), "batch"))


@quarantine.command("list")
def list_cases(
    context: typer.Context,
    decided: Annotated[bool, typer.Option("--all", help="Show the decided ones, too.")] = False,
) -> None:
    """List quarantine cases and conflicts that wait for a decision."""
    session: Session = context.obj
    with session.open() as room:
        session.answer([_case(each) for each in room.quarantine(state=None if decided else CaseState.OPEN)])


@quarantine.command("show")
def show_case(context: typer.Context, case: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show a case with every reason."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(_case(room.show_case(case)))


@quarantine.command("release")
def release(
    context: typer.Context,
    case: Annotated[str, typer.Argument(metavar="ID")],
    why: Annotated[str, typer.Option(help="What speaks for it.")] = "",
) -> None:
    """Let a case in, its faults on record; or make a conflict the current revision."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(_case(room.release_case(case, why=why)))


@quarantine.command("reject")
def reject(
    context: typer.Context,
    case: Annotated[str, typer.Argument(metavar="ID")],
    why: Annotated[str, typer.Option(help="What speaks against it.")],
) -> None:
    """Keep a case out for good."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(_case(room.reject_case(case, why=why)))


@incomplete.command("list")
def list_incomplete(context: typer.Context) -> None:
    """List the series that are not complete, with what they lack; one without a state may still grow."""
    session: Session = context.obj
    with session.open() as room:
        session.answer([_series(each) for each in room.incomplete()])


@incomplete.command("accept")
def accept(
    context: typer.Context,
    series: Annotated[str, typer.Argument(metavar="SERIES", help="Series Instance UID.")],
    why: Annotated[str, typer.Option(help="What speaks for it.")],
) -> None:
    """Let a series be used although it lacks instances, as long as it lacks the same."""
    session: Session = context.obj
    with session.open() as room:
        session.answer([_series(each) for each in room.accept_incomplete(series, why=why)])


def normalize(context: typer.Context) -> None:
    """Read what is cataloged anew where older normalisation tables were applied; run again, it goes on."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.normalize())


def _series(series: SeriesState) -> dict[str, Json]:
    shown = {
        "series_uid": series.series_uid,
        "study_uid": series.study_uid,
        "modality": series.modality,
        "state": series.state or "growing",
        "lacks": series.lacks,
        "judged_at": series.judged_at,
        "accepted_by": series.accepted_by,
        "accepted_at": series.accepted_at,
        "why": series.why,
    }
    fields = plain(shown)
    assert isinstance(fields, dict)
    return fields


def _summary(summary: BatchSummary) -> dict[str, Json]:
    fields = flat(summary, "batch")
    counts = fields.pop("counts")
    assert isinstance(counts, dict)
    return {**fields, **counts}


def _case(case: Case) -> dict[str, Json]:
    shown = {
        "id": case.id,
        "name": case.name,
        "digest": case.digest,
        "size": case.size_bytes,
        "batch": case.batch,
        "reasons": case.reasons,
        "state": case.state,
        "can_release": case.instance is not None,
        "decided_by": case.decided_by,
        "decided_at": case.decided_at,
        "why": case.why,
    }
    fields = plain(shown)
    assert isinstance(fields, dict)
    return fields
