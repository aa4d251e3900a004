"""A name parses from what it prints, and nothing else is a name."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.errors import Invalid
from filmroom.ids import Digest, Versioned, check_name

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)


@given(st.binary())
def test_a_digest_parses_from_what_it_prints(data: bytes) -> None:
    digest = Digest.of(data)
    assert Digest.parse(str(digest)) == Digest.parse(digest.hex) == digest
    assert str(digest) == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert Digest.of(bytearray(data)) == Digest.of(memoryview(data)) == digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "a" * 63,
        "a" * 65,
        "A" * 64,
        "g" * 64,
        "sha512:" + "a" * 64,
        "a" * 64 + "\n",
        " " + "a" * 64,
        "٠" * 64,
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="64 lower-case hex"):
        Digest.parse(text)


@given(NAMES, st.integers(1, 10**9 - 1))
def test_a_version_parses_from_what_it_prints(name: str, version: int) -> None:
    ref = Versioned(name, version)
    assert Versioned.parse(str(ref)) == ref
    assert str(ref) == f"{name}@{version}"


@given(st.text())
def test_any_text_is_a_version_or_invalid(text: str) -> None:
    try:
        ref = Versioned.parse(text)
    except Invalid:
        return
    assert ref.version >= 1
    assert check_name(ref.name) == ref.name


@pytest.mark.parametrize(
    "text", ["", "lung", "lung@", "@1", "lung@0", "lung@-1", "lung@1.0", "lung@1@2", "lung@²", "lung@1 "]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Versioned.parse(text)


@pytest.mark.parametrize("text", ["lung@01", "lung@٣", "lung@" + "9" * 5_000], ids=["zero", "other digits", "long"])
def test_a_version_has_one_spelling(text: str) -> None:
    with pytest.raises(Invalid):
        Versioned.parse(text)


@given(NAMES)
def test_a_good_name_comes_back(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "A", "a b", "a/b", "a@1", "ä", "a" * 64, "a\n", "..", "a\0"])
def test_a_bad_name_is_refused_with_what_would_be_good(name: str) -> None:
    with pytest.raises(Invalid, match="1 to 63 lower-case letters"):
        check_name(name)


def test_versions_are_ordered_by_number() -> None:
    assert sorted([Versioned("a", 10), Versioned("b", 1), Versioned("a", 9)]) == [
        Versioned("a", 9),
        Versioned("a", 10),
        Versioned("b", 1),
    ]
