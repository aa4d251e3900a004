"""Flaws that let senders harm other archives, each with the input that would show it here.

CVE-2026-5437 to 5445 are nine of Orthanc before 1.12.11 (CERT/CC); what the input is about is said in each test.
"""

import asyncio
import struct
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from tests.vectors.dicom_files import sound

from filmroom.dicom.encode import encode
from filmroom.dicom.parse import parse, read
from filmroom.dicom.pixels import frames
from filmroom.dicom.render import picture
from filmroom.errors import NotFound, Unreadable
from filmroom.flow.reception import Reception
from filmroom.flow.visits import Visits
from filmroom.ingest.sources import Limits, arrivals
from filmroom.ports import Ports
from filmroom.web.app import create_app
from filmroom.wiring import init, open_room

FIRST = 1


def codes(dataset: Dataset) -> set[str]:
    return {reason.code for reason in parse(encode(dataset)).reasons}


def palette(entries: int, indices: bytes) -> Dataset:
    """An 8-bit picture in palette colours, with a table of so many entries."""
    dataset = sound()
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    for colour in ("Red", "Green", "Blue"):
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [entries, 0, 8])
        dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", bytes(range(entries)))
    dataset.add_new("PixelData", "OB", indices)
    return dataset


def test_cve_2026_5437_a_length_in_the_file_s_header_that_leads_behind_its_end() -> None:
    data = bytearray(encode(sound()))
    at = data.index(b"\x02\x00\x10\x00UI")
    data[at + 6 : at + 8] = b"\xff\xff"
    for end in (at + 8, at + 9, len(data)):
        found = parse(bytes(data[:end]))
        assert found.instance is None and found.reasons[0].code in ("truncated", "unreadable")


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    init(tmp_path / "room")
    with open_room(tmp_path / "room") as room:
        yield room.serve("http")


def post(ports: Ports, *headers: tuple[bytes, bytes]) -> int:
    """Post to the DICOMweb door with no body behind the headers, and return the status."""
    found = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    kind = (b"content-type", b'multipart/related; type="application/dicom"; boundary=b')
    scope = {"type": "http", "method": "POST", "path": "/studies", "query_string": b"", "headers": [kind, *headers]}
    with Reception(ports) as reception:
        app = create_app(ports, reception, Visits(reception, ports.clock, "test"))
        asyncio.run(app({**scope, "server": ("127.0.0.1", 80)}, receive, send))  # type: ignore[arg-type]
    (status,) = found
    return int(str(status))


def test_cve_2026_5438_a_body_in_gzip_is_never_unpacked(ports: Ports) -> None:
    assert post(ports, (b"content-encoding", b"gzip")) == 415


def test_cve_2026_5439_a_zip_archive_whose_table_of_contents_lies_about_sizes(tmp_path: Path) -> None:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(5_000_000))
    for claimed in (1, 2**32 - 2):
        data = bytearray(stream.getvalue())
        at = data.index(b"PK\x01\x02")
        data[at + 24 : at + 28] = struct.pack("<L", claimed)
        (tmp_path / "lie.zip").write_bytes(data)
        found = list(arrivals([tmp_path / "lie.zip"], Limits(object_bytes=1_000_000, grace_bytes=1_000_000, ratio=1)))
        assert [each.data for each in found if each.problem is None] == []
        assert [each.problem.code for each in found if each.problem] in (
            [["too-large"], ["archive-member-broken"], ["archive-bomb"]]
        )


def test_cve_2026_5440_a_content_length_is_no_reason_to_reserve_memory(ports: Ports) -> None:
    assert post(ports, (b"content-length", str(2**62).encode())) == 408


def test_cve_2026_5441_pixels_in_a_maker_s_own_compression_are_not_decoded() -> None:
    dataset = sound()
    del dataset.PixelData
    private = dataset.private_block(0x07A1, "ELSCINT1", create=True)
    private.add_new(0x10, "LO", "PMSCT_RLE1")
    private.add_new(0x0A, "OB", b"\xa5\xff\xff\xff" * 16)
    assert codes(dataset) == {"pixels-missing"}
    with pytest.raises(NotFound):
        picture(read(encode(dataset)), FIRST, "image/png")


def test_cve_2026_5442_dimensions_in_four_bytes_whose_product_does_not_fit_into_32_bits() -> None:
    dataset = sound()
    for keyword in ("Rows", "Columns"):
        dataset[keyword].VR = "UL"
    dataset.Rows, dataset.Columns = 65_537, 65_536
    assert codes(dataset) == {"pixels-short"}
    with pytest.raises(Unreadable):
        picture(read(encode(dataset)), FIRST, "image/png")


def test_cve_2026_5443_a_palette_picture_whose_size_does_not_fit_into_32_bits() -> None:
    dataset = palette(16, bytes(64))
    dataset.Rows = dataset.Columns = 65_535
    assert codes(dataset) == {"pixels-short"}
    with pytest.raises(Unreadable):
        picture(read(encode(dataset)), FIRST, "image/png")


def test_cve_2026_5444_a_portable_map_in_the_place_of_a_compressed_frame_is_not_decoded() -> None:
    dataset = sound("1.2.840.10008.1.2.4.90")
    pam = b"P7\nWIDTH 65536\nHEIGHT 65537\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n"
    dataset.add_new("PixelData", "OB", encapsulate([pam]))
    assert codes(dataset) == {"transfer-syntax-wrong"}
    with pytest.raises(Unreadable):
        picture(read(encode(dataset)), FIRST, "image/png")


def test_cve_2026_5445_a_pixel_beyond_the_palette_is_its_last_colour() -> None:
    dataset = palette(16, bytes([0, 15, 16, 255]) * 16)
    (frame,) = frames(read(encode(dataset)))
    assert [np.unique(frame.reshape(16, 4, -1)[:, each]).tolist() for each in range(4)] == [[0], [15], [15], [15]]


@pytest.mark.parametrize("odd", [b"\1\0\0\0" * 2, b"\0\0\0\0", b"\0\0\0", b"\0\0\0\0" * 2])
def test_an_offset_table_that_leads_nowhere_is_noted(odd: bytes) -> None:
    codestreams = [b"\xff\x4f\xff\x51" + bytes(60)] * 2
    dataset = sound("1.2.840.10008.1.2.4.90")
    dataset.NumberOfFrames = 2
    dataset.add_new("PixelData", "OB", encapsulate(codestreams))
    assert parse(encode(dataset)).reasons == ()
    good = parse(encode(dataset)).instance
    value = bytes(dataset.PixelData)
    length = int.from_bytes(value[4:8], "little")
    dataset.PixelData = value[:4] + struct.pack("<L", len(odd)) + odd + value[8 + length :]
    bad = parse(encode(dataset)).instance
    assert good is not None and bad is not None
    assert {each.code for each in bad.findings} - {each.code for each in good.findings} == {"offset-table-wrong"}
