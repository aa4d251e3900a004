"""An object of 2 GiB comes in through either door, and the memory of who takes it in does not grow with it."""

import hashlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pydicom
import pytest
from pydicom.uid import UID

from filmroom import wiring
from filmroom.crypto.seal import sealed_size
from filmroom.dicom.part10 import header, split
from filmroom.ids import Digest
from filmroom.records import Outcome

pytestmark = pytest.mark.slow
SIDE, FRAMES = 512, 4096
PIXEL_BYTES = SIDE * SIDE * 2 * FRAMES
NEEDED_BYTES = 10 * 2**30
MOST_MEMORY = 400 * 10**6
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
PIECE = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for large files, which do not stay."""
    free = shutil.disk_usage(tmp_path).free
    if free < NEEDED_BYTES:
        pytest.skip(f"{free / 2**30:.0f} GiB are free where temporary files lie; this needs {NEEDED_BYTES / 2**30:.0f}")
    folder = tmp_path / "large"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def large(planted: Path, place: Path) -> Path:
    """A multi-frame image whose file is one hole, but for its header and its last byte."""
    image = pydicom.dcmread(planted / "p0-1-1")
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = UID(ENHANCED_CT)
    image.Rows = image.Columns = SIDE
    image.NumberOfFrames, image.PixelData = FRAMES, b""
    path = place / "large.dcm"
    image.save_as(path, enforce_file_format=True)
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(PIXEL_BYTES.to_bytes(4, "little"))
        file.seek(PIXEL_BYTES - 1, os.SEEK_CUR)
        file.write(b"\1")
    return path


@contextmanager
def serving(room: Path, place: Path, *door: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """Opens a door; hands out where it is, and what tells the most memory that its process had in use, in bytes."""
    command = [sys.executable, "-m", "filmroom", "--room", str(room), "serve", *door]
    environment = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        where = process.stdout.readline().split()[1]

        def peak() -> int:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            [line] = [line for line in lines if line.startswith("VmHWM:")]
            return int(line.split()[1]) * 1024

        try:
            yield where, peak
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0


def by_storescu(dcmtk, where: str, file: Path) -> None:
    done = subprocess.run(
        ["storescu", "-v", "-aec", "FILMROOM", "127.0.0.1", where.rpartition(":")[2], str(file)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert "Received Store Response (Success)" in done.stdout + done.stderr


def by_stow(dcmtk, where: str, file: Path) -> None:
    head, tail = b"--x\r\nContent-Type: application/dicom\r\n\r\n", b"\r\n--x--\r\n"

    def body() -> Iterator[bytes]:
        yield head
        with file.open("rb") as stream:
            while piece := stream.read(PIECE):
                yield piece
        yield tail

    headers = {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=x',
        "Content-Length": str(len(head) + file.stat().st_size + len(tail)),
    }
    caller = http.client.HTTPConnection(urlsplit(where).netloc, timeout=600)
    caller.request("POST", "/studies", body(), headers)
    assert caller.getresponse().status == 200
    caller.close()


def of_the_file(file: Path) -> tuple[bytes, int]:
    return b"", 0


def of_its_data_set(file: Path) -> tuple[bytes, int]:
    """What stands before the data set once it came over the DICOM network, and where it begins in the file."""
    with file.open("rb") as stream:
        parts = split(stream.read(PIECE))
    uid = str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
    return header(sop_class=ENHANCED_CT, sop_uid=uid, syntax=parts.syntax), parts.start


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell a process's peak memory")
@pytest.mark.parametrize(
    ("door", "send", "kept"),
    [
        (("--dimse", "FILMROOM@127.0.0.1:0"), by_storescu, of_its_data_set),
        (("--http", "127.0.0.1:0"), by_stow, of_the_file),
    ],
    ids=["C-STORE", "STOW"],
)
def test_two_gib_come_in_within_400_mb(filmroom, dcmtk, place: Path, large: Path, capsys, door, send, kept) -> None:
    dcmtk("storescu", "--version")
    room = place / "room"
    shutil.move(filmroom.room, room)
    filmroom.room = room
    with serving(room, place, *door) as (where, peak):
        idle = peak()
        send(dcmtk, where, large)
        most = peak()
    with capsys.disabled():
        print(f"\n{door[0]}: {PIXEL_BYTES / 2**30:.0f} GiB, peak {most / 1e6:.0f} MB resident ({idle / 1e6:.0f} idle)")
    assert most < MOST_MEMORY

    before, start = kept(large)
    whole, size = hashlib.sha256(before), len(before)
    with large.open("rb") as stream:
        stream.seek(start)
        while piece := stream.read(PIECE):
            whole.update(piece)
            size += len(piece)
    with wiring.open_room(room) as opened:
        [batch] = opened.batches()
        [row] = opened.show_batch(batch.batch.id).ledger
    assert (row.outcome, row.digest, row.size_bytes) == (Outcome.STORED, Digest(whole.hexdigest()), size)
    [lying] = [path for path in (room / "zones" / "clinical").rglob("*") if path.is_file()]
    assert lying.stat().st_size == sealed_size(size)
    assert filmroom("doctor", "--json").json["ok"] is True
