"""quality, export-catalog: how good the catalog is, and the whole of it as tables."""

from pathlib import Path
from typing import Annotated

import typer

from filmroom.canon import Json, plain
from filmroom.catalog import parquet
from filmroom.catalog.quality import FIGURE, MEASURES
from filmroom.cli.quality_page import page
from filmroom.cli.session import Session, show
from filmroom.flow.quality import Quality
from filmroom.records import By, Figure, PartitionBy


def add_to(app: typer.Typer) -> None:
    app.command("quality")(quality)
    app.command("export-catalog")(export_catalog)


def quality(
    context: typer.Context,
    project: Annotated[str | None, typer.Option(help="Only what this project has copies of.")] = None,
    by: Annotated[By | None, typer.Option(help="Tell apart by site, source, or month of receipt.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures to a Parquet file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots, and with the figures over time.")] = None,
) -> None:
    """Say how complete, consistent and plausible the catalog is."""
    session: Session = context.obj
    with session.open() as room:
        found = room.quality(project=project, by=by)
        if html is not None:
            monthly = found if by is By.MONTH else room.quality(project=project, by=By.MONTH)
            html.write_text(page(found, monthly), "utf-8")
    if out is not None:
        rows = [{each: getattr(figure, each) for each, _ in FIGURE} for figure in found.figures]
        out.write_bytes(parquet.encode(FIGURE, rows))
    written = [str(path) for path in (out, html) if path is not None]
    if written:
        session.answer({"figures": len(found.figures), "written": written})
    else:
        session.answer(found, lambda: _print(found))


def export_catalog(
    context: typer.Context,
    out: Annotated[str, typer.Argument(metavar="OUT", help="A folder, or s3://BUCKET/PREFIX.")],
    project: Annotated[str | None, typer.Option(help="The de-identified form, of this project's clean copies.")] = None,
    by: Annotated[
        PartitionBy | None, typer.Option(help="What partitions are by: month of receipt unless said otherwise.")
    ] = None,
) -> None:
    """Write catalog, labels and findings as partitioned Parquet; run again, it writes what changed."""
    session: Session = context.obj
    with session.open() as room:
        done = room.export_catalog(out, project=project, by=by)
    answer = plain(done)
    assert isinstance(answer, dict)
    session.answer({"out": out, **answer})


def _print(found: Quality) -> None:
    """Print a table a measure."""
    for measure, words in MEASURES.items():
        rows: list[Json] = [_row(each, found.by) for each in found.figures if each.measure == measure]
        if rows:
            typer.echo(f"{measure}: {words}")
            show(rows)
            typer.echo()


def _row(figure: Figure, by: By | None) -> dict[str, Json]:
    return {
        "name": figure.name,
        "value": figure.value,
        **({} if by is None else {str(by): figure.group}),
        "count": figure.count,
        "total": figure.total,
        "share": "" if figure.share is None else f"{figure.share:.1%}",
    }
