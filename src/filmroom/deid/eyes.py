"""Which images have to be looked at, because text in their pixels cannot be excluded by what their header says.

No pixel is read here. There is no reliable flag for burned-in text, so the rule is: what a scanner reconstructed is read
in samples of its series, numbers that are no pictures not at all, and everything else frame by frame. What is stated to have
text or a face in it, a screen save or a secondary capture needs a person on top of that; where nothing can be read, all
that is in doubt does. The source is asked, not its copy: a copy has lost what was no defined term.

Sources: PS3.3 C.7.6.1.1.2 (Image Type), C.7.6.1 (Burned In Annotation, Recognizable Visual Features).
"""

import re
from collections.abc import Iterable
from enum import StrEnum

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from filmroom.deid import kinds
from filmroom.dicom.walk import FAILURES
from filmroom.records import Finding, Severity

NEEDS_EYES = "needs-eyes"
NOT_READ, SERIES_READ, READ = "pixels-not-read", "series-read", "pixels-read"
LABEL = "label-in-image"
_LABELLED = "SpecimenLabelInImage"


class Extent(StrEnum):
    """How much of the pixels is read for text: nothing, samples of the series, or every frame of a sort (`glance`)."""

    NOTHING = "nothing"
    SERIES = "series"
    FRAMES = "frames"


_PREFIX = "1.2.840.10008.5.1.4.1.1."
_CAPTURES = frozenset(_PREFIX + end for end in ("7", "7.1", "7.2", "7.3", "7.4"))
_RECONSTRUCTED = frozenset(
    _PREFIX + end for end in ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130", "13.1.1", "13.1.2", "13.1.3")
)  # CT, MR, PET, X-ray 3D and tomosynthesis
_COMPUTED = frozenset(_PREFIX + end for end in ("481.2", "66.4", "30"))  # doses, segments, maps: numbers, not pictures
_PROJECTIONS = frozenset(_PREFIX + end for end in ("1", "1.1", "1.1.1", "1.2", "1.2.1"))  # CR, DX, MG
_CAPTURED = re.compile(
    r"""(?<![A-Z0-9])(?:
    (?:SCREEN|SAVE|SNAP|CAPTURE|REPORT|PHOTO|PROTOCOL)[A-Z0-9]*  # SCREENSHOT, SAVED
    | (?:DOSE|RGB|SC|CSAPARALLEL)(?![A-Z0-9])
    )""",
    re.VERBOSE,
)
_PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"


def doubts(source: Dataset) -> frozenset[str]:
    """Return the keywords of the attributes by which text, or a face, in the pixels cannot be excluded.

    Never raises for what the values hold; one that cannot be read is a doubt.
    """
    sop_class = "".join(_words(source, "SOPClassUID"))
    found = _told(source, sop_class)
    if sop_class in _RECONSTRUCTED:
        if not _is_reconstructed(source, _words(source, "ImageType")):
            found.add("ImageType")
    elif sop_class in _PROJECTIONS:
        if not says_clean(source):
            found.add("BurnedInAnnotation")
    elif sop_class not in _COMPUTED:
        found.add("SOPClassUID")
    return frozenset(found)


def beyond_reading(source: Dataset) -> frozenset[str]:
    """Return those of the doubts that reading the pixels does not settle, because the source says more than nothing.

    Nor is there a reader of faces.
    """
    sop_class = "".join(_words(source, "SOPClassUID"))
    found = _told(source, sop_class)
    return frozenset(found | {"SOPClassUID"} if sop_class in _CAPTURES else found)


def _told(source: Dataset, sop_class: str) -> set[str]:
    """Return the attributes that say of text, or a face, that it is in the pixels, or could be."""
    found = set()
    if set(_words(source, "BurnedInAnnotation")) - {"NO"}:
        found.add("BurnedInAnnotation")
    if set(_words(source, "RecognizableVisualFeatures")) - {"NO"} or kinds.is_photograph(sop_class):
        found.add("RecognizableVisualFeatures")
    image_type = _words(source, "ImageType")
    if any(_CAPTURED.search(part) for part in image_type) or _UNREADABLE in image_type:
        found.add("ImageType")
    if _shows_label(source, sop_class):
        found.add(_LABELLED)
    return found


def says_clean(source: Dataset) -> bool:
    """Say whether the source states that there is no text in its pixels."""
    return _words(source, "BurnedInAnnotation") == ["NO"]


def extent(source: Dataset) -> Extent:
    """Say how much of the pixels has to be read at least."""
    sop_class = "".join(_words(source, "SOPClassUID"))
    if not kinds.has_pixels(sop_class):
        return Extent.NOTHING
    if sop_class in _PROJECTIONS or doubts(source):
        return Extent.FRAMES
    return Extent.SERIES if is_reconstruction(sop_class) else Extent.NOTHING


def is_reconstruction(sop_class: str) -> bool:
    """Say whether the images of this SOP class are made by a scanner, slice after slice: CT, MR, PET."""
    return sop_class in _RECONSTRUCTED


def findings(doubted: Iterable[str], read: Extent) -> list[Finding]:
    """Return a REVIEW finding for every reason to look, and the INFO finding of how much was read.

    What shows the label of a slide is nothing that eyes could release.
    """
    doubted = set(doubted)
    if _LABELLED in doubted:
        return [Finding(LABEL, Severity.ERROR, _LABELLED)]
    code = {Extent.NOTHING: NOT_READ, Extent.SERIES: SERIES_READ, Extent.FRAMES: READ}[read]
    found = [Finding(NEEDS_EYES, Severity.REVIEW, place) for place in sorted(doubted)]
    return [Finding(code, Severity.INFO, "PixelData"), *found] if read is not Extent.NOTHING or not found else found


def _shows_label(source: Dataset, sop_class: str) -> bool:
    return kinds.shows_label(sop_class, tuple(_words(source, "ImageType")), "".join(_words(source, _LABELLED)))


def _words(source: Dataset, keyword: str) -> list[str]:
    """Return the components of a value in upper case, [] when it is empty."""
    try:
        value = source.get(keyword)
    except FAILURES:
        return [_UNREADABLE]
    parts = list(value) if isinstance(value, MultiValue) else [] if value is None else [value]
    words = [str(part).strip(" \0").upper() for part in parts]
    return words if any(words) else []


def _is_reconstructed(source: Dataset, image_type: list[str]) -> bool:
    """Say whether a scanner made the pixels: an original primary image, or a derived one in grey on a plane in space.

    A screen save that calls itself CT or MR is colour, or of 8 bits, or lies nowhere.
    """
    bits = _words(source, "BitsStored")
    is_deep = len(bits) == 1 and bits[0].isdecimal() and int(bits[0]) > 8
    if not is_deep or _words(source, "SamplesPerPixel") != ["1"] or len(image_type) < 2:
        return False
    if image_type[:2] == ["ORIGINAL", "PRIMARY"]:
        return True
    enhanced = "PerFrameFunctionalGroupsSequence" in source and "SECONDARY" not in image_type
    return enhanced or all(_words(source, keyword) for keyword in _PLANE)
