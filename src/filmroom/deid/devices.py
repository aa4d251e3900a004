"""Where known devices write text into their pictures: rectangles to blank, by what a header says of the device.

Rules come with filmroom (`devices.toml`) and with a profile (`[[devices]]`). They only ever add to what is blanked: an image that
they fit has every frame of a sort read, by both readers, as if there were no rule.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from filmroom.dicom.walk import FAILURES
from filmroom.errors import Invalid

_TEXTS = {
    "modality": "Modality",
    "sop_class": "SOPClassUID",
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "software": "SoftwareVersions",
}
_WHOLE = frozenset({"modality", "sop_class"})
_NUMBERS = {"rows": "Rows", "columns": "Columns"}
_SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels from the upper left corner; `right` and `bottom` lie beside it."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Device:
    """What a header has to say, all of it, and what to blank then.

    `texts` are the words of which an attribute has one, without regard to case: as its whole value for Modality and SOP Class
    UID, anywhere in it for manufacturer, model and software. `numbers` are Rows and Columns.
    """

    texts: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, int]
    blank: tuple[Box, ...]

    def fits(self, source: Dataset) -> bool:
        return all(_text(source, _NUMBERS[key]) == str(number) for key, number in self.numbers.items()) and all(
            _has(_text(source, _TEXTS[key]).casefold(), words, whole=key in _WHOLE) for key, words in self.texts.items()
        )


def boxes(source: Dataset, devices: Iterable[Device]) -> list[Box]:
    """Return the rectangles of the rules that fit, those that come with filmroom among them."""
    return [box for device in (*shipped(), *devices) if device.fits(source) for box in device.blank]


@cache
def shipped() -> tuple[Device, ...]:
    text = resources.files("filmroom.deid").joinpath("devices.toml").read_text(encoding="utf-8")
    return parse(tomllib.loads(text)["devices"])


def parse(tables: object) -> tuple[Device, ...]:
    """Return the rules of an array of tables. Raises Invalid naming the rule, from 1 on, that is at fault."""
    if not isinstance(tables, list):
        raise _at("devices", "must be tables, [[devices]]")
    return tuple(_device(table, f"devices {number}") for number, table in enumerate(tables, 1))


def _device(table: object, place: str) -> Device:
    if not isinstance(table, dict):
        raise _at(place, "must be a table")
    if extra := sorted(table.keys() - {*_TEXTS, *_NUMBERS, "blank"}):
        raise _at(place, f"has {extra[0]}, which is no key of a device")
    if not table.keys() & {"manufacturer", "model"}:
        raise _at(place, "needs a manufacturer or a model")
    texts = {key: tuple(_words(table[key], f"{place}: {key}")) for key in _TEXTS if key in table}
    numbers = {key: _count(table[key], f"{place}: {key}") for key in _NUMBERS if key in table}
    blank = table.get("blank")
    if not isinstance(blank, list) or not blank:
        raise _at(place, "needs blank, a list of rectangles")
    return Device(texts, numbers, tuple(_box(each, place) for each in blank))


def _words(value: object, place: str) -> Iterator[str]:
    words = value if isinstance(value, list) else [value]
    if not words:
        raise _at(place, "must be a word or a list of words")
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise _at(place, "must be a word or a list of words")
        yield word.strip().casefold()


def _box(table: object, place: str) -> Box:
    if not isinstance(table, dict) or table.keys() != set(_SIDES):
        raise _at(place, f"has a rectangle without {', '.join(_SIDES)} and nothing else")
    left, top, right, bottom = (_count(table[side], f"{place}: {side}") for side in _SIDES)
    if not (left < right and top < bottom):
        raise _at(place, "has a rectangle without an inside")
    return Box(left, top, right, bottom)


def _count(value: object, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _at(place, "must be a number of pixels")
    return value


def _text(source: Dataset, keyword: str) -> str:
    """Return a value as text, several with blanks between; "" when there is none or it cannot be read."""
    try:
        value = source.get(keyword)
    except FAILURES:
        return ""
    values = value if isinstance(value, MultiValue) else [value]
    return " ".join(str(each).strip(" \0") for each in values if each is not None)


def _has(value: str, words: Sequence[str], *, whole: bool) -> bool:
    return value in words if whole else any(word in value for word in words)


def _at(place: str, what: str) -> Invalid:
    return Invalid(f"profile: {place} {what}", "mend that rule")
