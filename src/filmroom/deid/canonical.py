"""Says whether the bytes of a copy are the only ones that its data set can be written as.

Then nothing lies in them that no look at the data set can see: no repeated element, no bytes beside or behind values, no
odd padding. What is plain is compared value by value; only for the rest is the whole copy written again.
"""

import struct
from collections.abc import Sequence

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from filmroom.dicom import encode, part10, transfer, walk

_TEXTS = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
_NUMBERS = {"FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
_BYTES = frozenset({"OB", "OW"})
_SYNTAXES = transfer.MEDIA.keys() | {walk.EXPLICIT_LITTLE}
_FIRST_TAG, _PIXEL_DATA = 0x00080001, 0x7FE00010
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def is_canonical(output: bytes, dataset: Dataset) -> bool:
    """Say so of the `dataset` that was read from `output`. Raises what reading a value or writing one raises."""
    _decode(dataset)  # what is not decoded would be written as it lies there
    return _is_plain(output, dataset) or encode.encode(dataset) == output


def _decode(dataset: Dataset) -> None:
    for tag in list(dataset.keys()):
        element = dataset[tag]
        if element.VR == "SQ":
            for item in element.value:
                _decode(item)


def _is_plain(output: bytes, dataset: Dataset) -> bool:
    """Say whether the elements, written one behind the other in explicit VR little endian, are all that there is."""
    syntax = walk.meta_text(dataset.file_meta, 0x00020010)
    uids = [str(dataset.get(keyword, "")) for keyword in ("SOPClassUID", "SOPInstanceUID")]
    header = part10.header(sop_class=uids[0], sop_uid=uids[1], syntax=syntax)
    if syntax not in _SYNTAXES or not output.startswith(header):
        return False
    at = len(header)
    try:
        for element in _in_order(dataset):
            for piece in _pieces(element):
                if not output.startswith(piece, at):
                    return False
                at += len(piece)
    except (ValueError, KeyError, struct.error):
        return False
    return at == len(output)


def _in_order(dataset: Dataset) -> list[DataElement]:
    found = {int(tag): dataset[tag] for tag in list(dataset.keys())}
    return [found[tag] for tag in sorted(found)]


def _pieces(element: DataElement) -> Sequence[bytes]:
    """Return what an element is written as; of Pixel Data, which is long, without copying it.

    Raises ValueError, KeyError or struct.error for an element of which nobody here knows how it is written.
    """
    tag, vr = int(element.tag), str(element.VR)
    if not tag & 0xFFFF or tag < _FIRST_TAG:
        raise ValueError  # group lengths are not written (PS3.5 7.2), nor are commands
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if tag == _PIXEL_DATA and element.is_undefined_length:
        if len(element.value) % 2 or not element.value.startswith(_ITEM):
            raise ValueError
        return head, b"\0\0\xff\xff\xff\xff", element.value, _END
    value = _value(element, vr)
    if vr in EXPLICIT_VR_LENGTH_32:
        return head + struct.pack("<HL", 0, len(value)), value
    return (head + struct.pack("<H", len(value)) + value,)


def _value(element: DataElement, vr: str) -> bytes:
    if vr == "SQ":
        items = (b"".join(b"".join(_pieces(each)) for each in _in_order(item)) for item in element.value)
        return b"".join(_ITEM + struct.pack("<L", len(item)) + item for item in items)
    value = element.value
    if value is None:
        return b""
    several = isinstance(value, MultiValue | list)
    if vr in _TEXTS:
        text = "\\".join(map(str, value)) if several else str(value)
        return (text + ("\0" if vr == "UI" else " ") * (len(text) % 2)).encode("ascii")
    if vr in _BYTES:
        return value + b"\0" if len(value) % 2 else bytes(value)
    if value == "":
        return b""
    numbers = value if several else [value]
    if vr == "AT":
        return b"".join(struct.pack("<HH", number >> 16, number & 0xFFFF) for number in numbers)
    return struct.pack(f"<{len(numbers)}{_NUMBERS[vr]}", *numbers)
