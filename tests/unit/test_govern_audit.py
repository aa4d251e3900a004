"""Whoever touches the log after it was signed is found, and where."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.crypto import merkle
from filmroom.crypto.sign import generate, public, sign
from filmroom.errors import Corrupt, Invalid
from filmroom.govern.audit import (
    Verdict,
    checkpoint,
    leaf,
    open_checkpoint,
    origin,
    parse_checkpoint,
    read_leaf,
    verify,
)
from filmroom.ids import Digest
from filmroom.records import Actor, Checkpoint, Event

PRIVATE = generate(bytes(range(32)))
PUBLIC = public(PRIVATE)
ORIGIN = origin("room")
AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def signer(message: bytes) -> bytes:
    return sign(PRIVATE, message)


def event(number: int) -> Event:
    return Event(actor=Actor("ada"), verb="query", what={"number": str(number)}, outcome={"rows": number})


def log(count: int) -> list[bytes]:
    return [leaf(event(number), at=AT + timedelta(seconds=number), room="room") for number in range(count)]


def signed(leaves: Sequence[bytes], *sizes: int) -> list[Checkpoint]:
    return [checkpoint(size, root_of(leaves[:size]), ORIGIN, signer, PUBLIC) for size in sizes]


def root_of(leaves: Iterable[bytes]) -> Digest:
    return Digest(merkle.root(leaves).hex())


def judged(leaves: Iterable[bytes], checkpoints: Sequence[Checkpoint]) -> Verdict:
    return verify(leaves, checkpoints, origin=ORIGIN, public_key=PUBLIC)


# -- leaves --------------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), max_size=12)


@given(words, st.none() | words, st.dictionaries(words, words, max_size=4), st.booleans())
def test_a_leaf_reads_back(name: str, owner: str | None, what: dict[str, str], denied: bool) -> None:
    policy = Digest.of(b"policy")
    told = Event(actor=Actor(name, owner), verb="freeze", what=what, outcome={"n": 1}, policy=policy, denied=denied)
    content = read_leaf(leaf(told, at=AT, room="room"))
    assert content == {
        "v": 1,
        "at": "2026-03-01T12:00:00.000000Z",
        "room": "room",
        "actor": name,
        "owner": owner,
        "verb": "freeze",
        "what": what,
        "outcome": {"n": 1},
        "policy": str(policy),
        "denied": denied,
    }


def test_a_leaf_has_room_for_65535_bytes_and_no_more() -> None:
    empty = len(leaf(Event(actor=Actor("ada"), verb="query", what={"x": ""}), at=AT, room="room"))
    full = Event(actor=Actor("ada"), verb="query", what={"x": "y" * (65_535 - empty)})
    assert len(leaf(full, at=AT, room="room")) == 65_535
    with pytest.raises(Invalid, match="65536 bytes"):
        leaf(replace(full, what={"x": "y" * (65_536 - empty)}), at=AT, room="room")


def test_a_leaf_holds_only_unicode() -> None:
    with pytest.raises(Invalid):
        leaf(Event(actor=Actor("\udc80"), verb="query", what={}), at=AT, room="room")


@given(
    st.binary(max_size=80) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_anything_else_is_no_leaf(data: bytes) -> None:
    with pytest.raises(Corrupt):
        read_leaf(data)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": "1"},
        {"at": "yesterday"},
        {"at": "2026-03-01"},
        {"more": 1},
        {"what": []},
        {"outcome": {"x": 1.5}},
    ],
)
def test_another_version_or_shape_is_no_leaf(change: dict[str, object]) -> None:
    content = read_leaf(log(1)[0])
    with pytest.raises(Corrupt):
        read_leaf(json.dumps(content | change, sort_keys=True, separators=(",", ":")).encode())


def test_the_same_content_in_other_bytes_is_no_leaf() -> None:
    with pytest.raises(Corrupt):
        read_leaf(log(1)[0] + b" ")
    with pytest.raises(Corrupt):
        read_leaf(b"[" * 100_000)


# -- checkpoints ---------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**12), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_opens_to_what_was_signed(size: int, root: bytes) -> None:
    made = checkpoint(size, Digest(root.hex()), ORIGIN, signer, PUBLIC)
    assert open_checkpoint(made.note, ORIGIN, PUBLIC) == (size, Digest(root.hex())) == (made.size, made.root)


def test_a_checkpoint_is_the_note_that_other_tools_read() -> None:
    root = root_of(log(3))
    note = checkpoint(3, root, ORIGIN, signer, PUBLIC).note
    head, line = note.split("\n\n")
    assert head.split("\n") == ["filmroom/room", "3", base64.b64encode(bytes.fromhex(root.hex)).decode()]
    assert line.startswith("— filmroom/room ") and line.endswith("\n")
    blob = base64.b64decode(line.split(" ")[2])
    assert blob[:4] == hashlib.sha256(b"filmroom/room\n\x01" + PUBLIC).digest()[:4]
    assert blob[4:] == sign(PRIVATE, f"{head}\n".encode())


def test_the_key_hash_is_that_of_a_published_key() -> None:
    """The Go checksum database's verifier key: name, key hash, and type with public key."""
    name, key_hash, key = ["sum.golang.org", "033de0ae", "Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"]
    note = checkpoint(1, root_of([]), name, lambda message: bytes(64), base64.b64decode(key)[1:]).note
    assert base64.b64decode(note.split(" ")[-1])[:4].hex() == key_hash


def test_signatures_of_others_are_ignored() -> None:
    made = signed(log(3), 3)[0]
    witness = base64.b64encode(b"1234" + bytes(64)).decode()
    head, line = made.note.split("\n\n")
    note = f"{head}\n\n— witness.example {witness}\n— {ORIGIN} {witness}\n{line}"
    assert open_checkpoint(note, ORIGIN, PUBLIC) == (3, made.root)


@given(st.data())
def test_a_changed_note_does_not_open(data: st.DataObject) -> None:
    note = signed(log(3), 3)[0].note
    place = data.draw(st.integers(0, note.index("\n\n") - 1))
    character = data.draw(st.sampled_from("A5/\n x=é"))
    changed = note[:place] + character + note[place + 1 :]
    if changed != note:
        with pytest.raises(Corrupt):
            open_checkpoint(changed, ORIGIN, PUBLIC)


@given(st.text(max_size=80))
def test_anything_else_is_no_checkpoint(text: str) -> None:
    for note in (text, f"{ORIGIN}\n{text}\n\n— {ORIGIN} {text}\n"):
        with pytest.raises(Corrupt):
            open_checkpoint(note, ORIGIN, PUBLIC)


def test_another_origin_or_key_does_not_open_it() -> None:
    note = signed(log(3), 3)[0].note
    with pytest.raises(Corrupt):
        open_checkpoint(note, origin("other"), PUBLIC)
    with pytest.raises(Corrupt, match="does not hold"):
        open_checkpoint(note, ORIGIN, public(bytes(32)))


def test_a_room_that_a_note_cannot_name_is_refused() -> None:
    with pytest.raises(Corrupt):
        open_checkpoint("\udc80\n1\n\udc80\n\n— \udc80 \udc80\n", "\udc80", PUBLIC)
    for room in ("a b", "a+b", "a\n", "a\u00a0b"):
        with pytest.raises(Invalid):
            origin(room)


# -- the whole log -------------------------------------------------------------------------------------------------


@given(st.integers(0, 30), st.data())
def test_an_untouched_log_holds(count: int, data: st.DataObject) -> None:
    leaves = log(count)
    sizes = data.draw(st.lists(st.integers(0, count), max_size=5))
    verdict = judged(iter(leaves), signed(leaves, *sizes))
    assert verdict == Verdict(True, count, root_of(leaves), (), max(sizes, default=0))


@given(st.integers(2, 24), st.sampled_from(["edit", "drop", "insert", "swap", "cut"]), st.data())
def test_whatever_was_done_to_a_signed_leaf_is_found_in_its_interval(
    count: int, deed: str, data: st.DataObject
) -> None:
    leaves = log(count)
    sizes = sorted({*data.draw(st.lists(st.integers(1, count), max_size=4)), count})
    checkpoints = signed(leaves, *sizes)
    place = data.draw(st.integers(0, count - (2 if deed == "swap" else 1)))
    bad = list(leaves)
    other = leaf(event(999), at=AT + timedelta(seconds=place), room="room")
    match deed:
        case "edit":
            bad[place] = other
        case "drop":
            del bad[place]
        case "insert":
            bad.insert(place, other)
        case "swap":
            bad[place : place + 2] = reversed(bad[place : place + 2])
        case _:
            del bad[place:]
    verdict = judged(bad, checkpoints)
    assert not verdict.ok and verdict.problems
    held = max((size for size in sizes if size <= place), default=0)
    until = min(size for size in sizes if size > place)
    assert verdict.signed == held
    if len(bad) < count and until > len(bad):
        missing = f"{count - len(bad)} are missing, leaf {held} or some after it"
        assert verdict.problems == (f"the log has {len(bad)} leaves but {count} were signed: {missing}",)
    else:
        assert verdict.problems[0].startswith(f"leaves {held} to {until - 1} are not")


def test_leaves_after_the_newest_checkpoint_are_said_not_to_be_covered() -> None:
    leaves = log(9)
    verdict = judged([*leaves[:8], leaf(event(5), at=AT, room="room")], signed(leaves, 6))
    assert verdict.ok and (verdict.size, verdict.signed) == (9, 6)


def test_one_break_is_told_once_and_a_good_checkpoint_above_it_counts_again() -> None:
    leaves = log(9)
    forked = replace_leaf(leaves, 1)
    later = judged(forked, signed(leaves, 3, 5, 9))
    assert later.problems == ("leaves 0 to 2 are not the ones that the checkpoint of size 3 was signed over",)
    mixed = judged(leaves, [*signed(leaves, 3), *signed(forked, 5), *signed(leaves, 9)])
    assert mixed.problems == ("leaves 3 to 4 are not the ones that the checkpoint of size 5 was signed over",)
    assert mixed.signed == 9
    twice = judged(leaves, [*signed(forked, 3), *signed(leaves, 5), *signed(forked, 9)])
    assert [problem.split(" are ")[0] for problem in twice.problems] == ["leaves 0 to 2", "leaves 5 to 8"]
    two = judged(leaves, [*signed(leaves, 5), *signed(forked, 5)])
    assert two.problems == ("the first 5 leaves are not the ones that the checkpoint of size 5 was signed over",)


def replace_leaf(leaves: Sequence[bytes], place: int) -> list[bytes]:
    return [*leaves[:place], leaf(event(77), at=AT + timedelta(seconds=place), room="room"), *leaves[place + 1 :]]


def test_a_forged_checkpoint_does_not_cover_for_a_forged_leaf() -> None:
    leaves = log(6)
    forged = replace_leaf(leaves, 2)
    fake = checkpoint(6, root_of(forged), ORIGIN, lambda message: sign(bytes(32), message), PUBLIC)
    verdict = judged(forged, [*signed(leaves, 4), fake])
    assert verdict.problems == (
        "checkpoint 1 (size 6): the signature of a checkpoint does not hold",
        "leaves 0 to 3 are not the ones that the checkpoint of size 4 was signed over",
    )


def test_a_note_that_is_kept_elsewhere_shows_a_shortened_log_and_is_not_believed_unsigned() -> None:
    leaves = log(6)
    kept = parse_checkpoint(signed(leaves, 6)[0].note)
    assert kept == signed(leaves, 6)[0]
    assert not judged(leaves[:4], [*signed(leaves, 4), kept]).ok
    unsigned = parse_checkpoint(kept.note.split("\n\n")[0] + "\n\n")
    assert judged(leaves, [unsigned]).problems == (
        "checkpoint 0 (size 6): the signature of a checkpoint does not hold",
    )
    for bad in ("", "x", kept.note.replace("6", "06", 1), kept.note.replace("\n\n", "\n")):
        with pytest.raises(Corrupt):
            parse_checkpoint(bad)


def test_a_record_that_disagrees_with_its_note_is_found() -> None:
    leaves = log(4)
    lying = replace(signed(leaves, 3)[0], size=4)
    assert judged(leaves, [lying]).problems == ("checkpoint 0 (size 4): its note says otherwise",)


def test_leaves_that_do_not_parse_or_are_of_another_room_are_found_though_they_were_signed() -> None:
    leaves = [*log(2), b"nonsense", leaf(event(3), at=AT + timedelta(seconds=3), room="other")]
    verdict = judged(leaves, signed(leaves, 4))
    assert verdict.problems == ("leaf 2 cannot be read", "leaf 3 belongs to another room")


def test_time_may_stumble_but_not_run_backwards() -> None:
    stumbling = [leaf(event(n), at=AT + timedelta(seconds=s), room="room") for n, s in enumerate((0, 90, 30, 120))]
    assert judged(stumbling, []).ok
    back = [leaf(event(n), at=AT + timedelta(seconds=s), room="room") for n, s in enumerate((0, 90, 29, 120, 10))]
    assert judged(back, []).problems == (
        "leaf 2 is 61 s older than one before it",
        "leaf 4 is 110 s older than one before it",
    )
