"""How far readers agree: where they do not, kappa over what they said, and Dice over what they drew.

Sources: Cohen, Educ Psychol Meas 20 (1960) 37-46; Fleiss, Psychol Bull 76 (1971) 378-382; Dice, Ecology 26 (1945) 297-302.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from filmroom.catalog.labels import standing
from filmroom.dicom.regions import mask_of
from filmroom.records import PRESENT, Label, LabelEntry, LabelKind, Level, Shape


@dataclass(frozen=True, slots=True, order=True)
class Reader:
    """Who read; one who spoke in two ways is two readers."""

    by: str
    kind: LabelKind


Item: TypeAlias = tuple[Level, str, str]
"""What is read: level, target and finding."""

Readings: TypeAlias = Mapping[Item, Mapping[Reader, str]]


class Method(StrEnum):
    COHEN = "cohen"
    FLEISS = "fleiss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kappa:
    """Agreement beyond chance: 1 is perfect, 0 what chance gives, None where everybody always said the same.

    `items` are counted; `left_out` are those that had other numbers of readings than most, and were not.
    """

    method: Method
    kappa: float | None
    observed: float
    expected: float
    items: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Dice of two readers' masks: its mean over the series that both drew in, the lowest, and that of all together."""

    first: Reader
    second: Reader
    series: int
    mean: float
    lowest: float
    together: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    by: str
    kind: LabelKind
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A finding about which readers differ, and what each says."""

    level: Level
    target: str = field(repr=False)
    finding: str
    said: tuple[Said, ...]


def readings(ledger: Iterable[LabelEntry]) -> dict[Item, dict[Reader, str]]:
    """Return what each reader says about each target as a whole; who only marked something there says PRESENT."""
    found: dict[Item, dict[Reader, str]] = {}
    said = [entry.label for entry in standing(ledger).values()]
    for label in sorted(said, key=lambda label: label.region is None):
        if label.value is not None and (label.region is None or label.value == PRESENT):
            item = (label.level, label.target, label.finding)
            found.setdefault(item, {})[Reader(label.by, label.kind)] = label.value
    return found


def conflicts(found: Readings) -> list[Conflict]:
    """Return the items that readers differ about, by level, target and finding."""
    return [
        Conflict(
            level=level,
            target=target,
            finding=finding,
            said=tuple(Said(by=reader.by, kind=reader.kind, value=value) for reader, value in sorted(said.items())),
        )
        for (level, target, finding), said in sorted(found.items())
        if len(set(said.values())) > 1
    ]


def kappa(found: Readings) -> Kappa | None:
    """Return Cohen's kappa for two readers, Fleiss' for more, over the items with most often as many readings.

    None when no item was read twice.
    """
    readers = sorted({reader for said in found.values() for reader in said})
    several = [said for said in found.values() if len(said) > 1]
    if not several:
        return None
    sizes = Counter(map(len, several))
    size = max(sizes, key=lambda count: (sizes[count], count))
    counted = [said for said in several if len(said) == size]
    if len(readers) == 2:
        pairs = [(said[readers[0]], said[readers[1]]) for said in counted]
        method, (observed, expected) = Method.COHEN, _cohen(pairs)
    else:
        method, (observed, expected) = Method.FLEISS, _fleiss([list(said.values()) for said in counted])
    return Kappa(
        method=method,
        kappa=None if expected == 1 else (observed - expected) / (1 - expected),
        observed=observed,
        expected=expected,
        items=len(counted),
        left_out=len(found) - len(counted),
    )


def overlaps(labels: Iterable[Label], series_of: Mapping[str, str]) -> list[Overlap]:
    """Return the Dice of each two readers' masks of a finding; a frame that one left empty counts against both.

    `series_of` gives the series of each instance.
    """
    masks: dict[str, dict[Reader, dict[_Frame, NDArray[np.bool_]]]] = {}
    for label in labels:
        if label.region is None or label.region.shape is not Shape.MASK or label.target not in series_of:
            continue
        frame = (label.target, label.region.frame or 1)
        drawn = masks.setdefault(series_of[label.target], {}).setdefault(Reader(label.by, label.kind), {})
        mask = mask_of(label.region)
        drawn[frame] = drawn[frame] | mask if frame in drawn else mask
    readers = sorted({reader for series in masks.values() for reader in series})
    found = []
    for first, second in combinations(readers, 2):
        counts = [_counts(each[first], each[second]) for each in masks.values() if first in each and second in each]
        if counts:
            dices = [_dice([each]) for each in counts]
            found.append(
                Overlap(
                    first=first,
                    second=second,
                    series=len(counts),
                    mean=sum(dices) / len(dices),
                    lowest=min(dices),
                    together=_dice(counts),
                )
            )
    return found


_Frame: TypeAlias = tuple[str, int]


def _counts(first: Mapping[_Frame, NDArray[np.bool_]], second: Mapping[_Frame, NDArray[np.bool_]]) -> tuple[int, int]:
    """Return how many pixels both drew, and how many one and the other drew."""
    both = sum(int((first[frame] & second[frame]).sum()) for frame in first.keys() & second.keys())
    return both, sum(int(mask.sum()) for mask in (*first.values(), *second.values()))


def _dice(counts: Sequence[tuple[int, int]]) -> float:
    both, drawn = (sum(part) for part in zip(*counts, strict=True))
    return 2 * both / drawn if drawn else 1.0


def _cohen(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Return the observed and the expected agreement of two readers."""
    count = len(pairs)
    firsts, seconds = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    observed = sum(first == second for first, second in pairs) / count
    return observed, sum(firsts[value] * seconds[value] for value in firsts) / count**2


def _fleiss(said: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Return the observed and the expected agreement where every item has equally many readings, at least two."""
    size = len(said[0])
    agreeing = sum(sum(count * (count - 1) for count in Counter(values).values()) for values in said)
    shares = Counter(value for values in said for value in values)
    total = len(said) * size
    return agreeing / (total * (size - 1)), sum(count**2 for count in shares.values()) / total**2
