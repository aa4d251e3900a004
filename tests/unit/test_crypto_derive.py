"""Derived keys and keyed names: published vectors, and no two uses that meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.crypto.derive import commitment, hkdf, keyed, object_name
from filmroom.errors import Invalid
from filmroom.ids import Digest

KEY = bytes(range(32))


def test_hkdf_gives_the_published_bytes() -> None:
    """RFC 5869, appendix A.3: no salt, no info."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert hkdf(b"\x0b" * 22, "", 42).hex() == expected


def test_hkdf_gives_as_much_as_the_rfc_allows() -> None:
    assert len(hkdf(KEY, "x", 8160)) == 8160
    for length in (0, -1, 8161):
        with pytest.raises(Invalid):
            hkdf(KEY, "x", length)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_two_lists_of_parts_have_one_mac_only_when_they_are_equal(one: list[str], other: list[str]) -> None:
    assert (keyed(KEY, *one) == keyed(KEY, *other)) == (one == other)


def test_parts_do_not_run_together_and_odd_text_is_no_accident() -> None:
    assert keyed(KEY, "ab", "c") != keyed(KEY, "a", "bc") != keyed(KEY, "abc")
    assert len(keyed(KEY, "\udc80")) == 32


def test_an_object_name_hides_the_digest_and_depends_on_the_key() -> None:
    digest = Digest.of(b"some bytes")
    name = object_name(KEY, digest)
    folder, _, rest = name.partition("/")
    assert len(rest) == 64 and folder == rest[:2]
    assert digest.hex not in name
    assert name == object_name(KEY, digest)
    assert name != object_name(bytes(32), digest) != object_name(bytes(32), Digest.of(b"others"))


def test_a_commitment_binds_to_digest_and_salt() -> None:
    digest = Digest.of(b"some bytes")
    assert commitment(KEY, digest) == commitment(KEY, digest)
    assert len({commitment(KEY, digest), commitment(bytes(32), digest), commitment(KEY, Digest.of(b"")), digest}) == 4
