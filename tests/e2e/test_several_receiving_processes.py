"""`serve --processes`: callers are shared among processes, one that dies is replaced, and all end together."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID

from filmroom import wiring

pytestmark = pytest.mark.slow


@contextmanager
def serving(filmroom, *more: str) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """A server that says where it listens."""
    command = [sys.executable, "-m", "filmroom", "--room", str(filmroom.room), "serve", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, [process.stdout.readline().strip() for each in more if each in ("--dimse", "--http")]
        finally:
            process.terminate()


def children(process: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False).stdout
    return sorted(map(int, found.split()))


def until(what: Callable[[], object]) -> None:
    for _ in range(600):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


@pytest.fixture
def folders(planted: Path, tmp_path: Path) -> list[Path]:
    """Four folders of 15 images each."""
    source = pydicom.dcmread(planted / "p0-1-1")
    found = []
    for sender in range(4):
        folder = tmp_path / f"sender-{sender}"
        folder.mkdir()
        for number in range(15):
            source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{sender}.{number + 1}")
            source.save_as(folder / f"{number:02}")
        found.append(folder)
    return found


def test_callers_are_shared_and_a_process_that_dies_is_replaced(filmroom, folders: list[Path]) -> None:
    if shutil.which("storescu") is None:
        pytest.skip("storescu is not installed (Debian: dcmtk)")
    doors = ["--dimse", "FILMROOM@127.0.0.1:0", "--http", "127.0.0.1:0", "--processes", "2"]
    with serving(filmroom, *doors) as (server, (dimse, http)):
        assert dimse.startswith("dimse FILMROOM@127.0.0.1:") and http.startswith("http http://127.0.0.1:")
        call = ["storescu", "-aec", "FILMROOM", "+sd", "127.0.0.1", dimse.rpartition(":")[2]]
        environment = {**os.environ, "TCP_NODELAY": "1"}
        first = [subprocess.Popen([*call, str(folder)], env=environment) for folder in folders[:2]]
        assert [each.wait() for each in first] == [0, 0]
        before = children(server.pid)
        assert len(before) == 2
        time.sleep(5)  # younger than this, a death would be taken for one at the start
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(set(children(server.pid)) - {before[0]}) == 2)
        second = [subprocess.Popen([*call, str(folder)], env=environment) for folder in folders[2:]]
        assert [each.wait() for each in second] == [0, 0]
        server.terminate()
        assert server.wait(60) == 0
        assert children(server.pid) == []
    with wiring.open_room(filmroom.room) as room:
        assert len(room.query("", level="instance").rows) == 60
        assert room.verify_audit().ok


def test_when_the_first_process_is_killed_the_others_end_by_themselves(filmroom) -> None:
    with serving(filmroom, "--dimse", "FILMROOM@127.0.0.1:0", "--processes", "2") as (server, _):
        others = children(server.pid)
        assert len(others) == 2
        server.kill()
        server.wait()
        until(lambda: not any(Path(f"/proc/{each}/cmdline").exists() for each in others))


def test_one_address_cannot_be_listened_on_twice(filmroom) -> None:
    with serving(filmroom, "--http", "127.0.0.1:0", "--processes", "2") as (_, (http,)):
        again = filmroom("serve", "--http", http.partition("//")[2], status=4)
        assert "choose another port" in again.stderr
