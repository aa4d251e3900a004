"""One association's objects on their way in: the reception takes each, and a status answers.

Success is answered only after the reception returned, so what the sender heard of is durable. The answers:

| what became of it                        | status | why                                                                |
|------------------------------------------|--------|--------------------------------------------------------------------|
| stored, duplicate                        | 0x0000 | it is in                                                           |
| conflict: same UID, other content        | 0x0000 | it is in beside the other; nothing was coerced, nothing is missing |
| quarantined                              | 0xB007 | kept, and no sound object of its class; resending changes nothing  |
| ignored: a directory, no DICOM           | 0xA900 | not kept: no object that can be stored                             |
| over the size limit                      | 0xC010 | not kept, and never will be                                        |
| the catalog or a store does not answer   | 0xA700 | not kept: send it again later                                      |
| a policy forbids it                      | 0x0124 | not kept: not authorised                                           |
| anything else that filmroom refuses      | 0xC001 | not kept                                                           |

Source: PS3.4 B.2.3 and table B.2-1; PS3.7 9.1.1.1.9. A warning means stored, a failure means not: a sender that retries
failures retries the right ones, and one that asks for storage commitment learns that a quarantined object is not
committed.
"""

import threading

from pydicom.dataset import Dataset

from filmroom.errors import Denied, FilmroomError, Unavailable
from filmroom.flow.reception import Arrived, Delivery, Reception
from filmroom.ids import Digest
from filmroom.ports import Content
from filmroom.records import Outcome

_LONGEST_COMMENT = 64
SUCCESS, AWAY, NOT_AUTHORISED = 0x0000, 0xA700, 0x0124
KEPT_NOT_TRUSTED, NOTHING_TO_STORE, REFUSED, TOO_LARGE = 0xB007, 0xA900, 0xC001, 0xC010
_BY_OUTCOME = {
    Outcome.STORED: SUCCESS,
    Outcome.DUPLICATE: SUCCESS,
    Outcome.CONFLICT: SUCCESS,
    Outcome.QUARANTINED: KEPT_NOT_TRUSTED,
    Outcome.IGNORED: NOTHING_TO_STORE,
}


class Intake:
    """The objects of one association, as one delivery that is opened by the first of them. Thread-safe."""

    def __init__(self, reception: Reception, source: str) -> None:
        self._reception = reception
        self._source = source
        self._lock = threading.Lock()
        self._delivery: Delivery | None = None
        self._closed = False

    @property
    def received(self) -> int:
        return 0 if self._delivery is None else self._delivery.position

    def store(self, sop_uid: str, data: Content, digest: Digest | None = None) -> tuple[int, str]:
        """Take in a file whose header was made at the door, with its digest if that is known. Returns the status to answer, and reason codes as a comment.

        Never raises an error of ours.
        """
        with self._lock:
            if self._closed:
                return AWAY, "the association is over"
            try:
                if self._delivery is None:
                    self._delivery = self._reception.open(self._source)
                row = self._reception.take(self._delivery, Arrived(sop_uid, data, headed=sop_uid, digest=digest)).row
            except FilmroomError as error:
                return refusal(error)
        return _BY_OUTCOME[row.outcome], " ".join(reason.code for reason in row.reasons)[:_LONGEST_COMMENT]

    def finish(self) -> None:
        """Close the delivery, after the object that is on its way in now. Finishing twice changes nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._delivery is not None:
                self._reception.finish_when_possible(self._delivery)


def refusal(error: FilmroomError) -> tuple[int, str]:
    """Return the status that answers for an error of ours, and a comment."""
    match error:
        case Unavailable():
            return AWAY, error.code
        case Denied():
            return NOT_AUTHORISED, error.code
        case _:
            return REFUSED, error.code


def status(code: int, comment: str = "") -> Dataset:
    """Return a status with an Error Comment (LO, 64 characters); comments are made of codes, never of values."""
    answer = Dataset()
    answer.Status = code
    if comment:
        answer.ErrorComment = comment[:_LONGEST_COMMENT]
    return answer
