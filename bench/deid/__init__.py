"""Planted identifiers through filmroom, dicom-anonymizer, dicognito and dcmanon: what is left, what is gone, how fast.

`python -m bench deid` plants real files (FILMROOM_BENCH_CORPUS, or `../shared/corpus`, or what pydicom ships), runs every
tool over the same folder with its own defaults, and scores each; then it lets them all run over slices and frames as
scanners send them (`speed`). `python -m bench.deid` plants a folder to keep, and scores what any other tool made of it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench.deid import compat, single, speed, strict, tools, views
from bench.deid.burned import NORMAL
from bench.deid.key import AnswerKey
from bench.deid.output import Output
from bench.deid.plant import plant
from bench.deid.strict import KEPT_ACTIONS, Strict
from bench.deid.views import Shown
from bench.figures import Figure, compared

COUNT = int(os.environ.get("FILMROOM_BENCH_PLANTED", "200"))
SEED = 1


def run(work: Path) -> Iterator[Figure]:
    folder = work / "planted"
    folder.mkdir()
    key = plant(folder, COUNT, SEED)
    kinds = len({each.place for each in key.plants})
    yield Figure(what="planted identifiers", value=len(key.plants), unit="plants", note=f"{kinds} kinds of place")
    yield from single.run(SEED)
    sources = shown(key, folder)
    room = tools.filmroom(folder, work / "room")
    yield from _figures(key, room, sources)
    yield from _figures(key, tools.waiting(room), sources)
    scrubbed = tools.filmroom_scrub(folder, work / "scrub")
    yield from _figures(key, scrubbed, sources)
    verified = _speed("filmroom scrub, pixels read", scrubbed.cpu, key)
    plain = _speed("filmroom, headers only", tools.copy_only(folder, work / "copies"), key)
    yield verified
    yield plain
    for tool in tools.PEERS:
        output = tools.peer(tool, folder, work / tool)
        if output is None:
            yield Figure(what=tool, value=0, unit="", note="not there: it could not be installed")
            continue
        yield from _figures(key, output, sources)
        peer = _speed(output.tool, output.cpu, key)
        yield peer
        yield from (compared(each.what, each.value, each.unit, peer) for each in (verified, plain))
    yield from speed.run(work / "speed")


def shown(key: AnswerKey, folder: Path) -> dict[str, Shown]:
    """Return what the planted files show, by name."""
    return {file.file: views.show(folder / file.file, file.file) for file in key.files}


def figures(key: AnswerKey, output: Output, sources: Mapping[str, Shown]) -> tuple[list[Figure], Strict]:
    """Return the figures of one output folder, and the leaks and over-scrubs that they count."""
    found = strict.score(key, output, sources)
    states = ", ".join(f"{count} {state}" for state, count in sorted(found.states.items()))
    judged = found.planted - found.kept_back
    actions = compat.score(key, output, sources, only_released=True)
    kept = sum(found.tally.total[action] for action in KEPT_ACTIONS)
    return [
        Figure(what=f"{output.tool}: files released", value=len(output.released), unit="files", note=states),
        Figure(what="  planted identifiers left in them", value=len(found.leaks), unit="leaks", note=f"of {judged}"),
        Figure(what="  other dates and UIDs of the source left", value=len(found.others), unit="leaks"),
        Figure(what="  files gone without a word", value=len(found.silent), unit="files"),
        *_burned(key, output, found),
        Figure(what="  over-scrubs", value=found.over_scrubbed, unit="attributes", note=f"of {kept}"),
        Figure(what="  kept of what the profile keeps", value=found.tally.share(*KEPT_ACTIONS), unit="%"),
        Figure(what="  strict actions, all right", value=found.tally.share(), unit="%"),
        Figure(what="  MIDI-B actions on released files", value=actions.share(), unit="%"),
        Figure(what="  MIDI-B actions on all files", value=compat.score(key, output, sources).share(), unit="%"),
    ], found


def _figures(key: AnswerKey, output: Output, sources: Mapping[str, Shown]) -> Iterator[Figure]:
    listed, found = figures(key, output, sources)
    yield from listed
    for leak, count in Counter(leak.place for leak in found.leaks).most_common(5):
        yield Figure(what=f"    left most often: {leak}", value=count, unit="leaks")


def _burned(key: AnswerKey, output: Output, found: Strict) -> Iterator[Figure]:
    """Yield what became of texts in pixels: at normal and low contrast, and of those that few images of a series have."""
    burned = [(each.burned.contrast, each.file) for each in key.plants if each.burned]
    few = _few(key, {file for _, file in burned})
    titles: dict[str, Callable[[tuple[str, str]], bool]] = {
        "texts of normal contrast": lambda text: text[0] in NORMAL and text[1] not in few,
        "texts of low contrast": lambda text: text[0] == "low" and text[1] not in few,
        "texts in single slices": lambda text: text[1] in few,
    }
    for title, chosen in titles.items():
        planted, hidden, seen = (list(filter(chosen, texts)) for texts in (burned, found.hidden, found.visible))
        back = sum(output.state(file) not in ("released", "") for _, file in planted)
        note = f"of {len(planted)}: {len(hidden)} hidden, {back} in files kept back"
        yield Figure(what=f"  {title} to be seen", value=len(seen), unit="texts", note=note)


def _few(key: AnswerKey, burned: set[str]) -> set[str]:
    """Return the files with texts whose series has files without."""
    series = {file.file: file.uids["SeriesInstanceUID"] for file in key.files}
    without = {uid for file, uid in series.items() if file not in burned}
    return {file for file in burned if series[file] in without}


def _speed(what: str, cpu: float, key: AnswerKey) -> Figure:
    return Figure(what=f"{what}: rate", value=len(key.files) / cpu if cpu else 0.0, unit="files/CPU s")
