"""How many texts of single frames the two detectors see, and how often they see some in clean frames; nobody reads here.

Each of the corpus's frames that have no text of their own is looked at as it is, and again with one text burned in.
"""

import random
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import date
from itertools import islice

from pydicom.dataset import FileDataset

from bench.deid import burned, sources
from bench.deid.bed import Bed
from bench.deid.people import Words, patients
from bench.figures import Figure
from filmroom.deid import glance, lineup, strokes
from filmroom.dicom import pixels
from filmroom.dicom.pixels import Frame
from filmroom.errors import Unreadable

FILES = 600
_TEXTS_EACH = 3
_FRAMES_EACH = 4
_WITHOUT_TEXT = frozenset({"CT", "MR", "PT"})


def run(seed: int) -> Iterator[Figure]:
    """Yield the share of clean frames that are asked about, and of texts that are seen at normal and at low contrast."""
    clean: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    planted: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, path in enumerate(sources.choose(FILES)):
            dataset = sources.read(path)
            with suppress(Unreadable):
                if dataset.Modality not in _WITHOUT_TEXT or not burned.fits(dataset):
                    continue
                for frame in islice(pixels.frames(dataset), _FRAMES_EACH):
                    clean.update(["frames", *_sides(frame)])
                for text in range(_TEXTS_EACH):
                    kind, frame = _planted(dataset, random.Random(f"{seed} {number} {text}"), seed)
                    planted[kind] += 1
                    seen[kind] += bool(_sides(frame))
    for kind in ("normal", "low"):
        share = 100 * seen[kind] / max(planted[kind], 1)
        yield Figure(
            what=f"texts of {kind} contrast seen in a frame", value=share, unit="%", note=f"of {planted[kind]}"
        )
    share = 100 * clean["either"] / max(clean["frames"], 1)
    note = f"of {clean['frames']}; long lines, which wait for a person: {clean['long']}"
    yield Figure(what="clean frames that readers are asked about", value=share, unit="%", note=note)


def _planted(dataset: FileDataset, rng: random.Random, seed: int) -> tuple[str, Frame]:
    copy = deepcopy(dataset)
    bed = Bed(copy, patients(seed)[0], Words(seed), rng, file="", seen=date(2020, 2, 2))
    burned.burn(bed, burned.marks(bed)[:1])
    text = bed.plants[-1].burned
    assert text is not None
    frame = next(pixels.frames(copy, range(text.frames[0], text.frames[0] + 1)))
    return "normal" if text.contrast in burned.NORMAL else "low", frame


def _sides(frame: Frame) -> list[str]:
    """Return `either` where one of the detectors sees letters, and `long` where the verifier's sees a long line of them."""
    grey = glance.grey(frame)
    lines = lineup.lines(grey)
    long = any(line.is_long for line in lines)
    return [*(["either"] if lines or strokes.rows(grey) else []), *(["long"] if long else [])]
