"""Whether a face can be seen in an image or rebuilt from its series, by what headers say. No pixel is read here.

Sections and volumes of the head are meant: CT, MR, PET and X-ray 3D. A series shows no face when its header says that it is of
other parts of the body; and else when it is one section, when its sections lie more than 6 mm apart, or when it is less than 40 mm long,
wide or high, about the distance from the brows to the lips. What is not said counts as far enough. A picture made of a volume, in
colour, of 8 bits or without a place in space, can show a face by itself.

What the faces in such images tell was measured: of 157 volunteers 97 % were found by their photographs, from their MR
(Schwarz et al., NeuroImage 231, 2021); what lies below the nose is not needed (Budin et al., Medical Image Analysis 12, 2008). The
limits of 6 and 40 mm nobody measured; they are chosen to let little pass. Source: PS3.3 C.7.6.1 (Recognizable Visual Features).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items

from filmroom.deid import eyes
from filmroom.dicom import normalize
from filmroom.dicom.walk import FAILURES

STATED = "RecognizableVisualFeatures"
POSSIBLE, NOT_EXCLUDED = "face-possible", "face-not-excluded"

_FARTHEST_MM, _SHORTEST_MM = 6.0, 40.0
_CRANIOFACIAL = "1.2.840.10008.5.1.4.1.1.13.1.2"
_NECKS = frozenset({"NECK", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "CAROTID"})
_OF_SERIES = ("BodyPartExamined", "ProtocolName", "SeriesDescription")
_OF_STUDY = "StudyDescription"
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True, slots=True)
class Sign:
    """Why a face is possible: `place` is the attribute that names a part with a face, or has to name one and does not."""

    code: str
    place: str


def sign(source: Dataset, slices: int | None = None) -> Sign | None:
    """Return why a face is possible, None when none is. Never raises for what the values hold.

    `slices` is how many objects the series has, None where that is not known.
    """
    sop_class = _text(source, "SOPClassUID")
    if not eyes.is_reconstruction(sop_class):
        return None
    is_section = "ImageType" not in eyes.doubts(source)
    if is_section and not _is_voluminous(source, slices):
        return None
    if sop_class == _CRANIOFACIAL:
        return Sign(POSSIBLE, "SOPClassUID")
    told = {place: parts for place, parts in _told(source) if parts}
    of_series = {place: parts for place, parts in told.items() if place != _OF_STUDY}
    for place, parts in (of_series or told).items():
        if parts & _with_a_face():
            return Sign(POSSIBLE, place)
    return None if told else Sign(NOT_EXCLUDED, _OF_SERIES[0])


@cache
def _with_a_face() -> frozenset[str]:
    return normalize.parts_with("HEAD") | _NECKS


def _told(source: Dataset) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the parts of the body that each attribute names."""
    for code in _values(source, "AnatomicRegionSequence"):
        assert isinstance(code, Dataset)
        part = normalize.part_coded(_text(code, "CodingSchemeDesignator"), _text(code, "CodeValue"))
        yield "AnatomicRegionSequence", frozenset({part} - {""})
    for keyword in (*_OF_SERIES, _OF_STUDY):
        yield keyword, normalize.parts_named(_text(source, keyword))


def _is_voluminous(source: Dataset, slices: int | None) -> bool:
    """Say whether the sections are close enough together, and cover enough of the body."""
    frames = _number(source, "NumberOfFrames") or 1
    sections = None if slices is None else slices * frames
    if sections == 1:
        return False
    apart = _number(source, "SpacingBetweenSlices") or _number(source, "SliceThickness")
    if apart and apart > _FARTHEST_MM:
        return False
    lengths = [
        apart and sections and apart * sections,
        *(
            spacing and count and spacing * count
            for spacing, count in zip(
                _spacings(source), (_number(source, "Rows"), _number(source, "Columns")), strict=True
            )
        ),
    ]
    return all(length is None or length >= _SHORTEST_MM for length in lengths)


def _spacings(source: Dataset) -> tuple[float | None, float | None]:
    values = [_float(value) for value in _values(source, "PixelSpacing")]
    return (values[0], values[1]) if len(values) == 2 else (None, None)


def _number(source: Dataset, keyword: str) -> float | None:
    return next((_float(value) for value in _values(source, keyword)), None)


def _float(value: object) -> float | None:
    """Return a length or count, None for what is none."""
    try:
        number = abs(float(str(value)))
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _text(source: Dataset, keyword: str) -> str:
    return next((str(value).strip(" \0") for value in _values(source, keyword)), "")


def _values(source: Dataset, keyword: str) -> list[object]:
    """Return the values, or items, of an attribute, be it in the first item of a functional group; [] for none or broken ones."""
    try:
        for holder in _holders(source):
            value = holder.get(keyword)
            if isinstance(value, MultiValue | Items):
                return list(value)
            if value not in (None, ""):
                return [value]
    except FAILURES:
        pass
    return []


def _holders(source: Dataset) -> Iterator[Dataset]:
    yield source
    for groups in _GROUPS:
        for group in list(source.get(groups) or [])[:1]:
            for macro in group:
                if macro.VR == "SQ":
                    yield from macro.value[:1]
