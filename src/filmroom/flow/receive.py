"""import: a delivery of files, folders, archives or stored objects comes in, and every object of it is accounted for.

Interrupted, and run again, the same delivery finds what it had stored as duplicates.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, starmap
from pathlib import Path
from types import MappingProxyType

from filmroom.errors import Invalid, NotFound
from filmroom.flow.reception import GROUP_BYTES, GROUP_OBJECTS, Arrived, Receipt, Reception, Staged
from filmroom.ids import Digest
from filmroom.ingest import sources
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
    announced = set(_read_manifest(manifest) if manifest else ())
    total = sources.count(paths) if not stores else None
    with Reception(ports) as reception:
        delivery = reception.open(source, expected=expect)
        with ports.progress.task("import", total) as advance:
            arrivals = chain(_from_paths(paths), *starmap(_from_store, stores.items()))
            for staged in _one_ahead(reception.stage(delivery, group) for group in _groups(arrivals)):
                rows = reception.take_staged(staged)
                announced.difference_update(row.digest for row in rows)
                advance(len(rows))
        return reception.finish(delivery, announced=frozenset(announced))


def _one_ahead(staged: Iterator[Staged]) -> Iterator[Staged]:
    """Yield each group when the next one is decided about: its bytes are being written meanwhile."""
    before: Staged | None = None
    for each in staged:
        if before is not None:
            yield before
        before = each
    if before is not None:
        yield before


def _from_paths(paths: Sequence[Path]) -> Iterator[Arrived]:
    for arrival in sources.arrivals(paths):
        problem = arrival.problem
        if arrival.data is None and problem is None:
            problem = _NO_BYTES
        yield Arrived(arrival.name, arrival.data or b"", problem)


def _from_store(location: str, store: Objects) -> Iterator[Arrived]:
    """Yield every object of a store; archives in it are not opened."""
    for name in sorted(store.names("")):
        try:
            yield Arrived(f"{location.rstrip('/')}/{name}", store.get(name))
        except NotFound:
            yield Arrived(f"{location.rstrip('/')}/{name}", b"", _NO_BYTES)


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


def _read_manifest(path: Path) -> frozenset[Digest]:
    """Read announced digests: `sha256sum` lines, or a digest a line."""
    try:
        lines = path.read_text("utf-8").splitlines()
        return frozenset(Digest.parse(line.split()[0]) for line in lines if line.strip())
    except (OSError, UnicodeDecodeError, Invalid):
        raise Invalid(
            "the manifest cannot be read", "give a text file with a SHA-256 digest at each line's start"
        ) from None
