"""Sound bytes with a few things wrong, for property tests: what a parser meets when a sender or a line is broken."""

from collections.abc import Sequence
from typing import TypeAlias

from hypothesis import strategies as st

Mutation: TypeAlias = tuple[str, int, int, bytes]
_KINDS = ("overwrite", "insert", "delete", "repeat", "cut")


def mutations(tokens: Sequence[bytes], places: Sequence[int] = ()) -> st.SearchStrategy[list[Mutation]]:
    """Return a strategy of a few changes, of any bytes and of `tokens`, anywhere and near `places`."""
    near = [place + step for place in places for step in range(-2, 14)]
    where = st.integers(0, 2**20) | st.sampled_from(near) if near else st.integers(0, 2**20)
    return st.lists(
        st.tuples(
            st.sampled_from(_KINDS), where, st.integers(0, 300), st.sampled_from(tokens) | st.binary(max_size=12)
        ),
        max_size=4,
    )


def mutated(data: bytes, changes: Sequence[Mutation]) -> bytes:
    """Return the bytes with these changes; a place behind their end counts on from their start."""
    for kind, place, length, new in changes:
        at = place % (len(data) + 1)
        match kind:
            case "overwrite":
                data = data[:at] + new + data[at + len(new) :]
            case "insert":
                data = data[:at] + new + data[at:]
            case "delete":
                data = data[:at] + data[at + length :]
            case "repeat":
                data = data[:at] + data[at : at + length] * 2 + data[at + length :]
            case _:
                data = data[:at]
    return data
