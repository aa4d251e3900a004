"""Whole-slide files: what the header of a TIFF that is made of tiles says. Home of tifffile, the extra `[wsi]`.

No pixel is decoded, and no more directories are read than a pyramid has levels. What is a picture and no slide is said to be
one. Whatever tifffile stumbles over is a reason to quarantine: a header that cannot be read is not to be trusted.
"""

import importlib.util
import itertools
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filmroom.dicom.windows import Lengthy, open_stream
from filmroom.records import Reason, Value

if TYPE_CHECKING:
    import tifffile

MAX_PAGES = 64
MAX_DESCRIPTION = 1 << 20

_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
_MAKERS = {
    "svs": "Aperio SVS",
    "ndpi": "Hamamatsu NDPI",
    "scn": "Leica SCN",
    "bif": "Ventana BIF",
    "philips": "Philips TIFF",
    "ome": "OME-TIFF",
    "qpi": "PerkinElmer QPI",
}
_MPP = re.compile(r"\bMPP\s*=\s*([0-9]{0,6}\.?[0-9]{1,9})(?![0-9])")
_POWER = re.compile(r"\bAppMag\s*=\s*([0-9]{1,4}(?:\.[0-9]{1,4})?)(?![0-9])")
_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Lengths of the units in which a TIFF counts pixels: inch, centimetre, millimetre, micrometre."""


@dataclass(frozen=True, slots=True)
class Slide:
    """What a slide is, by column name of the level `file`."""

    values: dict[str, Value]


def is_readable() -> bool:
    """Say whether the library that reads slides is installed."""
    return importlib.util.find_spec("tifffile") is not None


def read_slide(data: Lengthy) -> Slide | tuple[Reason, ...] | None:
    """Return what a TIFF is, every reason not to trust it, or None for a picture that is no slide.

    Never raises for what the bytes hold; `is_readable` was asked before.
    """
    import tifffile

    try:
        with tifffile.TiffFile(open_stream(data)) as tiff:
            first = tiff.pages.first
            maker = next((name for word, name in _MAKERS.items() if getattr(first, f"is_{word}")), "")
            if not (maker or first.is_tiled):
                return None
            levels = sum(bool(getattr(page, "is_tiled", False)) for page in itertools.islice(tiff.pages, MAX_PAGES))
            if not (0 < first.imagewidth < 2**31 and 0 < first.imagelength < 2**31):
                return (Reason("header-impossible", "the width or height is none that a slide has"),)
            return Slide(_values(first, maker, levels))
    except _FAILURES:
        return (Reason("header-broken", "the directories of the TIFF cannot be read"),)


def _values(page: "tifffile.TiffPage", maker: str, levels: int) -> dict[str, Value]:
    description = page.description[:MAX_DESCRIPTION]
    micrometres, power = _MPP.search(description), _POWER.search(description)
    return {
        "file_format": maker or "TIFF",
        "width": int(page.imagewidth),
        "height": int(page.imagelength),
        "channels": int(page.samplesperpixel),
        "sample_type": None if page.dtype is None else str(page.dtype),
        "spacing_x_mm": float(micrometres[1]) / 1000 if micrometres else _spacing(page, "XResolution"),
        "spacing_y_mm": float(micrometres[1]) / 1000 if micrometres else _spacing(page, "YResolution"),
        "pyramid_levels": levels,
        "magnification": float(power[1]) if power else None,
    }


def _spacing(page: "tifffile.TiffPage", name: str) -> float | None:
    """Return the distance of pixels in millimetres, by the TIFF's own resolution tags; None when they say none."""
    count, per = page.tags.valueof(name, (0, 1))
    unit = _MILLIMETRES.get(int(page.tags.valueof("ResolutionUnit", 1)))
    return None if unit is None or count <= 0 or per <= 0 else unit * per / count
