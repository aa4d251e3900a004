"""Image files that are no DICOM objects: what their headers say is cataloged, and what they only claim is not believed."""

import gzip
import io
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.ids import Digest
from filmroom.ingest import nifti, sidecar, slide
from filmroom.ingest.accept import accept
from filmroom.records import Beside, Filed, FileKind, Ignored, Quarantined, Reason, Value

BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1792: 128, 2304: 32}


def volume(
    dims: tuple[int, ...] = (4, 3, 2),
    *,
    code: int = 4,
    bits: int | None = None,
    steps: tuple[float, ...] = (1.0, 2.0, 3.0, 2500.0),
    units: int = 2 | 16,
    order: str = "<",
    version: int = 1,
    offset: int | None = None,
    magic: bytes = b"n+",
    voxels: bytes | None = None,
    rank: int | None = None,
) -> bytes:
    """Write a NIfTI file by the offsets of nifti1.h and nifti2.h."""
    rank = len(dims) if rank is None else rank
    shape = (rank, *dims, *[1] * (7 - len(dims)))
    pixdim = (1.0, *steps, *[0.0] * (7 - len(steps)))
    bits = BITS.get(code, 8) if bits is None else bits
    head = bytearray(348 if version == 1 else 540)
    start = len(head) + 4 if offset is None else offset
    struct.pack_into(f"{order}i", head, 0, len(head))
    if version == 1:
        struct.pack_into(f"{order}8h", head, 40, *shape)
        struct.pack_into(f"{order}2h", head, 70, code, bits)
        struct.pack_into(f"{order}8f", head, 76, *pixdim)
        struct.pack_into(f"{order}f", head, 108, start)
        head[123] = units
        head[344:348] = magic + b"1\0"
    else:
        head[4:12] = magic + b"2\0\r\n\x1a\n"
        struct.pack_into(f"{order}2h", head, 12, code, bits)
        struct.pack_into(f"{order}8q", head, 16, *shape)
        struct.pack_into(f"{order}8d", head, 104, *pixdim)
        struct.pack_into(f"{order}q", head, 168, start)
        struct.pack_into(f"{order}i", head, 500, units)
    count = 1
    for size in dims:
        count *= size
    return bytes(head) + bytes(4) + (bytes((count * bits + 7) // 8) if voxels is None else voxels)


def decided(data: bytes, name: str = "v.nii", beside: bytes = b"") -> Filed | Quarantined | Ignored:
    found = accept(data, Digest.of(data), is_here=False, beside=Beside(name, beside))
    assert isinstance(found, Filed | Quarantined | Ignored)
    return found


def values(data: bytes, name: str = "v.nii", beside: bytes = b"") -> dict[str, Value]:
    found = decided(data, name, beside)
    assert isinstance(found, Filed), found
    return {key: value for key, value in found.file.values.items() if value is not None}


def codes(data: bytes) -> list[str]:
    found = decided(data)
    return [reason.code for reason in found.reasons] if isinstance(found, Quarantined) else []


def findings(data: bytes) -> list[str]:
    found = decided(data)
    assert isinstance(found, Filed)
    return [finding.code for finding in found.file.findings]


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=7).map(tuple),
    st.sampled_from(sorted(BITS)),
    st.sampled_from("<>"),
    st.sampled_from([1, 2]),
    st.booleans(),
)
def test_what_was_written_is_read(dims: tuple[int, ...], code: int, order: str, version: int, packed: bool) -> None:
    data = volume(dims, code=code, order=order, version=version)
    found = values(gzip.compress(data) if packed else data)
    sizes = (*dims, *[1] * (7 - len(dims)))
    assert (found["width"], found["height"], found["depth"]) == sizes[:3]
    assert found["volumes"] == sizes[3] * sizes[4] * sizes[5] * sizes[6]
    assert found["file_format"] == f"NIfTI-{version}{' in gzip' if packed else ''}"
    assert found["spacing_x_mm"] == 1.0
    assert found.get("spacing_z_mm") == (3.0 if len(dims) > 2 else None)
    assert found.get("interval_s") == (2.5 if len(dims) > 3 else None)


@given(st.integers(0, 400), st.binary(max_size=8), st.integers(0, 400), st.booleans())
def test_changed_or_cut_anywhere_a_volume_is_decided_about(at: int, patch: bytes, end: int, packed: bool) -> None:
    whole = volume((2, 2, 2))
    for data in (whole[:at] + patch + whole[at + len(patch) :], whole[:end]):
        decided(gzip.compress(data) if packed else data)
    packed_whole = gzip.compress(whole)
    decided(packed_whole[:at] + patch + packed_whole[at + len(patch) :])
    decided(packed_whole[:end])


@given(st.binary(max_size=300))
def test_whatever_comes_in_gzip_is_decided_about(data: bytes) -> None:
    decided(b"\x1f\x8b\x08" + data)


@pytest.mark.parametrize(
    "data",
    [
        volume(rank=0),
        volume(rank=8),
        volume(rank=-1),
        volume((4, 0, 2)),
        volume((4, -3, 2), voxels=b""),
        volume(code=3),
        volume(code=4, bits=8),
        volume(offset=100),
        volume(offset=-1, version=2),
        volume(offset=2**62, version=2),
    ],
)
def test_a_header_that_no_volume_has_puts_it_into_quarantine(data: bytes) -> None:
    assert set(codes(data)) == {"header-impossible"}


def test_a_header_whose_offset_is_no_number_is_impossible() -> None:
    data = bytearray(volume())
    data[108:112] = struct.pack("<f", float("nan"))
    assert codes(bytes(data)) == ["header-impossible"]


def test_fewer_voxels_than_promised_are_a_reason_and_more_are_a_finding() -> None:
    assert codes(volume(voxels=bytes(47))) == ["volume-short"]
    assert codes(gzip.compress(volume(voxels=bytes(47)))) == ["volume-short"]
    assert findings(volume(voxels=bytes(49))) == ["volume-long"]
    assert findings(gzip.compress(volume(voxels=bytes(49)))) == ["volume-long"]
    assert codes(volume((32767,) * 7, voxels=b"")) == ["volume-short"], "2^105 voxels are only counted"


def test_gzip_that_is_cut_or_lies_about_its_content_is_broken() -> None:
    packed = gzip.compress(volume())
    assert codes(packed[:-4]) == ["gzip-broken"]
    assert codes(packed[:-8] + bytes(8)) == ["gzip-broken"]


def test_a_gzip_bomb_is_inflated_no_further_than_its_header_says() -> None:
    bomb = gzip.compress(volume((2, 2, 2), voxels=bytes(64 << 20)))
    assert findings(bomb) == ["volume-long"]


def test_a_volume_that_would_inflate_beyond_the_limits_is_not_inflated() -> None:
    huge = gzip.compress(volume((30000, 30000, 3), voxels=bytes(6 << 20)), 0)
    assert findings(huge) == ["volume-not-counted"]


def test_units_become_millimetres_and_seconds() -> None:
    assert values(volume((2, 2, 2, 2), units=3 | 24, steps=(500.0, 500.0, 1000.0, 2e6)))["spacing_x_mm"] == 0.5
    assert values(volume((2, 2, 2, 2), units=1 | 8, steps=(0.5, 0.5, 0.001, 2.0)))["spacing_z_mm"] == 1.0
    assert values(volume((2, 2, 2, 2), units=2 | 8, steps=(0.8, -1.0, 0.0, 2.0)))["interval_s"] == 2.0
    found = values(volume((2, 2, 2), units=2, steps=(0.8, -1.0, 0.0, float("inf"))))
    assert (found["spacing_x_mm"], found["spacing_y_mm"], "spacing_z_mm" in found) == (0.8, 1.0, False)
    assert findings(volume(units=0)) == ["units-unknown"]


def test_a_volume_that_no_gzip_of_its_size_holds_is_short() -> None:
    dims = (1 << 40,) * 7
    for promise in (volume((30000, 30000, 100), voxels=b""), volume(dims, version=2, voxels=b"")):
        assert codes(gzip.compress(promise)) == ["volume-short"]


def test_half_of_a_pair_and_what_only_is_in_gzip_are_ignored() -> None:
    for data, code in ((volume(magic=b"ni"), "nifti-pair"), (gzip.compress(b"text"), "not-dicom:gzip")):
        found = decided(data)
        assert isinstance(found, Ignored) and found.reason.code == code


def test_a_door_for_dicom_objects_takes_no_files() -> None:
    found = accept(volume(), Digest.of(volume()), is_here=False)
    assert isinstance(found, Ignored) and found.reason.code == "not-dicom:nifti"


def test_a_doubt_from_outside_keeps_a_volume_out() -> None:
    doubt = Reason("checksum-mismatch", "other bytes were announced")
    found = accept(volume(), Digest.of(volume()), is_here=False, doubt=doubt, beside=Beside("v.nii"))
    assert isinstance(found, Quarantined) and found.reasons == (doubt,)


def test_a_sidecar_fills_columns_and_a_broken_one_is_a_finding() -> None:
    fields = json.dumps({"RepetitionTime": 2.5, "Modality": "MR", "PatientName": "Planted"}).encode()
    found = values(volume(), "bids/sub-01/anat/sub-01_T1w.nii", fields)
    assert (found["file_modality"], found["file_patient"]) == ("MR", "sub-01")
    assert json.loads(str(found["file_sidecar"]))["RepetitionTime"] == 2.5
    decision = decided(volume(), beside=fields)
    assert "Planted" not in repr(decision)
    for broken in (
        b"{",
        b"[1]",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b" " * 300_000,
        b"\xff",
    ):
        found_broken = decided(volume(), beside=broken)
        assert isinstance(found_broken, Filed)
        assert [each.code for each in found_broken.file.findings] == ["sidecar-unreadable"], broken[:10]


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("ds/sub-01/sub-01_T1w.nii.gz", "sub-01"),
        ("sub-abc.nii", "sub-abc"),
        ("sub-1/x.nii", "sub-1"),
        ("nosub-1.nii", None),
        ("sub-.nii", None),
        ("T1.nii", None),
    ],
)
def test_a_bids_name_says_whom_it_is_about(name: str, subject: str | None) -> None:
    assert sidecar.subject_of(name) == subject


# -- slides --------------------------------------------------------------------------------------------------------


def test_without_the_library_a_tiff_is_ignored_with_the_name_of_the_extra() -> None:
    if slide.is_readable():
        pytest.skip("tifffile is installed")
    found = decided(b"II*\0" + bytes(100))
    assert isinstance(found, Ignored) and found.reason.code == "needs-extra:wsi"
    assert "filmroom[wsi]" in found.reason.detail


def tiff(**options: object) -> bytes:
    tifffile = pytest.importorskip("tifffile", reason="no slides: install tifffile")
    import numpy

    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for side in (64, 32):
            pixels = numpy.zeros((side, side, 3), numpy.uint8)
            writer.write(pixels, photometric="rgb", tile=(16, 16), metadata=None, **options)
    return stream.getvalue()


def test_a_pyramid_of_tiles_is_a_slide() -> None:
    data = tiff(description="Aperio Image Library v11.2.1\n64x64 |AppMag = 20|MPP = 0.4990|Filename = Planted")
    found = decided(data, "slide.svs")
    assert isinstance(found, Filed) and found.file.kind is FileKind.SLIDE
    assert "Planted" not in repr(found)
    seen = {key: value for key, value in found.file.values.items() if value is not None}
    assert seen == {
        "file_format": "Aperio SVS",
        "file_name": "slide.svs",
        "width": 64,
        "height": 64,
        "channels": 3,
        "sample_type": "uint8",
        "spacing_x_mm": 0.000499,
        "spacing_y_mm": 0.000499,
        "pyramid_levels": 2,
        "magnification": 20.0,
    }


def test_a_slide_without_a_maker_says_its_spacing_by_its_resolution() -> None:
    found = values(tiff(resolution=(20000.0, 40000.0), resolutionunit="CENTIMETER"))
    assert (found["file_format"], found["spacing_x_mm"], found["spacing_y_mm"]) == ("TIFF", 0.0005, 0.00025)


def test_a_picture_in_strips_is_no_slide() -> None:
    tifffile = pytest.importorskip("tifffile", reason="no slides: install tifffile")
    import numpy

    stream = io.BytesIO()
    tifffile.imwrite(stream, numpy.zeros((8, 8), numpy.uint8), metadata=None)
    found = decided(stream.getvalue())
    assert isinstance(found, Ignored) and found.reason.code == "not-dicom:tiff"


def test_directories_in_a_circle_end() -> None:
    data = bytearray(tiff())
    first = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    found = decided(bytes(data))
    assert isinstance(found, Quarantined) or (
        isinstance(found, Filed) and int(str(found.file.values["pyramid_levels"])) <= slide.MAX_PAGES
    )


@given(st.integers(0, 2000), st.binary(max_size=8), st.integers(0, 2000))
def test_changed_or_cut_anywhere_a_slide_is_decided_about(at: int, patch: bytes, end: int) -> None:
    whole = tiff()
    decided(whole[:at] + patch + whole[at + len(patch) :])
    decided(whole[:end])


def test_a_header_in_deflate_that_never_ends_is_read_no_further_than_it_must() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    endless = packer.compress(volume((2, 2, 2)) + bytes(8 << 20))
    assert nifti.header_of(endless) is not None
    assert findings(endless) == ["volume-long"]
