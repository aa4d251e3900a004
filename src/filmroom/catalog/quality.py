"""From counts to the figures of the quality report, and what the report is about. Pure.

Figures speak of what a header says (a spelling, a device, a protocol, a site) only where it is a term of the tables, or where
at least `SMALLEST` patients have it in the same group: a typing error in a field may be a patient's name, and a scanner of
one patient that patient. The rest is added up as `RARE`, so that nothing is left out of a sum.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from filmroom.dicom.attributes import COLUMNS
from filmroom.records import Cell, ColumnType, Counted, Figure, Level

SMALLEST = 5
"""How many patients must have a value before the report repeats it. Counts of images and series are never rounded."""

RARE, NONE, OTHER = "(rare)", "(none)", "(other)"

MEASURES: Mapping[str, str] = {
    "completeness": "series, or images for columns of images, that have a value, of those whose modality can have one",
    "plausible": "series whose number lies in its plausible range, of those that have one; devices only where some do not",
    "understood": "series whose received word the tables know, of those that have one",
    "spelling": "series with this spelling as received, and what it was read as, of all that have the attribute",
    "variants": "how many spellings were received for a term, and in how many series; no share",
    "scanner": "series of a modality by maker and model",
    "protocol": "series of a modality by acquisition protocol",
    "received": "objects by what became of them at the front door, of all that were received",
    "reason": "objects that were not simply stored, by reason, of all that were received; an object has all that apply",
    "copies": "outcomes of de-identification by state, for a project",
    "exception": "copies that wait for review, were refused or failed, by reason, of all that were tried for a project",
    "agreement": "findings of a target about which no two people differ, of all that a label set speaks of",
    "attached": "labels whose target is in the catalog, of all in a label set",
}
"""Every measure, and what is counted of what."""

FIGURE: Sequence[tuple[str, ColumnType]] = (
    *((name, ColumnType.TEXT) for name in ("measure", "name", "value", "group")),
    *((name, ColumnType.INTEGER) for name in ("count", "total")),
    ("share", ColumnType.REAL),
)
"""The columns of the report as a table."""

_XRAY = frozenset("CT CR DX MG XA RF PX IO".split())
_SLICES = frozenset("CT MR PT".split())
_IMAGES = _XRAY | _SLICES | frozenset("ES GM IVOCT IVUS NM OCT OP OPT OT SM TG US XC".split())
_APPLIES: Mapping[str, frozenset[str]] = {
    "kvp_kv": _XRAY,
    "exposure_mas": _XRAY,
    "slice_thickness_mm": _SLICES,
    "pixel_spacing_mm": _SLICES,
    "frame_of_reference_uid": _SLICES,
    "plane": _SLICES,
    "slice_position_mm": _SLICES,
    "spacing_between_slices_mm": frozenset({"MR"}),
    "view": frozenset("CR DX MG".split()),
    "image_laterality": frozenset({"MG"}),
    **dict.fromkeys("tube_current_ma exposure_time_ms".split(), _XRAY),
    **dict.fromkeys("kernel ctdi_vol_mgy pitch".split(), frozenset({"CT"})),
    **dict.fromkeys("orientation patient_position".split(), _SLICES),
    **dict.fromkeys("stain specimen container objective_power microns_per_pixel".split(), frozenset({"SM"})),
    **dict.fromkeys("body_part image_type rows columns bits_stored photometric".split(), _IMAGES),
    **dict.fromkeys(
        "field_strength_t repetition_time_ms echo_time_ms flip_angle_deg sequence acquisition_type".split(),
        frozenset({"MR"}),
    ),
}
"""Which modalities a column can be asked of, where that is not all (PS3.3 A.3, A.4, A.6, A.21, A.26)."""

_NOT_ASKED = frozenset(
    """patient_id issuer subject study_uid study_start_utc study_announced series_uid modality_received body_part_code
    body_part_from body_part_examined anatomic_region laterality laterality_received manufacturer_received exposure_uas
    field_strength_received series_announced completeness sop_uid sop_class transfer_syntax image_laterality_received
    view_position view_code frames normalization digest pixel_digest damage size_bytes findings contrast_agent
    contrast_route trial trial_site inversion_time_ms echo_train_length""".split()
)
"""Columns that are always filled, that are the catalog's own, or whose absence says nothing."""

ASKED: Mapping[str, Counted] = {
    column.name: Counted(column.name, _APPLIES.get(column.name, frozenset()))
    for column in COLUMNS
    if column.level is not Level.FILE and column.name not in _NOT_ASKED
}
"""The columns whose completeness is reported, with the modalities that they are asked of; none means all."""

PLAUSIBLE: Mapping[str, Counted] = {
    name: Counted(name, bounds=bounds)
    for name, bounds in {
        "age_years": (0, 120),
        "weight_kg": (0.3, 400),
        "slice_thickness_mm": (0.05, 20),
        "spacing_between_slices_mm": (0.05, 50),
        "pixel_spacing_mm": (0.01, 10),
        "kvp_kv": (15, 160),
        "tube_current_ma": (0.1, 2000),
        "exposure_time_ms": (0.1, 60000),
        "exposure_mas": (0, 5000),
        "ctdi_vol_mgy": (0.01, 500),
        "pitch": (0.05, 5),
        "field_strength_t": (0.01, 12),
        "repetition_time_ms": (0.5, 30000),
        "echo_time_ms": (0.01, 1000),
        "flip_angle_deg": (0, 180),
    }.items()
}
"""Between what a number of a series is believed: outside, a unit or a decimal point was most likely lost."""

SPELLED: Mapping[str, str] = {
    "manufacturer": "manufacturer_received",
    "modality": "modality_received",
    "body_part": "body_part_examined",
    "laterality": "laterality_received",
}
"""Columns of normalised words, and where the words as received stand."""


def asked(level: Level) -> list[Counted]:
    """Return the columns whose completeness is counted in things of `level`: series, or images for their own columns."""
    images = {column.name for column in COLUMNS if column.level is Level.INSTANCE}
    return [each for name, each in ASKED.items() if (name in images) == (level is Level.INSTANCE)]


def small_groups(cells: Iterable[Cell]) -> set[str]:
    """Return the groups with fewer than `SMALLEST` patients, from cells with no values."""
    return {cell.group for cell in cells if cell.patients < SMALLEST}


def merged(cells: Iterable[Cell], rename: Callable[[Cell], Cell]) -> list[Cell]:
    """Return the cells under other names, those of one name added up. Their patients may be the same: the most count."""
    found: dict[tuple[str, tuple[str, ...]], Cell] = {}
    for cell in map(rename, cells):
        key = (cell.group, cell.values)
        before = found.get(key)
        found[key] = cell if before is None else _sum(before, cell)
    return list(found.values())


def without_groups(cells: Iterable[Cell], hidden: set[str]) -> list[Cell]:
    """Return the cells with the hidden groups added up as `RARE`."""
    return merged(cells, lambda cell: replace(cell, group=RARE) if cell.group in hidden else cell)


def without_rare(
    cells: Iterable[Cell], kept: int = 0, *, is_term: Callable[[str], bool] = lambda word: False
) -> list[Cell]:
    """Return the cells with the values of few patients added up as `RARE`, but for terms and for the first `kept` values."""

    def rename(cell: Cell) -> Cell:
        values = cell.values[kept:]
        if cell.patients >= SMALLEST or not any(values) or all(map(is_term, values)):
            return cell
        return replace(cell, values=(*cell.values[:kept], RARE, *[""] * (len(values) - 1)))

    return merged(cells, rename)


def completeness(cells: Iterable[Cell], columns: Sequence[Counted]) -> Iterator[Figure]:
    for cell in cells:
        for column, (count, total) in zip(columns, cell.counts, strict=True):
            yield from figure("completeness", column.column, cell.group, count, total)


def plausible(cells: Sequence[Cell]) -> Iterator[Figure]:
    """Read cells of (manufacturer, model, station), with a count for each of `PLAUSIBLE`."""
    whole = merged(cells, lambda cell: replace(cell, values=()))
    for place, name in enumerate(PLAUSIBLE):
        for cell in whole:
            yield from figure("plausible", name, cell.group, *cell.counts[place])
        for cell in without_rare(cells):
            count, total = cell.counts[place]
            if count < total:
                yield from figure("plausible", name, cell.group, count, total, _joined(cell.values))


def spelling(cells: Sequence[Cell], column: str, read: Callable[[str], str | None]) -> Iterator[Figure]:
    """Read cells of one received column. `read` gives its term, "" for a word that says nothing, None if it is unknown."""
    said = [cell for cell in cells if any(cell.values)]
    totals: Counter[str] = Counter()
    for cell in said:
        totals[cell.group] += cell.things
    terms = {cell.values[0]: read(cell.values[0]) for cell in said}
    for group, total in totals.items():
        known = sum(cell.things for cell in said if cell.group == group and terms[cell.values[0]] is not None)
        yield from figure("understood", column, group, known, total)
    for term_cell in merged(said, lambda cell: replace(cell, values=(terms[cell.values[0]] or "",))):
        (term,) = term_cell.values
        spellings = {each.values[0] for each in said if each.group == term_cell.group and terms[each.values[0]] == term}
        if term and len(spellings) > 1:
            yield Figure(
                measure="variants",
                name=column,
                value=term,
                group=term_cell.group,
                count=len(spellings),
                total=term_cell.things,
                share=None,
            )
    for cell in without_rare(said, is_term=lambda word: word.casefold() == (terms[word] or "").casefold()):
        (word,) = cell.values
        shown = word if word == RARE else f"{word} → {terms[word] or (NONE if terms[word] == '' else 'unknown')}"
        yield from figure("spelling", column, cell.group, cell.things, totals[cell.group], shown)


def mix(measure: str, cells: Iterable[Cell], is_modality: Callable[[str], bool]) -> Iterator[Figure]:
    """Read cells of a modality and what tells its series apart. A modality that is no term is `OTHER`."""

    def rename(cell: Cell) -> Cell:
        modality, *values = cell.values
        return replace(cell, values=(modality if is_modality(modality) else OTHER, *values))

    known = merged(cells, rename)
    totals: Counter[tuple[str, str]] = Counter()
    for cell in known:
        totals[cell.group, cell.values[0]] += cell.things
    for cell in without_rare(known, kept=1):
        modality, *values = cell.values
        yield from figure(measure, modality, cell.group, cell.things, totals[cell.group, modality], _joined(values))


def outcomes(measure: str, reason: str, cells: Sequence[Cell], kept: int) -> Iterator[Figure]:
    """Read cells of an outcome and its reasons. Before the outcome, `kept` values say what it is an outcome of."""
    totals: Counter[tuple[str, ...]] = Counter()
    counts: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
    for cell in cells:
        of = (cell.group, *cell.values[:kept])
        totals[of] += cell.things
        outcome, *codes = cell.values[kept:]
        counts[measure, outcome, of] += cell.things
        for code in codes:
            counts[reason, code, of] += cell.things
    for (kind, name, of), count in counts.items():
        yield from figure(kind, name, of[0], count, totals[of], *of[1:])


def labels(cells: Iterable[Cell]) -> Iterator[Figure]:
    for cell in cells:
        (differ, pairs), (gone, said) = cell.counts
        yield from figure("agreement", cell.values[0], cell.group, pairs - differ, pairs)
        yield from figure("attached", cell.values[0], cell.group, said - gone, said)


def figure(measure: str, name: str, group: str, count: int, total: int, value: str = "") -> Iterator[Figure]:
    """Yield the figure, or none where there is nothing to have a share of."""
    if total:
        share = round(count / total, 6)
        yield Figure(measure=measure, name=name, value=value, group=group, count=count, total=total, share=share)


def in_order(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Return the figures by measure and name; within them by group, the greatest counts first."""
    place = {measure: at for at, measure in enumerate(MEASURES)}
    columns = {column.name: at for at, column in enumerate(COLUMNS)}
    return tuple(
        sorted(
            figures,
            key=lambda each: (
                place[each.measure],
                columns.get(each.name, len(columns)),
                each.name,
                each.group,
                -each.count,
                each.value,
            ),
        )
    )


def _joined(values: Iterable[str]) -> str:
    return " ".join(filter(None, values)) or NONE


def _sum(one: Cell, other: Cell) -> Cell:
    counts = tuple((a + c, b + d) for (a, b), (c, d) in zip(one.counts, other.counts, strict=True))
    patients = max(one.patients, other.patients)
    return replace(one, things=one.things + other.things, patients=patients, counts=counts)
