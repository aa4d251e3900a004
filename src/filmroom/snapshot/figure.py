"""A cohort's flow diagram, as in CONSORT (Schulz et al., BMJ 2010;340:c332): as text, for Mermaid, and as a picture."""

from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from html import escape
from textwrap import wrap

from filmroom.snapshot.cohort import END, START, Counts, Flow

_WIDTH, _GAP, _LINE, _PAD = 300, 36, 17, 10
"""Of a box, between boxes, of a line of text and around text, in pixels."""

_LETTERS = 38
"""How many fit into a box's line."""

_FONT = 'font-family="sans-serif" font-size="13"'
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z"/></marker></defs>'
)


class FigureFormat(StrEnum):
    JSON = "json"
    TEXT = "text"
    MERMAID = "mermaid"
    SVG = "svg"


def as_text(flow: Flow) -> str:
    """Return a table: a line a step, with how many were left out, and what is left at the end."""
    levels = [each.name for each in fields(Counts)]
    lines: list[tuple[str, Counts]] = [(START, flow.start)]
    lines += [(f"  without: {step.reason}", step.excluded) for step in flow.steps]
    lines += [(END, flow.end), *((f"  {name}", counts) for name, counts in flow.parts.items())]
    width = max(len(words) for words, _ in lines)
    table = ["".join([" " * width, *(f"{name:>11}" for name in levels)])]
    for words, counts in lines:
        table.append("".join([f"{words:<{width}}", *(f"{getattr(counts, name):>11,}" for name in levels)]))
    return "\n".join(table) + "\n"


def as_mermaid(flow: Flow) -> str:
    """Return a Mermaid flowchart: from above to below who is left, and at the side who is not."""
    lines = ["flowchart TD", _node("left0", START, flow.start)]
    last = len(flow.steps)
    for at, step in enumerate(flow.steps, start=1):
        lines.append(_node(f"out{at}", step.reason, step.excluded))
        lines.append(_node(f"left{at}", END if at == last else "left", step.left))
        lines += [f"    left{at - 1} --> out{at}", f"    left{at - 1} --> left{at}"]
    for at, (name, counts) in enumerate(flow.parts.items(), start=1):
        lines += [_node(f"part{at}", name, counts), f"    left{last} --> part{at}"]
    return "\n".join(lines) + "\n"


def as_svg(flow: Flow) -> str:
    """Return a picture that needs nothing beside it, neither a font nor a style."""
    shapes: list[str] = []
    y = _PAD
    bottom = _box(shapes, _PAD, y, START, flow.start)
    middle, aside = _PAD + _WIDTH // 2, _PAD + _WIDTH + _GAP
    for at, step in enumerate(flow.steps, start=1):
        out_y = bottom + _GAP // 2
        out_bottom = _box(shapes, aside, out_y, step.reason, step.excluded)
        y = out_bottom + _GAP // 2
        across = (out_y + out_bottom) // 2
        shapes += [_arrow(middle, bottom, middle, y), _arrow(middle, across, aside, across)]
        bottom = _box(shapes, _PAD, y, END if at == len(flow.steps) else "left", step.left)
    parts_y, lowest = bottom + _GAP, bottom
    for at, (name, counts) in enumerate(flow.parts.items()):
        x = _PAD + at * (_WIDTH + _GAP)
        lowest = max(lowest, _box(shapes, x, parts_y, name, counts))
        shapes.append(_arrow(middle, bottom, x + _WIDTH // 2, parts_y))
    columns = max(2, len(flow.parts))
    width, height = _PAD * 2 + columns * _WIDTH + (columns - 1) * _GAP, lowest + _PAD
    paper = f'width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {paper} viewBox="0 0 {width} {height}" {_FONT}>'
    return "\n".join([head, _TIP, f'<rect {paper} fill="#fff"/>', *shapes, "</svg>\n"])


def _numbers(counts: Counts) -> Iterator[str]:
    yield f"{counts.patients:,} patients, {counts.studies:,} studies"
    yield f"{counts.series:,} series, {counts.instances:,} instances"


def _node(name: str, words: str, counts: Counts) -> str:
    for sign, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        words = words.replace(sign, code)
    lines = "<br/>".join([words, *_numbers(counts)])
    return f'    {name}["{lines}"]'


def _box(shapes: list[str], x: int, y: int, words: str, counts: Counts) -> int:
    """Draw a box and return where it ends."""
    lines = [*wrap(words, _LETTERS), *_numbers(counts)]
    height = len(lines) * _LINE + _PAD
    shapes.append(f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{height}" fill="#fff" stroke="#333"/>')
    for at, line in enumerate(lines, start=1):
        shapes.append(f'<text x="{x + _PAD}" y="{y + at * _LINE}">{escape(line)}</text>')
    return y + height


def _arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path d="M{x1} {y1} {x2} {y2}" stroke="#333" marker-end="url(#tip)"/>'
