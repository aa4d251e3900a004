"""WADO-RS: stored objects, their frames and pictures of them go out. PS3.18 10.4.

Objects are given one at a time, and as they were received unless the client names another transfer syntax: explicit VR
little endian is made of the native ones, nothing is compressed or decompressed. An object that turns out to be missing
or damaged when others have been given already breaks the connection: a client must not take half a study for a whole.
"""

import functools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fastapi import Response
from starlette.responses import StreamingResponse

from filmroom.dicom import render, transfer
from filmroom.dicom.json import bulk_value
from filmroom.dicom.parse import read
from filmroom.dicom.walk import EXPLICIT_LITTLE
from filmroom.errors import FilmroomError, Invalid
from filmroom.flow.retrieve import Held, Retrieval, retrieve
from filmroom.ports import Ports
from filmroom.records import Level
from filmroom.web import media, multipart
from filmroom.web.errors import not_acceptable

MAX_FRAMES = 10_000
THUMBNAIL = (200, 200)

_T = TypeVar("_T")


class Call(Protocol):
    """Runs the synchronous core in a thread."""

    def __call__(self, work: Callable[[], _T], /) -> Awaitable[_T]: ...


@dataclass(frozen=True, slots=True)
class Form:
    """How objects are put together: the type of the whole, what stands before, between and behind them."""

    content_type: str
    before: bytes = b""
    between: bytes = b""
    behind: bytes = b""
    syntax: str = "*"

    def check(self, objects: Sequence[Held]) -> None:
        """Raises HttpError 406 when one of the objects cannot be given in this form's transfer syntax."""
        for held in objects:
            can = self.syntax == EXPLICIT_LITTLE and transfer.is_native(held.transfer_syntax)
            if self.syntax not in ("*", held.transfer_syntax) and not can:
                raise not_acceptable('multipart/related; type="application/dicom"; transfer-syntax=*')


JSON_LIST = Form(media.DICOM_JSON, b"[", b",", b"]")


@dataclass(frozen=True, slots=True)
class View:
    """What a picture should be."""

    media: str
    window: str
    size: tuple[int, int] | None
    quality: int


def locate(ports: Ports, *, study: str, series: str = "", sop: str = "", **_: str) -> tuple[Retrieval, list[Held]]:
    """Return the current objects with all these UIDs. Raises Denied."""
    level = Level.INSTANCE if sop else Level.SERIES if series else Level.STUDY
    retrieval = retrieve(ports, level, [sop or series or study], to="dicomweb")
    return retrieval, [
        held for held in retrieval.objects if held.study_uid == study and series in ("", held.series_uid)
    ]


def object_form(accepted: Sequence[media.MediaType], *, is_one: bool) -> Form:
    """Return the form for whole objects. Raises HttpError 406."""
    for each in accepted or [media.MediaType("*/*")]:
        syntax = each.parameters.get("transfer-syntax", "*")
        if each.covers(media.RELATED) and (each.name != media.RELATED or each.part.covers(media.DICOM)):
            boundary = _boundary()
            return Form(
                multipart.content_type(boundary, media.DICOM),
                multipart.opening(boundary, media.DICOM),
                b"\r\n" + multipart.opening(boundary, media.DICOM),
                b"\r\n" + multipart.closing(boundary),
                syntax,
            )
        if is_one and each.name == media.DICOM:
            return Form(media.DICOM, syntax=syntax)
    raise not_acceptable(f'{media.RELATED}; type="{media.DICOM}"')


def whole(retrieval: Retrieval, form: Form, held: Held) -> bytes:
    """Return one object in the form's transfer syntax."""
    data = retrieval.content(held)
    if form.syntax == EXPLICIT_LITTLE and held.transfer_syntax != EXPLICIT_LITTLE:
        return transfer.explicit_little(data)
    return data


async def stream(
    call: Call, retrieval: Retrieval, objects: Sequence[Held], make: Callable[[Held], bytes], form: Form
) -> Response:
    """Answer with all objects, one in memory at a time; the first one is made before anything is answered."""
    try:
        first = await call(functools.partial(make, objects[0]))
    except FilmroomError:
        await call(functools.partial(retrieval.finish, sent=0, failed=len(objects)))
        raise

    async def chunks(content: bytes) -> AsyncIterator[bytes]:
        sent, is_told = 0, False
        try:
            yield form.before
            yield content
            sent = 1
            for held in objects[1:]:
                content = await call(functools.partial(make, held))
                yield form.between
                yield content
                sent += 1
            yield form.behind
            is_told = True
            await call(functools.partial(retrieval.finish, sent=sent, failed=0))
        finally:
            if not is_told:
                # not awaited in a thread: when the client went away this task is cancelled
                retrieval.finish(sent=sent, failed=len(objects) - sent)

    headers = {"Content-Length": str(len(first))} if form.content_type == media.DICOM else None
    return StreamingResponse(chunks(first), 200, headers, form.content_type)


def numbers(text: str) -> list[int]:
    """Read a list of frames. Raises Invalid."""
    found = text.replace("%2C", ",").split(",")
    if len(found) > MAX_FRAMES or not all(each.isascii() and each.isdecimal() and len(each) < 10 for each in found):
        raise Invalid("this is no list of frames", "write numbers from 1, separated by commas")
    return [int(each) for each in found]


def frames(retrieval: Retrieval, held: Held, wanted: list[int], accepted: Sequence[media.MediaType]) -> Response:
    """Answer with frames as they are stored, or decoded where the client takes octets only.

    Raises HttpError 406, NotFound for a frame that is not there, Unreadable for one that cannot be had.
    """
    dataset = read(retrieval.content(held))
    transfer.check_numbers(dataset, wanted)
    syntax = transfer.syntax_of(dataset)
    stored = transfer.MEDIA.get(syntax, media.OCTETS)
    for each in accepted or [media.MediaType("*/*")]:
        single = each.name != media.RELATED
        part = media.MediaType("*/*") if each.name == "*/*" else each.part
        if single and each.name != "*/*" and len(wanted) != 1:
            continue
        asked = each.parameters.get("transfer-syntax", "")
        if part.covers(stored) and asked in ("", "*", syntax):
            parts = [transfer.stored_frame(dataset, number) for number in wanted]
            kind = stored
        elif part.covers(media.OCTETS) and asked in ("", EXPLICIT_LITTLE):
            parts = [transfer.decoded_frame(dataset, number) for number in wanted]
            kind = media.OCTETS
        else:
            continue
        return Response(parts[0], media_type=kind) if single and each.name != "*/*" else _together(parts, kind)
    raise not_acceptable(f'{media.RELATED}; type="{stored}"')


def bulk(retrieval: Retrieval, held: Held, place: str, accepted: Sequence[media.MediaType]) -> Response:
    """Answer with a value that the metadata left out. Raises HttpError 406, or NotFound."""
    for each in accepted or [media.MediaType("*/*")]:
        if each.part.covers(media.OCTETS):
            value = bulk_value(read(retrieval.content(held)), place)
            is_single = each.name not in (media.RELATED, "*/*")
            return Response(value, media_type=media.OCTETS) if is_single else _together([value], media.OCTETS)
    raise not_acceptable(f'{media.RELATED}; type="{media.OCTETS}"')


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


def rendered(retrieval: Retrieval, held: Held, number: int, asked: View) -> Response:
    """Answer with a picture of a frame."""
    dataset = read(retrieval.content(held))
    shown = render.picture(dataset, number, asked.media, window=asked.window, size=asked.size, quality=asked.quality)
    return Response(shown, media_type=asked.media)


def _together(parts: Sequence[bytes], kind: str) -> Response:
    boundary = _boundary()
    pieces = [piece for part in parts for piece in (multipart.opening(boundary, kind), part, b"\r\n")]
    return Response(b"".join([*pieces, multipart.closing(boundary)]), media_type=multipart.content_type(boundary, kind))


def _boundary() -> str:
    """Return a boundary that no stored object can have been made to hold."""
    return secrets.token_hex(16)
