"""What the columns of the catalog hold, the same on SQLite and on PostgreSQL, and how values are made to fit."""

import json
import math
from datetime import datetime
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
_Word = TypeVar("_Word", bound=StrEnum)


def storable(text: str) -> str:
    """Return `text` with what no engine can hold made visible: NUL as U+2400, lone surrogates as `\\udc80`."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\u2400")


def _text(dialect: Dialect) -> TypeEngine[str]:
    """Text whose order is that of its code points: SQLite's own order, and PostgreSQL's collation "C"."""
    return Text(collation="C") if dialect.name == "postgresql" else Text()


class Words(TypeDecorator[str]):
    """Any text a sender may have written."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return _text(dialect)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class Moment(TypeDecorator[datetime]):
    """A time, as RFC 3339 text in UTC with microseconds."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return _text(dialect)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else rfc3339(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else parse_rfc3339(value)


class DigestText(TypeDecorator[Digest]):
    """A digest, as `sha256:<64 hex>`."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return _text(dialect)

    def process_bind_param(self, value: Digest | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Digest | None:
        return None if value is None else Digest.parse(value)


class VersionedText(TypeDecorator[Versioned]):
    """A reference to a snapshot, as `name@version`."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return _text(dialect)

    def process_bind_param(self, value: Versioned | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Versioned | None:
        return None if value is None else Versioned.parse(value)


class Choice(TypeDecorator[_Word], Generic[_Word]):
    """One of the words of an enumeration."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[_Word]) -> None:
        super().__init__()
        self.words = words

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return _text(dialect)

    def process_bind_param(self, value: _Word | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> _Word | None:
        return None if value is None else self.words(value)


class Document(TypeDecorator[Json]):
    """Records as JSON text in ASCII, which both engines keep to the byte. Reading gives JSON values, not records."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return _text(dialect)

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(plain(value), separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Json:
        if value is None:
            return None
        try:
            document: Json = json.loads(value)
        except ValueError:
            raise Corrupt("a document in the catalog is not JSON", "restore the catalog from a backup") from None
        return document


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
