"""What a key provider promises, asked of keys in files."""

import fcntl
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filmroom.adapters.keys import NAMES, FileKeys
from filmroom.adapters.system import SilentProgress, SystemClock, SystemEntropy
from filmroom.crypto.sign import verify
from filmroom.errors import Corrupt, Denied, KeyGone, NotFound, Unavailable
from filmroom.ids import Zone
from filmroom.ports import Clock, Entropy, Keys, Progress

KEY = bytes(range(32))


class CountedEntropy:
    """Different bytes each time, and the same in each test."""

    def __init__(self) -> None:
        self._drawn = 0

    def draw(self, count: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(count, "big")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "room" / "keys"


@pytest.fixture
def keys(folder: Path) -> Keys:
    return FileKeys.create(folder, CountedEntropy())


@given(key=st.binary(max_size=64), key_id=st.text(max_size=20), zone=st.sampled_from(Zone))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_wrapped_key_unwraps_for_its_zone_and_id(keys: Keys, key: bytes, key_id: str, zone: Zone) -> None:
    wrapped = keys.wrap(zone, key_id, key)
    assert keys.unwrap(zone, key_id, wrapped) == key
    with pytest.raises(KeyGone):
        keys.unwrap(zone, key_id + "x", wrapped)
    for other in set(Zone) - {zone}:
        with pytest.raises(KeyGone):
            keys.unwrap(other, key_id, wrapped)


def test_two_wrappings_of_a_key_are_not_alike(keys: Keys) -> None:
    assert keys.wrap(Zone.CLINICAL, "p1", KEY) != keys.wrap(Zone.CLINICAL, "p1", KEY)
    assert KEY not in keys.wrap(Zone.CLINICAL, "p1", KEY)


def test_a_changed_or_cut_wrapping_is_gone(keys: Keys) -> None:
    wrapped = keys.wrap(Zone.RESEARCH, "p1", KEY)
    for place in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[place] ^= 1
        with pytest.raises(KeyGone):
            keys.unwrap(Zone.RESEARCH, "p1", bytes(changed))
        with pytest.raises(KeyGone):
            keys.unwrap(Zone.RESEARCH, "p1", wrapped[:place])


def test_another_rooms_keys_do_not_unwrap(keys: Keys, tmp_path: Path) -> None:
    other = FileKeys.create(tmp_path / "other", SystemEntropy())
    with pytest.raises(KeyGone):
        other.unwrap(Zone.CLINICAL, "p1", keys.wrap(Zone.CLINICAL, "p1", KEY))


def test_derived_keys_are_stable_and_all_different(keys: Keys) -> None:
    def drawn() -> list[bytes]:
        derived = [keys.derive(zone, purpose) for zone in Zone for purpose in ("", "objects", "salts", "wrap")]
        return derived + [keys.pseudonym_key(project) for project in ("lung", "heart", "objects")]

    assert drawn() == drawn()
    assert len(set(drawn())) == 4 * len(Zone) + 3
    assert {len(key) for key in drawn()} == {32}


def test_what_is_signed_verifies_under_the_public_key(keys: Keys) -> None:
    signature = keys.sign(b"message")
    assert verify(keys.public_key(), b"message", signature)
    assert not verify(keys.public_key(), b"massage", signature)
    assert (len(keys.public_key()), len(signature)) == (32, 64)


# -- in files ------------------------------------------------------------------------------------------------------


def test_five_files_for_their_owner_alone_and_no_strays(keys: Keys, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {f"{name}.key" for name in NAMES}
    assert len(NAMES) == 5
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert len({path.read_bytes() for path in folder.iterdir()}) == 5


def test_opening_and_creating_again_give_the_same_keys(keys: Keys, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    wrapped = keys.wrap(Zone.MODELS, "m1", KEY)
    for again in (FileKeys(folder, SystemEntropy()), FileKeys.create(folder, SystemEntropy())):
        assert again.public_key() == keys.public_key()
        assert again.derive(Zone.CLINICAL, "x") == keys.derive(Zone.CLINICAL, "x")
        assert again.pseudonym_key("lung") == keys.pseudonym_key("lung")
        assert again.unwrap(Zone.MODELS, "m1", wrapped) == KEY
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_creation_that_was_cut_short_is_completed_without_touching_what_is_there(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / "vault.key").write_bytes(KEY)
    (folder / "vault.key").chmod(0o600)
    FileKeys.create(folder, SystemEntropy())
    assert (folder / "vault.key").read_bytes() == KEY
    assert len(list(folder.iterdir())) == 5


def test_two_who_create_at_once_end_with_the_same_keys(folder: Path) -> None:
    class Overtaken(SystemEntropy):
        """Somebody else creates the keys between our look and our write."""

        def draw(self, count: int) -> bytes:
            first.append(FileKeys.create(folder, SystemEntropy()).derive(Zone.CLINICAL, "x"))
            return super().draw(count)

    first: list[bytes] = []
    assert FileKeys.create(folder, Overtaken()).derive(Zone.CLINICAL, "x") == first[0]
    assert len(list(folder.iterdir())) == 5


def test_a_key_may_lie_there_raw_or_as_hex(keys: Keys, folder: Path) -> None:
    path = folder / "clinical.key"
    before = keys.derive(Zone.CLINICAL, "x")
    path.write_bytes(bytes.fromhex(path.read_text()))
    assert len(path.read_bytes()) == 32
    assert FileKeys(folder, SystemEntropy()).derive(Zone.CLINICAL, "x") == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_key_file_that_others_can_touch_is_not_used(keys: Keys, folder: Path, mode: int) -> None:
    path = folder / "research.key"
    path.chmod(mode)
    with pytest.raises(Denied) as caught:
        FileKeys(folder, SystemEntropy())
    assert caught.value.next_step == f"chmod 600 {path}"
    path.chmod(0o400)
    assert FileKeys(folder, SystemEntropy()).public_key() == keys.public_key()


def test_a_folder_where_others_can_replace_files_is_not_used(keys: Keys, folder: Path) -> None:
    folder.chmod(0o770)
    openings: list[Callable[[Path, Entropy], FileKeys]] = [FileKeys, FileKeys.create]
    for opening in openings:
        with pytest.raises(Denied, match="replace") as caught:
            opening(folder, SystemEntropy())
        assert caught.value.next_step == f"chmod 700 {folder}"


@pytest.mark.parametrize("content", [b"", b"short", KEY[:31], KEY + b"x", b"z" * 64, b"ab" * 31, b"ab" * 40])
def test_a_file_that_holds_no_key_is_called_corrupt_without_its_content(
    keys: Keys, folder: Path, content: bytes
) -> None:
    (folder / "vault.key").write_bytes(content)
    with pytest.raises(Corrupt, match=r"vault\.key") as caught:
        FileKeys(folder, SystemEntropy())
    assert not content or content.decode("latin-1") not in str(caught.value)


def test_a_key_is_on_the_device_before_it_has_its_name_where_fsync_is_not_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named_when_synced: list[int] = []

    def full_sync(handle: int, command: int) -> None:
        assert command == 51
        named_when_synced.append(len(list(folder.glob("*.key"))))

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", full_sync)
    FileKeys.create(folder, SystemEntropy())
    for made in range(len(NAMES)):
        assert made in named_when_synced, "the next key's bytes, before it has its name"
    assert named_when_synced[-1] == len(NAMES)
    assert not list(folder.glob(".partial-*"))


def test_what_is_missing_or_no_file_is_said(keys: Keys, folder: Path) -> None:
    with pytest.raises(NotFound):
        FileKeys(folder / "nowhere", SystemEntropy())
    (folder / "signing.key").unlink()
    with pytest.raises(NotFound, match=r"signing\.key"):
        FileKeys(folder, SystemEntropy())
    (folder / "signing.key").mkdir()
    with pytest.raises(Unavailable):
        FileKeys(folder, SystemEntropy())
    with pytest.raises(Unavailable):
        FileKeys.create(folder / "vault.key", SystemEntropy())


def test_no_repr_shows_a_key(keys: Keys, folder: Path) -> None:
    for path in folder.iterdir():
        assert path.read_text().strip() not in repr(keys)
    assert repr(keys).startswith("<")


# -- the system ----------------------------------------------------------------------------------------------------


def test_the_systems_clock_entropy_and_silence_are_what_the_ports_say() -> None:
    clock: Clock = SystemClock()
    entropy: Entropy = SystemEntropy()
    progress: Progress = SilentProgress()
    offset = clock.now().utcoffset()
    assert offset is not None and not offset
    assert clock.monotonic() <= clock.monotonic()
    assert len(entropy.draw(32)) == 32 and entropy.draw(32) != entropy.draw(32)
    with progress.task("reading", 3) as advance:
        advance(3)
