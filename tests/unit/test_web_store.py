"""Limits of the door that stores: a part that is too large fails alone, and a client that falls silent is not waited for."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from anyio import CapacityLimiter
from starlette.applications import Starlette

from filmroom.adapters.spool import FileSpools
from filmroom.adapters.system import SystemClock, SystemEntropy
from filmroom.errors import Invalid, Unavailable
from filmroom.flow.gather import Gathering
from filmroom.flow.reception import Arrived, Delivery, Reception, Taken
from filmroom.flow.visits import Visits
from filmroom.ids import Zone
from filmroom.ports import Ports
from filmroom.records import Outcome
from filmroom.web.app import create_app
from filmroom.web.stow import Answered, Limits, Store, status
from filmroom.wiring import init, open_room


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    init(tmp_path / "room")
    with open_room(tmp_path / "room") as room:
        yield room.serve("http")


def stored(
    reception: Reception, parts: list[bytes], limits: Limits, *, header: str = "", md5: str = ""
) -> list[Answered]:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield b"--b\r\n" + header.encode() + b"\r\n" + part + b"\r\n"
        yield b"--b--"

    async def run() -> list[Answered]:
        def gather() -> Gathering:
            return Gathering(FileSpools(SystemEntropy()))

        store = Store(reception, visits, gather, "", limits, CapacityLimiter(4), md5=md5)
        try:
            await store.take_parts(body(), "b")
        finally:
            answers = await store.finish()
        return answers

    visits = Visits(reception, SystemClock(), "test")
    try:
        return asyncio.run(run())
    finally:
        visits.close()


def test_a_part_over_the_limit_fails_and_the_others_go_on(ports: Ports, pydicom_files: Path) -> None:
    whole = (pydicom_files / "test_files" / "CT_small.dcm").read_bytes()
    with Reception(ports) as reception:
        answers = stored(reception, [whole + bytes(100_000), whole], Limits(part_bytes=len(whole)))
    assert [answer.failure for answer in answers] == [0xA700, 0]
    assert status(answers) == 202


def test_a_request_of_too_many_parts_is_ended_and_what_came_before_is_in(ports: Ports) -> None:
    with Reception(ports) as reception, pytest.raises(Invalid):
        stored(reception, [b"x"] * 9, Limits(parts=5))
    assert sorted(name for name, _, _ in ledger(ports)) == [f"part {number}" for number in range(1, 6)]


def test_a_part_that_is_not_what_its_checksum_says_fails_and_is_not_kept(ports: Ports, pydicom_files: Path) -> None:
    whole = (pydicom_files / "test_files" / "CT_small.dcm").read_bytes()
    md5 = base64.b64encode(hashlib.md5(whole).digest()).decode()
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    with Reception(ports) as reception:
        answers = stored(reception, [whole, changed], Limits(), header=f"Content-MD5: {md5}\r\n")
        assert [answer.failure for answer in answers] == [0, 0xC000]
        assert answers[1].who is not None and answers[1].who.sop_uid
        (unreadable,) = stored(reception, [whole], Limits(), header="Content-MD5: what?\r\n")
        assert unreadable.failure == 0xC000
    assert sorted((outcome, codes) for _, outcome, codes in ledger(ports)) == [
        (Outcome.IGNORED, ["checksum-mismatch"]),
        (Outcome.IGNORED, ["checksum-mismatch"]),
        (Outcome.STORED, []),
    ]
    assert len(list(ports.objects[Zone.CLINICAL].names(""))) == 1


def test_a_request_that_is_not_what_its_checksum_says_is_refused_and_that_is_on_record(
    ports: Ports, pydicom_files: Path
) -> None:
    whole = (pydicom_files / "test_files" / "CT_small.dcm").read_bytes()
    with Reception(ports) as reception:
        with pytest.raises(Invalid):
            stored(reception, [whole], Limits(), md5=base64.b64encode(bytes(16)).decode())
        body = b"--b\r\n\r\n" + whole + b"\r\n--b--"
        (fine,) = stored(reception, [whole], Limits(), md5=base64.b64encode(hashlib.md5(body).digest()).decode())
    assert not fine.failure
    assert sorted(ledger(ports)) == [
        ("part 1", Outcome.DUPLICATE, []),
        ("part 1", Outcome.STORED, []),
        ("request", Outcome.IGNORED, ["checksum-mismatch"]),
    ]


def ledger(ports: Ports) -> list[tuple[str, Outcome, list[str]]]:
    with ports.catalog.read() as tx:
        rows = [row for batch, _, _ in tx.batches.all() for row in tx.batches.ledger(batch.id)]
    return [(row.name, row.outcome, [reason.code for reason in row.reasons]) for row in rows]


def test_when_the_room_does_not_answer_nothing_is_said_to_be_stored(ports: Ports) -> None:
    class Away(Reception):
        def take(self, delivery: Delivery, arrived: Arrived) -> Taken:
            raise Unavailable("the catalog does not answer", "try again")

    with Away(ports) as reception:
        answers = stored(reception, [b"x", b"y"], Limits(parts_in_flight=1))
    assert [answer.failure for answer in answers] == [0xA700, 0xA700]
    with pytest.raises(Unavailable):
        status(answers)


def test_a_defect_in_the_core_is_not_taken_for_an_answer(ports: Ports) -> None:
    class Broken(Reception):
        def take(self, delivery: Delivery, arrived: Arrived) -> Taken:
            raise ZeroDivisionError

    with Broken(ports) as reception, pytest.raises(ZeroDivisionError):
        stored(reception, [b"x"], Limits())


def test_a_client_that_falls_silent_is_not_waited_for(ports: Ports) -> None:
    with Reception(ports) as reception:
        app = create_app(ports, reception, Visits(reception, ports.clock, "test"), Limits(silent_seconds=0.1))
        assert asyncio.run(_posted_and_silent(app)) == 408


async def _posted_and_silent(app: Starlette) -> int:
    found = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(30)
        raise AssertionError("it was waited for")

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    kind = b'multipart/related; type="application/dicom"; boundary=b'
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/studies",
        "query_string": b"",
        "headers": [(b"content-type", kind)],
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)  # type: ignore[arg-type]
    (code,) = found
    return int(str(code))
