"""Label sets: reading them from a file, and what a ledger of statements says as a whole.

A set is append-only. A statement supersedes the one that the same reader made about the same target and finding; what
others said stays. Where readers differ, `resolve` believes the kinds in the order of `records.LabelKind` (consensus
first) and, within a kind, the latest. Nothing here touches a database.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from filmroom.errors import Invalid
from filmroom.records import Label, LabelEntry, LabelKind, Level

TARGET_COLUMNS = {
    "sop_instance_uid": Level.INSTANCE,
    "series_instance_uid": Level.SERIES,
    "study_instance_uid": Level.STUDY,
    "patient_id": Level.PATIENT,
}
_OPTIONAL = ("confidence",)
# Labels go with the images into the research zone: a code cannot carry a sentence about a patient.
_CODE = re.compile(r"[-+<>=]{0,2}[A-Za-z0-9][A-Za-z0-9_.+:/<>=-]{0,61}\Z")

Resolved: TypeAlias = dict[tuple[Level, str], dict[str, str]]
"""For each target, its findings and their values."""


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a label file, its number counted from 1 with the header as 1."""

    number: int
    level: Level
    target: str
    finding: str
    value: str
    confidence: str | None


def read_csv(text: str) -> list[Line]:
    """Read label lines: one target column of TARGET_COLUMNS, `finding`, `value` and, if wanted, `confidence`.

    Raises Invalid naming the columns when the header is not like that, and the line when a cell is missing.
    """
    try:
        table = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    except csv.Error:
        raise Invalid(
            "the label file is not CSV", "write it with commas, and quotes around cells that hold one"
        ) from None
    header = [name.strip() for name in table[0]] if table else []
    targets = [name for name in header if name in TARGET_COLUMNS]
    unknown = set(header) - {*TARGET_COLUMNS, "finding", "value", *_OPTIONAL}
    if len(targets) != 1 or not {"finding", "value"} <= set(header) or unknown or len(set(header)) < len(header):
        raise Invalid(
            "the label file's header is not understood",
            f"give one of {', '.join(TARGET_COLUMNS)}, and finding, value, and if wanted confidence",
        )
    column = targets[0]
    lines: list[Line] = []
    for number, row in enumerate(table[1:], start=2):
        if not row:
            continue
        if len(row) > len(header):
            raise Invalid(f"line {number} of the label file has more cells than the header", "quote cells with commas")
        cells = {**dict.fromkeys(header, ""), **dict(zip(header, row, strict=False))}
        target, finding, value = (cells[name].strip() for name in (column, "finding", "value"))
        if not (target and finding and value):
            raise Invalid(f"line {number} of the label file lacks a target, finding or value", "fill it or drop it")
        if not (_CODE.match(finding) and _CODE.match(value)):
            raise Invalid(
                f"line {number} of the label file has a finding or value that is no code",
                "use codes or numbers of at most 64 letters, digits and _.+:/<>=- without spaces",
            )
        confidence = cells.get("confidence", "").strip() or None
        lines.append(Line(number, TARGET_COLUMNS[column], target, finding, value, confidence))
    return lines


def append(ledger: Sequence[LabelEntry], labels: Iterable[Label], at: datetime) -> list[LabelEntry]:
    """Return the entries that `labels` add to `ledger`; what a reader has said already adds nothing."""
    standing: dict[tuple[Level, str, str, str, LabelKind], LabelEntry] = {
        _speaker(entry.label): entry for entry in ledger
    }
    position = ledger[-1].position if ledger else 0
    added: list[LabelEntry] = []
    for label in labels:
        before = standing.get(_speaker(label))
        if before is not None and before.label == label:
            continue
        position += 1
        entry = LabelEntry(position=position, label=label, at=at, supersedes=before.position if before else None)
        standing[_speaker(label)] = entry
        added.append(entry)
    return added


def resolve(ledger: Iterable[LabelEntry]) -> Resolved:
    """Return what the ledger says about each target, one value a finding."""
    standing = {_speaker(entry.label): entry for entry in ledger}
    rank = {kind: place for place, kind in enumerate(LabelKind)}
    resolved: Resolved = {}
    # The most believed comes last and overwrites the others.
    for entry in sorted(standing.values(), key=lambda entry: (-rank[entry.label.kind], entry.position)):
        resolved.setdefault((entry.label.level, entry.label.target), {})[entry.label.finding] = entry.label.value
    return resolved


def labels_of(names: Mapping[Level, str], resolved: Resolved) -> dict[str, str]:
    """Return the findings of one instance, `names` being its name at each level; the nearest level wins."""
    found: dict[str, str] = {}
    for level in Level:
        if level in names:
            found.update(resolved.get((level, names[level]), {}))
    return found


def _speaker(label: Label) -> tuple[Level, str, str, str, LabelKind]:
    return (label.level, label.target, label.finding, label.by, label.kind)
