"""What every store of objects promises, asked of memory, of a folder, and of a bucket on a real S3 server."""

import os
import stat
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path

import pytest

from filmroom.adapters.files import FileObjects
from filmroom.adapters.objects import S3Access, StoreObjects, open_objects
from filmroom.errors import Invalid, NotFound, Unavailable
from filmroom.ports import Objects

SERIAL = count()
BAD_NAMES = ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a/./b", "a\0b", "a\\b", "a\nb", "\udc80", "a" * 256]


@pytest.fixture(params=["memory", "files", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "memory":
        return open_objects("memory://")
    if request.param == "files":
        return open_objects(str(tmp_path / "zone"))
    server: Mapping[str, str] = request.getfixturevalue("s3_server")
    return open_objects(f"s3://{server['bucket']}/objects-{next(SERIAL)}", access(server))


def access(server: Mapping[str, str], **other: str) -> S3Access:
    asked = {key: server[key] for key in ("endpoint", "region", "access_key", "secret_key")} | other
    return S3Access(
        endpoint=asked["endpoint"],
        region=asked["region"],
        access_key=asked["access_key"],
        secret_key=asked["secret_key"],
        allow_http=True,
    )


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 40])
def test_what_is_put_is_what_is_got(objects: Objects, data: bytes) -> None:
    objects.put("ab/cd", data)
    assert objects.get("ab/cd") == data
    assert objects.size("ab/cd") == len(data)


def test_any_buffer_can_be_put_and_a_second_put_replaces(objects: Objects) -> None:
    for data in (b"one", bytearray(b"second"), memoryview(b"a third")):
        objects.put("ab/cd", data)
        assert objects.get("ab/cd") == bytes(data)
    assert list(objects.names("")) == ["ab/cd"]


def test_an_object_can_come_in_pieces(objects: Objects) -> None:
    pieces = [os.urandom(size) for size in (0, 1, 6_000_000, 70_000, 6_000_000)]
    objects.put("ab/pieces", iter(pieces))
    assert objects.get("ab/pieces") == b"".join(pieces)
    objects.put("ab/pieces", iter([]))
    assert objects.get("ab/pieces") == b""


def test_an_object_whose_pieces_end_early_is_not_there(objects: Objects) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(6_000_000)
        raise OSError

    with pytest.raises(Unavailable):
        objects.put("ab/half", pieces())
    with pytest.raises(NotFound):
        objects.get("ab/half")


def test_a_large_object_comes_back_whole(objects: Objects) -> None:
    data = os.urandom(1 << 20) * 12
    objects.put("large", data)
    assert objects.get("large") == data
    assert objects.get_range("large", len(data) - 5, 5) == data[-5:]


def test_a_range_is_cut_at_the_end_only(objects: Objects) -> None:
    objects.put("ab/cd", b"0123456789")
    assert objects.get_range("ab/cd", 0, 10) == b"0123456789"
    assert objects.get_range("ab/cd", 3, 4) == b"3456"
    assert objects.get_range("ab/cd", 8, 100) == b"89"
    for start, length in ((10, 5), (50, 1), (4, 0), (10, 0)):
        assert objects.get_range("ab/cd", start, length) == b""
    for start, length in ((-1, 5), (2, -1)):
        with pytest.raises(Invalid):
            objects.get_range("ab/cd", start, length)


def test_a_range_of_nothing_is_nothing(objects: Objects) -> None:
    objects.put("empty", b"")
    assert objects.get_range("empty", 0, 0) == objects.get_range("empty", 0, 9) == b""


def test_what_is_not_there_is_not_found(objects: Objects) -> None:
    objects.put("ab/cd", b"x")
    for name in ("ab/ce", "ab", "nowhere/at/all"):
        with pytest.raises(NotFound) as caught:
            objects.get(name)
        assert caught.value.next_step
        for length in (0, 5):
            with pytest.raises(NotFound):
                objects.get_range(name, 0, length)
        with pytest.raises(NotFound):
            objects.size(name)


def test_removing_twice_is_removing_once(objects: Objects) -> None:
    objects.put("ab/cd", b"x")
    objects.put("ab/ce", b"y")
    objects.delete("ab/cd")
    objects.delete("ab/cd")
    objects.delete("never/was")
    with pytest.raises(NotFound):
        objects.get("ab/cd")
    assert list(objects.names("")) == ["ab/ce"]


def test_names_are_listed_below_whole_segments(objects: Objects) -> None:
    names = {"a/b/one", "a/b/two", "a/bc/three", "ab/four", "five", "a/b/ünï cödé~#%", ".zgroup"}
    for name in names:
        objects.put(name, name.encode())
    assert set(objects.names("")) == names
    assert set(objects.names("a/b")) == {"a/b/one", "a/b/two", "a/b/ünï cödé~#%"}
    assert set(objects.names("a")) == {name for name in names if name.startswith("a/")}
    assert list(objects.names("nothing/here")) == []
    assert {objects.get(name).decode() for name in objects.names("")} == names


def test_an_empty_store_has_no_names(objects: Objects) -> None:
    assert list(objects.names("")) == list(objects.names("a")) == []


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_some_store_could_not_hold_is_refused_by_all(objects: Objects, name: str) -> None:
    with pytest.raises(Invalid):
        objects.put(name, b"x")
    with pytest.raises(Invalid):
        objects.get(name)
    with pytest.raises(Invalid):
        objects.get_range(name, 0, 1)
    with pytest.raises(Invalid):
        objects.size(name)
    with pytest.raises(Invalid):
        objects.delete(name)
    if name:
        with pytest.raises(Invalid):
            list(objects.names(name))


def test_no_reader_sees_half_an_object(objects: Objects) -> None:
    whole = {bytes([letter]) * 50_000 for letter in b"ab"}
    objects.put("shared", next(iter(whole)))
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(objects.get("shared"))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(10):
            for data in whole:
                objects.put("shared", data)
    finally:
        done.set()
        reader.join()
    assert seen and seen <= whole


# -- a folder ------------------------------------------------------------------------------------------------------


def test_files_and_folders_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        FileObjects(tmp_path / "deep" / "zone").put("ab/cd", b"x")
    finally:
        os.umask(before)
    for path, mode in (("deep", 0o700), ("deep/zone", 0o700), ("deep/zone/ab", 0o700), ("deep/zone/ab/cd", 0o600)):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == mode


def test_what_a_crash_left_behind_is_not_listed(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path)
    objects.put("ab/cd", b"x")
    (tmp_path / "ab" / ".partial-xyz").write_bytes(b"half")
    assert list(objects.names("")) == ["ab/cd"]
    with pytest.raises(Invalid):
        objects.get("ab/.partial-xyz")


def test_what_a_crash_left_behind_is_swept_up_once_it_is_old(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path)
    objects.put("ab/cd", b"x")
    old, new = tmp_path / "ab" / ".partial-old", tmp_path / "ab" / ".partial-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert [objects.sweep(3600), objects.sweep(3600), new.exists(), old.exists()] == [1, 0, True, False]
    assert objects.get("ab/cd") == b"x"


def test_nothing_is_swept_up_that_is_an_object(objects: Objects) -> None:
    assert objects.sweep(0) == 0
    objects.put("ab/cd", b"x")
    assert objects.sweep(0) == 0
    assert objects.get("ab/cd") == b"x"


def test_a_write_that_fails_leaves_the_old_object_and_no_stray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = FileObjects(tmp_path)
    objects.put("ab/cd", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left") as caught:
        objects.put("ab/cd", b"new")
    assert caught.value.next_step
    assert objects.get("ab/cd") == b"old"
    assert [path.name for path in (tmp_path / "ab").iterdir()] == ["cd"]


def test_a_folder_that_lets_nobody_in_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = FileObjects(tmp_path)
    objects.put("ab/cd", b"x")

    def closed(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", closed)
    with pytest.raises(Unavailable, match="does not let"):
        objects.get("ab/cd")


def test_an_object_cannot_be_a_folder_too(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path)
    objects.put("ab/cd", b"x")
    with pytest.raises(NotFound):
        objects.put("ab", b"x")
    with pytest.raises(NotFound):
        objects.put("ab/cd/ef", b"x")


# -- a bucket, and locations ---------------------------------------------------------------------------------------


def test_wrong_credentials_of_the_room_s_own_are_its_trouble_and_not_the_caller_s(s3_server: Mapping[str, str]) -> None:
    objects = open_objects(f"s3://{s3_server['bucket']}/x", access(s3_server, secret_key="not-the-secret"))
    for call in (lambda: objects.put("a", b"x"), lambda: objects.get("a"), lambda: list(objects.names(""))):
        with pytest.raises(Unavailable, match="credentials") as caught:
            call()
        assert "secret" not in str(caught.value) and s3_server["access_key"] not in str(caught.value)


class NoBucket(BaseHTTPRequestHandler):
    """What S3 answers about a bucket that is not there; the test server would make it."""

    def do_PUT(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"<Error><Code>NoSuchBucket</Code><Message>The bucket does not exist</Message></Error>")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_a_bucket_that_is_not_there_is_unavailable_to_writers() -> None:
    with HTTPServer(("127.0.0.1", 0), NoBucket) as service:
        threading.Thread(target=service.handle_request).start()
        here = S3Access(
            endpoint=f"http://127.0.0.1:{service.server_port}",
            region="r",
            access_key="a",
            secret_key="s",
            allow_http=True,
        )
        with pytest.raises(Unavailable, match="bucket"):
            open_objects("s3://bucket/x", here).put("a", b"x")


def test_prefixes_of_one_bucket_do_not_see_each_other(s3_server: Mapping[str, str]) -> None:
    one, other = (
        open_objects(f"s3://{s3_server['bucket']}/apart-{next(SERIAL)}/zone/", access(s3_server)) for _ in range(2)
    )
    one.put("a", b"x")
    assert list(one.names("")) == ["a"]
    assert list(other.names("")) == []


def test_a_service_that_does_not_answer_is_unavailable() -> None:
    nowhere = S3Access(endpoint="http://127.0.0.1:9", region="r", access_key="a", secret_key="s", allow_http=True)
    with pytest.raises(Unavailable):
        open_objects("s3://bucket/x", nowhere).get("a")


def test_a_location_says_which_kind_of_store_it_is(tmp_path: Path) -> None:
    secret = S3Access(endpoint="http://127.0.0.1:9", region="r", access_key="a", secret_key="hush", allow_http=True)
    assert "hush" not in repr(secret)
    assert isinstance(open_objects(str(tmp_path)), FileObjects)
    assert isinstance(open_objects("memory://"), StoreObjects)
    assert isinstance(open_objects("s3://bucket", secret), StoreObjects)
    for bad in ("", "gs://bucket", "s3://", "memory://x", "s3://bucket/../x"):
        with pytest.raises(Invalid):
            open_objects(bad, secret)
    with pytest.raises(Invalid, match="needs an endpoint"):
        open_objects("s3://bucket/x")
