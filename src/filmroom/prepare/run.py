"""One patient's clean copies and a recipe, to samples and failures.

Rules: every copy that comes in is accounted for, by a sample that names it as a source (or, for `frames = "middle"`, by its
middle frame) or by a failure that lists it; one bad copy never stops the rest; a volume is made of all the copies of its
series or not at all, since a shorter one would look whole. The order is that of study, series, SOP Instance UID and frame.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from filmroom.errors import FilmroomError
from filmroom.prepare.frames import Frame, frames
from filmroom.prepare.recipe import OPS, Frames, Kind, Recipe, Step
from filmroom.prepare.steps import Picture, run
from filmroom.prepare.volume import assemble
from filmroom.records import Reason, Row

Item: TypeAlias = tuple[Row, bytes]

_STORED = {np.dtype(name) for name in ("uint8", "uint16", "int16", "float16", "float32")}


@dataclass(frozen=True, slots=True)
class Sample:
    """One training sample. `key` is the SHA-256 (hex) over its sources: (SOP Instance UID, frame number from 1).

    `image` is C-contiguous and little-endian, of a dtype that shards can hold. `labels` are those that all its rows have alike.
    """

    key: str
    subject: str
    image: NDArray[np.generic]
    sources: tuple[tuple[str, int], ...]
    split: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not become a sample, by SOP Instance UID, and why."""

    sop_uids: tuple[str, ...]
    reason: Reason


def prepare(recipe: Recipe, items: Sequence[Item]) -> Iterator[Sample | Failure]:
    """Yield what becomes of one patient's clean copies (decrypted Part 10 bytes), whatever order they come in."""
    ordered = sorted(items, key=lambda item: (item[0].study_uid, item[0].series_uid, item[0].sop_uid))
    if recipe.kind is Kind.IMAGE:
        for row, data in ordered:
            yield from _images(recipe, row, data)
        return
    for _, series in groupby(ordered, key=lambda item: (item[0].study_uid, item[0].series_uid)):
        yield _volume(recipe, list(series))


def _images(recipe: Recipe, row: Row, data: bytes) -> Iterator[Sample | Failure]:
    found = frames(data, row.sop_uid, middle=recipe.frames is Frames.MIDDLE)
    while True:
        try:
            frame = next(found, None)
        except FilmroomError as error:
            yield Failure((row.sop_uid,), Reason(error.code, error.what))
            return
        if frame is None:
            return
        outcome = _finish(run(recipe.steps, frame.picture), (frame,), (row,))
        yield outcome


def _volume(recipe: Recipe, items: Sequence[Item]) -> Sample | Failure:
    rows = tuple(row for row, _ in items)
    uids = tuple(row.sop_uid for row in rows)
    first = [step for step in recipe.steps if OPS[step.op].frame_wise]
    then = [step for step in recipe.steps if not OPS[step.op].frame_wise]
    stack: list[Frame] = []
    problems: list[Reason] = []
    for row, data in items:
        try:
            for frame in frames(data, row.sop_uid):
                outcome = _frame(first, frame)
                if isinstance(outcome, Reason):
                    problems.append(outcome)
                else:
                    stack.append(outcome)
        except FilmroomError as error:
            problems.append(Reason(error.code, error.what))
    if problems:
        details = "; ".join(dict.fromkeys(problem.detail for problem in problems))
        return Failure(uids, Reason(problems[0].code, f"{len(problems)} copies or frames of the series: {details}"))
    volume = assemble(stack)
    if isinstance(volume, Reason):
        return Failure(uids, volume)
    return _finish(run(then, volume.picture), volume.frames, rows)


def _frame(steps: Sequence[Step], frame: Frame) -> Frame | Reason:
    picture = run(steps, frame.picture)
    return picture if isinstance(picture, Reason) else Frame(frame.sop_uid, frame.number, picture, frame.plane)


def _finish(outcome: Picture | Reason, made_of: Sequence[Frame], rows: Sequence[Row]) -> Sample | Failure:
    uids = tuple(row.sop_uid for row in rows)
    if isinstance(outcome, Reason):
        return Failure(uids, outcome)
    if len({(row.subject, row.split) for row in rows}) > 1:
        return Failure(uids, Reason("mixed-split", "the copies of one series are of different subjects or splits"))
    image = outcome.pixels
    if image.dtype.newbyteorder("=") not in _STORED:
        return Failure(uids, Reason("dtype", "pixels of this type cannot be stored; end the recipe with a dtype step"))
    sources = tuple((frame.sop_uid, frame.number) for frame in made_of)
    stored = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
    return Sample(sample_key(sources), rows[0].subject, stored, sources, rows[0].split, _agreed(rows))


def sample_key(sources: Iterable[tuple[str, int]]) -> str:
    """Return the key of the sample that these (SOP Instance UID, frame) make, in this order."""
    return hashlib.sha256("".join(f"{uid}#{number}\n" for uid, number in sources).encode()).hexdigest()


def _agreed(rows: Sequence[Row]) -> dict[str, str]:
    first = rows[0].labels
    return {name: first[name] for name in sorted(first) if all(row.labels.get(name) == first[name] for row in rows)}
