"""What a peer may do with the fragments of a C-STORE request, and what it may not: raw PDUs against a listening room."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from tests.e2e import raw_dimse
from tests.e2e.raw_dimse import CT, Calling, command, pdu, pdv, pieces

from filmroom import wiring
from filmroom.dicom.part10 import split
from filmroom.dimse.config import Endpoint, Network
from filmroom.dimse.serve import VERIFICATION, Door, application
from filmroom.dimse.wire import Listener
from filmroom.flow.reception import Reception
from filmroom.ports import Ports
from filmroom.wiring import Room

CONTEXTS = [(VERIFICATION, ExplicitVRLittleEndian), (CT, ExplicitVRLittleEndian)]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    wiring.init(tmp_path / "room")
    with wiring.open_room(tmp_path / "room") as opened:
        yield opened


@contextmanager
def listening(ports: Ports, *, associations: int = 8) -> Iterator[Callable[[], Calling]]:
    """Yields what calls a listening room."""
    with Reception(ports) as reception:
        network = Network(timeout=5, max_associations=associations)
        door = Door(ports, reception, network, Endpoint("FILMROOM", "127.0.0.1", 0))
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
def call(room: Room) -> Iterator[Callable[[], Calling]]:
    """Calls a listening room."""
    with listening(room.serve("dimse")) as start:
        yield start


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


def test_a_uid_of_odd_bytes_is_answered_like_any_other(call, image, room: Room) -> None:
    _, body = image
    request = command(1, uid="1.2.3.4.5").replace(b"1.2.3.4.5", b"1.2.\xff\x00\xe9\r.")
    calling = call()
    calling.send(pdu(pdv(request, command=True, last=True)), pdu(pdv(body, last=True)))
    calling.send(pdu(pdv(request, command=True, last=True)), pdu(pdv(body, last=True)))
    assert (calling.answer(), calling.answer()) == (0xB007, 0xB007)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", pdu(pdv(b"", command=True))),
        (b"", pdu(pdv(b"x", command=True))),
        (
            pdu(pdv(command(0x30, sop_class=VERIFICATION), command=True, last=True, context=1)),
            pdu(pdv(bytes(50_000), context=1)),
        ),
    ],
    ids=["empty-fragments-of-a-command", "a-command", "a-data-set-that-is-not-stored"],
)
def test_a_message_without_end_ends_the_association(call, start: bytes, more: bytes) -> None:
    calling = call()
    calling.send(start)
    with pytest.raises(ConnectionError):
        for _ in range(1024):
            calling.send(more * (60_000 // len(more)))


def test_a_mistake_of_ours_is_answered_and_lets_go_of_the_association(room: Room, image) -> None:
    uid, body = image

    class Broken:
        def draw(self, count: int) -> bytes:
            raise RuntimeError(count)

    ports = replace(room.serve("dimse"), entropy=Broken())
    with listening(ports, associations=1) as call:
        for _ in range(2):
            calling = call()
            calling.send(pdu(pdv(command(1, uid=uid), command=True, last=True)), pdu(pdv(body, last=True)))
            assert calling.answer() == 0xC001
            calling.send(raw_dimse.RELEASE)
            assert calling.is_over()


def test_a_silent_peer_does_not_keep_the_door_from_closing(room: Room, image) -> None:
    uid, body = image
    ports = room.serve("dimse")
    with Reception(ports) as reception:
        door = Door(ports, reception, Network(timeout=600), Endpoint("FILMROOM", "127.0.0.1", 0))
        calling = raw_dimse.call(door.start().port, CONTEXTS)
        calling.send(pdu(pdv(command(1, uid=uid), command=True, last=True)), pdu(pdv(body))[:1000])
        stopping = threading.Thread(target=door.stop, kwargs={"grace": 0.5})
        stopping.start()
        stopping.join(20)
        is_stopped = not stopping.is_alive()
        calling.wire.close()
        stopping.join()
    assert is_stopped


@pytest.mark.parametrize("tls", [None, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)], ids=["plain", "tls"])
def test_those_who_say_nothing_are_let_in_up_to_a_number_only(tls: ssl.SSLContext | None) -> None:
    ae = application(Network(), "FILMROOM")
    ae.add_supported_context(VERIFICATION)
    ae.maximum_associations = 2
    server = ae.make_server(("127.0.0.1", 0), ssl_context=tls, server_class=Listener, listening=None)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    silent = []
    for number in range(1, 3):
        silent.append(socket.create_connection(server.server_address[:2], timeout=20))
        while tls is None and len(server.active_associations) < number:
            threading.Event().wait(0.01)
    with socket.create_connection(server.server_address[:2], timeout=20) as late:
        assert late.recv(1) == b""
    for each in silent:
        each.close()
    server.shutdown()
