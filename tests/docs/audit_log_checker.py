"""Checks an exported audit log with the standard library and `cryptography` alone: docs/formats/audit.md, in code.

    filmroom --json audit show > log.json
    python audit_log_checker.py log.json checkpoint PUBLIC_KEY_HEX

It shares no line with the program that wrote the log.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

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


def problem(leaves: list[bytes], note: str, public_key: bytes) -> str:
    """Return "" when the note signs the first leaves of the log, and what is wrong when it does not."""
    text, _, signatures = note.rpartition("\n\n")
    origin, size, root = text.split("\n")
    key_hash = hashlib.sha256(origin.encode() + b"\n\x01" + public_key).digest()[:4]
    dash, name, encoded = signatures.strip().split(" ")
    signature = base64.b64decode(encoded)
    if (dash, name, signature[:4]) != ("\u2014", origin, key_hash):
        return "another log or another key"
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature[4:], f"{text}\n".encode())
    except InvalidSignature:
        return "the signature does not hold"
    if len(leaves) < int(size):
        return "leaves are missing"
    return "" if root_of(leaves[: int(size)]) == base64.b64decode(root) else "the leaves are not the signed ones"


if __name__ == "__main__":
    log, checkpoint, key = sys.argv[1:]
    entries = json.loads(Path(log).read_text("utf-8"))
    leaves = [leaf_of(entry) for entry in entries]
    sys.exit(problem(leaves, Path(checkpoint).read_text("utf-8"), bytes.fromhex(key)) or 0)
