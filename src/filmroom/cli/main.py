"""The `filmroom` command."""

import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from filmroom import __version__
from filmroom.cli import access, archive, cohort, datasets, demo, evidence, ingest, network, profiles, quality, research
from filmroom.cli.session import FAILED, INTERRUPTED, UNAVAILABLE, USAGE, Session, exit_code
from filmroom.errors import FilmroomError, Invalid
from filmroom.settings import Environment

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="The governed road from a hospital's image archive to the training loop.",
)
for part in (ingest, network, archive, quality, research, profiles, cohort, datasets, access, evidence, demo):
    part.add_to(app)

_SWITCHES = ("--json", "--debug")
_VALUES = ("--room", "--as")


@app.callback()
def session(
    context: typer.Context,
    room: Annotated[str, typer.Option(help="The room's folder; else FILMROOM_ROOM, else ./room.")] = "",
    act_as: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Act as another identity; both names are written down.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")] = False,
    debug: Annotated[bool, typer.Option(help="Show where an error came from.")] = False,
) -> None:
    """Options that every command takes, before or after its name."""
    where = room or Environment().room
    if "://" in where:
        raise Invalid("rooms at a network address cannot be used from here yet", "give the room's folder")
    context.obj = Session(room=Path(where), actor=act_as, as_json=as_json, debug=debug)


@app.command()
def version(context: typer.Context) -> None:
    """Print the version."""
    session: Session = context.obj
    session.answer({"version": __version__}, lambda: typer.echo(__version__))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status: 0 done, 1 failed, 2 usage, 3 not permitted, 4 unavailable."""
    given = _globals_first(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        status = app(given, standalone_mode=False)
    except FilmroomError as error:
        _complain(error.code, str(error), debug="--debug" in given)
        sys.exit(exit_code(error))
    except TyperException as error:
        _complain("usage", error.format_message(), debug="--debug" in given)
        sys.exit(USAGE)
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted", "stopped before the end; run it again to go on", debug=False)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _leave_stdout_alone()
        sys.exit(FAILED)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unknown error"
        _complain(
            "unavailable", f"a file cannot be read or written: {reason}; check its folder", debug="--debug" in given
        )
        sys.exit(UNAVAILABLE)
    except Exception as error:  # noqa: BLE001 - the last answer: one line, and nothing that a value could be in
        _complain("defect", f"{type(error).__name__}; please report it with --debug's output", debug="--debug" in given)
        sys.exit(FAILED)
    if status == INTERRUPTED:
        _complain("interrupted", "stopped before the end; run it again to go on", debug=False)
    sys.exit(status if isinstance(status, int) else 0)


def _leave_stdout_alone() -> None:
    """Nobody reads any more; the interpreter's last flush would complain about that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(code: str, what: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error[{code}]: {' '.join(what.split())}\n")


def _globals_first(arguments: list[str]) -> list[str]:
    """Move the options that every command takes to the front, wherever they were given."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            return [*front, *rest, word, *words]
        if word in _SWITCHES or word.startswith(tuple(f"{name}=" for name in _VALUES)):
            front.append(word)
        elif word in _VALUES:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        else:
            rest.append(word)
    return [*front, *rest]
