"""Which images a person has to look at, because text in their pixels cannot be excluded by what their header says.

No pixel is read here. There is no reliable flag for burned-in text, so the rule is: only what a scanner reconstructed
passes, and says that its pixels were not read. Sources: PS3.3 C.7.6.1.1.2 (Image Type), C.7.6.1 (Burned In Annotation).
"""

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from filmroom.records import Finding, Severity

NEEDS_EYES = "needs-eyes"
NOT_READ = "pixels-not-read"

_PREFIX = "1.2.840.10008.5.1.4.1.1."
_RECONSTRUCTED = frozenset(_PREFIX + end for end in ("2", "2.1", "4", "4.1", "128"))  # CT, MR and their enhanced, PET
_COMPUTED = frozenset(_PREFIX + end for end in ("481.2", "66.4"))  # RT Dose, Segmentation: numbers, not pictures
_PROJECTIONS = frozenset(_PREFIX + end for end in ("1", "1.1", "1.1.1", "1.2", "1.2.1"))  # CR, DX, MG
_CAPTURED = ("SCREEN", "SAVE", "REPORT", "DOSE", "CAPTURE", "RGB", "PHOTO", "SC", "CSAPARALLEL", "PROTOCOL")
_PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


def look(dataset: Dataset, *, overlays: bool) -> list[Finding]:
    """Return a REVIEW finding for every reason to look, or the INFO finding that the pixels were not read.

    `overlays` says whether the source had an overlay.
    """
    places = set()
    burned = str(dataset.get("BurnedInAnnotation") or "")
    sop_class = str(dataset.get("SOPClassUID", ""))
    if burned and burned != "NO":
        places.add("BurnedInAnnotation")
    if overlays:
        places.add("OverlayData")
    if _is_captured(_image_type(dataset)):
        places.add("ImageType")
    if sop_class in _RECONSTRUCTED:
        if not _is_reconstructed(dataset):
            places.add("ImageType")
    elif sop_class in _PROJECTIONS:
        if burned != "NO":
            places.add("BurnedInAnnotation")
    elif sop_class not in _COMPUTED:
        places.add("SOPClassUID")
    if places:
        return [Finding(NEEDS_EYES, Severity.REVIEW, place) for place in sorted(places)]
    return [Finding(NOT_READ, Severity.INFO, "PixelData")]


def _image_type(dataset: Dataset) -> list[str]:
    value = dataset.get("ImageType") or []
    parts = list(value) if isinstance(value, MultiValue | list) else [value]
    return [str(part).upper() for part in parts]


def _is_captured(image_type: list[str]) -> bool:
    return any(word in _CAPTURED for part in image_type[2:] for word in part.replace("_", " ").split())


def _is_reconstructed(dataset: Dataset) -> bool:
    """Say whether a scanner made the pixels: an original primary image, or a derived one in grey on a plane in space.

    A screen save that calls itself CT or MR is colour, or of 8 bits, or lies nowhere.
    """
    image_type = _image_type(dataset)
    grey = dataset.get("SamplesPerPixel") == 1 and int(dataset.get("BitsStored") or 0) > 8
    if not grey or len(image_type) < 2:
        return False
    if image_type[:2] == ["ORIGINAL", "PRIMARY"]:
        return True
    enhanced = "PerFrameFunctionalGroupsSequence" in dataset and "SECONDARY" not in image_type
    return enhanced or all(dataset.get(keyword) is not None for keyword in _PLANE)
