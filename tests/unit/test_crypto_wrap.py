"""A wrapped data key opens under its key and for its use, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.crypto.wrap import unwrap, wrap
from filmroom.errors import Invalid, KeyGone

KEK = bytes(range(32))


@given(st.binary(max_size=64), st.binary(min_size=12, max_size=12), st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_wrapped_key_comes_back(key: bytes, nonce: bytes, use: str) -> None:
    wrapped = wrap(KEK, use, key, nonce)
    assert unwrap(KEK, use, wrapped) == key


@given(st.data())
def test_a_changed_or_cut_wrapping_does_not_open(data: st.DataObject) -> None:
    wrapped = bytearray(wrap(KEK, "clinical|p1", b"k" * 32, bytes(12)))
    place = data.draw(st.integers(0, len(wrapped) - 1))
    with pytest.raises(KeyGone):
        unwrap(KEK, "clinical|p1", bytes(wrapped[:place]))
    wrapped[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(KeyGone):
        unwrap(KEK, "clinical|p1", bytes(wrapped))


def test_another_key_or_use_does_not_open() -> None:
    wrapped = wrap(KEK, "clinical|p1", b"k" * 32, bytes(12))
    for key, use in ((bytes(32), "clinical|p1"), (KEK, "clinical|p2"), (KEK, "research|p1")):
        with pytest.raises(KeyGone):
            unwrap(key, use, wrapped)


def test_keys_and_nonces_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(Invalid):
        wrap(b"short", "x", b"k", bytes(12))
    with pytest.raises(Invalid):
        wrap(KEK, "x", b"k", bytes(11))
