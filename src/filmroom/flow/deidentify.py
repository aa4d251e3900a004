"""deidentify: make verified copies for a project.

Every copy is made and judged by `deid.judge`. A copy that passes is signed for and sealed into the research zone; one that
needs eyes is kept in the clinical zone until somebody looks; one that fails is not kept at all. Sources that this profile and this verifier dealt with before are left alone, so an
interrupted run goes on where it stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

from filmroom.canon import canonical
from filmroom.crypto import sign
from filmroom.deid import faces, survey, verify
from filmroom.deid import profile as profiles
from filmroom.deid.apply import NotApplied
from filmroom.deid.eyes import READ, SERIES_READ, Extent, is_reconstruction
from filmroom.deid.judge import Judged, judge
from filmroom.deid.profile import Profile
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.errors import Corrupt, KeyGone, NotFound
from filmroom.flow import evidence
from filmroom.flow.crosswalk import Crosswalk
from filmroom.flow.project import open_project
from filmroom.flow.sealed import SealedZone, project_subject
from filmroom.ids import Digest, Zone
from filmroom.ports import Ports
from filmroom.records import Copy, CopyState, Finding, Level, Project, Reason, Severity, StoredInstance

GROUP = 32
REVIEW = "review/"
"""Where copies wait for eyes in the clinical zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of a run. `failed` are sources that could not be read; they are tried again by the next run.

    `elements` and `frames` were looked at by the verifier, in clean copies and others.
    """

    run: str
    project: str
    profile: Digest
    instances: int
    clean: int
    review: int
    refused: int
    failed: int
    already: int
    elements: int
    frames: int
    seconds: float
    findings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Made:
    """A copy on its way: the record, and the bytes when there are any."""

    copy: Copy
    data: bytes | None = field(repr=False)


def deidentify(ports: Ports, project: str, *, where: str = "") -> Run:
    """De-identify the current instances that satisfy `where`. Raises NotFound for a project that does not exist."""
    permit = evidence.authorize(ports, "deidentify", {"kind": "project", "id": project})
    started = ports.clock.monotonic()
    run = f"run-{ports.entropy.draw(6).hex()}"
    with ports.catalog.read() as tx:
        found = open_project(tx, project, ports.clock.now())
        profile = profiles.load(found.profile)
        done = tx.copies.done(project, profile.digest, verify.VERIFIER)
        targets = list(tx.instances.matching(where))
    todo = [target for target in targets if target.digest not in done]
    copies: list[Copy] = []
    with ports.progress.task("deidentify", len(todo)) as advance:
        for made in _in_groups(_make_all(ports, found, profile, todo)):
            _keep(ports, made)
            with ports.catalog.write() as tx:
                # Somebody may have decided about one of these while they were being made.
                sources = [each.copy.source for each in made]
                decided = tx.copies.of(project, sources, profile.digest, verify.VERIFIER)
                standing = {copy.source for copy in decided if copy.state is not CopyState.FAILED}
                tx.copies.put([each.copy for each in made if each.copy.source not in standing])
                what = {"kind": "project", "id": project, "run": run, "profile": str(profile.digest)}
                evidence.record(tx, ports, permit, what, _states(each.copy for each in made))
            copies += [each.copy for each in made]
            advance(len(made))
    return Run(
        run=run,
        project=project,
        profile=profile.digest,
        instances=len(targets),
        **_states(copies),
        already=len(targets) - len(todo),
        elements=sum(copy.coverage.elements for copy in copies if copy.coverage),
        frames=sum(copy.coverage.frames for copy in copies if copy.coverage),
        seconds=round(ports.clock.monotonic() - started, 3),
        findings=_codes(copies),
    )


def _make_all(ports: Ports, project: Project, profile: Profile, targets: Sequence[StoredInstance]) -> Iterator[Made]:
    clinical = SealedZone(ports, Zone.CLINICAL)
    pseudonyms = Pseudonyms(ports.keys.pseudonym_key(project.name))
    crosswalk = Crosswalk(ports, project.name)
    for _, series in groupby(targets, key=lambda target: target.series_uid):
        slices = list(series)
        extent = _survey(ports, clinical, slices)
        with ports.catalog.read() as tx:  # not everything of a series need be among the targets
            whole = len(tx.instances.find(Level.SERIES, slices[0].series_uid))
        for target in slices:
            try:
                source = _source(clinical, target)
            except (NotFound, KeyGone, Corrupt) as error:
                reasons = (Reason(error.code, error.what),)
                yield Made(_without_copy(project, profile, target.digest, reasons, failed=True), None)
                continue
            made = make(ports, project, profile, pseudonyms, target.digest, source, extent, whole)
            if made.data is not None:
                crosswalk.note(made.copy.subject, source)
            yield made


def _source(clinical: SealedZone, target: StoredInstance) -> bytes:
    if target.damage:
        raise Corrupt(f"object {target.digest} was {target.damage} when it was read back", "import it again")
    return clinical.get_content(target.digest, target.subject)


def _survey(ports: Ports, clinical: SealedZone, series: Sequence[StoredInstance]) -> Extent:
    slices = [target for target in series if is_reconstruction(target.sop_class)]  # not everything of a series need be
    if ports.readers is None or not slices:
        return Extent.NOTHING
    return survey.extent(slices, lambda target: _source(clinical, target), ports.readers)


def extent_of(copy: Copy) -> Extent:
    """Return how much was read of the pixels that this copy was made of."""
    codes = {finding.code for finding in copy.findings}
    return Extent.FRAMES if READ in codes else Extent.SERIES if SERIES_READ in codes else Extent.NOTHING


def slices_of(copy: Copy) -> int | None:
    """Return of how long a series this copy was made: 1 for too short a one to show a face, None for any other."""
    codes = {finding.code for finding in copy.findings}
    return None if codes & {faces.POSSIBLE, faces.NOT_EXCLUDED} else 1


def make(
    ports: Ports,
    project: Project,
    profile: Profile,
    pseudonyms: Pseudonyms,
    digest: Digest,
    source: bytes,
    extent: Extent = Extent.NOTHING,
    slices: int | None = None,
) -> Made:
    """Make and judge one copy. The same source, profile, project key, readers, extent and slices always give the same bytes.

    `digest` is the source's, which fetching it has proven. `extent` is what was read of the series: with FRAMES, or where the
    source leaves doubts, every frame is. `slices` is how many objects the series has, None where that is not known.
    """
    judged = judge(source, profile, pseudonyms, ports.readers, extent, slices)
    if isinstance(judged, NotApplied):
        return Made(_without_copy(project, profile, digest, judged.reasons, subject=judged.subject), None)
    copy = _copy(project, profile, digest, judged)
    match judged.verdict:
        case verify.Passed() as passed:
            return Made(signed(ports, copy, passed), judged.data)
        case verify.Residue() as residue:
            waits = residue.needs_eyes_only
            kept_back = replace(
                copy,
                state=CopyState.REVIEW if waits else CopyState.REFUSED,
                findings=residue.findings,
                coverage=residue.coverage,
                reasons=in_words(residue.findings),
            )
            return Made(kept_back, judged.data if waits else None)


def signed(ports: Ports, copy: Copy, passed: verify.Passed) -> Copy:
    """Return the copy as a clean one, with the room's signature over the verifier's record."""
    envelope = sign.dsse(verify.PAYLOAD_TYPE, canonical(passed.record), ports.keys.sign, ports.keys.public_key())
    return replace(
        copy,
        state=CopyState.CLEAN,
        findings=passed.findings,
        coverage=passed.coverage,
        reasons=(),
        attestation=envelope,
    )


def in_words(findings: Sequence[Finding]) -> tuple[Reason, ...]:
    """Return the findings that kept a copy back, as reasons."""
    return tuple(
        Reason(finding.code, f"{finding.code.replace('-', ' ')}{f' ({finding.place})' if finding.place else ''}")
        for finding in findings
        if finding.severity is not Severity.INFO
    )


def review_name(zone: SealedZone, digest: Digest) -> str:
    """Return where a copy waits for eyes, in the clinical zone."""
    return f"{REVIEW}{zone.name_of(digest)}"


def review_subject(copy: Copy) -> str:
    return f"review/{project_subject(copy.project, copy.subject)}"


def _keep(ports: Ports, made: Sequence[Made]) -> None:
    """Make the bytes of copies durable before the catalog speaks of them."""
    research, clinical = SealedZone(ports, Zone.RESEARCH), SealedZone(ports, Zone.CLINICAL)
    clean = [each for each in made if each.copy.state is CopyState.CLEAN]
    waiting = [each for each in made if each.copy.state is CopyState.REVIEW]
    research.ensure(project_subject(each.copy.project, each.copy.subject) for each in clean)
    clinical.ensure(review_subject(each.copy) for each in waiting)
    for each in clean:
        assert each.data is not None and each.copy.digest is not None
        subject = project_subject(each.copy.project, each.copy.subject)
        research.put(research.name_of(each.copy.digest), subject, each.data)
    for each in waiting:
        assert each.data is not None and each.copy.digest is not None
        clinical.put(review_name(clinical, each.copy.digest), review_subject(each.copy), each.data)


def _copy(project: Project, profile: Profile, source: Digest, judged: Judged) -> Copy:
    applied, verdict = judged.applied, judged.verdict
    return Copy(
        project=project.name,
        source=source,
        profile=profile.digest,
        verifier=verify.VERIFIER,
        state=CopyState.REFUSED,
        reasons=(),
        findings=(),
        subject=applied.subject,
        digest=verdict.digest if isinstance(verdict, verify.Passed) else Digest.of(judged.data),
        size_bytes=len(judged.data),
        study_uid=applied.study_uid,
        series_uid=applied.series_uid,
        sop_uid=applied.sop_uid,
        modality=applied.modality,
        frames=applied.frames,
    )


def _without_copy(
    project: Project,
    profile: Profile,
    source: Digest,
    reasons: tuple[Reason, ...],
    *,
    subject: str = "",
    failed: bool = False,
) -> Copy:
    return Copy(
        project=project.name,
        source=source,
        profile=profile.digest,
        verifier=verify.VERIFIER,
        state=CopyState.FAILED if failed else CopyState.REFUSED,
        reasons=reasons,
        findings=(),
        subject=subject,
    )


def _in_groups(made: Iterator[Made]) -> Iterator[list[Made]]:
    while group := list(islice(made, GROUP)):
        yield group


def _states(copies: "Iterator[Copy] | Sequence[Copy]") -> dict[str, int]:
    counts = {state.value: 0 for state in CopyState}
    for copy in copies:
        counts[copy.state] += 1
    return counts


def _codes(copies: Sequence[Copy]) -> dict[str, int]:
    """Count what was found, and why copies were kept back, by code."""
    counts: dict[str, int] = {}
    for copy in copies:
        codes = [finding.code for finding in copy.findings]
        codes += [reason.code for reason in copy.reasons if reason.code not in codes]
        for code in codes:
            counts[code] = counts.get(code, 0) + 1
    return dict(sorted(counts.items()))
