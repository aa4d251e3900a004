"""A door of a room in a process that kills itself at a chosen point: before, amid or after one of its effects.

Run as a program, it reads from its input, a line each: where a room is, which door is wanted and which point is fatal;
then that the door is to close. Each life is a process of its own, forked from this one, which has loaded everything
already. It answers with the port when the door is open, and at the end with the exit status and how many effects of
each kind there were.
"""

import json
import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from filmroom import wiring
from filmroom.adapters.files import FileObjects
from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.adapters.sql.transaction import SqlTransaction
from filmroom.dimse.config import Endpoint, Network
from filmroom.dimse.serve import Door
from filmroom.flow.reception import Reception
from filmroom.ids import Zone
from filmroom.ports import Ports
from filmroom.web.server import Address
from filmroom.web.server import Door as WebDoor

KEY_ROW, BYTES, COMMIT, ANSWER = "key row", "bytes", "commit", "answer"
BEFORE, AMID, AFTER = "before", "amid", "after"


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`th effect of a kind, from 1; 0 is none."""

    kind: str = ""
    moment: str = ""
    number: int = 0


class Fate:
    """Counts effects of each kind, and ends the process at the fatal one."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._lock = threading.Lock()
        self.met: Counter[str] = Counter()

    def meet(self, kind: str) -> Callable[[str], None]:
        """Say that an effect is about to happen; returns what to call amid and after it."""
        with self._lock:
            self.met[kind] += 1
            is_fatal = (kind, self.met[kind]) == (self._point.kind, self._point.number)

        def reach(moment: str) -> None:
            if is_fatal and moment == self._point.moment:
                os.kill(os.getpid(), signal.SIGKILL)

        reach(BEFORE)
        return reach


class MortalObjects(FileObjects):
    """A zone whose objects are written in two pieces."""

    def __init__(self, root: Path, fate: Fate) -> None:
        super().__init__(root)
        self._fate = fate

    def put(self, name: str, data: bytes | bytearray | memoryview | Iterator[bytes]) -> None:
        reach = self._fate.meet(BYTES)
        whole = bytes(data) if isinstance(data, bytes | bytearray | memoryview) else b"".join(data)

        def pieces() -> Iterator[bytes]:
            yield whole[: len(whole) // 2]
            reach(AMID)
            yield whole[len(whole) // 2 :]

        super().put(name, pieces())
        reach(AFTER)


class MortalCatalog(SqlCatalog):
    """A catalog whose commits are effects: those that write a leaf, and those that only keep a key."""

    fate: Fate

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        with super().write() as tx:
            before = tx.log.size()
            yield tx
            reach = self.fate.meet(COMMIT if tx.log.size() > before else KEY_ROW)
        reach(AFTER)


class MortalListener(socket.socket):
    """A listening socket whose connections answer C-STORE requests as an effect."""

    def __init__(self, address: tuple[str, int], fate: Fate) -> None:
        super().__init__()
        self._fate = fate
        self.bind(address)
        self.listen()

    def accept(self) -> tuple["_Connection", Any]:
        plain, address = super().accept()
        connection = _Connection(plain.family, plain.type, plain.proto, fileno=plain.detach())
        connection.fate = self._fate
        return connection, address


class _Connection(socket.socket):
    fate: Fate

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        reach = self.fate.meet(ANSWER)
        half = len(data) // 2
        super().sendall(data[:half], flags)
        reach(AMID)
        super().sendall(data[half:], flags)
        reach(AFTER)


def live(folder: Path, door: str, fate: Fate, ready: BinaryIO) -> None:
    """Open a door of a room, say at which port, and close it at SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with wiring.open_room(folder) as room, MortalListener(("127.0.0.1", 0), fate) as listener:
        catalog = MortalCatalog.in_file(folder / "catalog.db")
        catalog.fate = fate
        ports = room.serve(door)
        clinical = MortalObjects(folder / "zones" / "clinical", fate)
        ports = replace(ports, catalog=catalog, objects={**ports.objects, Zone.CLINICAL: clinical})
        with Reception(ports) as reception:
            stop = OPEN[door](ports, reception, listener)
            ready.write(b"%d\n" % listener.getsockname()[1])
            ready.flush()
            signal.sigwait({signal.SIGTERM})
            stop()
        catalog.close()
    ready.write(json.dumps(fate.met).encode() + b"\n")
    ready.flush()


def _dimse(ports: Ports, reception: Reception, listener: socket.socket) -> Callable[[], None]:
    door = Door(ports, reception, Network(), Endpoint("FILMROOM", "127.0.0.1", 0))
    door.start(listener)
    return door.stop


def _http(ports: Ports, reception: Reception, listener: socket.socket) -> Callable[[], None]:
    door = WebDoor(ports, reception, Address("127.0.0.1", 0))
    door.start(listener)
    return door.stop


OPEN = {"dimse": _dimse, "http": _http}


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        told, tells = os.pipe()
        process = os.fork()
        if not process:
            try:
                with os.fdopen(tells, "wb") as ready:
                    live(Path(asked["room"]), asked["door"], Fate(Point(**asked["point"])), ready)
            finally:
                os._exit(0 if sys.exc_info()[0] is None else 1)
        os.close(tells)
        with os.fdopen(told) as pipe:
            print(pipe.readline().strip(), flush=True)
            sys.stdin.readline()
            os.kill(process, signal.SIGTERM)
            _, status = os.waitpid(process, 0)
            met = json.loads(pipe.readline() or "{}")
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "met": met}), flush=True)


def order(room: Path, door: str, point: Point) -> str:
    """Return the line that asks for a life."""
    return json.dumps({"room": str(room), "door": door, "point": asdict(point)}) + "\n"


if __name__ == "__main__":
    main()
