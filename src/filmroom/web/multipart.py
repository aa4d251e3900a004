"""Multipart bodies without I/O: bytes in and events out, and parts into bytes. RFC 2046 section 5.1, RFC 2387.

The parser keeps no more than a part's header or a delimiter's length of bytes, however large the parts are. It takes
boundaries that are split anywhere, a preamble, an epilogue and parts without a header. A body that ends before its last
boundary, and a header that does not end, are Invalid: what was whole before that has been handed out already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from filmroom.errors import Invalid

MAX_HEADER_BYTES = 16 * 1024
MAX_BOUNDARY = 200
MAX_PREAMBLE_BYTES = 64 * 1024

_PADDING = 64
"""White space that may stand between a boundary and the end of its line."""


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part's header fields by lower-case name."""

    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PartData:
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PartEnds:
    pass


Event: TypeAlias = PartBegins | PartData | PartEnds


class _State(Enum):
    PREAMBLE = auto()
    HEADER = auto()
    START = auto()
    CONTENT = auto()
    EPILOGUE = auto()


class Parser:
    """One body. Feed it with `receive` and say with `finish` that no more will come."""

    def __init__(self, boundary: str) -> None:
        """Raises Invalid for a boundary that is empty, too long or not ASCII."""
        if not boundary or len(boundary) > MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
            raise Invalid("the boundary of the multipart body is missing or impossible", "see RFC 2046 section 5.1.1")
        self._mark = b"\r\n--" + boundary.encode("ascii")
        # A first boundary may stand at the very start, as if behind the end of a line.
        self._held = bytearray(b"\r\n")
        self._state = _State.PREAMBLE
        self._skipped = 0

    def receive(self, data: bytes) -> Iterator[Event]:
        """Yield what these bytes complete. Raises Invalid for what is no multipart body."""
        self._held += data
        before: tuple[_State, int] | None = None
        while before != (before := (self._state, len(self._held))):
            yield from self._step()

    def _step(self) -> Iterator[Event]:
        match self._state:
            case _State.PREAMBLE:
                for skipped in self._content():
                    if isinstance(skipped, PartData):
                        self._skip(len(skipped.data))
            case _State.HEADER:
                yield from self._header()
            case _State.START:
                yield from self._start()
            case _State.CONTENT:
                yield from self._content()
            case _State.EPILOGUE:
                self._held.clear()

    def finish(self) -> None:
        """Raises Invalid when the body ended before its last boundary."""
        if self._state is not _State.EPILOGUE:
            raise Invalid("the multipart body ends before its last boundary", "send it again, whole")

    def _content(self) -> Iterator[Event]:
        """Hand out content up to a delimiter, or as much as cannot be the beginning of one."""
        at = self._held.find(self._mark)
        if at < 0:
            safe = len(self._held) - len(self._mark) + 1
            if safe > 0:
                yield self._cut(safe)
            return
        if at > 0:
            yield self._cut(at)
        line = self._line_after_mark()
        if line is None:  # more bytes are needed to tell
            return
        behind, is_last = line
        if behind < 0:  # it only looked like one
            yield self._cut(len(self._mark))
            return
        was_content = self._state is _State.CONTENT
        del self._held[:behind]
        self._state = _State.EPILOGUE if is_last else _State.HEADER
        if was_content:
            yield PartEnds()

    def _line_after_mark(self) -> tuple[int, bool] | None:
        """Return where the delimiter's line ends and whether it is the last; -1 when this is no delimiter."""
        at = len(self._mark)
        head = bytes(self._held[at : at + _PADDING + 2])
        if head.startswith(b"--"):
            return at + 2, True
        rest = head.lstrip(b" \t")
        if rest.startswith(b"\r\n"):
            return at + len(head) - len(rest), False  # the end of the line stays: it may end an empty header
        if (len(head) < _PADDING + 2 and rest in (b"", b"\r")) or head == b"-":
            return None
        return -1, False

    def _header(self) -> Iterator[Event]:
        """Read a part's header, which begins behind an end of line and ends with an empty line (or at a boundary)."""
        end = self._held.find(b"\r\n\r\n")
        if end > MAX_HEADER_BYTES or (end < 0 and len(self._held) > MAX_HEADER_BYTES):
            raise Invalid("a part's header is too long", f"use at most {MAX_HEADER_BYTES} bytes")
        if end < 0:
            return
        headers = _fields(bytes(self._held[2:end]))
        del self._held[: end + 2]
        self._state = _State.START
        yield PartBegins(headers)

    def _start(self) -> Iterator[Event]:
        """Look at the end of line between header and content: it belongs to a delimiter that follows at once."""
        if len(self._held) < len(self._mark) and self._mark.startswith(self._held):
            return
        if self._held.startswith(self._mark):
            line = self._line_after_mark()
            if line is None:
                return
            if line[0] > 0:
                del self._held[: line[0]]
                self._state = _State.EPILOGUE if line[1] else _State.HEADER
                yield PartEnds()
                return
        del self._held[:2]
        self._state = _State.CONTENT

    def _cut(self, count: int) -> PartData:
        data = bytes(memoryview(self._held)[:count])
        del self._held[:count]
        return PartData(data)

    def _skip(self, count: int) -> None:
        self._skipped += count
        if self._skipped > MAX_PREAMBLE_BYTES:
            raise Invalid("no boundary of the multipart body comes", "check the boundary parameter of Content-Type")


def _fields(header: bytes) -> dict[str, str]:
    """Read header fields; a line that begins with white space continues the one before."""
    fields: dict[str, str] = {}
    name = ""
    for line in header.split(b"\r\n") if header else ():
        text = line.decode("latin-1")
        if text[:1] in (" ", "\t") and name:
            fields[name] += " " + text.strip()
            continue
        name, colon, value = text.partition(":")
        name = name.strip().lower()
        if not colon or not name:
            raise Invalid("a part's header has a line that is no field", "write Name: value")
        fields[name] = value.strip()
    return fields


# -- out -----------------------------------------------------------------------------------------------------------


def opening(boundary: str, content_type: str, content_range: str = "") -> bytes:
    """Return what stands before a part's content; `content_range` says which bytes of it when these are not all."""
    lines = [f"--{boundary}", f"Content-Type: {content_type}"]
    if content_range:
        lines.append(f"Content-Range: {content_range}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def closing(boundary: str) -> bytes:
    """Return what stands behind the last part."""
    return f"--{boundary}--\r\n".encode("ascii")


def content_type(boundary: str, part: str) -> str:
    """Return the Content-Type of a whole body whose parts are of the type `part`."""
    return f'multipart/related; type="{part}"; boundary={boundary}'
