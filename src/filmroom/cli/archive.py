"""query, columns, labels, facts: the catalog."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from filmroom.canon import Json, plain
from filmroom.catalog import parquet
from filmroom.cli.session import Session, show
from filmroom.dicom.attributes import BY_NAME, columns_of
from filmroom.errors import Invalid
from filmroom.flow.query import Rows
from filmroom.records import LabelEntry, LabelKind, Level

labels = typer.Typer(help="Statements about images, in append-only sets.", no_args_is_help=True)

facts = typer.Typer(help="What is known of patients beside their images.", no_args_is_help=True)

_FORMATS = ("json", "csv", "parquet")


def add_to(app: typer.Typer) -> None:
    app.command("query")(query)
    app.command("columns")(columns)
    app.add_typer(labels, name="labels")
    app.add_typer(facts, name="facts")


def query(
    context: typer.Context,
    where: Annotated[str, typer.Argument(metavar="[WHERE]", help="For example: modality = 'CT' AND kvp_kv > 100")] = "",
    level: Annotated[
        Level, typer.Option(help="What a row stands for; file is for what is no DICOM object.")
    ] = Level.SERIES,
    select: Annotated[str, typer.Option(help="Columns, separated by commas; all when empty.")] = "",
    order: Annotated[str | None, typer.Option(help="Column to order by; add ' desc' for the other way.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many rows.", min=0)] = None,
    format: Annotated[str, typer.Option(help="json, csv or parquet.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the rows to a file.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Say how many rows there are instead of giving them.")] = False,
    facets: Annotated[
        str, typer.Option(help="Columns, separated by commas: count the rows by the values of each.")
    ] = "",
    top: Annotated[int, typer.Option(help="How many values of each facet, the most frequent first.", min=1)] = 20,
) -> None:
    """Find patients, studies, series or instances, or count them."""
    session: Session = context.obj
    if count or facets:
        _refuse_with_counting(select, order, limit, format, out)
        with session.open() as room:
            session.answer(room.count(where, level=level, facets=_names(facets), top=top))
        return
    form = format or (out.suffix.removeprefix(".") if out else "json")
    if form not in _FORMATS:
        raise Invalid(f"there is no format {form!r}", f"choose {', '.join(_FORMATS)}")
    if out is None and (form == "parquet" or (form == "csv" and session.as_json)):
        raise Invalid(f"{form} cannot go to stdout here", "add --out FILE")
    names = _names(select)
    with session.open() as room:
        rows = room.query(where, level=level, select=names, order=order, limit=limit)
    heads = names or [column.name for column in columns_of(level)]
    if out is not None:
        out.write_bytes(_as_bytes(rows, heads, form))
        session.answer({"level": rows.level, "count": rows.count, "out": str(out)})
    elif form == "csv":
        sys.stdout.write(_csv(rows, heads))
    else:
        session.answer(rows)


def _names(columns: str) -> list[str]:
    return [name.strip() for name in columns.split(",") if name.strip()]


def _refuse_with_counting(*given: object) -> None:
    if any(each not in (None, "") for each in given):
        raise Invalid("a count has no rows", "leave --select, --order, --limit, --format and --out out")


def columns(context: typer.Context) -> None:
    """List the words that WHERE understands."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.columns())


@labels.command("import")
def import_labels(
    context: typer.Context,
    name: Annotated[str, typer.Option("--set", help="The label set.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="CSV, Parquet, COCO, FHIR, or DICOM SEG, RTSTRUCT or SR.")
    ] = None,
    kind: Annotated[LabelKind | None, typer.Option(help="How the statements came about, if FILE is silent.")] = None,
    by: Annotated[str | None, typer.Option(help="Who says so, if FILE is silent; else you.")] = None,
    from_room: Annotated[
        str | None, typer.Option(metavar="WHERE", help="Take SEG, RTSTRUCT and SR objects that are in the room.")
    ] = None,
) -> None:
    """Append statements to a label set."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.import_labels(file, name=name, kind=kind, by=by, from_room=from_room))


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
        entries = room.show_labels(ref)
    session.answer(entries, lambda: show([_in_short(entry) for entry in entries]))


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


@labels.command("agreement")
def labels_agreement(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="SET[@V]")],
    finding: Annotated[str, typer.Option(help="Which finding.")],
    kind: Annotated[list[LabelKind] | None, typer.Option(help="Only readers of this kind.")] = None,
) -> None:
    """Show how far readers agree: kappa over what they say, Dice over the masks that they drew."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.labels_agreement(ref, finding, kinds=kind or ()))


@labels.command("conflicts")
def labels_conflicts(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="SET[@V]")],
    finding: Annotated[str | None, typer.Option(help="Only this finding.")] = None,
    kind: Annotated[list[LabelKind] | None, typer.Option(help="Only readers of this kind.")] = None,
) -> None:
    """List what readers differ about."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.labels_conflicts(ref, finding=finding, kinds=kind or ()))


@facts.command("import")
def import_facts(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, a FHIR R4 bundle, or HL7 v2 ORU messages.")],
) -> None:
    """Keep results and codes of patients that the catalog has."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.import_facts(file))


@facts.command("show")
def show_facts(context: typer.Context, patient_id: Annotated[str, typer.Argument(metavar="PATIENT")]) -> None:
    """Show what is known of a patient: by Patient ID, or by subject."""
    session: Session = context.obj
    with session.open() as room:
        session.answer(room.facts(patient_id))


def _in_short(entry: LabelEntry) -> dict[str, Json]:
    """Return an entry for people: a region by its mark and shape, without its numbers."""
    label, region = entry.label, entry.label.region
    return {
        "position": entry.position,
        "level": label.level,
        "target": label.target,
        "finding": label.finding,
        "value": "withdrawn" if label.value is None else label.value,
        "unit": label.unit,
        "kind": label.kind,
        "by": label.by,
        "mark": region.mark if region else None,
        "shape": region.shape if region else None,
        "supersedes": entry.supersedes,
    }


def _as_bytes(rows: Rows, heads: Sequence[str], form: str) -> bytes:
    match form:
        case "csv":
            return _csv(rows, heads).encode()
        case "parquet":
            return parquet.encode([(name, BY_NAME[name].type) for name in heads], rows.rows)
        case _:
            return (json.dumps(plain(rows), ensure_ascii=False, indent=2) + "\n").encode()


def _csv(rows: Rows, heads: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.rows)
    return text.getvalue()
