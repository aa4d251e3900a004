"""Parts of a representation: one range of bytes (RFC 9110 section 14), so that a download that broke off can go on.

A request for several ranges, in other units, or that makes no sense is answered with the whole, as the RFC allows.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from filmroom.web.errors import HttpError

_ONE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """The header fields Range and If-Range, "" where there are none."""

    range: str = ""
    if_range: str = ""

    def within(self, size: int, tag: str) -> tuple[int, int] | None:
        """Return where the part begins and ends in a representation of `size` bytes, None when the whole is wanted.

        `tag` is its entity tag: what was begun from another one is not gone on with. Raises HttpError 416.
        """
        found = _ONE.match(self.range.replace(" ", ""))
        if found is None or found.group(0) == "bytes=-" or self.if_range not in ("", tag) or size == 0:
            return None
        first, last = found.groups()
        if not first:
            start, stop = max(0, size - int(last)), size
        else:
            start, stop = int(first), min(size, int(last) + 1) if last else size
            if last and int(last) < start:
                return None
        if start >= stop:
            raise HttpError(416, "the range lies behind the end", "ask for less", {"Content-Range": f"bytes */{size}"})
        return start, stop


def answer(asked: Asked, kind: str, size: int, tag: str, give: Callable[[int, int], bytes]) -> Response:
    """Answer with `size` bytes of the media type `kind`, or with the part that was asked for; `give` returns a part."""
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    part = asked.within(size, tag)
    if part is None:
        return Response(give(0, size), 200, headers, kind)
    return Response(give(*part), 206, headers | {"Content-Range": content_range(part, size)}, kind)


def content_range(part: tuple[int, int], size: int) -> str:
    return f"bytes {part[0]}-{part[1] - 1}/{size}"
