"""A whole room in memory, with a clock that the test sets and entropy that repeats."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from filmroom.adapters.keys import FileKeys
from filmroom.adapters.objects import open_objects
from filmroom.adapters.spool import FileSpools
from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.adapters.system import SilentProgress
from filmroom.govern.policy import Policies, every_role
from filmroom.ids import Zone
from filmroom.ports import Ports
from filmroom.records import Actor
from filmroom.wiring import Room


@dataclass
class TestClock:
    """A clock that stands still until it is moved."""

    __test__ = False

    moment: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def pass_by(self, **period: float) -> None:
        self.moment += timedelta(**period)


@dataclass
class CountedEntropy:
    """Bytes that look random and are the same in every run."""

    drawn: int = 0

    def draw(self, count: int) -> bytes:
        self.drawn += 1
        return hashlib.shake_256(f"test/{self.drawn}".encode()).digest(count)


@dataclass
class World:
    """A room and what is around it: its ports, its clock, and a folder for deliveries."""

    ports: Ports
    clock: TestClock
    inbox: Path
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        self.room = Room(self.ports)

    def deliver(self, name: str, data: bytes) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def read_all(self, zone: Zone, prefix: str = "") -> dict[str, bytes]:
        store = self.ports.objects[zone]
        return {name: store.get(name) for name in store.names(prefix)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    entropy, clock = CountedEntropy(), TestClock()
    catalog = SqlCatalog("sqlite://")
    catalog.create()
    ports = Ports(
        room="room-under-test",
        actor=Actor("olga"),
        code={"filmroom": "0.0.test", "python": "3"},
        catalog=catalog,
        objects={zone: open_objects("memory://") for zone in Zone},
        audit=open_objects("memory://"),
        keys=FileKeys.create(tmp_path / "keys", entropy),
        authorizer=Policies.shipped(every_role),
        clock=clock,
        entropy=entropy,
        progress=SilentProgress(),
        spools=FileSpools(entropy),
    )
    yield World(ports=ports, clock=clock, inbox=tmp_path / "inbox")
    catalog.close()


class MakeCT(Protocol):
    def __call__(
        self, patient: str = ..., series: int = ..., number: int = ..., *, change: int = ..., **attributes: object
    ) -> bytes: ...


@pytest.fixture
def make_ct() -> MakeCT:
    """Builds small original axial CT images: Part 10 bytes, 16 x 16, 16 bit."""

    def make(patient: str = "P1", series: int = 1, number: int = 1, *, change: int = 0, **attributes: object) -> bytes:
        stem = f"1.2.826.0.1.3680043.8.498.{int.from_bytes(patient.encode(), 'big')}"
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{stem}.{series}.{number}")
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = UID(f"{stem}.{series}.{number}")
        dataset.StudyInstanceUID = f"{stem}.0"
        dataset.SeriesInstanceUID = f"{stem}.{series}"
        dataset.PatientID = patient
        dataset.PatientName = f"Planted^{patient}"
        dataset.PatientBirthDate = "19500102"
        dataset.PatientSex = "F"
        dataset.StudyDate = "20240305"
        dataset.StudyTime = "101112"
        dataset.AccessionNumber = ""
        dataset.ReferringPhysicianName = ""
        dataset.StudyID = ""
        dataset.SeriesNumber = series
        dataset.InstanceNumber = number
        dataset.Modality = "CT"
        dataset.Manufacturer = "Maker"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.BodyPartExamined = "CHEST"
        dataset.FrameOfReferenceUID = f"{stem}.9"
        dataset.PositionReferenceIndicator = ""
        dataset.ImagePositionPatient = [0, 0, number * 2]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [1, 1]
        dataset.SliceThickness = 2
        dataset.KVP = 120
        dataset.AcquisitionNumber = 1
        dataset.RescaleIntercept = -1024
        dataset.RescaleSlope = 1
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.Rows = dataset.Columns = 16
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit = 15
        dataset.PixelRepresentation = 0
        pixels = np.arange(256, dtype="<u2") * (number + series) + sum(patient.encode()) + change
        dataset.PixelData = pixels.tobytes()
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        stream = BytesIO()
        pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
        return stream.getvalue()

    return make
