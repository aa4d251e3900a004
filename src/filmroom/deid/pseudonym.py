"""Names that stand for patients, UIDs and identifiers inside one project, from that project's key alone.

Keyed hashes (HMAC-SHA256), never plain ones: the numbers of a hospital can be counted through. Every use has its own
subkey; two projects have two keys and cannot be linked. Nothing is stored and nothing can be turned back.
"""

import base64
from dataclasses import dataclass, field
from typing import Self

from filmroom.crypto import derive

_MOST_WEEKS = 520
_SUBJECT_CHARS = 16


@dataclass(frozen=True, slots=True, init=False)
class Pseudonyms:
    """One project's pseudonyms. Every method gives the same answer for the same arguments, always."""

    _patients: bytes = field(repr=False)
    _uids: bytes = field(repr=False)
    _dates: bytes = field(repr=False)
    _identifiers: bytes = field(repr=False)

    def __init__(self: Self, project_key: bytes) -> None:
        for name in ("patients", "uids", "dates", "identifiers"):
            object.__setattr__(self, f"_{name}", derive.hkdf(project_key, f"filmroom/v1/pseudonym/{name}"))

    def patient(self, issuer: str, patient_id: str) -> str:
        """Return the patient's pseudonym: P and 16 base32 characters (80 bits)."""
        return "P" + _base32(derive.keyed(self._patients, issuer, patient_id))

    def uid(self, uid: str) -> str:
        """Return the UID that stands for `uid`: 2.25 and a version 8 UUID (PS3.5 B.2, RFC 9562 5.8)."""
        raw = bytearray(derive.keyed(self._uids, uid)[:16])
        raw[6] = raw[6] & 0x0F | 0x80
        raw[8] = raw[8] & 0x3F | 0x80
        return f"2.25.{int.from_bytes(raw, 'big')}"

    def shift_days(self, issuer: str, patient_id: str) -> int:
        """Return by how many days the patient's dates move: whole weeks, 7 to 3640 days, either way."""
        drawn = int.from_bytes(derive.keyed(self._dates, issuer, patient_id)[:8], "big") % (2 * _MOST_WEEKS)
        weeks = drawn + 1 if drawn < _MOST_WEEKS else _MOST_WEEKS - drawn - 1
        return 7 * weeks

    def identifier(self, kind: str, text: str) -> str:
        """Return 16 base32 characters that stand for an identifier of a kind (an accession number, a file name)."""
        return _base32(derive.keyed(self._identifiers, kind, text))


def _base32(mac: bytes) -> str:
    return base64.b32encode(mac[:10]).decode()[:_SUBJECT_CHARS]
