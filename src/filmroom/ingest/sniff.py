"""What kind of thing some bytes are, by their first few hundred bytes. File names are never asked.

DICOM comes first, because its preamble may be made to look like anything (PS3.10 7.1).
"""

import codecs

from filmroom.dicom.parse import is_dicom
from filmroom.dicom.windows import Lengthy

HEAD_BYTES = 4096
"""How many bytes from the start are enough to tell."""

_DICOMDIR = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"

_STARTS = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"%PDF", "pdf"),
    (b"NRRD0", "nrrd"),
)
# NIfTI-1 and NIfTI-2 header sizes, either byte order, and where their magic numbers lie.
_NIFTI = (
    (348, 344, (b"n+1\x00", b"ni1\x00")),
    (540, 4, (b"n+2\x00", b"ni2\x00")),
)
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")


def kind(data: Lengthy) -> str:
    """Return "dicom", "dicomdir", "nifti", "zip", "gzip", "tar", "png", "jpeg", "tiff", "pdf", "text", "nrrd",
    "empty" or "unknown"."""
    if not len(data):
        return "empty"
    head = data[:HEAD_BYTES]
    if is_dicom(data):
        return "dicomdir" if _DICOMDIR in head else "dicom"
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[257:262] == b"ustar":
        return "tar"
    for size, at, magics in _NIFTI:
        if head[:4] in (size.to_bytes(4, "little"), size.to_bytes(4, "big")) and head[at : at + 4] in magics:
            return "nifti"
    return "text" if _is_text(head) else "unknown"


def _is_text(head: bytes) -> bool:
    """Say whether the bytes are UTF-8 without control characters; a character may be cut at the end."""
    if any(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
