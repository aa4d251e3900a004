"""STOW-RS: a request's parts go to the reception one by one, and every one of them gets an answer. PS3.18 10.5.

Requests that follow each other are one delivery (`flow.visits`). A part is in memory until the reception has made it durable; how
many are is bounded, and so is the number of answers, so that memory does not depend on the length of the request. What was
whole before a client went away, or before the body turned out to be broken, is in the room like anything else; what was
not whole is not. Nothing is said to be stored before it is durable. A Content-MD5 (RFC 1864) may come with each part, and with
the request: there it is known too late to turn parts away, so the answer is 400, and a row of the ledger says why.

| what became of a part                     | in the answer           | reason                                           |
|-------------------------------------------|-------------------------|--------------------------------------------------|
| stored, duplicate                         | Referenced SOP Sequence |                                                  |
| conflict: same UID, other bytes, both kept | Referenced SOP Sequence | warning B000: a retrieval gives the other one    |
| quarantined: kept until somebody decides  | Failed SOP Sequence     | C000 cannot be understood, A900 contradictory    |
| ignored: no DICOM object                  | Other Failures Sequence | C000                                             |
| of another study than the path says       | Failed SOP Sequence     | A901, not kept                                   |
| not what its Content-MD5 says             | Failed SOP Sequence     | C000, not kept: send it again                    |
| over the size limit                       | Other Failures Sequence | A700, not kept                                   |
| the catalog or a store does not answer    | Failed SOP Sequence     | A700, not kept: send it again                    |
| anything else that filmroom refuses       | Failed SOP Sequence     | 0110, not kept                                   |
"""

import asyncio
import base64
import functools
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread

from filmroom.canon import Json
from filmroom.dicom import identity
from filmroom.dicom.identity import Identity
from filmroom.dicom.json import attribute, sequence
from filmroom.errors import Denied, FilmroomError, Invalid, Unavailable
from filmroom.flow.gather import Gathering
from filmroom.flow.reception import Arrived, Reception
from filmroom.flow.visits import Visits
from filmroom.ports import Content
from filmroom.records import LedgerRow, Outcome, Reason
from filmroom.web import media, multipart
from filmroom.web.errors import HttpError

UNDERSTOOD_NOT, CONTRADICTORY, OTHER_STUDY = 0xC000, 0xA900, 0xA901
NO_ROOM, PROCESSING, KEPT_BESIDE = 0xA700, 0x0110, 0xB000

_OTHER_REQUEST = Reason("checksum-mismatch", "the request is not what its Content-MD5 says; its parts were dealt with")
_CONTRADICTIONS = ("meta-contradicts", "pixels-", "dimensions-", "transfer-syntax-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may take, and how many bytes of all requests together may be in memory before disks are used."""

    part_bytes: int = 2**32
    parts: int = 100_000
    parts_in_flight: int = 16
    bytes_in_memory: int = 256 * 2**20
    silent_seconds: float = 60


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one part: `failure` and `warning` are reasons of the standard, 0 for none."""

    who: Identity | None
    failure: int = 0
    warning: int = 0
    is_away: bool = False


@dataclass(slots=True)
class _Part:
    """A part that is being received."""

    number: int
    is_dicom: bool
    md5: str
    data: Gathering
    is_too_large: bool = False
    has_no_room: bool = False


class Store:
    """One STOW request on its way in."""

    def __init__(
        self,
        reception: Reception,
        visits: Visits,
        gather: Callable[[], Gathering],
        study: str,
        limits: Limits,
        threads: CapacityLimiter,
        *,
        md5: str = "",
    ) -> None:
        """`md5` is the request's Content-MD5, "" without one."""
        self._md5 = md5
        self._reception = reception
        self._gather = gather
        self._visits = visits
        self._study = study
        self._limits = limits
        self._threads = threads
        self._flying: set[asyncio.Task[None]] = set()
        self._answers: dict[int, Answered] = {}
        self._count = 0

    async def take_parts(self, body: AsyncIterator[bytes], boundary: str) -> None:
        """Take in a multipart body.

        Raises Invalid when it is broken or not what its checksum says, with what was whole before taken in.
        """
        parser = multipart.Parser(boundary)
        checksum = hashlib.md5(usedforsecurity=False)
        part: _Part | None = None
        try:
            async for chunk in body:
                if self._md5:
                    checksum.update(chunk)
                for event in parser.receive(chunk):
                    match event:
                        case multipart.PartBegins(headers):
                            content_type = headers.get("content-type", media.DICOM)
                            part = self._begin(content_type, headers.get("content-md5", ""))
                        case multipart.PartData(data):
                            assert part is not None
                            self._grow(part, data)
                        case multipart.PartEnds():
                            assert part is not None
                            whole, part = part, None
                            await self._end(whole)
            parser.finish()
        finally:
            if part is not None:
                part.data.close()
        if self._md5 and not _is_md5(self._md5, checksum.digest()):
            work = functools.partial(_tell_of_other_request, self._reception, self._visits)
            await to_thread.run_sync(work, limiter=self._threads)
            raise Invalid("the request is not what its Content-MD5 says", "send it again: what is in already counts")

    async def take_single(self, body: AsyncIterator[bytes]) -> None:
        """Take in a body that is one object."""
        part = self._begin(media.DICOM, self._md5)
        with part.data:
            async for chunk in body:
                self._grow(part, chunk)
        await self._end(part)

    async def finish(self) -> list[Answered]:
        """Wait for what is on its way, and return an answer a part, in the order of the parts."""
        problems = await asyncio.gather(*self._flying, return_exceptions=True)
        for problem in problems:
            if problem is not None:
                raise problem
        return [self._answers[number] for number in sorted(self._answers)]

    def _begin(self, content_type: str, md5: str) -> _Part:
        if self._count >= self._limits.parts:
            raise Invalid(f"the request has more than {self._limits.parts:,} parts", "send the others in another one")
        self._count += 1
        try:
            is_dicom = media.parse_media(content_type).name in (media.DICOM, media.OCTETS)
        except Invalid:
            is_dicom = False
        return _Part(self._count, is_dicom, md5, self._gather())

    def _grow(self, part: _Part, data: bytes) -> None:
        if part.is_too_large or part.has_no_room:
            return
        part.is_too_large = len(part.data) + len(data) > self._limits.part_bytes
        try:
            if not part.is_too_large:
                part.data.append(data)
        except Unavailable:
            part.has_no_room = True
        if part.is_too_large or part.has_no_room:
            part.data.close()

    async def _end(self, part: _Part) -> None:
        """Send the part off to the reception, and wait until there is room for another one."""
        self._flying.add(asyncio.create_task(self._settle(part)))
        while len(self._flying) >= self._limits.parts_in_flight:
            done, self._flying = await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _settle(self, part: _Part) -> None:
        work = functools.partial(_take, self._reception, self._visits, part, self._study)
        try:
            self._answers[part.number] = await to_thread.run_sync(work, limiter=self._threads)
        finally:
            part.data.close()


def _is_md5(header: str, digest: bytes) -> bool:
    """Say whether a Content-MD5 header means this digest; one that cannot be read does not."""
    try:
        return base64.b64decode(header.strip(), validate=True) == digest
    except ValueError:
        return False


def _md5(data: Content) -> bytes:
    checksum = hashlib.md5(usedforsecurity=False)
    for piece in [data] if isinstance(data, bytes) else data.pieces():
        checksum.update(piece)
    return checksum.digest()


def _tell_of_other_request(reception: Reception, visits: Visits) -> None:
    with visits.visit() as delivery:
        reception.take(delivery, Arrived("request", b"", _OTHER_REQUEST))


def _take(reception: Reception, visits: Visits, part: _Part, study: str) -> Answered:
    """Hand one part to the reception, and say what became of it."""
    name, problem, failure = f"part {part.number}", None, 0
    who: Identity | None = None
    data = part.data.content()
    if part.has_no_room:
        return Answered(None, NO_ROOM, is_away=True)
    if part.is_too_large:
        problem, failure = Reason("too-large", "over the size limit of this door"), NO_ROOM
    elif not part.is_dicom:
        problem, failure = Reason("not-dicom:part", "the part says that it is no application/dicom"), UNDERSTOOD_NOT
    elif part.md5 and not _is_md5(part.md5, _md5(data)):
        who = identity.identify(data)
        problem, failure = Reason("checksum-mismatch", "not the bytes that Content-MD5 says"), UNDERSTOOD_NOT
    elif study:
        who = identity.identify(data)
        if who.study_uid and who.study_uid != study:
            problem, failure = Reason("other-study", "of another study than the request says"), OTHER_STUDY
    try:
        with visits.visit() as delivery:
            taken = reception.take(delivery, Arrived(name, data, problem))
    except Unavailable:
        return Answered(who or identity.identify(data), NO_ROOM, is_away=True)
    except Denied:
        raise
    except FilmroomError:
        return Answered(who or identity.identify(data), PROCESSING)
    if failure:
        return Answered(who, failure)
    return _answered(who or identity.of(taken.instance) or identity.identify(data), taken.row)


def _answered(who: Identity, row: LedgerRow) -> Answered:
    match row.outcome:
        case Outcome.STORED | Outcome.DUPLICATE:
            return Answered(who)
        case Outcome.CONFLICT:
            return Answered(who, warning=KEPT_BESIDE)
        case Outcome.QUARANTINED:
            contradictory = all(reason.code.startswith(_CONTRADICTIONS) for reason in row.reasons)
            return Answered(who, CONTRADICTORY if contradictory else UNDERSTOOD_NOT)
        case Outcome.IGNORED:
            return Answered(None, UNDERSTOOD_NOT)


# -- the answer ----------------------------------------------------------------------------------------------------


def status(answers: Sequence[Answered]) -> int:
    """Return the status for all parts together (PS3.18 table 10.5.3-1). Raises for a request that had none."""
    if not answers:
        raise Invalid("the request holds no object", "send at least one application/dicom part")
    if all(answer.failure for answer in answers):
        if all(answer.is_away for answer in answers):
            raise Unavailable("nothing was stored: the room does not answer", "send it again")
        return 409
    return 202 if any(answer.failure or answer.warning for answer in answers) else 200


def response(answers: Sequence[Answered], study: str, studies: str) -> dict[str, Json]:
    """Return the Store Instances Response Module (PS3.18 annex I.2) in DICOM JSON; `studies` is the resource's URL."""
    stored: list[dict[str, Json]] = []
    failed: list[dict[str, Json]] = []
    others: list[dict[str, Json]] = []
    for answer in answers:
        who = answer.who
        item: dict[str, Json] = {}
        if who is not None and who.sop_class and who.sop_uid:
            item.update(
                [
                    attribute("ReferencedSOPClassUID", [who.sop_class]),
                    attribute("ReferencedSOPInstanceUID", [who.sop_uid]),
                ]
            )
        if answer.failure:
            item.update([attribute("FailureReason", [answer.failure])])
            (failed if len(item) == 3 else others).append(item)
            continue
        if who is not None and who.study_uid:
            url = f"{studies}/{who.study_uid}/series/{who.series_uid}/instances/{who.sop_uid}"
            item.update([attribute("RetrieveURL", [url])])
        if answer.warning:
            item.update([attribute("WarningReason", [answer.warning])])
        stored.append(item)
    found = {answer.who.study_uid for answer in answers if answer.who is not None and not answer.failure}
    one = study or (found.pop() if len(found) == 1 else "")
    members = [attribute("RetrieveURL", [f"{studies}/{one}"])] if one and stored else [attribute("RetrieveURL")]
    named = (("ReferencedSOPSequence", stored), ("FailedSOPSequence", failed), ("OtherFailuresSequence", others))
    members += [sequence(keyword, items) for keyword, items in named if items]
    return dict(members)


# -- the request ---------------------------------------------------------------------------------------------------


def boundary_of(content_type: str) -> str:
    """Return the boundary of the body's parts, "" when the body is one object.

    Raises Invalid for a header that is broken, HttpError 415 for a body that is neither.
    """
    if not content_type:
        raise HttpError(415, "the request does not say what its body is", f"send {media.RELATED}; type={media.DICOM}")
    found = media.parse_media(content_type)
    if found.name == media.DICOM:
        return ""
    if found.name != media.RELATED or found.parameters.get("type", media.DICOM).lower() != media.DICOM:
        raise HttpError(415, "this media type is not taken", f'send {media.RELATED}; type="{media.DICOM}"')
    if not found.parameters.get("boundary"):
        raise Invalid("the multipart body has no boundary", "name it in Content-Type")
    return found.parameters["boundary"]
