"""Between a DIMSE data set and a Part 10 file, without decoding either.

A C-STORE carries no file header, so one is made here (PS3.10 7.1): of what the command and the presentation context
say and of nothing else, so that the same object from the same or another sender becomes the same bytes.
"""

import struct
from dataclasses import dataclass

from filmroom.dicom.encode import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION

_LONG = frozenset({b"OB", b"OW", b"UN", b"UT", b"SQ", b"OF", b"OD", b"OL", b"OV", b"UC", b"UR", b"SV", b"UV"})


@dataclass(frozen=True, slots=True)
class Split:
    """Where the data set starts in a stored object, and the transfer syntax that its header declares ("" for none)."""

    start: int
    syntax: str


def header(*, sop_class: str, sop_uid: str, syntax: str) -> bytes:
    """Return what goes before an encoded data set to make a Part 10 file of it."""
    group = b"".join(
        (
            _element(0x0001, b"OB", b"\0\1"),
            _element(0x0002, b"UI", sop_class.encode("ascii", "replace")),
            _element(0x0003, b"UI", sop_uid.encode("ascii", "replace")),
            _element(0x0010, b"UI", syntax.encode("ascii", "replace")),
            _element(0x0012, b"UI", IMPLEMENTATION_UID.encode()),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION.encode()),
        )
    )
    return b"".join((bytes(128), b"DICM", _element(0x0000, b"UL", struct.pack("<L", len(group))), group))


def split(data: bytes) -> Split:
    """Find the data set in a stored object; a bare data set starts at 0. Never raises for what the bytes hold.

    The group length is not believed: the group ends where the first element of another group starts.
    """
    if data[128:132] != b"DICM":
        return Split(0, "")
    at, syntax = 132, ""
    while data[at : at + 2] == b"\x02\x00" and at + 8 <= len(data):
        if data[at + 4 : at + 6] in _LONG:
            start, length = at + 12, int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            start, length = at + 8, int.from_bytes(data[at + 6 : at + 8], "little")
        if start + length > len(data):
            break
        if data[at + 2 : at + 4] == b"\x10\x00":
            syntax = data[start : start + length].decode("ascii", "replace").strip(" \0")
        at = start + length
    return Split(at, syntax)


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    """Encode one file meta element in explicit VR little endian, padded to even length (PS3.5 7.1.2)."""
    if len(value) % 2:
        value += b" " if vr == b"SH" else b"\0"
    head = struct.pack("<HH", 0x0002, number) + vr
    return head + (struct.pack("<HL", 0, len(value)) if vr in _LONG else struct.pack("<H", len(value))) + value
