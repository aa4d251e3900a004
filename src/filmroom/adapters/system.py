"""The computer's clock and randomness, and the progress display that shows nothing."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SystemEntropy:
    """The operating system's random generator."""

    def draw(self, count: int) -> bytes:
        return secrets.token_bytes(count)


class SilentProgress:
    @contextmanager
    def task(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        del label, total
        yield lambda done: None
