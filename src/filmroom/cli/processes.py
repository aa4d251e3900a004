"""Several processes that accept from the same listening sockets, so that receiving uses every core.

The first process opens the sockets, starts the others, and keeps their number; it has no room open itself. Who dies is
replaced. When the first is told to stop it tells the others, and when it dies they stop by themselves.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from filmroom.errors import Unavailable

_SOON_SECONDS = 5.0
_PAUSE_SECONDS = 0.05


class Stop:
    """Ctrl-C, SIGTERM, or the death of the process that started this one."""

    def __init__(self, lifeline: int | None = None) -> None:
        self._asked = threading.Event()
        self._before = [(each, signal.signal(each, self._on_signal)) for each in (signal.SIGINT, signal.SIGTERM)]
        if lifeline is not None:
            threading.Thread(target=self._watch, args=(lifeline,), daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Return True when asked to stop, False when `seconds` went by."""
        return self._asked.wait(seconds)

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before:
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked.set()

    def _watch(self, lifeline: int) -> None:
        os.read(lifeline, 1)  # nobody writes: it ends when the other side does
        self._asked.set()


Work = Callable[[Stop, Callable[[], None]], int]
"""What a process does until `Stop`: it says when it is ready, and returns its exit code."""


def run(work: Work, count: int, ready: Callable[[], None]) -> int:
    """Run `work` in `count` processes until asked to stop, `ready` when all of them are. Returns the worst exit code.

    Raises Unavailable when they do not start, after the others were stopped.
    """
    if count == 1:
        stop = Stop()
        try:
            return work(stop, ready)
        finally:
            stop.restore()
    lifeline, ours = os.pipe()
    stop = Stop()
    running: dict[int, float] = {}
    try:
        for _ in range(count):
            if stop.wait(0):
                break
            process, started = _start(work, lifeline, ours)
            running[process] = time.monotonic()
            if not started:
                raise Unavailable("a receiving process does not start", "run it with --processes 1 to see why")
        else:
            ready()
        while not stop.wait(_PAUSE_SECONDS):
            _replace_the_dead(running, work, lifeline, ours)
    finally:
        codes = _end(running)
        os.close(ours)
        os.close(lifeline)
        stop.restore()
    return max(codes, default=0)


def _start(work: Work, lifeline: int, ours: int) -> tuple[int, bool]:
    """Start a process, and return it when it said that it is ready, or that it is over."""
    told, tells = os.pipe()
    process = os.fork()
    if process:
        os.close(tells)
        with os.fdopen(told, "rb") as pipe:
            return process, pipe.read(1) == b"."
    code = 1
    try:
        os.close(told)
        os.close(ours)

        def ready() -> None:
            os.write(tells, b".")
            os.close(tells)

        code = work(Stop(lifeline), ready)
    finally:
        # not by way of what the first process has open
        os._exit(code)


def _replace_the_dead(running: dict[int, float], work: Work, lifeline: int, ours: int) -> None:
    for process in list(running):
        if not os.waitpid(process, os.WNOHANG)[0]:
            continue
        lived = time.monotonic() - running.pop(process)
        if lived < _SOON_SECONDS:
            raise Unavailable("a receiving process ends as soon as it starts", "run it with --processes 1 to see why")
        running[_start(work, lifeline, ours)[0]] = time.monotonic()


def _end(running: dict[int, float]) -> list[int]:
    for process in running:
        os.kill(process, signal.SIGTERM)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in running]
    return [code if code >= 0 else 128 - code for code in codes]  # as shells write the number of a signal
