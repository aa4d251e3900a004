"""Label files in COCO's form: boxes, polygons and run-length masks of images, which are called by their UIDs.

An image is named by its file name without an ending, else by its id, as a SOP Instance UID. Coordinates are taken as
they are: COCO's origin is the outer corner of the upper left pixel, and a box is x, y, width, height. Source: the data format
page of cocodataset.org, and `maskApi.c` of pycocotools for compressed counts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from filmroom.canon import Json
from filmroom.dicom import regions
from filmroom.errors import Invalid
from filmroom.records import PRESENT, Level, Region, Shape, Statement, Unmatched

_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]*\Z")
_UID = re.compile(r"[0-9][0-9.]{0,63}\Z")
_MOST_PIXELS = 2**28


def read(document: Mapping[str, Json]) -> list[Statement | Unmatched]:
    """Return what the annotations say, a statement for each part of one. Raises Invalid for another form."""
    images, categories, annotations = (_objects(document, name) for name in ("images", "categories", "annotations"))
    by_image, by_category = ({str(each.get("id")): each for each in some} for some in (images, categories))
    found: list[Statement | Unmatched] = []
    for number, annotation in enumerate(annotations, start=1):
        place = f"annotation {number}"
        image = by_image.get(str(annotation.get("image_id")), {})
        category = by_category.get(str(annotation.get("category_id")), {})
        try:
            parts: list[Region | None] = list(_parts(annotation, str(annotation.get("id", number))))
        except (Invalid, ValueError, TypeError, IndexError):
            found.append(Unmatched(place, "geometry-wrong"))
            continue
        found += (
            Statement(
                place=place,
                level=Level.INSTANCE,
                target=_uid(image),
                finding=str(category.get("name") or ""),
                value=PRESENT,
                confidence=_score(annotation.get("score")),
                region=part,
                size=_size(image),
            )
            for part in parts or [None]
        )
    return found


def _objects(document: Mapping[str, Json], name: str) -> list[dict[str, Json]]:
    found = document.get(name)
    objects = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    if not isinstance(found, list) or len(objects) < len(found):
        raise Invalid(
            "the label file is not in COCO's form", "give images, categories and annotations as lists of objects"
        )
    return objects


def _uid(image: Mapping[str, Json]) -> str:
    name = _ENDING.sub("", str(image.get("file_name", "")).replace("\\", "/").rpartition("/")[2])
    return name if _UID.match(name) else str(image.get("id", ""))


def _size(image: Mapping[str, Json]) -> tuple[int, int] | None:
    rows, columns = image.get("height"), image.get("width")
    return (rows, columns) if isinstance(rows, int) and isinstance(columns, int) else None


def _score(score: Json) -> str | None:
    return f"{score:.4g}" if isinstance(score, int | float) else None


def _parts(annotation: Mapping[str, Json], mark: str) -> Iterator[Region]:
    """Yield the regions of an annotation: its mask or polygons, else its box, else none."""
    match annotation.get("segmentation"), annotation.get("bbox"):
        case {"counts": counts, "size": [int(rows), int(columns)]}, _:
            yield _mask(counts, rows, columns, mark)
        case [_, *_] as polygons, _:
            for number, polygon in enumerate(polygons, start=1):
                name = mark if len(polygons) == 1 else f"{mark}:{number}"
                yield regions.region(Shape.CONTOUR, _numbers(polygon), mark=name)
        case None | [], [_, *_] as box:
            left, top, width, height = _numbers(box)
            yield regions.region(Shape.BOX, [left, top, left + width, top + height], mark=mark)
        case None | [], None | []:
            return
        case _:
            raise Invalid("an annotation's segmentation is not understood", "give polygons or run lengths")


def _numbers(value: Json) -> list[float]:
    if not isinstance(value, list) or not all(type(each) in (int, float) for each in value):
        raise Invalid("coordinates are lists of numbers", "see the COCO data format")
    return [float(each) for each in value if isinstance(each, int | float)]


def _mask(counts: Json, rows: int, columns: int, mark: str) -> Region:
    """Return a mask whose runs go down the columns."""
    runs = _expanded(counts) if isinstance(counts, str) else [int(each) for each in _numbers(counts)]
    if not 0 < rows * columns <= _MOST_PIXELS or min(runs, default=-1) < 0 or sum(runs) != rows * columns:
        raise Invalid("run lengths do not make up the image", "see the COCO data format")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return regions.mask_region(flat.reshape((rows, columns), order="F"), mark=mark)


def _expanded(text: str) -> Sequence[int]:
    """Return the run lengths of compressed counts: base 32, least significant first, each less the one two before."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64:
            raise Invalid("compressed counts have another character", "see the COCO data format")
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            value -= (digit & 16) << (shift - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
