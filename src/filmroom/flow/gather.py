"""One object as it comes in: in memory while it is small, in a spool from where it is not."""

from filmroom.ports import Content, Spooled, Spools

IN_MEMORY = 32 * 2**20
"""How many bytes of an object are in memory at the most."""


class Gathering:
    """Bytes of one object, appended in order. Whoever takes the content closes it when the object is in."""

    def __init__(self, spools: Spools) -> None:
        self._spools = spools
        self._parts = bytearray()
        self._spool: Spooled | None = None

    def __len__(self) -> int:
        return len(self._parts) if self._spool is None else len(self._spool)

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises Unavailable when there is no room for more."""
        if self._spool is None and len(self._parts) + len(data) > IN_MEMORY:
            self._spool = self._spools.open()
            self._spool.append(self._parts)
            self._parts = bytearray()
        if self._spool is None:
            self._parts += data
        else:
            self._spool.append(data)

    def content(self) -> Content:
        """Return what came."""
        return bytes(self._parts) if self._spool is None else self._spool

    def drop(self) -> None:
        """Forget what came."""
        self._parts = bytearray()
        if self._spool is not None:
            self._spool.close()
            self._spool = None


def close(content: Content) -> None:
    """Let go of an object that is in."""
    if not isinstance(content, bytes):
        content.close()
