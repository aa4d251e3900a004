"""Checks an exported audit log with the standard library and `cryptography` alone: docs/formats/audit.md, in code.

    filmroom --json audit show > log.json
    python audit_log_checker.py log.json checkpoint PUBLIC_KEY_HEX

or the proof of one entry, by `filmroom --json audit prove ENTRY > proof.json`:

    python audit_log_checker.py proof.json PUBLIC_KEY_HEX

It shares no line with the program that wrote the log.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def leaf_of(entry: dict[str, object]) -> bytes:
    fields = {name: value for name, value in entry.items() if name != "index"}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def root_of(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return hashlib.sha256(b"\0" + leaves[0] if leaves else b"").digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root_of(leaves[:half]) + root_of(leaves[half:])).digest()


def top_of(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that a leaf's path leads to. Raises ValueError for a path of another length."""
    if size == 1:
        () = path
        return hashlib.sha256(b"\0" + leaf).digest()
    half = 1 << (size - 1).bit_length() - 1
    *below, sibling = path
    if index < half:
        return hashlib.sha256(b"\1" + top_of(leaf, index, half, below) + sibling).digest()
    return hashlib.sha256(b"\1" + sibling + top_of(leaf, index - half, size - half, below)).digest()


def signed(note: str, public_key: bytes) -> tuple[int, bytes]:
    """Return the size and the root that a checkpoint signs. Raises ValueError when it does not."""
    text, _, signatures = note.rpartition("\n\n")
    origin, size, root = text.split("\n")
    key_hash = hashlib.sha256(origin.encode() + b"\n\x01" + public_key).digest()[:4]
    dash, name, encoded = signatures.strip().split(" ")
    signature = base64.b64decode(encoded)
    if (dash, name, signature[:4]) != ("\u2014", origin, key_hash):
        raise ValueError("another log or another key")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature[4:], f"{text}\n".encode())
    except InvalidSignature:
        raise ValueError("the signature does not hold") from None
    return int(size), base64.b64decode(root)


def problem(leaves: list[bytes], note: str, public_key: bytes) -> str:
    """Return "" when the note signs the first leaves of the log, and what is wrong when it does not."""
    try:
        size, root = signed(note, public_key)
    except ValueError as error:
        return str(error)
    if len(leaves) < size:
        return "leaves are missing"
    return "" if root_of(leaves[:size]) == root else "the leaves are not the signed ones"


def problem_of_proof(proof: dict[str, Any], public_key: bytes) -> str:
    """Return "" when the entry is in the log that the proof's checkpoint signs, and what is wrong when it is not."""
    try:
        size, root = signed(proof["checkpoint"], public_key)
        path = [bytes.fromhex(each.removeprefix("sha256:")) for each in proof["path"]]
        is_in = 0 <= proof["index"] < size and top_of(leaf_of(proof["entry"]), proof["index"], size, path) == root
    except ValueError as error:
        return str(error)
    return "" if is_in else "the entry is not at this place of the signed log"


if __name__ == "__main__":
    exported, *checkpoint, key = sys.argv[1:]
    what = json.loads(Path(exported).read_text("utf-8"))
    if checkpoint:
        note = Path(checkpoint[0]).read_text("utf-8")
        sys.exit(problem([leaf_of(entry) for entry in what], note, bytes.fromhex(key)) or 0)
    sys.exit(problem_of_proof(what, bytes.fromhex(key)) or 0)
