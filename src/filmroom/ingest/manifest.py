"""What a sender announced: lines as md5sum, sha1sum, sha256sum and sha512sum print them, known apart by length.

What was announced under a name and came with other bytes is not trusted. What was announced without a name, or came under
another one, is looked for by its checksum only.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from filmroom.errors import Invalid
from filmroom.ids import Digest
from filmroom.ports import Content
from filmroom.records import Discrepancy, Reason

_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
"""Digits of a checksum in hexadecimal, and what made it."""

_LINE = re.compile(r"(\\?)(?:(?:md5|sha1|sha256|sha512):)?([0-9a-f]+)(?:[ \t]+\*?(.*))?", re.IGNORECASE)
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}

_MISMATCH = Reason("checksum-mismatch", "the manifest announced other bytes under this name")


@dataclass(frozen=True, slots=True, order=True)
class Checksum:
    """One announced object. `name` is "" when the line has none."""

    algorithm: str
    hex: str
    name: str = field(repr=False)


class Manifest:
    """An announced delivery, ticked off while it comes."""

    def __init__(self, checksums: Iterable[Checksum]) -> None:
        self._open = set(checksums)
        self._known = {(each.algorithm, each.hex) for each in self._open}
        self._algorithms = sorted({each.algorithm for each in self._open})
        self._names: dict[str, set[str]] = {}
        for each in self._open:
            self._names.setdefault(each.name, set()).add(each.algorithm)
        self._names.pop("", None)
        self._came: set[tuple[str, str]] = set()
        self._mismatched: set[str] = set()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a list. Raises Invalid for a line that does not begin with a checksum."""
        return cls(map(_checksum, _lines(text)))

    def tick(self, names: Sequence[str], data: Content) -> Reason | None:
        """Tick off bytes that came under one of `names`; return why not to trust them, if that is so."""
        sums = {(each, _sum(each, data)) for each in self._algorithms}
        hits = sums & self._known
        self._came |= hits
        agree = {algorithm for algorithm, _ in hits}
        differ = {name for name in names if self._names.get(name, set()) - agree}
        self._mismatched |= differ
        return _MISMATCH if differ else None

    def missing_digests(self) -> frozenset[Digest]:
        """Return the SHA-256 digests that did not come."""
        return frozenset(Digest(each.hex) for each in self._lacking() if each.algorithm == "sha256")

    def discrepancies(self) -> tuple[Discrepancy, ...]:
        """Return what did not come, and what came with other bytes."""
        return tuple(
            Discrepancy(
                "manifest-mismatch" if each.name in self._mismatched else "manifest-missing",
                each.name or f"{each.algorithm}:{each.hex}",
            )
            for each in sorted(self._lacking())
        )

    def _lacking(self) -> set[Checksum]:
        return {each for each in self._open if (each.algorithm, each.hex) not in self._came}


def _sum(algorithm: str, data: Content) -> str:
    running = hashlib.new(algorithm, usedforsecurity=False)
    for piece in (data,) if isinstance(data, bytes) else data.pieces():
        running.update(piece)
    return running.hexdigest()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.removesuffix("\r")


def _checksum(numbered: tuple[int, str]) -> Checksum:
    number, line = numbered
    found = _LINE.fullmatch(line)
    algorithm = _ALGORITHMS.get(len(found[2])) if found else None
    if not found or algorithm is None:
        raise Invalid(
            f"line {number} of the manifest does not begin with a checksum",
            "give lines as md5sum, sha1sum, sha256sum or sha512sum prints them",
        )
    name = (found[3] or "").strip()
    if found[1]:  # the sum is preceded by a backslash when the name holds escapes
        name = re.sub(r"\\[\\nr]", lambda each: _ESCAPES[each[0]], name)
    return Checksum(algorithm, found[2].lower(), name.removeprefix("./"))
