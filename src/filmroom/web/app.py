"""The DICOMweb application: which resource is answered by what. Asynchronous here only; the core runs in threads.

A client does not have to say who it is: everything is done as the identity that the room was opened with.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from filmroom.dicom.json import metadata
from filmroom.dicom.parse import read
from filmroom.errors import FilmroomError, Invalid, NotFound
from filmroom.flow.gather import Budget, Gathering
from filmroom.flow.reception import Reception
from filmroom.flow.retrieve import Retrieval
from filmroom.flow.search import search
from filmroom.flow.visits import Visits
from filmroom.ports import Ports
from filmroom.records import Level, StoredInstance
from filmroom.web import errors, media, qido, stow, wado
from filmroom.web.errors import HttpError
from filmroom.web.ranges import Asked

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_STORE_THREADS = 40
_OTHER_THREADS = 16
_LEVELS = {"studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}
_SEARCHES = (
    "/studies",
    "/series",
    "/instances",
    "/studies/{study}/series",
    "/studies/{study}/instances",
    "/studies/{study}/series/{series}/instances",
)
_WHOLE = (
    "/studies/{study}",
    "/studies/{study}/series/{series}",
    "/studies/{study}/series/{series}/instances/{sop}",
)


def create_app(
    ports: Ports, reception: Reception, visits: Visits, limits: stow.Limits | None = None, *, hosts: Sequence[str] = ()
) -> Starlette:
    """Return the application for an open room, for whoever closes `visits` at its end.

    It answers under the names in `hosts` only; none means any.
    """
    door = _Door(ports, reception, visits, limits or stow.Limits())
    routes = [Route(path, door.store, methods=["POST"]) for path in ("/studies", "/studies/{study}")]
    routes += [_get(path, door.search) for path in _SEARCHES]
    for path in _WHOLE:
        routes += [_get(f"{path}/metadata", door.metadata), _get(path, door.objects)]
    one = _WHOLE[-1]
    routes += [
        _get(f"{one}/bulkdata/{{place:path}}", door.bulk),
        _get(f"{one}/frames/{{numbers}}", door.frames),
        _get(f"{one}/rendered", door.rendered),
        _get(f"{one}/thumbnail", door.rendered),
        _get(f"{one}/frames/{{numbers}}/rendered", door.rendered),
        _get("/healthz", door.live),
        _get("/readyz", door.ready),
    ]
    # A web page that makes its own name point here would otherwise read what nobody has to log in for.
    own = [Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)] if hosts else []
    handlers = {FilmroomError: _refuse, HTTPException: _no_route, Exception: _defect}
    return Starlette(routes=routes, middleware=own, exception_handlers=handlers)


def _get(path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(path, handler, methods=["GET"])


class _Door:
    """The handlers of all resources."""

    def __init__(self, ports: Ports, reception: Reception, visits: Visits, limits: stow.Limits) -> None:
        self._ports = ports
        self._reception = reception
        self._visits = visits
        self._limits = limits
        self._budget = Budget(limits.bytes_in_memory)
        # Searches and retrievals do not wait behind those who store.
        self._storing = CapacityLimiter(_STORE_THREADS)
        self._others = CapacityLimiter(_OTHER_THREADS)

    def _gather(self) -> Gathering:
        return Gathering(self._ports.spools, self._budget)

    async def store(self, request: Request) -> Response:
        study = request.path_params.get("study", "")
        offers = (media.DICOM_JSON, media.JSON, media.DICOM_XML)
        kind = media.choose(_accepted(request), offers)
        if kind is None:
            raise errors.not_acceptable(" or ".join(offers))
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise HttpError(415, "this door unpacks nothing", "send the body as it is, without Content-Encoding")
        boundary = stow.boundary_of(request.headers.get("content-type", ""))
        md5 = request.headers.get("content-md5", "")
        store = stow.Store(self._reception, self._visits, self._gather, study, self._limits, self._storing, md5=md5)
        body = self._body(request)
        try:
            if boundary:
                await store.take_parts(body, boundary)
            else:
                await store.take_single(body)
        except (ClientDisconnect, TimeoutError):
            await store.finish()
            raise HttpError(408, "the request did not come whole", "send it again; what is in already counts") from None
        except BaseException:
            # what came whole is in, and its delivery is closed, whatever else is wrong
            await store.finish()
            raise
        answers = await store.finish()
        status = stow.status(answers)
        kind = media.DICOM_XML if kind == media.DICOM_XML else media.DICOM_JSON
        answer = stow.response(answers, study, _studies(request))
        return Response(wado.document(kind, answer), status, media_type=kind)

    async def search(self, request: Request) -> Response:
        form = wado.document_form(_accepted(request))
        level = _LEVELS[request.url.path.rstrip("/").rpartition("/")[2]]
        names = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
        named = {names[name]: value for name, value in request.path_params.items()}
        asked = qido.read(named, request.query_params.multi_items())
        page = await self._call(
            lambda: search(
                self._ports,
                asked.where,
                level=level,
                to=wado.NAME,
                below=qido.BELOW[level],
                limit=asked.limit,
                offset=asked.offset,
            )
        )
        headers = {}
        warnings = [*asked.warnings, *([] if page.is_last else ["there are more results than these; use offset"])]
        if warnings:
            headers["Warning"] = ", ".join(f'299 filmroom "{text}"' for text in warnings)
        if not page.rows:
            return Response(status_code=204, headers=headers)
        found = [wado.document(form.part, each) for each in qido.datasets(page, _studies(request))]
        return Response(form.join(found), 200, headers, form.content_type)

    async def objects(self, request: Request) -> Response:
        form = wado.object_form(_accepted(request), is_one="sop" in request.path_params)
        retrieval = await self._find(request)
        if form.content_type == media.DICOM:
            asked = _asked(request)
            if wado.is_made(form, retrieval.objects[0]):
                return await self._one(retrieval, lambda stored: wado.made(retrieval, form, stored, asked))
            return await wado.single(self._call, retrieval, form, asked)
        return await wado.stream(self._call, retrieval, functools.partial(wado.whole, retrieval, form), form)

    async def metadata(self, request: Request) -> Response:
        form = wado.document_form(_accepted(request))
        retrieval = await self._find(request)
        studies = _studies(request)

        def describe(stored: StoredInstance) -> Iterator[bytes]:
            url = f"{studies}/{stored.study_uid}/series/{stored.series_uid}/instances/{stored.sop_uid}/bulkdata"
            yield wado.document(form.part, metadata(read(retrieval.content(stored)), lambda place: f"{url}/{place}"))

        return await wado.stream(self._call, retrieval, describe, form)

    async def frames(self, request: Request) -> Response:
        numbers = wado.numbers(request.path_params["numbers"])
        accepted, asked = _accepted(request), _asked(request)
        retrieval = await self._find(request)
        return await self._one(retrieval, lambda stored: wado.frames(retrieval, stored, numbers, accepted, asked))

    async def bulk(self, request: Request) -> Response:
        place = request.path_params["place"]
        accepted, asked = _accepted(request), _asked(request)
        retrieval = await self._find(request)
        return await self._one(retrieval, lambda stored: wado.bulk(retrieval, stored, place, accepted, asked))

    async def rendered(self, request: Request) -> Response:
        asked = wado.view(_accepted(request), request.query_params, is_small=request.url.path.endswith("thumbnail"))
        numbers = wado.numbers(request.path_params.get("numbers", "1"))
        if len(numbers) != 1:
            raise Invalid("one picture shows one frame", "name one")
        retrieval = await self._find(request)
        return await self._one(retrieval, lambda stored: wado.rendered(retrieval, stored, numbers[0], asked))

    async def live(self, _: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def ready(self, _: Request) -> Response:
        def look() -> None:
            with self._ports.catalog.read() as tx:
                tx.log.frontier()

        await self._call(look)
        return Response("ok\n", media_type="text/plain")

    async def _find(self, request: Request) -> Retrieval:
        """Choose what the path names. Raises NotFound when that is nothing."""
        found = await self._call(functools.partial(wado.locate, self._ports, **request.path_params))
        if not found.objects:
            await wado.finish(self._call, found)
            raise NotFound("the room has no current object with these UIDs", "search for what there is")
        return found

    async def _one(self, retrieval: Retrieval, make: Callable[[StoredInstance], Response]) -> Response:
        """Answer with something of one object, and write down whether that could be."""
        try:
            response = await self._call(functools.partial(make, retrieval.objects[0]))
            retrieval.sent = 1
        finally:
            await wado.finish(self._call, retrieval)
        return response

    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body's bytes. Raises TimeoutError when the client falls silent."""
        chunks = request.stream().__aiter__()
        while True:
            try:
                async with asyncio.timeout(self._limits.silent_seconds):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            yield chunk

    async def _call(self, work: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(work, limiter=self._others)


def _accepted(request: Request) -> list[media.MediaType]:
    asked = request.query_params.get("accept") or ", ".join(request.headers.getlist("accept"))
    return media.parse_accept(asked) if asked.strip() else []


def _studies(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/studies"


def _asked(request: Request) -> Asked:
    return Asked(request.headers.get("range", ""), request.headers.get("if-range", ""))


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, FilmroomError)
    return errors.answer(error)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, what, next_step = errors.WORDS.get(error.status_code, errors.WORDS[500])
    return errors.body(error.status_code, code, what, next_step, error.headers)


async def _defect(request: Request, error: Exception) -> Response:
    """Answer for a mistake of ours. The log gets where it happened, not what: a message may quote a value."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else "unknown"
    _LOG.error("%s at %s", type(error).__name__, where)
    return errors.body(500, *errors.WORDS[500])
