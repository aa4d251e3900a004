"""Deliveries come as files, folders and archives; a broken or malicious one costs a line in the ledger, not the import."""

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from filmroom.errors import NotFound
from filmroom.ingest.sources import Arrival, Limits, arrivals, count

SMALL = Limits(object_bytes=1000, members=5, ratio=10, grace_bytes=4000)


def came(*paths: Path, limits: Limits | None = None) -> list[tuple[str, bytes | str | None]]:
    """What arrived: the name, and the bytes or the code of the problem."""
    return [(each.name, each.problem.code if each.problem else each.data) for each in arrivals(paths, limits)]


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(buffer.getvalue()) if mode == "w:gz" else buffer.getvalue())
    return path


def test_folders_come_in_order_whatever_the_files_are_called(tmp_path: Path) -> None:
    for name in ("b/2", "a.dcm", "b/1.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    assert came(tmp_path / "in") == [("in/a.dcm", b"a.dcm"), ("in/b/1.txt", b"b/1.txt"), ("in/b/2", b"b/2")]
    assert count([tmp_path / "in", tmp_path / "in" / "a.dcm"]) == 4


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_archives_are_known_by_content_and_their_members_keep_their_names(tmp_path: Path, mode: str) -> None:
    members = {"x/one": b"1", "../../etc/passwd": b"2", "/abs": b"3"}
    path = tmp_path / "delivery"
    if mode == "zip":
        zipped(path, members)
    else:
        tarred(path, members, mode)
    names = ["delivery/x/one", "delivery/../../etc/passwd", "delivery//abs"]
    assert [data for _, data in came(path)] == [b"1", b"2", b"3"]
    assert [name.replace("//", "/") for name, _ in came(path)] == [name.replace("//", "/") for name in names]
    assert count([path]) == 1
    assert sorted(os.listdir(tmp_path)) == ["delivery"]


def test_archives_in_archives_stay_closed(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a": b"1"}).read_bytes()
    assert came(zipped(tmp_path / "outer.zip", {"inner.zip": inner})) == [("outer.zip/inner.zip", inner)]


def test_a_gzip_file_that_is_no_archive_comes_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "volume.nii.gz").write_bytes(data := gzip.compress(b"not a tar"))
    assert came(tmp_path / "volume.nii.gz") == [("volume.nii.gz", data)]


@pytest.mark.parametrize("mode", ["zip", "w:gz"])
def test_a_bomb_is_left_alone_and_the_rest_goes_on(tmp_path: Path, mode: str) -> None:
    members = {f"{number}": bytes(900) for number in range(5)} | {"big": bytes(900)}
    path = tmp_path / "bomb"
    if mode == "zip":
        zipped(path, members)
    else:
        tarred(path, members, mode)
    (tmp_path / "good").write_bytes(b"good")
    seen = came(path, tmp_path / "good", limits=Limits(object_bytes=1000, ratio=1, grace_bytes=3000))
    assert "archive-bomb" in [data for _, data in seen]
    assert sum(len(data) for _, data in seen if isinstance(data, bytes)) < 3000
    assert seen[-1] == ("good", b"good")


def test_a_member_that_is_too_large_is_named_and_skipped(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z", {"big": bytes(1001), "small": b"1"})
    assert came(path, limits=SMALL) == [("z/big", "too-large"), ("z/small", b"1")]
    path = tarred(tmp_path / "t", {"big": bytes(1001), "small": b"1"})
    assert came(path, limits=SMALL) == [("t/big", "too-large"), ("t/small", b"1")]


def test_a_file_that_is_too_large_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(bytes(1001))
    assert came(tmp_path / "huge", limits=SMALL) == [("huge", "too-large")]


@pytest.mark.parametrize("make", [zipped, tarred])
def test_too_many_members_are_cut_off_and_said(tmp_path: Path, make: object) -> None:
    assert callable(make)
    seen = came(make(tmp_path / "many", {f"{number}": b"1" for number in range(7)}), limits=SMALL)
    assert [data for _, data in seen] == [b"1"] * 5 + ["archive-members"]


def test_a_damaged_member_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "z"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first", b"AAAA")
        archive.writestr("second", b"BBBB")
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AXAA"))
    assert came(path) == [("z/first", "archive-member-broken"), ("z/second", b"BBBB")]


def test_broken_members_are_a_bomb_like_any_others(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z", {f"{number}": b"AAAA" + bytes(896) for number in range(9)})
    data = path.read_bytes()
    for checksum in {member.CRC for member in zipfile.ZipFile(path).infolist()}:
        data = data.replace(checksum.to_bytes(4, "little"), b"\1\2\3\4")
    path.write_bytes(data)
    seen = [data for _, data in came(path, limits=Limits(object_bytes=1000, ratio=1, grace_bytes=3000))]
    assert seen == ["archive-member-broken"] * 3 + ["archive-bomb"]


def test_an_arrival_shows_neither_its_name_nor_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "DOE_JANE").write_bytes(b"DOE^JANE")
    (arrival,) = arrivals([tmp_path / "DOE_JANE"])
    assert "DOE" not in repr(arrival)


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z", {"secret": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert came(path) == [("z/secret", "archive-encrypted")]


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_cut_anywhere_an_archive_never_raises(tmp_path: Path, mode: str) -> None:
    members = {"a": b"A" * 700, "b": b"B" * 700}
    path = tmp_path / "whole"
    whole = (zipped(path, members) if mode == "zip" else tarred(path, members, mode)).read_bytes()
    for end in range(0, len(whole), 97 if mode == "w" else 1):
        (tmp_path / "cut").write_bytes(whole[:end])
        seen = came(tmp_path / "cut")
        assert seen
        assert {data for _, data in seen if isinstance(data, bytes)} <= {b"A" * 700, b"B" * 700, whole[:end]}


def test_links_devices_and_special_files_bring_nothing(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert came(tmp_path / "t.tar") == [("t.tar/link", "archive-special")]
    folder = tmp_path / "in"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "inside").write_bytes(b"1")
    (folder / "a_link").symlink_to(folder / "inside")
    (folder / "out").symlink_to(tmp_path / "t.tar")
    (folder / "loop").symlink_to(folder)
    assert came(folder) == [
        ("in/a_link", b"1"),
        ("in/inside", b"1"),
        ("in/out", "link-outside"),
        ("in/pipe", "not-a-file"),
    ]


def test_a_name_that_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / os.fsdecode(b"M\xfcller")).write_bytes(b"1")
    ((name, _),) = came(tmp_path / "in")
    assert name.encode()
    assert name == "in/M\\udcfcller"


def test_a_path_that_is_not_there_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        arrivals([tmp_path, tmp_path / "nowhere"])
    with pytest.raises(NotFound):
        count([tmp_path / "nowhere"])


def test_an_empty_archive_brings_nothing_and_an_empty_file_comes_as_it_is(tmp_path: Path) -> None:
    zipped(tmp_path / "z", {})
    (tmp_path / "empty").write_bytes(b"")
    assert list(arrivals([tmp_path / "z", tmp_path / "empty"])) == [Arrival("empty", b"")]
