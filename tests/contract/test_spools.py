"""What a spool promises: what was appended comes back, any range of it, and its file gives nothing away."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.adapters.spool import FileSpool, FileSpools
from filmroom.adapters.system import SystemEntropy
from filmroom.errors import Unavailable
from filmroom.flow.gather import IN_MEMORY, Budget, Gathering
from filmroom.ids import Digest


@given(st.lists(st.binary(max_size=200)), st.integers(-50, 900), st.integers(-50, 900))
def test_any_range_of_what_was_appended_comes_back(parts: list[bytes], start: int, stop: int) -> None:
    spool, whole = FileSpools(SystemEntropy()).open(), b"".join(parts)
    for part in parts:
        spool.append(part)
    assert (len(spool), spool.digest) == (len(whole), Digest.of(whole))
    assert spool[start:stop] == whole[start:stop]
    assert b"".join(spool.pieces()) == whole
    assert b"".join(spool.pieces(3, 40)) == whole[3:40]
    spool.close()


def test_a_spool_s_file_has_no_name_and_does_not_say_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    spool = FileSpool(SystemEntropy())
    spool.append(b"a patient's name" * 1000)
    assert spool[:16] == b"a patient's name"
    assert list(tmp_path.iterdir()) == []
    names = [Path(f"/proc/self/fd/{number}") for number in range(3, 200)]
    (handle,) = [name for name in names if name.is_symlink() and str(tmp_path) in os.readlink(name)]
    assert b"patient" not in handle.read_bytes()
    spool.close()


def test_small_objects_are_gathered_in_memory_and_large_ones_in_a_spool() -> None:
    piece, spools = os.urandom(IN_MEMORY // 4), FileSpools(SystemEntropy())
    gathering = Gathering(spools)
    for _ in range(4):
        gathering.append(piece)
    assert gathering.content() == piece * 4
    gathering.append(b"more")
    content = gathering.content()
    assert not isinstance(content, bytes)
    assert content.digest == Digest.of(piece * 4 + b"more")
    assert len(gathering) == len(content) == IN_MEMORY + 4
    content.close()


def test_when_the_budget_for_all_is_used_up_small_objects_go_to_a_spool_too() -> None:
    budget, spools = Budget(1000), FileSpools(SystemEntropy())
    first, second = Gathering(spools, budget), Gathering(spools, budget)
    first.append(bytes(900))
    second.append(bytes(50))
    second.append(bytes(60))
    assert (first.content(), budget.used) == (bytes(900), 900)
    content = second.content()
    assert not isinstance(content, bytes) and content[:] == bytes(110)
    first.close()
    second.close()
    assert budget.used == 0


@contextmanager
def full_disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_to_be_one() -> None:
    spool = FileSpool(SystemEntropy())
    with full_disk(), pytest.raises(Unavailable):
        spool.append(bytes(1 << 20))
    spool.close()


def test_a_disk_that_is_full_for_the_last_bytes_is_said_to_be_full_by_whoever_reads() -> None:
    spool = FileSpool(SystemEntropy())
    with full_disk():
        spool.append(b"the end")
        with pytest.raises(Unavailable):
            assert spool[:]
        spool.close()


def test_no_folder_for_temporary_files_is_said_like_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(Unavailable):
        FileSpools(SystemEntropy()).open()
