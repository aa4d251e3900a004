"""Who may call over DICOM, and who is called: `dimse.toml` in the room's folder becomes one frozen record.

An AE title proves nothing: it is a name that the caller gives itself. What keeps strangers out is the list of addresses
(`from`) and, better, a client certificate. Without any peer in the file only this machine is let in.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from filmroom.errors import Invalid

DIMSE_FILE = "dimse.toml"
_MIB = 2**20
_HELP = "compare it with docs/how-to/dimse.md"


class Service(StrEnum):
    """What a peer may do. Verification (C-ECHO) is everybody's who is let in."""

    STORE = "store"
    QUERY = "query"
    RETRIEVE = "retrieve"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An application entity at an address, written AE@HOST:PORT."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.title}@{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read AE@HOST:PORT; an IPv6 address stands in brackets. Raises Invalid."""
        title, at, address = text.rpartition("@")
        host, colon, port = address.rpartition(":")
        if not at or not colon or not host or not port.isdecimal() or int(port) > 65535:
            raise Invalid(
                "an application entity is written AE@HOST:PORT", "write for example PACS@pacs.example.org:104"
            )
        return cls(check_title(title), host.removeprefix("[").removesuffix("]"), int(port))


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another application entity: under which source name its deliveries run, what it may do, where it listens.

    `addresses` are the IP addresses that it may call from; empty means any.
    """

    title: str
    source: str
    may: frozenset[Service] = frozenset({Service.STORE})
    addresses: frozenset[str] = frozenset()
    endpoint: Endpoint | None = None
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files. With `authority`, whoever calls must show a certificate that it signed."""

    certificate: Path
    key: Path
    authority: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The limits of the door and who may pass it. Sizes are in bytes, times in seconds; `max_pdu` 0 means no limit."""

    peers: Mapping[str, Peer] = field(default_factory=dict)
    max_associations: int = 8
    max_pdu: int = 131_072
    max_object: int = 4096 * _MIB
    timeout: float = 60.0
    tls: Tls | None = None

    def admit(self, title: str, address: str) -> Peer | None:
        """Return who calls, or None for a stranger. With no peers configured, loopback callers may do everything."""
        if not self.peers:
            own = _is_loopback(address)
            return Peer(title=title, source=f"dimse:{title}", may=frozenset(Service)) if own else None
        peer = self.peers.get(title)
        if peer is None or (peer.addresses and _plain(address) not in peer.addresses):
            return None
        return peer


def read_network(folder: Path) -> Network:
    """Read the room's `dimse.toml`; a room without one has the defaults. Raises Invalid for what is not understood."""
    try:
        facts = tomllib.loads((folder / DIMSE_FILE).read_text("utf-8"))
    except FileNotFoundError:
        return Network()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise Invalid(f"{DIMSE_FILE} cannot be read", _HELP) from None
    table = _table(facts, DIMSE_FILE, {"dimse"}).get("dimse", {})
    known = {"max_associations", "max_pdu", "max_object_mib", "timeout_s", "tls", "peers"}
    words = _table(table, "dimse", known)
    peers = _table(words.get("peers", {}), "dimse.peers", None)
    default = Network()
    known_peers = {title: _peer(title, each) for title, each in peers.items()}
    if "tls" not in words and any(peer.tls for peer in known_peers.values()):
        raise Invalid("a peer is called over TLS, and there is no certificate to show", "write [dimse.tls]")
    return Network(
        peers=known_peers,
        max_associations=_number(words, "max_associations", default.max_associations, 1, 1000),
        max_pdu=_number(words, "max_pdu", default.max_pdu, 0, 2**31),
        max_object=_number(words, "max_object_mib", default.max_object // _MIB, 1, 2**20) * _MIB,
        timeout=float(_number(words, "timeout_s", int(default.timeout), 1, 86_400)),
        tls=_tls(folder, words["tls"]) if "tls" in words else None,
    )


def check_title(text: str) -> str:
    """Return an AE title without padding; raise Invalid when it cannot be one (PS3.5 6.2, VR AE)."""
    title = text.strip(" ")
    if not 1 <= len(title) <= 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise Invalid("an AE title has 1 to 16 printable ASCII characters", "correct it")
    return title


def _peer(title: str, facts: object) -> Peer:
    words = _table(facts, "a peer", {"source", "may", "from", "address", "tls"})
    title = check_title(title)
    try:
        may = frozenset(Service(each) for each in _texts(words, "may", ["store"]))
        addresses = frozenset(_plain(str(ip_address(each))) for each in _texts(words, "from", []))
    except ValueError:
        raise Invalid("`may` holds store, query, retrieve, and `from` holds IP addresses", _HELP) from None
    address, source, tls = words.get("address"), words.get("source", f"dimse:{title}"), words.get("tls", False)
    if not isinstance(source, str) or not isinstance(tls, bool) or not isinstance(address, str | None):
        raise Invalid("a peer's source and address are text, its tls is true or false", _HELP)
    endpoint = Endpoint.parse(f"{title}@{address}") if address else None
    return Peer(title=title, source=source, may=may, addresses=addresses, endpoint=endpoint, tls=tls)


def _tls(folder: Path, facts: object) -> Tls:
    words = _table(facts, "dimse.tls", {"certificate", "key", "authority"})
    files = {name: folder / str(value) for name, value in words.items()}
    if not {"certificate", "key"} <= files.keys():
        raise Invalid("TLS needs a certificate and its key", _HELP)
    return Tls(certificate=files["certificate"], key=files["key"], authority=files.get("authority"))


def _table(value: object, name: str, known: set[str] | None) -> Mapping[str, object]:
    if not isinstance(value, dict) or (known is not None and value.keys() - known):
        allowed = "" if known is None else f" of {', '.join(sorted(known))}"
        raise Invalid(f"{name} is a table{allowed}, and of nothing else", _HELP)
    return value


def _number(words: Mapping[str, object], name: str, default: int, least: int, most: int) -> int:
    value = words.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid(f"{name} is a whole number from {least} to {most}", _HELP)
    return value


def _texts(words: Mapping[str, object], name: str, default: list[str]) -> list[str]:
    value = words.get(name, default)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Invalid(f"{name} is a list of texts", _HELP)
    return value


def _plain(address: str) -> str:
    """Return the address without a scope, an IPv4 one that came through an IPv6 socket as IPv4."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(_plain(address)).is_loopback
    except ValueError:
        return False
