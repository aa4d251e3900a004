"""Writing gives the same bytes every time, carries nothing over from a received header, and changes nothing."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from filmroom.dicom.encode import IMPLEMENTATION_UID, encode
from filmroom.dicom.parse import parse, read
from filmroom.errors import Unreadable

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "dicom"
TINY = (VECTORS / "ct_tiny.dcm").read_bytes()


def test_what_is_read_and_written_again_is_the_same() -> None:
    assert encode(read(TINY)) == TINY


def test_a_hidden_program_in_the_preamble_does_not_travel_along() -> None:
    assert encode(read((VECTORS / "preamble_of_a_program.dcm").read_bytes())) == TINY


def test_the_header_is_ours() -> None:
    meta = read(TINY).file_meta
    assert meta.ImplementationClassUID == IMPLEMENTATION_UID
    assert meta.ImplementationVersionName == "FILMROOM_1"
    assert IMPLEMENTATION_UID.startswith("2.25.")


def test_a_private_header_of_the_sender_is_left_behind() -> None:
    dataset = read(TINY)
    dataset.file_meta.SourceApplicationEntityTitle = "SENDER"
    dataset.file_meta.SendingApplicationEntityTitle = "SENDER"
    assert encode(dataset) == TINY
    assert dataset.file_meta.SourceApplicationEntityTitle == "SENDER"


def test_a_data_set_that_cannot_be_written_is_refused_without_its_values() -> None:
    dataset = read(TINY)
    dataset["SliceThickness"].value = None
    dataset.add_new("Rows", "US", "not a number of Nora")
    with pytest.raises(Unreadable) as caught:
        encode(dataset)
    assert "Nora" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_data_set_without_identity_is_refused() -> None:
    with pytest.raises(Unreadable):
        encode(Dataset())


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "JPEG2000.dcm",
        "image_dfl.dcm",
    ],
)
def test_every_encoding_keeps_its_transfer_syntax_and_its_facts(pydicom_files: Path, name: str) -> None:
    (file,) = pydicom_files.rglob(name)
    before = parse(file.read_bytes()).instance
    after = parse(encode(read(file.read_bytes()))).instance
    assert before is not None
    assert after is not None
    assert (after.values, after.pixel_digest) == (before.values, before.pixel_digest)
