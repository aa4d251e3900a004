"""Which part of a dataset each patient belongs to.

All of a patient's images are on one side. Who was in a part before stays in it; the others are spread, stratum by stratum,
so that every part comes as near its fraction as whole patients allow. Among them the order decides, and the order is made
of the seed and the pseudonyms, which a project's key makes: it does not depend on how patients are found, and nobody can
choose who falls where.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from filmroom.errors import Invalid
from filmroom.ids import check_name

_SHARE = re.compile(r"(\d{0,3}\.\d{1,9}|\d{1,9}(/[1-9]\d{0,8})?)\Z", re.ASCII)
WHOLE = "all"
"""The name of the only part when no split was asked for."""

HELD_OUT = ("test", "holdout")


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


def assign(strata: Mapping[str, tuple[str, ...]], split: Split, kept: Mapping[str, str]) -> dict[str, str]:
    """Return each patient's part, by pseudonym. `strata` says of everybody what they are stratified by.

    `kept` says where somebody was before, and counts where the split has such a part. Where nobody was, a part has less than
    one patient more or fewer in every stratum than its fraction of it, and over all of them less than as many as there are
    parts.
    """
    whole = math.lcm(*(share.denominator for _, share in split.parts))
    weights = {name: int(share * whole) for name, share in split.parts}
    found = {patient: kept[patient] for patient in strata if kept.get(patient) in weights}
    # How many patients, times `whole`, each part lacks in the strata so far.
    lacks = dict.fromkeys(weights, 0)
    for members in _by_stratum(strata):
        here = {name: len(members) * weight for name, weight in weights.items()}
        for patient in members:
            if patient in found:
                here[found[patient]] -= whole
        for name, lack in here.items():
            lacks[name] += lack
        for patient in sorted((each for each in members if each not in found), key=lambda each: _place(each, split)):
            if max(here.values()) >= whole:
                part = max(here, key=here.__getitem__)
            else:
                part = max((name for name, lack in here.items() if lack > 0), key=lacks.__getitem__)
            found[patient] = part
            here[part] -= whole
            lacks[part] -= whole
    return found


def keep(parts: Iterable[tuple[bool, str, str]], split: Split) -> dict[str, str]:
    """Return where patients were before, of (in an earlier version of the same, part, pseudonym), oldest first.

    A version's own parts are kept. What was held out in any of the project's snapshots stays held out.
    """
    before: dict[str, str] = {}
    own: dict[str, str] = {}
    for is_own, part, patient in parts:
        if part in split.names:
            if is_own:
                own[patient] = part
            elif is_held_out(part):
                before.setdefault(patient, part)
    return before | own


def is_held_out(part: str) -> bool:
    """Say whether a part is there to test with: its name begins with test or holdout."""
    return part.startswith(HELD_OUT)


def _by_stratum(strata: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for patient, stratum in strata.items():
        groups.setdefault(stratum, []).append(patient)
    return [groups[stratum] for stratum in sorted(groups)]


def _place(patient: str, split: Split) -> bytes:
    return hashlib.sha256(f"filmroom/split/2|{split.seed}|{patient}".encode()).digest()
