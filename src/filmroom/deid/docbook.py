"""Reads the tables of PS3.15 Annex E out of part15.xml, the standard's own source (DocBook 5).

Where the profile and the options stand is read off the headings; the columns before them have a fixed order.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from filmroom.deid import table
from filmroom.deid.table import PRIVATE, Option, Tables
from filmroom.errors import Invalid
from filmroom.ids import Digest

_BOOK, _ID = "{http://docbook.org/ns/docbook}", "{http://www.w3.org/XML/1998/namespace}id"
_ATTRIBUTES, _CONTENT_ITEMS = "table_E.1-1", "table_E.3.4-1"
_BEFORE: Mapping[str, Sequence[str]] = {
    _ATTRIBUTES: ("name", "tag", "retired", "standard"),
    _CONTENT_ITEMS: ("name", "code", "scheme", "value_type", "retired", "standard"),
}
_HEADINGS = {
    "safe": Option.SAFE_PRIVATE,
    "uids": Option.UIDS,
    "dev": Option.DEVICE,
    "inst": Option.INSTITUTION,
    "pat": Option.CHARACTERISTICS,
    "full": Option.FULL_DATES,
    "modif": Option.MODIFIED_DATES,
    "desc": Option.DESCRIPTORS,
    "struct": Option.STRUCTURED,
    "graph": Option.GRAPHICS,
}
"""How a word of an option's heading begins ("Rtn. Long. Modif. Dates Opt.")."""

_EDITION = re.compile(r"\b20\d\d[a-z]\b")
_TAG = re.compile(r"\(([0-9A-Fx]{4}),([0-9A-Fx]{4})\)")


def tables(part15: bytes) -> Tables:
    """Return the tables of the edition that `part15` is. Raises Invalid naming what is not as it should be."""
    try:
        book = ElementTree.fromstring(part15)
        edition = _EDITION.search(_text(book.find(f"{_BOOK}subtitle")))
        if edition is None:
            raise ValueError("its subtitle names no edition")
        return Tables(
            edition=edition[0],
            sha256=Digest.of(part15).hex,
            notice=f"DICOM PS3.15 {edition[0]}, Table E.1-1 and Table E.3.4-1, read from part15.xml. (c) NEMA.\n",
            attributes=tuple(table.attribute(_with_tag(cells)) for cells in _rows(book, _ATTRIBUTES)),
            content_items=tuple(map(table.content_item, _rows(book, _CONTENT_ITEMS))),
        )
    except (ElementTree.ParseError, ValueError) as error:
        raise Invalid(f"this is no part15.xml: {error}", "take it from the standard's docbook folder") from None


def _rows(book: Element, name: str) -> Iterator[dict[str, str]]:
    """Yield the cells of each row by the name of the column."""
    found = next((each for each in book.iter(f"{_BOOK}table") if each.get(_ID) == name), None)
    if found is None:
        raise ValueError(f"it has no {name}")
    columns: list[str] = []
    for row in found.iter(f"{_BOOK}tr"):
        if headings := row.findall(f"{_BOOK}th"):
            columns = _columns(name, [_text(each) for each in headings])
            continue
        cells = dict(zip(columns, (_text(each) for each in row.findall(f"{_BOOK}td")), strict=True))
        marks = {column: _if_yes(cells[column]) for column in ("retired", "standard")}
        yield {**dict.fromkeys(Option, ""), **cells, **marks}


def _columns(name: str, headings: Sequence[str]) -> list[str]:
    before = _BEFORE[name]
    if len(headings) <= len(before) or not headings[len(before)].startswith("Basic"):
        raise ValueError(f"{name} has other columns than are known")
    return [*before, "basic", *map(_option, headings[len(before) + 1 :])]


def _option(heading: str) -> Option:
    words = re.findall("[a-z]+", heading.lower())
    found = {option for start, option in _HEADINGS.items() if any(word.startswith(start) for word in words)}
    if len(found) != 1:
        raise ValueError(f"it has an option that is not known: {heading}")
    return found.pop()


def _with_tag(cells: Mapping[str, str]) -> dict[str, str]:
    if cells["tag"].startswith("(gggg,eeee)"):
        return {**cells, "tag": PRIVATE}
    found = _TAG.fullmatch(cells["tag"].replace(" ", "").upper().replace("X", "x"))
    if found is None:
        raise ValueError(f"{cells['tag']} is no tag")
    return {**cells, "tag": found[1] + found[2]}


def _if_yes(cell: str) -> str:
    return cell if cell == "Y" else ""


def _text(element: Element | None) -> str:
    """Return the text in an element, on one line and without the marks of where a line may break."""
    return "" if element is None else " ".join("".join(element.itertext()).replace("\u200b", "").split())
