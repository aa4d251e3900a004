"""A manifest is ticked off while a delivery comes; what is left over is said, and names are believed only with checksums."""

import hashlib

import pytest

from filmroom.errors import Invalid
from filmroom.ids import Digest
from filmroom.ingest.manifest import Manifest

ONE, TWO = b"one", b"two"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def left(manifest: Manifest) -> list[tuple[str, str]]:
    return [(each.code, each.name) for each in manifest.discrepancies()]


def test_bytes_are_found_under_whatever_name_they_come() -> None:
    manifest = Manifest.parse(f"{md5(ONE)}  a/1\n{md5(TWO)}  a/2\n")
    assert manifest.tick(["elsewhere"], ONE) is None
    assert manifest.tick(["a/1"], TWO) is None, "announced, under another name"
    assert left(manifest) == []


def test_a_weak_checksum_that_agrees_does_not_outweigh_a_strong_one_that_differs() -> None:
    manifest = Manifest.parse(f"{md5(ONE)}  1\n{sha256(TWO)}  1\n")
    assert manifest.tick(["1"], ONE) is not None
    assert left(manifest) == [("manifest-mismatch", "1")]
    assert manifest.missing_digests() == {Digest.of(TWO)}


def test_lines_may_have_no_name_a_prefix_an_escaped_name_or_a_carriage_return() -> None:
    manifest = Manifest.parse(f"sha256:{sha256(ONE)}\r\n\n\\{md5(TWO).upper()}  with\\\\back\\nslash\r\n")
    assert left(manifest) == [("manifest-missing", "with\\back\nslash"), ("manifest-missing", f"sha256:{sha256(ONE)}")]
    assert manifest.tick(["1"], ONE) is None
    assert manifest.tick(["with\\back\nslash"], TWO) is None
    assert left(manifest) == []


@pytest.mark.parametrize("line", ["not a checksum", "abc  1", f"{md5(ONE)}0  1", f"{md5(ONE)}1"])
def test_a_line_that_begins_with_no_checksum_is_refused_without_being_quoted(line: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Manifest.parse(f"{md5(ONE)}  1\n{line}\n")
    assert "line 2" in str(refusal.value) and line.strip() not in str(refusal.value)
