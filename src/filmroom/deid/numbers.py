"""Which binary values an engine may copy: as many as the attribute has room for, numbers and not text, used palettes.

Text values are `actions`' business. Sources: PS3.5 6.2 and 6.4, PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6.
"""

import math

import numpy as np
from pydicom.datadict import dictionary_has_tag, dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

_DTYPES = {"FD": "f8", "FL": "f4", "SL": "i4", "SS": "i2", "SV": "i8", "UL": "u4", "US": "u2", "UV": "u8"}
_LARGEST, _SMALLEST = 1e12, 1e-25  # beyond these a double is eight characters, or no measurement
_LETTERS_IN_FLOATS, _LETTERS_IN_INTEGERS = 8, 6
_PALETTE = "PALETTE COLOR"


def most(tag: int) -> float:
    """Return how many values an attribute may have (PS3.6)."""
    multiplicity = dictionary_VM(tag)
    return math.inf if multiplicity.endswith("n") else int(multiplicity.split("-")[-1])


def binary(element: DataElement, vr: str, source: Dataset) -> DataElement | None:
    """Return the element if its value is what its VR is for, None if not. `source` is where it lies."""
    if vr in ("OB", "OW"):
        return _palette(element, vr, source)
    found = list(element.value) if element.VM > 1 else [element.value]
    fits = all(dictionary_has_tag(int(tag)) for tag in found) if vr == "AT" else not _is_text(vr, found)
    return DataElement(element.tag, vr, element.value) if fits else None


def _is_text(vr: str, numbers: list[float]) -> bool:
    """Say whether the bytes of the numbers have letters and digits in a row, in either byte order."""
    kind = _DTYPES[vr]
    is_float = kind.startswith("f")
    longest = _LETTERS_IN_FLOATS if is_float else _LETTERS_IN_INTEGERS
    if is_float and not all(number == 0 or _SMALLEST < abs(number) < _LARGEST for number in numbers):
        longest = 4
    return any(_run(np.array(numbers, f"{order}{kind}").tobytes()) >= longest for order in "<>")


def _run(data: bytes) -> int:
    best = run = 0
    for byte in data:
        run = run + 1 if chr(byte).isascii() and chr(byte).isalnum() else 0
        best = max(best, run)
    return best


def _palette(element: DataElement, vr: str, source: Dataset) -> DataElement | None:
    """Return a palette that the image uses, without what lies behind its last entry."""
    if str(source.get("PhotometricInterpretation", "")).strip() != _PALETTE:
        return None
    descriptor = source[element.keyword.replace("Data", "Descriptor")].value
    entries, data = int(descriptor[0]) or 0x10000, bytes(element.value)
    if len(data) >= 2 * entries:
        return DataElement(element.tag, vr, data[: 2 * entries])
    even = entries + entries % 2
    return DataElement(element.tag, vr, data[:even]) if len(data) >= even else None
