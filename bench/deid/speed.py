"""How fast copies are made of objects as scanners send them, in objects per second of processor time, beside other tools.

The slices have a real header of 258 attributes, of which 179 are private, and half a megabyte of pixels each; the
multi-frame object has 400 frames with functional groups of their own. All tools read from files and write files, and the
start of a process is not counted. Headers only is what the other tools do, too; with verification, every attribute and frame of
a copy is looked at again, and sources and copies are hashed. The room also seals, signs and records. No pixels are read.

Expected, from milliseconds of processor time measured before on one machine (where `filmroom` is a bare prototype):
a slice takes filmroom 1 to 1.5 ms, dcmanon 3.6 to 3.9, dicom-anonymizer and dicognito 11 to 13, so that filmroom is 2.5
to 4 times as fast as dcmanon and 7 to 13 times as the others; with verification 4 to 9 ms, so 110 to 250 slices a second.
400 frames take filmroom 70 to 150 ms, dcmanon 330, dicom-anonymizer 5,000, dicognito 6,500: 2 to 5, 33 to 70 and 43 to
90 times as fast.
"""

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.deid import tools
from bench.deid.output import Output
from bench.figures import Figure, compared
from bench.images import write_multiframe, write_series

_SLICES, _FRAMES, _ROUNDS = 200, 400, 3
_UNIT = "files/CPU s"
_TARGETS = {
    ("CT", "dicom-anonymizer"): 5.0,
    ("CT", "dcmanon"): 3.0,
    ("multi-frame MR", "dicom-anonymizer"): 20.0,
}
_VERIFIED = 100.0  # slices a second


def run(work: Path) -> Iterator[Figure]:
    slices, frames = work / "ct", work / "mr"
    for folder in (slices, frames):
        folder.mkdir(parents=True)
    write_series(slices, _SLICES)
    write_multiframe(frames / "0.dcm", _FRAMES)
    yield from _headers("CT", slices, work)
    yield from _headers("multi-frame MR", frames, work)
    for what, tool in (("scrub", tools.filmroom_scrub), ("room", tools.filmroom)):
        outputs = [tool(slices, work / f"{what}{number}", reads=False) for number in range(_ROUNDS)]
        yield Figure(
            what=f"filmroom {what}, CT verified: rate",
            value=statistics.median(map(_rate, outputs)),
            unit=_UNIT,
            target=_VERIFIED,
            note=_missing(outputs[0], _SLICES),
        )


def _headers(title: str, folder: Path, work: Path) -> Iterator[Figure]:
    count = len(list(folder.iterdir()))
    copies = _median(lambda number: count / tools.copy_only(folder, work / f"{title} copies {number}"))
    ours = Figure(what=f"filmroom, headers of {title}: rate", value=copies, unit=_UNIT)
    yield ours
    for tool in tools.PEERS:
        outputs = [tools.peer(tool, folder, work / f"{title} {tool} {number}") for number in range(_ROUNDS)]
        made = [output for output in outputs if output is not None]
        if not made:
            yield Figure(what=f"{tool}, {title}", value=0, unit="", note="not there: it could not be installed")
            continue
        what, rate = f"{tool}, {title}: rate", statistics.median(map(_rate, made))
        peer = Figure(what=what, value=rate, unit=_UNIT, note=_missing(made[0], count))
        yield peer
        yield compared(ours.what, ours.value, _UNIT, peer, _TARGETS.get((title, tool)))


def _median(measure: Callable[[int], float]) -> float:
    return statistics.median(measure(number) for number in range(_ROUNDS))


def _rate(output: Output) -> float:
    return len(output.released) / output.cpu


def _missing(output: Output, count: int) -> str:
    """Say that not every file came out."""
    return "" if len(output.released) == count else f"{len(output.released)} of {count} files"
