"""import: a delivery of files, folders, archives or stored objects comes in, and every object of it is accounted for.

Interrupted, and run again, the same delivery finds what it had stored as duplicates.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, product
from pathlib import Path
from types import MappingProxyType

from filmroom.dicom.directory import read_directory
from filmroom.errors import Invalid, NotFound
from filmroom.flow.gather import Gathering, close
from filmroom.flow.reception import GROUP_BYTES, GROUP_OBJECTS, Arrived, Delivery, Receipt, Reception, Staged
from filmroom.ingest import sources
from filmroom.ingest.manifest import Manifest
from filmroom.ingest.media import Medium
from filmroom.ingest.sidecar import MAX_BYTES, sidecar_name, volume_names
from filmroom.ingest.sniff import kind
from filmroom.ports import Content, Objects, Ports
from filmroom.records import Beside, Discrepancy, Reason

_PIECE = 1 << 20
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
    announced = _Announced(_read_manifest(manifest) if manifest else Manifest(()))
    total = sources.count(paths) if not stores else None
    with Reception(ports) as reception:
        delivery = reception.open(source, expected=expect)
        with ports.progress.task("import", total) as advance:
            stored = (_from_store(*each, announced) for each in stores.items())
            arrivals = chain(_from_paths(ports, paths, announced), *stored)
            staging = ((group, reception.stage(delivery, group)) for group in in_groups(arrivals))
            for group, staged in _one_ahead(staging):
                advance(len(reception.take_staged(staged)))
                for arrived in group:
                    close(arrived.data)
        return reception.finish(
            delivery,
            announced=announced.manifest.missing_digests(),
            discrepancies=[*announced.manifest.discrepancies(), *_reconciled(ports, delivery, announced.media)],
        )


def _one_ahead(staged: Iterator[tuple[list[Arrived], Staged]]) -> Iterator[tuple[list[Arrived], Staged]]:
    """Yield each group when the next one is decided about: its bytes are being written meanwhile."""
    before: tuple[list[Arrived], Staged] | None = None
    for each in staged:
        if before is not None:
            yield before
        before = each
    if before is not None:
        yield before


@dataclass(frozen=True, slots=True)
class _Announced:
    """What the sender says should come: a manifest, and the directories of media, which come among the objects."""

    manifest: Manifest
    media: list[Medium] = field(default_factory=list)

    def look(
        self, label: str, names: Sequence[str], data: Content, sidecar: bytes, problem: Reason | None = None
    ) -> Arrived:
        """Compare an object with what was announced under its names."""
        if isinstance(data, bytes) and kind(data) == "dicomdir":
            self.media.append(Medium(label, read_directory(data)))
        doubt = self.manifest.tick(names, data)
        return Arrived(label, data, problem, doubt=doubt, beside=Beside(label, sidecar))


def _from_paths(ports: Ports, paths: Sequence[Path], announced: _Announced) -> Iterator[Arrived]:
    for arrival in sources.arrivals(paths):
        data: Content | None = arrival.data
        if arrival.large is not None:
            data = _read_large(ports, arrival.large)
        if data is None:
            yield Arrived(arrival.name, b"", arrival.problem or _NO_BYTES)
        else:
            # A list is made beside the folder or in it: its names begin with the folder's or below it.
            names = (arrival.name, arrival.name.partition("/")[2])
            yield announced.look(arrival.name, names, data, arrival.sidecar, arrival.problem)


def _read_large(ports: Ports, path: Path) -> Content | None:
    """Read a file piece by piece; None when it cannot be read to its end. Raises Unavailable when there is no room."""
    whole = Gathering(ports.spools)
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                whole.append(piece)
    except OSError:
        whole.close()
        return None
    except BaseException:
        whole.close()
        raise
    return whole.content()


def _from_store(location: str, store: Objects, announced: _Announced) -> Iterator[Arrived]:
    """Yield every object of a store; archives in it are not opened."""
    names = set(store.names(""))
    for name in sorted(names):
        label = f"{location.rstrip('/')}/{name}"
        try:
            data = store.get(name)
            beside = sidecar_name(name)
            has_sidecar = beside in names and store.size(beside) <= MAX_BYTES
            sidecar = store.get(beside) if beside is not None and has_sidecar else b""
        except NotFound:
            yield Arrived(label, b"", _NO_BYTES)
        else:
            is_sidecar = kind(data) == "text" and not names.isdisjoint(volume_names(name))
            yield announced.look(label, (label, name), data, sidecar, sources.SIDECAR if is_sidecar else None)


def _reconciled(ports: Ports, delivery: Delivery, media: Sequence[Medium]) -> Iterator[Discrepancy]:
    """Compare what media say that they hold with the batch's ledger and the catalog."""
    if not media:
        return
    with ports.catalog.read() as tx:
        ledger = tx.batches.ledger(delivery.batch.id)
        while rows := list(islice(ledger, GROUP_OBJECTS)):
            known = tx.instances.some([row.digest for row in rows])
            for medium, row in product(media, rows):
                if medium.announces(row.name):
                    medium.tick(row.name, known[row.digest].sop_uid if row.digest in known else "")
    for medium in media:
        yield from medium.discrepancies()


def in_groups(arrivals: Iterable[Arrived]) -> Iterator[list[Arrived]]:
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
