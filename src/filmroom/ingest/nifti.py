"""NIfTI volumes, as they are or in gzip: what the header says, and whether the voxels that it promises are there.

Only single-file NIfTI (`n+1`, `n+2`) is a volume; the header of a pair says nothing without its other half. A compressed
volume is inflated a step at a time and only counted; what would inflate beyond the limits is not inflated.
Source: nifti1.h and nifti2.h, nifti.nimh.nih.gov.
"""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass

from filmroom.dicom.windows import Lengthy, open_stream
from filmroom.records import Finding, Reason, Severity, Value

MAX_INFLATED_BYTES = 4 << 30
MAX_RATIO = 200
GRACE_BYTES = 256 << 20

_SIZES_OF = {1: 348, 2: 540}
"""Bytes of the header of either version; its first field says the same."""

_STEP = 1 << 20
_MOST_RATIO = 1032
"""No gzip file inflates to more than so many times its size: 258 bytes for two bits (RFC 1951)."""
_BROKEN = (EOFError, OSError, zlib.error)

# Data types of nifti1.h by what numpy calls them: code, and bits of a voxel.
_CODES = {
    "uint8": (2, 8),
    "int16": (4, 16),
    "int32": (8, 32),
    "float32": (16, 32),
    "complex64": (32, 64),
    "float64": (64, 64),
    "rgb24": (128, 24),
    "int8": (256, 8),
    "uint16": (512, 16),
    "uint32": (768, 32),
    "int64": (1024, 64),
    "uint64": (1280, 64),
    "float128": (1536, 128),
    "complex128": (1792, 128),
    "complex256": (2048, 256),
    "rgba32": (2304, 32),
}
_TYPES = {code: (name, bits) for name, (code, bits) in _CODES.items()}
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of either version that are asked for. `dims` and `steps` have eight numbers, as in the file."""

    version: int
    magic: bytes
    type_code: int
    bits: int
    dims: tuple[int, ...]
    steps: tuple[float, ...]
    offset: float
    units: int

    @property
    def is_half(self) -> bool:
        """Say whether the voxels are in another file."""
        return self.magic.startswith(b"ni")


@dataclass(frozen=True, slots=True)
class Volume:
    """What a volume is, by column name of the level `file`."""

    values: dict[str, Value]
    findings: tuple[Finding, ...]


def header_of(data: Lengthy) -> Header | None:
    """Return the header of a NIfTI file, inflated if need be; None when the bytes are none."""
    head = data[: _SIZES_OF[2]]
    if head.startswith(b"\x1f\x8b"):
        # No further than the header: whether the file ends well is asked when it is counted.
        inflater = zlib.decompressobj(31)
        try:
            head = inflater.decompress(data[:_STEP], _SIZES_OF[1])
            if head[:4] in (struct.pack("<i", _SIZES_OF[2]), struct.pack(">i", _SIZES_OF[2])):
                head += inflater.decompress(inflater.unconsumed_tail, _SIZES_OF[2] - _SIZES_OF[1])
        except zlib.error:
            return None
    for order in "<>":
        if len(head) >= 348 and head[:4] == struct.pack(f"{order}i", 348) and head[344:348] in (b"n+1\0", b"ni1\0"):
            dims = struct.unpack_from(f"{order}8h", head, 40)
            type_code, bits = struct.unpack_from(f"{order}2h", head, 70)
            # Single precision has seven digits; what a double would show beyond them is not the file's.
            steps = tuple(float(f"{step:.7g}") for step in struct.unpack_from(f"{order}8f", head, 76))
            (offset,) = struct.unpack_from(f"{order}f", head, 108)
            return Header(1, head[344:347], type_code, bits, dims, steps, offset, head[123])
        if len(head) >= 540 and head[:4] == struct.pack(f"{order}i", 540) and head[4:8] in (b"n+2\0", b"ni2\0"):
            type_code, bits = struct.unpack_from(f"{order}2h", head, 12)
            dims = struct.unpack_from(f"{order}8q", head, 16)
            steps = struct.unpack_from(f"{order}8d", head, 104)
            (offset,) = struct.unpack_from(f"{order}q", head, 168)
            (units,) = struct.unpack_from(f"{order}i", head, 500)
            return Header(2, head[4:7], type_code, bits, dims, steps, float(offset), units & 0xFF)
    return None


def read_volume(header: Header, data: Lengthy) -> Volume | tuple[Reason, ...]:
    """Return what the volume is, or every reason not to trust it. Never raises for what the bytes hold."""
    reasons = _impossible(header)
    if reasons:
        return reasons
    needed = int(header.offset) + (math.prod(_sizes(header)) * header.bits + 7) // 8
    findings: list[Finding] = []
    if data[:2] == b"\x1f\x8b":
        if needed > len(data) * _MOST_RATIO:
            return (
                Reason("volume-short", f"no gzip file of its size holds the {needed:,} bytes that there should be"),
            )
        if needed > min(MAX_INFLATED_BYTES, max(GRACE_BYTES, len(data) * MAX_RATIO)):
            findings.append(Finding("volume-not-counted", Severity.REVIEW))
            length = needed
        else:
            try:
                length = _inflated_length(data, needed)
            except _BROKEN:
                return (Reason("gzip-broken", "it cannot be inflated to its end, or its checksum differs"),)
    else:
        length = len(data)
    if length < needed:
        return (Reason("volume-short", f"{length:,} of {needed:,} bytes are there"),)
    if length > needed:
        findings.append(Finding("volume-long", Severity.INFO))
    if header.units & 7 not in _MILLIMETRES or not header.units & 7:
        findings.append(Finding("units-unknown", Severity.INFO, "xyzt_units"))
    return Volume(_values(header, is_gzip=data[:2] == b"\x1f\x8b"), tuple(findings))


def _sizes(header: Header) -> tuple[int, ...]:
    """Return the sizes of the dimensions that the volume has."""
    return header.dims[1 : header.dims[0] + 1]


def _impossible(header: Header) -> tuple[Reason, ...]:
    """Return what no volume can be."""
    smallest = {1: 352, 2: 544}[header.version]
    known = _TYPES.get(header.type_code)
    rules = (
        (not 1 <= header.dims[0] <= 7, "the number of dimensions is not between 1 and 7"),
        (min(_sizes(header), default=0) < 1, "a dimension is not at least 1"),
        (known is None, "the data type is none that NIfTI has"),
        (known is not None and known[1] != header.bits, "the bits of a voxel are not those of its data type"),
        (not smallest <= header.offset < 2**53, "the voxels begin inside the header"),
    )
    return tuple(Reason("header-impossible", words) for broken, words in rules if broken)


def _inflated_length(data: Lengthy, enough: int) -> int:
    """Count the bytes that come out of a gzip file, up to a step beyond `enough`; its checksum is compared at the end."""
    length = 0
    with gzip.GzipFile(fileobj=open_stream(data)) as stream:
        while length <= enough and (step := stream.read(_STEP)):
            length += len(step)
    return length


def _values(header: Header, *, is_gzip: bool) -> dict[str, Value]:
    sizes = (*_sizes(header), *[1] * 7)[:7]
    scale, per_second = _MILLIMETRES.get(header.units & 7, 1.0), _SECONDS.get(header.units & 0x38)
    steps = [abs(step) if math.isfinite(step) and step else None for step in header.steps[1:5]]
    x, y, z = (None if step is None else step * scale for step in steps[:3])
    interval = None if steps[3] is None or per_second is None or header.dims[0] < 4 else steps[3] * per_second
    return {
        "file_format": f"NIfTI-{header.version}{' in gzip' if is_gzip else ''}",
        "width": sizes[0],
        "height": sizes[1],
        "depth": sizes[2],
        "volumes": math.prod(sizes[3:]),
        "sample_type": _TYPES[header.type_code][0],
        "spacing_x_mm": x,
        "spacing_y_mm": y if header.dims[0] > 1 else None,
        "spacing_z_mm": z if header.dims[0] > 2 else None,
        "interval_s": interval,
    }
