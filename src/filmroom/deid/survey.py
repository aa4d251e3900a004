"""Looks at samples of a series and says whether its images have to be read one by one.

For what a scanner reconstructs, where text is rare and stands at the same place in every slice. Text in single slices that are
not among the samples is not found.
"""

from collections.abc import Sequence

from filmroom.deid import glance, proofread, redact
from filmroom.dicom.pixels import Frame
from filmroom.ports import Readers

SAMPLES = 12
_SMALLEST = 32


def shows_text(slices: Sequence[Frame], readers: Readers) -> bool:
    """Say whether either reader sees text in the first, middle or last slice, or in what is the same in all of them."""
    slices = [frame for frame in slices if min(frame.shape[:2]) >= _SMALLEST]
    if not slices:
        return False
    pictures = [slices[at] for at in sorted({0, len(slices) // 2, len(slices) - 1})]
    if len(slices) > len(pictures):
        static = glance.Static()
        for frame in slices:
            static.add(glance.grey(frame))
        pictures.append(static.picture())
    return any(
        redact.text_in(glance.grey(picture), readers.first).any() or proofread.is_legible(picture, readers.second)
        for picture in pictures
    )
