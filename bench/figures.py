"""One line of the table, and how to time something fairly."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`value` in `unit`; `ratio` is how many times the figure of `against`; `target` is what the ratio should reach."""

    what: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    target: float | None = None
    note: str = ""


def compared(what: str, value: float, unit: str, other: Figure, target: float | None = None) -> Figure:
    """Return a figure whose ratio is to another one of the same run."""
    ratio = value / other.value if other.value else None
    return Figure(what=what, value=value, unit=unit, against=other.what, ratio=ratio, target=target)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_rate(count: int, work: Callable[[], object], rounds: int = 3) -> float:
    """Return the median of `count` per second over some rounds, after one that is not counted."""
    work()
    return statistics.median(count / seconds(work) for _ in range(rounds))


def print_table(title: str, figures: Iterable[Figure]) -> None:
    print(f"\n{title}")
    for figure in figures:
        ratio = f"{figure.ratio:6.2f} x {figure.against}" if figure.ratio is not None else ""
        target = f" (target {figure.target:g})" if figure.target is not None else ""
        print(f"  {figure.what:<44} {figure.value:>12,.1f} {figure.unit:<12} {ratio}{target} {figure.note}".rstrip())
