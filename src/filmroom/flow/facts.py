"""facts: what is known of patients beside their images - results and codes - linked by patient and time.

It stays in the clinical zone: nothing hands a fact on. Text is not taken.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from filmroom.canon import digest_of
from filmroom.catalog import facts, fhir, hl7
from filmroom.catalog.matching import among
from filmroom.errors import Invalid, NotFound
from filmroom.flow import evidence
from filmroom.ids import Digest
from filmroom.ports import Ports, Transaction
from filmroom.records import Fact, Level, Told, Unmatched

_Key: TypeAlias = tuple[str, str]
"""The subject and the name of a fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsImported:
    """What came of an import: every fact of the source is new, put right, withdrawn, there already or `unmatched`."""

    added: int
    corrected: int
    withdrawn: int
    unmatched: tuple[Unmatched, ...]


def import_facts(ports: Ports, file: Path) -> FactsImported:
    """Keep the facts of a CSV file, a FHIR R4 bundle or HL7 v2 ORU messages. The same file again changes nothing."""
    permit = evidence.authorize(ports, "facts", {"kind": "facts"})
    try:
        data = file.read_bytes()
    except OSError:
        raise Invalid("the file of facts cannot be read", "give a file that is there") from None
    source, told = Digest.of(data), _read(data)
    with ports.catalog.write() as tx:
        reasons = [each.reason if isinstance(each, Unmatched) else facts.problem(each) for each in told]
        whole = [each for each, reason in zip(told, reasons, strict=True) if isinstance(each, Told) and not reason]
        patients = _Patients(tx, whole)
        standing = {(fact.subject, fact.name): fact for fact in tx.facts.of(patients.subjects)}
        before = dict(standing)
        unmatched = tuple(_enter(told, reasons, patients, standing, source))
        new = [fact for key, fact in standing.items() if _differs(before.get(key), fact)]
        gone = [key for key in before if key not in standing]
        if new or gone:
            tx.facts.put(new)
            tx.facts.remove(gone)
            counts: dict[str, int | str] = {
                "kept": len(new),
                "withdrawn": len(gone),
                "facts": str(digest_of([new, gone])),
            }
            evidence.record(tx, ports, permit, {"kind": "facts", "id": str(source)}, counts)
    corrected = sum((fact.subject, fact.name) in before for fact in new)
    return FactsImported(added=len(new) - corrected, corrected=corrected, withdrawn=len(gone), unmatched=unmatched)


def show_facts(ports: Ports, patient_id: str) -> list[Fact]:
    """Return what is known of the patients with this Patient ID, or of this subject, oldest first. Raises NotFound."""
    permit = evidence.authorize(ports, "facts", {"kind": "facts"})
    with ports.catalog.read() as tx:
        subjects = sorted({each.subject for each in tx.instances.find(Level.PATIENT, patient_id)})
        found = tx.facts.of(subjects)
    if not subjects:
        raise NotFound("the catalog has no such patient", "see filmroom query --level patient")
    with ports.catalog.write() as tx:
        what = {"kind": "facts", "id": str(digest_of(subjects))}
        evidence.record(tx, ports, permit, what, {"shown": len(found)})
    return found


def _read(data: bytes) -> Sequence[Told | Unmatched]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # what older senders write; of codes nothing depends on it
    if text.lstrip("\x0b\r\n ").startswith(("MSH", "FHS", "BHS")):
        return hl7.read(text)
    if not text.lstrip().startswith("{"):
        return facts.read_csv(text)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid("the file of facts is not JSON", "write it again") from None
    return fhir.read_facts(document)


def _enter(
    told: Sequence[Told | Unmatched],
    reasons: Sequence[str],
    patients: "_Patients",
    standing: dict[_Key, Fact],
    source: Digest,
) -> Iterator[Unmatched]:
    """Bring what stands up to date with what is told, and yield the rest, in the order of the source."""
    unnamed: dict[_Key, Fact] = {}
    for each, flaw in zip(told, reasons, strict=True):
        reason = flaw or (_take(each, patients, standing, unnamed, source) if isinstance(each, Told) else "")
        if reason:
            yield Unmatched(each.place, reason)


def _take(
    told: Told, patients: "_Patients", standing: dict[_Key, Fact], unnamed: dict[_Key, Fact], source: Digest
) -> str:
    """Bring what stands up to date with one fact; return the code of why not, "" when it was."""
    subjects = patients.of(told)
    if len(subjects) != 1:
        return "patient-ambiguous" if subjects else "patient-unknown"
    key = (next(iter(subjects)), facts.name_of(told))
    if told.value is None:
        return "" if standing.pop(key, None) else "nothing-to-withdraw"
    fact = _fact(told, *key, source)
    if not told.name and unnamed.setdefault(key, fact) != fact:
        return "told-twice"
    standing[key] = fact
    return ""


def _fact(told: Told, subject: str, name: str, source: Digest) -> Fact:
    return Fact(
        subject=subject,
        name=name,
        kind=told.kind,
        code=told.code,
        value=told.value or "",
        unit=told.unit,
        meaning=told.meaning,
        at=facts.moment(told.at),
        source=source,
    )


def _differs(before: Fact | None, after: Fact) -> bool:
    """Say whether a fact is another than before, whichever file it came in."""
    return before is None or replace(before, source=after.source) != after


class _Patients:
    """The patients of the catalog that facts may be about."""

    def __init__(self, tx: Transaction, told: Sequence[Told]) -> None:
        self._known: dict[str, list[tuple[str, str]]] = {}
        for where in among("patient_id", (each.patient_id for each in told)):
            for row in tx.instances.query(where, Level.PATIENT, select=_PATIENT, order=None, limit=None):
                known = (str(row["subject"]), str(row["issuer"] or ""))
                self._known.setdefault(str(row["patient_id"]), []).append(known)

    @property
    def subjects(self) -> list[str]:
        return [subject for some in self._known.values() for subject, _ in some]

    def of(self, told: Told) -> set[str]:
        """Return who may be meant: with this Patient ID, and of no other issuer than the one that is named."""
        known = self._known.get(told.patient_id, [])
        return {subject for subject, issuer in known if told.issuer is None or issuer in ("", told.issuer)}


_PATIENT = ("subject", "patient_id", "issuer")
