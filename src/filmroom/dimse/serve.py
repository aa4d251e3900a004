"""The listener: lets peers in by the network's rules and hands each request to the part that answers it.

It decides three things itself: who is let in (EVT_REQUESTED), which presentation contexts that peer gets, and when an
association's delivery is over. Every storage class is taken, private ones too, in the transfer syntaxes that the peer
offers and in the peer's order of preference, so that nobody has to convert an image in order to send it.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_ACTION_RSP
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from filmroom.dicom.encode import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION
from filmroom.dicom.walk import EXPLICIT_BIG, EXPLICIT_LITTLE, FAILURES, IMPLICIT_LITTLE
from filmroom.dimse import commit
from filmroom.dimse.config import Endpoint, Network, Peer, Service
from filmroom.dimse.find import answers, question, uids
from filmroom.dimse.intake import AWAY, NOT_AUTHORISED, REFUSED, TOO_LARGE, Intake, refusal, status
from filmroom.dimse.send import Outgoing, contexts_for, sends_stored
from filmroom.dimse.storing import Sent, StoringSocket
from filmroom.dimse.tls import accepting, calling
from filmroom.dimse.wire import Listener, Steady, address_of, hush, let_go, tune
from filmroom.errors import FilmroomError, Invalid, Unavailable
from filmroom.flow.reception import Reception
from filmroom.flow.retrieve import Retrieval, committed, retrieve
from filmroom.flow.search import search
from filmroom.ports import Ports

VERIFICATION = "1.2.840.10008.1.1"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{kind}" for kind in (1, 2, 3))

_STORAGE_SERVICE = "1.2.840.10008.4.2"
_PLAIN = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
_RIGHTS = {FIND: Service.QUERY, MOVE: Service.RETRIEVE, GET: Service.RETRIEVE, commit.SOP_CLASS: Service.STORE}
_PENDING, _PENDING_PARTLY, _CANCEL, _WRONG_IDENTIFIER = 0xFF00, 0xFF01, 0xFE00, 0xA900
_REJECTED, _BY_USER, _CALLER_UNKNOWN = 1, 1, 3
_REJECTED_FOR_NOW, _BY_PROVIDER, _LIMIT_EXCEEDED = 2, 3, 2
_MOST_CONNECTIONS = 512  # those that have not said yet who they are count too
_SPARE = 2**20
_AFTER_ANSWER = 0.2

Answer: TypeAlias = tuple[int | Dataset, Dataset | None]


@dataclass(slots=True)
class _Caller:
    """One open association: who it is, what it has brought, and for what it wants to hear whether the room has it."""

    peer: Peer
    intake: Intake
    wish: commit.Wish | None = None


class Door:
    """A DICOM listener of a room. `start` it, and `stop` it once; it does not close the reception."""

    def __init__(self, ports: Ports, reception: Reception, network: Network, endpoint: Endpoint) -> None:
        self._ports = ports
        self._reception = reception
        self._network = network
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._callers: dict[Association, _Caller] = {}
        self._ae = application(network, endpoint.title)
        self._ae.require_called_aet = True
        self._ae.maximum_associations = _MOST_CONNECTIONS
        self._ae.add_supported_context(VERIFICATION)  # the least; each caller's own are set when it calls

    def start(self, listening: socket.socket | None = None) -> Endpoint:
        """Answer who calls at the endpoint, or at a socket that is bound to it, in threads of its own.

        Returns the endpoint with the port that was given. Raises Unavailable.
        """
        hush()
        tls = accepting(self._network.tls) if self._network.tls else None
        address = (self._endpoint.host, self._endpoint.port)
        try:
            server = self._ae.make_server(
                address,
                ssl_context=tls,
                evt_handlers=self._handlers(),
                server_class=Listener,
                listening=listening,
            )
        except OSError:
            raise Unavailable(f"cannot listen at {self._endpoint}", "choose another address or port") from None
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.1,), name="filmroom-dimse", daemon=True).start()
        self._endpoint = replace(self._endpoint, port=int(server.server_address[1]))
        return self._endpoint

    def stop(self, *, grace: float = 10.0) -> None:
        """Let nobody new in, give open associations `grace` seconds to end, abort the rest, close every delivery."""
        self._server.shutdown()
        pause = threading.Event()
        for _ in range(int(grace * 10)):
            if not self._ae.active_associations:
                break
            pause.wait(0.1)
        for association in self._ae.active_associations:
            association.abort()
        with self._lock:
            left = list(self._callers.values())
        for caller in left:
            caller.intake.finish()

    def _handlers(self) -> list[evt.EventHandlerType]:
        return [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_SOP_COMMON, _on_common),
            (evt.EVT_C_ECHO, lambda event: 0x0000),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_C_GET, self._on_get),
            (evt.EVT_C_MOVE, self._on_move),
            (evt.EVT_N_ACTION, self._on_action),
            (evt.EVT_DIMSE_SENT, self._on_sent),
            (evt.EVT_RELEASED, self._on_end),
            (evt.EVT_ABORTED, self._on_end),
            (evt.EVT_CONN_CLOSE, self._on_end),
        ]

    # -- the association ---------------------------------------------------------------------------------------

    def _on_open(self, event: Event) -> None:
        event.assoc.dul.state_machine = Steady(event.assoc.dul.state_machine)
        plain = event.assoc.dul.socket
        if plain is not None:
            limits = self._network
            event.assoc.dul.socket = StoringSocket(
                plain,
                self._store,
                is_storage,
                self._ports.spools,
                largest_pdu=(limits.max_pdu or limits.max_object) + _SPARE,
                largest_object=limits.max_object,
                patience=limits.timeout,
            )

    def _on_request(self, event: Event) -> None:
        association = event.assoc
        primitive = association.requestor.primitive
        title = str(primitive.calling_ae_title or "").strip() if primitive is not None else ""
        peer = self._network.admit(title, address_of(association))
        if peer is None:
            association.acse.send_reject(_REJECTED, _BY_USER, _CALLER_UNKNOWN)
            association.kill()
            return
        with self._lock:
            is_full = len(self._callers) >= self._network.max_associations
            if not is_full:
                self._callers[association] = _Caller(peer, Intake(self._reception, peer.source))
        if is_full:
            association.acse.send_reject(_REJECTED_FOR_NOW, _BY_PROVIDER, _LIMIT_EXCEEDED)
            association.kill()
            return
        roles = set(association.requestor.role_selection)
        association.acceptor.supported_contexts = _contexts(_offered(association), roles, peer)
        sends_stored(association)

    def _on_end(self, event: Event) -> None:
        with self._lock:
            caller = self._callers.pop(event.assoc, None)
        if caller is not None:
            caller.intake.finish()
        let_go(event.assoc)

    def _caller(self, event: Event) -> _Caller:
        """Return who asks. An association that is over has no caller any more, and whatever it asks is refused."""
        caller = self._callers.get(event.assoc)
        if caller is None:
            raise Unavailable("the association is over", "call again")
        return caller

    # -- storing -----------------------------------------------------------------------------------------------

    def _store(self, association: Association, sent: Sent) -> tuple[int, str]:
        caller = self._callers.get(association)
        if caller is None:
            return AWAY, "the association is over"
        if sent.data is None:
            return (TOO_LARGE, "too-large") if sent.is_too_large else (AWAY, "no-room")
        if Service.STORE not in caller.peer.may:
            return NOT_AUTHORISED, "may-not-store"
        try:
            return caller.intake.store(sent.sop_uid, sent.data, sent.digest)
        except Exception:  # noqa: BLE001  # a mistake of ours, which the next object need not meet
            return REFUSED, "defect"

    def _on_action(self, event: Event) -> Answer:
        try:
            caller = self._caller(event)
            caller.wish = commit.wish(event.action_information, event.action_type)
        except FilmroomError as error:
            return status(*refusal(error)), None
        except FAILURES:
            return status(REFUSED, "unreadable"), None
        return 0x0000, None

    def _on_sent(self, event: Event) -> None:
        caller = self._callers.get(event.assoc)
        if caller is not None and caller.wish is not None and isinstance(event.message, N_ACTION_RSP):
            wish, caller.wish = caller.wish, None
            threading.Thread(target=self._report, args=(event.assoc, caller.peer, wish), daemon=True).start()

    def _report(self, association: Association, peer: Peer, wish: commit.Wish) -> None:
        threading.Event().wait(_AFTER_ANSWER)  # the answer to the request goes first
        try:
            answered = committed(self._ports, wish.objects, to=peer.title)
        except FilmroomError:
            answered = ["unreadable"] * len(wish.objects)  # the room answers for nothing that it cannot look up
        report = commit.report(wish, answered, self._endpoint.title)
        if not self._reported_back(peer, report) and association.is_established:
            wire = association.dul.socket
            with wire.speaking() if isinstance(wire, StoringSocket) else nullcontext():
                commit.send_report(association, *report)

    def _reported_back(self, peer: Peer, report: tuple[int, Dataset]) -> bool:
        """Report over an association of our own, and say whether the peer took it."""
        if peer.endpoint is None:
            return False
        try:
            options = call_options(self._network, peer)
        except FilmroomError:
            return False
        back = commit.call_back(self._ae, peer.endpoint.host, peer.endpoint.port, options)
        if not back.is_established:
            return False
        is_taken = commit.send_report(back, *report)
        back.release()
        return is_taken

    # -- asking and fetching -----------------------------------------------------------------------------------

    def _on_find(self, event: Event) -> Iterator[Answer]:
        try:
            caller = self._caller(event)
            asked = question(event.identifier)
            page = None
            if not asked.is_hopeless:
                to = caller.peer.title
                page = search(
                    self._ports, asked.where, level=asked.level, to=to, select=asked.select, below=asked.below
                )
        except FilmroomError as error:
            yield (_WRONG_IDENTIFIER if error.code == "invalid" else status(*refusal(error))), None
            return
        except FAILURES:
            yield _WRONG_IDENTIFIER, None
            return
        for answer in answers(asked, page, self._endpoint.title) if page else ():
            if event.is_cancelled:
                yield _CANCEL, None
                return
            yield (_PENDING if asked.is_complete else _PENDING_PARTLY), answer

    def _on_get(self, event: Event) -> Iterator[tuple[object, ...] | int | Answer]:
        retrieval = self._retrieval(event)
        if isinstance(retrieval, Dataset):
            yield 1
            yield retrieval, None
            return
        yield from _sub_operations(event, retrieval, len(retrieval.objects))

    def _on_move(self, event: Event) -> Iterator[tuple[object, ...] | int | Answer]:
        destination = self._network.peers.get((event.move_destination or "").strip())
        if destination is None or destination.endpoint is None:
            yield None, None
            return
        try:
            options = call_options(self._network, destination)
        except FilmroomError:
            yield None, None
            return
        where = (destination.endpoint.host, destination.endpoint.port, options)
        retrieval = self._retrieval(event)
        if isinstance(retrieval, Dataset):
            yield where
            yield 1
            yield retrieval, None
            return
        options["contexts"] = contexts_for(retrieval.objects)
        options["evt_handlers"] = [
            *options["evt_handlers"],  # type: ignore[misc]
            (evt.EVT_ESTABLISHED, lambda established: sends_stored(established.assoc)),
        ]
        yield from _sub_operations(event, retrieval, where, len(retrieval.objects))

    def _retrieval(self, event: Event) -> Retrieval | Dataset:
        """Return what was asked for, or the status that refuses it."""
        try:
            caller = self._caller(event)
            level, wanted = uids(event.identifier)
            return retrieve(self._ports, level, wanted, to=caller.peer.title)
        except FilmroomError as error:
            return status(_WRONG_IDENTIFIER, error.code) if error.code == "invalid" else status(*refusal(error))
        except FAILURES:
            return status(_WRONG_IDENTIFIER, "unreadable")


def application(network: Network, title: str) -> AE:
    """Return an application entity with the network's limits and no contexts."""
    ae = AE(ae_title=title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.maximum_associations = network.max_associations
    ae.maximum_pdu_size = network.max_pdu
    ae.acse_timeout = ae.dimse_timeout = ae.connection_timeout = network.timeout
    ae.network_timeout = 10 * network.timeout  # scanners keep an association open between images
    return ae


def call_options(network: Network, peer: Peer) -> dict[str, object]:
    """Return pynetdicom's options for calling a peer: its title, PDU size, TLS, and quick small messages.

    Raises Invalid when it wants TLS and the network has none, or none that can be read.
    """
    options: dict[str, object] = {
        "ae_title": peer.title,
        "max_pdu": network.max_pdu,
        "evt_handlers": [(evt.EVT_CONN_OPEN, tune, [network.max_pdu or network.max_object])],
    }
    if peer.tls:
        if network.tls is None:
            raise Invalid("a peer is called over TLS, and there is no certificate to show", "write [dimse.tls]")
        options["tls_args"] = (calling(network.tls), None)
    return options


def _sub_operations(
    event: Event, retrieval: Retrieval, *before: tuple[object, ...] | int
) -> Iterator[tuple[object, ...] | int | Answer]:
    """Yield what stands before the objects and then these. However far pynetdicom gets, the retrieval is closed."""
    try:
        yield from before
        for stored in retrieval.objects:
            if event.is_cancelled:
                yield _CANCEL, None
                return
            yield _PENDING, Outgoing(retrieval, stored)
    finally:
        with suppress(FilmroomError):  # without the catalog only the closing line is missing, as after a crash
            retrieval.finish()


def _contexts(offered: list[PresentationContext], roles: set[UID], peer: Peer) -> list[PresentationContext]:
    """Return what this peer gets of what it offers, each class once, with the transfer syntaxes in its own order."""
    found: dict[str, PresentationContext] = {}
    for each in offered:
        uid = str(each.abstract_syntax)
        right = _RIGHTS.get(uid)
        if uid == VERIFICATION or (right is not None and right in peer.may):
            syntaxes = [str(syntax) for syntax in each.transfer_syntax if syntax in _PLAIN]
        elif right is None and is_storage(uid) and peer.may & {Service.STORE, Service.RETRIEVE}:
            syntaxes = [str(syntax) for syntax in each.transfer_syntax]
        else:
            continue
        context = found.setdefault(uid, PresentationContext())
        context.abstract_syntax = UID(uid)
        for syntax in syntaxes:
            context.add_transfer_syntax(syntax)
        if each.abstract_syntax in roles:
            context.scu_role = context.scp_role = True
    return [context for context in found.values() if context.transfer_syntax]


def is_storage(uid: str) -> bool:
    """Say whether objects of this class are stored: the standard's storage classes, and every class of others."""
    service = uid_to_service_class(uid)
    if issubclass(service, StorageServiceClass):
        return True
    is_unknown = service is ServiceClass
    return is_unknown and (not uid.startswith("1.2.840.10008.") or uid.startswith("1.2.840.10008.5.1.4.1.1."))


def _on_common(event: Event) -> dict[UID, SOPClassCommonExtendedNegotiation]:
    """Say that every storage class belongs to the Storage service, so that unknown ones are served too (PS3.7 D.3.3.6)."""
    found = {}
    for context in _offered(event.assoc):
        uid = UID(str(context.abstract_syntax))
        if is_storage(uid):
            item = SOPClassCommonExtendedNegotiation()
            item.sop_class_uid = uid
            item.service_class_uid = UID(_STORAGE_SERVICE)
            found[uid] = item
    return found


def _offered(association: Association) -> list[PresentationContext]:
    primitive = association.requestor.primitive
    return list(primitive.presentation_context_definition_list or []) if primitive is not None else []
