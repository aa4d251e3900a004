"""quarantine: what was refused at the door, kept until a person decides.

What is released becomes the current revision, its faults on record as findings; a revision that was current before is
superseded, not erased.
"""

from dataclasses import replace

from filmroom.errors import Refused
from filmroom.flow import evidence
from filmroom.flow.incomplete import judge_series
from filmroom.flow.reception import QUARANTINE, UID_CONFLICT
from filmroom.flow.sealed import SealedZone, patient_subject
from filmroom.ids import Zone
from filmroom.ports import Ports, Transaction
from filmroom.records import Case, CaseState, Finding, Instance, InstanceState, Permit, Severity


def cases(ports: Ports, *, state: CaseState | None = CaseState.OPEN) -> list[Case]:
    """List cases, the open ones unless told otherwise."""
    evidence.authorize(ports, "quarantine")
    with ports.catalog.read() as tx:
        return tx.cases.all(state)


def show_case(ports: Ports, case: str) -> Case:
    """Show one case. Raises NotFound."""
    evidence.authorize(ports, "quarantine", {"kind": "case", "id": case})
    with ports.catalog.read() as tx:
        return tx.cases.get(case)


def release_case(ports: Ports, case: str, *, why: str = "") -> Case:
    """Let a case in. Raises Refused when too little of it can be read, or when it was decided before."""
    permit = evidence.authorize(ports, "quarantine", {"kind": "case", "id": case})
    with ports.catalog.read() as tx:
        found = tx.cases.get(case)
    if found.instance is None:
        raise Refused(
            "this object cannot be let in: it is an image file, or what names it in the catalog cannot be read",
            f"repair it at the source and import it again, or: filmroom quarantine reject {case} --why TEXT",
        )
    if found.state is not CaseState.OPEN:
        raise Refused(f"this case was {found.state} before", "see filmroom quarantine show")
    if _is_conflict(found):
        with ports.catalog.write() as tx:
            decided = _decide(tx, ports, permit, found, CaseState.RELEASED, why)
            _make_current(tx, ports, found.instance)
            return decided
    return _let_in(ports, permit, found, found.instance, why)


def reject_case(ports: Ports, case: str, *, why: str) -> Case:
    """Keep a case out for good. Its bytes stay, sealed, until retention ends. Raises Refused when decided before."""
    permit = evidence.authorize(ports, "quarantine", {"kind": "case", "id": case})
    with ports.catalog.write() as tx:
        found = tx.cases.get(case)
        if _is_conflict(found) and found.instance is not None and found.state is CaseState.OPEN:
            tx.instances.set_state(found.digest, InstanceState.REJECTED)
        decided = _decide(tx, ports, permit, found, CaseState.REJECTED, why)
        if found.instance is not None:
            judge_series(tx, found.instance.series_uid, ports.clock.now())
        return decided


def _let_in(ports: Ports, permit: Permit, case: Case, instance: Instance, why: str) -> Case:
    """Seal the bytes anew under the patient's key, and catalog the instance with its faults as findings."""
    zone = SealedZone(ports, Zone.CLINICAL)
    data = zone.get_content(case.digest, case.subject, below=QUARANTINE)
    subject = patient_subject(ports, instance.issuer, instance.patient_id, instance.study_uid)
    zone.ensure([subject])
    zone.put(zone.name_of(case.digest), subject, data)
    faults = tuple(Finding(reason.code, Severity.ERROR, "released") for reason in case.reasons)
    released = replace(instance, findings=instance.findings + faults)
    with ports.catalog.write() as tx:
        decided = _decide(tx, ports, permit, case, CaseState.RELEASED, why)
        tx.instances.add([(released, subject, case.batch, InstanceState.CONFLICT)])
        _make_current(tx, ports, released)
        return decided


def _make_current(tx: Transaction, ports: Ports, instance: Instance) -> None:
    """Let the instance supersede the revision that was current, which may have been of another series."""
    before = list(tx.instances.revisions([instance.sop_uid]).values())
    for each in before:
        tx.instances.set_state(each.digest, InstanceState.SUPERSEDED)
    tx.instances.set_state(instance.digest, InstanceState.CURRENT)
    for series_uid in sorted({instance.series_uid, *(each.series_uid for each in before)}):
        judge_series(tx, series_uid, ports.clock.now())


def _decide(tx: Transaction, ports: Ports, permit: Permit, case: Case, state: CaseState, why: str) -> Case:
    tx.cases.decide(case.id, state, permit.actor.name, ports.clock.now(), why)
    evidence.record(tx, ports, permit, {"kind": "case", "id": case.id}, {"state": state})
    return tx.cases.get(case.id)


def _is_conflict(case: Case) -> bool:
    return any(reason.code == UID_CONFLICT for reason in case.reasons)
