"""What a peer may do with the fragments of a C-STORE request, and what it may not: raw PDUs against a listening room."""

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from filmroom import wiring
from filmroom.dicom.part10 import split
from filmroom.dimse.config import Endpoint, Network
from filmroom.dimse.serve import VERIFICATION, Door
from filmroom.flow.reception import Reception
from filmroom.wiring import Room

CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass
class Calling:
    """An established association, as a socket."""

    wire: socket.socket

    def send(self, *pdus: bytes) -> None:
        self.wire.sendall(b"".join(pdus))

    def answer(self) -> int:
        """The status of the next response."""
        kind, length = struct.unpack(">BxL", self.read(6))
        assert kind == 4
        body = self.read(length)
        at, fields = 6, {}
        while at < len(body):
            _, number, size = struct.unpack_from("<HHL", body, at)
            fields[number] = body[at + 8 : at + 8 + size]
            at += 8 + size
        return int.from_bytes(fields[0x0900], "little")

    def is_over(self) -> bool:
        """Whether the other side closed the connection, after whatever it said."""
        try:
            while self.wire.recv(4096):
                pass
        except ConnectionError:
            pass
        return True

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.wire.recv(size - len(data))
            assert more, "the connection ended"
            data += more
        return data


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
        wires = []

        def start() -> Calling:
            wire = socket.create_connection((where.host, where.port), timeout=20)
            wires.append(wire)
            wire.sendall(request())
            calling = Calling(wire)
            kind, length = struct.unpack(">BxL", calling.read(6))
            assert kind == 2, "not accepted"
            calling.read(length)
            return calling

        yield start
        for wire in wires:
            wire.close()
        door.stop()


def request() -> bytes:
    """An A-ASSOCIATE-RQ PDU with context 1 for verification and 3 for CT."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID("1.2.840.10008.3.1.1.1")
    primitive.calling_ae_title, primitive.called_ae_title = "TEST", "FILMROOM"
    contexts = [build_context(VERIFICATION), build_context(CT, ExplicitVRLittleEndian)]
    for number, context in zip((1, 3), contexts, strict=True):
        context.context_id = number
    primitive.presentation_context_definition_list = contexts
    longest = MaximumLengthNotification()
    longest.maximum_length_received = 16_384
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("1.2.3.4")
    primitive.user_information = [longest, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


@pytest.fixture
def image(pydicom_files: Path) -> tuple[str, bytes]:
    """SOP Instance UID and data set of a CT."""
    data = (pydicom_files / "test_files" / "CT_small.dcm").read_bytes()
    return str(pydicom.dcmread(pydicom_files / "test_files" / "CT_small.dcm").SOPInstanceUID), data[split(data).start :]


def pdv(data: bytes, *, command: bool = False, last: bool = False, context: int = 3) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context, command | last << 1) + data


def pdu(*pdvs: bytes) -> bytes:
    return struct.pack(">BxL", 4, sum(map(len, pdvs))) + b"".join(pdvs)


def command(field: int, *, uid: str = "", sop_class: str = CT, has_data: bool = True) -> bytes:
    fields = [
        (0x0002, sop_class.encode() + b"\0" * (len(sop_class) % 2)),
        (0x0100, struct.pack("<H", field)),
        (0x0110, b"\7\0"),
        (0x0700, b"\0\0"),
        (0x0800, b"\0\0" if has_data else b"\1\1"),
        *[(0x1000, uid.encode() + b"\0" * (len(uid) % 2))] * bool(uid),
    ]
    body = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in fields)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


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
