"""A copy and the verdict on it: made, blanked where there are readers, and judged by what shares no code with either."""

from dataclasses import dataclass, field

from filmroom.deid import devices, faces, verify
from filmroom.deid.apply import Applied, NotApplied, apply
from filmroom.deid.eyes import Extent
from filmroom.deid.mark import mark
from filmroom.deid.profile import Faces, Profile
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.deid.redact import redact, shows_text
from filmroom.errors import Unreadable
from filmroom.ports import Readers
from filmroom.records import Reason


@dataclass(frozen=True, slots=True)
class Judged:
    """`data` is the copy as it was judged; only with a `Passed` may it go anywhere."""

    applied: Applied
    data: bytes = field(repr=False)
    verdict: verify.Passed | verify.Residue


FACE = Reason(
    faces.POSSIBLE,
    "a face can be seen or rebuilt, and the profile blocks that; where an agreement covers it, take a profile that accepts it",
)


def judge(
    source: bytes,
    profile: Profile,
    pseudonyms: Pseudonyms,
    readers: Readers | None,
    extent: Extent = Extent.NOTHING,
    slices: int | None = None,
) -> Judged | NotApplied:
    """Make and judge one copy. The same arguments always give the same bytes. Never raises for what the bytes hold.

    `extent` is what was read of the series; with FRAMES, where the source leaves doubts, or where a closer look at the
    object shows text, every frame is.
    `slices` is how many objects the series has; where that is not known, it is taken for long enough to show a face.
    """
    applied = apply(source, profile, pseudonyms)
    if isinstance(applied, NotApplied):
        return applied
    try:
        forbidden = verify.identifiers(source, slices)
    except Unreadable as error:  # the engine makes the file's header anew, the verifier looks into the received one
        return NotApplied(reasons=(Reason(error.code, error.what),), subject=applied.subject)
    data, face = applied.data, forbidden.face
    if face and face.code == faces.POSSIBLE and profile.faces is Faces.BLOCK:
        return NotApplied(reasons=(FACE,), subject=applied.subject)
    if face:
        data = mark(data, face, profile)
    known = devices.boxes(forbidden.source, profile.devices)
    extent = Extent.FRAMES if known else extent
    if readers is not None and extent is Extent.SERIES and shows_text(data, readers.first):
        extent = Extent.FRAMES
    if readers is not None and Extent.FRAMES in (extent, forbidden.extent):
        data = redact(data, profile, readers.first, known)
    verdict = verify.verify(data, forbidden, profile, readers.second if readers else None, extent)
    return Judged(applied, data, verdict)
