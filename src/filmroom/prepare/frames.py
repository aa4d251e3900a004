"""From one clean copy to its frames: pixels, and the attributes that the ops of a recipe depend on.

Each frame carries its own rescale and geometry, since they may differ from frame to frame (enhanced multi-frame objects) and
from slice to slice (PET). Rules: attributes are read undecoded, so that a broken one is a missing one and is never quoted;
what cannot be decoded raises Unreadable, whatever it is.
Sources: PS3.3 C.7.6.2 (Image Plane), C.7.6.16 (functional groups), C.11.1 (Modality LUT).
"""

from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from math import inf
from typing import Protocol, cast

import numpy as np

from filmroom.dicom import pixels, values
from filmroom.dicom.parse import read
from filmroom.dicom.walk import FAILURES, Element, raw_value
from filmroom.errors import Unreadable
from filmroom.prepare.steps import Lut, Modality, Picture

_BITS_MAX = 32


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a frame lies in the patient (LPS, mm): centre of its first pixel, its six cosines, row and column spacing."""

    position: tuple[float, float, float]
    row: tuple[float, float, float]
    column: tuple[float, float, float]
    spacing: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `number` counts from 1 as in DICOM; `plane` is None when the object does not say where it lies."""

    sop_uid: str
    number: int
    picture: Picture
    plane: Plane | None


class _Attributes(Protocol):
    """What is asked of a data set."""

    def get_item(self, key: str, /) -> object: ...
    def get(self, key: str, /) -> object: ...


def frames(data: bytes, sop_uid: str, *, middle: bool = False) -> Iterator[Frame]:
    """Yield the frames of a Part 10 file in order, or only the middle one (of n, number n // 2 + 1).

    Raises Unreadable when the bytes or the next frame cannot be decoded, or when there is no frame.
    """
    dataset = read(data)
    attributes = cast(_Attributes, dataset)
    try:
        # Everything is looked up before pixels are decoded: a decoder may replace undecoded elements by decoded ones.
        count = pixels.frame_count(dataset)
        if not count:
            raise _unreadable("it has no frames")
        chosen = range(count // 2, count // 2 + 1) if middle else range(count)
        shared = _first(attributes, "SharedFunctionalGroupsSequence")
        per_frame = _items(attributes, "PerFrameFunctionalGroupsSequence")
        facts = [_facts(attributes, [*per_frame[at : at + 1], *shared], many=count > 1) for at in chosen]
        monochrome1 = values.text(_element(attributes, "PhotometricInterpretation"), ()) == "MONOCHROME1"
        ends = _ends(attributes)
    except FAILURES as error:
        raise _unreadable(f"its attributes cannot be read ({type(error).__name__})") from None
    for at, (plane, modality), array in zip(chosen, facts, pixels.frames(dataset, chosen), strict=True):
        low, high = (0.0, 255.0) if array.ndim == 3 else ends
        yield Frame(sop_uid, at + 1, Picture(array, low, high, modality, monochrome1), plane)


def _facts(attributes: _Attributes, groups: list[_Attributes], *, many: bool) -> tuple[Plane | None, Modality]:
    """Return geometry and rescale of one frame, from its functional groups if there are any, else from the top level."""
    position = _numbers(attributes, groups, "PlanePositionSequence", "ImagePositionPatient", 3)
    cosines = _numbers(attributes, groups, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = _numbers(attributes, groups, "PixelMeasuresSequence", "PixelSpacing", 2)
    plane = None
    if position and cosines and spacing and (groups or not many):
        x, y, z = position
        plane = Plane((x, y, z), _three(cosines[:3]), _three(cosines[3:]), (spacing[0], spacing[1]))
    slope = _numbers(attributes, groups, "PixelValueTransformationSequence", "RescaleSlope", 1)
    intercept = _numbers(attributes, groups, "PixelValueTransformationSequence", "RescaleIntercept", 1)
    modality = Modality(slope[0] if slope else 1.0, intercept[0] if intercept else 0.0, _lut(attributes))
    return plane, modality


def _numbers(attributes: _Attributes, groups: list[_Attributes], group: str, keyword: str, count: int) -> list[float]:
    """Return the attribute's `count` numbers from the first functional group that has it; [] when there are not so many."""
    for place in [*(item for frame in groups for item in _first(frame, group)), attributes]:
        element = _element(place, keyword)
        if element is not None:
            found = values.numbers(element) or []
            return [float(number) for number in found] if len(found) == count else []
    return []


def _lut(attributes: _Attributes) -> Lut | None:
    for item in _first(attributes, "ModalityLUTSequence"):
        head, table = _element(item, "LUTDescriptor"), _element(item, "LUTData")
        big = getattr(head, "is_little_endian", True) is False
        words = np.frombuffer(raw_value(head), ">u2" if big else "<u2")
        data = raw_value(table)
        if len(words) != 3:
            raise _unreadable("its Modality LUT is malformed")
        entries = int(words[0]) or 65_536
        first = int(words[1].astype(np.int16)) if _signed(attributes) else int(words[1])
        if len(data) == 2 * entries:
            return Lut(first, np.frombuffer(data, ">u2" if big else "<u2").astype(np.uint16))
        if len(data) in (entries, entries + 1):
            return Lut(first, np.frombuffer(data, np.uint8)[:entries].astype(np.uint16))
        raise _unreadable("its Modality LUT is malformed")
    return None


def _ends(attributes: _Attributes) -> tuple[float, float]:
    """Return the least and the greatest value that Bits Stored leave room for."""
    if any(_element(attributes, keyword) is not None for keyword in ("FloatPixelData", "DoubleFloatPixelData")):
        return -inf, inf
    bits = values.whole(_element(attributes, "BitsStored")) or 0
    if not 1 <= bits <= _BITS_MAX:
        raise _unreadable("BitsStored makes no sense")
    if _signed(attributes):
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1


def _signed(attributes: _Attributes) -> bool:
    return values.whole(_element(attributes, "PixelRepresentation")) == 1


def _element(attributes: _Attributes, keyword: str) -> Element | None:
    found = attributes.get_item(keyword)
    return found if isinstance(found, Element) else None


def _items(attributes: _Attributes, keyword: str) -> list[_Attributes]:
    found = attributes.get(keyword)
    return [cast(_Attributes, item) for item in found] if isinstance(found, MutableSequence) else []


def _first(attributes: _Attributes, keyword: str) -> list[_Attributes]:
    return _items(attributes, keyword)[:1]


def _three(numbers: list[float]) -> tuple[float, float, float]:
    x, y, z = numbers
    return x, y, z


def _unreadable(why: str) -> Unreadable:
    return Unreadable(f"a copy cannot be prepared: {why}", "leave it out of the snapshot, or see its findings")
