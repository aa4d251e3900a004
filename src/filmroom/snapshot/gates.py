"""Gates: what a project requires of a cohort's quality before it is frozen. Pure.

A gate is `MEASURE >= SHARE`. A measure is one of `MEASURES`, with a column where it is about one. It is taken over exactly
what would be frozen, except `clean`, which is about everything that was asked for. Every measure rises with quality, so
there is only one comparison; where a measure is about nothing in the cohort, the gate holds.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from filmroom.catalog.labels import standing
from filmroom.catalog.quality import ASKED, PLAUSIBLE, SPELLED
from filmroom.dicom.attributes import BY_NAME
from filmroom.errors import Invalid
from filmroom.records import Counted, LabelEntry, Level, Value

COLUMNS_OF: Mapping[str, Mapping[str, object]] = {
    "completeness": ASKED,
    "plausible": PLAUSIBLE,
    "understood": SPELLED,
}
"""The measures that are about a column, with the columns that they can be about."""

MEASURES: Mapping[str, str] = {
    "completeness": "series, or images for columns of images, with a value, of those whose modality can have one",
    "plausible": "series whose number lies in its plausible range, of those that have one",
    "understood": "series whose received word the tables know, of those that have one",
    "clean": "images that are frozen, of those that satisfy the condition",
    "labelled": "images that have at least one label",
    "agreement": "findings of a target about which no two people differ, in the label sets that are frozen with it",
}

_GATE = re.compile(r"\s*([a-z]+)(?:\.([a-z_0-9]+))?\s*>=\s*(0(?:\.[0-9]{1,6})?|1(?:\.0{1,6})?)\s*\Z", re.ASCII)
_ALWAYS = ("series_uid", "modality")


@dataclass(frozen=True, slots=True)
class Gate:
    measure: str
    column: str
    share: str

    def __str__(self) -> str:
        return f"{self.measure}{'.' if self.column else ''}{self.column} >= {self.share}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What a gate found: so many of so many."""

    gate: str
    count: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What gates are about: a row an image with the columns of `needed`, what was left out, and who said what.

    `labelled` is how many of the images have a label; `entries` are the frozen label sets' ledgers, up to their versions.
    """

    rows: Sequence[Mapping[str, Value]]
    left_out: int
    labelled: int
    entries: Sequence[Sequence[LabelEntry]]
    read: Callable[[str, str], str | None]


def parse_gate(text: str) -> Gate:
    """Read a gate. Raises Invalid saying what is wrong with it."""
    found = _GATE.match(text)
    if found is None:
        raise Invalid("a gate cannot be read", "write for example: completeness.body_part >= 0.95")
    measure, column, share = found[1], found[2] or "", found[3]
    if measure not in MEASURES:
        raise Invalid(f"there is no measure {measure} for a gate", f"choose {', '.join(MEASURES)}")
    columns = COLUMNS_OF.get(measure, {"": None})
    if column not in columns:
        hint = (
            f"choose {', '.join(f'{measure}.{each}' for each in columns)}"
            if measure in COLUMNS_OF
            else f"write {measure}"
        )
        raise Invalid(f"{measure} cannot be asked of {column or 'no column'}", hint)
    return Gate(measure, column, share)


def needed(gates: Iterable[Gate]) -> list[str]:
    """Return the columns that the facts must have."""
    columns = [SPELLED[each.column] if each.measure == "understood" else each.column for each in gates]
    return list(dict.fromkeys((*_ALWAYS, *filter(None, columns))))


def judge(gate: Gate, facts: Facts) -> Passage:
    """Measure a cohort. Whether the gate holds is what `holds` says."""
    match gate.measure:
        case "completeness":
            counted = _share(facts.rows, ASKED[gate.column])
        case "plausible":
            counted = _share(facts.rows, PLAUSIBLE[gate.column])
        case "understood":
            words = [
                str(row[SPELLED[gate.column]]) for row in _series(facts.rows) if row[SPELLED[gate.column]] is not None
            ]
            counted = sum(facts.read(gate.column, word) is not None for word in words), len(words)
        case "clean":
            counted = len(facts.rows), len(facts.rows) + facts.left_out
        case "labelled":
            counted = facts.labelled, len(facts.rows)
        case _:
            counted = _agreement(facts.entries)
    return Passage(gate=str(gate), count=counted[0], total=counted[1])


def holds(gate: Gate, passage: Passage) -> bool:
    return passage.count >= Fraction(gate.share) * passage.total


def _share(rows: Sequence[Mapping[str, Value]], counted: Counted) -> tuple[int, int]:
    things = rows if BY_NAME[counted.column].level is Level.INSTANCE else _series(rows)
    values = [row[counted.column] for row in things if not counted.modalities or row["modality"] in counted.modalities]
    there = [value for value in values if value is not None]
    if counted.bounds is None:
        return len(there), len(values)
    low, high = counted.bounds
    return sum(low <= float(value) <= high for value in there), len(there)


def _series(rows: Sequence[Mapping[str, Value]]) -> list[Mapping[str, Value]]:
    return list({row["series_uid"]: row for row in rows}.values())


def _agreement(ledgers: Sequence[Sequence[LabelEntry]]) -> tuple[int, int]:
    agreed = total = 0
    for ledger in ledgers:
        said: dict[tuple[Level, str, str], tuple[set[str], set[str]]] = {}
        for entry in standing(ledger).values():
            label = entry.label
            if label.region is None and label.value is not None:
                values, people = said.setdefault((label.level, label.target, label.finding), (set(), set()))
                values.add(label.value)
                people.add(label.by)
        total += len(said)
        agreed += sum(len(values) == 1 or len(people) == 1 for values, people in said.values())
    return agreed, total
