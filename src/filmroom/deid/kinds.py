"""What objects of a SOP class carry, and which objects never leave: facts of the standard, beside the profiles.

Both sides read it, the one that makes copies and the one that judges them. Sources: PS3.3 A (IODs), PS3.4 B.5, PS3.3
C.8.12.4.1.1 (Image Type of slides).
"""

from pydicom._uid_dict import UID_dictionary

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
CONTENT = "ContentSequence"
WAVEFORMS = "WaveformSequence"
DISPLAY = "DisplayedAreaSelectionSequence"

VALUE_OF = {
    "CONTAINER": "ContinuityOfContent",
    "TEXT": "TextValue",
    "NUM": "MeasuredValueSequence",
    "CODE": "ConceptCodeSequence",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "PNAME": "PersonName",
    "UIDREF": "UID",
    "SCOORD": "GraphicData",
    "SCOORD3D": "GraphicData",
    "TCOORD": "TemporalRangeType",
    "IMAGE": "ReferencedSOPSequence",
    "COMPOSITE": "ReferencedSOPSequence",
    "WAVEFORM": "ReferencedSOPSequence",
}
"""By the value type of a content item the attribute that has its value (PS3.3 C.17.3.2)."""

NAMELESS = frozenset({"CONTAINER", "SCOORD", "SCOORD3D", "TCOORD", "IMAGE", "COMPOSITE", "WAVEFORM"})
"""Value types of which an item needs no concept name."""

_PREFIX = "1.2.840.10008.5.1.4.1.1."
_WITHOUT_PIXELS = {
    **dict.fromkeys(("88.11", "88.22", "88.33", "88.34", "88.59", "88.67", "88.68", "88.73"), CONTENT),
    **dict.fromkeys(("9.1.1", "9.1.2", "9.1.3", "9.1.4", "9.2.1", "9.3.1", "9.5.1", "9.6.1"), WAVEFORMS),
    "481.3": "StructureSetROISequence",
    "481.5": "FractionGroupSequence",
    "11.1": DISPLAY,
    "66.1": "RegistrationSequence",
    "67": "ReferencedImageRealWorldValueMappingSequence",
}
_PARAMETRIC_MAP = _PREFIX + "30"
_SLIDE = _PREFIX + "77.1.6"
_PHOTOGRAPHS = frozenset(_PREFIX + end for end in ("77.1.1", "77.1.4", "77.1.5.1", "77.1.5.2", "77.1.7"))

_NEVER = {
    **dict.fromkeys(
        (_PREFIX + end for end in ("104.1", "104.2", "104.3", "104.4", "104.5")),
        "it is a document or model of its own format, which nothing here looks into",
    ),
    **dict.fromkeys(
        (_PREFIX + end for end in ("9.4.1", "9.4.2", "77.1.1.1", "77.1.2.1", "77.1.4.1")),
        "it is a recording in which somebody can speak or be seen",
    ),
    **dict.fromkeys(
        (_PREFIX + end for end in ("66.3", "66.5", "66.6", "68.1", "68.2", "91.1")),
        "it holds coordinates in a packed form, which nothing here looks into",
    ),
    "1.2.840.10008.1.3.10": "it lists the patients of a medium; its objects come by themselves",
    _PREFIX + "66": "raw data has a form that only its maker knows",
    _PREFIX + "4.2": "spectra have a form that nothing here looks into",
    "1.2.840.10008.5.1.4.38.1": "a hanging protocol says how users look at images, and shows no patient",
    "1.2.840.10008.5.1.4.39.1": "a colour palette shows no patient",
}


def carries(sop_class: str) -> tuple[str, ...]:
    """Return the keywords of which an object of the class has exactly one: what it is all about.

    A class that is not known here is taken for one of images.
    """
    found = _WITHOUT_PIXELS.get(sop_class.removeprefix(_PREFIX))
    if found:
        return (found,)
    return PIXELS if sop_class == _PARAMETRIC_MAP else PIXELS[:1]


def has_pixels(sop_class: str) -> bool:
    """Say whether objects of the class are images."""
    return carries(sop_class)[0] in PIXELS


def is_plain(sop_class: str) -> bool:
    """Say whether an object of the class is about its Pixel Data, and its rules are all that decides what stays of it."""
    return carries(sop_class) == PIXELS[:1] and sop_class != _SLIDE


def is_photograph(sop_class: str) -> bool:
    """Say whether objects of the class are taken with a camera that can see a face, an eye or a tattoo."""
    return sop_class in _PHOTOGRAPHS


def why_not(sop_class: str) -> str:
    """Return why a class that a profile has no rules for stays inside, as a sentence of its own."""
    if sop_class in _NEVER:
        return _NEVER[sop_class]
    return "nobody wrote rules for it" if sop_class in UID_dictionary else "the standard does not know it"


def shows_label(sop_class: str, image_type: tuple[str, ...], label_in_image: str) -> bool:
    """Say whether an image of a slide can show what is written on its label.

    Only a volume can be without the word of Specimen Label in Image (type 1 in today's edition).
    """
    if sop_class != _SLIDE:
        return False
    flavour = image_type[2] if len(image_type) > 2 else ""
    if flavour in ("LABEL", "OVERVIEW") or label_in_image not in ("NO", ""):
        return True
    return flavour != "VOLUME" and not label_in_image
