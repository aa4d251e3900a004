"""The one way to turn a record into bytes and a digest, and into the JSON that users see.

`canonical` follows RFC 8785 (JCS) for what filmroom puts into signed documents: objects with string keys sorted
by UTF-16 code units, strings, booleans, null and integers below 2^53. Floats are refused, so that two writers can
never disagree about a number's spelling: a quantity goes in as an integer or as a string.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from json.encoder import encode_basestring
from typing import TypeAlias

from filmroom.errors import Invalid
from filmroom.ids import Digest, Versioned

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_MAX_INT = 2**53 - 1
_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


def plain(value: object) -> Json:
    """Turn records, digests, times and tuples into JSON values: field names as keys, times as RFC 3339 UTC."""
    if type(value) in _AS_THEY_ARE:  # most of what there is
        return value  # type: ignore[return-value]
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case Digest() | Versioned():
            return str(value)
        case datetime():
            return rfc3339(value)
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {name: plain(getattr(value, name)) for name in _names(type(value))}
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def canonical(value: object) -> bytes:
    """Return the RFC 8785 bytes of `value`. Raises Invalid for floats and for integers of 2^53 and more."""
    try:
        return _encode(plain(value)).encode()
    except UnicodeEncodeError:
        raise Invalid("half a character has no canonical form", "give whole Unicode text") from None


def digest_of(value: object) -> Digest:
    """Return the digest of the canonical bytes of `value`."""
    return Digest.of(canonical(value))


def rfc3339(moment: datetime) -> str:
    """Return `moment` as RFC 3339 UTC with microseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _encode(value: Json) -> str:
    match value:
        case str():
            return encode_basestring(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            if abs(value) > _MAX_INT:
                raise Invalid("an integer of 2^53 or more has no canonical form", "write it as a string")
            return str(value)
        case float():
            raise Invalid("a float has no place in a signed document", "write it as an integer or a string")
        case list():
            return "[" + ",".join(map(_encode, value)) + "]"
        case dict():
            keys = sorted(value) if all(map(str.isascii, value)) else sorted(value, key=_utf_16)
            return "{" + ",".join(f"{encode_basestring(key)}:{_encode(value[key])}" for key in keys) + "}"


def _utf_16(key: str) -> bytes:
    return key.encode("utf-16-be")
