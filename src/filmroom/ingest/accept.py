"""The decision about one received object by itself: a pure function of its bytes and of whether they are here already.

Whether its SOP Instance UID is here with other bytes is settled where nobody else can write, in `flow.reception`.
Decided by content only, never by name. Every object gets exactly one decision, and what claims to be DICOM and cannot
be trusted is quarantined with every reason, never dropped.
"""

from dataclasses import replace

from filmroom.dicom.parse import parse
from filmroom.dicom.windows import Lengthy
from filmroom.ids import Digest
from filmroom.ingest.normalize import normalize
from filmroom.ingest.sniff import kind
from filmroom.records import Accepted, Duplicate, Ignored, Quarantined, Reason

_WORDS = {
    "empty": "an empty file",
    "gzip": "a gzip file inside the delivery; nested archives are not opened",
    "jpeg": "a JPEG picture",
    "nifti": "a NIfTI volume",
    "nrrd": "an NRRD volume",
    "pdf": "a PDF document",
    "png": "a PNG picture",
    "tar": "a tar archive inside the delivery; nested archives are not opened",
    "text": "a text file",
    "tiff": "a TIFF picture",
    "unknown": "no DICOM object, and nothing else that is known here",
    "zip": "a zip archive inside the delivery; nested archives are not opened",
}


def accept(
    data: Lengthy, digest: Digest, *, is_here: bool, doubt: Reason | None = None
) -> Accepted | Duplicate | Quarantined | Ignored:
    """Decide about one received object with this digest. Never raises for what the bytes hold.

    `is_here` says that the room has cataloged these bytes. Bytes that were quarantined or ignored before are decided
    again, the same way. `doubt` is what speaks against the bytes from outside, and keeps them from being accepted.
    """
    if is_here:
        return Duplicate(digest)
    what = kind(data)
    if what == "dicomdir":
        return Ignored(digest, Reason("dicomdir", "a directory listing of a medium; the objects come by themselves"))
    if what != "dicom":
        return Ignored(digest, Reason(f"not-dicom:{what}", _WORDS[what]))
    parsed = parse(data, digest=digest)
    reasons = parsed.reasons if doubt is None else (doubt, *parsed.reasons)
    if parsed.instance is None:
        return Quarantined(digest, reasons)
    facts = parsed.instance.values
    instance = replace(parsed.instance, values={**facts, **normalize(facts)})
    if reasons:
        return Quarantined(digest, reasons, instance)
    return Accepted(instance)
