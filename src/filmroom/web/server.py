"""The listener: an application on a socket, in a thread of its own, until somebody stops it.

It listens on this machine only unless it is told otherwise, since a client does not have to say who it is. Nothing about
a request is logged: paths and queries hold identifiers.
"""

import ipaddress
import socket
import threading
from dataclasses import dataclass

import uvicorn

from filmroom.errors import Invalid, Unavailable
from filmroom.flow.reception import Reception
from filmroom.flow.visits import Visits
from filmroom.ports import Ports
from filmroom.web.app import create_app

_STARTING_SECONDS = 30
_STOPPING_SECONDS = 20
_LOOPBACK = ("localhost", "127.0.0.1", "[")  # the last is what Starlette makes of any IPv6 address


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def parse_address(text: str, *, is_open: bool = False) -> Address:
    """Read HOST:PORT. Raises Invalid for what is none, and for an address beyond this machine unless `is_open`."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise Invalid("this is no address to listen on", "write HOST:PORT, for example 127.0.0.1:8080")
    if not is_here(host) and not is_open:
        raise Invalid(
            "others could reach this address, and nobody has to identify",
            "listen on 127.0.0.1 behind a proxy that authenticates, or add --insecure-open",
        )
    return Address(host, int(port))


def is_here(host: str) -> bool:
    """Say whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Door:
    """The DICOMweb door. `start` it once, `stop` it once; requests that are open then are finished first."""

    def __init__(self, ports: Ports, reception: Reception, address: Address) -> None:
        self._address = address
        self._visits = Visits(reception, ports.clock, "dicomweb")
        config = uvicorn.Config(
            create_app(ports, reception, self._visits, hosts=_LOOPBACK if is_here(address.host) else ()),
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            timeout_graceful_shutdown=_STOPPING_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="filmroom-http", daemon=True)
        self._listener: socket.socket | None = None

    def start(self, listener: socket.socket) -> None:
        """Answer who calls at a socket that is bound to the address, and return when it does."""
        self._listener = listener
        self._thread.start()
        pause = threading.Event()
        for _ in range(_STARTING_SECONDS * 100):
            if self._server.started or not self._thread.is_alive():
                break
            pause.wait(0.01)
        if not self._server.started:
            raise Unavailable("the listener does not start", "try again")

    def stop(self) -> None:
        """Take no more requests, and return when the open ones are done, or after a while."""
        self._server.should_exit = True
        self._thread.join(_STOPPING_SECONDS + 10)
        self._visits.close()

    def _run(self) -> None:
        assert self._listener is not None
        self._server.run([self._listener])
