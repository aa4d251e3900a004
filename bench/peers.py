"""The servers that are measured beside each other, each as a process of its own that is waited for and ended."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filmroom.wiring import init

_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a running server listens, and which process it is."""

    title: str
    dicom: int
    rest: str
    stow: str
    process: int

    def peak(self) -> float:
        """Return the most memory that its processes had in use at once, each by itself, in MB."""
        children = subprocess.run(["pgrep", "-P", str(self.process)], capture_output=True, text=True, check=False)
        return sum(_peak(each) for each in (self.process, *map(int, children.stdout.split())))


def find_orthanc() -> str | None:
    return shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def orthanc(work: Path) -> Iterator[Server]:
    """Orthanc with its defaults, in an empty folder, with its DICOMweb plugin where that is installed."""
    program = find_orthanc()
    assert program is not None
    http, dicom = free_ports(2)
    work.mkdir(parents=True)
    settings = {
        "StorageDirectory": str(work),
        "IndexDirectory": str(work),
        "HttpPort": http,
        "DicomPort": dicom,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "Plugins": [str(_DICOMWEB)] if _DICOMWEB.exists() else [],
    }
    (work / "orthanc.json").write_text(json.dumps(settings))
    command = [program, str(work / "orthanc.json")]
    environment = {**os.environ, "TCP_NODELAY": "1"}  # dcmtk, which Orthanc is built on, waits for Nagle without it
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            _wait(f"http://127.0.0.1:{http}/system")
            address = f"http://127.0.0.1:{http}"
            stow = f"{address}/dicom-web/studies" if _DICOMWEB.exists() else ""
            yield Server("ORTHANC", dicom, f"{address}/instances", stow, process.pid)
        finally:
            process.terminate()


@contextmanager
def filmroom(work: Path) -> Iterator[Server]:
    """A new room, with both doors open."""
    init(work)
    command = [sys.executable, "-m", "filmroom", "--room", str(work), "serve"]
    command += ["--dimse", "FILMROOM@127.0.0.1:0", "--http", "127.0.0.1:0", "--processes", str(os.cpu_count() or 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = dict(line.split() for line in (process.stdout.readline(), process.stdout.readline()))
            dicom = int(ready["dimse"].rsplit(":", 1)[1])
            yield Server("FILMROOM", dicom, "", f"{ready['http']}/studies", process.pid)
        finally:
            process.send_signal(signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(address).read()
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing came up at {address}")


def _peak(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
