"""Everything filmroom raises on purpose.

Each error has a stable, append-only `code`, says what happened and what to do next, and never carries a
patient's value: attribute keywords, digests and codes only. What the outside world raises is translated
where it is called, in `adapters/` and `dicom/`, and nowhere else.
"""

from collections.abc import Sequence
from typing import ClassVar


class FilmroomError(Exception):
    """Base of every deliberate error. `code` is for programs, `next_step` for people."""

    code: ClassVar[str] = "error"
    retriable: ClassVar[bool] = False

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.what}; {self.next_step}" if self.next_step else self.what


class Invalid(FilmroomError):
    """What was asked for makes no sense as it is written."""

    code = "invalid"


class NotFound(FilmroomError):
    """What was named does not exist."""

    code = "not-found"


class Refused(FilmroomError):
    """Understood, and not done: the facts or an earlier decision forbid it."""

    code = "refused"


class GateClosed(Refused):
    """What was to be frozen is not as good as the project requires."""

    code = "gate-closed"


class Leaking(Refused):
    """Parts of a split would share people, pixels or earlier test data. `leaks` lists where, by pseudonym."""

    code = "leak"

    def __init__(self, what: str, next_step: str = "", leaks: Sequence[object] = ()) -> None:
        super().__init__(what, next_step)
        self.leaks = leaks


class Denied(FilmroomError):
    """The policy does not let this actor do this."""

    code = "denied"


class LeaseEnded(Denied):
    """The lease, or the grant behind it, has expired or was revoked."""

    code = "lease-ended"


class Corrupt(FilmroomError):
    """Stored bytes are not the bytes that were written."""

    code = "corrupt"


class Unreadable(FilmroomError):
    """Bytes cannot be read as what they claim to be."""

    code = "unreadable"


class KeyGone(FilmroomError):
    """The key that would open this was destroyed, or belongs to somebody else."""

    code = "key-gone"


class Unavailable(FilmroomError):
    """The catalog, a store or the key provider does not answer. Trying again may work."""

    code = "unavailable"
    retriable = True


class NoRoom(Unavailable):
    """There is no room where one was named, or its file cannot be read."""

    code = "no-room"
    retriable = False
