"""A cohort's definition as it is written down, and what its figure counts: who dropped out, at which step, and why."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from filmroom.canon import Json
from filmroom.errors import Invalid
from filmroom.ids import Versioned
from filmroom.records import Criteria, Exclusion, LabelKind

START, END = "satisfies the condition", "in the cohort"
"""What the figure's first box says of the instances in it, and its last."""

_LISTS = ("require", "not_in", "labels")
_REASON = re.compile(r"[^\x00-\x1f\x7f]{1,120}\Z")
_ADVICE = 'write project, where, require, not_in, labels, and [[exclude]] with reason and where; text in "quotes"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many there are at each level."""

    patients: int
    studies: int
    series: int
    instances: int

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(**{each.name: getattr(self, each.name) - getattr(other, each.name) for each in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Why some were left out, how many they are, and how many are left."""

    reason: str
    excluded: Counts
    left: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """From what satisfies a cohort's condition to what is in it, step by step, and the parts of a split."""

    start: Counts
    steps: tuple[Step, ...]
    parts: Mapping[str, Counts]

    @property
    def end(self) -> Counts:
        return self.steps[-1].left if self.steps else self.start


def flow(reasons: Sequence[str], left: Sequence[Counts], *, unless_empty: int) -> Flow:
    """Return the figure of so many steps; `left` is what is there before the first and after each of them.

    From the step `unless_empty` on, a step at which nobody is left out is no step.
    """
    steps = [
        Step(reason=reason, excluded=before - after, left=after)
        for reason, before, after in zip(reasons, left, left[1:], strict=False)
    ]
    kept = [step for at, step in enumerate(steps) if at < unless_empty or step.excluded.instances]
    return Flow(start=left[0], steps=tuple(kept), parts={})


def flow_from(document: Json) -> Flow:
    """Read a figure back from a root document. Raises Invalid when there is none in it."""
    try:
        assert isinstance(document, dict)
        steps, parts = document["steps"], document["parts"]
        assert isinstance(steps, list) and isinstance(parts, dict)
        return Flow(
            start=_counts(document["start"]),
            steps=tuple(_step(each) for each in steps),
            parts={name: _counts(each) for name, each in parts.items()},
        )
    except (AssertionError, KeyError, TypeError):
        raise Invalid("this snapshot has no flow", "freeze it again") from None


def parse(text: str) -> Criteria:
    """Read a cohort's file (TOML). Raises Invalid naming the key that is not understood."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"the cohort's file is not TOML: {error}".split("\n")[0], _ADVICE) from None
    known = {each.name for each in fields(Criteria)}
    unknown = document.keys() - known
    if unknown:
        raise Invalid(f"the cohort's file has a key that means nothing: {min(unknown)!r}", _ADVICE)
    for name in ("project", "where"):
        if not isinstance(document.get(name, ""), str):
            raise Invalid(f"{name} in the cohort's file is no text", _ADVICE)
    for name in _LISTS:
        texts = document.get(name, [])
        if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
            raise Invalid(f"{name} in the cohort's file is no list of texts", _ADVICE)
    return Criteria(
        project=document.get("project", ""),
        where=document.get("where", ""),
        exclude=tuple(_exclusion(each) for each in _tables(document.get("exclude", []))),
        **{name: tuple(document.get(name, ())) for name in _LISTS},
    )


def exclusion(text: str) -> Exclusion:
    """Read `reason: CONDITION`. Raises Invalid when it is not that."""
    reason, colon, where = (piece.strip() for piece in text.partition(": "))
    if not colon:
        raise Invalid("an exclusion without a reason", 'write for example "not an adult: age_years < 18"')
    return check_exclusion(Exclusion(reason, where))


def check_exclusion(each: Exclusion) -> Exclusion:
    """Return an exclusion that can be read in a figure, or raise Invalid."""
    if not check_reason(each.reason) or not each.where.strip():
        raise Invalid("an exclusion without a condition or without a reason", _ADVICE)
    return each


def check_reason(reason: str) -> str:
    """Return a reason that can stand in a figure; "" for none. Raises Invalid for more than a line."""
    if reason and not _REASON.match(reason):
        raise Invalid("a reason of more than a line of 120 characters", "say it in fewer words")
    return reason.strip()


def requirement(text: str) -> tuple[str, LabelKind | None]:
    """Split SET[@V].FINDING[:KIND] into what names the finding and the kind."""
    named, colon, kind = text.rpartition(":")
    return (named, LabelKind(kind)) if colon and kind in tuple(LabelKind) else (text, None)


def elsewhere(text: str) -> tuple[Versioned, str | None]:
    """Split NAME@V[:PART] into the snapshot and its part. Raises Invalid."""
    ref, _, part = text.partition(":")
    return Versioned.parse(ref), part or None


def _tables(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Invalid("exclude in the cohort's file is no list", "write [[exclude]] above each reason and where")
    return value


def _exclusion(table: object) -> Exclusion:
    match table:
        case {"reason": str(reason), "where": str(where), **rest} if not rest:
            return check_exclusion(Exclusion(reason, where))
    raise Invalid("an exclusion is a reason and a condition", "write [[exclude]] above each reason and where")


def _step(document: Json) -> Step:
    assert isinstance(document, dict)
    reason = document["reason"]
    assert isinstance(reason, str)
    return Step(reason=reason, excluded=_counts(document["excluded"]), left=_counts(document["left"]))


def _counts(document: Json) -> Counts:
    assert isinstance(document, dict)
    return Counts(**{name: int(str(count)) for name, count in document.items()})
