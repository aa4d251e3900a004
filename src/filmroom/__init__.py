"""filmroom: the governed road from a hospital's image archive to the training loop.

`open` gives a room, whose methods are the verbs; `load` gives the samples of a snapshot through a lease. Both need the room's
folder, its keys too, and the extra `room`. Importing this module loads nothing.
"""

import weakref
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filmroom.ids import Digest
    from filmroom.loader.data import Data
    from filmroom.wiring import Room

__version__ = "0.1.0"
__all__ = ["__version__", "load", "open"]


def open(room: "str | Path", *, actor: "str | None" = None) -> "Room":
    """Open the room in a folder, as its owner or as `actor`. Raises NoRoom where there is none, Unavailable where this
    installation cannot open rooms.
    """
    try:
        from filmroom.wiring import open_room
    except ModuleNotFoundError as error:
        from filmroom.errors import Unavailable

        raise Unavailable(
            f"a room needs {error.name}, which is not installed", "pip install 'filmroom[room]'"
        ) from None
    return open_room(_folder(room), actor=actor)


def load(
    snapshot: str,
    *,
    room: "str | Path",
    lease: str,
    split: "str | None" = None,
    recipe: "Digest | None" = None,
    threads: int = 2,
) -> "Data":
    """Open the samples of a snapshot (`chest-ct@1`) through a lease's token.

    `split` picks one part, `recipe` one of several shardsets (the newest otherwise), `threads` read and decode ahead.
    Raises LeaseEnded, Denied, or NotFound where nothing was built.
    """
    opened = open(room)
    try:
        data = opened.load(snapshot, lease=lease, split=split, recipe=recipe, threads=threads)
    except BaseException:
        opened.close()
        raise
    # The room stays open for as long as somebody holds the data, and no longer.
    weakref.finalize(data, opened.close)
    return data


def _folder(room: "str | Path") -> Path:
    if "://" in str(room):
        from filmroom.errors import Invalid

        raise Invalid("rooms at a network address cannot be used from here yet", "give the room's folder")
    return Path(room)
