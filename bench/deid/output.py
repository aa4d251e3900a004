"""What a tool made of a planted folder: the files it gave away, and what it said of those that it kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RELEASED, REVIEW, REFUSED = "released", "review", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """`released` are paths below `folder`, by the planted file they were made of. `said` is what became of the others, by
    planted file: review or refused, and `why`; `waiting` are the copies under review. `cpu` are the seconds of processor time that it took, 0 when nobody measured."""

    tool: str
    folder: Path
    released: Mapping[str, Path]
    said: Mapping[str, str] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, Path] = field(default_factory=dict)
    cpu: float = 0.0

    def state(self, file: str) -> str:
        """Return what became of a planted file; "" where it is gone without a word."""
        return RELEASED if file in self.released else self.said.get(file, "")


def in_folder(folder: Path, tool: str = "folder") -> Output:
    """Return the output of a tool that gave its files the names and folders that they had."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return Output(tool=tool, folder=folder, released=files)
