"""Storage commitment, push model (PS3.4 annex J): does the room answer for these objects?

The request is answered at once; then the objects are looked up, and the report follows: over a new association when the
peer's address is known, else over the one that asked (both are allowed, PS3.4 J.3.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, build_role
from pynetdicom.association import Association

from filmroom.dicom.walk import FAILURES
from filmroom.errors import Invalid

SOP_CLASS = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
_REQUEST, _ALL_COMMITTED, _FAILURES_EXIST = 1, 1, 2
_REASONS = {"missing": 0x0112, "other-class": 0x0119, "unreadable": 0x0110}


@dataclass(frozen=True, slots=True)
class Wish:
    """A commitment request: the transaction, and (SOP Class UID, SOP Instance UID) of each object."""

    transaction: str
    objects: tuple[tuple[str, str], ...] = field(repr=False)


def wish(information: Dataset, action: int | None) -> Wish:
    """Read the action information of an N-ACTION. Raises Invalid."""
    try:
        items = [
            (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
            for item in information.ReferencedSOPSequence
        ]
        found = Wish(str(information.TransactionUID), tuple(items))
    except FAILURES:
        found = Wish("", ())
    if action != _REQUEST or not found.transaction or not found.objects:
        raise Invalid("this is no request for storage commitment", "send a transaction UID and referenced objects")
    return found


def report(asked: Wish, answers: Sequence[str], title: str) -> tuple[int, Dataset]:
    """Return the event type and the event information (PS3.4 table J.3-2); `answers` are those of `committed`."""
    event = Dataset()
    event.TransactionUID = asked.transaction
    pairs = list(zip(asked.objects, answers, strict=True))
    event.ReferencedSOPSequence = [_item(pair, "") for pair, answer in pairs if not answer]
    failed = [_item(pair, answer) for pair, answer in pairs if answer]
    if failed:
        event.FailedSOPSequence = failed
    if event.ReferencedSOPSequence:
        event.RetrieveAETitle = title
    else:
        del event.ReferencedSOPSequence
    return (_FAILURES_EXIST if failed else _ALL_COMMITTED), event


def send_report(association: Association, kind: int, event: Dataset) -> bool:
    """Send the report over an association that accepted the class; say whether the peer took it."""
    try:
        answer, _ = association.send_n_event_report(event, kind, SOP_CLASS, INSTANCE)
    except (RuntimeError, ValueError):
        return False  # the association ended, or the class was not accepted
    return "Status" in answer and int(answer.Status) == 0


def call_back(ae: AE, host: str, port: int, options: dict[str, object]) -> Association:
    """Call the peer in order to report to it: we are the SCP, and say so (PS3.4 J.3.3)."""
    role = build_role(SOP_CLASS, scu_role=False, scp_role=True)
    return ae.associate(host, port, contexts=[build_context(SOP_CLASS)], ext_neg=[role], **options)  # type: ignore[arg-type]


def _item(pair: tuple[str, str], reason: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = pair
    if reason:
        item.FailureReason = _REASONS[reason]
    return item
