"""The decision about one received object by itself: a pure function of its bytes and of whether they are here already.

Whether its SOP Instance UID is here with other bytes is settled where nobody else can write, in `flow.reception`.
Decided by content only, never by name. Every object gets exactly one decision, and what claims to be DICOM and cannot
be trusted is quarantined with every reason, never dropped.
"""

from dataclasses import replace

from filmroom.dicom.normalize import normalize
from filmroom.dicom.parse import parse
from filmroom.dicom.windows import Lengthy
from filmroom.ids import Digest
from filmroom.ingest import nifti, sidecar, slide
from filmroom.ingest.sniff import kind
from filmroom.records import (
    Accepted,
    Beside,
    Duplicate,
    Filed,
    FileKind,
    Finding,
    Ignored,
    ImageFile,
    Quarantined,
    Reason,
    Severity,
    Value,
)

_NEEDS_WSI = Reason("needs-extra:wsi", "a whole-slide file or a TIFF picture; pip install 'filmroom[wsi]' to tell")

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


_FILES = frozenset({"nifti", "gzip", "tiff"})


def may_be_file(data: Lengthy) -> bool:
    """Say whether the bytes could be an image file's."""
    return kind(data) in _FILES


def accept(
    data: Lengthy, digest: Digest, *, is_here: bool, doubt: Reason | None = None, beside: Beside | None = None
) -> Accepted | Filed | Duplicate | Quarantined | Ignored:
    """Decide about one received object with this digest. Never raises for what the bytes hold.

    `is_here` says that the room has cataloged these bytes. Bytes that were quarantined or ignored before are decided
    again, the same way. `doubt` is what speaks against the bytes from outside, and keeps them from being accepted. A
    door that takes image files says what stands beside them; another one is for DICOM objects only.
    """
    if is_here:
        return Duplicate(digest)
    what = kind(data)
    if what == "dicomdir":
        return Ignored(digest, Reason("dicomdir", "a directory listing of a medium; the objects come by themselves"))
    if beside is not None and what in _FILES:
        decision = _file(data, digest, what, doubt, beside)
        if decision is not None:
            return decision
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


def _file(
    data: Lengthy, digest: Digest, what: str, doubt: Reason | None, beside: Beside
) -> Filed | Quarantined | Ignored | None:
    """Decide about what may be an image file; None for what is none."""
    found: nifti.Volume | slide.Slide | tuple[Reason, ...] | None
    findings: tuple[Finding, ...] = ()
    if what == "tiff":
        if not slide.is_readable():
            return Ignored(digest, _NEEDS_WSI)
        found, of = slide.read_slide(data), FileKind.SLIDE
    else:
        header = nifti.header_of(data)
        if header is not None and header.is_half:
            return Ignored(digest, Reason("nifti-pair", "the header of a NIfTI pair; only single files are taken"))
        found, of = None if header is None else nifti.read_volume(header, data), FileKind.NIFTI
    if found is None:
        return None
    reasons = () if doubt is None else (doubt,)
    if isinstance(found, tuple):
        return Quarantined(digest, (*reasons, *found))
    if reasons:
        return Quarantined(digest, reasons)
    if isinstance(found, nifti.Volume):
        findings = found.findings
    names, more = _named(beside)
    values = {**found.values, **names}
    return Filed(ImageFile(digest=digest, size_bytes=len(data), kind=of, values=values, findings=(*findings, *more)))


def _named(beside: Beside) -> tuple[dict[str, Value], tuple[Finding, ...]]:
    """Return the columns that a file's name and its sidecar fill."""
    values: dict[str, Value] = {"file_name": beside.name, "file_patient": sidecar.subject_of(beside.name)}
    if not beside.sidecar:
        return values, ()
    fields = sidecar.fields_of(beside.sidecar)
    if fields is None:
        return values, (Finding("sidecar-unreadable", Severity.REVIEW),)
    return {**values, "file_sidecar": fields, "file_modality": sidecar.field(fields, "Modality")}, ()
