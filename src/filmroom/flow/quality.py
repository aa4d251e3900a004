"""quality: how complete, consistent and plausible the catalog is, in figures, without any patient's value."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from filmroom.catalog import quality as figures_of
from filmroom.dicom.normalize import reading
from filmroom.flow import evidence
from filmroom.ports import Ports, Transaction
from filmroom.records import By, Cell, Figure, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The figures at one moment: of the whole room, or of what a project has copies of; in groups when `by` says so."""

    project: str | None
    by: By | None
    at: datetime
    figures: tuple[Figure, ...]


def quality(ports: Ports, *, project: str | None = None, by: By | None = None) -> Quality:
    """Return the figures of `catalog.quality.MEASURES`. Raises NotFound for a project that does not exist.

    What was received and what label sets say belongs to no project: it is told of the whole room only.
    """
    what = {"kind": "catalog", "id": "quality"} if project is None else {"kind": "project", "id": project}
    permit = evidence.authorize(ports, "quality", what)
    with ports.catalog.read() as tx:
        if project is not None:
            tx.projects.get(project)
        figures = figures_of.in_order(_figures(tx, project, by))
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, what, {"figures": len(figures)})
    return Quality(project=project, by=by, at=ports.clock.now(), figures=figures)


def _figures(tx: Transaction, project: str | None, by: By | None) -> Iterator[Figure]:
    count = partial(tx.quality.cells, by=by, project=project)
    in_series, in_images = figures_of.asked(Level.SERIES), figures_of.asked(Level.INSTANCE)
    whole = count(Level.SERIES, counted=in_series)
    hidden = figures_of.small_groups(whole) - {""} if by is By.SITE else set()

    def shown(cells: list[Cell]) -> list[Cell]:
        return figures_of.without_groups(cells, hidden)

    yield from figures_of.completeness(shown(whole), in_series)
    yield from figures_of.completeness(shown(count(Level.INSTANCE, counted=in_images)), in_images)
    device = ("manufacturer", "model", "station")
    ranges = list(figures_of.PLAUSIBLE.values())
    yield from figures_of.plausible(shown(count(Level.SERIES, keys=device, counted=ranges)))
    for column, received in figures_of.SPELLED.items():
        cells = shown(count(Level.SERIES, keys=[received]))
        yield from figures_of.spelling(cells, column, partial(reading, column))
    for measure, keys in {"scanner": ("manufacturer", "model"), "protocol": ("protocol",)}.items():
        cells = shown(count(Level.SERIES, keys=["modality", *keys]))
        yield from figures_of.mix(measure, cells, lambda word: reading("modality", word) is not None)
    yield from figures_of.outcomes("copies", "exception", shown(tx.quality.copies(by, project)), kept=1)
    if project is None:
        yield from figures_of.outcomes("received", "reason", shown(tx.quality.received(by)), kept=0)
        yield from figures_of.labels(tx.quality.labels(by))
