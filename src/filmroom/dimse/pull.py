"""pull: ask another archive what it has, fetch it series by series, and say what did not come.

There is no list of work on disk: what is here is in the catalog, so a run that was stopped, or failed, or is repeated a
year later fetches only what is missing. A series of which the archive has more than came is incomplete. One dead series never stops the others; an archive that is gone does. Objects
come over C-GET on this association, or over C-MOVE to a listener of this room (`filmroom serve`).
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext

from filmroom.dicom import values, walk
from filmroom.dicom.attributes import COLUMNS
from filmroom.dicom.part10 import header
from filmroom.dimse.config import Endpoint, Network, Peer
from filmroom.dimse.intake import REFUSED, TOO_LARGE, Intake, status
from filmroom.dimse.serve import FIND, GET, MOVE, application, call_options
from filmroom.dimse.wire import Measure, hush
from filmroom.errors import Invalid, Unavailable
from filmroom.flow.incomplete import announced
from filmroom.flow.reception import Reception
from filmroom.flow.retrieve import series as in_the_room
from filmroom.ports import Ports
from filmroom.records import Level

MAX_CLASSES = 8
_COMPRESSED = tuple(f"1.2.840.10008.1.2.4.{part}" for part in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203))
_RLE = "1.2.840.10008.1.2.5"
_SYNTAXES = (walk.EXPLICIT_LITTLE, *_COMPRESSED, _RLE, walk.IMPLICIT_LITTLE)
_SERIES_KEYS = frozenset(column.dicom for column in COLUMNS if column.level is Level.SERIES and column.dicom)
_IMAGE_KEYS = frozenset(column.dicom for column in COLUMNS if column.level is Level.INSTANCE and column.dicom)
_PENDING = frozenset({0xFF00, 0xFF01})
_AT_ONCE = 100
_LONGEST_COUNT = 12  # VR IS
_NOW_AND_THEN = 30.0
_ENOUGH = 3
"""After so many calls in a row that reach nobody, the other archive is gone."""


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day, local time, in which the other archive may be asked; it may span midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read HH:MM-HH:MM. Raises Invalid."""
        first, _, last = text.partition("-")
        try:
            return cls(time.fromisoformat(first), time.fromisoformat(last))
        except ValueError:
            raise Invalid("a window is written HH:MM-HH:MM", "write for example 22:00-06:00") from None

    def is_open(self, now: time) -> bool:
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to pull and how gently. `keys` are matching keys by keyword; `move_to` is the AE title of a room's listener.

    `rate` is objects a second at most, 0 for no limit (C-GET only: with C-MOVE the other side sets the pace).
    """

    keys: Mapping[str, str] = field(repr=False)
    title: str = "FILMROOM"
    move_to: str = ""
    rate: float = 0.0
    window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledSeries:
    """One series: how many objects the other archive has, how many of these are here, and what went wrong if not all.

    `quarantined` are among those that are `here`: they came, and wait for a decision. Where the archive could not say
    which series a study has, the study stands here as one failed series without a `series_uid`.
    """

    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    modality: str
    expected: int
    here: int
    quarantined: int
    missing: int
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull found and fetched. `state` of a series is `complete`, `incomplete` or `failed`."""

    series: tuple[PulledSeries, ...]
    received: int
    complete: int
    incomplete: int
    failed: int

    @property
    def is_complete(self) -> bool:
        return self.complete == len(self.series)


class _Failed(Exception):
    """The other archive did not do what it was asked; the message is a code."""


class _Remote:
    """The other archive, asked over one association a question. Every question raises Unavailable when it is gone."""

    def __init__(self, network: Network, endpoint: Endpoint, title: str) -> None:
        self._ae: AE = application(network, title)
        known = network.peers.get(endpoint.title)
        self._peer = known or Peer(title=endpoint.title, source=f"pull:{endpoint.title}")
        self._endpoint = endpoint
        self._network = network
        self._in_vain = 0

    @property
    def source(self) -> str:
        return self._peer.source

    def find(self, keys: Mapping[str, str]) -> list[Dataset]:
        """Return the identifiers that the other archive answers with. Raises _Failed."""
        association = self._call([build_context(FIND)])
        found: list[Dataset] = []
        try:
            for answer, identifier in association.send_c_find(_identifier(keys), FIND):
                code = int(answer.Status) if "Status" in answer else -1
                if code in _PENDING and identifier is not None:
                    found.append(identifier)
                elif code != 0:
                    raise _Failed("no-answer" if code < 0 else f"find-{code:04X}")
        except (RuntimeError, ValueError):
            raise _Failed("find-refused") from None
        finally:
            _end(association)
        return found

    def get(self, keys: Mapping[str, str], classes: Sequence[str], store: Callable[[Event, Measure], Dataset]) -> str:
        """Fetch over C-GET; return "" or the code of what went wrong. Raises _Failed when it cannot be asked."""
        measure = Measure(self._network.max_object)
        handlers: list[evt.EventHandlerType] = [(evt.EVT_PDU_RECV, measure.look), (evt.EVT_C_STORE, store, [measure])]
        contexts = [build_context(GET), *_proposals(classes)]
        roles = [build_role(uid, scu_role=False, scp_role=True) for uid in classes]
        association = self._call(contexts, ext_neg=roles, handlers=handlers)
        try:
            answers = association.send_c_get(_identifier(keys), GET)
            return _last("get", [answer for answer, _ in answers])
        except (RuntimeError, ValueError):
            raise _Failed("get-refused") from None
        finally:
            _end(association)

    def move(self, keys: Mapping[str, str], to: str) -> str:
        """Have it sent to another AE; return "" or the code of what went wrong. Raises _Failed."""
        association = self._call([build_context(MOVE)])
        try:
            answers = association.send_c_move(_identifier(keys), to, MOVE)
            return _last("move", [answer for answer, _ in answers])
        except (RuntimeError, ValueError):
            raise _Failed("move-refused") from None
        finally:
            _end(association)

    def _call(
        self,
        contexts: list[PresentationContext],
        ext_neg: Sequence[object] = (),
        handlers: Sequence[evt.EventHandlerType] = (),
    ) -> Association:
        options = call_options(self._network, self._peer)
        heard: list[Event] = []
        answered = [(evt.EVT_ACCEPTED, heard.append), (evt.EVT_REJECTED, heard.append)]
        options["evt_handlers"] = [*options["evt_handlers"], *answered, *handlers]  # type: ignore[misc]
        options["contexts"], options["ext_neg"] = contexts, list(ext_neg)
        association = self._ae.associate(self._endpoint.host, self._endpoint.port, **options)  # type: ignore[arg-type]
        self._in_vain = 0 if heard else self._in_vain + 1
        if association.is_established:
            return association
        if self._in_vain == _ENOUGH:
            raise Unavailable(f"{self._endpoint} does not answer any more", "pull again later: what came is in")
        if not heard:
            raise _Failed("not-reachable")
        raise _Failed("association-rejected" if association.is_rejected else "service-refused")


@dataclass(frozen=True, slots=True)
class _Found:
    """A series that the other archive says it has; `count` is None where it does not say how many objects.

    `problem` is why it could not say which series the study has; then there is no `series_uid`.
    """

    study_uid: str
    series_uid: str = ""
    modality: str = ""
    count: int | None = None
    problem: str = ""


def pull(
    ports: Ports,
    reception: Reception,
    network: Network,
    endpoint: Endpoint,
    wanted: Wanted,
    *,
    wait: Callable[[float], object] | None = None,
) -> Pulled:
    """Fetch what matches and is not here.

    Raises Unavailable when the archive cannot be asked what it has at all or is gone in the middle, and Invalid when it
    cannot be called as it wants to be.

    `wait` sleeps for some seconds: outside the window, and between objects to keep the rate.
    """
    hush()
    wait = wait or threading.Event().wait
    remote = _Remote(network, endpoint, wanted.title)

    def wait_for_window() -> None:
        while wanted.window is not None and not wanted.window.is_open(ports.clock.now().astimezone().time()):
            wait(_NOW_AND_THEN)

    try:
        listed = _listed(remote, wanted.keys, wait_for_window)
    except _Failed as error:
        raise Unavailable(f"{endpoint} cannot be asked ({error})", "check its address and that it knows us") from None
    intake = Intake(reception, remote.source)
    pulled = []
    try:
        with ports.progress.task("pull", len(listed)) as advance:
            for found in listed:
                wait_for_window()
                pulled.append(_series(ports, remote, intake, wanted, found, wait))
                advance(1)
    finally:
        intake.finish()
        counts = {each.series_uid: each.expected for each in pulled if each.series_uid and each.expected}
        announced(ports, counts, by=endpoint.title)
    states = Counter(each.state for each in pulled)
    return Pulled(
        series=tuple(pulled),
        received=intake.received,
        complete=states["complete"],
        incomplete=states["incomplete"],
        failed=states["failed"],
    )


def keys_of(conditions: Sequence[str]) -> dict[str, str]:
    """Read KEY=VALUE conditions; a key is an attribute's keyword. Raises Invalid."""
    keys: dict[str, str] = {}
    for condition in conditions:
        keyword, equals, value = condition.partition("=")
        if not equals or tag_for_keyword(keyword) is None or dictionary_VR(keyword) == "SQ" or keyword in _IMAGE_KEYS:
            raise Invalid(
                "a condition is KEYWORD=VALUE with an attribute of a study or series",
                "write for example StudyDate=20240101-20240131 or Modality=CT",
            )
        keys[keyword] = value
    return keys


def _listed(remote: _Remote, keys: Mapping[str, str], wait_for_window: Callable[[], None]) -> list[_Found]:
    """Ask for the studies and then for each one's series: the Study Root model wants the level above by its UID.

    Raises _Failed when the studies cannot be listed; a study whose series cannot be is in the list with its problem.
    """
    of_series = {keyword: value for keyword, value in keys.items() if keyword in _SERIES_KEYS}
    of_study = {keyword: value for keyword, value in keys.items() if keyword not in _SERIES_KEYS}
    wait_for_window()
    studies = remote.find({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", **of_study})
    found: dict[tuple[str, str], _Found] = {}
    for uid in sorted({_text(study, "StudyInstanceUID") for study in studies} - {""}):
        wait_for_window()
        asked = {"SeriesInstanceUID": "", "Modality": "", "NumberOfSeriesRelatedInstances": "", **of_series}
        try:
            series = remote.find({"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": uid, **asked})
        except _Failed as error:
            found[uid, ""] = _Found(uid, problem=str(error))
            continue
        for each in series:
            series_uid, count = _text(each, "SeriesInstanceUID"), _text(each, "NumberOfSeriesRelatedInstances")
            if series_uid:
                number = int(count) if count.isdecimal() and len(count) <= _LONGEST_COUNT else None
                found[uid, series_uid] = _Found(uid, series_uid, _text(each, "Modality"), number)
    return [found[key] for key in sorted(found)]


def _series(
    ports: Ports, remote: _Remote, intake: Intake, wanted: Wanted, found: _Found, wait: Callable[[float], object]
) -> PulledSeries:
    """Fetch what is missing of one series and compare. Raises for an archive that is gone, not for what one does."""
    if found.problem:
        return _compared(found, frozenset(), frozenset(), None, found.problem)
    here = in_the_room(ports, found.series_uid)
    expected: frozenset[str] | None = None
    reason = ""
    if found.count is None or len(here.cataloged | here.quarantined) < found.count:
        try:
            classes = _images(remote, found)
            expected = frozenset(classes)
            missing = sorted(expected - here.cataloged - here.quarantined)
            for keys, some in _requests(found, missing, whole=not (here.cataloged or here.quarantined)):
                if wanted.move_to:
                    reason = remote.move(keys, wanted.move_to) or reason
                else:
                    taken = sorted({classes[uid] for uid in some} - {""})[:MAX_CLASSES]
                    reason = remote.get(keys, taken, _storing(intake, wanted.rate, wait)) or reason
        except _Failed as error:
            reason = str(error)
        here = in_the_room(ports, found.series_uid)
    return _compared(found, here.cataloged, here.quarantined, expected, reason)


def _compared(
    found: _Found, cataloged: frozenset[str], quarantined: frozenset[str], expected: frozenset[str] | None, reason: str
) -> PulledSeries:
    arrived = cataloged | quarantined
    if expected is None:
        count, here = found.count or 0, len(arrived)
        missing = max(0, count - here)
    else:
        count, here, missing = len(expected), len(expected & arrived), len(expected - arrived)
    is_known = expected is not None or found.count is not None
    state = "complete" if is_known and not missing else "failed" if reason and not here else "incomplete"
    return PulledSeries(
        study_uid=found.study_uid,
        series_uid=found.series_uid,
        modality=found.modality,
        expected=count,
        here=here,
        quarantined=len(quarantined),
        missing=missing,
        state=state,
        reason=reason if state != "complete" else "",
    )


def _images(remote: _Remote, found: _Found) -> dict[str, str]:
    """Return the SOP Class UID of each SOP Instance UID of the series, "" where the archive does not say."""
    keys = {"StudyInstanceUID": found.study_uid, "SeriesInstanceUID": found.series_uid}
    answers = remote.find({"QueryRetrieveLevel": "IMAGE", **keys, "SOPInstanceUID": "", "SOPClassUID": ""})
    uids = {_text(each, "SOPInstanceUID"): _text(each, "SOPClassUID") for each in answers}
    uids.pop("", None)
    return uids


def _requests(found: _Found, missing: list[str], *, whole: bool) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Ask for the whole series when nothing of it is here, else only for what is missing."""
    above = {"StudyInstanceUID": found.study_uid, "SeriesInstanceUID": found.series_uid}
    if whole and missing:
        yield {"QueryRetrieveLevel": "SERIES", **above}, missing
        return
    for start in range(0, len(missing), _AT_ONCE):
        some = missing[start : start + _AT_ONCE]
        yield {"QueryRetrieveLevel": "IMAGE", **above, "SOPInstanceUID": "\\".join(some)}, some


def _storing(intake: Intake, rate: float, wait: Callable[[float], object]) -> Callable[[Event, Measure], Dataset]:
    def store(event: Event, measure: Measure) -> Dataset:
        if rate > 0:
            wait(1 / rate)
        request = event.request
        data = getattr(request, "DataSet", None)
        if data is None:
            return status(REFUSED, "empty")
        body = data.getvalue()
        if measure.was_over(len(body)):
            return status(TOO_LARGE, "too-large")
        sop_uid = str(getattr(request, "AffectedSOPInstanceUID", ""))
        head = header(
            sop_class=str(getattr(request, "AffectedSOPClassUID", "")),
            sop_uid=sop_uid,
            syntax=str(event.context.transfer_syntax),
        )
        return status(*intake.store(sop_uid, head + body))

    return store


def _proposals(classes: Sequence[str]) -> list[PresentationContext]:
    """Propose each class in each transfer syntax apart, so that an object can come as it is stored there."""
    return [build_context(uid, syntax) for uid in classes for syntax in _SYNTAXES]


def _identifier(keys: Mapping[str, str]) -> Dataset:
    identifier = Dataset()
    if not all(value.isascii() for value in keys.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(identifier, keyword, value or None)
    return identifier


def _text(identifier: Dataset, keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in identifier:
        return ""
    element = identifier.get_item(tag)
    return values.text(element, ["iso8859"]) or str(getattr(element, "value", None) or "").strip(" \0")


def _last(verb: str, answers: Sequence[Dataset]) -> str:
    """Return the code of the last answer, "" for success: counts of a warning are compared with the catalog anyway."""
    code = int(answers[-1].Status) if answers and "Status" in answers[-1] else -1
    return "" if code == 0 else "no-answer" if code < 0 else f"{verb}-{code:04X}"


def _end(association: Association) -> None:
    if association.is_established:
        association.release()
