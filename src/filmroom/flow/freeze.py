"""freeze: clean instances, labels and a split become an immutable, signed dataset version.

Metadata only: no pixels are read. The same definition over the same facts gives the same root; when nothing changed
since the newest version, that version is the answer and no new one is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from filmroom.canon import canonical
from filmroom.catalog import labels as ledgers
from filmroom.crypto import derive, sign
from filmroom.deid import profile as profiles
from filmroom.deid import verify
from filmroom.errors import FilmroomError, Refused
from filmroom.flow import evidence
from filmroom.flow.incomplete import why_not
from filmroom.flow.labels import label_version
from filmroom.flow.project import open_project
from filmroom.flow.sealed import SealedZone, project_subject
from filmroom.ids import Digest, Versioned, Zone, check_name
from filmroom.ports import Ports, Transaction
from filmroom.records import CleanInstance, Copy, CopyState, Member, Row, Snapshot, StoredInstance
from filmroom.snapshot import manifest
from filmroom.snapshot.manifest import Circumstances, Definition, Table
from filmroom.snapshot.split import parse_split, part_of

ROOT, ENVELOPE = "snapshot.json", "snapshot.dsse.json"
_LEFT_OUT = {
    CopyState.REVIEW: "waiting for review",
    CopyState.REFUSED: "refused by de-identification",
    CopyState.FAILED: "not readable when it was to be de-identified",
}
_DAMAGED = "damaged in the clinical zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """The snapshot, whether it was there before, and how many matching instances stayed out, by reason."""

    snapshot: Versioned
    id: Digest
    root: Digest
    instances: int
    series: int
    studies: int
    patients: int
    splits: dict[str, int]
    left_out: dict[str, int]
    existing: bool


@dataclass(frozen=True, slots=True)
class _Cohort:
    """What a definition resolves to, at one sequence number of the catalog."""

    pairs: tuple[tuple[StoredInstance, CleanInstance], ...]
    left_out: dict[str, int]
    labels: ledgers.Resolved
    sequence: int
    newest: Snapshot | None


def freeze(
    ports: Ports,
    name: str,
    *,
    project: str,
    where: str = "",
    labels: Sequence[str] = (),
    split: str = "",
    seed: int = 0,
) -> Frozen:
    """Freeze the project's clean copies of what satisfies `where`. Raises Refused when there are none."""
    permit = evidence.authorize(ports, "freeze", {"kind": "snapshot", "id": check_name(name)})
    with ports.catalog.read() as tx:
        open_project(tx, project, ports.clock.now())
    salt = _query_salt(ports, project)
    with ports.catalog.read() as tx:
        definition = Definition(
            project=project,
            where=derive.commitment(salt, Digest.of(where.encode())),
            label_sets=tuple(label_version(tx, ref) for ref in labels),
            split=parse_split(split, seed),
            profile=profiles.load(tx.projects.get(project).profile).digest,
            verifier=verify.VERIFIER,
        )
        cohort = _resolve(tx, ports, name, definition, where)
    if not cohort.pairs:
        why = ", ".join(f"{count} {reason}" for reason, count in cohort.left_out.items()) or "no instance matches"
        advice = f"run: filmroom deidentify --project {project}; what is held back: filmroom incomplete list"
        raise Refused(f"there is nothing to freeze: {why}", advice)
    table = manifest.tabulate(_rows(ports, definition, cohort))
    newest = cohort.newest
    if newest is not None and (newest.root, newest.definition) == (table.root, definition.digest):
        return _frozen(newest, cohort.left_out, existing=True)

    ref = Versioned(name, newest.ref.version + 1 if newest else 1)
    circumstances = Circumstances(
        catalog_sequence=cohort.sequence,
        code=ports.code,
        frozen_at=ports.clock.now(),
        frozen_by=permit.actor.name,
        parent=newest.id if newest else None,
    )
    document = canonical(manifest.root_document(ref, definition, table, circumstances))
    snapshot = replace(_snapshot(ref, Digest.of(document), definition, table, circumstances), where=where)
    _store(ports, snapshot, document, table.files)
    with ports.catalog.write() as tx:
        latest = tx.snapshots.latest(name)
        if (latest.ref if latest else None) != (newest.ref if newest else None):
            raise Refused(f"somebody else froze {name} in the meantime", "run it again")
        tx.snapshots.add(snapshot, _members(table.rows, cohort))
        outcome: dict[str, int | str] = {
            "snapshot": str(snapshot.id),
            "root": str(table.root),
            "instances": len(table.rows),
        }
        evidence.record(tx, ports, permit, {"kind": "snapshot", "id": str(ref)}, outcome, row=snapshot)
    return _frozen(snapshot, cohort.left_out, existing=False)


def salt_of(research: SealedZone, project: str, pseudonym: str) -> bytes:
    """Return the patient's salt, which hides digests in manifests and dies with the patient's key."""
    return derive.hkdf(research.key(project_subject(project, pseudonym)), "commitment")


def _query_salt(ports: Ports, project: str) -> bytes:
    """Return the project's salt for commitments to queries."""
    return derive.hkdf(SealedZone(ports, Zone.RESEARCH).key(project_subject(project)), "query")


def _resolve(tx: Transaction, ports: Ports, name: str, definition: Definition, where: str) -> _Cohort:
    targets = {target.digest: target for target in tx.instances.matching(where)}
    found = tx.copies.of(definition.project, list(targets), definition.profile, definition.verifier)
    copies = {copy.source: copy for copy in found}
    left_out: dict[str, int] = {}
    pairs: list[tuple[StoredInstance, CleanInstance]] = []
    public_key = ports.keys.public_key()
    unfit = tx.wholeness.unfit(ports.clock.now() - ports.quiet)
    for digest, target in targets.items():
        # What a damaged source gave cannot be made again, so a new version does without it.
        reason = _DAMAGED if target.damage else why_not(unfit, target) or _why_not(copies.get(digest))
        if not reason:
            try:
                pairs.append((target, verify.admit(copies[digest], public_key=public_key, profile=definition.profile)))
                continue
            except FilmroomError as error:
                reason = f"{error.code}: verified under another profile or verifier, or not verifiable"
        left_out[reason] = left_out.get(reason, 0) + 1
    resolved: ledgers.Resolved = {}
    for ref in definition.label_sets:
        for target_key, findings in ledgers.resolve(tx.labels.entries(ref.name, ref.version)).items():
            resolved.setdefault(target_key, {}).update(findings)
    return _Cohort(tuple(pairs), dict(sorted(left_out.items())), resolved, tx.log.size(), tx.snapshots.latest(name))


def _why_not(copy: Copy | None) -> str:
    if copy is None:
        return "not de-identified yet"
    if copy.state is not CopyState.CLEAN:
        return _LEFT_OUT[copy.state]
    return ""


def _rows(ports: Ports, definition: Definition, cohort: _Cohort) -> list[Row]:
    research = SealedZone(ports, Zone.RESEARCH)
    research.ensure(project_subject(definition.project, clean.subject) for _, clean in cohort.pairs)
    salts = {
        subject: salt_of(research, definition.project, subject)
        for subject in {clean.subject for _, clean in cohort.pairs}
    }
    return [
        Row(
            subject=clean.subject,
            study_uid=clean.study_uid,
            series_uid=clean.series_uid,
            sop_uid=clean.sop_uid,
            modality=clean.modality,
            frames=clean.frames,
            commitment=derive.commitment(salts[clean.subject], clean.digest),
            attestation=clean.attestation,
            split=part_of(clean.subject, definition.split),
            labels=ledgers.labels_of(target.names, cohort.labels),
        )
        for target, clean in cohort.pairs
    ]


def _members(rows: Sequence[Row], cohort: _Cohort) -> list[Member]:
    copies = {clean.sop_uid: clean.digest for _, clean in cohort.pairs}
    return [
        Member(position=position, copy=copies[row.sop_uid], subject=row.subject, split=row.split)
        for position, row in enumerate(rows)
    ]


def _store(ports: Ports, snapshot: Snapshot, document: bytes, files: Sequence[tuple[str, bytes]]) -> None:
    research = SealedZone(ports, Zone.RESEARCH)
    subject = project_subject(snapshot.project)
    research.ensure([subject])
    envelope = sign.dsse(manifest.PAYLOAD_TYPE, document, ports.keys.sign, ports.keys.public_key())
    for name, data in (*files, (ENVELOPE, envelope.encode()), (ROOT, document)):
        research.put(object_name(snapshot.id, name), subject, data)


def object_name(snapshot: Digest, name: str) -> str:
    """Return where a file of a snapshot's manifest lies in the research zone."""
    return f"snapshots/{snapshot.hex}/{name}"


def _snapshot(
    ref: Versioned, id: Digest, definition: Definition, table: Table, circumstances: Circumstances
) -> Snapshot:
    return Snapshot(
        ref=ref,
        id=id,
        root=table.root,
        definition=definition.digest,
        project=definition.project,
        where="",
        **manifest.counts(table.rows),
        splits=manifest.splits(table.rows, definition.split),
        label_sets=tuple(map(str, definition.label_sets)),
        frozen_at=circumstances.frozen_at,
        frozen_by=circumstances.frozen_by,
    )


def _frozen(snapshot: Snapshot, left_out: dict[str, int], *, existing: bool) -> Frozen:
    return Frozen(
        snapshot=snapshot.ref,
        id=snapshot.id,
        root=snapshot.root,
        instances=snapshot.instances,
        series=snapshot.series,
        studies=snapshot.studies,
        patients=snapshot.patients,
        splits=dict(snapshot.splits),
        left_out=left_out,
        existing=existing,
    )
