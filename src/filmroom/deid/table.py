"""What the standard itself says to do with an attribute: Table E.1-1 and Table E.3.4-1 of PS3.15, as data.

The tables name what must not stay as it is. They are no list of what may stay (that is a profile's allow-list): plenty that
can identify a patient is in neither. The shipped edition lies in `ps315/`, one row a line, with its origin and licence in
`origin.toml`; `docbook` reads the same out of the standard's own source.
"""

import csv
import io
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files

from filmroom.errors import Invalid


class Option(StrEnum):
    """The options of the Basic Application Level Confidentiality Profile (PS3.15 E.3) that say something of attributes."""

    SAFE_PRIVATE = "retain-safe-private"
    UIDS = "retain-uids"
    DEVICE = "retain-device-identity"
    INSTITUTION = "retain-institution-identity"
    CHARACTERISTICS = "retain-patient-characteristics"
    FULL_DATES = "retain-full-dates"
    MODIFIED_DATES = "retain-modified-dates"
    DESCRIPTORS = "clean-descriptors"
    STRUCTURED = "clean-structured-content"
    GRAPHICS = "clean-graphics"


FILES = ("origin.toml", "attributes.csv", "content_items.csv")
"""What the tables of one edition are kept in."""

PRIVATE = "private"
"""What stands for a tag in the row about all private attributes."""

BASIC = frozenset({"X", "Z", "D", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*"})
OPTIONAL = frozenset({"K", "C"})

_TAG = re.compile(r"[0-9A-F]{8}|[0-9A-F]{2}xx(?:[0-9A-F]{4}|xxxx)|private")
_ORIGIN = ("edition", "sha256", "notice")
_ATTRIBUTE = ("tag", "name", "retired", "standard", "basic", *Option)
_CONTENT_ITEM = ("scheme", "code", "name", "value_type", "retired", "basic", *Option)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is to be done: `basic` by the profile itself, and the letters of those options that say otherwise."""

    name: str
    retired: bool
    basic: str
    options: Mapping[Option, str]

    def action(self, options: AbstractSet[Option]) -> str:
        """Return what is to be done under these options. C goes before K where two of them differ."""
        return min((letter for option, letter in self.options.items() if option in options), default=self.basic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute(Row):
    """A row of Table E.1-1. An "x" in `tag` stands for any digit; `standard` says that a standard IOD has the attribute."""

    tag: str
    standard: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentItem(Row):
    """A row of Table E.3.4-1: an item of structured content, by its concept name, whose meaning is `name`."""

    scheme: str
    code: str
    value_type: str


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Both tables. `sha256` is that of the standard's part15.xml; `notice` says where this is from, and on what terms."""

    edition: str
    sha256: str
    notice: str = field(repr=False)
    attributes: tuple[Attribute, ...] = field(repr=False)
    content_items: tuple[ContentItem, ...] = field(repr=False)

    def attribute(self, tag: int) -> Attribute | None:
        """Return the row about a tag; None when Table E.1-1 has none."""
        digits = f"{tag:08X}"
        kinds = [PRIVATE] if tag >> 16 & 1 else [digits, f"{digits[:2]}xx{digits[4:]}", f"{digits[:2]}xxxxxx"]
        return next((self._by_tag[kind] for kind in kinds if kind in self._by_tag), None)

    @cached_property
    def _by_tag(self) -> Mapping[str, Attribute]:
        return {row.tag: row for row in self.attributes}


@dataclass(frozen=True, slots=True)
class Change:
    """What one edition says of an attribute and another does not: the cells that are not empty, "" for no row."""

    tag: str
    name: str
    before: str
    after: str


@cache
def shipped() -> Tables:
    """Return the tables that come with filmroom."""
    folder = files("filmroom.deid").joinpath("ps315")
    return read({name: folder.joinpath(name).read_text("utf-8") for name in FILES})


def read(texts: Mapping[str, str]) -> Tables:
    """Return the tables that the texts of FILES hold. Raises Invalid for what is no such table."""
    try:
        origin = tomllib.loads(texts["origin.toml"])
        return Tables(
            **{key: str(origin[key]) for key in _ORIGIN},
            attributes=tuple(map(attribute, csv.DictReader(io.StringIO(texts["attributes.csv"])))),
            content_items=tuple(map(content_item, csv.DictReader(io.StringIO(texts["content_items.csv"])))),
        )
    except (KeyError, ValueError) as error:  # ValueError: TOML, a letter or an option that does not exist
        raise Invalid(f"these are no tables of PS3.15 Annex E: {error}", "make them anew from part15.xml") from None


def write(tables: Tables) -> dict[str, str]:
    """Return the texts of FILES, from which `read` gives the same rows, in the order of their tags and codes."""
    origin = [f"{key} = {json.dumps(getattr(tables, key), ensure_ascii=False)}" for key in _ORIGIN[:-1]]
    return {
        "origin.toml": "\n".join([*origin, f"notice = '''\n{tables.notice}'''", ""]),
        "attributes.csv": _lines(_ATTRIBUTE, tables.attributes),
        "content_items.csv": _lines(_CONTENT_ITEM, tables.content_items),
    }


def changes(before: Tables, after: Tables) -> list[Change]:
    """Return what is another action in another edition, by tag."""
    old, new = ({row.tag: row for row in tables.attributes} for tables in (before, after))
    names = {tag: row.name for tag, row in {**old, **new}.items()}
    pairs = ((tag, *(_told(rows.get(tag)) for rows in (old, new))) for tag in sorted(names))
    return [Change(tag, names[tag], was, now) for tag, was, now in pairs if was != now]


def _told(row: Row | None) -> str:
    if row is None:
        return ""
    return ", ".join((row.basic, *(f"{option} {row.options[option]}" for option in Option if option in row.options)))


def attribute(cells: Mapping[str, str]) -> Attribute:
    """Return the row of Table E.1-1 that has these cells, by the name of the column. Raises KeyError and ValueError."""
    if not _TAG.fullmatch(cells["tag"]):
        raise ValueError(f"{cells['tag']} is no tag")
    return Attribute(
        tag=cells["tag"],
        name=cells["name"],
        retired=bool(cells["retired"]),
        standard=bool(cells["standard"]),
        basic=_one_of(BASIC, cells["basic"]),
        options=_options(cells),
    )


def content_item(cells: Mapping[str, str]) -> ContentItem:
    """Return the row of Table E.3.4-1 that has these cells, by the name of the column. Raises KeyError and ValueError."""
    return ContentItem(
        scheme=cells["scheme"],
        code=cells["code"],
        name=cells["name"],
        value_type=cells["value_type"],
        retired=bool(cells["retired"]),
        basic=_one_of(BASIC, cells["basic"]),
        options=_options(cells),
    )


def _options(cells: Mapping[str, str]) -> dict[Option, str]:
    return {option: _one_of(OPTIONAL, cells[option]) for option in Option if cells[option]}


def _one_of(letters: AbstractSet[str], letter: str) -> str:
    if letter not in letters:
        raise ValueError(f"{letter!r} is no action")
    return letter


def _lines(columns: Sequence[str], rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(sorted([_cell(row, column) for column in columns] for row in rows))
    return text.getvalue()


def _cell(row: Row, column: str) -> str:
    if column in set(Option):
        return row.options.get(Option(column), "")
    value = getattr(row, column)
    return (column if value else "") if isinstance(value, bool) else str(value)
