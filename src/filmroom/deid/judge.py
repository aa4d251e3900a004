"""A copy and the verdict on it: made, blanked where there are readers, and judged by what shares no code with either."""

from dataclasses import dataclass, field

from filmroom.deid import verify
from filmroom.deid.apply import Applied, NotApplied, apply
from filmroom.deid.eyes import Extent
from filmroom.deid.profile import Profile
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.deid.redact import redact
from filmroom.errors import Unreadable
from filmroom.ports import Readers
from filmroom.records import Reason


@dataclass(frozen=True, slots=True)
class Judged:
    """`data` is the copy as it was judged; only with a `Passed` may it go anywhere."""

    applied: Applied
    data: bytes = field(repr=False)
    verdict: verify.Passed | verify.Residue


def judge(
    source: bytes, profile: Profile, pseudonyms: Pseudonyms, readers: Readers | None, extent: Extent = Extent.NOTHING
) -> Judged | NotApplied:
    """Make and judge one copy. The same arguments always give the same bytes. Never raises for what the bytes hold.

    `extent` is what was read of the series; with FRAMES, or where the source leaves doubts, every frame is.
    """
    applied = apply(source, profile, pseudonyms)
    if isinstance(applied, NotApplied):
        return applied
    try:
        forbidden = verify.identifiers(source)
    except Unreadable as error:  # the engine makes the file's header anew, the verifier looks into the received one
        return NotApplied(reasons=(Reason(error.code, error.what),), subject=applied.subject)
    data = applied.data
    if readers is not None and Extent.FRAMES in (extent, forbidden.extent):
        data = redact(data, profile, readers.first)
    verdict = verify.verify(data, forbidden, profile, readers.second if readers else None, extent)
    return Judged(applied, data, verdict)
