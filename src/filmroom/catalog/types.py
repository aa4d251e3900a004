"""What the columns of the catalog hold, the same on SQLite and on PostgreSQL, and how values are made to fit."""

import json
import math
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

from sqlalchemy import BigInteger, Integer, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from filmroom.canon import Json, parse_rfc3339, plain, rfc3339
from filmroom.errors import Corrupt
from filmroom.ids import Digest, Versioned
from filmroom.records import Column, ColumnType, Value

_MAX_INT = 2**63 - 1
_Held = TypeVar("_Held")
_Word = TypeVar("_Word", bound=StrEnum)


def storable(text: str) -> str:
    """Return `text` with what no engine can hold made visible: NUL as U+2400, lone surrogates as `\\udc80`."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\u2400")


class AsText(TypeDecorator[_Held], Generic[_Held]):
    """Values that are kept as text: `write` spells one, `read` is its inverse. What is absent stays NULL."""

    impl = Text
    cache_ok = True

    def __init__(self, write: Callable[[_Held], str], read: Callable[[str], _Held]) -> None:
        super().__init__()
        self.write = write
        self.read = read

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """Text whose order is that of its code points: SQLite's own order, and PostgreSQL's collation "C"."""
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: _Held | None, dialect: Dialect) -> str | None:
        return None if value is None else self.write(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> _Held | None:
        return None if value is None else self.read(value)


def _json(value: object) -> str:
    """Return JSON in ASCII, which both engines keep to the byte."""
    return json.dumps(plain(value), separators=(",", ":"))


def _from_json(text: str) -> Json:
    try:
        document: Json = json.loads(text)
    except ValueError:
        raise Corrupt("a document in the catalog is not JSON", "restore the catalog from a backup") from None
    return document


Words = AsText(storable, str)
"""Any text a sender may have written."""

Moment = AsText(rfc3339, parse_rfc3339)
"""A time, as RFC 3339 text in UTC with microseconds."""

DigestText = AsText(str, Digest.parse)
"""A digest, as `sha256:<64 hex>`."""

VersionedText = AsText(str, Versioned.parse)
"""A reference to a snapshot, as `name@version`."""

Document = AsText(_json, _from_json)
"""Records as JSON. Reading gives JSON values, not records."""


def choice(words: type[_Word]) -> AsText[_Word]:
    """One of the words of an enumeration."""
    return AsText(str, words)


KEY = BigInteger().with_variant(Integer, "sqlite")
"""The type of a surrogate key; SQLite gives keys out by itself only to INTEGER."""


def fit(column: Column, value: Value) -> Value:
    """Return what the column's type can hold of `value`: None for a number that is not finite or beyond 64 bits."""
    match column.type, value:
        case _, None:
            return None
        case ((ColumnType.TEXT | ColumnType.DATE), _):
            return storable(str(value))
        case ColumnType.INTEGER, int():
            return int(value) if abs(value) <= _MAX_INT else None
        case ColumnType.REAL, (int() | float()):
            try:
                number = float(value)
            except OverflowError:
                return None
            return number if math.isfinite(number) else None
        case _:
            return None
