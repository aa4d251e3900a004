"""C-STORE and STOW-RS into filmroom and into Orthanc: the same images by the same clients, one server after the other."""

import http.client
import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figures import Figure, compared, seconds
from bench.images import write_series
from bench.peers import Server, filmroom, find_orthanc, orthanc

COUNT = int(os.environ.get("FILMROOM_BENCH_INSTANCES", "1000"))
_SENDERS = 4
_HEAD, _TAIL = b"--x\r\nContent-Type: application/dicom\r\n\r\n", b"\r\n--x--\r\n"


def run(work: Path) -> Iterator[Figure]:
    if find_orthanc() is None or shutil.which("storescu") is None:
        yield Figure(what="Orthanc and storescu", value=0, unit="", note="not installed: apt-get install orthanc dcmtk")
        return
    source = work / "source"
    source.mkdir()
    write_series(source, COUNT)
    files = sorted(source.iterdir())
    ways: list[tuple[str, Callable[[Server, list[Path]], None], float]] = [
        ("C-STORE, 1 association", lambda server, files: _store(server, files, 1), 1.2),
        (f"C-STORE, {_SENDERS} associations", lambda server, files: _store(server, files, _SENDERS), 1.1),
        (f"STOW-RS, {_SENDERS} clients", _stow, 1.5),
    ]
    for number, (what, send, target) in enumerate(ways):
        with orthanc(work / f"orthanc-{number}") as server:
            if "STOW" in what and not server.stow:
                yield Figure(what=what, value=0, unit="", note="not installed: apt-get install orthanc-dicomweb")
                continue
            peer = Figure(what=f"Orthanc, {what}", value=_rate(server, send, files), unit="instances/s")
        yield peer
        shutil.rmtree(work / f"orthanc-{number}")
        with filmroom(work / f"room-{number}") as server:
            yield compared(f"filmroom, {what}", _rate(server, send, files), "instances/s", peer, target)
            yield Figure(what="  most memory in use", value=server.peak(), unit="MB")
        shutil.rmtree(work / f"room-{number}")


def _rate(server: Server, send: Callable[[Server, list[Path]], None], files: list[Path]) -> float:
    return len(files) / seconds(lambda: send(server, files))


def _store(server: Server, files: list[Path], senders: int) -> None:
    """Send with dcmtk's storescu, a process a sender, which without TCP_NODELAY waits for Nagle's algorithm."""
    environment = {**os.environ, "TCP_NODELAY": "1"}
    command = ["storescu", "-aec", server.title, "127.0.0.1", str(server.dicom)]
    running = [
        subprocess.Popen([*command, *map(str, files[start::senders])], env=environment) for start in range(senders)
    ]
    codes = [each.wait() for each in running]
    if any(codes):
        raise RuntimeError("storescu could not send everything")


def _stow(server: Server, files: list[Path]) -> None:
    """Send an instance a request, each client over one connection."""
    where = urllib.parse.urlsplit(server.stow)

    def send(mine: list[Path]) -> None:
        client = http.client.HTTPConnection(where.netloc)
        headers = {
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=x',
            "Accept": "application/dicom+json",
        }
        for file in mine:
            client.request("POST", where.path, _HEAD + file.read_bytes() + _TAIL, headers)
            answer = client.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"a request was answered {answer.status}")
        client.close()

    with ThreadPoolExecutor(_SENDERS) as pool:
        list(pool.map(send, [files[start::_SENDERS] for start in range(_SENDERS)]))
