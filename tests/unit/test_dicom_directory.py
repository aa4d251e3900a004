"""A DICOMDIR is believed in nothing that could do harm: its paths are only compared, and its offsets never followed."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from filmroom.dicom import directory
from filmroom.dicom.directory import Entry, read_directory
from filmroom.ingest.media import Medium
from filmroom.ingest.sniff import kind

REAL = (Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests" / "DICOMDIR").read_bytes()


def record(
    path: list[str] | str, uid: str = "1.2.3", *, next_at: int = 0, lower_at: int = 0, in_use: int = 0xFFFF
) -> Dataset:
    made = Dataset()
    made.OffsetOfTheNextDirectoryRecord = next_at
    made.RecordInUseFlag = in_use
    made.OffsetOfReferencedLowerLevelDirectoryEntity = lower_at
    made.DirectoryRecordType = "IMAGE"
    made.ReferencedFileID = path
    made.ReferencedSOPInstanceUIDInFile = uid
    return made


def written(*records: Dataset) -> bytes:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    made.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.9")
    made.FileSetID = ""
    made.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 10**6
    made.DirectoryRecordSequence = list(records)
    stream = BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def test_a_real_directory_names_its_files_and_objects() -> None:
    found = read_directory(REAL)
    assert len(found.entries) == 31
    assert found.entries[0].path == "77654033/CR1/6154"
    assert found.entries[0].sop_uid.startswith("1.3.6.1.4.1.5962")
    assert (found.bad_paths, found.is_whole) == (0, True)


def test_records_that_point_in_circles_and_outside_are_read_once_each() -> None:
    data = written(record(["A", "1"], next_at=400, lower_at=400), record(["A", "2"], next_at=400, lower_at=2**32 - 1))
    assert kind(data) == "dicomdir"
    assert [entry.path for entry in read_directory(data).entries] == ["A/1", "A/2"]


@pytest.mark.parametrize(
    "path", [["..", "etc", "passwd"], ["A", "..", "..", "B"], ["", "etc"], ["/etc/passwd"], ["A", "."], ["A" * 16] * 70]
)
def test_a_path_out_of_the_medium_is_counted_and_not_looked_for(path: list[str]) -> None:
    found = read_directory(written(record(path), record(["GOOD"])))
    assert ([entry.path for entry in found.entries], found.bad_paths) == (["GOOD"], 1)


def test_what_is_no_longer_in_use_is_not_expected() -> None:
    assert read_directory(written(record(["OLD"], in_use=0), record(["NEW"]))).entries == (Entry("NEW", "1.2.3"),)


def test_sequences_in_sequences_without_end_are_broken_and_nothing_worse() -> None:
    nest = record(["A"])
    for _ in range(200):
        outer = record(["A"])
        outer.DirectoryRecordSequence = [nest]
        nest = outer
    found = read_directory(written(record(["B"]), nest))
    assert not found.is_whole or found.entries


def test_a_directory_larger_than_any_medium_needs_is_not_read() -> None:
    assert read_directory(REAL + bytes(directory.MAX_BYTES)) == directory.Directory((), is_whole=False)


@given(st.integers(0, len(REAL) - 1), st.binary(max_size=8), st.integers(0, len(REAL)))
def test_changed_or_cut_anywhere_it_never_raises(at: int, patch: bytes, end: int) -> None:
    read_directory(REAL[:at] + patch + REAL[at + len(patch) :])
    read_directory(REAL[:end])


def test_names_are_compared_as_the_medium_does_and_a_lie_about_an_object_is_said() -> None:
    medium = Medium(
        "disc/DICOMDIR", read_directory(written(record(["IMG", "1"], "1.2.3"), record(["IMG", "2"], "1.2.4")))
    )
    assert (
        medium.announces("disc/img/1.;1") and not medium.announces("other/IMG/1") and not medium.announces("disc/IMG")
    )
    medium.tick("disc/img/1.;1", "1.2.99")
    assert [(each.code, each.name) for each in medium.discrepancies()] == [
        ("dicomdir-missing", "disc/IMG/2"),
        ("dicomdir-uid", "disc/img/1.;1"),
    ]
    assert [each.is_lack for each in medium.discrepancies()] == [True, False]
