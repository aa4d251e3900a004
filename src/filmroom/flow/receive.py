"""import: a delivery of files, folders, archives or stored objects comes in, and every object of it is accounted for.

Interrupted, and run again, the same delivery finds what it had stored as duplicates.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar

from filmroom.dicom.directory import read_directory
from filmroom.errors import Invalid, KeyGone, NotFound
from filmroom.flow.gather import Gathering, close
from filmroom.flow.reception import GROUP_BYTES, GROUP_OBJECTS, Arrived, Delivery, Judged, Receipt, Reception, Staged
from filmroom.ingest import sources
from filmroom.ingest.manifest import Manifest
from filmroom.ingest.media import Medium, announcing
from filmroom.ingest.sidecar import MAX_BYTES, sidecar_name, volume_names
from filmroom.ingest.sniff import kind
from filmroom.ingest.sources import Unread
from filmroom.ports import Content, Objects, Ports
from filmroom.records import Beside, Discrepancy, LedgerRow, Reason

_T = TypeVar("_T")
_PIECE = 1 << 20
_NO_BYTES = Reason("unreadable", "the source did not give its bytes")


_Arriving = TypeVar("_Arriving", bound=Arrived | Unread)


class Helpers(Protocol):
    """Other processes that have the room open, for staging groups of files."""

    @property
    def count(self) -> int: ...

    def stage(self, delivery: Delivery, group: Sequence[Arrived | Unread]) -> Future[Sequence[Judged]]:
        """Do what `stage_and_write` does, elsewhere."""
        ...


def receive(
    ports: Ports,
    paths: Sequence[Path],
    *,
    source: str,
    expect: int | None = None,
    manifest: Path | None = None,
    stores: Mapping[str, Objects] = MappingProxyType({}),
    helpers: Helpers | None = None,
) -> Receipt:
    """Take in files, folders and archives, and every object of `stores`, which are named by their locations.

    `helpers` read and stage the DICOM files of folders, unless a manifest has to be compared with them. Raises NotFound
    for a path that is not there, before anything is taken.
    """
    announced = _Announced(_read_manifest(manifest) if manifest else Manifest(()))
    helpers = None if manifest else helpers
    total = sources.count(paths) if not stores else None
    arrivals = sources.arrivals(paths, sources.Limits(leave_dicom=helpers is not None))
    with Reception(ports) as reception:
        delivery = reception.open(source, expected=expect)
        with ports.progress.task("import", total) as advance:
            stored = (_from_store(*each, announced) for each in stores.items())
            may_leave = helpers is not None
            groups = in_groups(chain(_from_paths(ports, arrivals, announced, may_leave), *stored))
            staging = (_begin(ports, reception, delivery, group, helpers) for group in groups)
            for staged in _ahead(staging, 2 * helpers.count if helpers else 1):
                rows = _take(reception, staged)
                staged.close()
                advance(len(rows))
        return reception.finish(
            delivery,
            announced=announced.manifest.missing_digests(),
            discrepancies=[*announced.manifest.discrepancies(), *_reconciled(ports, delivery, announced.media)],
        )


def stage_and_write(
    ports: Ports, reception: Reception, delivery: Delivery, group: Sequence[Arrived | Unread]
) -> Sequence[Judged]:
    """Read what is unread, decide about each object, and return when their bytes are durable."""
    staged = _Here(ports, reception, delivery, group)
    try:
        return staged.result().written()
    finally:
        staged.close()


class _Here:
    """A group that is being staged in this process."""

    def __init__(
        self, ports: Ports, reception: Reception, delivery: Delivery, group: Sequence[Arrived | Unread]
    ) -> None:
        self._group = [_read(ports, each) if isinstance(each, Unread) else each for each in group]
        self._reception, self._delivery = reception, delivery
        self._staged = reception.stage(delivery, self._group)

    def result(self) -> Staged:
        return self._staged

    def again(self) -> Staged:
        """Stage the same objects anew."""
        return self._reception.stage(self._delivery, self._group)

    def close(self) -> None:
        for arrived in self._group:
            close(arrived.data)


@dataclass(slots=True)
class _Elsewhere:
    """A group that a helper is staging; `here` stages it in this process."""

    delivery: Delivery
    judged: Future[Sequence[Judged]]
    here: Callable[[], _Here]
    _again: _Here | None = None

    def result(self) -> Staged:
        return Staged([replace(each, delivery=self.delivery) for each in self.judged.result()], ())

    def again(self) -> Staged:
        """Stage the same files anew, here, where it is known by now whose keys are gone."""
        self._again = self.here()
        return self._again.result()

    def close(self) -> None:
        if self._again is not None:
            self._again.close()


def _begin(
    ports: Ports,
    reception: Reception,
    delivery: Delivery,
    group: Sequence[Arrived | Unread],
    helpers: Helpers | None,
) -> _Here | _Elsewhere:
    if helpers is None or not any(isinstance(each, Unread) for each in group):
        return _Here(ports, reception, delivery, group)
    return _Elsewhere(delivery, helpers.stage(delivery, group), partial(_Here, ports, reception, delivery, group))


def _take(reception: Reception, staged: _Here | _Elsewhere) -> list[LedgerRow]:
    try:
        return reception.take_staged(staged.result())
    except KeyGone:
        return reception.take_staged(staged.again())


def _ahead(staging: Iterator[_T], most: int) -> Iterator[_T]:
    """Yield each group when so many more were begun: their bytes are being read and written meanwhile."""
    begun: deque[_T] = deque()
    for each in staging:
        begun.append(each)
        if len(begun) > most:
            yield begun.popleft()
    yield from begun


@dataclass(frozen=True, slots=True)
class _Announced:
    """What the sender says should come: a manifest, and the directories of media, which come among the objects."""

    manifest: Manifest
    media: list[Medium] = field(default_factory=list)

    def look(
        self, label: str, names: Sequence[str], data: Content, sidecar: bytes, problem: Reason | None = None
    ) -> Arrived:
        """Compare an object with what was announced under its names."""
        if kind(data) == "dicomdir":
            self.media.append(Medium(label, read_directory(data)))
        doubt = self.manifest.tick(names, data)
        return Arrived(label, data, problem, doubt=doubt, beside=Beside(label, sidecar))


def _from_paths(
    ports: Ports, arrivals: Iterator[sources.Arrival], announced: _Announced, may_leave: bool
) -> Iterator[Arrived | Unread]:
    for arrival in arrivals:
        content: Content | None = arrival.data
        problem, unread = arrival.problem, arrival.unread
        if unread is not None:
            if may_leave and unread.is_dicom:
                yield unread
                continue
            read = _read(ports, unread)
            content, problem = (read.data, None) if read.problem is None else (None, read.problem)
        if content is None:
            yield Arrived(arrival.name, b"", problem or _NO_BYTES)
        else:
            # A list is made beside the folder or in it: its names begin with the folder's or below it.
            names = (arrival.name, arrival.name.partition("/")[2])
            yield announced.look(arrival.name, names, content, arrival.sidecar, problem)


def _read(ports: Ports, unread: Unread) -> Arrived:
    """Read a file piece by piece. Raises Unavailable when there is no room for it."""
    try:
        with Gathering(ports.spools) as whole, unread.path.open("rb") as file:
            while piece := file.read(_PIECE):
                whole.append(piece)
            return Arrived(unread.name, whole.content())
    except OSError:
        return Arrived(unread.name, b"", sources.FILE_UNREADABLE)


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
    by_root: dict[str, list[Medium]] = {}
    for medium in media:
        by_root.setdefault(medium.root, []).append(medium)
    with ports.catalog.read() as tx:
        ledger = tx.batches.ledger(delivery.batch.id)
        while rows := list(islice(ledger, GROUP_OBJECTS)):
            known = tx.instances.some([row.digest for row in rows])
            for row in rows:
                for medium in announcing(by_root, row.name):
                    medium.tick(row.name, known[row.digest].sop_uid if row.digest in known else "")
    for medium in media:
        yield from medium.discrepancies()


def in_groups(arrivals: Iterable[_Arriving]) -> Iterator[list[_Arriving]]:
    """Hand arrivals on in groups that are small in number and in bytes."""
    group: list[_Arriving] = []
    size = 0
    for arrived in arrivals:
        group.append(arrived)
        size += arrived.size if isinstance(arrived, Unread) else len(arrived.data)
        if len(group) >= GROUP_OBJECTS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.parse(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        raise Invalid("the manifest cannot be read", "give a text file as sha256sum prints it") from None
