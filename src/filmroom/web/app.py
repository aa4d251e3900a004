"""The DICOMweb application: which resource is answered by what. Asynchronous here only; the core runs in threads.

A client does not have to say who it is: everything is done as the identity that the room was opened with.
"""

import asyncio
import functools
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from filmroom.dicom.json import metadata
from filmroom.dicom.parse import read
from filmroom.errors import FilmroomError, Invalid, NotFound
from filmroom.flow.reception import Reception
from filmroom.flow.retrieve import Held, Retrieval
from filmroom.flow.search import search
from filmroom.flow.visits import Visits
from filmroom.ports import Ports
from filmroom.records import Level
from filmroom.web import errors, media, qido, stow, wado
from filmroom.web.errors import HttpError

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
) -> FastAPI:
    """Return the application for an open room, for whoever closes `visits` at its end. It answers under the names in `hosts` only; none means any."""
    app = FastAPI(title="filmroom", docs_url=None, redoc_url=None, openapi_url=None)
    door = _Door(ports, reception, visits, limits or stow.Limits())
    for path in ("/studies", "/studies/{study}"):
        app.add_api_route(path, door.store, methods=["POST"], response_model=None)
    for path in _SEARCHES:
        app.add_api_route(path, door.search, methods=["GET"], response_model=None)
    for path in _WHOLE:
        app.add_api_route(f"{path}/metadata", door.metadata, methods=["GET"], response_model=None)
        app.add_api_route(path, door.objects, methods=["GET"], response_model=None)
    one = _WHOLE[-1]
    for path, handler in (
        ("/bulkdata/{place:path}", door.bulk),
        ("/frames/{numbers}", door.frames),
        ("/rendered", door.rendered),
        ("/thumbnail", door.rendered),
        ("/frames/{numbers}/rendered", door.rendered),
    ):
        app.add_api_route(f"{one}{path}", handler, methods=["GET"], response_model=None)
    app.add_api_route("/healthz", door.live, methods=["GET"], response_model=None)
    app.add_api_route("/readyz", door.ready, methods=["GET"], response_model=None)
    if hosts:
        # A web page that makes its own name point here would otherwise read what nobody has to log in for.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_exception_handler(FilmroomError, _refuse)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _defect)
    return app


class _Door:
    """The handlers of all resources."""

    def __init__(self, ports: Ports, reception: Reception, visits: Visits, limits: stow.Limits) -> None:
        self._ports = ports
        self._reception = reception
        self._visits = visits
        self._limits = limits
        # Searches and retrievals do not wait behind those who store.
        self._storing = CapacityLimiter(_STORE_THREADS)
        self._others = CapacityLimiter(_OTHER_THREADS)

    async def store(self, request: Request) -> Response:
        study = request.path_params.get("study", "")
        self._acceptable(request, media.DICOM_JSON, media.JSON)
        boundary = stow.boundary_of(request.headers.get("content-type", ""))
        store = stow.Store(self._reception, self._visits, self._ports.spools, study, self._limits, self._storing)
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
        return _json(stow.response(answers, study, _studies(request)), status)

    async def search(self, request: Request) -> Response:
        self._acceptable(request, media.DICOM_JSON, media.JSON)
        level = _LEVELS[request.url.path.rstrip("/").rpartition("/")[2]]
        names = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
        named = {names[name]: value for name, value in request.path_params.items()}
        asked = qido.read(level, named, request.query_params.multi_items())
        find = functools.partial(search, self._ports, asked.where, level=level, limit=asked.limit, offset=asked.offset)
        page = await self._call(find)
        headers = {}
        warnings = [*asked.warnings, *([] if page.is_last else ["there are more results than these; use offset"])]
        if warnings:
            headers["Warning"] = ", ".join(f'299 filmroom "{text}"' for text in warnings)
        if not page.rows:
            return Response(status_code=204, headers=headers)
        return _json(qido.datasets(page, _studies(request)), 200, headers)

    async def objects(self, request: Request) -> Response:
        form = wado.object_form(_accepted(request), is_one="sop" in request.path_params)
        retrieval, objects = await self._find(request)
        form.check(objects)
        make = functools.partial(wado.whole, retrieval, form)
        return await wado.stream(self._call, retrieval, objects, make, form)

    async def metadata(self, request: Request) -> Response:
        self._acceptable(request, media.DICOM_JSON, media.JSON)
        retrieval, objects = await self._find(request)
        studies = _studies(request)

        def describe(held: Held) -> bytes:
            url = f"{studies}/{held.study_uid}/series/{held.series_uid}/instances/{held.sop_uid}/bulkdata"
            return json.dumps(metadata(read(retrieval.content(held)), lambda place: f"{url}/{place}")).encode()

        return await wado.stream(self._call, retrieval, objects, describe, wado.JSON_LIST)

    async def frames(self, request: Request) -> Response:
        numbers = wado.numbers(request.path_params["numbers"])
        accepted = _accepted(request)
        retrieval, objects = await self._find(request)
        return await self._one(retrieval, lambda: wado.frames(retrieval, objects[0], numbers, accepted))

    async def bulk(self, request: Request) -> Response:
        place = request.path_params["place"]
        accepted = _accepted(request)
        retrieval, objects = await self._find(request)
        return await self._one(retrieval, lambda: wado.bulk(retrieval, objects[0], place, accepted))

    async def rendered(self, request: Request) -> Response:
        asked = wado.view(_accepted(request), request.query_params, is_small=request.url.path.endswith("thumbnail"))
        numbers = wado.numbers(request.path_params.get("numbers", "1"))
        if len(numbers) != 1:
            raise Invalid("one picture shows one frame", "name one")
        retrieval, objects = await self._find(request)
        return await self._one(retrieval, lambda: wado.rendered(retrieval, objects[0], numbers[0], asked))

    async def live(self) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def ready(self) -> Response:
        def look() -> None:
            with self._ports.catalog.read() as tx:
                tx.log.frontier()

        await self._call(look)
        return Response("ok\n", media_type="text/plain")

    async def _find(self, request: Request) -> tuple[Retrieval, list[Held]]:
        """Return what the path names. Raises NotFound when that is nothing."""
        found = await self._call(functools.partial(wado.locate, self._ports, **request.path_params))
        if not found[1]:
            await self._call(functools.partial(found[0].finish, sent=0, failed=0))
            raise NotFound("the room has no current object with these UIDs", "search for what there is")
        return found

    async def _one(self, retrieval: Retrieval, make: Callable[[], Response]) -> Response:
        """Answer with something of one object, and write down whether that could be."""
        try:
            response = await self._call(make)
        except FilmroomError:
            await self._call(functools.partial(retrieval.finish, sent=0, failed=1))
            raise
        await self._call(functools.partial(retrieval.finish, sent=1, failed=0))
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

    @staticmethod
    def _acceptable(request: Request, *offers: str) -> None:
        if media.choose(_accepted(request), offers) is None:
            raise errors.not_acceptable(" or ".join(offers))


def _accepted(request: Request) -> list[media.MediaType]:
    asked = request.query_params.get("accept") or ", ".join(request.headers.getlist("accept"))
    return media.parse_accept(asked) if asked.strip() else []


def _studies(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/studies"


def _json(document: object, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(document, ensure_ascii=False).encode(), status, headers, media.DICOM_JSON)


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
