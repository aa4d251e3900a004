"""import: a delivery of files, folders and archives comes in, and every object of it is accounted for.

Interrupted, and run again, the same delivery finds what it had stored as duplicates.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from filmroom.errors import Invalid
from filmroom.flow.reception import GROUP_BYTES, GROUP_OBJECTS, Arrived, Receipt, Reception
from filmroom.ids import Digest
from filmroom.ingest import sources
from filmroom.ports import Ports
from filmroom.records import Reason


def receive(
    ports: Ports,
    paths: Sequence[Path],
    *,
    source: str,
    expect: int | None = None,
    manifest: Path | None = None,
) -> Receipt:
    """Take in files, folders and archives. Raises NotFound for a path that is not there, before anything is taken."""
    announced = set(_read_manifest(manifest) if manifest else ())
    total = sources.count(paths)
    with Reception(ports) as reception:
        delivery = reception.open(source, expected=expect)
        with ports.progress.task("import", total) as advance:
            for group in _groups(sources.arrivals(paths)):
                rows = reception.take_all(delivery, group)
                announced.difference_update(row.digest for row in rows)
                advance(len(rows))
        return reception.finish(delivery, announced=frozenset(announced))


def _groups(arrivals: Iterable[sources.Arrival]) -> Iterator[list[Arrived]]:
    """Hand arrivals on in groups that are small in number and in bytes."""
    group: list[Arrived] = []
    size = 0
    for arrival in arrivals:
        problem = arrival.problem
        if arrival.data is None and problem is None:
            problem = Reason("unreadable", "the source did not give its bytes")
        group.append(Arrived(arrival.name, arrival.data or b"", problem))
        size += len(group[-1].data)
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
