"""A token is good for one room, until one second, and unchanged; a lease ends with itself, its grant, or a revocation."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.crypto.sign import generate, key_id, public, sign
from filmroom.errors import Denied, LeaseEnded
from filmroom.govern.leases import alive, identify, mint, read
from filmroom.ids import Versioned
from filmroom.records import Grant, LeaseRecord

PRIVATE = generate(bytes(range(32)))
PUBLIC = public(PRIVATE)
START = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
GRANT = Grant(
    id="g1",
    request="r1",
    snapshot=Versioned("chest-ct", 3),
    holder="ada",
    purpose="triage",
    granted_at=START - timedelta(days=1),
    expires=START + timedelta(days=1),
)
LEASE = LeaseRecord(
    id="l1",
    grant="g1",
    snapshot=Versioned("chest-ct", 3),
    holder="ada",
    job="train",
    issued_at=START,
    expires=START + timedelta(minutes=15),
)
HEADER = {"alg": "Ed25519", "kid": key_id(PUBLIC), "typ": "filmroom-lease+jwt"}
CLAIMS = {"aud": "room", "exp": int(START.timestamp()) + 60, "nbf": int(START.timestamp()), "jti": "l1"}


def signer(message: bytes) -> bytes:
    return sign(PRIVATE, message)


def opened(token: str, room: str = "room", now: datetime = START) -> str:
    return read(token, room=room, public_key=PUBLIC, now=now)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: object, claims: object, private: bytes = PRIVATE) -> str:
    message = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{message}.{b64(sign(private, message.encode()))}"


TOKEN = mint(LEASE, "room", signer, PUBLIC)


def test_a_token_names_its_lease_from_the_first_second_to_before_the_last() -> None:
    last = START + timedelta(minutes=15)
    assert opened(TOKEN) == "l1"
    assert opened(TOKEN, now=last - timedelta(milliseconds=501)) == "l1"
    for late in (last - timedelta(milliseconds=500), last, last + timedelta(days=9)):
        with pytest.raises(LeaseEnded, match="lease has expired"):
            opened(TOKEN, now=late)
    with pytest.raises(Denied, match="not valid yet"):
        opened(TOKEN, now=START - timedelta(seconds=1))


def test_an_ended_token_still_says_which_lease_it_was_to_its_own_room() -> None:
    assert identify(TOKEN, room="room", public_key=PUBLIC) == "l1"
    with pytest.raises(Denied):
        identify(TOKEN, room="other", public_key=PUBLIC)
    with pytest.raises(Denied):
        identify(TOKEN, room="room", public_key=public(bytes(32)))


def test_the_header_pins_algorithm_type_and_key() -> None:
    header = TOKEN.split(".")[0]
    assert json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))) == HEADER


def test_another_room_or_key_does_not_take_it() -> None:
    with pytest.raises(Denied, match="another room"):
        opened(TOKEN, room="other")
    with pytest.raises(Denied, match="not a lease"):
        read(TOKEN, room="room", public_key=public(bytes(32)), now=START)


# The very last character is left alone: 64 bytes leave four of its bits without meaning.
@given(st.integers(0, len(TOKEN) - 2), st.sampled_from("AQgw_-.=x"))
def test_a_changed_character_is_found(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    if changed != TOKEN:
        with pytest.raises(Denied):
            opened(changed)


@pytest.mark.parametrize(
    "header",
    [
        HEADER | {"alg": "none"},
        HEADER | {"alg": "EdDSA"},
        HEADER | {"alg": "HS256"},
        HEADER | {"typ": "JWT"},
        {"alg": "Ed25519"},
        HEADER | {"crit": ["new"], "new": 1},
        {"typ": "filmroom-lease+jwt"},
        [],
    ],
)
def test_only_the_one_algorithm_and_type_is_accepted(header: object) -> None:
    assert opened(forged(HEADER, CLAIMS)) == "l1"
    with pytest.raises(Denied, match="not a lease"):
        opened(forged(header, CLAIMS))


@pytest.mark.parametrize("missing", CLAIMS)
def test_every_claim_is_needed(missing: str) -> None:
    with pytest.raises(Denied):
        opened(forged(HEADER, {name: value for name, value in CLAIMS.items() if name != missing}))
    with pytest.raises(Denied):
        opened(forged(HEADER, CLAIMS | {missing: ["room"]}))


@pytest.mark.parametrize("claims", [[], "x", None, 5])
def test_claims_that_are_no_object_are_refused(claims: object) -> None:
    with pytest.raises(Denied):
        opened(forged(HEADER, claims))


@given(st.text(max_size=60) | st.binary(max_size=60).map(b64).map(lambda text: f"{text}.{text}.{text}"))
def test_anything_else_is_called_no_lease(text: str) -> None:
    with pytest.raises(Denied, match="not a lease"):
        opened(text)


def test_text_that_is_no_unicode_is_called_no_lease() -> None:
    with pytest.raises(Denied, match="not a lease"):
        opened("\udc80.\udc80.\udc80")


def test_a_huge_token_is_not_even_parsed() -> None:
    with pytest.raises(Denied):
        opened(forged(HEADER, CLAIMS | {"x": "y" * 10_000}))


def test_a_lease_is_alive_until_it_or_its_grant_ends() -> None:
    alive(LEASE, GRANT, START)
    alive(LEASE, GRANT, LEASE.expires - timedelta(microseconds=1))
    with pytest.raises(LeaseEnded, match="the lease has expired"):
        alive(LEASE, GRANT, LEASE.expires)
    with pytest.raises(LeaseEnded, match="the grant has expired"):
        alive(LEASE, replace(GRANT, expires=START), START)


def test_revoked_and_expired_are_told_apart_and_both_are_told() -> None:
    revoked = replace(GRANT, revoked_at=START)
    with pytest.raises(LeaseEnded, match="the grant was revoked") as caught:
        alive(LEASE, revoked, START)
    assert "expired" not in str(caught.value)
    with pytest.raises(LeaseEnded, match="was revoked and the grant has expired"):
        alive(LEASE, replace(revoked, expires=START), START)


def test_a_lease_of_another_grant_is_refused() -> None:
    for other in (replace(GRANT, id="g2"), replace(GRANT, holder="bob"), replace(GRANT, snapshot=Versioned("x", 1))):
        with pytest.raises(Denied, match="not minted from this grant"):
            alive(LEASE, other, START)
