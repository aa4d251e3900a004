"""Keys from keys, and names that reveal nothing to who has no key.

Every use has its own `info` or first part, so that two uses of one key never meet.
Sources: RFC 5869 (HKDF), RFC 2104 (HMAC).
"""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from filmroom.errors import Invalid
from filmroom.ids import Digest

_LONGEST = 255 * 32


def hkdf(key: bytes, info: str, length: int = 32) -> bytes:
    """Return `length` bytes that depend on `key` and `info` only: HKDF-SHA256 without salt (RFC 5869).

    Raises Invalid for more than 8,160 bytes.
    """
    if not 0 < length <= _LONGEST:
        raise Invalid(f"HKDF-SHA256 gives 1 to {_LONGEST} bytes", "derive a key and expand that one")
    return HKDF(hashes.SHA256(), length, salt=None, info=info.encode("utf-8", "surrogatepass")).derive(key)


def keyed(key: bytes, *parts: str) -> bytes:
    """Return HMAC-SHA256 over `parts`, each with its length in front, so that ("ab", "c") and ("a", "bc") differ."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")  # text from files may hold lone surrogates
        mac.update(len(encoded).to_bytes(8, "big"))
        mac.update(encoded)
    return mac.digest()


def object_name(key: bytes, digest: Digest) -> str:
    """Return where an object lies, `ab/<64 hex>`: a listing tells neither the digest nor whether a known file is there."""
    name = keyed(key, "filmroom/v1/object", str(digest)).hex()
    return f"{name[:2]}/{name}"


def commitment(salt: bytes, digest: Digest) -> Digest:
    """Return a digest that binds to `digest` and, once `salt` is destroyed, can no longer be tied to it."""
    return Digest(keyed(salt, "filmroom/v1/commitment", str(digest)).hex())
