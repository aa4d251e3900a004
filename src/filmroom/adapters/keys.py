"""Keys in files: the `Keys` port for a room on one computer.

Five files of 32 bytes (as 64 hex digits, or raw), for their owner alone: one for each zone (the vault's is for pseudonyms
too) and `signing` for Ed25519. Each use has a key of its own, derived from the file's, so a zone's key is never used twice.
Losing a file loses what it protects: keep a copy apart from the data.
"""

import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Self

from filmroom.adapters.durable import create_file, make_folders, sync_folder
from filmroom.crypto.derive import hkdf
from filmroom.crypto.sign import generate, public
from filmroom.crypto.sign import sign as ed25519
from filmroom.crypto.wrap import NONCE, unwrap, wrap
from filmroom.errors import Corrupt, Denied, NotFound, Unavailable
from filmroom.ids import Zone
from filmroom.ports import Entropy

SIGNING = "signing"
NAMES = (*(zone.value for zone in Zone), SIGNING)

_KEY = 32


class FileKeys:
    """The keys in one folder, read once. Thread-safe."""

    def __init__(self, folder: Path, entropy: Entropy) -> None:
        """Raises NotFound for a missing file, Denied when others could read or replace one, Corrupt for no key."""
        _check_folder(folder)
        keys = {name: _read(folder / f"{name}.key") for name in NAMES}
        self._zones = {zone: keys[zone.value] for zone in Zone}
        self._signing = generate(keys[SIGNING])
        self._public = public(self._signing)
        self._entropy = entropy
        self._derived = lru_cache(maxsize=256)(hkdf)

    @classmethod
    def create(cls, folder: Path, entropy: Entropy) -> Self:
        """Return the keys of `folder` after making those that are not there yet. What is there is never overwritten."""
        try:
            make_folders(folder)
            _check_folder(folder)
            for path in (folder / f"{name}.key" for name in NAMES):
                if not path.exists():
                    create_file(path, entropy.draw(_KEY).hex().encode() + b"\n")
            sync_folder(folder)  # for those that somebody else has just made
        except OSError as error:
            raise _unavailable(error) from None
        return cls(folder, entropy)

    def wrap(self, zone: Zone, key_id: str, key: bytes) -> bytes:
        return wrap(self._wrapping(zone), f"{zone.value}|{key_id}", key, self._entropy.draw(NONCE))

    def unwrap(self, zone: Zone, key_id: str, wrapped: bytes) -> bytes:
        return unwrap(self._wrapping(zone), f"{zone.value}|{key_id}", wrapped)

    def derive(self, zone: Zone, purpose: str) -> bytes:
        return self._derived(self._zones[zone], f"filmroom/v1|derive|{purpose}")

    def pseudonym_key(self, project: str) -> bytes:
        return hkdf(self._zones[Zone.VAULT], f"filmroom/v1|pseudonym|{project}")

    def sign(self, message: bytes) -> bytes:
        return ed25519(self._signing, message)

    def public_key(self) -> bytes:
        return self._public

    def _wrapping(self, zone: Zone) -> bytes:
        return self._derived(self._zones[zone], "filmroom/v1|wrap")


def key_in_file(path: Path, entropy: Entropy) -> bytes:
    """Return the 32-byte key of a file of its own, which is made when it is not there.

    Raises Denied when others could read it, Corrupt for no key, Unavailable when it cannot be made.
    """
    try:
        if not path.exists():
            create_file(path, entropy.draw(_KEY).hex().encode() + b"\n")
    except OSError as error:
        raise _unavailable(error) from None
    return _read(path)


def _check_folder(folder: Path) -> None:
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        raise NotFound("the room has no keys folder", "create the room, or restore its keys") from None
    except OSError as error:
        raise _unavailable(error) from None
    if stat.S_IMODE(mode) & 0o022:
        raise Denied("others could replace files in the keys folder", f"chmod 700 {folder}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(4 * _KEY)
    except FileNotFoundError:
        raise NotFound(f"the key file {path.name} is missing", "restore it from its copy") from None
    except OSError as error:
        raise _unavailable(error) from None
    if stat.S_IMODE(mode) & 0o077:
        raise Denied(f"others could read the key file {path.name}", f"chmod 600 {path}")
    if len(data) == _KEY:
        return data
    try:
        key = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _KEY:
        raise Corrupt(f"the key file {path.name} holds no key of 32 bytes", "restore it from its copy")
    return key


def _unavailable(error: OSError) -> Unavailable:
    reason = os.strerror(error.errno) if error.errno else "unknown error"
    return Unavailable(f"the keys folder cannot be used: {reason}", "check its path and who owns it")
