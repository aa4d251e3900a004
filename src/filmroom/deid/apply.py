"""Makes a de-identified copy of one object: a new data set, of which a profile allows every element.

It proves nothing: whether the copy is clean is for `verify` to say, which shares no code with it.
"""

from filmroom.deid import by_bytes, by_pydicom
from filmroom.deid.policy import Applied, NotApplied
from filmroom.deid.profile import Profile
from filmroom.deid.pseudonym import Pseudonyms

__all__ = ["Applied", "NotApplied", "apply"]


def apply(data: bytes, profile: Profile, pseudonyms: Pseudonyms) -> Applied | NotApplied:
    """Return the copy of the object in `data` that `profile` allows. The same arguments give the same bytes.

    Never raises for what the bytes hold. An object without Patient ID stands for a patient of its own study.
    """
    copy = by_bytes.apply(data, profile, pseudonyms)
    return by_pydicom.apply(data, profile, pseudonyms) if copy is None else copy
