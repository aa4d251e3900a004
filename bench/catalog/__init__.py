"""A million real series: loaded into each engine, asked twenty questions beside DuckDB, and received into.

FILMROOM_BENCH_SERIES is how many series, FILMROOM_BENCH_ENGINES which of sqlite and postgresql. DuckDB asks a Parquet file
of the same columns, warm like the catalog; rows that differ are told. What the file's making costs is nobody's time.
"""

import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.catalog import archive
from bench.catalog.questions import QUESTIONS, Question
from bench.figures import Figure, compared, seconds
from bench.growth import Images
from bench.peers import bare, environment, postgresql
from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.records import Batch, InstanceState, Value
from filmroom.wiring import init, open_room

COUNT = int(os.environ.get("FILMROOM_BENCH_SERIES", "1000000"))
ENGINES = os.environ.get("FILMROOM_BENCH_ENGINES", "sqlite postgresql").split()
_RATES = {"sqlite": 10_000, "postgresql": 8_000}
_GROUP = 10_000
_WARM, _ROUNDS = 2, 9
_MOST_MS, _MOST_TIMES = 100, 3
_RECEIVED = 2000


@dataclass(frozen=True, slots=True)
class _Asked:
    """How long a question took each time, and its rows."""

    ms: Sequence[float]
    rows: Sequence[tuple[Value, ...]]


def run(work: Path) -> Iterator[Figure]:
    python = environment("catalog", "idc-index-data", "duckdb")
    if python is None:
        yield Figure(what="idc-index-data and duckdb", value=0, unit="", note="not there: they could not be installed")
        return
    index = archive.find(python)
    said = _write_parquet(index, work)
    peer = _duckdb(python, work)
    yield Figure(what="DuckDB, all questions", value=sum(map(_median, peer.values())), unit="ms")
    for engine in ENGINES:
        if engine == "postgresql":
            with postgresql() as url:
                yield from _measured(engine, SqlCatalog(url), index, said, peer)
        else:
            yield from _received(work / "empty", f"{engine}, an empty room")
            init(work / "room")
            yield from _measured(engine, SqlCatalog.in_file(work / "room" / "catalog.db"), index, said, peer)
            yield from _received(work / "room", f"{engine}, a room with {COUNT:,} series")
            shutil.rmtree(work / "room")


def _write_parquet(index: Path, work: Path) -> list[archive.LabelEntry]:
    columnar, said = archive.Columnar(work / "series.parquet"), list[archive.LabelEntry]()
    for rows in archive.rows(index, COUNT, 100_000):
        columnar.add(rows)
        if len(said) < archive.MAX_LABELS:
            said += archive.labels(rows, len(said))
    columnar.close()
    archive.write_standing(said, work / "labels.parquet")
    return said


def _duckdb(python: Path, work: Path) -> dict[str, _Asked]:
    script = Path(__file__).with_name("peer.py")
    asked = json.dumps({each.name: each.in_duckdb() for each in QUESTIONS})
    command = [str(python), str(script), str(work)]
    told = subprocess.run(command, input=asked, capture_output=True, text=True, check=True, env=bare())
    return {
        name: _Asked(each["ms"], [tuple(row) for row in each["rows"]]) for name, each in json.loads(told.stdout).items()
    }


def _measured(
    engine: str, catalog: SqlCatalog, index: Path, said: Sequence[archive.LabelEntry], peer: dict[str, _Asked]
) -> Iterator[Figure]:
    catalog.create()
    rate = _load(catalog, index)
    yield Figure(what=f"{engine}, load", value=rate, unit="series/s", note=f"should be {_RATES[engine]:,}")
    yield Figure(
        what=f"{engine}, load of labels", value=len(said) / seconds(lambda: _label(catalog, said)), unit="labels/s"
    )
    catalog.tidy()
    times: list[float] = []
    for question in QUESTIONS:
        asked = _ask(catalog, question)
        times += asked.ms
        other = Figure(what="DuckDB", value=_median(peer[question.name]), unit="ms")
        found = compared(f"{engine}, {question.name}", _median(asked), "ms", other, _MOST_TIMES)
        yield found if asked.rows == peer[question.name].rows else _differing(found, asked, peer[question.name])
    p95 = statistics.quantiles(times, n=20)[-1]
    yield Figure(what=f"{engine}, 95 of 100 questions in", value=p95, unit="ms", note=f"should be {_MOST_MS}")
    catalog.close()


def _load(catalog: SqlCatalog, index: Path) -> float:
    """Return the series a second; reading them from the archive's own index is not counted."""
    took, count = 0.0, 0
    with catalog.write() as tx:
        tx.batches.open(
            Batch(id="b", source="bench", received_at=datetime(2026, 1, 1, tzinfo=UTC), processing_version="1")
        )
    for rows in archive.rows(index, COUNT, _GROUP):
        instances = [(row.instance, row.subject, "b", InstanceState.CURRENT) for row in rows]
        start = time.perf_counter()
        with catalog.write() as tx:
            tx.instances.add(instances)
        took += time.perf_counter() - start
        count += len(instances)
    return count / took


def _label(catalog: SqlCatalog, said: Sequence[archive.LabelEntry]) -> None:
    for start in range(0, len(said), _GROUP):
        with catalog.write() as tx:
            tx.labels.append(archive.SET, said[start : start + _GROUP])


def _ask(catalog: SqlCatalog, question: Question) -> _Asked:
    times, rows = [], list[tuple[Value, ...]]()
    for number in range(_WARM + _ROUNDS):
        start = time.perf_counter()
        with catalog.read() as tx:
            rows = question.ask(tx.instances)
        if number >= _WARM:
            times.append(1000 * (time.perf_counter() - start))
    return _Asked(times, rows)


def _median(asked: _Asked) -> float:
    return statistics.median(asked.ms)


def _differing(found: Figure, ours: _Asked, theirs: _Asked) -> Figure:
    first = next((pair for pair in zip(ours.rows, theirs.rows, strict=False) if pair[0] != pair[1]), "")
    note = f"DIFFERS: {len(ours.rows)} and {len(theirs.rows)} rows, {first}"
    return Figure(what=found.what, value=found.value, unit=found.unit, note=note)


def _received(folder: Path, what: str) -> Iterator[Figure]:
    """Receive small images, in a room that is made where there is none."""
    init(folder)
    source, images = folder.parent / "source", Images()
    if not source.exists():
        source.mkdir()
        for number in range(_RECEIVED):
            (source / f"{number:07d}").write_bytes(images.make(number))
    with open_room(folder) as room:
        took = seconds(lambda: room.receive([source], "bench"))
    yield Figure(what=f"received into {what}", value=_RECEIVED / took, unit="instances/s")
