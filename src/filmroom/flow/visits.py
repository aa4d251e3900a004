"""One delivery for many short visits: what a source brings request by request is one batch until it is quiet.

A DICOM association says when it is over; an HTTP client that sends an instance a request does not. A batch for each of
them would say nothing about the delivery, and opening and closing it would cost more than the object.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filmroom.errors import Unavailable
from filmroom.flow.reception import Delivery, Reception
from filmroom.ports import Clock

_QUIET_SECONDS = 2.0
_LONGEST_SECONDS = 3600.0


@dataclass(slots=True, eq=False)
class _Open:
    delivery: Delivery
    opened: float
    visitors: int = 0
    left: float = 0.0


class Visits:
    """The open delivery of one source, if there is one. Thread-safe; `close` it before the reception.

    It is closed when nobody came for `quiet` seconds.
    """

    def __init__(self, reception: Reception, clock: Clock, source: str, *, quiet: float = _QUIET_SECONDS) -> None:
        self._reception = reception
        self._clock = clock
        self._source = source
        self._quiet = quiet
        self._lock = threading.Lock()
        self._newest: _Open | None = None
        self._of: list[_Open] = []
        self._timer: threading.Timer | None = None
        self._is_closed = False

    @contextmanager
    def visit(self) -> Iterator[Delivery]:
        """Bring something: into the delivery that is open now, or a new one.

        Raises Denied, which is written down, and Unavailable after `close`.
        """
        mine = self._enter()
        try:
            yield mine.delivery
        finally:
            self._leave(mine)

    def close(self) -> None:
        """Let nobody in any more, and close what is open; the last visitor of a delivery closes it."""
        with self._lock:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            for each in list(self._of):
                if not each.visitors:
                    self._finish(each)

    def _enter(self) -> _Open:
        with self._lock:
            if self._is_closed:
                raise Unavailable("the room is about to close", "send it again")
            now = self._clock.monotonic()
            newest = self._newest
            if newest is None or now - newest.opened > _LONGEST_SECONDS:
                newest = self._newest = _Open(self._reception.open(self._source), now)
                self._of.append(newest)
            newest.visitors += 1
            return newest

    def _leave(self, mine: _Open) -> None:
        """The last one's leaving begins the quiet."""
        with self._lock:
            mine.visitors -= 1
            mine.left = self._clock.monotonic()
            if mine.visitors:
                return
            if self._is_closed:
                self._finish(mine)
            elif self._timer is None:
                self._look_again(self._quiet)

    def _look(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._timer = None
            now = self._clock.monotonic()
            for each in list(self._of):
                if not each.visitors and now - each.left >= self._quiet:
                    self._finish(each)
            left = [each.left for each in self._of if not each.visitors]
            if left:
                self._look_again(max(0.01, min(left) + self._quiet - now))

    def _look_again(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _finish(self, each: _Open) -> None:
        if self._newest is each:
            self._newest = None
        self._of.remove(each)
        self._reception.finish_when_possible(each.delivery)
