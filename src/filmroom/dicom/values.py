"""From the bytes of one value to text, numbers, dates and ages, and what is odd about them.

Works on undecoded elements, because most of a data set is never asked for, and because a value that breaks the rules
of its VR must neither raise nor be quoted in a warning. Source: PS3.5 section 6.2.
"""

import re
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime
from itertools import islice
from math import isfinite

from pydicom.charset import decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import STANDARD_VR

from filmroom.dicom.walk import FAILURES, Element, raw_value, vr_of

MAX_TEXT = 1024
"""Characters of a text that a catalog column takes; the longest text VR that a column is read from has 64."""

_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x09, 0x5C, 0x3D, 0x5E}
_CONTROL = dict.fromkeys([*range(0x20), 0x7F])
_CHECKED_BYTES = 1 << 16

_PACKED = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_SIZES = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "UV": 8, "SV": 8, "AT": 4, "OW": 2, "OF": 4, "OD": 8}
_DAYS = {"D": 365.2425, "W": 52.1775, "M": 12.0, "Y": 1.0}


def _each(pattern: str) -> Callable[[bytes], re.Match[bytes] | None]:
    """Return a matcher for any number of `pattern`, separated by backslashes, each padded or empty."""
    one = f" *+(?:{pattern})?+[ \\0]*+"
    return re.compile(f"{one}(?:\\\\{one})*+".encode()).fullmatch


_UID = r"(?:0|[1-9][0-9]*+)(?:\.(?:0|[1-9][0-9]*+))*+"
_SHAPES = {
    "UI": _each(_UID),
    "DA": _each(r"[0-9]{8}|[0-9]{4}\.[0-9]{2}\.[0-9]{2}"),
    "TM": _each(
        r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?|[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    ),
    "DT": _each(r"[0-9]{4,14}(?:\.[0-9]{1,6})?(?:[+-][0-9]{4})?"),
    "DS": _each(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"),
    "IS": _each(r"[+-]?[0-9]{1,12}"),
    "AS": _each(r"[0-9]{3}[DWMY]"),
    "CS": _each(r"[A-Z0-9_][A-Z0-9_ ]{0,15}+"),
}
_KNOWN_VRS = frozenset(vr.value for vr in STANDARD_VR)
_FREE = _KNOWN_VRS - _SIZES.keys() - _SHAPES.keys() - {"UN"}
"""VRs that any bytes can be a value of."""


def oddity(element: Element) -> str:
    """Return the code of what is wrong with the value for its VR, "" for nothing: `value-broken` cannot be decoded."""
    if element.VR in _FREE or not isinstance(element, RawDataElement):
        return ""
    vr, value = vr_of(element), element.value or b""
    size = _SIZES.get(vr)
    if size is not None:
        return "value-broken" if len(value) % size else ""
    shape = _SHAPES.get(vr)
    if shape is not None and len(value) <= _CHECKED_BYTES and shape(value) is None:
        return "uid-invalid" if vr == "UI" else "value-odd"
    return "" if vr in _KNOWN_VRS else "vr-unknown"


def is_blank(element: Element) -> bool:
    """Say whether the value is empty or nothing but padding."""
    value = raw_value(element)
    return not value if vr_of(element) in _SIZES else not value.strip(b" \0")


def text(element: Element | None, encodings: Sequence[str], *, limit: int = MAX_TEXT) -> str | None:
    """Return the value as stripped text without control characters, "" when empty, None over `limit` characters.

    Several values stay joined by a backslash. Bytes that the character set does not have become U+FFFD.
    """
    value = raw_value(element)
    if not value:
        return ""
    if len(value) > 4 * limit:
        return None
    if value.isascii() and b"\x1b" not in value:
        whole = value.decode("ascii")
    else:
        try:
            whole = decode_bytes(value, encodings, _DELIMITERS)
        except (LookupError, ValueError):
            whole = value.decode("ascii", "replace")
    parts = (part.translate(_CONTROL).strip() for part in whole.split("\\"))
    joined = "\\".join(parts).rstrip("\\")
    return joined if len(joined) <= limit else None


def numbers(element: Element | None) -> list[float | int] | None:
    """Return the value's numbers, [] when it is empty, None when one of them is no finite number."""
    value = raw_value(element)
    if element is None or is_blank(element):
        return []
    code = _PACKED.get(vr_of(element))
    if code is not None and isinstance(element, RawDataElement):
        count, rest = divmod(len(value), struct.calcsize(f"<{code}"))
        if rest or count > _CHECKED_BYTES:
            return None
        packed = struct.unpack(f"{'<' if element.is_little_endian else '>'}{count}{code}", value)
        return list(packed) if all(map(isfinite, packed)) else None
    if len(value) > _CHECKED_BYTES:
        return None
    try:
        return [_number(part) for part in value.decode("ascii").replace("\0", " ").split("\\") if part.strip()]
    except ValueError:
        return None


def whole(element: Element | None) -> int | None:
    """Return the first number if it is a whole one that fits into 63 bits, else None."""
    found = numbers(element)
    if not found or found[0] != int(found[0]) or abs(found[0]) >= 2**63:
        return None
    return int(found[0])


def day(written: str) -> str | None:
    """Return a DA value as YYYY-MM-DD, None when it is no day. Takes the old form with dots too."""
    digits = written.replace(".", "") if written.count(".") == 2 else written
    if len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).isoformat()
    except ValueError:
        return None


def moment(date_written: str, time_written: str, offset: str) -> str:
    """Return a DA and a TM value in ISO 8601, with the zone if `offset` (+HHMM) is one, "" when they make no moment."""
    found = re.fullmatch(r"([0-9]{2}):?([0-9]{2})?:?([0-9]{2})?(\.[0-9]{1,6})?", time_written, re.ASCII)
    date_part = day(date_written)
    if not found or not date_part:
        return ""
    hour, minute, second, fraction = found.groups("")
    zone = re.fullmatch(r"([+-])(0[0-9]|1[0-4]):?([0-5][0-9])", offset, re.ASCII)
    whole_zone = f"{zone[1]}{zone[2]}:{zone[3]}" if zone else ""
    written = f"{date_part}T{hour}:{minute or '00'}:{second or '00'}{fraction}{whole_zone}"
    try:
        return datetime.fromisoformat(written).isoformat()
    except ValueError:
        return ""


def code(dataset: Dataset, keyword: str) -> str:
    """Return SCHEME:CODE of a code sequence's first item (PS3.3 8.8), "" for none and for what cannot be read."""
    return codes(dataset, keyword, 1)


def codes(dataset: Dataset, keyword: str, most: int = 20) -> str:
    """Return SCHEME:CODE of a code sequence's items, joined by backslashes; "" for none and for what cannot be read."""
    if keyword not in dataset:
        return ""
    try:
        items = [item for item in islice(dataset[keyword].value, most) if isinstance(item, Dataset)]
        pairs = [(short(item, "CodingSchemeDesignator"), short(item, "CodeValue")) for item in items]
    except FAILURES:
        return ""
    return "\\".join(f"{scheme}:{value}" for scheme, value in pairs if scheme and value)


def short(dataset: Dataset, keyword: str) -> str:
    """Return a text in ASCII or a number as text, whether decoded already or not; "" for none."""
    element = dataset.get_item(keyword) if keyword in dataset else None
    if element is None or isinstance(element, RawDataElement):
        return text(element, ["ascii"]) or ""
    return str(element.value or "").strip()


def age_years(written: str) -> float | None:
    """Return an AS value in years (of 12 months, 52.1775 weeks, 365.2425 days), None when it is no age."""
    if not re.fullmatch(r"[0-9]{1,3}[DWMYdwmy]", written):
        return None
    return round(int(written[:-1]) / _DAYS[written[-1].upper()], 4)


def _number(part: str) -> float | int:
    """Read one IS or DS value. Raises ValueError for what is no finite number."""
    part = part.strip()
    if "_" in part:  # Python reads it, DICOM does not
        raise ValueError
    if part.lstrip("+-").isdigit() and len(part) <= 20:
        return int(part)
    number = float(part)
    if not isfinite(number):
        raise ValueError
    return number
