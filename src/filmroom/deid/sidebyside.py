"""A page on which a person compares a copy that waits with its source: the same frames of both, side by side.

What was blanked is tinted in the source's picture; what the verifier's reader still reads is framed in the copy's. The page shows
the source, so it is as clinical as that. It is one file that loads nothing.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from filmroom.deid import glance, proofread
from filmroom.dicom import pixels, render
from filmroom.dicom.pixels import Frame
from filmroom.ports import TextReader
from filmroom.records import Copy, Line

_MOST_EDGE = 0.02
_TINT, _SHARE = np.array([255, 0, 0], np.float32), np.float32(0.35)
_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<style>body{{font:15px sans-serif;margin:1em;background:#222;color:#eee}}.clinical{{background:#a00;padding:.6em}}
.pair{{display:flex;flex-wrap:wrap;gap:1em}}figure{{margin:0;flex:1 1 20em}}svg{{width:100%;height:auto;background:#000}}
rect{{fill:none;stroke:#fc0;stroke-width:2;vector-effect:non-scaling-stroke}}</style></head><body>
<p class="clinical"><strong>CLINICAL.</strong> This page shows a patient as the archive has them. It stays where the archive is, is for
whoever decides about this copy, and is deleted after the decision.</p>
<h1>{title}</h1>
"""


def page(copy: Copy, before: Dataset, after: Dataset, numbers: Sequence[int], reader: TextReader | None) -> str:
    """Return the page, HTML, with these frames. Raises Unreadable for what cannot be decoded."""
    parts = [_HEAD.format(title=escape(f"Copy {copy.id} of project {copy.project}")), "<ul>"]
    parts += [f"<li>{escape(f'{each.severity}: {each.code} {each.place}')}</li>" for each in copy.findings]
    parts += ["</ul>", "" if reader else "<p>There is no reader here, so no text is framed.</p>"]
    count = pixels.frame_count(after)
    for number in numbers:
        parts.append(f"<h2>Frame {number + 1} of {count}</h2>")
        old, new = (next(pixels.frames(each, range(number, number + 1))) for each in (before, after))
        read = proofread.lines(new, reader) if reader else []
        parts += _pairs(old, new, read)
    return "\n".join([*parts, "</body></html>", ""])


def numbers(copy: Dataset) -> list[int]:
    """Return which frames to show, counted from 0: as many as the readers look at."""
    return glance.spread(range(pixels.frame_count(copy)), glance.MOST)


def _pairs(before: Frame, after: Frame, read: Sequence[Line]) -> Iterator[str]:
    """Yield the two pictures with the grey levels of most of the source's pixels, and with all where that makes a difference."""
    old, new = glance.grey(before), glance.grey(after)
    gone = before != after
    blanked = gone.any(axis=2) if gone.ndim == 3 else gone
    lowest, low, high, highest = (float(value) for value in np.percentile(old, (0, 0.5, 99.5, 100)))
    yield _pair(old, new, low, high, blanked, read)
    if (low - lowest) + (highest - high) > _MOST_EDGE * (highest - lowest):
        yield _pair(old, new, lowest, highest, blanked, read)


def _pair(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    low: float,
    high: float,
    blanked: NDArray[np.bool_],
    read: Sequence[Line],
) -> str:
    old = np.repeat(glance.to_bytes(before, low, high)[..., None], 3, axis=2)
    old[blanked] = (old[blanked] * (1 - _SHARE) + _TINT * _SHARE).astype(np.uint8)
    source, copy = _picture(old, "before", ()), _picture(glance.to_bytes(after, low, high), "after", read)
    return f'<div class="pair">{source}{copy}</div>'


def _picture(shown: NDArray[np.uint8], title: str, read: Sequence[Line]) -> str:
    height, width = shown.shape[:2]
    data = b64encode(render.png(shown)).decode()
    frames = "".join(
        f'<rect x="{line.left}" y="{line.top}" width="{line.right - line.left}" height="{line.bottom - line.top}"/>'
        for line in read
    )
    return (
        f'<figure><figcaption>{title}</figcaption><svg viewBox="0 0 {width} {height}">'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/>{frames}</svg></figure>'
    )
