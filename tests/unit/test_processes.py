"""Several processes at once: how they end, and what their end is called."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from filmroom.cli.processes import Stop, run


def stop_now() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_process_that_was_killed_is_not_a_good_end(tmp_path: Path) -> None:
    def work(stop: Stop, ready: Callable[[], None]) -> int:
        ready()
        stop.wait()
        try:
            (tmp_path / "one").touch(exist_ok=False)
        except FileExistsError:
            return 0
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert run(work, 2, stop_now) == 128 + signal.SIGKILL


def test_who_is_stopped_while_starting_starts_no_more(tmp_path: Path) -> None:
    first = os.getpid()

    def work(stop: Stop, ready: Callable[[], None]) -> int:
        (tmp_path / str(os.getpid())).touch()
        os.kill(first, signal.SIGTERM)
        ready()
        stop.wait()
        return 0

    told: list[str] = []
    assert run(work, 4, lambda: told.append("ready")) == 0
    assert (len(list(tmp_path.iterdir())), told) == (1, [])
