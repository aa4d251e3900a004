"""Facts about patients in tables: which columns, what may be told, and why something is not taken.

A fact is a code and a value at a time. Text is never one: what a report says in words stays where it is.
"""

import csv
import io
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from filmroom.canon import canonical
from filmroom.errors import Invalid
from filmroom.ids import Digest
from filmroom.records import PRESENT, FactKind, Told, Unmatched

COLUMNS = {
    "patient_id": "Patient ID as the archive has it",
    "issuer": "who issued the Patient ID, as the archive has it",
    "kind": "`result` or `code`; `result` when empty",
    "scheme": "coding scheme designator of the code: LN, I10C",
    "code": "what was measured or found",
    "value": "the result; `present` when empty and the kind is `code`",
    "unit": "UCUM unit of the value",
    "meaning": "the code in words",
    "at": "when it held, as in ISO 8601",
    "name": "what the source calls this fact, so that it can be corrected; made from the row when empty",
    "withdrawn": "`yes` when the source takes it back",
}
REQUIRED = frozenset({"patient_id", "code", "at"})

REASONS = {
    "patient-missing": "no Patient ID is given",
    "patient-unknown": "the catalog has no such patient",
    "patient-ambiguous": "more than one patient has this Patient ID; name its issuer",
    "code-missing": "no code is given, or none of a known scheme",
    "value-missing": "there is no value",
    "not-a-code": "a cell is no code: at most 64 letters, digits and _.+:/<>=-",
    "time-missing": "nothing says when it held, or not as in ISO 8601",
    "kind-unknown": "the kind is neither result nor code",
    "text-not-kept": "a value in words is not taken",
    "not-final": "the result is not final",
    "message-unknown": "the message is no ORU",
    "nothing-to-withdraw": "there is no such fact to take back",
    "told-twice": "the source has another value for this code at this time, and names neither",
    "cells-too-many": "the row has more cells than the header",
}
"""Why a fact is not taken, by code. A code never changes its meaning."""

_CODE = re.compile(r"[-+<>=]{0,2}[A-Za-z0-9][A-Za-z0-9_.+:/<>=-]{0,61}\Z")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}\Z")

Row: TypeAlias = Mapping[str, str]


def problem(told: Told) -> str:
    """Return the code of why a fact cannot be taken whosever it is, "" when it can."""
    if not told.patient_id:
        return "patient-missing"
    if not told.code:
        return "code-missing"
    if told.value == "":
        return "value-missing"
    if not moment(told.at):
        return "time-missing"
    codes = (told.code, told.value)
    words = (told.meaning, told.unit)
    is_plain = all(each is None or _CODE.match(each) for each in codes)
    return "" if is_plain and all(each is None or _PRINTABLE.match(each) for each in words) else "not-a-code"


def moment(written: str) -> str:
    """Return a time in ISO 8601 as Python writes it, "" for what is none."""
    try:
        return datetime.fromisoformat(written).isoformat()
    except ValueError:
        return ""


def name_of(told: Told) -> str:
    """Return what a fact is called that its source has no name for: the same for the same code at the same time."""
    return told.name or Digest.of(canonical([told.kind, told.code, moment(told.at)])).hex[:16]


def read_csv(text: str) -> list[Told | Unmatched]:
    """Read a table, its lines counted from 1 with the header as 1. Raises Invalid for a header with other columns."""
    try:
        table = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    except csv.Error:
        raise Invalid(
            "the file of facts is not CSV", "write it with commas, and quotes around cells with one"
        ) from None
    header = [name.strip() for name in table[0]] if table else []
    if not set(header) >= REQUIRED or set(header) - set(COLUMNS) or len(set(header)) < len(header):
        raise Invalid("the header of the file of facts is not understood", f"give of {', '.join(COLUMNS)}")
    found: list[Told | Unmatched] = []
    for number, cells in enumerate(table[1:], start=2):
        if len(cells) > len(header):
            found.append(Unmatched(f"line {number}", "cells-too-many"))
        elif cells:
            row = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
            found.append(_told(f"line {number}", row))
    return found


def _told(place: str, row: Row) -> Told | Unmatched:
    try:
        kind = FactKind(row.get("kind") or FactKind.RESULT)
    except ValueError:
        return Unmatched(place, "kind-unknown")
    withdrawn = row.get("withdrawn", "").lower()
    if withdrawn not in ("", "no", "yes"):
        return Unmatched(place, "not-a-code")
    scheme, code = row.get("scheme"), row.get("code", "")
    value = row.get("value") or (PRESENT if kind is FactKind.CODE else "")
    return Told(
        place=place,
        patient_id=row.get("patient_id", ""),
        issuer=row.get("issuer") or None,
        name=row.get("name", ""),
        kind=kind,
        code=f"{scheme}:{code}" if scheme and code else code,
        value=None if withdrawn == "yes" else value,
        unit=row.get("unit") or None,
        meaning=row.get("meaning") or None,
        at=row.get("at", ""),
    )
