"""The server is killed while two senders are at work: what they were told is in, is in."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID

from filmroom import wiring

pytestmark = pytest.mark.slow
_SENDING = re.compile(r"Sending file: (\S.*)$")


@pytest.fixture
def many(planted: Path, tmp_path: Path) -> list[Path]:
    """Two folders of 150 images each."""
    source = pydicom.dcmread(planted / "p0-1-1")
    folders = []
    for sender in (1, 2):
        folder = tmp_path / f"sender-{sender}"
        folder.mkdir()
        for number in range(150):
            source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{sender}.{number + 1}")
            source.InstanceNumber = number
            source.save_as(folder / f"{number:03}")
        folders.append(folder)
    return folders


def serve(room: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "filmroom", "--room", str(room), "serve", "--dimse", "FILMROOM@127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    return process, int(ready.rsplit(":", 1)[1])


def acknowledged(log: str) -> set[str]:
    """The files that storescu was answered Success for."""
    found, sending = set(), ""
    for line in log.splitlines():
        match = _SENDING.search(line)
        if match:
            sending = match[1]
        elif "Received Store Response (Success)" in line:
            found.add(sending)
    return found


def test_a_killed_server_has_every_object_that_it_acknowledged(many, tmp_path, filmroom, dcmtk):
    dcmtk("storescu", "--version")
    server, port = serve(filmroom.room)
    logs = [tmp_path / f"log-{number}" for number in (1, 2)]
    senders = []
    for folder, log in zip(many, logs, strict=True):
        with log.open("w") as out:
            command = ["storescu", "-v", "-aec", "FILMROOM", "127.0.0.1", str(port), "+sd", str(folder)]
            senders.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT))
    while sum(len(acknowledged(log.read_text(errors="replace"))) for log in logs) < 60:
        assert any(sender.poll() is None for sender in senders)
    server.send_signal(signal.SIGKILL)
    server.wait(10)
    for sender in senders:
        sender.wait(60)
    assert server.stdout is not None
    server.stdout.close()
    files = set().union(*(acknowledged(log.read_text(errors="replace")) for log in logs))
    assert 60 <= len(files) < 300
    uids = {pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID for file in files}
    with wiring.open_room(filmroom.room) as room:
        here = {row["sop_uid"] for row in room.query("", level="instance", select=["sop_uid"]).rows}
    assert uids <= here
    assert filmroom("doctor", "--json").json["ok"] is True
    assert filmroom("audit", "verify", "--json").json["ok"] is True

    server, port = serve(filmroom.room)  # and the senders' retry completes the delivery
    for folder in many:
        dcmtk("storescu", "-aec", "FILMROOM", "127.0.0.1", port, "+sd", folder)
    server.send_signal(signal.SIGTERM)
    assert server.wait(30) == 0
    assert server.stdout is not None
    server.stdout.close()
    assert filmroom("query", "", "--level", "instance", "--json").json["count"] == 300
    batches = filmroom("batches", "--json").json
    assert sum(batch["closed_at"] is not None for batch in batches) == 2
