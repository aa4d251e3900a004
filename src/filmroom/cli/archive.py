"""query, columns, labels: the catalog."""

import csv
import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from filmroom.cli.session import Session
from filmroom.errors import Invalid
from filmroom.flow.query import Rows
from filmroom.records import LabelKind, Level

labels = typer.Typer(help="Statements about images, in append-only sets.", no_args_is_help=True)

_FORMATS = ("json", "csv", "parquet")


def add_to(app: typer.Typer) -> None:
    app.command("query")(query)
    app.command("columns")(columns)
    app.add_typer(labels, name="labels")


def query(
    context: typer.Context,
    where: Annotated[str, typer.Argument(metavar="[WHERE]", help="For example: modality = 'CT' AND kvp_kv > 100")] = "",
    level: Annotated[Level, typer.Option(help="What a row stands for.")] = Level.SERIES,
    select: Annotated[str, typer.Option(help="Columns, separated by commas; all when empty.")] = "",
    order: Annotated[str | None, typer.Option(help="Column to order by; add ' desc' for the other way.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many rows.", min=0)] = None,
    format: Annotated[str, typer.Option(help="json, csv or parquet.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the rows to a file.")] = None,
) -> None:
    """Find patients, studies, series or instances."""
    session: Session = context.obj
    if format and format not in _FORMATS:
        raise Invalid(f"there is no format {format!r}", f"choose {', '.join(_FORMATS)}")
    if format == "parquet" and out is None:
        raise Invalid("Parquet does not go to a terminal", "add --out FILE")
    names = [name.strip() for name in select.split(",") if name.strip()]
    with session.open() as room:
        rows = room.query(where, level=level, select=names, order=order, limit=limit)
    if format == "parquet" and out is not None:
        _write_parquet(rows, out)
    elif format == "csv":
        text = _csv(rows)
        if out is None:
            sys.stdout.write(text)
            return
        out.write_text(text, "utf-8")
    if out is not None and format in ("csv", "parquet"):
        session.answer({"level": rows.level, "count": rows.count, "out": str(out)})
    else:
        session.answer(rows)


def columns(context: typer.Context) -> None:
    """List the words that WHERE understands."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.columns())


@labels.command("import")
def import_labels(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV: a target column, finding, value.")],
    name: Annotated[str, typer.Option("--set", help="The label set.")],
    kind: Annotated[LabelKind, typer.Option(help="How the statements came about.")],
    by: Annotated[str | None, typer.Option(help="Who says so, when it is not you.")] = None,
) -> None:
    """Append statements to a label set."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.import_labels(file, name=name, kind=kind, by=by))


@labels.command("list")
def list_labels(context: typer.Context) -> None:
    """List label sets with their newest versions."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.labels())


@labels.command("show")
def show_labels(context: typer.Context, ref: Annotated[str, typer.Argument(metavar="SET[@V]")]) -> None:
    """Show a label set's ledger."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.show_labels(ref))


@labels.command("diff")
def diff_labels(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="SET@A")],
    after: Annotated[str, typer.Argument(metavar="SET@B")],
) -> None:
    """Show what one version says differently from another."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.diff_labels(before, after))


def _csv(rows: Rows) -> str:
    text = io.StringIO()
    if rows.rows:
        writer = csv.DictWriter(text, fieldnames=list(rows.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.rows)
    return text.getvalue()


def _write_parquet(rows: Rows, out: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(list(rows.rows)), out)
