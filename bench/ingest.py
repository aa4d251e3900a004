"""Folder import beside a plain loop that reads, hashes, seals and writes the same bytes, and beside Orthanc."""

import hashlib
import os
import shutil
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figures import Figure, compared, seconds
from bench.images import write_series
from bench.peers import Server, find_orthanc, orthanc
from filmroom.crypto.seal import seal
from filmroom.wiring import init, open_room

COUNT = int(os.environ.get("FILMROOM_BENCH_INSTANCES", "1000"))


def run(work: Path) -> Iterator[Figure]:
    source = work / "source"
    source.mkdir()
    size = write_series(source, COUNT)
    files = sorted(source.iterdir())
    plain = Figure(
        what="plain loop: read, hash, seal, write", value=COUNT / _plain_loop(files, work), unit="instances/s"
    )
    yield plain
    yield Figure(what="  the same", value=plain.value * size / COUNT / 1e6, unit="MB/s")
    init(work / "room")
    with open_room(work / "room") as room:
        first = COUNT / seconds(lambda: room.receive([source], "bench"))
        yield compared("filmroom import", first, "instances/s", plain, 0.5)
        again = COUNT / seconds(lambda: room.receive([source], "bench"))
        yield compared(
            "filmroom import of known content",
            again,
            "instances/s",
            Figure(what="first import", value=first, unit=""),
            10,
        )
    init(work / "several")
    cores = os.cpu_count() or 1
    with open_room(work / "several") as room:
        several = COUNT / seconds(lambda: room.receive([source], "bench", processes=cores))
        yield compared(f"filmroom import, {cores} processes that start", several, "instances/s", plain, 0.5)
    if find_orthanc() is None:
        yield Figure(what="Orthanc", value=0, unit="", note="not installed: apt-get install orthanc")
        return
    with orthanc(work / "orthanc") as server:
        peer = Figure(
            what="Orthanc, REST upload by 4 clients", value=COUNT / _upload(server, files), unit="instances/s"
        )
    yield peer
    yield compared("filmroom import", first, "instances/s", peer, 5)


def _plain_loop(files: list[Path], work: Path) -> float:
    target = work / "plain"
    target.mkdir()
    key = os.urandom(32)

    def copy() -> None:
        for number, file in enumerate(files):
            data = file.read_bytes()
            hashlib.sha256(data).digest()
            with (target / str(number)).open("wb") as out:
                out.write(seal(key, b"bench", data))

    copied = seconds(copy)
    shutil.rmtree(target)
    return copied


def _upload(server: Server, files: list[Path]) -> float:
    def upload(file: Path) -> None:
        request = urllib.request.Request(server.rest, data=file.read_bytes(), method="POST")
        urllib.request.urlopen(request).read()

    with ThreadPoolExecutor(4) as pool:
        return seconds(lambda: list(pool.map(upload, files)))
