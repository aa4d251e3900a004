"""Whatever body comes, the door that stores answers; every whole part of it has a line in the ledger, and no other."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.vectors.mutations import Mutation, mutated, mutations

from filmroom.errors import Invalid
from filmroom.flow.reception import Reception
from filmroom.flow.visits import Visits
from filmroom.web import multipart
from filmroom.web.app import create_app
from filmroom.wiring import Room, init, open_room

TINY = (Path(__file__).resolve().parents[1] / "vectors" / "dicom" / "ct_tiny.dcm").read_bytes()
KIND = b'multipart/related; type="application/dicom"; boundary=b:o'
PARTS = (TINY, b"no image", TINY.replace(b"2.25.1001", b"2.25.1002"), b"")
SOUND = b"".join(multipart.opening("b:o", "application/dicom") + part + b"\r\n" for part in PARTS) + b"--b:o--\r\n"
TOKENS = (
    *(b"\r\n--b:o\r\n\r\n", b"\r\n--b:o--", b"--b:o", b"\r\n", b"\r", b"--", b"\r\n\r\n", b"\0" * 8, b"DICM"),
    *(
        b"Content-Type: text/plain\r\n",
        b"Content-Type: ;;=\r\n",
        b"\xff\xff\xff\xff",
        b"2.25.1001",
        b"\xfe\xff\x00\xe0",
    ),
)
PLACES = [place for place in range(len(SOUND)) if SOUND[place:].startswith(b"--b:o")]

Post = Callable[[Sequence[bytes], bytes], tuple[int, dict[str, dict[str, list[object]]]]]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with open_room(init(tmp_path_factory.mktemp("hostile") / "room")) as opened:
        yield opened


@pytest.fixture(scope="module")
def post(room: Room) -> Iterator[Post]:
    """Posts a body in these chunks to the application, and returns its status and answer."""
    ports = room.serve("http")
    with Reception(ports) as reception, asyncio.Runner() as runner:
        visits = Visits(reception, ports.clock, "test")
        app = create_app(ports, reception, visits)

        async def run(chunks: Sequence[bytes], kind: bytes) -> tuple[int, bytes]:
            messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
            messages.append({"type": "http.request", "body": b"", "more_body": False})
            coming, sent = iter(messages), []

            async def receive() -> dict[str, object]:
                return next(coming, {"type": "http.disconnect"})

            async def send(message: dict[str, object]) -> None:
                sent.append(message)

            scope = {
                "type": "http",
                "method": "POST",
                "path": "/studies",
                "query_string": b"",
                "headers": [(b"content-type", kind), (b"host", b"127.0.0.1")],
                "server": ("127.0.0.1", 80),
            }
            await app(scope, receive, send)  # type: ignore[arg-type]
            (start,) = (message for message in sent if message["type"] == "http.response.start")
            body = b"".join(bytes(message.get("body", b"")) for message in sent)  # type: ignore[call-overload]
            return int(str(start["status"])), body

        def answered(chunks: Sequence[bytes], kind: bytes) -> tuple[int, dict[str, dict[str, list[object]]]]:
            status, body = runner.run(run(chunks, kind))
            return status, json.loads(body)

        yield answered
        visits.close()


def rows(room: Room) -> int:
    return sum(sum(batch.counts.values()) for batch in room.batches())


def whole_parts(body: bytes) -> int:
    """How many parts of a body come whole before it ends or breaks."""
    parser, found = multipart.Parser("b:o"), 0
    with suppress(Invalid):
        for event in parser.receive(body):
            found += isinstance(event, multipart.PartEnds)
    return found


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@settings(deadline=None)
@given(mutations(TOKENS, PLACES), st.lists(st.integers(0, 10_000), max_size=5))
def test_a_mutated_body_is_stored_or_refused_and_every_whole_part_is_counted(
    room: Room, post: Post, changes: list[Mutation], places: list[int]
) -> None:
    body = mutated(SOUND, changes)
    before, parts = rows(room), whole_parts(body)
    status, answer = post(cut(body, places), KIND)
    assert rows(room) - before == parts
    if status == 400:
        assert set(answer) == {"error"}
        return
    assert status in (200, 202, 409)
    assert parts == sum(len(answer[tag]["Value"]) for tag in ("00081199", "00081198", "0008119A") if tag in answer)


@settings(deadline=None)
@example(b'multipart/related; type="application/dicom"; boundary=')
@given(st.binary(max_size=60) | st.sampled_from([KIND[:end] for end in range(len(KIND))]))
def test_a_mutated_content_type_is_understood_or_refused(room: Room, post: Post, kind: bytes) -> None:
    before = rows(room)
    status, _ = post([SOUND], kind)
    assert status in (200, 202, 400, 409, 415)
    assert rows(room) - before == (0 if status in (400, 415) else 1 if kind.strip().startswith(b"application") else 4)


@settings(deadline=None)
@given(mutations([b"\xff\xff\xff\xff", b"SQ", b"UN", b"OW", b"DICM", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"], [128, 1000]))
def test_a_mutated_object_by_itself_is_one_line_whatever_it_is(room: Room, post: Post, changes: list[Mutation]) -> None:
    before = rows(room)
    status, answer = post([mutated(TINY, changes)], b"application/dicom")
    assert status in (200, 202, 409)
    assert rows(room) - before == 1
    assert sum(len(answer[tag]["Value"]) for tag in ("00081199", "00081198", "0008119A") if tag in answer) == 1
