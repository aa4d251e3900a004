"""What every command has in common: which room, as whom, how to answer, and what an error looks like.

With `--json` exactly one document goes to stdout. Everything else - progress, warnings, errors - goes to stderr.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from filmroom.canon import Json, plain
from filmroom.errors import Denied, FilmroomError, Invalid, Unavailable
from filmroom.wiring import Room, open_room

DONE, FAILED, USAGE, NOT_PERMITTED, UNAVAILABLE = range(5)
INTERRUPTED = 130
_WIDEST = 10_000


def exit_code(error: FilmroomError) -> int:
    """Return the exit status of an error: a table that users' scripts rely on."""
    match error:
        case Invalid():
            return USAGE
        case Denied():
            return NOT_PERMITTED
        case Unavailable():
            return UNAVAILABLE
        case _:
            return FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The global options of one run."""

    room: Path
    actor: str | None
    as_json: bool
    debug: bool

    @contextmanager
    def open(self) -> Iterator[Room]:
        with open_room(self.room, actor=self.actor, progress=TerminalProgress()) as room:
            yield room

    def answer(self, value: object, human: Callable[[], None] | None = None) -> None:
        """Print a result: as one JSON document, or for people with `human` or as what it is."""
        if self.as_json:
            sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")
        elif human is not None:
            human()
        else:
            show(plain(value))


class TerminalProgress:
    """Progress bars on stderr, and only where somebody watches."""

    @contextmanager
    def task(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        with Bars(*columns, *times, console=console, disable=not console.is_terminal, transient=True) as bars:
            task = bars.add_task(label, total=total)
            yield lambda done: bars.advance(task, done)


def show(value: Json) -> None:
    """Print a JSON value for people: a list of objects as a table, an object as lines."""
    console = Console(soft_wrap=True)
    match value:
        case [dict(), *_]:
            _print_rows(console, value)
        case []:
            console.print("none")
        case list():
            for item in value:
                console.print(_cell(item), markup=False, highlight=False)
        case dict():
            width = max((len(key) for key in value), default=0)
            for key, item in value.items():
                if isinstance(item, list) and item and isinstance(item[0], dict):
                    console.print(f"{key}:")
                    _print_rows(console, item)
                else:
                    console.print(f"{key:<{width}}  {_cell(item)}", markup=False, highlight=False)
        case _:
            console.print(_cell(value), markup=False)


def _print_rows(console: Console, rows: Sequence[Json]) -> None:
    """Print objects as a table, or one below the other where a table would be wider than the terminal."""
    table = _table(rows)
    width = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    if width <= console.width or not console.is_terminal:
        Console(width=max(width, console.width)).print(table)
        return
    for row in rows:
        show(row)
        console.print()


def _table(rows: Sequence[Json]) -> Table:
    objects = [row for row in rows if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in objects for name in row))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        numbers = all(isinstance(row.get(name), int | float) for row in objects)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in objects:
        table.add_row(*(Text(_cell(row.get(name))) for name in names))
    return table


def _cell(value: Json) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case list():
            return ", ".join(_cell(item) for item in value)
        case dict():
            return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
        case _:
            return str(value)


def flat(outer: object, inner: str) -> dict[str, Json]:
    """Return a record's JSON with one of its records laid out flat in front."""
    fields = plain(outer)
    assert isinstance(fields, dict)
    first = fields.pop(inner)
    assert isinstance(first, Mapping)
    return {**first, **fields}
