"""Associations as sockets: what a peer sends is written byte by byte, so that it may also be what no library would send."""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
RELEASE = bytes.fromhex("05000000000400000000")


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


def call(port: int, contexts: Sequence[tuple[str, str]]) -> Calling:
    """Call FILMROOM with a presentation context for each (class, transfer syntax); the first has the ID 1, the next 3."""
    wire = socket.create_connection(("127.0.0.1", port), timeout=20)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.sendall(request(contexts))
    calling = Calling(wire)
    try:
        kind, length = struct.unpack(">BxL", calling.read(6))
        assert kind == 2, "not accepted"
        calling.read(length)
    except BaseException:
        wire.close()
        raise
    return calling


def request(contexts: Sequence[tuple[str, str]]) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID("1.2.840.10008.3.1.1.1")
    primitive.calling_ae_title, primitive.called_ae_title = "TEST", "FILMROOM"
    offered = [build_context(*each) for each in contexts]
    for number, context in enumerate(offered):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = offered
    longest = MaximumLengthNotification()
    longest.maximum_length_received = 16_384
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("1.2.3.4")
    primitive.user_information = [longest, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


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
