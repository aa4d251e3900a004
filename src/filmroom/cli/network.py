"""serve, retrieve: the room's doors to the network, and objects out of it by hand."""

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from filmroom.cli.session import DONE, FAILED, Session
from filmroom.errors import FilmroomError, Invalid, NotFound
from filmroom.flow.reception import Reception
from filmroom.ports import Ports
from filmroom.records import Level


def add_to(app: typer.Typer) -> None:
    app.command("serve")(serve)
    app.command("retrieve")(retrieve)


def serve(
    context: typer.Context,
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Listen for DICOMweb here; port 0 takes any.")] = "",
    insecure_open: Annotated[
        bool, typer.Option("--insecure-open", help="Listen beyond this machine although nobody has to identify.")
    ] = False,
) -> int:
    """Listen until Ctrl-C or SIGTERM, then finish what is open; prints a line for each listener when it is ready."""
    session: Session = context.obj
    if not http:
        raise Invalid("there is nothing to listen for", "give --http HOST:PORT")
    with session.open() as room:
        ports = room.serve("http")
        with Reception(ports) as reception:
            stop = _start_http(ports, reception, http, insecure_open)
            try:
                _wait_for_signal()
            finally:
                stop()
    return DONE


def retrieve(
    context: typer.Context,
    uids: Annotated[list[str], typer.Argument(metavar="UID...", help="Study, series or SOP Instance UIDs.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new or empty folder for the files.")],
    level: Annotated[Level, typer.Option(help="What the UIDs name: study, series or instance.")] = Level.STUDY,
) -> int:
    """Write the current objects to files, as they were received and with everything that names the patient."""
    session: Session = context.obj
    if level is Level.PATIENT:
        raise Invalid("patients have no UID", "name studies, series or instances")
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise Invalid("the folder is not empty", "name a new one")
    with session.open() as room:
        retrieval = room.retrieve(uids, level=level, to="files")
        sent = failed = 0
        for held in retrieval.objects:
            try:
                (out / f"{held.digest.hex}.dcm").write_bytes(retrieval.content(held))
            except FilmroomError:
                failed += 1
            else:
                sent += 1
        retrieval.finish(sent=sent, failed=failed)
    if not retrieval.objects:
        raise NotFound("the room has no current object with these UIDs", "`filmroom query` finds what there is")
    session.answer({"written": sent, "failed": failed, "out": str(out)})
    return FAILED if failed else DONE


def _start_http(ports: Ports, reception: Reception, text: str, is_open: bool) -> Callable[[], None]:
    """Start the DICOMweb door, say where it is, and return what stops it."""
    # FastAPI takes long to import, and belongs to the extra `server`
    try:
        from filmroom.web.server import Door, parse_address
    except ImportError:
        raise Invalid("DICOMweb is not installed", 'pip install "filmroom[server]"') from None
    door = Door(ports, reception, parse_address(text, is_open=is_open))
    ready = door.start()
    sys.stdout.write(f"http {ready}\n")
    sys.stdout.flush()
    return door.stop


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
