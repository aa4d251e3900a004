"""Objects that are not in memory are read like those that are, with long values left where they lie."""

import struct
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit

from filmroom.dicom import walk
from filmroom.dicom.parse import MAX_FRAGMENTS, Parsed, parse
from filmroom.ids import Digest


@dataclass
class Elsewhere:
    """Bytes that are handed out in slices, and how many were asked for at once."""

    data: bytes
    most: int = 0

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, where: slice) -> bytes:
        found = self.data[where]
        self.most = max(self.most, len(found))
        return found


def parsed(data: bytes) -> Parsed:
    return parse(Elsewhere(data), digest=Digest.of(data))


def test_small_files_are_parsed_alike_wherever_they_are(pydicom_files: Path) -> None:
    files = [file for file in sorted(pydicom_files.rglob("*")) if file.is_file() and file.stat().st_size < 2_000_000]
    assert len(files) > 100
    for file in files:
        data = file.read_bytes()
        if not data or walk.walk(data).declared == walk.DEFLATED:
            continue  # the former is no data set, and the latter has to be in memory
        assert parsed(data) == parse(data), file.name


@pytest.fixture
def large(pydicom_files: Path) -> pydicom.Dataset:
    source = pydicom.dcmread(pydicom_files / "test_files" / "CT_small.dcm")
    del source[0xFFFCFFFC]  # padding behind the pixels
    source.Rows = source.Columns = 512
    source.NumberOfFrames = walk.DEFERRED // (512 * 512 * 2) + 1
    source.PixelData = np.arange(512 * 512, dtype="<u2").tobytes() * source.NumberOfFrames
    return source


def encoded(dataset: pydicom.Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_pixels_that_are_not_in_memory_are_measured_and_hashed_where_they_lie(large: pydicom.Dataset) -> None:
    data = encoded(large)
    there = Elsewhere(data)
    found = parse(there, digest=Digest.of(data))
    assert found == parse(data)
    assert found.instance is not None and found.reasons == ()
    assert there.most < 3_000_000


@pytest.mark.parametrize("missing", [1, 5_000, walk.DEFERRED])
def test_an_end_in_the_middle_of_the_pixels_is_seen(large: pydicom.Dataset, missing: int) -> None:
    data = encoded(large)[:-missing]
    assert [reason.code for reason in parsed(data).reasons] == ["truncated"]


def test_fragments_are_counted_where_they_lie(large: pydicom.Dataset) -> None:
    frames = [b"\xff\xd8\xff" + bytes(walk.DEFERRED // 3) for _ in range(4)]
    large.NumberOfFrames = 4
    large.PixelData = encapsulate(frames)
    large["PixelData"].is_undefined_length = True
    large.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data = encoded(large)
    assert parsed(data) == parse(data)
    assert parsed(data).reasons == ()
    large.NumberOfFrames = 5
    assert [reason.code for reason in parsed(encoded(large)).reasons] == ["pixels-short"]


def test_a_sequence_that_does_not_fit_into_memory_is_not_passed_over(large: pydicom.Dataset) -> None:
    inner = pydicom.Dataset()
    inner.add_new(0x00420011, "OB", bytes(walk.DEFERRED))
    large.ReferencedImageSequence = [inner]
    assert "too-large" in {reason.code for reason in parsed(encoded(large)).reasons}
    assert replace(parse(encoded(large)), instance=None).reasons == ()


def test_a_sequence_without_a_length_is_not_read_on_and_on(large: pydicom.Dataset) -> None:
    inner = pydicom.Dataset()
    inner.add_new(0x00420011, "OB", bytes(walk.DEFERRED // 2))
    large.ReferencedImageSequence = [inner, inner, inner]
    large["ReferencedImageSequence"].is_undefined_length = True
    assert parsed(encoded(large)).reasons
    assert replace(parse(encoded(large)), instance=None).reasons == ()


def test_values_that_are_short_one_by_one_are_not_all_read(large: pydicom.Dataset) -> None:
    for tag in range(0x00091010, 0x00091015):
        large.add_new(tag, "OB", bytes(walk.DEFERRED - 2))
    assert "too-large" in {reason.code for reason in parsed(encoded(large)).reasons}


def test_a_header_without_end_is_not_read_to_its_end(large: pydicom.Dataset) -> None:
    large.file_meta.PrivateInformationCreatorUID = UID("1.2.3")
    large.file_meta.PrivateInformation = bytes(walk.DEFERRED)
    data = Elsewhere(encoded(large))
    assert "truncated" in {reason.code for reason in parse(data, digest=Digest.of(data.data)).reasons}
    assert data.most <= walk.DEFERRED


def test_more_elements_than_an_object_has_are_not_looked_at() -> None:
    head = bytes(128) + b"DICM" + b"\2\0\x10\0UI\x12\0" + b"1.2.840.10008.1.2\0"
    body = b"".join(struct.pack("<HHL", 0x0009, 0x1000 + number, 0) for number in range(walk.MAX_ELEMENTS + 1))
    for data in (head + body, Elsewhere(head + body)):
        assert "too-large" in {reason.code for reason in walk.walk(data).reasons}
    assert not walk.walk(head + body[:-8]).reasons


def test_more_fragments_than_an_image_has_are_not_counted(large: pydicom.Dataset) -> None:
    item = b"\xfe\xff\x00\xe0"
    first = item + b"\4\0\0\0" + b"\xff\xd8\xff\xe0"
    large.PixelData = item + bytes(4) + first + (item + bytes(4)) * MAX_FRAGMENTS
    large["PixelData"].is_undefined_length = True
    large.NumberOfFrames = 1
    large.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    assert [reason.code for reason in parse(encoded(large)).reasons] == ["pixels-broken"]
