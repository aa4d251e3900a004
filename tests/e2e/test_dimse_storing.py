"""What a peer may do with the fragments of a C-STORE request, and what it may not: raw PDUs against a listening room."""

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from tests.e2e import raw_dimse
from tests.e2e.raw_dimse import CT, Calling, command, pdu, pdv, pieces

from filmroom import wiring
from filmroom.dicom.part10 import split
from filmroom.dimse.config import Endpoint, Network
from filmroom.dimse.serve import VERIFICATION, Door
from filmroom.flow.reception import Reception
from filmroom.wiring import Room

CONTEXTS = [(VERIFICATION, ExplicitVRLittleEndian), (CT, ExplicitVRLittleEndian)]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    wiring.init(tmp_path / "room")
    with wiring.open_room(tmp_path / "room") as opened:
        yield opened


@pytest.fixture
def call(room: Room) -> Iterator[Callable[[], Calling]]:
    """Calls a listening room."""
    ports = room.serve("dimse")
    with Reception(ports) as reception:
        door = Door(ports, reception, Network(timeout=5), Endpoint("FILMROOM", "127.0.0.1", 0))
        where = door.start()
        made: list[Calling] = []

        def start() -> Calling:
            made.append(raw_dimse.call(where.port, CONTEXTS))
            return made[-1]

        yield start
        for each in made:
            each.wire.close()
        door.stop()


@pytest.fixture
def image(pydicom_files: Path) -> tuple[str, bytes]:
    """SOP Instance UID and data set of a CT."""
    data = (pydicom_files / "test_files" / "CT_small.dcm").read_bytes()
    return str(pydicom.dcmread(pydicom_files / "test_files" / "CT_small.dcm").SOPInstanceUID), data[split(data).start :]


def outcomes(room: Room) -> list[dict[str, int]]:
    return [{word.value: count for word, count in each.counts.items() if count} for each in room.batches()]


def test_a_request_may_lie_in_many_fragments_of_any_size(call, image, room: Room) -> None:
    uid, body = image
    heads = pieces(command(1, uid=uid), 33)
    parts = pieces(body, 1001)
    calling = call()
    calling.send(*(pdu(pdv(part, command=True, last=part is heads[-1])) for part in heads))
    calling.send(*(pdu(pdv(part, last=part is parts[-1])) for part in parts))
    assert calling.answer() == 0x0000
    assert outcomes(room) == [{"stored": 1}]


def test_a_request_may_lie_in_one_pdu_and_empty_fragments_do_no_harm(call, image, room: Room) -> None:
    uid, body = image
    calling = call()
    calling.send(pdu(pdv(command(1, uid=uid), command=True, last=True), pdv(b""), pdv(body), pdv(b"", last=True)))
    assert calling.answer() == 0x0000
    assert outcomes(room) == [{"stored": 1}]


def test_other_messages_are_answered_between_two_objects(call, image, room: Room) -> None:
    uid, body = image
    calling = call()
    store = pdu(pdv(command(1, uid=uid), command=True, last=True)) + pdu(pdv(body, last=True))
    echo = pdu(pdv(command(0x30, sop_class=VERIFICATION, has_data=False), command=True, last=True, context=1))
    calling.send(store, echo, store, echo, store)
    assert [calling.answer() for _ in range(5)] == [0x0000] * 5
    assert outcomes(room) == [{"stored": 1, "duplicate": 2}]


@pytest.mark.parametrize(
    "odd",
    [
        pdu(pdv(b"\x08\x00", context=1)),
        pdu(pdv(command(1), command=True, last=True)),
        pdu(pdv(b"\x08\x00", last=True), pdv(b"\x08\x00")),
        struct.pack(">BxLLBB", 4, 6, 500, 3, 0),
        struct.pack(">BxL", 4, 3) + b"\0\0\0",
        struct.pack(">BxL", 4, 2**32 - 1),
    ],
    ids=["other-context", "command-in-between", "more-behind-the-last", "longer-than-its-pdu", "no-header", "4-gib"],
)
def test_a_fragment_that_cannot_be_ends_the_association_and_nothing_is_kept(
    call, image, room: Room, odd: bytes
) -> None:
    uid, body = image
    calling = call()
    calling.send(pdu(pdv(command(1, uid=uid), command=True, last=True)), pdu(pdv(body[:5000])), odd)
    assert calling.is_over()
    again = call()
    again.send(pdu(pdv(command(1, uid=uid), command=True, last=True)), pdu(pdv(body, last=True)))
    assert again.answer() == 0x0000
    assert outcomes(room) == [{"stored": 1}]


def test_an_abort_or_an_end_in_the_middle_of_an_object_keeps_nothing_of_it(call, image, room: Room) -> None:
    uid, body = image
    start = pdu(pdv(command(1, uid=uid), command=True, last=True)) + pdu(pdv(body[:5000]))
    calling = call()
    calling.send(start, bytes.fromhex("07000000000400000000"))
    assert calling.is_over()
    calling = call()
    calling.send(start)
    calling.wire.shutdown(socket.SHUT_WR)
    assert calling.is_over()
    assert outcomes(room) == []


def test_a_peer_that_falls_silent_in_the_middle_of_an_object_is_given_up(call, image, room: Room) -> None:
    uid, body = image
    calling = call()
    calling.send(pdu(pdv(command(1, uid=uid), command=True, last=True)), pdu(pdv(body))[:-100])
    assert calling.is_over()
    assert outcomes(room) == []
