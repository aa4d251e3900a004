"""AES-256 in counter mode, for bytes that are written once under a key that ends with the process. NIST SP 800-38A 6.5.

Nothing is authenticated: it keeps what lies on a disk for a moment from whoever looks at the disk later, and no more.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

BLOCK = 16


def encryptor(key: bytes) -> Callable[[bytes | bytearray | memoryview], bytes]:
    """Return what encrypts the first bytes, then the next, and so on. A key is 32 bytes and used for one sequence only."""
    return Cipher(AES256(key), CTR(bytes(BLOCK))).encryptor().update


def decrypt(key: bytes, data: bytes, block: int) -> bytes:
    """Return the plaintext of `data`, which begins at the `block`-th block of 16 bytes."""
    return Cipher(AES256(key), CTR(block.to_bytes(BLOCK, "big"))).decryptor().update(data)
