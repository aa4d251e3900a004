"""Media types with their parameters, and what a client accepts: RFC 9110 sections 5.6, 8.3 and 12.5, PS3.18 8.7.

Quoted strings are read as such, so that a comma, a semicolon or a quote in a parameter splits nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from filmroom.errors import Invalid

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
JSON = "application/json"
OCTETS = "application/octet-stream"
RELATED = "multipart/related"

_MAX_HEADER = 8192


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range in lower case, with its parameters by lower-case name."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def part(self) -> "MediaType":
        """Return what the parts of a `multipart/related` are, by its type parameter; any other type is its own part."""
        if self.name != RELATED:
            return self
        return MediaType(self.parameters.get("type", "*/*").lower(), self.parameters)

    def covers(self, name: str) -> bool:
        """Say whether this range has the media type `name` in it."""
        kind, _, sub = self.name.partition("/")
        return (sub == "*" and kind in ("*", name.partition("/")[0])) or self.name == name


def parse_media(text: str) -> MediaType:
    """Read a Content-Type. Raises Invalid for what is none."""
    found = parse_accept(text)
    if len(found) != 1:
        raise Invalid("this is not one media type", 'write for example: multipart/related; type="application/dicom"')
    return found[0]


def parse_accept(text: str) -> list[MediaType]:
    """Read an Accept header, the most wanted first; nothing that has q=0. Raises Invalid for what is none."""
    if len(text) > _MAX_HEADER:
        raise Invalid("a header of media types that is too long", f"use at most {_MAX_HEADER} characters")
    ranked: list[tuple[float, MediaType]] = []
    for entry in _split(text, ","):
        if not entry:
            continue
        name, *rest = _split(entry, ";")
        kind, slash, sub = name.lower().partition("/")
        if not (slash and kind and sub) or any(sign in name for sign in ' "='):
            raise Invalid("a media type that is none", "write for example: application/dicom+json")
        parameters = dict(_parameter(each) for each in rest if each)
        weight = _weight(parameters.pop("q", "1"))
        if weight > 0:
            ranked.append((weight, MediaType(name.lower(), parameters)))
    ranked.sort(key=lambda pair: -pair[0])
    return [media for _, media in ranked]


def choose(accepted: Sequence[MediaType], offered: Sequence[str]) -> str | None:
    """Return the offer that is wanted most, "" as what is accepted being anything; None when none is wanted."""
    if not accepted:
        return offered[0]
    return next((offer for media in accepted for offer in offered if media.covers(offer)), None)


def _split(text: str, separator: str) -> Iterator[str]:
    """Split outside of quoted strings, and strip."""
    start, quoted, escaped = 0, False, False
    for at, sign in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and sign == "\\":
            escaped = True
        elif sign == '"':
            quoted = not quoted
        elif sign == separator and not quoted:
            yield text[start:at].strip()
            start = at + 1
    if quoted:
        raise Invalid("a quoted string that does not end", "close its quotes")
    yield text[start:].strip()


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    value = value.strip()
    if not equals or not name.strip():
        raise Invalid("a parameter without a value", "write name=value")
    if value.startswith('"'):
        if len(value) < 2 or not value.endswith('"'):
            raise Invalid("a quoted string with something behind it", "put a semicolon there")
        value = _unescaped(value[1:-1])
    return name.strip().lower(), value


def _unescaped(text: str) -> str:
    signs = iter(text)
    return "".join(next(signs, "") if sign == "\\" else sign for sign in signs)


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        raise Invalid("a q that is no number", "write for example: q=0.5") from None
    return weight if 0 <= weight <= 1 else 0
