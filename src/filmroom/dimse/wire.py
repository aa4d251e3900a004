"""What is done to connections and to pynetdicom's loggers: quick reads, bounded memory, no values in logs.

A PDU says its own length, up to 4 GiB, and would be read whole before anybody looks at it; a data set is gathered in
memory. Both are bounded here for associations that the room asks for, and in `storing` for those that others ask for.
"""

import logging
import socket
import ssl
import time
from socketserver import TCPServer
from typing import Any

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.fsm import InvalidEventError, StateMachine
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.transport import ThreadedAssociationServer

from filmroom.dicom.walk import FAILURES

_SPARE = 2**20
_INVALID_PDU = "Evt19"  # PS3.8 table 9-9


def hush() -> None:
    """Silence pynetdicom, whose messages quote identifiers and values; the ledger and the audit log say what happened."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


def tune(event: Event, largest_pdu: int) -> None:
    """Set up a fresh connection: answers leave at once, and a PDU over `largest_pdu` bytes ends the connection."""
    wrapper = event.assoc.dul.socket
    if wrapper is None or wrapper.socket is None:
        return
    connection: socket.socket = wrapper.socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(count: int) -> bytearray:
        """Read `count` bytes, fewer only at the end; pynetdicom's own reads 4 KiB at a time without a bound."""
        if count > largest_pdu + _SPARE:
            raise OSError("a PDU is over the limit")
        whole = bytearray(count)
        view, at = memoryview(whole), 0
        while at < count:
            read = connection.recv_into(view[at:])
            if not read:
                break
            at += read
        view.release()
        del whole[at:]
        return whole

    wrapper.__dict__["recv"] = receive


class Steady(StateMachine):
    """Takes the place of an acceptor's state machine: a message that cannot be understood ends the association.

    The original raises. That would end the thread which alone can close the connection, and the caller would keep its
    place among the associations for good.
    """

    def __init__(self, plain: StateMachine) -> None:
        super().__init__(plain.dul)
        self.current_state = plain.current_state

    def do_action(self, event: str) -> None:
        """Act on an event of PS3.8 table 9-9; where that cannot be done, act as on an invalid PDU."""
        try:
            super().do_action(event)
        except InvalidEventError:
            return  # an answer to a caller who is gone
        except FAILURES:
            if event == _INVALID_PDU:
                raise
            self.dul._kill_thread = False
            self.dul.event_queue.put(_INVALID_PDU)


def let_go(association: Association) -> None:
    """End an acceptor whose caller went before it asked for an association.

    Its thread would wait for the request until the ACSE timeout and count against the limit of associations, so that
    a port scan or a health check could lock everybody out. In Sta2 and Sta13 (PS3.8 table 9-10) no request can come.
    """
    is_waiting = association.is_acceptor and association.requestor.primitive is None
    if is_waiting and association.dul.state_machine.current_state in ("Sta2", "Sta13"):
        association.dul.to_user_queue.put(None)  # reads as the time having run out


class Listener(ThreadedAssociationServer):
    """pynetdicom's listener, with the TLS handshake in the connection's own thread and with a time limit.

    The original shakes hands where it accepts, so that one silent connection would keep everybody else out. `listening` is
    a socket that is bound already and may be shared with other processes; without it, one is made.
    """

    def __init__(
        self, ae: ApplicationEntity, address: tuple[str, int], *rest: Any, listening: socket.socket | None, **more: Any
    ) -> None:
        self._listening = listening
        self._shaking: set[ssl.SSLSocket] = set()
        super().__init__(ae, address, *rest, **more)

    def server_bind(self) -> None:
        """Take the socket that was given, or make one."""
        if self._listening is None:
            super().server_bind()
            return
        if self.socket is not None:
            self.socket.close()
        self.socket = self._listening
        self.socket.setblocking(False)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept one connection, for TLS without having shaken hands yet. Raises OSError when another process took it."""
        assert self.socket is not None
        if self._listening is not None:
            # among processes, the one with the fewest associations is the first
            time.sleep(min(0.02, 0.002 * len(self.active_associations)))
        connection, address = self.socket.accept()
        connection.setblocking(True)
        if self.ssl_context is None:
            return connection, address
        connection.settimeout(self.ae.acse_timeout)
        return self.ssl_context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def verify_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: tuple[str, int] | str
    ) -> bool:
        """Let nobody in while there are too many, who need not have said anything: each has threads of its own."""
        has_room = len(self.active_associations) + len(self._shaking) < self.ae.maximum_associations
        if has_room and isinstance(request, ssl.SSLSocket):
            self._shaking.add(request)
        return has_room

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: tuple[str, int] | str
    ) -> None:
        """Shake hands and go on; whoever cannot is let go."""
        if isinstance(request, ssl.SSLSocket):
            try:
                request.do_handshake()
            except OSError:
                request.close()
                return
            finally:
                self._shaking.discard(request)
            request.settimeout(self.ae.network_timeout)
        super().process_request_thread(request, client_address)

    def service_actions(self) -> None:
        """Do nothing. The original collects garbage now and then, during which nobody else in the process runs."""

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: tuple[str, int] | str
    ) -> None:
        """Say nothing: a connection that breaks is nobody's news, and a traceback could quote values."""

    def shutdown(self) -> None:
        """Stop accepting and close the socket, which stays open in the processes that share it."""
        TCPServer.shutdown(self)
        if self._listening is None:
            self.server_close()
        else:
            self._listening.close()


class Measure:
    """Watches how much of a data set has come, and lets go of one that is over the limit; it is refused at its end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._over = False

    def look(self, event: Event) -> None:
        """Called for each PDU, in the thread that gathers them."""
        message = event.assoc.dimse.message
        if not isinstance(event.pdu, P_DATA_TF) or message is None or message.data_set is None:
            return
        if message.data_set.tell() > self._limit:
            self._over = True
            message.data_set.seek(0)
            message.data_set.truncate()

    def was_over(self, size: int) -> bool:
        """Say whether the message that just ended was over the limit, and forget about it."""
        over, self._over = self._over or size > self._limit, False
        return over


def address_of(association: Association) -> str:
    """Return the IP address that the peer calls from."""
    return str(association.requestor.address_info.address if association.requestor.address_info else "")
