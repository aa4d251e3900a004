"""Where a delivery comes from: files, folders, and zip, tar and tar.gz archives, one object at a time.

Nothing is written to disk: members of archives are read in place, their names are only labels, so a name that points
out of the archive does no harm. Archives inside archives are not opened. What cannot be read is an arrival with a
problem, and the rest goes on.
"""

import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from filmroom.errors import NotFound, Refused
from filmroom.ingest.sidecar import MAX_BYTES as SIDECAR_BYTES
from filmroom.ingest.sidecar import sidecar_name, volume_names
from filmroom.ingest.sniff import HEAD_BYTES, kind
from filmroom.records import Reason

# What zipfile, tarfile and gzip raise on broken, encrypted or unsupported archives.
_BROKEN = (
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
_STEP = 1 << 20
_FIRST_BYTES = 64 * 1024

FILE_UNREADABLE = Reason("file-unreadable", "the file cannot be read to its end")
_MEMBER_BROKEN = Reason("archive-member-broken", "the member cannot be unpacked, or its checksum differs")
SIDECAR = Reason(
    "sidecar", "describes the volume beside it, which has its fields in the catalog if it was new to the room"
)

_BOMB = Reason("archive-bomb", "the archive unpacks to far more than its size; the rest of it was left alone")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one path may bring. An archive may grow `ratio`-fold, and by `grace_bytes` whatever its size.

    Files over `in_memory` bytes are left to be read by whoever asked, and so are all DICOM files with `leave_dicom`.
    """

    object_bytes: int = 4 << 30
    in_memory: int = 32 << 20
    leave_dicom: bool = False
    members: int = 1_000_000
    total_bytes: int = 1 << 40
    ratio: int = 200
    grace_bytes: int = 256 << 20

    def inflated(self, size_bytes: int) -> int:
        """Return how many bytes may come out of an archive of this size."""
        return min(self.total_bytes, max(self.grace_bytes, size_bytes * self.ratio))


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that was looked at and not read, of `size` bytes."""

    name: str = field(repr=False)
    path: Path = field(repr=False)
    size: int
    is_dicom: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """One received object: what the sender calls it, which can be a patient's name, its bytes, and its sidecar's; or why
    there are none. A file may be left to be read.
    """

    name: str = field(repr=False)
    data: bytes | None = field(repr=False)
    problem: Reason | None = None
    sidecar: bytes = field(default=b"", repr=False)
    unread: Unread | None = None


@dataclass(slots=True)
class _Metered(io.RawIOBase):
    """A stream that gives out no more than `left` bytes, and raises Refused for more."""

    source: IO[bytes] | gzip.GzipFile
    left: int

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            size = self.left + 1
        data = self.source.read(min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise Refused(_BOMB.detail)
        return data


def arrivals(paths: Sequence[Path], limits: Limits | None = None) -> Iterator[Arrival]:
    """Return every object that lies at `paths`, one after the other, folders in sorted order.

    Links are followed only inside the folder. Raises NotFound, before anything is read, for a path that does not exist.
    """
    _must_exist(paths)
    return _arrivals(paths, limits or Limits())


def count(paths: Sequence[Path]) -> int:
    """Return the number of files at `paths`, for progress; an archive counts as one. Raises NotFound."""
    _must_exist(paths)
    return sum(sum(len(files) for _, _, files in os.walk(path)) if path.is_dir() else 1 for path in paths)


def dicom_files(paths: Sequence[Path]) -> Iterator[tuple[Path, bytes]]:
    """Yield the files at `paths` that begin as DICOM, outside of archives, with their first 64 KiB. Raises NotFound."""
    _must_exist(paths)
    for file in (file for path in paths for file, _, problem in _files(path) if problem is None):
        try:
            with file.open("rb") as stream:
                head = stream.read(_FIRST_BYTES)
        except OSError:
            continue  # as an arrival it says so
        if kind(head) == "dicom":
            yield file, head


def _arrivals(paths: Sequence[Path], limits: Limits) -> Iterator[Arrival]:
    for path in paths:
        for file, name, problem in _files(path):
            if problem is not None:
                yield Arrival(name, None, problem)
            else:
                yield from _file(file, name, limits)


def _must_exist(paths: Sequence[Path]) -> None:
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise NotFound(f"{', '.join(missing)} does not exist", "check the path")


def _label(name: str) -> str:
    """Return `name` so that every store can keep it: what is no Unicode is escaped, NUL too."""
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _files(path: Path) -> Iterator[tuple[Path, str, Reason | None]]:
    """Yield each file with its label and what keeps it from being read."""
    if not path.is_dir():
        yield path, _label(path.name), _no_file(path)
        return
    root = path.resolve()
    failures: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=failures.append):
        folders.sort()
        for file in sorted(files):
            found = Path(folder, file)
            label = _label(f"{path.name}/{found.relative_to(path).as_posix()}".lstrip("/"))
            if found.is_symlink() and not found.resolve().is_relative_to(root):
                yield found, label, Reason("link-outside", "a link that leads out of the folder")
            else:
                yield found, label, _no_file(found)
    for failure in failures:
        yield (
            path,
            _label(f"{path.name}/{Path(failure.filename).name}"),
            Reason("folder-unreadable", "the folder cannot be listed"),
        )


def _no_file(path: Path) -> Reason | None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return Reason("file-unreadable", "the file is not there or may not be read")
    return None if stat.S_ISREG(mode) else Reason("not-a-file", "neither a file nor a folder")


def _file(path: Path, name: str, limits: Limits) -> Iterator[Arrival]:
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            size = os.fstat(stream.fileno()).st_size
            stream.seek(0)
            what = kind(head)
            if what == "zip":
                yield from _zip(stream, name, size, limits)
            elif what == "tar":
                yield from _tar(stream, name, min(size + _STEP, limits.total_bytes), limits)
            elif what == "gzip" and _holds_tar(stream):
                with gzip.GzipFile(fileobj=stream) as inflated:
                    yield from _tar(inflated, name, limits.inflated(size), limits)
            elif size > limits.object_bytes:
                yield Arrival(name, None, _too_large(size, limits))
            elif size > limits.in_memory or (limits.leave_dicom and what == "dicom"):
                unread = Unread(name, path, size, is_dicom=what == "dicom")
                yield Arrival(name, None, sidecar=_beside(path), unread=unread)
            else:
                data = stream.read()
                if what == "text" and any(path.with_name(each).is_file() for each in volume_names(path.name)):
                    yield Arrival(name, data, SIDECAR)
                else:
                    yield Arrival(name, data, sidecar=_beside(path))
    except OSError:
        yield Arrival(name, None, FILE_UNREADABLE)


def _beside(path: Path) -> bytes:
    """Return the sidecar that lies beside a volume, b"" where there is none that can be read."""
    name = sidecar_name(path.name)
    found = None if name is None else path.with_name(name)
    try:
        if found is None or found.is_symlink() or not found.is_file() or found.stat().st_size > SIDECAR_BYTES:
            return b""
        return found.read_bytes()
    except OSError:
        return b""


def _too_large(size: int, limits: Limits) -> Reason:
    return Reason("too-large", f"{size:,} bytes; at most {limits.object_bytes:,} are taken")


def _holds_tar(stream: IO[bytes]) -> bool:
    """Say whether a gzip stream holds a tar archive, and leave the stream at its start."""
    try:
        head = gzip.GzipFile(fileobj=stream).read(512)
    except _BROKEN:
        head = b""
    stream.seek(0)
    return kind(head) == "tar"


def _zip(stream: IO[bytes], name: str, size: int, limits: Limits) -> Iterator[Arrival]:
    """Yield every file of a zip archive."""
    try:
        archive = zipfile.ZipFile(stream)
    except _BROKEN:
        yield Arrival(name, None, Reason("archive-broken", "the zip archive has no readable table of contents"))
        return
    left = limits.inflated(size)
    members = [member for member in archive.infolist() if not member.is_dir()]
    names = archive.NameToInfo
    for member in members[: limits.members]:
        label = f"{name}/{_label(member.filename)}"
        if member.flag_bits & 1:
            yield Arrival(label, None, Reason("archive-encrypted", "the member is encrypted"))
            continue
        if member.file_size > limits.object_bytes:
            yield Arrival(label, None, _too_large(member.file_size, limits))
            continue
        data, cost = _unpacked(archive, member, left)
        left -= cost
        if left < 0:
            yield Arrival(label, None, _BOMB)
            return
        if data is None:
            yield Arrival(label, None, _MEMBER_BROKEN)
        elif any(each in names for each in volume_names(member.filename)) and kind(data[:HEAD_BYTES]) == "text":
            yield Arrival(label, data, SIDECAR)
        else:
            sidecar, cost = _packed_beside(archive, member.filename, names)
            left -= cost
            yield Arrival(label, data, sidecar=sidecar)
    if len(members) > limits.members:
        yield Arrival(name, None, _too_many(len(members), limits))


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> tuple[bytes | None, int]:
    """Return the first bytes of a member, one step above `most` of them at the most, and how many were unpacked.

    None for the bytes of a broken member. What came out of it before counts all the same: its checksum comes last.
    """
    parts: list[bytes] = []
    size = 0
    try:
        with archive.open(member) as inside:
            while size <= most and (part := inside.read(_STEP)):
                parts.append(part)
                size += len(part)
    except _BROKEN:
        return None, min(size + _STEP, member.file_size)
    return b"".join(parts), size


def _packed_beside(archive: zipfile.ZipFile, name: str, names: Mapping[str, zipfile.ZipInfo]) -> tuple[bytes, int]:
    """Return the sidecar of a member, b"" for none that can be read, and how many bytes were unpacked for it."""
    member = names.get(sidecar_name(name) or "")
    if member is None or member.flag_bits & 1 or member.file_size > SIDECAR_BYTES:
        return b"", 0
    sidecar, cost = _unpacked(archive, member, SIDECAR_BYTES)
    return sidecar or b"", cost


def _too_many(found: int, limits: Limits) -> Reason:
    return Reason("archive-members", f"{found:,} members or more; the first {limits.members:,} were taken")


def _tar(stream: IO[bytes] | gzip.GzipFile, name: str, allowed: int, limits: Limits) -> Iterator[Arrival]:
    """Yield every file of a tar stream, in one pass."""
    metered = _Metered(stream, allowed)
    taken = 0
    try:
        with closing(tarfile.open(fileobj=metered, mode="r|", bufsize=64 * tarfile.BLOCKSIZE)) as archive:
            for member in archive:
                label = f"{name}/{_label(member.name)}"
                if member.isdir():
                    continue
                if taken >= limits.members:
                    yield Arrival(name, None, _too_many(taken + 1, limits))
                    return
                taken += 1
                if not member.isreg() or member.issparse():
                    yield Arrival(label, None, Reason("archive-special", "a link, device or sparse file in an archive"))
                elif member.size > limits.object_bytes:
                    yield Arrival(label, None, _too_large(member.size, limits))
                else:
                    yield _tar_member(archive, member, label)
    except Refused:
        yield Arrival(name, None, _BOMB)
    except _BROKEN:
        yield Arrival(
            name, None, Reason("archive-broken", "the archive ends early or is damaged; what came before was taken")
        )


def _tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo, label: str) -> Arrival:
    inside = archive.extractfile(member)
    data = inside.read() if inside is not None else b""
    if len(data) < member.size:
        return Arrival(
            label,
            None,
            Reason("archive-member-broken", f"the member ends after {len(data):,} of {member.size:,} bytes"),
        )
    return Arrival(label, data)
