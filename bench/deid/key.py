"""The answer key: what was planted where, what has to be gone, and what has to be there still. Written as JSON."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

REMOVED, CHANGED, SHIFTED, HIDDEN = "removed", "changed", "shifted", "hidden"
"""What should have happened to a plant: its text is gone, the UID or date is another one, the pixels show it no more."""

EQUAL, WORDS, PRESENT, MOVED = "equal", "words", "present", "moved"
"""How an attribute should still be there: with its value, with these words, at all, with a date moved like the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burned:
    """Text in the pixels: its box as (top, left, bottom, right), the frames that show it, its kind and size.

    `ink` numbers the pixels of the box that are letters, row by row.
    """

    box: tuple[int, int, int, int]
    frames: tuple[int, ...]
    contrast: str
    size: int
    ink: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One thing planted. `place` is the kind of place; `attribute` its path, "" outside of the data set.

    `forms` are texts of which none may be found in a released file, in any case, accents or not; `charset` is the codec
    that the file's text has besides Unicode and Latin-1.
    """

    file: str
    sop_uid: str
    place: str
    attribute: str
    action: str
    text: str
    forms: tuple[str, ...]
    charset: str = ""
    burned: Burned | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An attribute that a copy still has, by its path, and how (`EQUAL`, `WORDS`, `PRESENT` or `MOVED`)."""

    attribute: str
    value: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKey:
    """One file. `uids` and `dates` are all that its data set has, by path; `patient` numbers the person.

    `pixels` says what has to be the same in a copy: `bytes`, the decoded `frames`, `outside` of the boxes, or `none`, where
    there are none or they have text of their own.
    """

    file: str
    sop_uid: str
    sop_class: str
    modality: str
    patient: int
    patient_id: str
    uids: dict[str, str]
    dates: dict[str, str]
    kept: tuple[Kept, ...]
    pixels: str


@dataclass(frozen=True, slots=True)
class AnswerKey:
    seed: int
    files: tuple[FileKey, ...]
    plants: tuple[Plant, ...]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=1), encoding="utf-8")


def read(path: Path) -> AnswerKey:
    """Return the key that `AnswerKey.write` wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    files = tuple(FileKey(**{**each, "kept": tuple(Kept(**one) for one in each["kept"])}) for each in document["files"])
    return AnswerKey(document["seed"], files, tuple(map(_plant, document["plants"])))


def _plant(document: dict[str, object]) -> Plant:
    burned = document.pop("burned")
    if isinstance(burned, dict):
        listed = {name: tuple(value) if isinstance(value, list) else value for name, value in burned.items()}
        document["burned"] = Burned(**listed)  # type: ignore[arg-type]
    forms = document.pop("forms")
    assert isinstance(forms, list)
    return Plant(**document, forms=tuple(forms))  # type: ignore[arg-type]
