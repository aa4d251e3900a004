"""Objects that are too large for memory, on their way in: in a file without a name, which only this process can read.

What comes in is encrypted with AES-256 in counter mode under a key that is drawn for the file and kept in memory only: a
disk that is looked at later, or a crash, gives away nothing. It is hashed as it comes. Any range can be read.
"""

import hashlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from filmroom.crypto.counter import BLOCK, decrypt, encryptor
from filmroom.errors import Unavailable
from filmroom.ids import Digest
from filmroom.ports import Entropy

_KEY, _PIECE = 32, 1 << 20


class FileSpool:
    """Implements `ports.Spooled`. Appending is for one thread, reading for any once it is over."""

    def __init__(self, entropy: Entropy) -> None:
        self._key = entropy.draw(_KEY)
        with _translated():
            self._file = tempfile.TemporaryFile(prefix="filmroom-")  # noqa: SIM115  # closed by `close`
        self._encrypt = encryptor(self._key)
        self._hash = hashlib.sha256()
        self._size = 0
        self._lock = threading.Lock()

    def append(self, data: bytes | bytearray | memoryview) -> None:
        with _translated():
            self._file.write(self._encrypt(data))
        self._hash.update(data)
        self._size += len(data)

    @property
    def digest(self) -> Digest:
        return Digest(self._hash.hexdigest())

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, where: slice) -> bytes:
        start, stop, _ = where.indices(self._size)
        first, skipped = divmod(start, BLOCK)
        with self._lock, _translated():  # reading writes what is still in a buffer
            self._file.seek(first * BLOCK)
            sealed = self._file.read(max(0, stop - first * BLOCK))
        return decrypt(self._key, sealed, first)[skipped:]

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        end = self._size if stop is None else min(stop, self._size)
        for at in range(start, end, _PIECE):
            yield self[at : min(at + _PIECE, end)]

    def close(self) -> None:
        with suppress(OSError):  # what could not be written before cannot be now
            self._file.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise Unavailable(
            "there is no room for a large object", "free space where TMPDIR points, and send it again"
        ) from None


class FileSpools:
    """Implements `ports.Spools`: files where the system keeps temporary ones (`TMPDIR`)."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy

    def open(self) -> FileSpool:
        return FileSpool(self._entropy)
