"""The program as users run it: real processes, real files. Everything they print is searched for patients' values."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

PLANTED_NAMES = ("Qvistgaard", "Zebulon", "Wojtyla", "Öztürk", "Nakashimada")
PLANTED_IDS = ("MRN-7719204", "MRN-4482913", "MRN-9035577", "MRN-1190246", "MRN-6627318")
PLANTED_PLACES = ("St. Polycarp Infirmary", "Dr. Mbeki-Lindqvist")

os.environ.setdefault("FILMROOM_READ_PIXELS", "false")  # a second an image; tests/flow reads some

_PRINTED: list[tuple[str, str]] = []
# These answer with what the clinical zone holds, because somebody who may asked for it.
_CLINICAL_ANSWERS = ("query", "trace", "batches show", "quarantine")


@dataclass
class Ran:
    status: int
    stdout: str
    stderr: str

    @property
    def json(self):
        return json.loads(self.stdout)


@dataclass
class Filmroom:
    """Runs the command line in one room."""

    room: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, status: int = 0) -> Ran:
        command = [sys.executable, "-m", "filmroom", "--room", str(self.room), *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, **self.environment},
            timeout=300,
            check=False,
        )
        _PRINTED.append((" ".join(map(str, arguments)), done.stderr))
        if not any(name in _PRINTED[-1][0] for name in _CLINICAL_ANSWERS):
            _PRINTED.append((_PRINTED[-1][0], done.stdout))
        assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def filmroom(tmp_path: Path) -> Filmroom:
    """A command line with a new room, in a folder with a space in its name."""
    room = Filmroom(tmp_path / "a room")
    assert room("init", room.room, "--json").json == {"room": str(room.room)}
    return room


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients with unmistakable names and numbers, two CT series of three images each, and three bad files."""
    folder = tmp_path_factory.mktemp("planted")
    for who, (name, number) in enumerate(zip(PLANTED_NAMES, PLANTED_IDS, strict=True)):
        study = generate_uid(entropy_srcs=[number])
        for series in (1, 2):
            for image in (1, 2, 3):
                data = _image(name, number, study, series, image)
                data.save_as(folder / f"p{who}-{series}-{image}", enforce_file_format=True)
    whole = (folder / "p0-1-1").read_bytes()
    (folder / "cut-short").write_bytes(whole[:-1000])
    (folder / "cut-in-header").write_bytes(whole[:400])
    (folder / "readme.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_patient_value_is_printed() -> Iterator[None]:
    """No error, warning or progress of any command holds a patient's value, nor any answer but the clinical ones."""
    yield
    for command, text in _PRINTED:
        for value in (*PLANTED_NAMES, *PLANTED_PLACES, *PLANTED_IDS):
            assert value.casefold() not in text.casefold(), f"`filmroom {command}` printed a planted value"


def _image(name: str, number: str, study: str, series: int, image: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    uid = generate_uid(entropy_srcs=[number, str(series), str(image)])
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[number, str(series)])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[number, "frame"])
    dataset.PatientID, dataset.PatientName = number, f"{name}^Given"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19410203", "O", "083Y"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240305", "101112", "17"
    dataset.AccessionNumber = number.replace("MRN", "ACC")
    dataset.ReferringPhysicianName = PLANTED_PLACES[1]
    dataset.InstitutionName = PLANTED_PLACES[0]
    dataset.StudyDescription = f"CT CHEST {name}"
    dataset.Modality, dataset.Manufacturer, dataset.BodyPartExamined = "CT", "Maker", "CHEST"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.AcquisitionNumber = series, image, 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 2 * image], [1, 0, 0, 0, 1, 0]
    dataset.PositionReferenceIndicator = ""
    dataset.PixelSpacing, dataset.SliceThickness, dataset.KVP = [1, 1], 2, 120
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = 64
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    shade = np.random.default_rng([series, image, sum(map(ord, number))])
    dataset.PixelData = shade.integers(0, 3000, (64, 64), dtype=np.uint16).astype("<u2").tobytes()
    block = dataset.private_block(0x0029, f"{name} PRIVATE", create=True)
    block.add_new(1, "LO", f"seen by {name}")
    return dataset


def _dcmtk(tool: str, *arguments: object, status: int | None = 0) -> str:
    """Run a tool and return what it prints; `status` None: whatever its exit status is."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (Debian: dcmtk)")
    done = subprocess.run(
        [tool, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
    )
    assert status is None or done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def dcmtk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """DCMTK's tools. Without TCP_NODELAY each message waits 40 ms for nothing."""
    monkeypatch.setenv("TCP_NODELAY", "1")
    return _dcmtk


@dataclass
class Orthanc:
    """A running Orthanc: the ports of its doors."""

    http: int
    dimse: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def __call__(self, path: str, data: bytes | None = None):
        request = urllib.request.Request(f"{self.url}{path}", data=data)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


@pytest.fixture
def orthanc(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Iterator[Callable[..., Orthanc]]:
    """Starts an Orthanc with these settings beside its usual ones."""
    program = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("Orthanc is not installed (Debian: orthanc)")
    folder, started = tmp_path / "orthanc", []

    def start(**settings: object) -> Orthanc:
        here = Orthanc(*free_ports(2))
        folder.mkdir()
        usual = {
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": here.http,
            "DicomPort": here.dimse,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [],
        }
        (folder / "orthanc.json").write_text(json.dumps(usual | settings))
        command = [program, str(folder / "orthanc.json")]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TCP_NODELAY": "1"},
        )
        started.append(process)
        for _ in range(200):
            try:
                here("/system")
                return here
            except OSError:
                time.sleep(0.1)
        raise AssertionError("Orthanc did not come up")

    yield start
    for process in started:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recipe") / "slices.toml"
    file.write_text('name = "slices"\nversion = 1\nkind = "image"\n[[step]]\nop = "rescale"\n')
    return file
