"""The audit log's leaves, its signed checkpoints, and the proof that neither was touched.

A leaf is one act as canonical JSON. The log is an RFC 6962 Merkle tree over the leaves; a checkpoint is a C2SP note that
signs its size and root. Whoever has the leaves, the checkpoints and the public key can run `verify`, with no room.

What cannot be seen: leaves after the newest checkpoint, and checkpoints that were removed together with the leaves they
cover. Keep the newest checkpoint somewhere else as well.
Sources: c2sp.org/tlog-checkpoint, c2sp.org/signed-note, RFC 9162.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from filmroom.canon import Json, canonical, parse_rfc3339, rfc3339
from filmroom.crypto import merkle
from filmroom.crypto.sign import verify as signature_holds
from filmroom.errors import Corrupt, FilmroomError, Invalid
from filmroom.ids import Digest
from filmroom.records import Checkpoint, Event

VERSION = 1
LARGEST_LEAF = 65_535  # an entry bundle of tlog-tiles has 16-bit lengths

_ED25519 = b"\x01"
_SIGNATURE = 64
_NAME = re.compile(r"[^\s+]+\Z")
_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\Z")
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "v": int,
    "at": str,
    "room": str,
    "actor": str,
    "owner": (str, type(None)),
    "verb": str,
    "what": dict,
    "outcome": dict,
    "policy": (str, type(None)),
    "denied": bool,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. `signed` is how many leaves the newest checkpoint that holds covers."""

    ok: bool
    size: int
    root: Digest
    problems: tuple[str, ...]
    signed: int


def leaf(event: Event, *, at: datetime, room: str) -> bytes:
    """Return the event as a leaf. Raises Invalid when it is over 65,535 bytes or is not plain text."""
    content = {
        "v": VERSION,
        "at": at,
        "room": room,
        "actor": event.actor.name,
        "owner": event.actor.owner,
        "verb": event.verb,
        "what": event.what,
        "outcome": event.outcome,
        "policy": event.policy,
        "denied": event.denied,
    }
    data = canonical(content)
    if len(data) > LARGEST_LEAF:
        raise Invalid(f"an audit event of {len(data)} bytes does not fit a leaf", "put a digest in place of the list")
    return data


def read_leaf(data: bytes) -> dict[str, Json]:
    """Return a leaf's fields. Raises Corrupt unless `data` is exactly what `leaf` writes, in a version known here."""
    try:
        content: object = json.loads(data)
        if (
            len(data) <= LARGEST_LEAF
            and isinstance(content, dict)
            and content.keys() == _FIELDS.keys()
            and all(isinstance(content[name], kind) for name, kind in _FIELDS.items())
            and content["v"] == VERSION
            and rfc3339(parse_rfc3339(content["at"])) == content["at"]
            and canonical(content) == data
        ):
            return content
    except (ValueError, OverflowError, RecursionError, FilmroomError):
        pass  # every way of being malformed gets the one answer below
    raise Corrupt("a leaf of the audit log cannot be read", "run: filmroom audit verify")


def origin(room: str) -> str:
    """Return the name that a room's log signs under. Raises Invalid when a note cannot carry it."""
    name = f"filmroom/{room}"
    if not _NAME.match(name):
        raise Invalid("a room's name has no spaces and no plus sign", "name the room with letters, digits and dashes")
    return name


def checkpoint(size: int, root: Digest, origin: str, sign: Callable[[bytes], bytes], public_key: bytes) -> Checkpoint:
    """Return the signed statement that the log's first `size` leaves have this root."""
    encoded = base64.b64encode(bytes.fromhex(root.hex)).decode()
    text = f"{origin}\n{size}\n{encoded}\n"
    signature = base64.b64encode(_key_hash(origin, public_key) + sign(text.encode())).decode()
    return Checkpoint(size=size, root=root, note=f"{text}\n— {origin} {signature}\n")


def open_checkpoint(note: str, origin: str, public_key: bytes) -> tuple[int, Digest]:
    """Return (size, root) of a note that this key signed for this origin; other signatures on it are ignored.

    Raises Corrupt when it is malformed, of another log, or not signed by this key.
    """
    stated = parse_checkpoint(note)
    text, _, signatures = note.rpartition("\n\n")
    if text.split("\n")[0] != origin:
        raise _not_a_checkpoint()
    message = f"{text}\n".encode("utf-8", "surrogatepass")
    mark = f"— {origin} "
    blobs = [_base64(line.removeprefix(mark)) for line in signatures.splitlines() if line.startswith(mark)]
    expected = _key_hash(origin, public_key)
    if not any(
        blob[:4] == expected and len(blob) == 4 + _SIGNATURE and signature_holds(public_key, message, blob[4:])
        for blob in blobs
    ):
        raise Corrupt("the signature of a checkpoint does not hold", "compare with a checkpoint that is kept elsewhere")
    return stated.size, stated.root


def parse_checkpoint(note: str) -> Checkpoint:
    """Return what a note states, signed or not: for notes that are kept elsewhere and go to `verify`, which does check.

    Raises Corrupt when it is malformed.
    """
    text, gap, _ = note.rpartition("\n\n")
    lines = text.split("\n")
    if not gap or len(lines) != 3 or not _SIZE.match(lines[1]):
        raise _not_a_checkpoint()
    root = _base64(lines[2])
    if len(root) != 32:
        raise _not_a_checkpoint()
    return Checkpoint(size=int(lines[1]), root=Digest(root.hex()), note=note)


def verify(
    leaves: Iterable[bytes],
    checkpoints: Sequence[Checkpoint],
    *,
    origin: str,
    public_key: bytes,
    tolerance: timedelta = timedelta(minutes=1),
) -> Verdict:
    """Check a whole log and return every problem in words; leaves are counted from 0 and read once, as a stream.

    Each checkpoint must be signed and be the root of as many first leaves; the log must reach the newest one; every leaf
    must parse, belong to the log's room, and not be older than one before it by more than `tolerance` (clocks differ).
    """
    problems: list[str] = []
    ladder = _Ladder(_signed(checkpoints, origin, public_key, problems))
    order = _Order(origin, tolerance)
    size, frontier = 0, list[bytes]()
    ladder.reach(0, frontier)
    for data in leaves:
        problems += order.problems(size, data)
        size, frontier = merkle.extend(size, frontier, (data,))
        ladder.reach(size, frontier)
    problems += ladder.problems(size)
    root = Digest(merkle.frontier_root(frontier).hex())
    return Verdict(not problems, size, root, tuple(problems), ladder.signed)


class _Order:
    """What one leaf after the other has to be: readable, of this room, and not older than what stands before it."""

    def __init__(self, origin: str, tolerance: timedelta) -> None:
        self._origin = origin
        self._tolerance = tolerance
        self._latest: datetime | None = None

    def problems(self, index: int, data: bytes) -> list[str]:
        try:
            content = read_leaf(data)
        except Corrupt:
            return [f"leaf {index} cannot be read"]
        found = []
        if f"filmroom/{content['room']}" != self._origin:
            found.append(f"leaf {index} belongs to another room")
        at = parse_rfc3339(str(content["at"]))
        if self._latest is not None and self._latest - at > self._tolerance:
            seconds = int((self._latest - at).total_seconds())
            found.append(f"leaf {index} is {seconds} s older than one before it")
        self._latest = max(at, self._latest or at)
        return found


class _Ladder:
    """The signed (size, root) pairs, smallest first, compared as the tree grows past them."""

    def __init__(self, rungs: list[tuple[int, Digest]]) -> None:
        self._rungs = sorted(rungs, key=lambda rung: rung[0])
        self._next = 0
        self._broken: list[tuple[int, int]] = []  # (leaves that still held, size of the checkpoint that did not)
        self._in_break = False
        self.signed = 0

    def reach(self, size: int, frontier: Sequence[bytes]) -> None:
        if self._next == len(self._rungs) or self._rungs[self._next][0] != size:
            return
        top = merkle.frontier_root(frontier).hex()
        while self._next < len(self._rungs) and self._rungs[self._next][0] == size:
            if self._rungs[self._next][1].hex == top:
                self.signed, self._in_break = size, False
            elif not self._in_break:  # the ones above fall with it and say nothing new
                self._broken.append((self.signed, size))
                self._in_break = True
            self._next += 1

    def problems(self, size: int) -> list[str]:
        found = []
        for held, until in self._broken:
            # A second root for a size that holds means that another log was signed as well.
            place = f"leaves {held} to {until - 1}" if held < until else f"the first {until} leaves"
            found.append(f"{place} are not the ones that the checkpoint of size {until} was signed over")
        if self._next < len(self._rungs):
            newest = self._rungs[-1][0]
            lost = f"{newest - size} are missing, leaf {self.signed} or some after it"
            found.append(f"the log has {size} leaves but {newest} were signed: {lost}")
        return found


def _signed(
    checkpoints: Sequence[Checkpoint], origin: str, public_key: bytes, problems: list[str]
) -> list[tuple[int, Digest]]:
    """Return what the checkpoints that hold say, and add what is wrong with the others to `problems`."""
    rungs = []
    for number, given in enumerate(checkpoints):
        try:
            size, root = open_checkpoint(given.note, origin, public_key)
        except Corrupt as error:
            problems.append(f"checkpoint {number} (size {given.size}): {error.what}")
            continue
        if (size, root) != (given.size, given.root):
            problems.append(f"checkpoint {number} (size {given.size}): its note says otherwise")
        rungs.append((size, root))
    return rungs


def _key_hash(origin: str, public_key: bytes) -> bytes:
    return bytes.fromhex(Digest.of(origin.encode("utf-8", "surrogatepass") + b"\n" + _ED25519 + public_key).hex[:8])


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _not_a_checkpoint() from None


def _not_a_checkpoint() -> Corrupt:
    return Corrupt("this is not a checkpoint of this log", "compare with a checkpoint that is kept elsewhere")
