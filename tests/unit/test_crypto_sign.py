"""Signatures hold for exactly what was signed, alone and in an envelope."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.crypto.sign import dsse, generate, key_id, open_dsse, public, sign, verify
from filmroom.errors import Corrupt, Invalid

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PRIVATE = generate(SEED)
PUBLIC = public(PRIVATE)
KIND = "application/vnd.in-toto+json"


def signer(message: bytes) -> bytes:
    return sign(PRIVATE, message)


def test_ed25519_gives_the_published_key_and_signature() -> None:
    """RFC 8032, 7.1, test 1."""
    assert PUBLIC.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    expected = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert sign(PRIVATE, b"").hex() == expected


@given(st.binary(max_size=200))
def test_a_signature_holds_for_its_message_and_key_only(message: bytes) -> None:
    signature = sign(PRIVATE, message)
    assert verify(PUBLIC, message, signature)
    assert not verify(PUBLIC, message + b"x", signature)
    assert not verify(public(bytes(32)), message, signature)
    assert not verify(PUBLIC, message, signature[:-1])


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=80))
def test_what_is_no_key_or_signature_just_does_not_verify(key: bytes, message: bytes, signature: bytes) -> None:
    assert not verify(key, message, signature)


def test_a_private_key_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(Invalid):
        generate(b"short")


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.binary(max_size=300))
def test_an_envelope_opens_to_what_was_put_in(kind: str, payload: bytes) -> None:
    assert open_dsse(dsse(kind, payload, signer, PUBLIC), PUBLIC) == (kind, payload)


def test_the_envelope_signs_the_pre_authentication_encoding() -> None:
    """The DSSE protocol's own example of the encoding."""
    seen: list[bytes] = []

    def record(message: bytes) -> bytes:
        seen.append(message)
        return signer(message)

    envelope = json.loads(dsse("http://example.com/HelloWorld", b"hello world", record, PUBLIC))
    assert seen == [b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"]
    assert base64.b64decode(envelope["payload"]) == b"hello world"
    assert envelope["signatures"][0]["keyid"] == key_id(PUBLIC)


@pytest.mark.parametrize("field", ["payload", "payloadType", "sig"])
def test_a_changed_envelope_does_not_open(field: str) -> None:
    envelope = json.loads(dsse(KIND, b'{"a":1}', signer, PUBLIC))
    if field == "sig":
        envelope["signatures"][0]["sig"] = base64.b64encode(sign(bytes(32), b"x")).decode()
    elif field == "payload":
        envelope["payload"] = base64.b64encode(b'{"a":2}').decode()
    else:
        envelope["payloadType"] = "text/plain"
    with pytest.raises(Corrupt, match="does not hold"):
        open_dsse(json.dumps(envelope), PUBLIC)


def test_another_key_and_no_signature_at_all_do_not_open() -> None:
    envelope = dsse(KIND, b"{}", signer, PUBLIC)
    with pytest.raises(Corrupt):
        open_dsse(envelope, public(bytes(32)))
    bare = json.loads(envelope) | {"signatures": []}
    with pytest.raises(Corrupt):
        open_dsse(json.dumps(bare), PUBLIC)


def test_url_safe_base64_a_second_signer_and_a_lying_key_id_are_fine() -> None:
    envelope = json.loads(dsse(KIND, b"\xff\xfe\xfd" * 9, signer, PUBLIC))
    envelope["payload"] = envelope["payload"].replace("+", "-").replace("/", "_")
    envelope["signatures"].insert(0, {"keyid": key_id(PUBLIC), "sig": "AAAA"})
    envelope["signatures"][1]["keyid"] = "somebody"
    assert open_dsse(json.dumps(envelope), PUBLIC)[1] == b"\xff\xfe\xfd" * 9


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_anything_else_is_called_malformed(text: str) -> None:
    with pytest.raises(Corrupt):
        open_dsse(text, PUBLIC)


@pytest.mark.parametrize(
    "bad",
    [
        {"payload": 1, "payloadType": KIND, "signatures": []},
        {"payload": "e30=", "payloadType": KIND, "signatures": [{"sig": 5}]},
        {"payload": "e30=", "payloadType": KIND, "signatures": ["x"]},
        {"payload": "e30", "payloadType": KIND, "signatures": []},
        {"payload": "e30=", "payloadType": "\ud800", "signatures": []},
        {"payload": "é", "payloadType": KIND, "signatures": []},
    ],
)
def test_an_almost_envelope_is_called_malformed(bad: object) -> None:
    with pytest.raises(Corrupt, match="not a DSSE"):
        open_dsse(json.dumps(bad), PUBLIC)


def test_endless_nesting_is_called_malformed() -> None:
    with pytest.raises(Corrupt):
        open_dsse("[" * 200_000, PUBLIC)
