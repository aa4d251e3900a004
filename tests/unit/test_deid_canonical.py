"""Nothing lies in the bytes of a copy that no look at its data set can see."""

import struct
import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID
from tests.vectors.mutations import Mutation, mutated, mutations

from filmroom.deid import profile
from filmroom.deid.apply import Applied, apply
from filmroom.deid.canonical import is_canonical
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom.encode import encode
from filmroom.dicom.walk import FAILURES
from filmroom.errors import Unreadable

RESEARCH, PSEUDONYMS = profile.load("research"), Pseudonyms(bytes(range(32)))


LITTLE, RLE = UID("1.2.840.10008.1.2.1"), UID("1.2.840.10008.1.2.5")
FRAME = struct.pack("<16L", 2, 64, 70, *[0] * 13) + b"\3\0\0\0\0\0" + b"\3\0\1\2\3\0"


def image(syntax: UID) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "2.25.1001"
    dataset.SliceThickness, dataset.InstanceNumber = "1.250", "7"
    dataset.Rows = dataset.Columns = 2
    dataset.RescaleSlope = None
    item = Dataset()
    item.CodeValue, item.FrameReferenceTime = "T-D3000", 1.5
    item.add_new("FrameAcquisitionDuration", "FD", [0.5, 2.0])
    dataset.DerivationCodeSequence = [item, Dataset()]
    dataset.add_new("FrameIncrementPointer", "AT", [0x00181063, 0x00181065])
    if syntax == LITTLE:
        dataset.add_new("PixelData", "OW", struct.pack("<4H", 0, 1, 2, 4095))
    else:
        dataset.add_new("PixelData", "OB", encapsulate([FRAME]))
        dataset["PixelData"].is_undefined_length = True
    return dataset


COPY, COMPRESSED = encode(image(LITTLE)), encode(image(RLE))


def read(data: bytes) -> Dataset:
    return pydicom.dcmread(BytesIO(data))


def test_what_was_written_here_is_canonical() -> None:
    assert all(is_canonical(copy, read(copy)) for copy in (COPY, COMPRESSED))


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "examples_palette.dcm"])
def test_a_copy_is_canonical(name: str, pydicom_files: Path) -> None:
    copy = apply((pydicom_files / "test_files" / name).read_bytes(), RESEARCH, PSEUDONYMS)
    assert isinstance(copy, Applied) and is_canonical(copy.data, read(copy.data))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"1.250 ", b"1.25\0 "),
        (b"1.250 ", b" 1.250"),
        (b"OW\0\0", b"OWXY"),
        (b"SQ\0\0", b"SQXY"),
        (b"2.25.1001\0", b"2.25.1001 "),
        (b"DERIVED\\PRIMARY ", b"DERIVED\\PRIMARY\0"),
        (b"\x28\0\x10\0US\2\0\2\0", b"\x28\0\x10\0US\2\0\2\0" * 2),
    ],
)
def test_room_beside_a_value_is_not(before: bytes, after: bytes) -> None:
    at = COPY.rindex(before)
    other = COPY[:at] + after + COPY[at + len(before) :]
    assert not is_canonical(other, read(other))
    assert not is_canonical(COPY + b"\0\0", read(COPY + b"\0\0"))


@settings(deadline=None, max_examples=500)
@given(
    copy=st.sampled_from([COPY, COMPRESSED]),
    changes=mutations([b"\xff\xff\xff\xff", b"\0\0", b"  ", b"SQ", b"LO", b"\\"], [COPY.index(b"\x08\0\x08\0CS")]),
)
def test_it_is_what_writing_the_whole_copy_again_says(copy: bytes, changes: list[Mutation]) -> None:
    data = mutated(copy, changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pydicom's, about odd values
        try:
            verdict = is_canonical(data, read(data))
        except (*FAILURES, Unreadable):
            return
        dataset = read(data)
        list(dataset.iterall())
        assert verdict == (encode(dataset) == data)
