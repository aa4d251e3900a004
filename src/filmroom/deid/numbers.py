"""Which binary values an engine may copy: as many as the attribute has room for, numbers and not text, used palettes.

Text values are `actions`' business. Sources: PS3.5 6.2 and 6.4, PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6.
"""

import math
import re
import struct
from collections.abc import Sequence
from functools import cache

from pydicom.datadict import dictionary_has_tag, dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

PACKED = {"FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
"""How `struct` writes a number of a VR."""

_LARGEST, _SMALLEST = 1e12, 1e-25  # beyond these a double is eight characters, or no measurement
_LETTERS_IN_FLOATS, _LETTERS_IN_INTEGERS, _LETTERS_IN_ODD = 8, 6, 4
_RUNS = {
    letters: re.compile(rb"[0-9A-Za-z]{%d}" % letters)
    for letters in (_LETTERS_IN_FLOATS, _LETTERS_IN_INTEGERS, _LETTERS_IN_ODD)
}
_SHORTEST_RAMP = 16  # of fewer numbers in order some could still be letters
_PALETTE = "PALETTE COLOR"


@cache
def most(tag: int) -> float:
    """Return how many values an attribute may have (PS3.6)."""
    multiplicity = dictionary_VM(tag)
    return math.inf if multiplicity.endswith("n") else int(multiplicity.split("-")[-1])


def binary(element: DataElement, vr: str, source: Dataset) -> DataElement | None:
    """Return the element if its value is what its VR is for, None if not. `source` is where it lies."""
    if element.keyword == "LUTData":
        return _lut(element, vr, source)
    if element.keyword == "WaveformData":
        return _samples(element, vr, source)
    if vr in ("OB", "OW"):
        return _palette(element, vr, source)
    found = list(element.value) if element.VM > 1 else [element.value]
    fits = all(dictionary_has_tag(int(tag)) for tag in found) if vr == "AT" else not is_text(vr, found)
    return DataElement(element.tag, vr, element.value) if fits else None


def is_text(vr: str, numbers: Sequence[float]) -> bool:
    """Say whether the bytes of the numbers have letters and digits in a row, in either byte order."""
    kind = PACKED[vr]
    run = _RUNS[_LETTERS_IN_INTEGERS]
    if kind in "df":
        are_measures = all(number == 0 or _SMALLEST < abs(number) < _LARGEST for number in numbers)
        run = _RUNS[_LETTERS_IN_FLOATS if are_measures else _LETTERS_IN_ODD]
    return any(run.search(struct.pack(f"{order}{len(numbers)}{kind}", *numbers)) for order in "<>")


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


def _lut(element: DataElement, vr: str, source: Dataset) -> DataElement | None:
    """Return a lookup table of as many entries as its descriptor says, that rises or falls or is no text."""
    entries = int(source["LUTDescriptor"].value[0]) or 0x10000
    raw = element.value
    words = list(struct.unpack(f"<{len(raw) // 2}H", raw)) if vr == "OW" else list(raw) if element.VM > 1 else [raw]
    if len(words) != entries:
        return None
    ordered = sorted(words)
    is_ramp = entries > _SHORTEST_RAMP and words in (ordered, ordered[::-1])
    return DataElement(element.tag, vr, raw) if is_ramp or not is_text("US", words) else None


def _samples(element: DataElement, vr: str, source: Dataset) -> DataElement | None:
    """Return the samples of a multiplex group, without what lies behind the last one; None when some are missing."""
    count = int(source["NumberOfWaveformChannels"].value) * int(source["NumberOfWaveformSamples"].value)
    size, data = count * int(source["WaveformBitsAllocated"].value) // 8, bytes(element.value)
    return DataElement(element.tag, vr, data[:size] + bytes(size % 2)) if 0 < size <= len(data) else None
