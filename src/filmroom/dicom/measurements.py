"""Measurement reports: each measurement group says something of an image or of a region in it.

Its finding is there, its measurements and evaluations have values, all with the group's mark. A measurement's modifiers
(mean, maximum) are part of what it is called. Source: PS3.16 TID 1500, 1410, 1411, 1501; PS3.3 C.18.6, C.18.9.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from filmroom.dicom import regions, values
from filmroom.dicom.codes import images, items, meaning, moment, short, text
from filmroom.errors import Invalid
from filmroom.records import PRESENT, LabelKind, Level, Region, Shape, Space, Statement, Unmatched

_NAME, _CODE = "ConceptNameCodeSequence", "ConceptCodeSequence"
_GROUP, _FINDING, _TRACKING = "DCM:125007", "DCM:121071", "DCM:112040"
_PERSON, _DEVICE, _DEVICE_UID = "DCM:121008", "DCM:121013", "DCM:121012"
_SHAPES = {
    "POINT": Shape.POINT,
    "MULTIPOINT": Shape.POINT,
    "POLYLINE": Shape.LINE,
    "POLYGON": Shape.CONTOUR,
    "CIRCLE": Shape.CIRCLE,
    "ELLIPSE": Shape.ELLIPSE,
}
_SPACES = {"SCOORD": Space.PIXEL, "SCOORD3D": Space.PATIENT}


@dataclass(frozen=True, slots=True)
class _Where:
    level: Level
    target: str
    region: Region | None = None


def statements(dataset: Dataset) -> Iterator[Statement | Unmatched]:
    series_of = dict(_evidence(dataset))
    context = Statement(
        place="",
        level=Level.INSTANCE,
        target="",
        finding="",
        value=None,
        said_at=moment(dataset, "ContentDate", "ContentTime"),
    )
    groups = list(_groups(dataset, ()))
    if not groups:
        yield Unmatched("report", "no-measurements")
    for path, group in groups:
        by, kind = _author(group) or _author(dataset) or (None, None)
        own = replace(context, by=by, kind=kind)
        mark = _value_of(group, _TRACKING, "UID") or short(str(dataset.SOPInstanceUID), *map(str, path))
        yield from _of_group(group, path, own, mark, series_of)


def _groups(item: Dataset, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Dataset]]:
    for number, child in enumerate(items(item, "ContentSequence"), start=1):
        if values.code(child, _NAME) == _GROUP:
            yield (*path, number), child
        else:
            yield from _groups(child, (*path, number))


def _of_group(
    group: Dataset, path: tuple[int, ...], context: Statement, mark: str, series_of: Mapping[str, str]
) -> Iterator[Statement | Unmatched]:
    places = list(_places(group, mark, series_of))
    seen: set[tuple[str, str, str | None]] = set()
    for number, item in enumerate(items(group, "ContentSequence"), start=1):
        said = _said(item, context)
        if said is None:
            continue
        place = f"item {'.'.join(map(str, (*path, number)))}"
        own = list(_places(item, mark, series_of)) if item.get("ValueType") == "NUM" else []
        for where in own or places or [Unmatched(place, "no-source-image")]:
            if isinstance(where, Unmatched):
                yield Unmatched(place, where.reason)
                continue
            key = (said.finding, where.target, where.region.mark if where.region else None)
            if key in seen:
                yield Unmatched(place, "said-twice")
                continue
            seen.add(key)
            yield replace(said, place=place, level=where.level, target=where.target, region=where.region)


def _said(item: Dataset, context: Statement) -> Statement | None:
    """Return what a content item says, whatever of; None for one that says nothing of the images."""
    concept = values.code(item, _NAME)
    match item.get("ValueType"), item.get("RelationshipType"):
        case "CODE", "CONTAINS" | "HAS CONCEPT MOD" if concept == _FINDING:
            finding = values.code(item, _CODE)
            return replace(context, finding=finding, value=PRESENT, meaning=meaning(item, _CODE))
        case "CODE", "CONTAINS" | "HAS CONCEPT MOD":
            return replace(context, finding=concept, value=values.code(item, _CODE), meaning=meaning(item, _NAME))
        case "NUM", "CONTAINS":
            measured = next(iter(items(item, "MeasuredValueSequence")), Dataset())
            return replace(
                context,
                finding="/".join([concept, *_modifiers(item)]),
                value=text(measured, "NumericValue") or "",
                unit=values.code(measured, "MeasurementUnitsCodeSequence").partition(":")[2] or None,
                meaning=meaning(item, _NAME),
            )
        case _:
            return None


def _modifiers(item: Dataset) -> Iterator[str]:
    for child in items(item, "ContentSequence"):
        if child.get("RelationshipType") == "HAS CONCEPT MOD" and child.get("ValueType") == "CODE":
            yield values.code(child, _CODE)


def _places(item: Dataset, mark: str, series_of: Mapping[str, str]) -> Iterator[_Where | Unmatched]:
    """Yield where an item's children say that something is: their regions, else the images as a whole."""
    children = items(item, "ContentSequence")
    whole = [each for child in children if child.get("ValueType") == "IMAGE" for each in _images(child)]
    drawn = [child for child in children if child.get("ValueType") in _SPACES]
    for number, child in enumerate(drawn, start=1):
        name = mark if len(drawn) == 1 else f"{short(mark)}:{number}"
        below = [each for other in items(child, "ContentSequence") for each in _images(other)]
        yield from _regions(child, name, below or whole, series_of)
    if not drawn:
        yield from (_Where(Level.INSTANCE, uid) for uid in dict.fromkeys(uid for uid, _ in whole))


def _regions(
    item: Dataset, mark: str, sources: Sequence[tuple[str, int | None]], series_of: Mapping[str, str]
) -> Iterator[_Where | Unmatched]:
    space = _SPACES[str(item.ValueType)]
    series = {series_of.get(uid) for uid, _ in sources}
    if space is Space.PATIENT and len(sources) > 1 and len(series) == 1:
        level, sources = Level.SERIES, [(uid, None) for uid in series if uid is not None]
    else:
        level = Level.INSTANCE
    if not sources:
        yield Unmatched("", "no-source-image")
    for target, frame in sources:
        try:
            yield _Where(level, target, _region(item, mark, space, frame))
        except (Invalid, KeyError):
            yield Unmatched("", "geometry-wrong")


def _region(item: Dataset, mark: str, space: Space, frame: int | None) -> Region:
    shape, numbers = _SHAPES[str(item.GraphicType)], list(map(float, item.GraphicData))
    size = 2 if space is Space.PIXEL else 3
    is_closed = shape is Shape.LINE and len(numbers) > 3 * size and numbers[:size] == numbers[-size:]
    if is_closed or (shape is Shape.CONTOUR and numbers[:size] == numbers[-size:]):
        shape, numbers = Shape.CONTOUR, numbers[:-size]
    return regions.region(shape, numbers, mark=mark, space=space, frame=frame)


def _images(item: Dataset) -> Iterator[tuple[str, int | None]]:
    yield from images(item, "ReferencedSOPSequence") if item.get("ValueType") == "IMAGE" else ()


def _author(item: Dataset) -> tuple[str, LabelKind | None] | None:
    """Return who observed, as the item's own children say: a person, else a device, which is a model."""
    if person := _value_of(item, _PERSON, "PersonName"):
        return person, None
    device = _value_of(item, _DEVICE, "TextValue") or _value_of(item, _DEVICE_UID, "UID")
    return (device, LabelKind.MODEL) if device else None


def _value_of(item: Dataset, concept: str, keyword: str) -> str | None:
    found = (text(child, keyword) for child in items(item, "ContentSequence") if values.code(child, _NAME) == concept)
    return next(found, None)


def _evidence(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield the SOP Instance UID of each object that the report rests on, with its series."""
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in items(dataset, keyword):
            for series in items(study, "ReferencedSeriesSequence"):
                for uid, _ in images(series, "ReferencedSOPSequence"):
                    yield uid, str(series.SeriesInstanceUID)
