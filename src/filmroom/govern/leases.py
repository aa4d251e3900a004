"""Leases as tokens: compact JWS, signed with the room's Ed25519 key, minutes long.

A token proves which lease it is and carries nothing else that anybody has to believe: what the lease allows is read from
the catalog at each use, and `alive` decides. Only the algorithm `Ed25519` (RFC 9864; `EdDSA` is its deprecated,
ambiguous name), the type `filmroom-lease+jwt` and the room as audience are accepted, without leeway.
Sources: RFC 7515 (JWS), RFC 7519 (JWT), RFC 8725 (best practices), RFC 9864.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from filmroom.canon import canonical
from filmroom.crypto.sign import key_id
from filmroom.errors import Denied, LeaseEnded
from filmroom.records import Grant, LeaseRecord

ALGORITHM = "Ed25519"
TYPE = "filmroom-lease+jwt"

_LONGEST = 8_192


def mint(lease: LeaseRecord, room: str, sign: Callable[[bytes], bytes], public_key: bytes) -> str:
    """Return the lease's token for `room`. Times are rounded down to seconds, so it never outlives the lease."""
    header = {"alg": ALGORITHM, "kid": key_id(public_key), "typ": TYPE}
    claims = {
        "aud": room,
        "exp": int(lease.expires.timestamp()),
        "iat": int(lease.issued_at.timestamp()),
        "iss": room,
        "jti": lease.id,
        "job": lease.job,
        "nbf": int(lease.issued_at.timestamp()),
        "snapshot": lease.snapshot,
        "sub": lease.holder,
    }
    message = f"{_base64url(canonical(header))}.{_base64url(canonical(claims))}"
    return f"{message}.{_base64url(sign(message.encode()))}"


def read(token: str, *, room: str, public_key: bytes, now: datetime) -> str:
    """Return the id of the lease that `token` stands for.

    Raises LeaseEnded at and after its last second, and Denied when it is not a token of this room, was changed, or is
    not valid yet. Whether the grant behind it was revoked is for `alive`.
    """
    claims = _verified(token, room, public_key)
    if now.timestamp() < claims.starts:
        raise Denied("the lease is not valid yet", "compare this computer's clock with the room's")
    if now.timestamp() >= claims.ends:
        raise LeaseEnded("the lease has expired", "ask for a new one with: filmroom lease")
    return claims.lease


def identify(token: str, *, room: str, public_key: bytes) -> str:
    """Return the id of the lease that `token` stands or once stood for: evidence of the past, and no right to read.

    Raises Denied when it is not a token of this room or was changed.
    """
    return _verified(token, room, public_key).lease


def alive(lease: LeaseRecord, grant: Grant, now: datetime) -> None:
    """Return if the lease and the grant behind it hold at `now`.

    Raises LeaseEnded that says which of them has expired or that the grant was revoked, and Denied when the lease is not
    of this grant.
    """
    if lease.grant != grant.id or lease.holder != grant.holder or lease.snapshot != grant.snapshot:
        raise Denied("the lease was not minted from this grant", "ask for a new one with: filmroom lease")
    reasons = []
    if grant.revoked_at is not None:
        reasons.append("the grant was revoked")
    if now >= grant.expires:
        reasons.append("the grant has expired")
    if reasons:
        raise LeaseEnded(" and ".join(reasons), "ask for a new grant with: filmroom request")
    if now >= lease.expires:
        raise LeaseEnded("the lease has expired", "ask for a new one with: filmroom lease")


@dataclass(frozen=True, slots=True)
class _Claims:
    lease: str
    starts: int
    ends: int


def _verified(token: str, room: str, public_key: bytes) -> _Claims:
    """Return the claims after signature, algorithm, type and audience were found right."""
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": _base64url(public_key)})
    if len(token) > _LONGEST:
        raise _not_ours()
    try:
        opened = jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
        claims: object = json.loads(opened.payload or b"")
    except (JoseError, ValueError, RecursionError):
        raise _not_ours() from None
    if opened.headers().get("typ") != TYPE:
        raise _not_ours()
    match claims:
        case {"aud": str(audience), "exp": int(ends), "nbf": int(starts), "jti": str(lease)}:
            if audience != room:
                raise Denied("the lease is for another room", "ask this room for a lease")
            return _Claims(lease, starts, ends)
        case _:
            raise _not_ours()


def _not_ours() -> Denied:
    return Denied("this is not a lease of this room", "copy the token whole, or ask for one with: filmroom lease")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
