"""Objects at rest: C2SP chunked-encryption with AES-256-GCM, the format that `cryptography` calls Cobblestone256.

A sealed object is a header (24 bytes of random salt, 32 bytes that commit to key and context) and chunks of 16,384
bytes with a tag each. The last chunk is always shorter than a full one, so a cut is noticed, and any range can be
opened alone by arithmetic. The context says what the object is; the wrong one is as good as the wrong key.

Rules: whole objects go through the library; only ranges, which it cannot open, are opened here, and tests hold the two
together. A key is 32 bytes. Nothing is returned that was not authenticated.
Source: c2sp.org/chunked-encryption.
"""

import hmac
from collections.abc import Iterable, Iterator

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from filmroom.errors import Corrupt, Invalid, KeyGone
from filmroom.ids import Zone

HEADER = 56
CHUNK = 16_384
TAG = 16

_SALT = 24
_NONCE = 12
_KEY = 32
_INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
_PIECE = 1 << 20  # one call over a large buffer spends its time allocating


def context_of(zone: Zone, name: str) -> bytes:
    """Return what the object with this full name in its zone is bound to: swap two objects and neither opens."""
    return f"filmroom/v1|{zone}|{name}".encode()


def seal(key: bytes, context: bytes, data: bytes | bytearray | memoryview) -> bytes:
    """Return `data` sealed under `key` and `context`; two seals of the same data differ. Raises Invalid for a bad key."""
    view = memoryview(data).cast("B")
    return b"".join(seal_pieces(key, context, (view[start : start + _PIECE] for start in range(0, len(view), _PIECE))))


def seal_pieces(key: bytes, context: bytes, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield what `seal` makes of the pieces together, bit by bit. Raises Invalid for a bad key."""
    _check_key(key)
    sealer = Cobblestone256Encryptor(key, context)
    for piece in pieces:
        yield sealer.update(piece)
    yield sealer.finalize()


def open_sealed(key: bytes, context: bytes, sealed: bytes | bytearray | memoryview) -> bytes:
    """Return what was sealed.

    Raises KeyGone when the header commits to another key or context (a damaged header looks the same), and Corrupt
    when a chunk was changed, moved, added or cut off.
    """
    view = memoryview(sealed).cast("B")
    if len(view) < HEADER + TAG:
        raise _cut()
    _expand(key, context, bytes(view[:HEADER]))
    opener = Cobblestone256Decryptor(key, context)
    try:
        parts = [opener.update(view[start : start + _PIECE]) for start in range(0, len(view), _PIECE)]
        parts.append(opener.finalize())
    except InvalidTag:
        raise _tampered() from None
    return b"".join(parts)


def fits(key: bytes, context: bytes, header: bytes) -> bool:
    """Say whether an object that begins with `header` (`HEADER` bytes) was sealed under this key and context."""
    try:
        _expand(key, context, header)
    except (Corrupt, KeyGone):
        return False
    return True


def sealed_size(plain: int) -> int:
    """Return how many bytes `plain` bytes take once sealed."""
    return HEADER + plain + TAG * (plain // CHUNK + 1)


class RangeReader:
    """Opens ranges of one sealed object, given its first `HEADER` bytes. Thread-safe.

    It proves that the bytes are the object's at that offset. It cannot see how long the object is, so `plain_size` has
    to come from where it is vouched for (a signed manifest, an authenticated index).
    """

    __slots__ = ("_aead", "_nonce")

    def __init__(self, key: bytes, context: bytes, header: bytes) -> None:
        """Raises KeyGone when `header` commits to another key or context, and Corrupt when it is not a header."""
        aead_key, self._nonce = _expand(key, context, header)
        self._aead = AESGCM(aead_key)

    @staticmethod
    def ciphertext_range(offset: int, length: int, plain_size: int) -> tuple[int, int]:
        """Return start and stop, in the sealed object, of the whole chunks that hold these plaintext bytes.

        Raises Corrupt when the range does not lie within `plain_size`.
        """
        if offset < 0 or length < 0 or offset + length > plain_size:
            raise Corrupt("a range lies outside its sealed object", "run verify on what was being read")
        first = offset // CHUNK
        start = HEADER + first * (CHUNK + TAG)
        if not length:
            return start, start
        last = (offset + length - 1) // CHUNK
        return start, min(HEADER + (last + 1) * (CHUNK + TAG), sealed_size(plain_size))

    def open(self, ciphertext: bytes | bytearray | memoryview, offset: int, length: int) -> bytes:
        """Return `length` plaintext bytes from `offset`, given the bytes of `ciphertext_range`.

        Raises Corrupt when they are not this object's, or too few.
        """
        if offset < 0 or length < 0:
            raise Corrupt("a range lies outside its sealed object", "run verify on what was being read")
        first = offset // CHUNK
        view = memoryview(ciphertext).cast("B")
        parts = []
        for number, start in enumerate(range(0, len(view), CHUNK + TAG), start=first):
            nonce = (self._nonce ^ number).to_bytes(_NONCE, "big")
            try:
                parts.append(self._aead.decrypt(nonce, view[start : start + CHUNK + TAG], None))
            except InvalidTag:
                raise _tampered() from None
        skip = offset - first * CHUNK
        plain = b"".join(parts)[skip : skip + length]
        if len(plain) != length:
            raise _cut()
        return plain


def _expand(key: bytes, context: bytes, header: bytes) -> tuple[bytes, int]:
    """Return the message's AEAD key and base nonce, after checking the commitment in `header`."""
    _check_key(key)
    if len(header) != HEADER:
        raise _cut()
    salt, commitment = header[:_SALT], header[_SALT:]
    length = _KEY + _NONCE + len(commitment)
    material = HKDFExpand(hashes.SHA512(), length, _INFO + salt + context).derive(key)
    if not hmac.compare_digest(commitment, material[_KEY + _NONCE :]):
        raise KeyGone(
            "a sealed object does not open: wrong key", "use the key and the context that it was sealed under"
        )
    return material[:_KEY], int.from_bytes(material[_KEY : _KEY + _NONCE], "big")


def _check_key(key: bytes) -> None:
    if len(key) != _KEY:
        raise Invalid(f"a key is {_KEY} bytes", "draw it from the entropy port or derive it")


def _cut() -> Corrupt:
    return Corrupt("a sealed object is cut short", "restore the object from a copy")


def _tampered() -> Corrupt:
    return Corrupt("a sealed object was changed after it was written", "restore the object from a copy")
