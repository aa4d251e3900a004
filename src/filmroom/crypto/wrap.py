"""Data keys under a zone key: AES-256-GCM, bound to what the data key is for.

A wrapped key is one version byte, the 12-byte nonce and the sealed key with its 16-byte tag. The caller draws the nonce,
at random, for each wrapping. Source: NIST SP 800-38D.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from filmroom.errors import Invalid, KeyGone

NONCE = 12

_VERSION = b"\x01"
_TAG = 16


def wrap(wrapping_key: bytes, bound_to: str, key: bytes, nonce: bytes) -> bytes:
    """Return `key` sealed under the 32-byte `wrapping_key` and bound to the text `bound_to`."""
    if len(wrapping_key) != 32 or len(nonce) != NONCE:
        raise Invalid("a wrapping key is 32 bytes and a nonce 12", "draw them from the entropy port")
    return _VERSION + nonce + AESGCM(wrapping_key).encrypt(nonce, key, bound_to.encode("utf-8", "surrogatepass"))


def unwrap(wrapping_key: bytes, bound_to: str, wrapped: bytes) -> bytes:
    """Return the data key. Raises KeyGone when `wrapped` is not this key's, not bound to this text, or changed."""
    nonce, sealed = wrapped[1 : 1 + NONCE], wrapped[1 + NONCE :]
    try:
        if wrapped[:1] == _VERSION and len(sealed) >= _TAG:
            return AESGCM(wrapping_key).decrypt(nonce, sealed, bound_to.encode("utf-8", "surrogatepass"))
    except InvalidTag:
        pass
    raise KeyGone("a data key does not unwrap: other key provider, other use, or changed", "use the room's own keys")
