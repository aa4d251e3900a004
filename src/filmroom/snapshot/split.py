"""Which part of a dataset a patient belongs to.

A patient's place depends on the seed and the patient's pseudonym and on nothing else: not on who else is in the
snapshot. So nobody moves between train and test when a later version has more patients, and all of a patient's
images are always on one side. The price is that the parts only come near their fractions, and small cohorts may leave
one empty.
"""

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction

from filmroom.errors import Invalid
from filmroom.ids import check_name

_BUCKETS = 2**64
_SHARE = re.compile(r"(\d{0,3}\.\d{1,9}|\d{1,9}(/[1-9]\d{0,8})?)\Z", re.ASCII)
WHOLE = "all"
"""The name of the only part when no split was asked for."""


@dataclass(frozen=True, slots=True)
class Split:
    """Named parts with exact fractions that add up to one, in the order given, and the seed."""

    parts: tuple[tuple[str, Fraction], ...]
    seed: int

    def __str__(self) -> str:
        return ",".join(f"{name}={fraction}" for name, fraction in self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.parts)


def parse_split(text: str, seed: int) -> Split:
    """Read `train=0.8,val=0.1,test=0.1`. Empty text means one part, `all`. Raises Invalid when it does not add up."""
    if not text:
        return Split(((WHOLE, Fraction(1)),), seed)
    parts: list[tuple[str, Fraction]] = []
    for item in text.split(","):
        name, equals, share = (piece.strip() for piece in item.partition("="))
        fraction = Fraction(share) if _SHARE.match(share) else None
        if not equals or fraction is None:
            raise Invalid(f"{item!r} is not NAME=FRACTION", "write for example train=0.8,val=0.1,test=0.1")
        parts.append((check_name(name), fraction))
    if len({name for name, _ in parts}) != len(parts):
        raise Invalid("a part of the split is named twice", "give each part its own name")
    if sum(fraction for _, fraction in parts) != 1:
        raise Invalid("the fractions of the split do not add up to 1", "write for example train=0.8,val=0.1,test=0.1")
    return Split(tuple(parts), seed)


def part_of(subject: str, split: Split) -> str:
    """Return the part that a patient (by pseudonym) belongs to."""
    drawn = int.from_bytes(hashlib.sha256(f"filmroom/split/1|{split.seed}|{subject}".encode()).digest()[:8])
    edge = Fraction(0)
    for name, fraction in split.parts:
        edge += fraction
        if drawn < edge * _BUCKETS:
            return name
    return split.parts[-1][0]
