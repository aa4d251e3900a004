"""Label files that are tables, CSV or Parquet: a row is a statement.

One column names the target (TARGETS), `finding` and `value` say what is said of it; the rest (OPTIONAL) may be there.
What is wrong with a row is told of that row; only a header that is not understood refuses a file.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TypeAlias

from filmroom.canon import canonical
from filmroom.catalog import parquet
from filmroom.dicom import regions
from filmroom.errors import Invalid
from filmroom.ids import Digest
from filmroom.records import LabelKind, Level, Region, Shape, Space, Statement, Unmatched

TARGETS = {
    "sop_instance_uid": Level.INSTANCE,
    "series_instance_uid": Level.SERIES,
    "study_instance_uid": Level.STUDY,
    "patient_id": Level.PATIENT,
}
REQUIRED = ("finding", "value")
OPTIONAL = {
    "scheme": "coding scheme designator of the finding, as in PS3.16: SCT, RADLEX",
    "meaning": "the finding in words; never leaves the catalog",
    "unit": "UCUM unit of the value",
    "confidence": "how sure the reader is",
    "kind": "how the statement came about, where it is not `--kind`",
    "by": "who says so, where it is not `--by`",
    "said_at": "when it was said, as in ISO 8601",
    "withdrawn": "`yes` when the reader takes the statement back",
    "shape": "point, box, line, contour, circle, ellipse or mask",
    "space": "pixel, or patient (mm); pixel when empty",
    "frame": "of a multi-frame image, from 1",
    "geometry": "the region's numbers, spaces between",
    "mark": "what tells this mark of the reader from others; made from the geometry when empty",
}

Row: TypeAlias = Mapping[str, str]

_YES, _NO = ("yes", "true", "1"), ("", "no", "false", "0")


class _Flawed(Exception):
    """Why a row makes no statement, as a code of `labels.REASONS`."""


def read_csv(text: str) -> list[Statement | Unmatched]:
    """Read a CSV table, its lines counted from 1 with the header as 1.

    Raises Invalid naming the columns when the header is not understood.
    """
    try:
        table = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    except csv.Error:
        raise Invalid(
            "the label file is not CSV", "write it with commas, and quotes around cells that hold one"
        ) from None
    header = [name.strip() for name in table[0]] if table else []
    target = _target(header)
    found: list[Statement | Unmatched] = []
    for number, cells in enumerate(table[1:], start=2):
        if len(cells) > len(header):
            found.append(Unmatched(f"line {number}", "cells-too-many"))
        elif cells:
            row = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
            found.append(_statement(f"line {number}", row, target))
    return found


def read_parquet(data: bytes) -> list[Statement | Unmatched]:
    """Read a Parquet table, its rows counted from 1. Raises Invalid for what is none, and as `read_csv` does."""
    header, rows = parquet.decode(data)
    target = _target(header)
    return [
        _statement(f"row {number}", {name: _cell(cell) for name, cell in row.items()}, target)
        for number, row in enumerate(rows, start=1)
    ]


def _target(header: Sequence[str]) -> str:
    targets = [name for name in header if name in TARGETS]
    unknown = set(header) - {*TARGETS, *REQUIRED, *OPTIONAL}
    if len(targets) != 1 or not set(REQUIRED) <= set(header) or unknown or len(set(header)) < len(header):
        raise Invalid(
            "the label file's header is not understood",
            f"give one of {', '.join(TARGETS)}, and {', '.join(REQUIRED)}, and if wanted {', '.join(OPTIONAL)}",
        )
    return targets[0]


def _statement(place: str, row: Row, target: str) -> Statement | Unmatched:
    scheme, finding = row.get("scheme"), row.get("finding", "")
    try:
        return Statement(
            place=place,
            level=TARGETS[target],
            target=row.get(target, ""),
            finding=f"{scheme}:{finding}" if scheme and finding else finding,
            value=None if _is_withdrawn(row) else row.get("value", ""),
            kind=_kind(row),
            by=row.get("by") or None,
            confidence=row.get("confidence") or None,
            unit=row.get("unit") or None,
            meaning=row.get("meaning") or None,
            region=_region(row),
            said_at=_moment(row),
        )
    except _Flawed as flaw:
        return Unmatched(place, str(flaw))


def _is_withdrawn(row: Row) -> bool:
    written = row.get("withdrawn", "").lower()
    if written not in (*_YES, *_NO):
        raise _Flawed("not-a-code")
    return written in _YES


def _kind(row: Row) -> LabelKind | None:
    try:
        return LabelKind(row["kind"]) if row.get("kind") else None
    except ValueError:
        raise _Flawed("kind-unknown") from None


def _moment(row: Row) -> str | None:
    if not row.get("said_at"):
        return None
    try:
        return datetime.fromisoformat(row["said_at"]).isoformat()
    except ValueError:
        raise _Flawed("time-wrong") from None


def _region(row: Row) -> Region | None:
    parts = [row.get(name, "") for name in ("shape", "geometry", "frame", "space", "mark")]
    if not any(parts):
        return None
    shape, geometry, frame, space, mark = parts
    try:
        return regions.region(
            Shape(shape),
            regions.numbers_of(geometry),
            mark=mark or Digest.of(canonical([shape, geometry, frame, space])).hex[:16],
            space=Space(space or Space.PIXEL),
            frame=int(frame) if frame else None,
        )
    except (Invalid, ValueError):
        raise _Flawed("geometry-wrong") from None


def _cell(value: object) -> str:
    """Return a typed cell as a CSV file would have it: whole numbers without a fraction, lists with spaces."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            if math.isnan(value):
                return ""  # how a table without a notion of absence writes it
            return str(int(value)) if value.is_integer() else repr(value)
        case datetime() | date():
            return value.isoformat()
        case list():
            return " ".join(map(_cell, value))
        case _:
            return str(value).strip()
