"""import: a delivery of files, folders, archives or stored objects comes in, and every object of it is accounted for.

Interrupted, and run again, the same delivery finds what it had stored as duplicates.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from filmroom.errors import Invalid, NotFound
from filmroom.flow.reception import GROUP_BYTES, GROUP_OBJECTS, Arrived, Receipt, Reception, Staged
from filmroom.ingest import sources
from filmroom.ingest.manifest import Manifest
from filmroom.ports import Objects, Ports
from filmroom.records import Reason

_NO_BYTES = Reason("unreadable", "the source did not give its bytes")


def receive(
    ports: Ports,
    paths: Sequence[Path],
    *,
    source: str,
    expect: int | None = None,
    manifest: Path | None = None,
    stores: Mapping[str, Objects] = MappingProxyType({}),
) -> Receipt:
    """Take in files, folders and archives, and every object of `stores`, which are named by their locations.

    Raises NotFound for a path that is not there, before anything is taken.
    """
    announced = _read_manifest(manifest) if manifest else Manifest(())
    total = sources.count(paths) if not stores else None
    with Reception(ports) as reception:
        delivery = reception.open(source, expected=expect)
        with ports.progress.task("import", total) as advance:
            stored = (_from_store(*each, announced) for each in stores.items())
            arrivals = chain(_from_paths(paths, announced), *stored)
            for staged in _one_ahead(reception.stage(delivery, group) for group in _groups(arrivals)):
                advance(len(reception.take_staged(staged)))
        return reception.finish(
            delivery, announced=announced.missing_digests(), discrepancies=announced.discrepancies()
        )


def _one_ahead(staged: Iterator[Staged]) -> Iterator[Staged]:
    """Yield each group when the next one is decided about: its bytes are being written meanwhile."""
    before: Staged | None = None
    for each in staged:
        if before is not None:
            yield before
        before = each
    if before is not None:
        yield before


def _from_paths(paths: Sequence[Path], announced: Manifest) -> Iterator[Arrived]:
    for arrival in sources.arrivals(paths):
        if arrival.data is None:
            yield Arrived(arrival.name, b"", arrival.problem or _NO_BYTES)
        else:
            # A list is made beside the folder or in it: its names begin with the folder's or below it.
            names = (arrival.name, arrival.name.partition("/")[2])
            yield Arrived(arrival.name, arrival.data, doubt=announced.tick(names, arrival.data))


def _from_store(location: str, store: Objects, announced: Manifest) -> Iterator[Arrived]:
    """Yield every object of a store; archives in it are not opened."""
    for name in sorted(store.names("")):
        label = f"{location.rstrip('/')}/{name}"
        try:
            data = store.get(name)
        except NotFound:
            yield Arrived(label, b"", _NO_BYTES)
        else:
            yield Arrived(label, data, doubt=announced.tick((label, name), data))


def _groups(arrivals: Iterable[Arrived]) -> Iterator[list[Arrived]]:
    """Hand arrivals on in groups that are small in number and in bytes."""
    group: list[Arrived] = []
    size = 0
    for arrived in arrivals:
        group.append(arrived)
        size += len(arrived.data)
        if len(group) >= GROUP_OBJECTS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise Invalid("the manifest cannot be read", "give a text file as sha256sum prints it") from None
