"""Multipart bodies: whatever is sent, and however it is cut, the parts that come out are those that went in."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.errors import Invalid
from filmroom.web.multipart import MAX_HEADER_BYTES, Parser, PartBegins, PartData, PartEnds, closing, opening

BOUNDARY = "b:o-1"
# Bytes that are full of what a delimiter is made of.
contents = (
    st.lists(
        st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"b:o-1", b"b:o-", b"x", b"\r\n--b:o", b" ", b"\r\n--"]),
        max_size=12,
    )
    .map(b"".join)
    .filter(lambda data: b"\r\n--b:o-1" not in b"\r\n" + data)
)


def parts_of(chunks: Iterable[bytes], boundary: str = BOUNDARY) -> list[tuple[dict[str, str], bytes]]:
    parser = Parser(boundary)
    found: list[tuple[dict[str, str], bytes]] = []
    is_open = False
    for chunk in chunks:
        for event in parser.receive(chunk):
            match event:
                case PartBegins(headers):
                    assert not is_open
                    is_open = True
                    found.append((dict(headers), b""))
                case PartData(data):
                    assert is_open and data
                    found[-1] = (found[-1][0], found[-1][1] + data)
                case PartEnds():
                    assert is_open
                    is_open = False
    parser.finish()
    assert not is_open
    return found


def body_of(parts: Iterable[bytes]) -> bytes:
    whole = b"".join(opening(BOUNDARY, "application/dicom") + part + b"\r\n" for part in parts)
    return whole + closing(BOUNDARY)


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return (data[start:end] for start, end in itertools.pairwise(edges))


@given(st.lists(contents, max_size=4), st.lists(st.integers(0, 10_000), max_size=30))
def test_parts_survive_boundaries_split_anywhere(parts: list[bytes], places: list[int]) -> None:
    body = body_of(parts)
    assert [data for _, data in parts_of(cut(body, places))] == parts
    assert [data for _, data in parts_of(body[at : at + 1] for at in range(len(body)))] == parts


@given(st.lists(contents, min_size=1, max_size=3), st.integers(0, 10_000))
def test_a_body_that_ends_early_is_refused_and_what_was_whole_is_handed_out(parts: list[bytes], place: int) -> None:
    body = body_of(parts)
    whole = body[: place % (len(body) - 3)]
    parser, ended = Parser(BOUNDARY), 0
    for event in parser.receive(whole):
        ended += isinstance(event, PartEnds)
    assert ended == sum(1 for end in _part_ends(parts) if end <= len(whole))
    with pytest.raises(Invalid):
        parser.finish()


def _part_ends(parts: list[bytes]) -> Iterator[int]:
    """Where each part is known to have ended: behind the delimiter's line, the last one behind its dashes."""
    at = 0
    for number, part in enumerate(parts):
        at += len(opening(BOUNDARY, "application/dicom")) + len(part) + 2
        yield at + len(f"--{BOUNDARY}") + 2
        del number


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=5))
def test_hostile_bytes_are_parts_or_refused_and_never_anything_else(data: bytes, places: list[int]) -> None:
    for hostile in (data, b"--b:o-1\r\n" + data, b"--b:o-1\r\n\r\n" + data + b"\r\n--b:o-1--"):
        with contextlib.suppress(Invalid):
            parts_of(cut(hostile, places))


@given(st.binary(max_size=300))
def test_however_hostile_bytes_are_cut_the_outcome_is_the_same(data: bytes) -> None:
    def outcome(chunks: Iterable[bytes]) -> list[tuple[dict[str, str], bytes]] | None:
        try:
            return parts_of(chunks)
        except Invalid:
            return None

    body = b"--b:o-1\r\n\r\n" + data + b"\r\n--b:o-1--"
    assert outcome([body]) == outcome(body[at : at + 1] for at in range(len(body)))


def test_preamble_epilogue_padding_and_parts_without_a_header_are_allowed() -> None:
    body = b"hello\r\n--b:o-1 \t \r\n\r\none\r\n--b:o-1\r\nA: 1\r\n more\r\n\r\n\r\n--b:o-1\r\n\r\n--b:o-1--\r\nbye"
    assert parts_of([body]) == [({}, b"one"), ({"a": "1 more"}, b""), ({}, b"")]


def test_a_line_that_begins_like_the_boundary_is_content() -> None:
    assert parts_of([b"--b:o-1\r\n\r\na\r\n--b:o-17\r\n--b:o-1-x\r\n--b:o-1--"]) == [
        ({}, b"a\r\n--b:o-17\r\n--b:o-1-x")
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"--b:o-1\r\nA: " + b"x" * MAX_HEADER_BYTES + b"\r\n\r\n\r\n--b:o-1--",
        b"--b:o-1\r\nA: " + b"x" * (2 * MAX_HEADER_BYTES),
        b"--b:o-1\r\nno field\r\n\r\n\r\n--b:o-1--",
        b"x" * 200_000,
    ],
)
def test_headers_that_are_huge_or_no_headers_and_bodies_without_a_boundary_are_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        parts_of(cut(body, range(0, len(body), 1000)))


@pytest.mark.parametrize("boundary", ["", "x" * 201, "a\r\nb", "ä"])
def test_impossible_boundaries_are_refused(boundary: str) -> None:
    with pytest.raises(Invalid):
        Parser(boundary)


def test_what_is_held_back_does_not_grow_with_the_part() -> None:
    parser = Parser(BOUNDARY)
    list(parser.receive(opening(BOUNDARY, "application/dicom")))
    for _ in range(50):
        handed = sum(len(event.data) for event in parser.receive(b"\r\n--b:" * 1000) if isinstance(event, PartData))
        assert handed >= 6000 - 20
