"""WADO-RS: stored objects, their frames and pictures of them go out. PS3.18 10.4.

Objects are given one after the other, a large one piece by piece, and as they were received unless the client names another transfer syntax: explicit VR
little endian is made of the native ones, nothing is compressed or decompressed. An object that turns out to be missing
or damaged when something has been given already breaks the connection: a client must not take a half for a whole.
"""

import functools
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from anyio import CancelScope
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from filmroom.canon import Json
from filmroom.dicom import render, transfer
from filmroom.dicom.json import bulk_value
from filmroom.dicom.parse import read
from filmroom.dicom.walk import EXPLICIT_LITTLE
from filmroom.dicom.xml import native
from filmroom.errors import Invalid
from filmroom.flow.retrieve import Retrieval, retrieve
from filmroom.ids import Digest
from filmroom.ports import Ports
from filmroom.records import Level, StoredInstance
from filmroom.web import media, multipart, ranges
from filmroom.web.errors import not_acceptable
from filmroom.web.ranges import Asked

NAME = "dicomweb"
"""What the audit log calls whoever asks at this door."""

MAX_FRAMES = 10_000
THUMBNAIL = (200, 200)

_T = TypeVar("_T")


class Call(Protocol):
    """Runs the synchronous core in a thread."""

    def __call__(self, work: Callable[[], _T], /) -> Awaitable[_T]: ...


@dataclass(frozen=True, slots=True)
class Form:
    """How objects are put together: the type of the whole, what stands before, between and behind them.

    `part` is the media type of each of them. Whole objects are given in `syntax`, or in any for `*`.
    """

    content_type: str
    part: str
    before: bytes = b""
    between: bytes = b""
    behind: bytes = b""
    syntax: str = "*"

    def check(self, objects: Sequence[StoredInstance]) -> None:
        """Raises HttpError 406 when one of the objects cannot be given in this form's transfer syntax."""
        for stored in objects:
            can = self.syntax == EXPLICIT_LITTLE and transfer.is_native(stored.transfer_syntax)
            if self.syntax not in ("*", stored.transfer_syntax) and not can:
                raise not_acceptable('multipart/related; type="application/dicom"; transfer-syntax=*')

    def join(self, parts: Sequence[bytes]) -> bytes:
        """Return the body of all parts."""
        return b"".join([self.before, self.between.join(parts), self.behind])


@dataclass(frozen=True, slots=True)
class View:
    """What a picture should be."""

    media: str
    window: str
    size: tuple[int, int] | None
    quality: int


def locate(ports: Ports, *, study: str, series: str = "", sop: str = "", **_: str) -> Retrieval:
    """Choose the current objects with all these UIDs. Raises Denied."""
    level = Level.INSTANCE if sop else Level.SERIES if series else Level.STUDY
    within = {Level.STUDY: study} | ({Level.SERIES: series} if series else {})
    return retrieve(ports, level, [sop or series or study], to=NAME, within=within)


def object_form(accepted: Sequence[media.MediaType], *, is_one: bool) -> Form:
    """Return the form for whole objects. Raises HttpError 406."""
    for each in accepted or [media.MediaType("*/*")]:
        syntax = each.parameters.get("transfer-syntax", "*")
        if each.covers(media.RELATED) and (each.name != media.RELATED or each.part.covers(media.DICOM)):
            return _related(media.DICOM, syntax)
        if is_one and each.name == media.DICOM:
            return Form(media.DICOM, media.DICOM, syntax=syntax)
    raise not_acceptable(f'{media.RELATED}; type="{media.DICOM}"')


def document_form(accepted: Sequence[media.MediaType]) -> Form:
    """Return the form for descriptions: a list in DICOM JSON, or a part of DICOM XML for each. Raises HttpError 406."""
    for each in accepted or [media.MediaType("*/*")]:
        if each.covers(media.DICOM_JSON) or each.name == media.JSON:
            return Form(media.DICOM_JSON, media.DICOM_JSON, b"[", b",", b"]")
        if each.covers(media.RELATED) and each.part.covers(media.DICOM_XML):
            return _related(media.DICOM_XML)
    raise not_acceptable(f'{media.DICOM_JSON} or {media.RELATED}; type="{media.DICOM_XML}"')


def document(kind: str, dataset: Mapping[str, Json]) -> bytes:
    """Return a data set in DICOM JSON or DICOM XML."""
    return native(dataset) if kind == media.DICOM_XML else json.dumps(dataset, ensure_ascii=False).encode()


def whole(retrieval: Retrieval, form: Form, stored: StoredInstance) -> Iterator[bytes]:
    """Yield the pieces of one object in the form's transfer syntax. What has to be made for it is one piece."""
    if is_made(form, stored):
        yield transfer.explicit_little(retrieval.content(stored))
    else:
        yield from retrieval.pieces(stored)


def made(retrieval: Retrieval, form: Form, stored: StoredInstance, asked: Asked) -> Response:
    """Answer with one object in explicit VR little endian, or with a part of that. Raises HttpError 406 or 416."""
    form.check([stored])
    return _value(transfer.explicit_little(retrieval.content(stored)), media.DICOM, asked)


async def finish(call: Call, retrieval: Retrieval) -> None:
    """Write down what became of a retrieval, even when the client went away and this task is cancelled for it."""
    with CancelScope(shield=True):
        await call(retrieval.finish)


async def single(call: Call, retrieval: Retrieval, form: Form, asked: Asked) -> Response:
    """Answer with one object as it is stored, or with a part of it. Raises HttpError 406 or 416."""
    stored = retrieval.objects[0]
    try:
        form.check([stored])
        tag = f'"{stored.digest.hex}"'
        part = asked.within(stored.size_bytes, tag)
        start, stop = part or (0, stored.size_bytes)
        content = await _begun(call, retrieval.pieces(stored, start, stop))
    except BaseException:
        await finish(call, retrieval)
        raise

    async def chunks() -> AsyncIterator[bytes]:
        async for piece in content:
            yield piece
        retrieval.sent = 1

    headers = {"Accept-Ranges": "bytes", "ETag": tag, "Content-Length": str(stop - start)}
    if part is not None:
        headers["Content-Range"] = ranges.content_range(part, stored.size_bytes)
    over = functools.partial(finish, call, retrieval)
    return _Stream(over, chunks(), media.DICOM, 200 if part is None else 206, headers)


async def stream(
    call: Call, retrieval: Retrieval, make: Callable[[StoredInstance], Iterator[bytes]], form: Form
) -> Response:
    """Answer with all objects, a piece of one in memory at a time; the first is made before anything is answered."""
    try:
        form.check(retrieval.objects)
        first = await _begun(call, make(retrieval.objects[0]))
    except BaseException:
        await finish(call, retrieval)
        raise

    async def chunks() -> AsyncIterator[bytes]:
        yield form.before
        async for piece in first:
            yield piece
        retrieval.sent = 1
        for stored in retrieval.objects[1:]:
            content = await _begun(call, make(stored))
            yield form.between
            async for piece in content:
                yield piece
            retrieval.sent += 1
        yield form.behind

    return _Stream(functools.partial(finish, call, retrieval), chunks(), form.content_type)


async def _begun(call: Call, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Return the pieces, of which the first was made."""
    following = functools.partial(next, pieces, b"")
    first = await call(following)

    async def all_of_them() -> AsyncIterator[bytes]:
        piece = first
        while piece:
            yield piece
            piece = await call(following)

    return all_of_them()


class _Stream(StreamingResponse):
    """A response that says when it is over, wherever it ended; a client may go before its first byte."""

    def __init__(
        self,
        is_over: Callable[[], Awaitable[None]],
        content: AsyncIterator[bytes],
        kind: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(content, status, headers, kind)
        self._is_over = is_over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._is_over()


def numbers(text: str) -> list[int]:
    """Read a list of frames. Raises Invalid."""
    found = text.replace("%2C", ",").split(",")
    if len(found) > MAX_FRAMES or not all(each.isascii() and each.isdecimal() and len(each) < 10 for each in found):
        raise Invalid("this is no list of frames", "write numbers from 1, separated by commas")
    return [int(each) for each in found]


def frames(
    retrieval: Retrieval,
    stored: StoredInstance,
    wanted: list[int],
    accepted: Sequence[media.MediaType],
    asked_range: Asked,
) -> Response:
    """Answer with frames as they are stored, or decoded where the client takes octets only. One of them has ranges.

    Raises HttpError 406 or 416, NotFound for a frame that is not there, Unreadable for one that cannot be had.
    """
    dataset = read(retrieval.content(stored))
    transfer.check_numbers(dataset, wanted)
    syntax = transfer.syntax_of(dataset)
    compressed = transfer.MEDIA.get(syntax, media.OCTETS)
    for each in accepted or [media.MediaType("*/*")]:
        is_single = each.name != media.RELATED
        part = media.MediaType("*/*") if each.name == "*/*" else each.part
        if is_single and each.name != "*/*" and len(wanted) != 1:
            continue
        asked = each.parameters.get("transfer-syntax", "")
        if part.covers(compressed) and asked in ("", "*", syntax):
            parts = [transfer.stored_frame(dataset, number) for number in wanted]
            kind = compressed
        elif part.covers(media.OCTETS) and asked in ("", EXPLICIT_LITTLE):
            parts = [transfer.decoded_frame(dataset, number) for number in wanted]
            kind = media.OCTETS
        else:
            continue
        return _value(parts[0], kind, asked_range) if is_single and each.name != "*/*" else _together(parts, kind)
    raise not_acceptable(f'{media.RELATED}; type="{compressed}"')


def bulk(
    retrieval: Retrieval, stored: StoredInstance, place: str, accepted: Sequence[media.MediaType], asked: Asked
) -> Response:
    """Answer with a value that the metadata left out, or a part of it. Raises HttpError 406 or 416, or NotFound."""
    for each in accepted or [media.MediaType("*/*")]:
        if each.part.covers(media.OCTETS):
            value = bulk_value(read(retrieval.content(stored)), place)
            if each.name not in (media.RELATED, "*/*"):
                return _value(value, media.OCTETS, asked)
            part = asked.within(len(value), _tag(value))
            return _together([value], media.OCTETS) if part is None else _one_part(value, part)
    raise not_acceptable(f'{media.RELATED}; type="{media.OCTETS}"')


def _one_part(value: bytes, part: tuple[int, int]) -> Response:
    """Answer with a range of a value in a multipart body (PS3.18, Retrieve Bulkdata): the part says which it is."""
    boundary = secrets.token_hex(16)
    opening = multipart.opening(boundary, media.OCTETS, ranges.content_range(part, len(value)))
    body = b"".join([opening, value[slice(*part)], b"\r\n", multipart.closing(boundary)])
    return Response(body, 206, media_type=multipart.content_type(boundary, media.OCTETS))


def view(accepted: Sequence[media.MediaType], parameters: Mapping[str, str], *, is_small: bool) -> View:
    """Read what picture is wanted (PS3.18 8.3.5.1). Raises Invalid, or HttpError 406."""
    kind = media.choose(accepted, (render.JPEG, render.PNG))
    if kind is None:
        raise not_acceptable(f"{render.JPEG} or {render.PNG}")
    size = THUMBNAIL if is_small else None
    if "viewport" in parameters:
        width, _, height = parameters["viewport"].partition(",")
        if not all(each.isascii() and each.isdecimal() and int(each[:6]) > 0 for each in (width, height)):
            raise Invalid("the viewport is none", "write viewport=WIDTH,HEIGHT in pixels")
        size = int(width[:6]), int(height[:6])
    quality = parameters.get("quality", "90")
    if not (quality.isascii() and quality.isdecimal() and 1 <= int(quality[:4]) <= 100):
        raise Invalid("the quality is none", "write a number from 1 to 100")
    return View(kind, parameters.get("window", ""), size, int(quality[:4]))


def rendered(retrieval: Retrieval, stored: StoredInstance, number: int, asked: View) -> Response:
    """Answer with a picture of a frame."""
    dataset = read(retrieval.content(stored))
    shown = render.picture(dataset, number, asked.media, window=asked.window, size=asked.size, quality=asked.quality)
    return Response(shown, media_type=asked.media)


def _value(data: bytes, kind: str, asked: Asked) -> Response:
    """Answer with a value as it is, or with a part of it."""
    return ranges.answer(asked, kind, len(data), _tag(data), lambda start, stop: data[start:stop])


def _tag(data: bytes) -> str:
    return f'"{Digest.of(data).hex}"'


def _together(parts: Sequence[bytes], kind: str) -> Response:
    form = _related(kind)
    return Response(form.join(parts), media_type=form.content_type)


def _related(kind: str, syntax: str = "*") -> Form:
    """Return the form of a multipart body with a boundary that no stored object can have been made to hold."""
    boundary = secrets.token_hex(16)
    opening = multipart.opening(boundary, kind)
    behind = b"\r\n" + multipart.closing(boundary)
    return Form(multipart.content_type(boundary, kind), kind, opening, b"\r\n" + opening, behind, syntax)


def is_made(form: Form, stored: StoredInstance) -> bool:
    """Say whether the form wants other bytes than those that are stored."""
    return form.syntax == EXPLICIT_LITTLE and stored.transfer_syntax != EXPLICIT_LITTLE
