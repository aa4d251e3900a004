"""The one table from errors to HTTP, and the body that every error has: {"error": {"code", "what", "next"}}.

`what` and `next` never hold a patient's value: they are those of `filmroom.errors`, which promise it, or texts of here.
"""

import json
from collections.abc import Mapping
from typing import ClassVar

from starlette.responses import Response

from filmroom.errors import (
    Corrupt,
    Denied,
    FilmroomError,
    Invalid,
    KeyGone,
    NotFound,
    Refused,
    Unavailable,
    Unreadable,
)

STATUS: tuple[tuple[type[FilmroomError], int], ...] = (
    (Invalid, 400),
    (Denied, 403),
    (NotFound, 404),
    (Refused, 409),
    (KeyGone, 410),
    (Unreadable, 422),
    (Corrupt, 500),
    (Unavailable, 503),
)
RETRY_SECONDS = 5

WORDS: Mapping[int, tuple[str, str, str]] = {
    404: ("not-found", "there is no such resource", "see docs/how-to/dicomweb.md for those that there are"),
    405: ("method", "this resource does not have this method", "see docs/how-to/dicomweb.md"),
    500: ("error", "the server made a mistake", "tell who runs it: the log says where"),
}


class HttpError(FilmroomError):
    """What HTTP itself asks to be refused, with its status."""

    code: ClassVar[str] = "http"

    def __init__(self, status: int, what: str, next_step: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(what, next_step)
        self.status = status
        self.headers = dict(headers or {})


def status_of(error: FilmroomError) -> int:
    """Return the status of an error by the table; 500 for what is not in it."""
    if isinstance(error, HttpError):
        return error.status
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def answer(error: FilmroomError) -> Response:
    """Return the response that says what went wrong."""
    status = status_of(error)
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if status == 503:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return body(status, error.code, error.what, error.next_step, headers)


def body(status: int, code: str, what: str, next_step: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error's response."""
    text = json.dumps({"error": {"code": code, "what": what, "next": next_step}})
    return Response(text, status, headers, "application/json")


def not_acceptable(offers: str) -> HttpError:
    return HttpError(406, "nothing that the client accepts can be given", f"accept {offers}")
