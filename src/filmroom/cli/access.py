"""request, approve, deny, grants, revoke, lease, model: who may use a dataset, and what came of it."""

from pathlib import Path
from typing import Annotated

import typer

from filmroom.canon import plain
from filmroom.cli.session import Session, flat

model = typer.Typer(help="What was trained on a snapshot.", no_args_is_help=True)

Ref = Annotated[str, typer.Argument(metavar="NAME@V")]
RequestId = Annotated[str, typer.Argument(metavar="ID")]


def add_to(app: typer.Typer) -> None:
    for command in (request, approve, deny, grants, revoke, lease):
        app.command(command.__name__)(command)
    app.add_typer(model, name="model")


def request(
    context: typer.Context,
    ref: Ref,
    purpose: Annotated[str, typer.Option(help="What the data is for, in a sentence.")],
    days: Annotated[int, typer.Option(help="For how many days.")],
) -> None:
    """Ask for the use of a snapshot."""
    session: Session = context.obj
    with session.open() as room:
        asked = room.request(ref, purpose=purpose, days=days)
    session.answer({"request": asked.id, "snapshot": asked.snapshot, "state": asked.state, "days": asked.days})


def approve(context: typer.Context, request: RequestId) -> None:
    """Grant somebody else's request."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.approve(request))


def deny(
    context: typer.Context,
    request: RequestId,
    why: Annotated[str, typer.Option(help="What speaks against it.")],
) -> None:
    """Turn a request down."""
    session: Session = context.obj
    with session.open() as room:
        denied = room.deny(request, why=why)
    session.answer({"request": denied.id, "state": denied.state, "why": denied.why})


def grants(context: typer.Context) -> None:
    """List requests and grants."""
    session: Session = context.obj
    with session.open() as room:
        session.answer([flat(access, "request") for access in room.grants()])


def revoke(context: typer.Context, grant: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """End a grant now, and every lease with it."""
    session: Session = context.obj
    with session.open() as room:
        ended = room.revoke(grant)
    session.answer({"grant": ended.id, "revoked_at": ended.revoked_at})


def lease(
    context: typer.Context,
    ref: Ref,
    minutes: Annotated[int, typer.Option(help="How long, at most.")] = 60,
    job: Annotated[str, typer.Option(help="Which job it is for.")] = "",
) -> None:
    """Mint a short-lived token from your grant."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.lease(ref, minutes=minutes, job=job))


@model.command("register")
def register(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    snapshot: Annotated[str, typer.Option(metavar="NAME@V", help="What it was trained on.")],
    artifact: Annotated[Path, typer.Option(help="The model's file.")],
    metrics: Annotated[Path | None, typer.Option(help="JSON object of names and numbers.")] = None,
    lease: Annotated[str | None, typer.Option(help="The lease it was trained under.")] = None,
) -> None:
    """Register a trained model with its snapshot."""
    session: Session = context.obj
    with session.open() as room:
        made = room.model(name, snapshot=snapshot, artifact=artifact, metrics=metrics, lease=lease)
    fields = plain(made)
    assert isinstance(fields, dict)
    session.answer({"model": fields.pop("ref"), **fields})
