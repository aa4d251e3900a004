"""Folder import into a room that grows: the rate and the memory at its start and at its end, small images throughout."""

import os
import resource
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file

from bench.figures import Figure, compared, seconds
from filmroom.wiring import Room, init, open_room

COUNT = int(os.environ.get("FILMROOM_BENCH_GROWTH", "20000"))
_STEP = 2000
_PER_SERIES, _PER_PATIENT = 100, 1000


def run(work: Path) -> Iterator[Figure]:
    images = Images()
    init(work / "room")
    with open_room(work / "room") as room:
        rate, memory = _step(room, work, images, 0), _memory()
        first = Figure(what="first 2,000 instances", value=rate, unit="instances/s")
        yield first
        rates = [_step(room, work, images, start) for start in range(_STEP, COUNT, _STEP)]
    last = sum(rates[-3:]) / len(rates[-3:])
    yield compared(f"instances up to {COUNT:,}", last, "instances/s", first, 0.9)
    yield Figure(what="  most memory in use after the first", value=memory, unit="MB")
    yield Figure(what="  most memory in use at the end", value=_memory(), unit="MB")


def _step(room: Room, work: Path, images: "Images", start: int) -> float:
    folder = work / "some"
    folder.mkdir()
    for number in range(start, start + _STEP):
        (folder / f"{number:07d}").write_bytes(images.make(number))
    rate = _STEP / seconds(lambda: room.receive([folder], "bench"))
    shutil.rmtree(folder)
    return rate


class Images:
    """One image of 64 x 64 pixels, with other identifiers of the same length each time."""

    def __init__(self) -> None:
        source = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
        source.Rows = source.Columns = 64
        source.PixelData = bytes(64 * 64 * 2)
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = "2.25.1000000000"
        source.SeriesInstanceUID, source.StudyInstanceUID = "2.25.2000000000", "2.25.3000000000"
        source.PatientID = "PATIENT000000000"
        stream = BytesIO()
        source.save_as(stream, enforce_file_format=True)
        self._template = stream.getvalue()

    def make(self, number: int) -> bytes:
        data = self._template.replace(b"2.25.1000000000", b"2.25.1%09d" % number)
        data = data.replace(b"2.25.2000000000", b"2.25.2%09d" % (number // _PER_SERIES))
        data = data.replace(b"2.25.3000000000", b"2.25.3%09d" % (number // _PER_PATIENT))
        return data.replace(b"PATIENT000000000", b"PATIENT%09d" % (number // _PER_PATIENT))


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
