"""serve, pull: the room's doors to the network, and its way to other archives."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Annotated

import typer

from filmroom.cli.session import DONE, FAILED, Session
from filmroom.errors import Invalid, Unavailable
from filmroom.flow.reception import Reception
from filmroom.ports import Ports


def add_to(app: typer.Typer) -> None:
    app.command("serve")(serve)
    app.command("pull")(pull)


def serve(
    context: typer.Context,
    dimse: Annotated[str, typer.Option(metavar="AET@HOST:PORT", help="Listen for DICOM here.")] = "",
) -> int:
    """Listen until Ctrl-C or SIGTERM, then finish what is open; prints a line for each listener when it is ready."""
    session: Session = context.obj
    with session.open() as room, Reception(room.ports) as reception:
        stops: list[Callable[[], None]] = []
        try:
            if dimse:
                stops.append(_start_dimse(session, room.ports, reception, dimse))
            if not stops:
                raise Invalid("there is nothing to listen for", "give --dimse AE@HOST:PORT")
            _wait_for_signal()
        finally:
            for stop in reversed(stops):
                stop()
    return DONE


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
    with session.open() as room, Reception(room.ports) as reception:
        pulled = pull_from(room.ports, reception, read_network(session.room), Endpoint.parse(source), wanted)
    session.answer(replace(pulled, series=tuple(each for each in pulled.series if each.state != "complete")))
    return DONE if pulled.is_complete else FAILED


def _start_dimse(session: Session, ports: Ports, reception: Reception, text: str) -> Callable[[], None]:
    with _network_library():
        from filmroom.dimse.config import Endpoint, read_network
        from filmroom.dimse.serve import Door
    door = Door(ports, reception, read_network(session.room), Endpoint.parse(text))
    ready = door.start()
    sys.stdout.write(f"dimse {ready}\n")
    sys.stdout.flush()
    return door.stop


@contextmanager
def _network_library() -> Iterator[None]:
    """An embedded room needs no network, so pynetdicom is asked for only here."""
    try:
        yield
    except ModuleNotFoundError:
        raise Unavailable("this installation has no DICOM network", "pip install 'filmroom[server]'") from None


def _wait_for_signal() -> None:
    """Return on Ctrl-C or SIGTERM."""
    asked = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()

    before = [(each, signal.signal(each, stop)) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        asked.wait()
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _rate(text: str) -> float:
    number = text.removesuffix("/s")
    try:
        rate = float(number) if number else 0.0
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1e6:
        raise Invalid("a rate is written N/s", "write for example 10/s")
    return rate
