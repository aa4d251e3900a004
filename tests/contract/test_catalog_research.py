"""Projects, copies, labels, snapshots, shardsets, models and access, on every engine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.errors import Invalid, NotFound, Refused
from filmroom.ids import Digest, Versioned
from filmroom.records import (
    Actor,
    Batch,
    Candidate,
    Cohort,
    Copy,
    CopyState,
    Coverage,
    Criteria,
    Exclusion,
    Fact,
    FactKind,
    Finding,
    Grant,
    Instance,
    InstanceState,
    Label,
    LabelEntry,
    LabelKind,
    LeaseRecord,
    Level,
    Member,
    Model,
    Opening,
    Project,
    Question,
    Reason,
    Region,
    Request,
    RequestState,
    SealedObject,
    Severity,
    Shape,
    Shardset,
    Snapshot,
    Space,
)

NOW = datetime(2024, 5, 31, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
PROJECT = Project(name="lung", purpose="p", profile="basic", created_at=NOW, created_by="ann", until=LATER)
REF = Versioned("chest", 1)


def _digest(text: str) -> Digest:
    return Digest.of(text.encode())


SOURCES = [_digest(f"source {i}") for i in range(4)]
PROFILE = _digest("profile")


@pytest.fixture
def room(catalog: SqlCatalog) -> SqlCatalog:
    """A catalog with two projects and four instances."""
    instances = [
        Instance(
            digest=source,
            size_bytes=1,
            issuer="",
            patient_id="",
            study_uid="1",
            series_uid="1.1",
            sop_uid=f"1.1.{i}",
            sop_class="1.2",
            transfer_syntax="1.2",
            pixel_digest=None,
            values={},
        )
        for i, source in enumerate(SOURCES)
    ]
    with catalog.write() as tx:
        tx.batches.open(Batch(id="b", source="s", received_at=NOW, processing_version="1"))
        tx.instances.add([(each, "p1", "b", InstanceState.CURRENT) for each in instances])
        tx.projects.add(PROJECT)
        tx.projects.add(replace(PROJECT, name="brain", until=None, budget_bytes=2**50))
    return catalog


# -- projects and copies -------------------------------------------------------------------------------------------


def test_a_project_is_made_once(room: SqlCatalog) -> None:
    with room.write() as tx:
        assert tx.projects.get("lung") == PROJECT
        assert [each.name for each in tx.projects.all()] == ["brain", "lung"]
        with pytest.raises(Refused):
            tx.projects.add(PROJECT)
        with pytest.raises(NotFound):
            tx.projects.get("liver")
        tx.projects.require("lung", ("clean >= 1",))
        assert tx.projects.get("lung") == replace(PROJECT, requires=("clean >= 1",))
        with pytest.raises(NotFound):
            tx.projects.require("liver", ())


def _clean(number: int, project: str = "lung") -> Copy:
    return Copy(
        project=project,
        source=SOURCES[number],
        profile=PROFILE,
        verifier="v1",
        state=CopyState.CLEAN,
        reasons=(),
        findings=(Finding("removed", Severity.INFO, "PatientName"),),
        subject="pseudonym",
        digest=_digest(f"{project} copy {number}"),
        size_bytes=5,
        study_uid="2.1",
        series_uid="2.1.1",
        sop_uid=f"2.1.1.{number}",
        modality="CT",
        frames=3,
        coverage=Coverage(elements=9, elements_present=9, frames=3, frames_present=3, identifiers=7),
        attestation="{}",
    )


def _refused(number: int, project: str = "lung") -> Copy:
    return Copy(
        project=project,
        source=SOURCES[number],
        profile=PROFILE,
        verifier="v1",
        state=CopyState.REFUSED,
        reasons=(Reason("sop-class", "not in the profile"),),
        findings=(),
        subject="pseudonym",
    )


def _known(copy: Copy) -> Copy:
    return replace(copy, id=None)


def test_a_copy_comes_back_as_it_was_put(room: SqlCatalog) -> None:
    copies = [_clean(0), _refused(1)]
    with room.write() as tx:
        tx.copies.put(copies)
        found = tx.copies.all()
        assert [_known(each) for each in found] == copies
        assert [tx.copies.get(each.id or 0) for each in found] == found
        with pytest.raises(NotFound):
            tx.copies.get(10**6)


def test_a_new_outcome_replaces_the_earlier_one_and_keeps_its_id(room: SqlCatalog) -> None:
    with room.write() as tx:
        tx.copies.put([_refused(0), _clean(1)])
        (first, second) = tx.copies.all()
        tx.copies.put([_clean(0), _refused(2), replace(_clean(0), decided_by="ann", why="looked at it")])
        third = tx.copies.all()[2]
        assert tx.copies.get(first.id or 0) == replace(_clean(0), decided_by="ann", why="looked at it", id=first.id)
        assert tx.copies.get(second.id or 0) == second
        assert (_known(third), len(tx.copies.all())) == (_refused(2), 3)


def test_copies_are_found_by_project_state_digest_source_and_uid(room: SqlCatalog) -> None:
    with room.write() as tx:
        tx.copies.put([_clean(0), _refused(1), _clean(2), _clean(0, "brain")])
    with room.read() as tx:
        assert [_known(each) for each in tx.copies.all(project="lung", state=CopyState.CLEAN)] == [_clean(0), _clean(2)]
        assert [_known(each) for each in tx.copies.all(state=CopyState.REFUSED)] == [_refused(1)]
        assert [_known(each) for each in tx.copies.of("lung", SOURCES[::-1], PROFILE, "v1")] == [
            _clean(2),
            _refused(1),
            _clean(0),
        ]
        assert [_known(each) for each in tx.copies.by_digest([_digest("lung copy 2"), _digest("no copy")])] == [
            _clean(2)
        ]
        assert [each.project for each in tx.copies.by_source(SOURCES[::-1])] == ["lung", "lung", "lung", "brain"]
        assert tx.copies.by_digest([]) == tx.copies.by_source([]) == []
        assert tx.copies.source_of_uid("2.1.1") == [SOURCES[0], SOURCES[2]]
        assert tx.copies.source_of_uid("2.1.1.2") == [SOURCES[2]]
        assert tx.copies.source_of_uid("") == []
        assert tx.copies.done("lung", PROFILE, "v1") == set(SOURCES[:3])
        assert tx.copies.done("lung", PROFILE, "v2") == tx.copies.done("lung", SOURCES[0], "v1") == set()


def test_what_an_older_verifier_said_stays_beside_what_a_newer_one_says(room: SqlCatalog) -> None:
    newer = replace(_clean(0), verifier="v2")
    failed = replace(_refused(1), state=CopyState.FAILED)
    with room.write() as tx:
        tx.copies.put([_clean(0), failed])
        tx.copies.put([newer])
    with room.read() as tx:
        assert [_known(each) for each in tx.copies.of("lung", SOURCES, PROFILE, "v2")] == [newer]
        assert [_known(each) for each in tx.copies.by_source(SOURCES[:1])] == [_clean(0), newer]
        assert tx.copies.done("lung", PROFILE, "v1") == {SOURCES[0]}


def test_a_copy_of_an_instance_that_is_not_there_is_refused(room: SqlCatalog) -> None:
    with pytest.raises(Refused), room.write() as tx:
        tx.copies.put([replace(_clean(0), source=_digest("nowhere"))])


# -- labels --------------------------------------------------------------------------------------------------------


def _entry(position: int, value: str = "yes", supersedes: int | None = None) -> LabelEntry:
    label = Label(
        level=Level.SERIES,
        target="1.1",
        finding="nodule",
        value=value,
        kind=LabelKind.RADIOLOGIST,
        by="r1",
        confidence="0.9" if position % 2 else None,
    )
    return LabelEntry(position=position, label=label, at=NOW, supersedes=supersedes)


def _mark(position: int, value: str | None) -> LabelEntry:
    region = Region(mark="n1", shape=Shape.BOX, space=Space.PIXEL, frame=2, geometry="1 2.5 3 4")
    label = replace(_entry(1).label, value=value, unit="mm", meaning="Ø of a nodule", region=region)
    return LabelEntry(position=position, label=label, at=NOW, said_at="2024-05-30T08:00:00", source=_digest("file"))


def test_a_label_set_is_a_ledger_that_only_grows(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.labels.append("nodules", [_entry(1), _entry(2)])
        tx.labels.append("nodules", [_entry(3, "no", supersedes=1)])
        tx.labels.append("a", [_entry(1)])
        assert tx.labels.entries("nodules") == [_entry(1), _entry(2), _entry(3, "no", supersedes=1)]
        assert tx.labels.entries("nodules", up_to=2) == [_entry(1), _entry(2)]
        assert tx.labels.all() == [("a", 1), ("nodules", 3)]
        tx.labels.append("marks", [_mark(1, "present"), _mark(2, None)])
        assert tx.labels.entries("marks") == [_mark(1, "present"), _mark(2, None)]
        with pytest.raises(NotFound):
            tx.labels.entries("never")
        with pytest.raises(Refused):
            tx.labels.append("nodules", [_entry(3)])
        with pytest.raises(Refused):
            tx.labels.append("nodules", [_entry(5), _entry(4)])


# -- facts ---------------------------------------------------------------------------------------------------------


def _fact(subject: str, name: str, value: str = "1.1", at: str = "2026-02-03T00:00:00") -> Fact:
    kind, code = FactKind.RESULT, "LN:2160-0"
    return Fact(subject=subject, name=name, kind=kind, code=code, value=value, unit="mg/dL", at=at, source=_digest("f"))


def test_facts_are_kept_by_subject_and_name_put_right_and_taken_back(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.facts.put([_fact("s2", "a"), _fact("s1", "a", at="2026-02-04T00:00:00"), _fact("s1", "b")])
        tx.facts.put([_fact("s1", "b", "1.2")])
        assert tx.facts.of(["s1", "s2", "s3"]) == [
            _fact("s1", "b", "1.2"),
            _fact("s1", "a", at="2026-02-04T00:00:00"),
            _fact("s2", "a"),
        ]
        tx.facts.remove([("s1", "a"), ("s1", "never")])
        assert tx.facts.of(["s1"]) == [_fact("s1", "b", "1.2")]
        assert tx.facts.of([]) == []


# -- snapshots, shardsets, models ----------------------------------------------------------------------------------


def _snapshot(ref: Versioned) -> Snapshot:
    return Snapshot(
        ref=ref,
        id=_digest(f"id {ref}"),
        root=_digest(f"root {ref}"),
        definition=_digest("definition"),
        project="lung",
        where="modality = 'CT'",
        instances=2,
        series=1,
        studies=1,
        patients=1,
        splits={"train": 2, "test": 0},
        label_sets=("nodules@3", "a@1"),
        frozen_at=NOW,
        frozen_by="ann",
    )


def _members(*copies: str) -> list[Member]:
    return [Member(position=i, copy=_digest(copy), subject="s", split="train") for i, copy in enumerate(copies)]


def test_a_snapshot_keeps_its_members_in_order(room: SqlCatalog) -> None:
    with room.write() as tx:
        for version, copies in ((10, "ab"), (2, "bc"), (1, "")):
            tx.snapshots.add(_snapshot(Versioned("chest", version)), _members(*copies))
        tx.snapshots.add(_snapshot(Versioned("arm", 1)), _members("z"))
        assert tx.snapshots.members(Versioned("chest", 10)) == _members("a", "b")
        assert tx.snapshots.members(Versioned("chest", 1)) == []
        assert tx.snapshots.get(Versioned("chest", 2)) == _snapshot(Versioned("chest", 2))
        assert tx.snapshots.latest("chest") == _snapshot(Versioned("chest", 10))
        assert tx.snapshots.latest("leg") is None
        assert [str(each.ref) for each in tx.snapshots.all()] == ["arm@1", "chest@1", "chest@2", "chest@10"]
        assert tx.snapshots.by_id(_digest("id chest@2")) == _snapshot(Versioned("chest", 2))
        assert tx.snapshots.by_id(_digest("no")) is None
        assert list(map(str, tx.snapshots.containing([_digest("b"), _digest("z")]))) == ["arm@1", "chest@2", "chest@10"]
        assert tx.snapshots.containing([]) == []
        for missing in (tx.snapshots.get, tx.snapshots.members):
            with pytest.raises(NotFound):
                missing(Versioned("chest", 3))


def test_a_cohort_is_only_written_at_its_end(room: SqlCatalog) -> None:
    criteria = Criteria(project="lung", where="rows = 1", exclude=(Exclusion("x", "rows = 2"),), not_in=("a@1:test",))
    first, second = (
        Cohort(ref=Versioned("c", version), digest=_digest("c"), criteria=criteria, defined_at=NOW, defined_by="ann")
        for version in (1, 2)
    )
    with room.write() as tx:
        tx.cohorts.add(first)
        tx.cohorts.add(second)
        assert (tx.cohorts.get(first.ref), tx.cohorts.latest("c"), tx.cohorts.all()) == (first, second, [first, second])
        assert tx.cohorts.latest("d") is None
        with pytest.raises(NotFound):
            tx.cohorts.get(Versioned("c", 3))
        with pytest.raises(Refused):
            tx.cohorts.add(second)


def test_candidates_tell_the_first_exclusion_and_what_the_project_made_of_them(room: SqlCatalog) -> None:
    def candidates(where: str, *exclude: str, columns: tuple[str, ...] = ()) -> dict[str, Candidate]:
        asked = tx.instances.candidates(where, exclude, project="lung", profile=PROFILE, verifier="v1", columns=columns)
        return {each.sop_uid: each for each in asked}

    with room.write() as tx:
        tx.copies.put([_clean(0), _refused(1), _clean(2, "brain")])
        found = candidates("sop_uid <> '1.1.3'", "sop_uid = '1.1.2'", "sop_uid IN ('1.1.2', '1.1.1')")
        assert {uid: each.exclusion for uid, each in found.items()} == {"1.1.0": None, "1.1.1": 1, "1.1.2": 0}
        assert {uid: each.state for uid, each in found.items()} == {"1.1.0": "clean", "1.1.1": "refused", "1.1.2": None}
        first = found["1.1.0"]
        assert [copy.source for copy in tx.copies.some([first.copy or 0])] == [SOURCES[0]]
        assert (first.subject, first.pseudonym, first.pixel_digest, first.values) == ("p1", "pseudonym", None, ())
        assert candidates("sop_uid = '1.1.3'", columns=("size_bytes", "subject"))["1.1.3"].values == (1, "p1")
        with pytest.raises(Invalid, match="did you mean modality"):
            candidates("", columns=("modalty",))


def test_the_parts_of_a_project_s_snapshots_and_the_patients_in_them(room: SqlCatalog) -> None:
    with room.write() as tx:
        tx.copies.put([_clean(0)])
        tx.snapshots.add(_snapshot(REF), _members("lung copy 0", "gone"))
        assert tx.snapshots.parts("lung") == [(REF, "train", "s")]
        assert tx.snapshots.parts("brain") == []
        assert tx.snapshots.patients(REF) == tx.snapshots.patients(REF, "train") == {"p1"}
        assert tx.snapshots.patients(REF, "test") == set()


def test_a_query_finds_what_a_snapshot_was_made_of(room: SqlCatalog) -> None:
    with room.write() as tx:
        tx.copies.put([_clean(0), _clean(1)])
        tx.snapshots.add(_snapshot(REF), _members("lung copy 1"))
        assert [each.digest for each in tx.instances.matching("in_snapshot('chest@1')")] == [SOURCES[1]]
        assert tx.instances.count("not in_snapshot('chest@1')", Level.INSTANCE) == len(SOURCES) - 1


def test_a_version_of_a_snapshot_is_never_given_twice(room: SqlCatalog) -> None:
    with room.write() as tx:
        tx.snapshots.add(_snapshot(REF), _members("a"))
    with pytest.raises(Refused), room.write() as tx:
        tx.snapshots.add(replace(_snapshot(REF), id=_digest("other")), _members("b"))
    with room.read() as tx:
        assert tx.snapshots.members(REF) == _members("a")


def _shardset(name: str, recipe: str = "r", at: datetime = NOW) -> Shardset:
    return Shardset(
        id=_digest(name),
        snapshot=REF,
        recipe=_digest(recipe),
        recipe_text="[recipe]\nsteps = ['ü']\n",
        content=_digest("content"),
        samples=2,
        raw_bytes=2**41,
        stored_bytes=2**40,
        failures=(Reason("no-pixels", "2"),),
        built_at=at,
        built_by="ann",
        code="1",
    )


def _object(name: str, size: int = 1) -> SealedObject:
    return SealedObject(name=name, subject="s", size_bytes=size, sealed=_digest(f"{name}{size}"), plain=_digest(name))


def test_shardsets_are_found_by_snapshot_and_recipe_newest_first(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.shardsets.add(_shardset("new", at=LATER), [])
        tx.shardsets.add(_shardset("old"), [])
        tx.shardsets.add(_shardset("other", recipe="q"), [])
        assert tx.shardsets.get(_digest("old")) == _shardset("old")
        assert [each.id for each in tx.shardsets.find(REF)] == [_digest("new"), _digest("other"), _digest("old")]
        assert [each.id for each in tx.shardsets.find(REF, _digest("r"))] == [_digest("new"), _digest("old")]
        assert tx.shardsets.find(Versioned("chest", 2)) == []
        with pytest.raises(NotFound):
            tx.shardsets.get(_digest("no"))


def test_objects_of_a_shardset_keep_their_order_and_can_be_replaced(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.shardsets.add(_shardset("one"), [_object("b"), _object("a"), _object("c")])
        tx.shardsets.add(_shardset("two"), [_object("a")])
        tx.shardsets.replace_objects(_digest("one"), [_object("a", 7)])
        tx.shardsets.replace_objects(_digest("one"), [])
        assert tx.shardsets.objects(_digest("one")) == [_object("b"), _object("a", 7), _object("c")]
        assert tx.shardsets.objects(_digest("two")) == [_object("a")]
        with pytest.raises(NotFound):
            tx.shardsets.replace_objects(_digest("one"), [_object("a", 8), _object("d")])
        assert tx.shardsets.objects(_digest("one"))[1] == _object("a", 7)
        for missing in (tx.shardsets.objects, lambda name: tx.shardsets.replace_objects(name, [])):
            with pytest.raises(NotFound):
                missing(_digest("three"))


def test_models_lead_back_to_their_snapshot(catalog: SqlCatalog) -> None:
    def model(version: int, snapshot: Versioned = REF) -> Model:
        return Model(
            ref=Versioned("net", version),
            digest=_digest(f"weights {version % 2}"),
            size_bytes=2**33,
            snapshot=snapshot,
            shardset=_digest("shardset") if version % 2 else None,
            lease="lease" if version % 2 else None,
            metrics={"auc": 0.75, "epochs": 3, "note": None},
            registered_at=NOW,
            registered_by="ann",
        )

    with catalog.write() as tx:
        for each in (model(10), model(2), model(3, Versioned("arm", 1))):
            tx.models.add(each)
        assert tx.models.get(Versioned("net", 2)) == model(2)
        assert tx.models.latest("net") == model(10)
        assert tx.models.latest("no") is None
        assert tx.models.of(REF) == [model(2), model(10)]
        assert tx.models.by_digest(_digest("weights 0")) == [model(2), model(10)]
        with pytest.raises(NotFound):
            tx.models.get(Versioned("net", 4))


# -- access --------------------------------------------------------------------------------------------------------


def _request(name: str = "r1", at: datetime = NOW) -> Request:
    return Request(id=name, snapshot=REF, requester=Actor("bob", owner="root"), purpose="p", days=30, at=at)


def _grant(name: str = "g1", request: str = "r1") -> Grant:
    return Grant(
        id=name,
        request=request,
        snapshot=REF,
        holder="bob",
        purpose="p",
        granted_at=NOW,
        expires=LATER,
    )


def test_a_request_is_decided_once(catalog: SqlCatalog) -> None:
    decided = replace(_request(), state=RequestState.DENIED, decided_by=Actor("ann"), decided_at=LATER, why="no")
    with catalog.write() as tx:
        tx.access.add_request(_request())
        assert tx.access.get_request("r1") == _request()
        tx.access.decide(decided)
        assert tx.access.get_request("r1") == decided
        with pytest.raises(Refused, match="denied already"):
            tx.access.decide(replace(decided, state=RequestState.APPROVED))
        with pytest.raises(NotFound):
            tx.access.decide(replace(decided, id="r9"))
        with pytest.raises(NotFound):
            tx.access.get_request("r9")


def test_requests_are_listed_oldest_first_with_their_grants(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.access.add_request(_request("r2", at=LATER))
        tx.access.add_request(_request("r1"))
        tx.access.add_grant(_grant())
        assert tx.access.all() == [(_request("r1"), _grant()), (_request("r2", at=LATER), None)]
        assert tx.access.grants_of("bob", REF) == [_grant()]
        assert tx.access.grants_of("ann", REF) == tx.access.grants_of("bob", Versioned("chest", 2)) == []


def test_a_revoked_grant_keeps_its_first_moment(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.access.add_request(_request())
        tx.access.add_grant(_grant())
        tx.access.revoke("g1", NOW)
        tx.access.revoke("g1", LATER)
        assert tx.access.get_grant("g1") == replace(_grant(), revoked_at=NOW)
        for missing in (tx.access.get_grant, lambda grant: tx.access.revoke(grant, NOW)):
            with pytest.raises(NotFound):
                missing("g9")


def test_a_lease_leads_to_its_grant(catalog: SqlCatalog) -> None:
    lease = LeaseRecord(id="l1", grant="g1", snapshot=REF, holder="bob", job="j", issued_at=NOW, expires=LATER)
    with catalog.write() as tx:
        tx.access.add_request(_request())
        tx.access.add_grant(_grant())
        tx.access.add_lease(lease)
        assert tx.access.get_lease("l1") == (lease, _grant())
        assert tx.access.leases(REF) == [lease]
        assert tx.access.leases(Versioned("chest", 2)) == []
        with pytest.raises(NotFound):
            tx.access.get_lease("l9")


def test_what_was_opened_through_the_leases_of_a_snapshot_is_kept_in_order(catalog: SqlCatalog) -> None:
    def opening(name: str, *subjects: str) -> Opening:
        return Opening(id=name, lease="l1", shardset=_digest("shardset"), subjects=subjects, at=NOW)

    lease = LeaseRecord(id="l1", grant="g1", snapshot=REF, holder="bob", job="j", issued_at=NOW, expires=LATER)
    with catalog.write() as tx:
        tx.access.add_request(_request())
        tx.access.add_grant(_grant())
        tx.access.add_lease(lease)
        tx.access.add_opening(opening("o2", "P-1", "P-2"))
        tx.access.add_opening(opening("o1"))
        assert tx.access.openings(REF) == [opening("o2", "P-1", "P-2"), opening("o1")]
        assert tx.access.openings(Versioned("chest", 2)) == []
    with pytest.raises(Refused), catalog.write() as tx:
        tx.access.add_opening(replace(opening("o3"), lease="l9"))


def test_a_grant_without_a_request_and_a_lease_without_a_grant_are_refused(catalog: SqlCatalog) -> None:
    with pytest.raises(Refused), catalog.write() as tx:
        tx.access.add_grant(_grant())
    lease = LeaseRecord(id="l1", grant="g1", snapshot=REF, holder="bob", job="j", issued_at=NOW, expires=LATER)
    with pytest.raises(Refused), catalog.write() as tx:
        tx.access.add_lease(lease)


def test_a_question_keeps_who_asked_and_who_agreed(catalog: SqlCatalog) -> None:
    asked = Question(id="q1", project="p", pseudonym="P1", requester=Actor("bob", owner="root"), why="ill", at=NOW)
    answered = replace(
        asked, state=RequestState.APPROVED, agreed=(Actor("ann"), Actor("eve")), decided_at=NOW, expires=LATER
    )
    with catalog.write() as tx:
        tx.questions.add(asked)
        assert tx.questions.get("q1") == asked
        tx.questions.put(answered)
        assert tx.questions.all() == [answered]
        with pytest.raises(NotFound):
            tx.questions.put(replace(answered, id="q2"))
        with pytest.raises(NotFound):
            tx.questions.get("q2")
