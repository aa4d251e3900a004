"""C-STORE requests, read from the socket into one buffer: what comes in in bulk does not go through pynetdicom's queues.

pynetdicom negotiates the association, answers every other message, and releases or aborts. It asks its socket whether
there is something to read; this socket stores what there is to store first, in the thread that asks, and hands on
everything else from its first byte. An answer leaves before the next request is looked at.
Source: PS3.8 9.3.5 (P-DATA-TF) and annex E (fragments of messages); PS3.7 9.1.1, 9.3.1 and E.1 (C-STORE).
"""

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from filmroom.dicom.part10 import header
from filmroom.errors import Unavailable
from filmroom.flow.gather import Gathering, close
from filmroom.ids import Digest
from filmroom.ports import Content, Spools

_P_DATA, _COMMAND, _LAST = 0x04, 0x01, 0x02
_C_STORE_REQUEST, _C_STORE_RESPONSE, _NO_DATA_SET = 0x0001, 0x8001, 0x0101
_CLASS, _FIELD, _ASKED_ID, _ANSWERED_ID, _HAS_DATA, _STATUS, _COMMENT, _UID = (
    0x0002,
    0x0100,
    0x0110,
    0x0120,
    0x0800,
    0x0900,
    0x0902,
    0x1000,
)
_LONGEST_COMMAND = 16_384
_LONGEST_MESSAGE = 16 * 2**20  # of the others: a request to commit 100,000 objects
_PDU_HEAD, _PDV_HEAD = struct.Struct(">BxL"), struct.Struct(">LBB")
_ABORT = bytes.fromhex("07000000000400000206")  # by the provider: an invalid PDU parameter (PS3.8 9.3.8)
_READY_FOR_DATA = "Sta6"  # PS3.8 table 9-8
_LINGER_SECONDS = 0.05
_FIRST_BUFFER = 2**17


@dataclass(frozen=True, slots=True)
class Sent:
    """One object that a peer sends, as a Part 10 file; `data` is None for one that is over the limit, or has no room."""

    sop_class: str
    sop_uid: str = field(repr=False)
    data: Content | None = field(repr=False)
    digest: Digest | None = None
    is_too_large: bool = False


Store: TypeAlias = Callable[[Association, Sent], tuple[int, str]]
"""Takes one object in, and returns the status to answer and a comment on it. Does not raise."""


class _Asked(NamedTuple):
    context: int
    message: int
    sop_class: str
    sop_uid: str
    syntax: str


class _Odd(Exception):
    """The peer does not keep to the protocol in the middle of an object."""


class _Interrupted(Exception):
    """The peer ends the association in the middle of an object; pynetdicom reads how."""


class StoringSocket(AssociationSocket):
    """Takes the place of an association's socket, with its connection and state.

    `largest_pdu` and `largest_object` are in bytes. A connection that stops in the middle of a PDU is given `patience`
    seconds.
    """

    def __init__(
        self,
        plain: AssociationSocket,
        store: Store,
        is_storage: Callable[[str], bool],
        spools: Spools,
        *,
        largest_pdu: int,
        largest_object: int,
        patience: float,
    ) -> None:
        self.__dict__.update(plain.__dict__)
        self._store = store
        self._is_storage = is_storage
        self._spools = spools
        self._largest_pdu = largest_pdu
        self._largest_object = largest_object
        self._ahead = bytearray()
        self._buffer = bytearray(_FIRST_BUFFER)
        self._contexts: dict[int, str] = {}
        self._speaking = threading.Lock()
        self._pausing = threading.Lock()
        self._may_pause = True
        if self.socket is not None:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.settimeout(patience)

    @property
    def ready(self) -> bool:
        """Say whether there is something for pynetdicom to read, after everything was stored that is to be stored."""
        if self._ahead:
            return True
        while self._is_readable(0) and self.provider_queue.empty():
            if self.assoc.dul.state_machine.current_state == _READY_FOR_DATA:
                if not self.assoc.is_established:
                    return False  # the contexts are not all set yet; they will be in a moment
                with self._alone():
                    if self._serve():
                        self._is_readable(_LINGER_SECONDS)  # the next request comes when the sender has read the answer
                        continue
            return True
        return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`, fewer only at the end of the connection; what was looked at before comes first.

        Raises OSError, with which pynetdicom closes the connection, when this or the message that it gathers is too long.
        """
        if nr_bytes > self._largest_pdu or _gathered(self.assoc) > _LONGEST_MESSAGE:
            raise OSError("a PDU or a message is over the limit")
        whole = bytearray(nr_bytes)
        known = min(nr_bytes, len(self._ahead))
        whole[:known] = self._ahead[:known]
        del self._ahead[:known]
        with memoryview(whole) as view:
            read = known + self._fill(view[known:])
        del whole[read:]
        return whole

    def _serve(self) -> bool:
        """Store what the next message brings, and answer. Returns False for a message of another kind, left untouched."""
        try:
            asked = self._command()
            if asked is None:
                return False
            sent = self._data_set(asked)
            try:
                code, comment = self._store(self.assoc, sent)
            finally:
                if sent.data is not None:
                    close(sent.data)
            self._answer(asked, code, comment)
        except _Interrupted:
            return False
        except Exception:  # noqa: BLE001
            # besides _Odd and OSError a mistake of ours: it would end the thread, and nobody would hear of the end
            self._abort()
            return False
        # stored objects are traffic too, of which pynetdicom sees nothing
        self.assoc.dul._idle_timer.restart()
        return True

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Leave the association's own thread alone, for whoever sends a request over this association: one at a time."""
        with self._speaking:
            with self._pausing:
                self._may_pause = False
            try:
                yield
            finally:
                with self._pausing:
                    self._may_pause = True
                    self.assoc._reactor_checkpoint.set()  # which nobody did when an object came in meanwhile

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let the association's own thread, which polls a thousand times a second, sleep while objects come in."""
        checkpoint = self.assoc._reactor_checkpoint
        with self._pausing:
            if self._may_pause:
                checkpoint.clear()
        try:
            yield
        finally:
            with self._pausing:
                if self._may_pause:
                    checkpoint.set()

    def _is_readable(self, seconds: float) -> bool:
        """Wait so long for something to read, an end of the connection too. `select` would fail above 1,023 descriptors."""
        if self.socket is None or not self._is_connected:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        try:
            watch = select.poll()
            watch.register(self.socket, select.POLLIN)
            return bool(watch.poll(seconds * 1000))
        except (OSError, ValueError):
            self.event_queue.put("Evt17")  # the connection is closed (PS3.8 table 9-10)
            return False

    # -- reading -------------------------------------------------------------------------------------------------

    def _command(self) -> _Asked | None:
        """Read a message's command set, and return it if it is a C-STORE request with a data set; all else is kept."""
        command, at = bytearray(), 0
        while True:
            kind, length = _PDU_HEAD.unpack(self._peek(at, 6))
            at, end = at + 6, at + 6 + length
            if kind != _P_DATA or length > min(self._largest_pdu, 2**31):
                return None
            while at < end:
                size, context, control = _PDV_HEAD.unpack(self._peek(at, 6))
                if size < 2 or at + 4 + size > end or not control & _COMMAND:
                    return None
                if at + size > _LONGEST_COMMAND:
                    raise _Odd
                command += self._peek(at + 6, size - 2)
                at += 4 + size
                if control & _LAST:
                    asked = self._asked(context, bytes(command))
                    if asked is not None:
                        self._ahead.clear()
                        self._left = end - at
                    return asked

    def _asked(self, context: int, command: bytes) -> _Asked | None:
        fields = dict(_elements(command))
        if _number(fields, _FIELD) != _C_STORE_REQUEST or _number(fields, _HAS_DATA) in (None, _NO_DATA_SET):
            return None
        syntax = self._syntax(context)
        if syntax is None:
            return None
        return _Asked(context, _number(fields, _ASKED_ID) or 0, _text(fields, _CLASS), _text(fields, _UID), syntax)

    def _syntax(self, context: int) -> str | None:
        """Return the transfer syntax of an accepted storage context, None for any other."""
        if not self._contexts:
            self._contexts = {
                each.context_id: str(each.transfer_syntax[0])
                for each in self.assoc.accepted_contexts
                if each.context_id is not None and self._is_storage(str(each.abstract_syntax))
            }
        return self._contexts.get(context)

    def _data_set(self, asked: _Asked) -> Sent:
        """Gather the data set behind a header of its own. What cannot be kept is read to its end all the same."""
        head = header(sop_class=asked.sop_class, sop_uid=asked.sop_uid, syntax=asked.syntax)
        limit, is_over, has_no_room = len(head) + self._largest_object, False, False
        with Gathering(self._spools, hashing=True) as whole:
            whole.append(head)
            for size in self._fragments(asked.context):
                self._make_room(size)
                with memoryview(self._buffer) as view:
                    self._read(view[:size])
                    is_over = is_over or len(whole) + size > limit
                    if not (is_over or has_no_room):
                        has_no_room = not _append(whole, view[:size])
        if is_over or has_no_room:
            whole.close()
            return Sent(asked.sop_class, asked.sop_uid, None, is_too_large=is_over)
        return Sent(asked.sop_class, asked.sop_uid, whole.content(), whole.digest)

    def _fragments(self, expected: int) -> Iterator[int]:
        """Yield the length of each fragment of the data set; whoever takes it reads that many bytes before the next."""
        while True:
            while not self._left:
                kind, length = _PDU_HEAD.unpack(self._peek(0, 6))
                if kind != _P_DATA:
                    raise _Interrupted
                if length > self._largest_pdu:
                    raise _Odd
                self._ahead.clear()
                self._left = length
            if self._left < 6:
                raise _Odd
            size, context, control = _PDV_HEAD.unpack(self._peek(0, 6))
            if size < 2 or size + 4 > self._left or context != expected or control & _COMMAND:
                raise _Odd
            self._ahead.clear()
            self._left -= 4 + size
            yield size - 2
            if control & _LAST:
                break
        if self._left:
            raise _Odd

    def _peek(self, at: int, size: int) -> bytes:
        """Return bytes from `at` on behind those that were handed out, reading what is missing."""
        missing = at + size - len(self._ahead)
        if missing > 0:
            more = bytearray(missing)
            with memoryview(more) as view:
                read = self._fill(view)
            self._ahead += more[:read]
            if read < missing:
                raise OSError("the connection ended")
        return bytes(self._ahead[at : at + size])

    def _read(self, into: memoryview) -> None:
        if self._fill(into) < len(into):
            raise OSError("the connection ended")

    def _fill(self, into: memoryview) -> int:
        """Read into the whole of `into`; return how much came before the connection ended."""
        assert self.socket is not None
        at = 0
        while at < len(into):
            read = self.socket.recv_into(into[at:])
            if not read:
                break
            at += read
        return at

    def _make_room(self, size: int) -> None:
        if size > len(self._buffer):
            self._buffer = bytearray(size)

    # -- answering -----------------------------------------------------------------------------------------------

    def _answer(self, asked: _Asked, code: int, comment: str) -> None:
        fields = {
            _CLASS: _padded(asked.sop_class, b"\0"),
            _FIELD: struct.pack("<H", _C_STORE_RESPONSE),
            _ANSWERED_ID: struct.pack("<H", asked.message),
            _HAS_DATA: struct.pack("<H", _NO_DATA_SET),
            _STATUS: struct.pack("<H", code),
            **({_COMMENT: _padded(comment, b" ")} if comment else {}),
            _UID: _padded(asked.sop_uid, b"\0"),
        }
        command = b"".join(struct.pack("<HHL", 0, number, len(value)) + value for number, value in fields.items())
        command = struct.pack("<HHLL", 0, 0, 4, len(command)) + command
        step = max(1, (self.assoc.requestor.maximum_length or len(command) + 6) - 6)
        assert self.socket is not None
        for start in range(0, len(command), step):
            part = command[start : start + step]
            control = _COMMAND | (_LAST if start + step >= len(command) else 0)
            head = _PDU_HEAD.pack(_P_DATA, len(part) + 6) + _PDV_HEAD.pack(len(part) + 2, asked.context, control)
            self.socket.sendall(head + part)

    def _abort(self) -> None:
        """Say that the association is over; pynetdicom finds the connection closed."""
        self._ahead.clear()
        if self.socket is None:
            return
        try:
            self.socket.sendall(_ABORT)
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _gathered(association: Association) -> int:
    """Return how many bytes pynetdicom has of a message that is not over yet."""
    message = association.dimse.message
    if message is None:
        return 0
    return sum(part.tell() for part in (message.encoded_command_set, message.data_set) if part is not None)


def _append(whole: Gathering, data: memoryview) -> bool:
    try:
        whole.append(data)
    except Unavailable:
        return False
    return True


def _elements(command: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield element number and value of a command set, which is implicit VR little endian and of group 0000 only."""
    at = 0
    while at + 8 <= len(command):
        group, number, length = struct.unpack_from("<HHL", command, at)
        value = bytes(command[at + 8 : at + 8 + length])
        if group == 0 and len(value) == length:
            yield number, value
        at += 8 + length


def _number(fields: dict[int, bytes], number: int) -> int | None:
    value = fields.get(number, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else None


def _text(fields: dict[int, bytes], number: int) -> str:
    return fields.get(number, b"").decode("ascii", "replace").strip(" \0")


def _padded(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    return value + padding * (len(value) % 2)
