"""The quality report as one HTML page: tables with bars and lines, drawn in black. No script, nothing from elsewhere.

It is well-formed XML too. Its content security policy lets nothing in but its own style sheet.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

from filmroom.canon import rfc3339
from filmroom.catalog.quality import MEASURES, NONE, RARE, SMALLEST
from filmroom.flow.quality import Quality
from filmroom.records import Figure

_STYLE = """
body { font: 15px/1.4 sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #000; background: #fff }
table { border-collapse: collapse; margin: 0.5em 0 2em } th { text-align: left; vertical-align: bottom }
th, td { padding: 0.15em 0.8em 0.15em 0; border-bottom: 1px solid #bbb } .n { text-align: right }
"""
_BAR, _LINE, _HIGH = 120, 160, 24


def page(found: Quality, monthly: Quality) -> str:
    """Return the page: every figure of `found`, and beside it how it was in the months of receipt."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    about = f"project {found.project}" if found.project else "the whole room"
    months: dict[tuple[str, str, str], list[Figure]] = {}
    for each in monthly.figures:
        months.setdefault(_key(each), []).append(each)
    sections = (
        line
        for measure, figures in groupby(found.figures, key=lambda each: each.measure)
        for line in _section(measure, list(figures), found.by is not None, months)
    )
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8"/>',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}"/>',
            f"<title>Quality of {escape(about)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>Quality of {escape(about)}</h1>",
            f"<p>As of {rfc3339(found.at)}. What fewer than {SMALLEST} patients have is added up as {RARE}.</p>",
            *sections,
            "</body></html>",
            "",
        )
    )


def _section(
    measure: str, figures: Sequence[Figure], grouped: bool, months: Mapping[tuple[str, str, str], Sequence[Figure]]
) -> Iterator[str]:
    heads = ["name", "value", *(["group"] if grouped else []), "count", "of", "share", "", "by month of receipt"]
    yield f"<h2>{measure}</h2><p>{escape(MEASURES[measure])}</p>"
    yield "<table><thead><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr></thead><tbody>"
    for each in figures:
        texts = [each.name, each.value, *([each.group or NONE] if grouped else [])]
        share = "" if each.share is None else _percent(each.share)
        cells = [
            *(f"<td>{escape(text)}</td>" for text in texts),
            *(f'<td class="n">{text}</td>' for text in (each.count, each.total, share)),
            f"<td>{'' if each.share is None else _bar(each.share)}</td>",
            f"<td>{_line(months.get(_key(each), ()))}</td>",
        ]
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table>"


def _bar(share: float) -> str:
    frame = f'<rect x="0.5" y="0.5" width="{_BAR - 1}" height="11" fill="none" stroke="#000"/>'
    return _svg(_BAR, 12, _percent(share), f'{frame}<rect width="{share * _BAR:.1f}" height="12"/>')


def _line(figures: Sequence[Figure]) -> str:
    """Draw shares from 0 to 100 % over the months, the first and the last of which are written beside it."""
    told = [(each.group, each.share) for each in figures if each.share is not None]
    if len(told) < 2:
        return ""
    step = (_LINE - 8) / (len(told) - 1)
    points = [(4 + step * place, 4 + (_HIGH - 8) * (1 - share)) for place, (_, share) in enumerate(told)]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn = _svg(
        _LINE,
        _HIGH,
        ", ".join(f"{month} {_percent(share)}" for month, share in told),
        f'<polyline points="{path}" fill="none" stroke="#000"/>{dots}',
    )
    (first, before), (last, after) = told[0], told[-1]
    return f"{first} {_percent(before)} {drawn} {last} {_percent(after)}"


def _svg(width: int, height: int, title: str, inside: str) -> str:
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}">'
    return f"{opening}<title>{escape(title)}</title>{inside}</svg>"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _key(figure: Figure) -> tuple[str, str, str]:
    return figure.measure, figure.name, figure.value
