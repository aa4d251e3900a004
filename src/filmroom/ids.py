"""Names of things. Each parses from, and prints to, one canonical string."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from filmroom.errors import Invalid

_HEX = re.compile(r"[0-9a-f]{64}\Z")
_VERSION = re.compile(r"[1-9][0-9]{0,8}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class Zone(StrEnum):
    """A trust boundary with a storage location and keys of its own."""

    CLINICAL = "clinical"
    RESEARCH = "research"
    MODELS = "models"
    VAULT = "vault"


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """SHA-256 of some bytes, written `sha256:<64 hex>`."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.match(self.hex):
            raise Invalid("a digest is sha256: and 64 lower-case hex digits", "copy it whole")

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def of_pieces(cls, pieces: Iterable[bytes | memoryview]) -> Self:
        """Return the digest of the pieces together."""
        running = hashlib.sha256()
        for piece in pieces:
            running.update(piece)
        return cls(running.hexdigest())

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(text.removeprefix("sha256:"))


@dataclass(frozen=True, slots=True, order=True)
class Versioned:
    """A name with a version, written `chest-ct@3`: a snapshot, a label set or a model."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> Self:
        name, at, version = text.partition("@")
        if not at or not _VERSION.match(version):
            raise Invalid(f"{text!r} is not NAME@VERSION", "write for example chest-ct@3")
        return cls(check_name(name), int(version))


def check_name(text: str) -> str:
    """Return `text` if it can name a project, snapshot, label set or model; raise Invalid if not."""
    if not _NAME.match(text):
        raise Invalid(
            f"{text!r} cannot be a name",
            "use 1 to 63 lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit",
        )
    return text
