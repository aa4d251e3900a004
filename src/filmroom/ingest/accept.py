"""The decision about one received object: a pure function of its bytes and of what is here already.

Decided by content only, never by name. Every object gets exactly one decision, and what claims to be DICOM and cannot
be trusted is quarantined with every reason, never dropped.
"""

from collections.abc import Callable

from filmroom.dicom.parse import parse
from filmroom.ids import Digest
from filmroom.ingest.sniff import kind
from filmroom.records import Accepted, Conflict, Decision, Duplicate, Ignored, Outcome, Quarantined, Reason

_HERE = frozenset({Outcome.STORED, Outcome.DUPLICATE, Outcome.CONFLICT})

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
    data: bytes, *, current: Callable[[str], Digest | None], known: Callable[[Digest], Outcome | None]
) -> Decision:
    """Decide about one received object. Never raises for what the bytes hold.

    `current` returns the digest that is current for a SOP Instance UID; `known` returns what became of the same bytes
    when they came before. Bytes that were quarantined or ignored before are decided again, the same way.
    """
    digest = Digest.of(data)
    if known(digest) in _HERE:
        return Duplicate(digest)
    what = kind(data)
    if what == "dicomdir":
        return Ignored(digest, Reason("dicomdir", "a directory listing of a medium; the objects come by themselves"))
    if what != "dicom":
        return Ignored(digest, Reason(f"not-dicom:{what}", _WORDS[what]))
    parsed = parse(data, digest=digest)
    if parsed.reasons or parsed.instance is None:
        return Quarantined(digest, parsed.reasons, parsed.instance)
    revision = current(parsed.instance.sop_uid)
    if revision is None:
        return Accepted(parsed.instance)
    if revision == digest:
        return Duplicate(digest)
    return Conflict(parsed.instance, revision)
