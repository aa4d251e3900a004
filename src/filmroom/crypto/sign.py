"""Ed25519 signatures with raw 32-byte keys, and the DSSE envelope for signed documents.

Who signs is a function, so that the private key can stay with its provider. The `keyid` of an envelope is a hint and is
never believed: a signature holds under the given public key or it does not.
Sources: RFC 8032 (Ed25519), DSSE v1 (github.com/secure-systems-lab/dsse).
"""

import base64
import binascii
import json
from collections.abc import Callable
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from filmroom.canon import canonical
from filmroom.errors import Corrupt, Invalid
from filmroom.ids import Digest

_KEY = 32


def generate(seed: bytes) -> bytes:
    """Return the raw private key that `seed` (32 unpredictable bytes) stands for."""
    return _private(seed).private_bytes_raw()


def public(private: bytes) -> bytes:
    """Return the raw 32-byte public key of a raw private key."""
    return _private(private).public_key().public_bytes_raw()


def sign(private: bytes, message: bytes) -> bytes:
    """Return the 64-byte signature over `message`."""
    return _private(private).sign(message)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether `signature` over `message` holds; False as well for what cannot be a key or a signature."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_id(public_key: bytes) -> str:
    """Return the name of a public key: the hex SHA-256 of its 32 raw bytes."""
    return Digest.of(public_key).hex


def dsse(payload_type: str, payload: bytes, sign: Callable[[bytes], bytes], public_key: bytes) -> str:
    """Return `payload` in a signed DSSE v1 envelope, as canonical JSON."""
    signature = sign(_pre_auth(payload_type, payload))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": key_id(public_key), "sig": base64.b64encode(signature).decode()}],
    }
    return canonical(envelope).decode()


def open_dsse(envelope: str, public_key: bytes) -> tuple[str, bytes]:
    """Return (payload type, payload) of an envelope that carries a good signature of `public_key`.

    Raises Corrupt when it is malformed or none of its signatures holds.
    """
    payload_type, payload, signatures = _parse(envelope)
    message = _pre_auth(payload_type, payload)
    if not any(verify(public_key, message, signature) for signature in signatures):
        raise Corrupt("the signature of an envelope does not hold", "get the document again from its source")
    return payload_type, payload


def _parse(envelope: str) -> tuple[str, bytes, list[bytes]]:
    try:
        document: object = json.loads(envelope)
        match document:
            case {"payload": str(payload), "payloadType": str(payload_type), "signatures": list(signatures)}:
                found = [_base64(item["sig"]) for item in signatures]
                payload_type.encode()
                return payload_type, _base64(payload), found
            case _:
                pass
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # every way of being malformed gets the one answer below
    raise Corrupt("this is not a DSSE envelope", "get the document again from its source")


def _base64(text: object) -> bytes:
    """Decode standard or URL-safe base64; DSSE lets a writer choose."""
    if not isinstance(text, str):
        raise binascii.Error
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


def _pre_auth(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@lru_cache(8)  # to read a key costs more than to sign with it
def _private(key: bytes) -> Ed25519PrivateKey:
    if len(key) != _KEY:
        raise Invalid(f"an Ed25519 private key is {_KEY} bytes", "draw it from the entropy port")
    return Ed25519PrivateKey.from_private_bytes(key)
