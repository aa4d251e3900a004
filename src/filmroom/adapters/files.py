"""Objects on a folder: the `Objects` port for one machine, or for a mounted file system.

An object is written beside its place and renamed into it, with file and folder synced, so that a crash leaves a stray
temporary file and never half an object. Strays are not listed. Folders are for their owner alone (0700), and so are
files (0600).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filmroom.adapters.durable import PARTIAL, is_idle, make_folders, replace_file, sync_folder
from filmroom.errors import Invalid, NotFound, Unavailable

_LONGEST_SEGMENT = 255


def check_object_name(name: str, *, is_prefix: bool = False) -> str:
    """Return `name` if every store can hold it; raise Invalid if not. "" is a prefix, and no name."""
    if is_prefix and not name:
        return name
    segments = name.split("/")
    try:
        too_long = any(len(segment.encode()) > _LONGEST_SEGMENT for segment in segments)
    except UnicodeEncodeError:
        too_long = True
    if too_long or any(segment in ("", ".", "..") or segment.startswith(PARTIAL) for segment in segments):
        raise Invalid("this cannot name an object", "use plain segments with / between them, at most 255 bytes each")
    if any(ord(character) < 32 or character in "\\\x7f" for character in name):
        raise Invalid("this cannot name an object", "leave out control characters and backslashes")
    return name


class FileObjects:
    """Objects below `root`, which is made when the first one is written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def is_near(self) -> bool:
        return True

    def put(self, name: str, data: bytes | bytearray | memoryview | Iterator[bytes]) -> None:
        path = self._path(name)
        with _translated(name):
            make_folders(path.parent)
            replace_file(path, data)

    def get(self, name: str) -> bytes:
        path = self._path(name)
        with _translated(name):
            return path.read_bytes()

    def get_range(self, name: str, start: int, length: int) -> bytes:
        path = self._path(name)
        if start < 0 or length < 0:
            raise Invalid("a range starts at 0 or later and is not negative", "correct start and length")
        with _translated(name), path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def size(self, name: str) -> int:
        path = self._path(name)
        with _translated(name):
            if not path.is_file():
                raise FileNotFoundError
            return path.stat().st_size

    def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            with _translated(name):
                path.unlink()
                sync_folder(path.parent)
        except NotFound:
            return

    def sweep(self, idle_seconds: float) -> int:
        with _translated(""):
            strays = [path for path in self._root.rglob(f"{PARTIAL}*") if is_idle(path, idle_seconds)]
            for path in strays:
                path.unlink(missing_ok=True)
        return len(strays)

    def names(self, prefix: str) -> Iterator[str]:
        start = self._root / check_object_name(prefix, is_prefix=True)
        if not start.is_dir():
            return

        def failed(error: OSError) -> None:
            raise error

        with _translated(prefix):
            for folder, _, files in os.walk(start, onerror=failed):
                below = Path(folder).relative_to(self._root)
                yield from ((below / file).as_posix() for file in files if not file.startswith(PARTIAL))

    def _path(self, name: str) -> Path:
        return self._root / check_object_name(name)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound(f"there is no object {name}", "check the name, and that this is the zone's location") from None
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise NotFound(f"{name} is not an object", "an object's name cannot be the folder of others") from None
    except PermissionError:
        raise Unavailable("the store does not let this process in", "check who owns the zone's folder") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unknown error"
        raise Unavailable(
            f"the store does not answer: {reason}", "free space or mend the disk, then try again"
        ) from None
