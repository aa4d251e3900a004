"""freeze: clean instances, labels and a split become an immutable, signed dataset version.

Metadata only: no pixels are read. The same definition over the same facts gives the same root; when nothing changed
since the newest version, that version is the answer and no new one is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from filmroom.canon import canonical
from filmroom.crypto import derive, sign
from filmroom.deid import verify
from filmroom.dicom.normalize import reading
from filmroom.errors import FilmroomError, GateClosed, Invalid, Leaking, Refused
from filmroom.flow import evidence
from filmroom.flow.cohort import Resolution, cohort_version, resolve
from filmroom.flow.project import open_project
from filmroom.flow.sealed import SealedZone, project_subject
from filmroom.ids import Digest, Versioned, Zone, check_name
from filmroom.ports import Ports, Transaction
from filmroom.records import CleanInstance, Cohort, Criteria, Member, Row, Snapshot
from filmroom.snapshot import manifest
from filmroom.snapshot.cohort import Counts, Flow, Step, check_reason
from filmroom.snapshot.gates import Facts, Passage, holds, judge, needed, parse_gate
from filmroom.snapshot.leak import Leak, leaks
from filmroom.snapshot.leak import counts as leak_counts
from filmroom.snapshot.manifest import Circumstances, Definition, Leaks, Table
from filmroom.snapshot.split import Split, assign, keep, parse_split

ROOT, ENVELOPE = "snapshot.json", "snapshot.dsse.json"
_AT_ONCE = 500
_NOT_PROVEN = "verified under another profile or verifier, or not verifiable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """The snapshot, whether it was there before, how many matching instances stayed out, by reason, and what gates found.

    `leaks` counts what leaks between its parts and was allowed to, by kind.
    """

    snapshot: Versioned
    id: Digest
    root: Digest
    instances: int
    series: int
    studies: int
    patients: int
    splits: dict[str, int]
    left_out: dict[str, int]
    gates: tuple[Passage, ...]
    leaks: dict[str, int]
    existing: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a snapshot is asked to be: of a cohort that was defined, or of a condition that is only given here."""

    name: str
    criteria: Criteria
    cohort: Cohort | None


def freeze(
    ports: Ports,
    name: str = "",
    *,
    project: str = "",
    where: str = "",
    cohort: str = "",
    labels: Sequence[str] = (),
    split: str = "",
    stratify: Sequence[str] = (),
    seed: int = 0,
    allow_leak: str = "",
) -> Frozen:
    """Freeze the project's clean copies of what satisfies `where`, or of a cohort, by whose name it is called if by none.

    A split is by patient; `stratify` are columns, and labels as label:SET.FINDING, whose values all parts have alike. `allow_leak` says
    why parts may share people, pixels or earlier test data. Raises Leaking when they do without, Refused when there is nothing
    to freeze, Invalid when neither project nor cohort is named, or both and they differ.
    """
    if not (name or cohort):
        raise Invalid("a snapshot without a name", "give one, or --cohort, by whose name it is called")
    name = check_name(name or cohort.partition("@")[0])
    permit = evidence.authorize(ports, "freeze", {"kind": "snapshot", "id": name})
    with ports.catalog.read() as tx:
        asked = _asked(tx, name, project, where, cohort)
        requires = open_project(tx, asked.criteria.project, ports.clock.now()).requires
    salt = _query_salt(ports, asked.criteria.project)
    with ports.catalog.read() as tx:
        newest = tx.snapshots.latest(name)
        resolution = resolve(tx, ports, asked.criteria, labels=labels, stratify=stratify)
        definition = replace(
            _definition(asked, resolution, salt, parse_split(split, seed), stratify), requires=requires
        )
        before = tx.snapshots.parts(definition.project)
    parts = place(name, before, resolution, definition.split)
    found = _guard(parts, before, resolution, allow_leak)
    admitted = _admit(ports, definition, resolution, parts)
    if not admitted.rows:
        why = ", ".join(f"{count} {reason}" for reason, count in admitted.left_out.items()) or "no instance matches"
        advice = f"run: filmroom deidentify --project {definition.project}; what is held back: filmroom incomplete list"
        raise Refused(f"there is nothing to freeze: {why}", advice)
    gates = _judge(ports, definition, admitted)
    table = manifest.tabulate(admitted.rows)
    if newest is not None and (newest.root, newest.definition) == (table.root, definition.digest):
        return _frozen(newest, admitted.left_out, gates, found, existing=True)

    ref = Versioned(name, newest.ref.version + 1 if newest else 1)
    circumstances = Circumstances(
        catalog_sequence=resolution.sequence,
        code=ports.code,
        frozen_at=ports.clock.now(),
        frozen_by=permit.actor.name,
        parent=newest.id if newest else None,
        flow=_flow(resolution, table, definition),
        gates=gates,
        leaks=Leaks(why=allow_leak, found=leak_counts(found)) if found else None,
    )
    document = canonical(manifest.root_document(ref, definition, table, circumstances))
    snapshot = replace(
        _snapshot(ref, Digest.of(document), definition, table, circumstances), where=asked.criteria.where
    )
    _store(ports, snapshot, document, table.files)
    with ports.catalog.write() as tx:
        latest = tx.snapshots.latest(name)
        if (latest.ref if latest else None) != (newest.ref if newest else None):
            raise Refused(f"somebody else froze {name} in the meantime", "run it again")
        tx.snapshots.add(snapshot, _members(table.rows, admitted.digests))
        outcome: dict[str, int | str] = {
            "snapshot": str(snapshot.id),
            "root": str(table.root),
            "instances": len(table.rows),
            "leaks": len(found),
        }
        if gates:
            outcome["gates"] = "; ".join(f"{each.gate}: {each.count} of {each.total}" for each in gates)
        evidence.record(tx, ports, permit, {"kind": "snapshot", "id": str(ref)}, outcome, row=snapshot)
    return _frozen(snapshot, admitted.left_out, gates, found, existing=False)


def salt_of(research: SealedZone, project: str, pseudonym: str) -> bytes:
    """Return the patient's salt, which hides digests in manifests and dies with the patient's key."""
    return derive.hkdf(research.key(project_subject(project, pseudonym)), "commitment")


def _query_salt(ports: Ports, project: str) -> bytes:
    """Return the project's salt for commitments to queries."""
    return derive.hkdf(SealedZone(ports, Zone.RESEARCH).key(project_subject(project)), "query")


def _asked(tx: Transaction, name: str, project: str, where: str, cohort: str) -> _Asked:
    if not cohort:
        if not project:
            raise Invalid("whose clean copies are to be frozen?", "give --project, or --cohort")
        return _Asked(name, Criteria(project=project, where=where), None)
    found = cohort_version(tx, cohort)
    if where or project not in ("", found.criteria.project):
        raise Invalid(f"{found.ref} has a condition and a project of its own", "leave out --where and --project")
    return _Asked(name, found.criteria, found)


def place(
    name: str, before: Sequence[tuple[Versioned, str, str]], resolution: Resolution, split: Split
) -> dict[str, str]:
    """Return the part of each patient, by pseudonym, in the next version of a snapshot; `before` is where they were."""
    kept = keep(((ref.name == name, part, patient) for ref, part, patient in before), split)
    return assign(resolution.strata, split, kept)


def _guard(
    parts: Mapping[str, str], before: Sequence[tuple[Versioned, str, str]], resolution: Resolution, allowed: str
) -> list[Leak]:
    """Return what leaks between parts, when somebody said why it may. Raises Leaking."""
    found = leaks(
        parts,
        resolution.same_person,
        ((each.pseudonym, each.pixel_digest) for each in resolution.eligible),
        ((str(ref), part, patient) for ref, part, patient in before),
    )
    if found and not check_reason(allowed):
        first = found[0]
        kinds = ", ".join(f"{count} {code}" for code, count in leak_counts(found).items())
        example = f"{first.code}: {' and '.join(first.patients)} in {' and '.join(first.parts)}"
        raise Leaking(
            f"what a part holds leaks into another ({kinds}), for example {example}",
            "leave one side out by a cohort's exclusion, or give --allow-leak a reason, which the snapshot will bear",
            found,
        )
    return found


def _definition(
    asked: _Asked, resolution: Resolution, salt: bytes, split: Split, stratify: Sequence[str]
) -> Definition:
    cohort = asked.cohort
    return Definition(
        project=asked.criteria.project,
        where=derive.commitment(salt, Digest.of(asked.criteria.where.encode())),
        cohort=cohort.ref if cohort else None,
        criteria=derive.commitment(salt, cohort.digest) if cohort else None,
        label_sets=resolution.label_sets,
        split=split,
        stratify=tuple(stratify),
        profile=resolution.profile,
        verifier=verify.VERIFIER,
    )


@dataclass(frozen=True, slots=True)
class _Admitted:
    """The rows whose verifier's records hold, their copies by SOP Instance UID, their sources, and how many stayed out, by
    reason.
    """

    rows: list[Row]
    digests: dict[str, Digest]
    sources: list[Digest]
    left_out: dict[str, int]


def _admit(ports: Ports, definition: Definition, resolution: Resolution, parts: Mapping[str, str]) -> _Admitted:
    """Prove every copy, some hundreds at a time: each record's signature is checked, which is what takes the time."""
    research = SealedZone(ports, Zone.RESEARCH)
    research.ensure(project_subject(definition.project, pseudonym) for pseudonym in parts)
    salts = {pseudonym: salt_of(research, definition.project, pseudonym) for pseudonym in parts}
    public_key = ports.keys.public_key()
    rows: list[Row] = []
    digests: dict[str, Digest] = {}
    sources: list[Digest] = []
    left_out = dict(resolution.left_out)
    with ports.progress.task("freeze", len(resolution.eligible)) as advance, ports.catalog.read() as tx:
        for start in range(0, len(resolution.eligible), _AT_ONCE):
            some = resolution.eligible[start : start + _AT_ONCE]
            copies = {copy.id: copy for copy in tx.copies.some([each.copy for each in some])}
            for each in some:
                try:
                    clean = verify.admit(copies[each.copy], public_key=public_key, profile=definition.profile)
                except FilmroomError as error:
                    reason = f"{error.code}: {_NOT_PROVEN}"
                    left_out[reason] = left_out.get(reason, 0) + 1
                    continue
                rows.append(_row(clean, salts[clean.subject], parts[clean.subject], each.labels))
                digests[clean.sop_uid] = clean.digest
                sources.append(copies[each.copy].source)
            advance(len(some))
    return _Admitted(rows, digests, sources, dict(sorted(left_out.items())))


def _judge(ports: Ports, definition: Definition, admitted: _Admitted) -> tuple[Passage, ...]:
    """Return what the project's gates found. Raises GateClosed with every figure that is too low."""
    gates = [parse_gate(text) for text in definition.requires]
    if not gates:
        return ()
    with ports.catalog.read() as tx:
        facts = Facts(
            rows=list(tx.quality.rows(admitted.sources, needed(gates))),
            left_out=sum(admitted.left_out.values()),
            labelled=sum(bool(row.labels) for row in admitted.rows),
            entries=[tx.labels.entries(ref.name, ref.version) for ref in definition.label_sets],
            read=reading,
        )
    passages = tuple(judge(gate, facts) for gate in gates)
    closed = [each for gate, each in zip(gates, passages, strict=True) if not holds(gate, each)]
    if closed:
        figures = ", ".join(f"{each.gate} is {each.count} of {each.total}" for each in closed)
        advice = f"mend the data, narrow the condition, or see: filmroom quality --project {definition.project}"
        raise GateClosed(f"a gate of project {definition.project} does not hold: {figures}", advice)
    return passages


def _row(clean: CleanInstance, salt: bytes, part: str, labels: Mapping[str, str]) -> Row:
    return Row(
        subject=clean.subject,
        study_uid=clean.study_uid,
        series_uid=clean.series_uid,
        sop_uid=clean.sop_uid,
        modality=clean.modality,
        frames=clean.frames,
        commitment=derive.commitment(salt, clean.digest),
        attestation=clean.attestation,
        split=part,
        labels=labels,
    )


def _flow(resolution: Resolution, table: Table, definition: Definition) -> Flow:
    """Return the cohort's figure with the parts, and with those at its end whose copies could not be proven."""
    flow, left = resolution.flow, Counts(**manifest.counts(table.rows))
    steps = flow.steps
    if left.instances < flow.end.instances:
        steps = (*steps, Step(reason=_NOT_PROVEN, excluded=flow.end - left, left=left))
    parts = {
        name: Counts(**manifest.counts([row for row in table.rows if row.split == name]))
        for name in definition.split.names
    }
    return replace(flow, steps=steps, parts=parts)


def _members(rows: Sequence[Row], digests: Mapping[str, Digest]) -> list[Member]:
    return [
        Member(position=position, copy=digests[row.sop_uid], subject=row.subject, split=row.split)
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
        cohort=definition.cohort,
        label_sets=tuple(map(str, definition.label_sets)),
        frozen_at=circumstances.frozen_at,
        frozen_by=circumstances.frozen_by,
    )


def _frozen(
    snapshot: Snapshot,
    left_out: dict[str, int],
    gates: tuple[Passage, ...],
    found: Sequence[Leak],
    *,
    existing: bool,
) -> Frozen:
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
        gates=gates,
        leaks=leak_counts(found),
        existing=existing,
    )
