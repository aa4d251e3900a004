"""One frame is given as often as it is asked for, in any order, and the object is the same afterwards."""

import struct
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import UID

from filmroom.dicom import pixels, render, transfer
from filmroom.dicom.encode import encode
from filmroom.dicom.parse import read
from filmroom.errors import NotFound, Unreadable
from filmroom.flow.reception import Arrived, Reception
from filmroom.ports import Ports
from filmroom.prepare import frames as prepare
from filmroom.web import wado
from filmroom.web.media import parse_accept
from filmroom.web.ranges import Asked
from filmroom.wiring import init, open_room

NATIVE = {"implicit": "1.2.840.10008.1.2", "explicit": "1.2.840.10008.1.2.1", "big": "1.2.840.10008.1.2.2"}
JPEG_2000, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
PICTURES = [np.add(np.arange(48, dtype=np.uint8).reshape(6, 8), 40 * number, dtype=np.uint8) for number in range(1, 5)]
KINDS = [*NATIVE, "float", "j2k", "j2k-offsets", "rle"]


def rle(picture: NDArray[np.uint8]) -> bytes:
    """Write one segment of literal runs of 8 (PS3.5 annex G)."""
    raw = picture.tobytes()
    runs = b"".join(b"\x07" + raw[at : at + 8] for at in range(0, len(raw), 8))
    return struct.pack("<16L", 1, 64, *[0] * 14) + runs


def encoded(kind: str) -> list[bytes]:
    if kind == "rle":
        return [rle(picture) for picture in PICTURES]
    return [bytes(imagecodecs.jpeg2k_encode(each, reversible=True, codecformat="j2k")) for each in PICTURES]


def multi_frame(kind: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7.2", "2.25.7"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.5", "2.25.6"
    dataset.PatientID, dataset.Modality = "7", "OT"
    dataset.Rows, dataset.Columns = PICTURES[0].shape
    dataset.NumberOfFrames, dataset.SamplesPerPixel = len(PICTURES), 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.PixelRepresentation = 32 if kind == "float" else 8, 0
    if kind != "float":
        dataset.BitsStored, dataset.HighBit = 8, 7
    syntax = NATIVE.get(kind, NATIVE["explicit"])
    if kind == "float":
        dataset.FloatPixelData = np.stack(PICTURES).astype("<f4").tobytes()
    elif kind in NATIVE:
        dataset.add_new("PixelData", "OW" if kind == "implicit" else "OB", np.stack(PICTURES).tobytes())
    elif kind == "rle":
        syntax = RLE
        dataset.add_new("PixelData", "OB", encapsulate(encoded(kind)))
    else:
        syntax = JPEG_2000
        if kind == "j2k":
            dataset.add_new("PixelData", "OB", encapsulate(encoded(kind), has_bot=False))
        else:
            value, offsets, lengths = encapsulate_extended(encoded(kind))
            dataset.add_new("PixelData", "OB", value)
            dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return dataset


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_decoded_one_at_a_time_in_any_order(kind: str) -> None:
    dataset = read(encode(multi_frame(kind)))
    out = [transfer.decoded_frame(dataset, number) for number in (1, 2, 4, 3, 1)]
    kept = [picture.astype("<f4") if kind == "float" else picture for picture in PICTURES]
    assert out == [kept[at].tobytes() for at in (0, 1, 3, 2, 0)]
    assert [frame.tobytes() for frame in pixels.frames(dataset)] == [picture.tobytes() for picture in kept]
    with pytest.raises(NotFound):
        transfer.decoded_frame(dataset, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_object_is_the_same_after_a_picture_of_a_frame(kind: str) -> None:
    data = encode(multi_frame(kind))
    dataset = read(data)
    assert render.picture(dataset, 3, render.PNG) != render.picture(dataset, 4, render.PNG, window="100,50")
    assert encode(dataset) == data


@pytest.mark.parametrize("media", [render.PNG, render.JPEG])
def test_colour_planes_that_are_compressed_apart_make_a_picture(media: str) -> None:
    dataset = multi_frame("explicit")
    dataset.NumberOfFrames, dataset.SamplesPerPixel, dataset.PlanarConfiguration = 1, 3, 0
    dataset.PhotometricInterpretation = "RGB"
    stripes = np.stack(PICTURES[:3], axis=-1)
    dataset.add_new("PixelData", "OB", stripes.tobytes())
    dataset.compress(UID(RLE), generate_instance_uid=False)
    shown = render.picture(read(encode(dataset)), 1, media)
    if media == render.PNG:
        assert (imagecodecs.png_decode(shown) == stripes).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chosen", [range(0), range(1, 3), range(4)])
def test_only_the_chosen_frames_come_out(kind: str, chosen: range) -> None:
    found = list(pixels.frames(read(encode(multi_frame(kind))), chosen))
    assert [int(frame[0, 0]) for frame in found] == [40 * (number + 1) for number in chosen]


@pytest.mark.parametrize("kind", ["j2k", "rle"])
def test_a_frame_that_is_not_asked_for_is_not_decoded(kind: str) -> None:
    dataset = multi_frame(kind)
    dataset.add_new("PixelData", "OB", encapsulate([b"broken", b"broken", *encoded(kind)[2:]]))
    (found,) = pixels.frames(dataset, range(2, 3))
    assert (found == PICTURES[2]).all()
    (middle,) = prepare.frames(encode(dataset), "2.25.7", middle=True)
    assert (middle.number, np.asarray(middle.picture.pixels).tolist()) == (3, PICTURES[2].tolist())
    with pytest.raises(Unreadable):
        list(pixels.frames(dataset))


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_are_not_all_there_are_refused_when_one_of_them_is_chosen(kind: str) -> None:
    dataset = multi_frame(kind)
    dataset.NumberOfFrames = 6
    with pytest.raises(Unreadable):
        list(pixels.frames(dataset, range(3, 6)))


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    init(tmp_path / "room")
    with open_room(tmp_path / "room") as room:
        yield room.serve("http")


def test_several_decoded_frames_are_one_answer(ports: Ports) -> None:
    with Reception(ports) as reception:
        delivery = reception.open("test")
        reception.take(delivery, Arrived("a", encode(multi_frame("j2k"))))
    retrieval = wado.locate(ports, study="2.25.5")
    accepted = parse_accept('multipart/related; type="application/octet-stream"')
    answer = wado.frames(retrieval, retrieval.objects[0], [1, 2, 4], accepted, Asked())
    boundary = answer.headers["content-type"].rpartition("boundary=")[2].strip('"').encode()
    bodies = [part.partition(b"\r\n\r\n")[2][:-2] for part in bytes(answer.body).split(b"--" + boundary)[1:-1]]
    assert bodies == [PICTURES[at].tobytes() for at in (0, 1, 3)]
