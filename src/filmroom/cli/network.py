"""serve, pull, retrieve: the room's doors to the network, its way to other archives, and objects out of it by hand."""

import fcntl
import gc
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated

import typer

from filmroom.cli.processes import Stop, run
from filmroom.cli.session import DONE, FAILED, Session
from filmroom.errors import FilmroomError, Invalid, NotFound, Unavailable
from filmroom.flow.readback import keep_scrubbing
from filmroom.flow.reception import Reception
from filmroom.ports import Ports
from filmroom.records import Level


def add_to(app: typer.Typer) -> None:
    app.command("serve")(serve)
    app.command("pull")(pull)
    app.command("retrieve")(retrieve)


def serve(
    context: typer.Context,
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Listen for DICOMweb here; port 0 takes any.")] = "",
    dimse: Annotated[str, typer.Option(metavar="AET@HOST:PORT", help="Listen for the DICOM network here.")] = "",
    insecure_open: Annotated[
        bool, typer.Option("--insecure-open", help="Let --http listen beyond this machine although nobody logs in.")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="Receive in so many processes, each with its share of the callers.")
    ] = 1,
    scrub_every: Annotated[
        float, typer.Option(metavar="HOURS", help="Read stored objects back every so often; 0 for never.", min=0)
    ] = 0,
) -> int:
    """Listen until Ctrl-C or SIGTERM, then finish what is open; prints a line for each listener when it is ready."""
    session: Session = context.obj
    if not (http or dimse):
        raise Invalid("there is nothing to listen for", "give --dimse AET@HOST:PORT or --http HOST:PORT")
    doors: list[_Door] = []
    if dimse:
        doors.append(_dimse(session, dimse))
    if http:
        doors.append(_http(http, insecure_open))

    def work(stop: Stop, ready: Callable[[], None]) -> int:
        with session.open() as room, ExitStack() as stack:
            opened = [(door, room.serve(door.name)) for door in doors]
            reception = stack.enter_context(Reception(opened[0][1]))
            for door, ports in opened:
                stack.callback(door.start(ports, reception))
            if scrub_every:
                stack.callback(_start_scrubbing(room.serve("scrub"), scrub_every, turn))
            gc.freeze()  # what is loaded by now stays; looking through it again and again would stop every door
            ready()
            stop.wait()
        return DONE

    def say() -> None:
        for door in doors:
            sys.stdout.write(f"{door.name} {door.where}\n")
        sys.stdout.flush()

    with TemporaryFile() as turn:
        try:
            return run(work, processes, say)
        finally:
            for door in doors:
                door.listener.close()


def pull(
    context: typer.Context,
    source: Annotated[str, typer.Option("--from", metavar="AE@HOST:PORT", help="The archive to fetch from.")],
    where: Annotated[list[str], typer.Option(metavar="KEYWORD=VALUE", help="What to fetch; give it once or more.")],
    window: Annotated[str, typer.Option(metavar="HH:MM-HH:MM", help="Only at these hours, local time.")] = "",
    rate: Annotated[str, typer.Option(metavar="N/s", help="At most so many objects a second.")] = "",
    title: Annotated[str, typer.Option("--as-aet", help="The AE title to call as.")] = "FILMROOM",
    move_to: Annotated[str, typer.Option(help="Use C-MOVE to this AE title, a listener of this room.")] = "",
) -> int:
    """Fetch series from another archive and say what is missing; run it again to go on."""
    session: Session = context.obj
    with _network_library():
        from filmroom.dimse.config import Endpoint, check_title, read_network
        from filmroom.dimse.pull import Wanted, Window, keys_of
        from filmroom.dimse.pull import pull as pull_from
    wanted = Wanted(
        keys=keys_of(where),
        title=check_title(title),
        move_to=check_title(move_to) if move_to else "",
        rate=_rate(rate),
        window=Window.parse(window) if window else None,
    )
    with session.open() as room, Reception(ports := room.serve("pull")) as reception:
        pulled = pull_from(ports, reception, read_network(session.room), Endpoint.parse(source), wanted)
    session.answer(replace(pulled, series=tuple(each for each in pulled.series if each.state != "complete")))
    return DONE if pulled.is_complete else FAILED


def retrieve(
    context: typer.Context,
    uids: Annotated[list[str], typer.Argument(metavar="UID...", help="Study, series or SOP Instance UIDs.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new or empty folder for the files.")],
    level: Annotated[Level, typer.Option(help="What the UIDs name: study, series or instance.")] = Level.STUDY,
) -> int:
    """Write the current objects to files, as they were received and with everything that names the patient."""
    session: Session = context.obj
    if level in (Level.PATIENT, Level.FILE):
        raise Invalid("patients and image files have no UID", "name studies, series or instances")
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise Invalid("the folder is not empty", "name a new one")
    with session.open() as room, room.retrieve(uids, level=level, to="files") as retrieval:
        for stored in retrieval.objects:
            with suppress(FilmroomError):
                _write(out / f"{stored.digest.hex}.dcm", retrieval.pieces(stored))
                retrieval.sent += 1
    if not retrieval.objects:
        raise NotFound("the room has no current object with these UIDs", "`filmroom query` finds what there is")
    failed = len(retrieval.objects) - retrieval.sent
    session.answer({"written": retrieval.sent, "failed": failed, "out": str(out)})
    return FAILED if failed else DONE


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    """Write a file, or none when its bytes cannot be had to the end."""
    try:
        with path.open("wb") as file:
            file.writelines(pieces)
    except FilmroomError:
        path.unlink()
        raise


@dataclass(frozen=True, slots=True)
class _Door:
    """A listener that is bound already: its protocol, where it is, and how to begin to answer."""

    name: str
    where: str
    listener: socket.socket
    start: Callable[[Ports, Reception], Callable[[], None]]


def _dimse(session: Session, text: str) -> _Door:
    with _network_library():
        from filmroom.dimse.config import Endpoint, read_network
        from filmroom.dimse.serve import Door
    network, asked = read_network(session.room), Endpoint.parse(text)
    listener = _listen(asked.host, asked.port)
    endpoint = replace(asked, port=int(listener.getsockname()[1]))

    def start(ports: Ports, reception: Reception) -> Callable[[], None]:
        door = Door(ports, reception, network, endpoint)
        door.start(listener)
        return door.stop

    return _Door("dimse", str(endpoint), listener, start)


def _http(text: str, is_open: bool) -> _Door:
    with _network_library():
        from filmroom.web.server import Address, Door, parse_address
    asked = parse_address(text, is_open=is_open)
    listener = _listen(asked.host, asked.port)
    address = Address(asked.host, int(listener.getsockname()[1]))

    def start(ports: Ports, reception: Reception) -> Callable[[], None]:
        door = Door(ports, reception, address)
        door.start(listener)
        return door.stop

    return _Door("http", address.url, listener, start)


def _listen(host: str, port: int) -> socket.socket:
    """Bind and listen. Raises Unavailable when the address cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        return socket.create_server(where[:2], family=family, backlog=128)
    except OSError:
        raise Unavailable("the address cannot be listened on", "choose another port, or end who has it") from None


def _start_scrubbing(ports: Ports, hours: float, turn: IO[bytes]) -> Callable[[], None]:
    """Scrub beside the listeners, in the one process that has the lock on `turn`; return what stops it."""
    asked = threading.Event()

    def has_turn() -> bool:
        try:
            fcntl.lockf(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the process has it until it ends
        except OSError:
            return False
        return True

    def complain(what: str) -> None:
        sys.stderr.write(f"{what}\n")

    thread = threading.Thread(target=keep_scrubbing, args=(ports, hours, asked.wait, has_turn, complain))
    thread.start()

    def stop() -> None:
        asked.set()
        thread.join()

    return stop


@contextmanager
def _network_library() -> Iterator[None]:
    """An embedded room needs no network: what the doors are made of is asked for only here."""
    try:
        yield
    except ModuleNotFoundError:
        raise Unavailable("this installation has no doors to a network", "pip install 'filmroom[server]'") from None


def _rate(text: str) -> float:
    number = text.removesuffix("/s")
    try:
        rate = float(number) if number else 0.0
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1e6:
        raise Invalid("a rate is written N/s", "write for example 10/s")
    return rate
