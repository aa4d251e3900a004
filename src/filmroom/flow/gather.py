"""One object as it comes in: in memory while it is small, in a spool from where it is not."""

import hashlib
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from filmroom.ids import Digest
from filmroom.ports import Content, Spooled, Spools

IN_MEMORY = 32 * 2**20
"""How many bytes of an object are in memory at the most."""


@dataclass(slots=True)
class Budget:
    """How many bytes of all objects together may be in memory; for one thread."""

    limit: int
    used: int = 0


class Gathering:
    """Bytes of one object, appended in order, and closed when the object is in.

    With a `budget`, what does not fit into it goes to a spool, however small. A door that waits for its sender anyway lets
    it hash what comes meanwhile. Used in a `with` statement, it is closed
    when an exception leaves, and otherwise by whoever takes the content.
    """

    def __init__(self, spools: Spools, budget: Budget | None = None, *, hashing: bool = False) -> None:
        self._budget = budget or Budget(IN_MEMORY)
        self._spools = spools
        self._parts = bytearray()
        self._spool: Spooled | None = None
        self._hash = hashlib.sha256() if hashing else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.close()

    def __len__(self) -> int:
        return len(self._parts) if self._spool is None else len(self._spool)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises Unavailable when there is no room for more."""
        if self._spool is None:
            is_large = len(self._parts) + len(data) > IN_MEMORY
            if not is_large and self._budget.used + len(data) <= self._budget.limit:
                self._parts += data
                self._budget.used += len(data)
                if self._hash is not None:
                    self._hash.update(data)
                return
            self._spool = self._spools.open()
            self._spool.append(self._parts)
            self._forget_parts()
        self._spool.append(data)

    def content(self) -> Content:
        """Return what came."""
        return bytes(self._parts) if self._spool is None else self._spool

    @property
    def digest(self) -> Digest | None:
        """The digest of what came, where it was hashed."""
        if self._spool is not None:
            return self._spool.digest
        return None if self._hash is None else Digest(self._hash.hexdigest())

    def close(self) -> None:
        """Let go of what came."""
        self._forget_parts()
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _forget_parts(self) -> None:
        self._budget.used -= len(self._parts)
        self._parts = bytearray()


def close(content: Content) -> None:
    """Let go of an object that is in."""
    if not isinstance(content, bytes):
        content.close()
