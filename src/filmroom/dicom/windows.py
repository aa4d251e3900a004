"""Data sets that are not in memory: pydicom reads them as a stream, and long values stay where they lie."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO, RawIOBase
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE = 1 << 20


class Lengthy(Protocol):
    """Bytes that need not be in memory: a length, and slices of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, where: slice, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Window:
    """The value of an element that is too long to be read whole, where it lies."""

    data: Lengthy = field(repr=False)
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, where: slice) -> bytes:
        start, stop, _ = where.indices(len(self))
        return self.data[self.start + start : self.start + max(start, stop)]

    def pieces(self) -> Iterator[bytes]:
        """Yield the value bit by bit."""
        for at in range(0, len(self), _PIECE):
            yield self[at : at + _PIECE]


class _Reader(RawIOBase):
    """A stream over `Lengthy`, for pydicom. It ends early at `end`, where one is set."""

    def __init__(self, data: Lengthy) -> None:
        self._data = data
        self._at = 0
        self.end: int | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, len(self._data))[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, into: "WriteableBuffer") -> int:
        with memoryview(into) as view:
            stop = self._at + len(view)
            found = self._data[self._at : stop if self.end is None else min(stop, self.end)]
            view[: len(found)] = found
        self._at += len(found)
        return len(found)


def end_at(stream: BinaryIO, end: int | None) -> None:
    """Let a stream that `open_stream` made of what is not in memory end here; None takes that back."""
    if isinstance(stream, BufferedReader) and isinstance(stream.raw, _Reader):
        stream.raw.end = end


def open_stream(data: Lengthy) -> BinaryIO:
    """Return a stream over the bytes, at their start."""
    return BytesIO(data) if isinstance(data, bytes) else BufferedReader(_Reader(data), _PIECE)
