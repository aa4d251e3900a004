"""Attribute matching (PS3.4 C.2.2.2): what a door is asked by becomes conditions of the query language.

Pure functions. What somebody else writes only ever becomes quoted literals, numbers and the names of columns. Only `*` and
`?` are wild cards. Where a column holds several values, LIKE cannot keep a wild card within one of them: `pattern` says
what such a text means exactly.
"""

import re
from collections.abc import Iterable, Iterator

from filmroom.dicom import values
from filmroom.dicom.attributes import COLUMNS, UPPER
from filmroom.errors import Invalid
from filmroom.records import Column, ColumnType

_CALCULATED = frozenset(
    {"age_years", "pixel_spacing_mm", "orientation"}
)  # what the catalog keeps of these is not their value
_ALIASES = {"ModalitiesInStudy": "Modality", "SOPClassesInStudy": "SOPClassUID"}
_OWN = {column.dicom: column for column in COLUMNS if column.dicom and column.name not in _CALCULATED}
COLUMN_OF = _OWN | {alias: _OWN[keyword] for alias, keyword in _ALIASES.items()}
"""The column that a keyword is matched with."""

MANY = frozenset({"image_type", "software", "sequence", "diagnosis", "reading_physician"})
"""Columns that hold several values, joined by backslashes; one that matches is enough."""

_AT_ONCE = 1000
_CHARACTERS = 50_000
_AS_PATTERN = str.maketrans({"*": "%", "?": "_", "%": "!%", "_": "!_", "!": "!!"})
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{0,15})?\Z")


def is_universal(text: str) -> bool:
    """Say whether everything matches this text, even what has no value."""
    return not text.strip("* ")


def condition(column: Column, text: str) -> str:
    """Return the condition for one matching key, "" for one that everything matches.

    Raises Invalid, naming the attribute and no value, for what no value of the column can be compared with.
    """
    if is_universal(text):
        return ""
    match column.type:
        case ColumnType.DATE:
            return _dates(column, text)
        case ColumnType.INTEGER | ColumnType.REAL:
            return f"{column.name} = {_number(column, text.strip())}"
        case ColumnType.TEXT:
            return _text(column, text)


def pattern(column: Column, text: str) -> re.Pattern[str] | None:
    """Return what a text means exactly, to match a stored value from its start; None where `condition` says it all.

    However many wild cards there are, matching takes no longer than the text times the value: each part between two of
    them is taken where it first fits.
    """
    if column.name not in MANY or not _is_wild(column, text):
        return None
    any_one = r"[^\\]"
    first, *rest = (
        "".join(any_one if sign == "?" else re.escape(sign) for sign in part)
        for part in _as_stored(column, text).split("*")
    )
    between, last = (
        "".join(f"(?>{any_one}*?{part})" for part in rest[:-1]),
        "".join(f"{any_one}*{part}" for part in rest[-1:]),
    )
    return re.compile(rf"(?:.*\\)?{first}{between}{last}(?:\\.*)?\Z", re.DOTALL)


def among(name: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield conditions that together find all rows whose column `name` is one of `texts`.

    Each is of a size that the language takes.
    """
    some: list[str] = []
    size = 0
    for text in sorted(set(texts)):
        if some and (len(some) == _AT_ONCE or size + len(text) > _CHARACTERS):
            yield _one_of(name, some)
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield _one_of(name, some)


def quote(text: str) -> str:
    """Return a text as a literal of the query language."""
    return "'" + text.replace("'", "''") + "'"


def _one_of(name: str, texts: Iterable[str]) -> str:
    return f"{name} IN ({', '.join(map(quote, texts))})"


def _number(column: Column, text: str) -> str:
    if not _NUMBER.match(text):
        raise Invalid(f"{column.dicom} is compared with something that is no number", "write digits")
    return text.lstrip("+").rstrip(".")


def _dates(column: Column, text: str) -> str:
    """Return a condition for a date or a range of dates (PS3.4 C.2.2.2.5)."""
    low, dash, high = (part.strip() for part in text.partition("-"))
    if not dash:
        return f"{column.name} = {_day(column, low)}"
    bounds = [f"{column.name} {sign} {_day(column, day)}" for sign, day in ((">=", low), ("<=", high)) if day]
    return " AND ".join(bounds) or f"{column.name} IS NOT NULL"


def _day(column: Column, text: str) -> str:
    day = values.day(text)
    if day is None:
        raise Invalid(f"{column.dicom} is compared with something that is no date", "write YYYYMMDD, or a range with -")
    return quote(day)


def _text(column: Column, text: str) -> str:
    text = _as_stored(column, text)
    if column.name in MANY or _is_wild(column, text):
        one = text.translate(_AS_PATTERN)
        several = (f"{one}\\%", f"%\\{one}", f"%\\{one}\\%") if column.name in MANY else ()
        return " OR ".join(_like(column, each) for each in (one, *several))
    if _is_uid(column) or column.name == "modality_received":
        listed = [part for part in (part.strip() for part in re.split(r"[,\\]", text)) if part]
        if not listed:
            raise Invalid(f"{column.dicom} is compared with an empty list", "name at least one value")
        return _one_of(column.name, listed) if len(listed) > 1 else f"{column.name} = {quote(listed[0])}"
    return f"{column.name} = {quote(text)}"


def _like(column: Column, pattern: str) -> str:
    escape = " ESCAPE '!'" if "!" in pattern else ""
    return f"{column.name} LIKE {quote(pattern)}{escape}"


def _is_uid(column: Column) -> bool:
    return column.dicom.endswith("UID")


def _is_wild(column: Column, text: str) -> bool:
    return column.type is ColumnType.TEXT and not _is_uid(column) and ("*" in text or "?" in text)


def _as_stored(column: Column, text: str) -> str:
    return text.upper() if column.name in UPPER else text
