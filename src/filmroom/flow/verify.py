"""verify, reproduce: does a snapshot still hold, and can it be made again?

`verify` trusts nothing that it can compute: id, signature, row files, Merkle root, and for every member that its copy
opens, has its digest, matches its commitment and carries the verifier's signed record. `reproduce` starts in the
clinical zone and makes every copy and every shard anew, without keeping them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from filmroom.canon import Json, digest_of, rfc3339
from filmroom.crypto import derive, sign
from filmroom.deid import profile as profiles
from filmroom.deid import verify as verifier
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.errors import Corrupt, FilmroomError, KeyGone, NotFound, Refused
from filmroom.flow import build, evidence
from filmroom.flow.deidentify import extent_of, make, slices_of
from filmroom.flow.freeze import ENVELOPE, ROOT, object_name, salt_of
from filmroom.flow.sealed import SealedZone, project_subject
from filmroom.flow.snapshots import Manifest, read_manifest
from filmroom.ids import Digest, Versioned, Zone
from filmroom.ports import Ports
from filmroom.records import Copy, Member, Permit, Row
from filmroom.snapshot import manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether all is as it was frozen, how many things were checked, and each problem in words."""

    ok: bool
    checked: int
    problems: tuple[str, ...]
    seconds: float


def verify(ports: Ports, ref: Versioned) -> Verdict:
    """Check a snapshot against its id, signature and root, and every copy and shard of it. Raises NotFound."""
    permit = evidence.authorize(ports, "verify", {"kind": "snapshot", "id": str(ref)})
    return _judge(ports, permit, ref, lambda found: _members_hold(ports, found))


def reproduce(ports: Ports, ref: Versioned) -> Verdict:
    """Make the snapshot again from the clinical zone, and compare rows and shard contents. Raises NotFound."""
    permit = evidence.authorize(ports, "reproduce", {"kind": "snapshot", "id": str(ref)})
    return _judge(ports, permit, ref, lambda found: _members_come_again(ports, found))


def _judge(ports: Ports, permit: Permit, ref: Versioned, check: Callable[[Manifest], Iterator[str]]) -> Verdict:
    started = ports.clock.monotonic()
    with ports.catalog.read() as tx:
        tx.snapshots.get(ref)
    problems: list[str] = []
    checked = 0
    try:
        found = read_manifest(ports, ref)
        problems += _root_holds(ports, found)
        for problem in check(found):
            checked += 1
            problems += [problem] if problem else []
    except (NotFound, KeyGone, Corrupt) as error:
        problems.append(error.what)
    with ports.catalog.write() as tx:
        outcome: dict[str, int | str] = {"checked": checked, "problems": len(problems)}
        evidence.record(tx, ports, permit, {"kind": "snapshot", "id": str(ref)}, outcome)
    return Verdict(
        ok=not problems,
        checked=checked,
        problems=tuple(problems),
        seconds=round(ports.clock.monotonic() - started, 3),
    )


def _root_holds(ports: Ports, found: Manifest) -> list[str]:
    snapshot = found.snapshot
    problems = []
    if manifest.root_of(found.rows) != snapshot.root or found.document["root"] != str(snapshot.root):
        problems.append("the rows do not add up to the root")
    research = SealedZone(ports, Zone.RESEARCH)
    subject = project_subject(snapshot.project)
    try:
        envelope = research.get(object_name(snapshot.id, ENVELOPE), subject).decode()
        kind, payload = sign.open_dsse(envelope, ports.keys.public_key())
        if kind != manifest.PAYLOAD_TYPE or payload != research.get(object_name(snapshot.id, ROOT), subject):
            problems.append("the signature is over another document")
    except (FilmroomError, UnicodeDecodeError):
        problems.append("the signature does not hold")
    return problems


def _members_hold(ports: Ports, found: Manifest) -> Iterator[str]:
    """Yield "" or a problem for the catalog's record, for each member, and for each object of each shardset."""
    research = SealedZone(ports, Zone.RESEARCH)
    yield from _catalog_agrees(found)
    members, copies = _members(ports, found)
    with ports.progress.task("verify", len(members)) as advance:
        for member, row in zip(members, found.rows, strict=True):
            problem = _copy_holds(research, found, row, member) or _pass_holds(ports, found, row, copies)
            yield f"member {member.position}: {problem}" if problem else ""
            advance(1)
    for shardset in build.of_snapshot(ports, found.snapshot.ref):
        yield from build.objects_hold(ports, shardset)


def _catalog_agrees(found: Manifest) -> Iterator[str]:
    """The catalog's record of a snapshot says nothing that its signed document does not."""
    snapshot, document = found.snapshot, found.document
    counts = {
        "instances": snapshot.instances,
        "series": snapshot.series,
        "studies": snapshot.studies,
        "patients": snapshot.patients,
    }
    definition = _definition(found)
    agree = {
        "counts": document["counts"] == counts,
        "splits": document["splits"] == dict(snapshot.splits),
        "definition": digest_of(definition) == snapshot.definition,
        "cohort": definition["cohort"] == (str(snapshot.cohort) if snapshot.cohort else None),
        "labels": definition["labels"] == list(snapshot.label_sets),
        "project": definition["project"] == snapshot.project,
        "name": Versioned(str(document["name"]), int(str(document["version"]))) == snapshot.ref,
        "frozen by": document["frozen_by"] == snapshot.frozen_by,
        "frozen at": document["frozen_at"] == rfc3339(snapshot.frozen_at),
    }
    for what, same in agree.items():
        yield "" if same else f"the catalog's {what} differ from the signed document's"


def _copy_holds(research: SealedZone, found: Manifest, row: Row, member: Member) -> str:
    project = found.snapshot.project
    if (member.subject, member.split) != (row.subject, row.split):
        return "the catalog has another patient or part for it than the manifest"
    try:
        research.get_content(member.copy, project_subject(project, row.subject))
    except (NotFound, KeyGone, Corrupt) as error:
        return error.what
    if derive.commitment(salt_of(research, project, row.subject), member.copy) != row.commitment:
        return "the copy is not the one that the manifest commits to"
    return ""


def _pass_holds(ports: Ports, found: Manifest, row: Row, copies: Mapping[Digest, Copy]) -> str:
    """Judge by the profile and verifier of the day on which it was frozen; newer ones do not make it untrue."""
    copy = copies.get(row.attestation)
    if copy is None:
        return "the verifier's record in the manifest is gone from the catalog"
    definition = _definition(found)
    try:
        verifier.admit(
            copy,
            public_key=ports.keys.public_key(),
            profile=Digest.parse(str(definition["profile"])),
            verifier=str(definition["verifier"]),
        )
    except (Refused, Corrupt) as error:
        return f"its verifier's record does not hold: {error.what}"
    return ""


def _members_come_again(ports: Ports, found: Manifest) -> Iterator[str]:
    """Yield "" or a problem for each member made anew, and for each object of each shardset made anew.

    A member whose source, record or key is gone is one problem; the others are looked at all the same.
    """
    clinical, research = SealedZone(ports, Zone.CLINICAL), SealedZone(ports, Zone.RESEARCH)
    members, copies = _members(ports, found)
    with ports.catalog.read() as tx:
        project = tx.projects.get(found.snapshot.project)
        sources = tx.instances.some([copy.source for copy in copies.values()])
    profile = profiles.load(project.profile)
    pseudonyms = Pseudonyms(ports.keys.pseudonym_key(project.name))
    remade: dict[Digest, bytes] = {}
    with ports.progress.task("reproduce", len(members)) as advance:
        for member, row in zip(members, found.rows, strict=True):
            advance(1)
            copy = copies.get(row.attestation)
            if copy is None:
                yield f"member {member.position}: its verifier's record is gone from the catalog"
                continue
            source = sources[copy.source]
            try:
                salt = salt_of(research, project.name, row.subject)
                data = clinical.get_content(source.digest, source.subject)
            except (NotFound, KeyGone, Corrupt) as error:
                yield f"member {member.position}: {error.what}"
                continue
            made = make(ports, project, profile, pseudonyms, source.digest, data, extent_of(copy), slices_of(copy)).data
            if made is None or derive.commitment(salt, Digest.of(made)) != row.commitment:
                yield f"member {member.position}: came out differently"
                continue
            remade[member.copy] = made
            yield ""
    for shardset in build.of_snapshot(ports, found.snapshot.ref):
        yield from build.comes_again(ports, shardset, found, members, remade)


def _members(ports: Ports, found: Manifest) -> tuple[Sequence[Member], dict[Digest, Copy]]:
    """Return the members, and their copies by the digest of the verifier's record that the manifest names."""
    with ports.catalog.read() as tx:
        members = tx.snapshots.members(found.snapshot.ref)
        copies = {
            Digest.of(copy.attestation.encode()): copy
            for copy in tx.copies.by_digest([member.copy for member in members])
            if copy.project == found.snapshot.project and copy.attestation is not None
        }
    if len(members) != len(found.rows):
        raise Corrupt("the catalog has another number of members than the manifest", "restore the catalog")
    return members, copies


def _definition(found: Manifest) -> dict[str, Json]:
    definition = found.document["definition"]
    assert isinstance(definition, dict)
    return definition
