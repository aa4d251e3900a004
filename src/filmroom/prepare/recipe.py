"""What samples are to be: a recipe, written in TOML, in a closed vocabulary.

    name = "chest-ct"            # how the recipe is called
    version = 1
    kind = "volume"              # "image": every frame is a sample; "volume": every series is one
    frames = "all"               # or "middle": only the middle frame of each instance; for kind "image"

    [[step]]
    op = "rescale"

`OPS` is the whole vocabulary, with units and defaults. It runs nothing. Rules: a recipe is checked whole and every problem
is reported; defaults are part of what a recipe means, and so is the version of every op, so both enter the digest, whereas
spacing, comments and the order of keys do not.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import TypeAlias

from filmroom.canon import Json, digest_of
from filmroom.errors import Invalid
from filmroom.ids import Digest, check_name

Value: TypeAlias = bool | int | float | str | tuple[float, ...]

FORMAT = 1
MAX_STEPS = 64
MAX_SIDE = 16_384


class Kind(StrEnum):
    IMAGE = "image"
    VOLUME = "volume"


class Frames(StrEnum):
    ALL = "all"
    MIDDLE = "middle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of an op: `type` is number, integer, numbers, integers, choice or switch; no default: required."""

    type: str
    summary: str
    default: Value | None = None
    low: float = -1e9
    high: float = 1e9
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One word of the vocabulary. `version` is raised whenever its outcome changes.

    `kinds` are the kinds of recipe that may use it. `frame_wise` ops work on the frames of a volume before it is assembled
    (they depend on each frame's own attributes), so in a volume recipe they precede all others.
    """

    version: int
    summary: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = (Kind.IMAGE, Kind.VOLUME)
    frame_wise: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a recipe, with every parameter that its op has."""

    op: str
    parameters: Mapping[str, Value]

    def number(self, name: str) -> float:
        value = self.parameters[name]
        assert isinstance(value, int | float)
        return float(value)

    def numbers(self, name: str) -> tuple[float, ...]:
        value = self.parameters[name]
        assert isinstance(value, tuple)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A checked recipe. `text` is the TOML as written, `digest` covers what it means."""

    name: str
    version: int
    kind: Kind
    frames: Frames
    steps: tuple[Step, ...]
    text: str
    digest: Digest


def _side(summary: str) -> Parameter:
    return Parameter(type="integer", summary=summary, low=1, high=MAX_SIDE)


OPS: Mapping[str, Op] = {
    "rescale": Op(
        version=1,
        summary="stored values to modality units (HU for CT), by Modality LUT or slope and intercept, as float32; "
        "unchanged values where an object states neither",
        frame_wise=True,
    ),
    "invert-monochrome1": Op(
        version=1,
        summary="mirror MONOCHROME1 images in the range their values can take, so that more is brighter everywhere",
        frame_wise=True,
    ),
    "to-grey": Op(
        version=1,
        summary="colour to luma 0.299 R + 0.587 G + 0.114 B, 0 to 255, float32; grey images stay as they are",
        frame_wise=True,
    ),
    "window": Op(
        version=1,
        summary="linear from center - width/2 -> 0 to center + width/2 -> 1, cut off beyond, float32",
        parameters={
            "center": Parameter(type="number", summary="in the units of the values (HU after rescale of CT)"),
            "width": Parameter(type="number", summary="in the same units", low=1e-6),
        },
    ),
    "clip": Op(
        version=1,
        summary="cut values off below low and above high, float32",
        parameters={
            "low": Parameter(type="number", summary="in the units of the values"),
            "high": Parameter(type="number", summary="in the units of the values"),
        },
    ),
    "normalize": Op(
        version=1,
        summary="linear from the low percentile -> 0 to the high percentile -> 1 of the sample's own values, cut off beyond, "
        "float32; a constant sample becomes 0",
        parameters={
            "low": Parameter(type="number", summary="percent", default=0.5, low=0, high=100),
            "high": Parameter(type="number", summary="percent", default=99.5, low=0, high=100),
        },
    ),
    "resize": Op(
        version=1,
        summary="to a fixed number of pixels, linear, outer edges kept, aspect ratio not kept, no smoothing, float32",
        parameters={
            "rows": _side("pixels"),
            "columns": _side("pixels"),
        },
        kinds=(Kind.IMAGE,),
    ),
    "resample": Op(
        version=1,
        summary="to a fixed voxel spacing on the volume's own axes (patient LPS), first voxel kept in place, linear, float32",
        parameters={
            "spacing-mm": Parameter(
                type="numbers", summary="distance of slices, rows and columns in mm", low=0.05, high=100
            )
        },
        kinds=(Kind.VOLUME,),
    ),
    "crop-or-pad": Op(
        version=1,
        summary="cut or fill evenly around the centre; where it is uneven, the odd one at the end",
        parameters={
            "shape": Parameter(
                type="integers", summary="rows and columns, or slices, rows and columns", low=1, high=MAX_SIDE
            ),
            "value": Parameter(type="number", summary="of what is filled in, in the units of the values", default=0.0),
        },
    ),
    "dtype": Op(
        version=1,
        summary="to the stored type; integers are rounded half to even and cut off at the type's ends, no number becomes 0",
        parameters={
            "type": Parameter(
                type="choice", summary="Zarr data type", choices=("uint8", "uint16", "int16", "float16", "float32")
            ),
            "scale": Parameter(
                type="switch", summary="for integers: map 0..1 to 0..the type's largest number first", default=False
            ),
        },
    ),
}


def parse(text: str, ops: Mapping[str, Op] = OPS) -> Recipe:
    """Return the recipe, which may use `ops`. Raises Invalid with every problem, each with the nearest word for one that is unknown."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the recipe is not TOML: {error}", "see `filmroom.prepare.recipe` for an example") from None
    problems: list[str] = []
    _unknown(document, ("name", "version", "kind", "frames", "step"), "the recipe", problems)
    name, version = document.get("name"), document.get("version", 1)
    try:
        check_name(name if isinstance(name, str) else "")
    except Invalid as error:
        problems.append(f"name: {error}")
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version < 2**31:
        problems.append("version: a whole number from 1")
    kind = _word(document.get("kind"), tuple(Kind), "kind", problems)
    frames = _word(document.get("frames", "all"), tuple(Frames), "frames", problems)
    if kind == Kind.VOLUME and frames == Frames.MIDDLE:
        problems.append('frames: a volume takes all frames; leave it out, or use kind = "image"')
    steps = _steps(document.get("step", []), Kind(kind) if kind else None, ops, problems)
    if problems:
        raise Invalid("the recipe does not make sense: " + "; ".join(problems), "correct it and try again")
    assert isinstance(name, str)
    meaning: dict[str, Json] = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "kind": kind,
        "frames": frames,
        "steps": [_meaning(step, ops[step.op]) for step in steps],
    }
    return Recipe(
        name=name,
        version=version,
        kind=Kind(kind),
        frames=Frames(frames),
        steps=tuple(steps),
        text=text,
        digest=digest_of(meaning),
    )


def _steps(stated: object, kind: Kind | None, ops: Mapping[str, Op], problems: list[str]) -> list[Step]:
    if not isinstance(stated, list) or len(stated) > MAX_STEPS:
        problems.append(f"step: at most {MAX_STEPS} tables [[step]]")
        return []
    steps: list[Step] = []
    for number, table in enumerate(stated, start=1):
        where = f"step {number}"
        if not isinstance(table, dict):
            problems.append(f"{where}: not a table")
            continue
        name = _word(table.get("op"), tuple(ops), f"{where}: op", problems)
        if not name:
            continue
        op = ops[name]
        if kind and kind not in op.kinds:
            problems.append(f"{where}: {name} is not for kind {kind.value}")
        if kind == Kind.VOLUME and op.frame_wise and any(not ops[step.op].frame_wise for step in steps):
            problems.append(f"{where}: in a volume {name} comes before the steps on the whole volume")
        _unknown(table, ("op", *op.parameters), f"{where}, {name}", problems)
        values = {
            word: value
            for word, parameter in op.parameters.items()
            if (value := _value(table.get(word), parameter, f"{where}: {word}", problems)) is not None
        }
        steps.append(Step(name, values))
        if len(values) == len(op.parameters):
            problems.extend(f"{where}: {problem}" for problem in _together(steps[-1], kind))
    return steps


def _together(step: Step, kind: Kind | None) -> Iterable[str]:
    """Yield what is wrong with a step whose parameters are right one by one."""
    match step.op:
        case "clip" | "normalize" if step.number("low") >= step.number("high"):
            yield "low is not below high"
        case "crop-or-pad" if kind and len(step.numbers("shape")) != (3 if kind is Kind.VOLUME else 2):
            yield f"shape has {3 if kind is Kind.VOLUME else 2} lengths in kind {kind.value}"
        case "resample" if len(step.numbers("spacing-mm")) != 3:
            yield "spacing-mm has three distances: slices, rows, columns"
        case "dtype" if step.parameters["scale"] and str(step.parameters["type"]).startswith("float"):
            yield "scale is for integer types; floats keep 0..1"
        case _:
            pass


def _value(stated: object, parameter: Parameter, where: str, problems: list[str]) -> Value | None:
    if stated is None:
        if parameter.default is None:
            problems.append(f"{where} is missing ({parameter.summary})")
        return parameter.default
    match parameter.type:
        case "choice":
            return _word(stated, parameter.choices, where, problems) or None
        case "switch":
            if isinstance(stated, bool):
                return stated
            problems.append(f"{where}: true or false")
            return None
        case "numbers" | "integers":
            items = stated if isinstance(stated, list) and 0 < len(stated) <= 3 else [None]
            numbers = [_number(item, parameter) for item in items]
            found = tuple(number for number in numbers if number is not None)
            if len(found) == len(numbers):
                return found
            problems.append(f"{where}: a list of {_range(parameter)}")
            return None
        case _:
            number = _number(stated, parameter)
            if number is None:
                problems.append(f"{where}: one of {_range(parameter)}")
            return number


def _number(stated: object, parameter: Parameter) -> float | None:
    """Return a number in range, None for anything else; whole numbers only where the type says integer."""
    whole = parameter.type.startswith("integer")
    if isinstance(stated, bool) or not isinstance(stated, int | float) or (whole and not isinstance(stated, int)):
        return None
    if not parameter.low <= stated <= parameter.high or not isfinite(stated):
        return None
    return stated if whole else float(stated)


def _range(parameter: Parameter) -> str:
    what = "whole numbers" if parameter.type.startswith("integer") else "numbers"
    return f"{what} from {parameter.low:g} to {parameter.high:g} ({parameter.summary})"


def _word(stated: object, words: tuple[str, ...], where: str, problems: list[str]) -> str:
    """Return `stated` if it is among `words`, else "" after noting the nearest."""
    if isinstance(stated, str) and stated in words:
        return str(stated)
    listed = ", ".join(str(word) for word in words)
    problems.append(f"{where}: {_nearest(stated, words)}one of {listed}")
    return ""


def _unknown(table: Mapping[str, object], words: tuple[str, ...], where: str, problems: list[str]) -> None:
    problems.extend(
        f"{where} has no {word!r}: {_nearest(word, words)}one of {', '.join(words)}"
        for word in table
        if word not in words
    )


def _nearest(stated: object, words: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(stated), [str(word) for word in words], n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def _meaning(step: Step, op: Op) -> Json:
    """Return the step with its op's version; numbers are spelled out, because a float has no canonical form."""
    spelled: dict[str, Json] = {}
    for name, value in step.parameters.items():
        match value:
            case bool() | str():
                spelled[name] = value
            case tuple():
                spelled[name] = [repr(float(item)) for item in value]
            case _:
                spelled[name] = repr(float(value))
    return {"op": step.op, "op-version": op.version, "parameters": spelled}
