"""A peer whose bytes are broken somewhere: the association ends, nothing of it is in by halves, and the door stays open."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian
from tests.e2e import raw_dimse
from tests.e2e.raw_dimse import CT, RELEASE, command, pdu, pdv, pieces
from tests.vectors.mutations import Mutation, mutated, mutations

from filmroom import wiring
from filmroom.dicom.part10 import split
from filmroom.dimse.config import Endpoint, Network
from filmroom.dimse.serve import VERIFICATION, Door
from filmroom.flow.reception import Reception
from filmroom.wiring import Room

pytestmark = pytest.mark.slow
CONTEXTS = [(VERIFICATION, ExplicitVRLittleEndian), (CT, ExplicitVRLittleEndian)]
TINY = (Path(__file__).resolve().parents[1] / "vectors" / "dicom" / "ct_tiny.dcm").read_bytes()
UID = "2.25.1001"
STORE_RESPONSE, KEPT = 0x8001, (0x0000, 0xB007)


def store(fragment: int) -> bytes:
    """One object, its data set in fragments of this size."""
    parts = pieces(TINY[split(TINY).start :], fragment)
    asked = pdu(pdv(command(1, uid=UID), command=True, last=True))
    return asked + b"".join(pdu(pdv(part, last=number == len(parts))) for number, part in enumerate(parts, 1))


ECHO = pdu(pdv(command(0x30, sop_class=VERIFICATION, has_data=False), command=True, last=True, context=1))
STREAM = store(200) + ECHO + store(2**14) + RELEASE
PLACES = [place for place in range(len(STREAM)) if STREAM[place:].startswith((b"\x04\0\0\0", b"\x05\0\0\0"))]
TOKENS = (
    *(
        RELEASE,
        ECHO,
        bytes.fromhex("07000000000400000000"),
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\x04\0\x7f\xff\xff\xff",
    ),
    *(pdu(pdv(b"")), pdu(pdv(b"", last=True)), pdu(), b"\x01\x00", b"\x03\x02", b"\x01\x03"),
)
REQUEST = raw_dimse.request(CONTEXTS)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with wiring.open_room(wiring.init(tmp_path_factory.mktemp("hostile") / "room")) as opened:
        yield opened


@pytest.fixture(scope="module")
def port(room: Room) -> Iterator[int]:
    ports = room.serve("dimse")
    with Reception(ports) as reception:
        door = Door(ports, reception, Network(timeout=3), Endpoint("FILMROOM", "127.0.0.1", 0))
        yield door.start().port
        door.stop()


def kept(room: Room) -> int:
    return sum(sum(batch.counts.values()) for batch in room.batches())


def answered(said: bytes) -> int:
    """How many C-STORE responses say that the object is in."""
    found, at = 0, 0
    while at + 12 <= len(said):
        kind, length = struct.unpack_from(">BxL", said, at)
        if kind == 4:
            fields, place, end = {}, at + 12, at + 6 + length
            while place + 8 <= end:
                _, number, size = struct.unpack_from("<HHL", said, place)
                fields[number] = int.from_bytes(said[place + 8 : place + 8 + size], "little")
                place += 8 + size
            found += fields.get(0x0100) == STORE_RESPONSE and fields.get(0x0900) in KEPT
        at += 6 + length
    return found


def exchange(wire: socket.socket, sent: bytes) -> bytes:
    """Send, say that no more will come, and return all that is said until the other side is gone."""
    said = b""
    with wire:
        try:
            wire.sendall(sent)
            wire.shutdown(socket.SHUT_WR)
            while more := wire.recv(2**16):
                said += more
        except TimeoutError:
            raise
        except OSError:
            pass  # the other side is gone already
    return said


@pytest.mark.parametrize(
    "message",
    [
        pdu(pdv(b"", command=True, last=True)),
        pdu(pdv(command(0x4110, has_data=False), command=True, last=True)),
        pdu(pdv(command(0x8001, has_data=False), command=True, last=True)),
    ],
    ids=["without-a-command", "unknown-command", "a-response"],
)
def test_a_message_that_cannot_be_understood_does_not_keep_its_place_among_the_associations(
    port: int, message: bytes
) -> None:
    for _ in range(2 * Network().max_associations):
        exchange(raw_dimse.call(port, CONTEXTS).wire, message)
    check_is_open(port)


def check_is_open(port: int) -> None:
    calling = raw_dimse.call(port, CONTEXTS)
    calling.send(store(2**14))
    assert calling.answer() == 0x0000
    calling.send(RELEASE)
    assert calling.is_over()
    calling.wire.close()


@settings(deadline=None, max_examples=40)
@given(mutations(TOKENS, PLACES))
def test_a_mutated_stream_ends_and_the_door_stays_open(room: Room, port: int, changes: list[Mutation]) -> None:
    before = kept(room)
    said = exchange(raw_dimse.call(port, CONTEXTS).wire, mutated(STREAM, changes))
    assert answered(said) <= kept(room) - before
    check_is_open(port)


@settings(deadline=None, max_examples=40)
@given(mutations([b"\xff\xff", b"\0\0", b"\x10", b"\x20", b"\x50"], range(0, 200, 7)), st.booleans())
def test_a_mutated_request_for_an_association_ends_and_the_door_stays_open(
    room: Room, port: int, changes: list[Mutation], goes_on: bool
) -> None:
    before = kept(room)
    wire = socket.create_connection(("127.0.0.1", port), timeout=60)
    said = exchange(wire, mutated(REQUEST, changes) + (STREAM if goes_on else b""))
    assert answered(said) <= kept(room) - before
    check_is_open(port)
