"""Label sets: what may be said in them, and what a ledger of statements says as a whole.

A set is append-only. A statement supersedes the one that the same reader made about the same finding of the same target,
or with the same mark in it; what others said stays. Where readers differ, `resolve` believes the kinds in the order of
`records.LabelKind` (consensus first) and, within a kind, the latest. Nothing here touches a database.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from filmroom.ids import Digest
from filmroom.records import PRESENT, Label, LabelEntry, LabelKind, Level, Statement

REASONS = {
    "target-missing": "no target is named",
    "target-unknown": "the catalog has no such target",
    "target-ambiguous": "the catalog has more than one such target, such as a Patient ID of two patients",
    "finding-missing": "no finding is named",
    "value-missing": "the finding has no value",
    "not-a-code": "a cell is no code: at most 64 letters, digits and _.+:/<>=-, so that it can hold no sentence",
    "kind-missing": "nothing says how the statement came about; `--kind` says it for all",
    "kind-unknown": "the kind is none of consensus, radiologist, report, code and model",
    "time-wrong": "a time is not written as in ISO 8601",
    "nothing-to-withdraw": "the reader takes back what they did not say",
    "geometry-wrong": "the numbers do not make the shape, or the shape or space is not known",
    "beyond-image": "the region lies beyond the image, or the mask has another size",
    "other-size": "the image has another size in the catalog than where it was annotated",
    "no-report": "the bundle has no DiagnosticReport",
    "not-final": "the report, or the result, is not final",
    "not-in-bundle": "a report refers to a result that the bundle does not have",
    "scheme-unknown": "no coding of a concept has a system that DICOM has a designator for",
    "cells-too-many": "the row has more cells than the header",
    "unreadable": "the object cannot be read",
    "no-measurements": "the report has no measurement group of TID 1500",
    "no-source-image": "the object does not say which image of the archive it is about",
    "not-aligned": "a segmentation's frame has other pixels than the image that it was made from",
    "said-twice": "a group says the same of the same mark before",
}
"""Why what a source says becomes no label, by code. A code never changes its meaning."""

# Labels go with the images into the research zone: a code cannot carry a sentence about a patient.
_CODE = re.compile(r"[-+<>=]{0,2}[A-Za-z0-9][A-Za-z0-9_.+:/<>=-]{0,61}\Z")
_MARK = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")
_UNIT = re.compile(r"[!-~]{1,64}\Z")
_WORDS = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}\Z")

Resolved: TypeAlias = dict[tuple[Level, str], dict[str, str]]
"""For each target, its findings and their values."""

Speaker: TypeAlias = tuple[Level, str, str, str, LabelKind, str | None]
"""Of what only the latest stands: level, target, finding, reader, kind, and the mark if it is about a region."""


def problem(statement: Statement) -> str:
    """Return the code of why a statement cannot be entered whatever its target is, "" when it can."""
    if not statement.target:
        return "target-missing"
    if not statement.finding:
        return "finding-missing"
    if statement.value == "":
        return "value-missing"
    if statement.kind is None:
        return "kind-missing"
    allowed = {
        _CODE: (statement.finding, statement.value, statement.confidence),
        _MARK: (statement.region.mark if statement.region else None,),
        _UNIT: (statement.unit,),
        _WORDS: (statement.by, statement.meaning),
    }
    if not all(text is None or pattern.match(text) for pattern, texts in allowed.items() for text in texts):
        return "not-a-code"
    return ""


def label_of(statement: Statement, target: str) -> Label:
    """Return the label that a statement without a problem makes about a target of the catalog."""
    assert statement.kind is not None and statement.by is not None
    return Label(
        level=statement.level,
        target=target,
        finding=statement.finding,
        value=statement.value,
        kind=statement.kind,
        by=statement.by,
        confidence=statement.confidence,
        unit=statement.unit,
        meaning=statement.meaning,
        region=statement.region,
    )


class Ledger:
    """A set's entries, and those that are added to it."""

    def __init__(self, entries: Sequence[LabelEntry]) -> None:
        self._standing = {_speaker(entry.label): entry for entry in entries}
        self._position = entries[-1].position if entries else 0
        self.added: list[LabelEntry] = []

    @property
    def version(self) -> int:
        return self._position

    def add(self, label: Label, at: datetime, *, said_at: str | None = None, source: Digest | None = None) -> bool:
        """Add what a reader says, unless they said so before. False for what they take back and never said."""
        before = self._standing.get(_speaker(label))
        if before is None and label.value is None:
            return False
        if before is not None and before.label == label:
            return True
        self._position += 1
        entry = LabelEntry(
            position=self._position,
            label=label,
            at=at,
            supersedes=before.position if before else None,
            said_at=said_at,
            source=source,
        )
        self._standing[_speaker(label)] = entry
        self.added.append(entry)
        return True


def standing(ledger: Iterable[LabelEntry]) -> dict[Speaker, LabelEntry]:
    """Return what was neither superseded nor taken back."""
    last = {_speaker(entry.label): entry for entry in ledger}
    return {speaker: entry for speaker, entry in last.items() if entry.label.value is not None}


def resolve(ledger: Iterable[LabelEntry]) -> Resolved:
    """Return what the ledger says about each target, one value a finding.

    A mark speaks for its whole target only where it says PRESENT, and less than who speaks about the whole.
    """
    rank = {kind: place for place, kind in enumerate(LabelKind)}
    said = [entry for entry in standing(ledger).values() if not entry.label.region or entry.label.value == PRESENT]
    resolved: Resolved = {}
    # The most believed comes last and overwrites the others.
    for entry in sorted(said, key=lambda e: (-rank[e.label.kind], e.label.region is None, e.position)):
        label = entry.label
        if label.value is not None:
            resolved.setdefault((label.level, label.target), {})[label.finding] = label.value
    return resolved


def labels_of(names: Mapping[Level, str], resolved: Resolved) -> dict[str, str]:
    """Return the findings of one instance, `names` being its name at each level; the nearest level wins."""
    found: dict[str, str] = {}
    for level in Level:
        if level in names:
            found.update(resolved.get((level, names[level]), {}))
    return found


def _speaker(label: Label) -> Speaker:
    mark = label.region.mark if label.region else None
    return (label.level, label.target, label.finding, label.by, label.kind, mark)
