"""Says whether a de-identified copy is clean, and is the only maker of `CleanInstance`.

A code path of its own: `inspection` reads the bytes of the copy with pydicom, `identifiers` what the source says, and none
imports what made the copy. Here the verdict is given, and an earlier verdict's signed record is checked. Whatever cannot
be looked at fails; where text in pixels cannot be excluded, and where some is left, a person has to look (`eyes`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from filmroom.canon import Json, canonical
from filmroom.crypto import sign
from filmroom.deid.eyes import Extent
from filmroom.deid.identifiers import Identifiers, identifiers
from filmroom.deid.inspection import Inspection, inspect
from filmroom.deid.profile import Profile
from filmroom.errors import Refused
from filmroom.ids import Digest
from filmroom.ports import TextReader
from filmroom.records import CleanInstance, Copy, CopyState, Coverage, Finding, Severity

__all__ = [
    "PAYLOAD_TYPE",
    "VERIFIER",
    "Identifiers",
    "Passed",
    "Residue",
    "admit",
    "identifiers",
    "passed_by_reviewer",
    "verify",
]

VERIFIER = "filmroom.deid.verify/7"
PAYLOAD_TYPE = "application/vnd.filmroom.clean+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The copy is clean. `record` is what gets signed: canonical JSON of strings, integers and lists and maps of them."""

    record: Mapping[str, Json]
    coverage: Coverage
    findings: tuple[Finding, ...]

    @property
    def digest(self) -> Digest:
        """The digest of the bytes that were looked at."""
        return Digest.parse(str(self.record["digest"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """The copy is not clean, or nobody can say. Places are keywords, never values."""

    findings: tuple[Finding, ...]
    coverage: Coverage
    needs_eyes_only: bool


def verify(
    output: bytes,
    forbidden: Identifiers,
    profile: Profile,
    reader: TextReader | None = None,
    extent: Extent = Extent.NOTHING,
) -> Passed | Residue:
    """Look at every element and every frame of a copy and say whether anything of the source's identity is left.

    `reader` is another than what was blanked was found with; `extent` is what was read at that time.
    Never raises for what the bytes hold. Only a copy without a REVIEW or ERROR finding and with full coverage passes.
    """
    seen = inspect(output, forbidden, profile, reader, extent)
    if any(finding.severity is not Severity.INFO for finding in seen.findings):
        return _residue(seen)
    return _passed(output, seen, reviewer=None)


def passed_by_reviewer(
    output: bytes,
    forbidden: Identifiers,
    profile: Profile,
    reviewer: str,
    reader: TextReader | None = None,
    extent: Extent = Extent.NOTHING,
) -> Passed | Residue:
    """Verify again and accept what only needed eyes, on the word of `reviewer`, who is named in the record."""
    seen = inspect(output, forbidden, profile, reader, extent)
    if not reviewer.strip() or any(finding.severity is Severity.ERROR for finding in seen.findings):
        return _residue(seen)
    return _passed(output, seen, reviewer=reviewer)


def admit(copy: Copy, *, public_key: bytes, profile: Digest, verifier: str = VERIFIER) -> CleanInstance:
    """Return the clean instance that a copy's signed attestation proves.

    `profile` and `verifier` are the ones that count: the current ones, or those that a snapshot was frozen under. Raises
    Refused when the copy is not clean or its proof is stale or of something else, Corrupt when the signature does not hold.
    """
    if copy.state is not CopyState.CLEAN or copy.attestation is None or copy.digest is None:
        raise Refused("this copy is not clean", "decide its review, or de-identify its source again")
    payload_type, payload = sign.open_dsse(copy.attestation, public_key)
    if payload_type != PAYLOAD_TYPE:
        raise Refused("the attestation is about something else", "de-identify the source again")
    if (copy.profile, copy.verifier) != (profile, verifier):
        raise Refused("the copy was verified under another profile or verifier", "de-identify the source again")
    expected: dict[str, Json] = {
        "digest": str(copy.digest),
        "profile": str(profile),
        "verifier": verifier,
        "subject": copy.subject,
        "study_uid": copy.study_uid,
        "series_uid": copy.series_uid,
        "sop_uid": copy.sop_uid,
        "modality": copy.modality,
        "frames": copy.frames,
    }
    stated = _document(payload)
    wrong = [key for key, value in expected.items() if key not in stated or stated[key] != value]
    if wrong:
        raise Refused(f"the attestation states another {', '.join(wrong)}", "de-identify the source again")
    return CleanInstance(
        project=copy.project,
        digest=copy.digest,
        subject=copy.subject,
        study_uid=copy.study_uid,
        series_uid=copy.series_uid,
        sop_uid=copy.sop_uid,
        modality=copy.modality,
        frames=copy.frames,
        attestation=Digest.of(copy.attestation.encode()),
    )


def _document(payload: bytes) -> Mapping[str, object]:
    try:
        document: object = json.loads(payload)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refused("the attestation holds no record", "de-identify the source again")
    return document


def _residue(seen: Inspection) -> Residue:
    severities = {finding.severity for finding in seen.findings}
    only = Severity.ERROR not in severities and Severity.REVIEW in severities
    return Residue(findings=tuple(sorted(seen.findings)), coverage=seen.coverage, needs_eyes_only=only)


def _passed(output: bytes, seen: Inspection, *, reviewer: str | None) -> Passed:
    coverage, findings = seen.coverage, tuple(sorted(seen.findings))
    record: dict[str, Json] = {
        "version": 1,
        "digest": str(Digest.of(output)),
        "profile": str(seen.profile.digest),
        "verifier": VERIFIER,
        "sop_class": seen.sop_class,
        "subject": seen.names["PatientID"],
        "study_uid": seen.names["StudyInstanceUID"],
        "series_uid": seen.names["SeriesInstanceUID"],
        "sop_uid": seen.names["SOPInstanceUID"],
        "modality": seen.names["Modality"],
        "frames": seen.frames,
        "coverage": {
            "elements": coverage.elements,
            "elements_present": coverage.elements_present,
            "frames": coverage.frames,
            "frames_present": coverage.frames_present,
            "identifiers": coverage.identifiers,
        },
        "findings": [f"{finding.code} {finding.place}".strip() for finding in findings],
    }
    if reviewer is not None:
        record["reviewer"] = reviewer
    canonical(record)  # a record that cannot be signed is no record
    return Passed(record=record, coverage=coverage, findings=findings)
