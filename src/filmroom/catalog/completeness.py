"""What a series lacks, as far as what is here can tell: a pure function of the catalog's facts.

Slices of CT, MR and PT must have neighbours at equal distances and numbers without holes; nobody can see that the first or
the last is missing, unless somebody announced how many there are. Rules are made so that what is commonly sent is not
suspected: numbers that count in tens, several images at one place, localizers, distances that differ on purpose.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from math import gcd
from statistics import median_low

from filmroom.records import Reason, SeriesFacts, Slice

_VOLUMES = frozenset({"CT", "MR", "PT"})
_FEWEST_SLICES = 4
_MOST_RANGES = 10


def lacks(facts: SeriesFacts, short: int | None = None) -> tuple[Reason, ...]:
    """Return what the series lacks, in codes and in words; nothing when it seems to be whole.

    `short` is how many objects fewer than announced its newest delivery brought, None when the newest one was not about
    this series: then what was known of the one before holds.
    """
    found = []
    if facts.modality in _VOLUMES:
        slices = [each for each in facts.slices if (each.frames or 1) == 1 and "LOCALIZER" not in each.image_type]
        found += _holes(slices)
    if facts.announced is not None and facts.announced > len(facts.slices):
        words = f"{len(facts.slices):,} of {facts.announced:,} announced instances of the series are here"
        found.append(Reason("series-short", words))
    if facts.study_announced is not None and facts.study_announced > facts.study_instances:
        words = f"{facts.study_instances:,} of {facts.study_announced:,} announced instances of the study are here"
        found.append(Reason("study-short", words))
    if facts.waiting:
        found.append(Reason("in-quarantine", f"{facts.waiting:,} instances of it wait in quarantine"))
    if short is None:
        found += [reason for reason in facts.standing if reason.code == "delivery-short"]
    elif short:
        found.append(Reason("delivery-short", f"its delivery brought {short:,} objects fewer than announced"))
    return tuple(found)


def _holes(slices: Sequence[Slice]) -> list[Reason]:
    """Return what is missing between the slices by where they lie, else by their numbers."""
    by_plane = _positions(slices)
    missing = sum(_missing_positions(positions) for positions in by_plane)
    if missing:
        return [Reason("slices-missing", f"{missing:,} slices are missing between others")]
    if len(by_plane) == 1 and _is_stack(by_plane[0], len(slices)):
        return []  # numbers cannot say otherwise where every place is taken, each once
    numbers = _missing_numbers(sorted({each.number for each in slices if each.number is not None}))
    return [Reason("numbers-missing", f"instance numbers {_ranges(numbers)} are missing")] if numbers else []


def _positions(slices: Sequence[Slice]) -> list[list[float]]:
    """Return the distinct positions in each plane, sorted."""
    places = sorted({(each.plane, each.position_mm) for each in slices if each.plane and each.position_mm is not None})
    return [[position for _, position in group] for _, group in groupby(places, key=lambda place: place[0])]


def _is_stack(positions: Sequence[float], slices: int) -> bool:
    steps = [after - before for before, after in pairwise(positions)]
    return len(positions) == slices >= _FEWEST_SLICES and max(steps) < 1.5 * min(steps)


def _missing_positions(positions: Sequence[float]) -> int:
    """Count the places between slices that are a multiple of the usual distance apart.

    Distances that differ often differ on purpose, and say nothing.
    """
    if len(positions) < _FEWEST_SLICES:
        return 0
    steps = [after - before for before, after in pairwise(positions)]
    usual = median_low(steps)
    ratios = [step / usual for step in steps]
    wide = [ratio for ratio in ratios if round(ratio) > 1]
    if len(wide) > max(1, len(steps) // 4) or any(abs(ratio - max(1, round(ratio))) > 0.1 * ratio for ratio in ratios):
        return 0
    return sum(round(ratio) - 1 for ratio in wide)


def _missing_numbers(numbers: Sequence[int]) -> list[int]:
    """Return the numbers that are missing in a sequence that counts in equal steps and has few holes."""
    step = gcd(*(after - before for before, after in pairwise(numbers)))
    if not step or (numbers[-1] - numbers[0]) // step + 1 > 2 * len(numbers):
        return []
    return sorted(set(range(numbers[0], numbers[-1] + 1, step)) - set(numbers))


def _ranges(numbers: Iterable[int]) -> str:
    """Return numbers in words: 3, 5-8, 11."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    words = ["-".join(map(str, run)) for run in runs[:_MOST_RANGES]]
    return ", ".join(words) + (" and more" if len(runs) > _MOST_RANGES else "")
