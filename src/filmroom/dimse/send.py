"""Stored objects on their way out: the bytes of the data set as they were received, for C-GET and C-MOVE.

An object goes out in its stored transfer syntax. Only between explicit and implicit VR little endian (and from deflated
to either) is it written anew, when the peer takes no other; compressed pixels are never touched. Where the peer accepts
neither, that sub-operation fails and the others go on.
"""

import time
from collections.abc import Callable, Iterable
from io import BytesIO

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.presentation import PresentationContext

from filmroom.dicom.parse import read
from filmroom.dicom.part10 import split
from filmroom.dicom.walk import DEFLATED, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from filmroom.errors import FilmroomError
from filmroom.flow.retrieve import Retrieval
from filmroom.records import StoredInstance

MAX_CONTEXTS = 128
_REWRITTEN = {
    EXPLICIT_LITTLE: (IMPLICIT_LITTLE,),
    IMPLICIT_LITTLE: (EXPLICIT_LITTLE,),
    DEFLATED: (EXPLICIT_LITTLE, IMPLICIT_LITTLE),
}
_CANNOT_SEND = 0xC001
_LARGEST_ID = 65_535
_WARNING = 0xB


class Outgoing(Dataset):
    """What stands for a stored object in pynetdicom's loop over sub-operations: its UIDs, and how to get its bytes."""

    def __init__(self, retrieval: Retrieval, stored: StoredInstance) -> None:
        super().__init__()
        self.SOPClassUID = stored.sop_class
        self.SOPInstanceUID = stored.sop_uid
        self._stored = stored
        self._retrieval = retrieval

    @property
    def stored(self) -> StoredInstance:
        return self._stored

    def content(self) -> bytes:
        """Return the stored bytes. Raises NotFound, KeyGone, Corrupt or Unavailable."""
        return self._retrieval.content(self._stored)

    def was_sent(self) -> None:
        self._retrieval.sent += 1


def contexts_for(objects: Iterable[StoredInstance]) -> list[PresentationContext]:
    """Return what to propose to a destination: a context for each class in each transfer syntax it is stored in.

    Each context has one transfer syntax, so that the answer says for each whether it can be sent as it is. What is over
    the 128 contexts of an association (PS3.8 9.3.2.2) is left out, the rarest last.
    """
    counted: dict[tuple[str, str], int] = {}
    for stored in objects:
        pairs = [(stored.sop_class, stored.transfer_syntax)]
        pairs += [(stored.sop_class, other) for other in _REWRITTEN.get(stored.transfer_syntax, ())]
        for pair in pairs:
            counted[pair] = counted.get(pair, 0) + 1
    most = sorted(counted, key=lambda pair: (-counted[pair], pair))[:MAX_CONTEXTS]
    return [build_context(sop_class, syntax) for sop_class, syntax in most]


def sends_stored(association: Association) -> None:
    """Let this association's `send_c_store` send stored bytes; pynetdicom's own would decode and write them anew."""
    association.__dict__["send_c_store"] = _sender(association)


def _sender(association: Association) -> Callable[..., Dataset]:
    def send(
        dataset: Outgoing,
        msg_id: int = 1,
        priority: int = 2,
        originator_aet: str | None = None,
        originator_id: int | None = None,
    ) -> Dataset:
        try:
            data = dataset.content()
        except FilmroomError:
            return _failed()
        found = _encoded(association, dataset.stored, data)
        if found is None:
            return _failed()
        context_id, body = found
        request = C_STORE()
        request.MessageID = msg_id % _LARGEST_ID or _LARGEST_ID
        request.Priority = priority
        request.AffectedSOPClassUID = dataset.stored.sop_class
        request.AffectedSOPInstanceUID = dataset.stored.sop_uid
        request.MoveOriginatorApplicationEntityTitle = originator_aet
        request.MoveOriginatorMessageID = originator_id
        request.DataSet = BytesIO(body)
        response = _exchange(association, request, context_id)
        if not isinstance(response, C_STORE) or not response.is_valid_response:
            association.abort()
            return _failed()
        answer = Dataset()
        answer.Status = response.Status
        if response.Status == 0 or (response.Status or 0) >> 12 == _WARNING:
            dataset.was_sent()
        return answer

    return send


def _exchange(association: Association, request: C_STORE, context_id: int) -> object:
    """Send and wait for the answer, None when none comes in time.

    The association's own thread reads answers too, so it is held at its checkpoint, as pynetdicom's requests do it.
    """
    association._reactor_checkpoint.clear()
    try:
        while not association._is_paused and association.is_alive():
            time.sleep(0.0001)
        association.dimse.send_msg(request, context_id)
        _, response = association.dimse.get_msg(block=True)
    finally:
        association._reactor_checkpoint.set()
    return response


def _encoded(association: Association, stored: StoredInstance, data: bytes) -> tuple[int, bytes] | None:
    """Return the context to use and the data set in its transfer syntax, None when the peer takes it in no way."""
    offered: dict[str, int] = {}
    for context in association.accepted_contexts:
        if context.abstract_syntax == stored.sop_class and context.as_scu and context.context_id is not None:
            offered.setdefault(str(context.transfer_syntax[0]), context.context_id)
    if stored.transfer_syntax in offered:
        return offered[stored.transfer_syntax], data[split(data).start :]
    for other in _REWRITTEN.get(stored.transfer_syntax, ()):
        if other in offered:
            try:
                body = encode(read(data), other == IMPLICIT_LITTLE, True)
            except FilmroomError:
                return None
            return None if body is None else (offered[other], body)
    return None


def _failed() -> Dataset:
    answer = Dataset()
    answer.Status = _CANNOT_SEND
    return answer
