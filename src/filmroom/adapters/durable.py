"""Files and folders that are on the device when a call returns, and that a crash leaves whole or not at all.

A file is written beside its place and gets its name when its bytes are durable. Names that begin with `PARTIAL` are what
a crash left behind. Files (0600) and folders (0700) are for their owner alone. What the system refuses is raised as
OSError: who calls says what it means.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

PARTIAL = ".partial-"

Content: TypeAlias = bytes | bytearray | memoryview | Iterator[bytes]


def replace_file(path: Path, data: Content) -> None:
    """Write the file, in place of the one that may be there."""
    with _beside(path, data) as partial:
        os.replace(partial, path)
    sync_folder(path.parent)


def create_file(path: Path, data: Content) -> None:
    """Write the file unless there is one: a link cannot overwrite, whoever else is doing the same."""
    with _beside(path, data) as partial, suppress(FileExistsError):
        os.link(partial, path)
    sync_folder(path.parent)


def make_folders(folder: Path) -> None:
    """Make the folder and those above it, each durable in the one above."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def is_idle(path: Path, seconds: float) -> bool:
    """Say whether nobody wrote to the file for so long, by the clock of the disk that it lies on."""
    with tempfile.TemporaryFile(dir=path.parent) as now, suppress(FileNotFoundError):
        return os.fstat(now.fileno()).st_mtime - path.stat().st_mtime >= seconds
    return False


def sync_folder(folder: Path) -> None:
    """Wait until the names in the folder are on the device."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _make_durable(handle)
    finally:
        os.close(handle)


@contextmanager
def _beside(path: Path, data: Content) -> Iterator[str]:
    """Yield the name of a durable file in the folder of `path`; it goes away unless the block moves it."""
    handle, partial = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            if isinstance(data, bytes | bytearray | memoryview):
                file.write(data)
            else:
                file.writelines(data)
            file.flush()
            _make_durable(file.fileno())
        yield partial
    finally:
        Path(partial).unlink(missing_ok=True)


def _make_durable(handle: int) -> None:
    """Wait until the device has it: on macOS, fsync alone leaves it in the drive's cache."""
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(handle)
    else:
        fcntl.fcntl(handle, full_sync)
