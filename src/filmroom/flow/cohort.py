"""cohort: named, versioned definitions of who is in a dataset, and what they come to: who drops out, where, and why.

`resolve` is what `freeze` takes its instances from. It reads the catalog once, in a stream; only facts are read, no pixels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from filmroom.canon import digest_of
from filmroom.catalog import labels as ledgers
from filmroom.catalog.query import compile_where
from filmroom.deid import profile as profiles
from filmroom.deid import verify
from filmroom.errors import Invalid, NotFound
from filmroom.flow import evidence, incomplete
from filmroom.flow.labels import label_version
from filmroom.flow.project import open_project
from filmroom.ids import Digest, Versioned, check_name
from filmroom.ports import Ports, Transaction
from filmroom.records import Candidate, Cohort, CopyState, Criteria, Level
from filmroom.snapshot import cohort as definitions
from filmroom.snapshot.cohort import Counts, Flow

LABEL = "label:"
"""What stands before SET.FINDING where a split is stratified by a label."""

_CLEAN = CopyState.CLEAN.value
_DAMAGED, _NOT_YET = "damaged in the clinical zone", "not de-identified yet"
_STATES = {
    CopyState.REVIEW: "waiting for review",
    CopyState.REFUSED: "refused by de-identification",
    CopyState.FAILED: "not readable when it was to be de-identified",
}
_HELD_BACK = (_DAMAGED, *incomplete.WHY.values(), _NOT_YET, *_STATES.values())
"""Why what is in a cohort cannot be in a snapshot of it, in the order of its figure."""


class Eligible(NamedTuple):
    """An instance that a snapshot may have: its copy, and what the labels that are taken along say of it."""

    copy: int
    pseudonym: str
    pixel_digest: str | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a cohort comes to, at one sequence number of the catalog.

    `left_out` counts the instances that are held back, by reason; `strata` has, for each pseudonym, what it is stratified
    by: in each place all that the patient's instances say; `same_person` are pseudonyms that share a study.
    """

    profile: Digest
    eligible: list[Eligible]
    flow: Flow
    left_out: dict[str, int]
    label_sets: tuple[Versioned, ...]
    strata: dict[str, tuple[str, ...]]
    same_person: set[tuple[str, str]]
    sequence: int


def define_cohort(ports: Ports, name: str, criteria: Criteria) -> Cohort:
    """Keep a definition as the name's next version; the same as the newest is no new one. Raises Invalid or NotFound."""
    permit = evidence.authorize(ports, "cohort", {"kind": "cohort", "id": check_name(name)})
    with ports.catalog.write() as tx:
        _check(tx, ports, criteria)
        newest = tx.cohorts.latest(name)
        if newest is not None and newest.criteria == criteria:
            return newest
        cohort = Cohort(
            ref=Versioned(name, newest.ref.version + 1 if newest else 1),
            digest=digest_of(criteria),
            criteria=criteria,
            defined_at=ports.clock.now(),
            defined_by=permit.actor.name,
        )
        tx.cohorts.add(cohort)
        what = {"kind": "cohort", "id": str(cohort.ref), "project": criteria.project}
        evidence.record(tx, ports, permit, what, {"exclusions": len(criteria.exclude)}, row=cohort)
    return cohort


def cohorts(ports: Ports) -> list[Cohort]:
    """List every version of every cohort."""
    evidence.authorize(ports, "cohort")
    with ports.catalog.read() as tx:
        return tx.cohorts.all()


def show_cohort(ports: Ports, ref: str) -> Cohort:
    """Return NAME@V, or the newest version of NAME. Raises NotFound."""
    evidence.authorize(ports, "cohort", {"kind": "cohort", "id": ref})
    with ports.catalog.read() as tx:
        return cohort_version(tx, ref)


def cohort_flow(ports: Ports, ref: str) -> Flow:
    """Return who would drop out of NAME[@V], and why, if it was frozen now. Raises NotFound."""
    evidence.authorize(ports, "cohort", {"kind": "cohort", "id": ref})
    with ports.catalog.read() as tx:
        return resolve(tx, ports, cohort_version(tx, ref).criteria).flow


def cohort_version(tx: Transaction, ref: str) -> Cohort:
    """Return NAME@V, or the newest version of NAME. Raises NotFound."""
    if "@" in ref:
        return tx.cohorts.get(Versioned.parse(ref))
    newest = tx.cohorts.latest(ref)
    if newest is None:
        raise NotFound(f"there is no cohort {ref!r}", "see filmroom cohort list")
    return newest


def resolve(
    tx: Transaction, ports: Ports, criteria: Criteria, *, labels: Sequence[str] = (), stratify: Sequence[str] = ()
) -> Resolution:
    """Find out who is in a cohort now, and what a snapshot of it can have. Raises Invalid or NotFound for its words.

    `labels` are sets that are taken along beside the cohort's own, later ones first; `stratify` are columns and labels.
    """
    profile = profiles.load(tx.projects.get(criteria.project).profile).digest
    said = _Said(tx, criteria, labels, stratify)
    sieve = _Sieve(tx, ports, criteria, said)
    columns = [each for each in stratify if not each.startswith(LABEL)]
    strata: dict[str, tuple[set[str], ...]] = {}
    eligible = []
    studies: dict[str, str] = {}
    same_person: set[tuple[str, str]] = set()
    found = tx.instances.candidates(
        criteria.where,
        [each.where for each in criteria.exclude],
        project=criteria.project,
        profile=profile,
        verifier=verify.VERIFIER,
        columns=columns,
    )
    for each in found:
        if not sieve.keeps(each):
            continue
        assert each.copy is not None and each.pseudonym is not None
        if (other := studies.setdefault(each.study_uid, each.pseudonym)) != each.pseudonym:
            same_person.add((other, each.pseudonym))
        series = said.of(each)
        eligible.append(Eligible(each.copy, each.pseudonym, each.pixel_digest, series.labels))
        if (standing := strata.get(each.pseudonym)) is None:
            standing = strata[each.pseudonym] = tuple(set() for _ in stratify)
        for place, value in zip(standing, (*each.values, *series.strata), strict=True):
            if value is not None:
                place.add(str(value))
    return Resolution(
        profile=profile,
        eligible=eligible,
        flow=sieve.flow(),
        left_out=dict(sorted(sieve.held_back.items())),
        label_sets=said.sets,
        strata={patient: tuple("+".join(sorted(place)) for place in places) for patient, places in strata.items()},
        same_person=same_person,
        sequence=tx.log.size(),
    )


@dataclass(frozen=True, slots=True)
class _Labelled:
    """What is said of an instance: its labels, its values of what is stratified by, and which required labels it has."""

    labels: Mapping[str, str]
    strata: tuple[str | None, ...]
    has: tuple[bool, ...]


class _Said:
    """What label sets say, as far as a cohort, a snapshot and its split ask."""

    def __init__(
        self, tx: Transaction, criteria: Criteria, labels: Sequence[str], stratify: Sequence[str] = ()
    ) -> None:
        self._tx = tx
        by_label = [each.removeprefix(LABEL) for each in stratify if each.startswith(LABEL)]
        asked = [*(definitions.requirement(each)[0] for each in criteria.require), *by_label]
        refs = [label_version(tx, each) for each in (*criteria.labels, *labels)]
        there = {ref.name for ref in refs}
        refs = [*(ref for ref, _ in map(self._named, asked) if ref.name not in there), *refs]
        self.sets = tuple(dict.fromkeys(refs))
        self._resolved = {ref: ledgers.resolve(tx.labels.entries(ref.name, ref.version)) for ref in self.sets}
        self._merged: ledgers.Resolved = {}
        for ref in self.sets:
            for target, findings in self._resolved[ref].items():
                self._merged.setdefault(target, {}).update(findings)
        self._strata = [self._finding(each) for each in by_label]
        self._required = [self._targets(each) for each in criteria.require]
        everything = (self._merged, *(said for said, _ in self._strata), *self._required)
        self._images = {name for said in everything for level, name in said if level is Level.INSTANCE}
        self._series: dict[int, _Labelled] = {}

    def of(self, each: Candidate) -> _Labelled:
        """Return what is said of one instance; what is only said of whole series is looked up once for each."""
        if each.sop_uid in self._images:
            return self._look_up(each)
        if (found := self._series.get(each.series)) is None:
            found = self._series[each.series] = self._look_up(each)
        return found

    def _look_up(self, each: Candidate) -> _Labelled:
        names = {
            Level.PATIENT: each.subject,
            Level.STUDY: each.study_uid,
            Level.SERIES: each.series_uid,
            Level.INSTANCE: each.sop_uid,
        }
        return _Labelled(
            ledgers.labels_of(names, self._merged),
            tuple(ledgers.labels_of(names, said).get(finding) for said, finding in self._strata),
            tuple(not targets.isdisjoint(names.items()) for targets in self._required),
        )

    def _finding(self, text: str) -> tuple[ledgers.Resolved, str]:
        """Return what a set says, and the finding of SET[@V].FINDING. Raises NotFound for a set that is not there."""
        ref, finding = self._named(text)
        if ref not in self._resolved:
            self._resolved[ref] = ledgers.resolve(self._tx.labels.entries(ref.name, ref.version))
        return self._resolved[ref], finding

    def _targets(self, requirement: str) -> set[tuple[Level, str]]:
        """Return everything of which a required label is said."""
        text, kind = definitions.requirement(requirement)
        resolved, finding = self._finding(text)
        if kind is not None:
            ref, _ = self._named(text)
            entries = self._tx.labels.entries(ref.name, ref.version)
            resolved = ledgers.resolve(entry for entry in entries if entry.label.kind is kind)
        return {target for target, findings in resolved.items() if finding in findings}

    def _named(self, text: str) -> tuple[Versioned, str]:
        """Split SET[@V].FINDING; both may have dots, so that the sets that there are decide."""
        known = dict(self._tx.labels.all())
        for at, letter in enumerate(text):
            if letter == "." and text[:at].partition("@")[0] in known and text[at + 1 :]:
                return label_version(self._tx, text[:at]), text[at + 1 :]
        raise NotFound(f"{text!r} is no finding of a label set", "write SET.FINDING; see filmroom labels list")


class _Sieve:
    """Says of one candidate after the other whether it stays, and counts at which step the others leave."""

    def __init__(self, tx: Transaction, ports: Ports, criteria: Criteria, said: _Said) -> None:
        self._said = said
        self._elsewhere = [tx.snapshots.patients(*definitions.elsewhere(each)) for each in criteria.not_in]
        self._unfit = tx.wholeness.unfit(ports.clock.now() - ports.quiet)
        self._reasons = [
            *(each.reason for each in criteria.exclude),
            *(f"no label {each}" for each in criteria.require),
            *(f"patient is in {each}" for each in criteria.not_in),
            *_HELD_BACK,
        ]
        self._defined = len(self._reasons) - len(_HELD_BACK)
        self._required_from, self._elsewhere_from = len(criteria.exclude), self._defined - len(criteria.not_in)
        self._places = {reason: self._defined + at for at, reason in enumerate(_HELD_BACK)}
        # How far the farthest instance of each patient, study and series came, and how many instances came how far.
        self._farthest: tuple[dict[int, int], ...] = ({}, {}, {})
        self._instances = [0] * (len(self._reasons) + 1)

    @property
    def held_back(self) -> dict[str, int]:
        """How many instances are in the cohort and cannot be in a snapshot of it, by reason."""
        return {reason: count for reason, place in self._places.items() if (count := self._instances[place])}

    def keeps(self, each: Candidate) -> bool:
        leaves = self._leaves(each)
        self._instances[leaves] += 1
        patients, studies, series = self._farthest
        if leaves > series.get(each.series, -1):
            series[each.series] = leaves
            studies[each.study] = max(leaves, studies.get(each.study, -1))
            patients[each.patient] = max(leaves, patients.get(each.patient, -1))
        return leaves == len(self._reasons)

    def flow(self) -> Flow:
        levels = [self._by_level(farthest.values()) for farthest in self._farthest]
        left = [
            Counts(patients=patients, studies=studies, series=series, instances=instances)
            for patients, studies, series, instances in zip(*levels, self._left(self._instances), strict=True)
        ]
        return definitions.flow(self._reasons, left, unless_empty=self._defined)

    def _leaves(self, each: Candidate) -> int:
        """Return at which step an instance leaves; the number of steps for one that stays."""
        if each.exclusion is not None:
            return each.exclusion
        has = self._said.of(each).has
        if not all(has):
            return self._required_from + has.index(False)
        for step, patients in enumerate(self._elsewhere, start=self._elsewhere_from):
            if each.subject in patients:
                return step
        reason = self._held_back(each)
        return self._places[reason] if reason else len(self._reasons)

    def _held_back(self, each: Candidate) -> str:
        if each.damage:
            # What a damaged source gave cannot be made again, so a new version does without it.
            return _DAMAGED
        if self._unfit and (series := (each.subject, each.study_uid, each.series_uid)) in self._unfit:
            return incomplete.WHY[self._unfit[series]]
        if each.state == _CLEAN:
            return ""
        return _NOT_YET if each.state is None else _STATES[CopyState(each.state)]

    def _by_level(self, farthest: Iterable[int]) -> list[int]:
        counts = [0] * (len(self._reasons) + 1)
        for step in farthest:
            counts[step] += 1
        return self._left(counts)

    @staticmethod
    def _left(leaving: Sequence[int]) -> list[int]:
        """Return how many are there before the first step, and after each."""
        left, rest = [], sum(leaving)
        for count in leaving:
            left.append(rest)
            rest -= count
        return left


def _check(tx: Transaction, ports: Ports, criteria: Criteria) -> None:
    """Raise Invalid or NotFound for a word of the criteria that means nothing, before they are kept for good."""
    if not criteria.project:
        raise Invalid("a cohort without a project", "write project in its file, or give --project")
    open_project(tx, criteria.project, ports.clock.now())
    compile_where(criteria.where, Level.INSTANCE)
    for each in map(definitions.check_exclusion, criteria.exclude):
        compile_where(each.where, Level.INSTANCE)
    _Said(tx, criteria, ())
    for text in criteria.not_in:
        ref, part = definitions.elsewhere(text)
        snapshot = tx.snapshots.get(ref)
        if part is not None and part not in snapshot.splits:
            raise NotFound(f"{ref} has no part {part!r}", "see filmroom snapshots")
