"""`import --processes`: others read and decide, one catalogs, and what comes of it is what comes of one process alone."""

import shutil
import zipfile
from pathlib import Path

import pytest

from filmroom import wiring


@pytest.fixture
def delivery(planted: Path, pydicom_files: Path, tmp_path: Path) -> Path:
    """Images, broken ones among them, the same one twice, a directory, an archive, and a file that cannot be read."""
    folder = tmp_path / "delivery"
    shutil.copytree(planted, folder)
    shutil.copy(folder / "p0-1-1", folder / "p0-1-1-again")
    shutil.copy(pydicom_files / "test_files" / "dicomdirtests" / "DICOMDIR", folder)
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.write(pydicom_files / "test_files" / "CT_small.dcm", "CT_small")
    large = (pydicom_files / "test_files" / "MR_small.dcm").read_bytes()
    (folder / "large").write_bytes(large + bytes(33 << 20))
    return folder


def outcomes(room: Path) -> list[tuple[object, ...]]:
    with wiring.open_room(room) as opened:
        assert opened.verify_audit().ok
        (summary,) = opened.batches()
        ledger = opened.show_batch(summary.batch.id).ledger
    return [(row.name, row.outcome, row.digest, [reason.code for reason in row.reasons]) for row in ledger]


def test_several_processes_bring_what_one_brings_in_the_same_order(filmroom, delivery: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    wiring.init(alone)
    with wiring.open_room(alone) as room:
        expected = room.receive([delivery], "folder")
    receipt = filmroom("import", delivery, "--source", "folder", "--processes", 2, "--json", status=1).json
    assert not expected.is_complete  # the directory names files that are not there
    assert receipt["stored"] == expected.stored > 30
    assert outcomes(filmroom.room) == outcomes(alone)
