"""Who is in a dataset is written down, counted step by step, and frozen with the figure of who is not."""

import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from sqlalchemy import update

from filmroom.catalog.schema import cohort as cohort_table
from filmroom.errors import Invalid, Leaking, NotFound, Refused
from filmroom.records import Criteria, Exclusion
from filmroom.snapshot.cohort import Counts, flow_from, parse
from filmroom.snapshot.figure import as_text
from filmroom.snapshot.leak import Leak

ADULT = Exclusion("not an adult", "age_years < 18")
CT = Criteria(project="lung", where="modality = 'CT'", exclude=(ADULT, Exclusion("thick", "slice_thickness_mm > 2")))


def counts(patients: int, studies: int, series: int, instances: int) -> Counts:
    return Counts(patients=patients, studies=studies, series=series, instances=instances)


@pytest.fixture
def filled(world, make_ct):
    """P1 and P2 with two series, one of them thick; P3 a child; P4 arrives later; all but one copy clean."""
    for patient in ("P1", "P2"):
        for series, thickness in ((1, 1), (2, 5)):
            world.deliver(f"{patient}/{series}", make_ct(patient, series, SliceThickness=thickness, PatientAge="040Y"))
    world.deliver("P3", make_ct("P3", PatientAge="009Y"))
    world.room.receive([world.inbox], "ct-1")
    world.room.project("lung", purpose="find nodules")
    world.room.deidentify("lung")
    world.deliver("P4", make_ct("P4", PatientAge="050Y"))
    world.room.receive([world.inbox / "P4"], "ct-1")
    return world


def reasons(flow) -> list[tuple[str, int]]:
    return [(step.reason, step.excluded.instances) for step in flow.steps]


def test_a_definition_has_versions_and_the_same_again_is_none(filled) -> None:
    first = filled.room.cohort("nodules", CT)
    assert filled.room.cohort("nodules", CT) == first
    second = filled.room.cohort("nodules", replace(CT, where=""))
    assert [str(each.ref) for each in filled.room.cohorts()] == ["nodules@1", "nodules@2"]
    assert filled.room.show_cohort("nodules") == second
    assert filled.room.show_cohort("nodules@1") == first
    assert first.digest != second.digest
    entry = filled.room.audit(last=5)
    assert [each.entry["verb"] for each in entry].count("cohort") == 2


def test_a_figure_counts_at_every_level_who_leaves_where(filled) -> None:
    filled.room.cohort("nodules", CT)
    flow = filled.room.cohort_flow("nodules")
    assert flow.start == counts(4, 4, 6, 6)
    assert reasons(flow) == [("not an adult", 1), ("thick", 2), ("not de-identified yet", 1)]
    assert [step.left for step in flow.steps] == [counts(3, 3, 5, 5), counts(3, 3, 3, 3), counts(2, 2, 2, 2)]


def test_a_cohort_is_frozen_with_its_figure(filled) -> None:
    filled.room.cohort("nodules", CT)
    frozen = filled.room.freeze(cohort="nodules", split="train=0.5,test=0.5")
    assert (str(frozen.snapshot), frozen.instances, frozen.left_out) == ("nodules@1", 2, {"not de-identified yet": 1})
    shown = filled.room.show("nodules@1")
    flow = flow_from(shown.document["flow"])
    assert (flow.steps, flow.end) == (filled.room.cohort_flow("nodules").steps, counts(2, 2, 2, 2))
    assert sum(each.instances for each in flow.parts.values()) == 2
    assert shown.document["definition"]["cohort"] == "nodules@1"
    assert str(filled.room.show_cohort("nodules").digest) not in str(shown.document)
    assert filled.room.freeze(cohort="nodules@1", split="train=0.5,test=0.5").existing
    assert filled.room.verify("nodules@1").ok and filled.room.verify_audit().ok
    assert "cohort:nodules@1" in {node.id for node in filled.room.trace("snapshot:nodules@1").nodes}


def test_a_definition_that_was_edited_is_found(filled) -> None:
    filled.room.cohort("nodules", CT)
    with filled.ports.catalog.write() as tx:
        tx.cohorts._connection.execute(update(cohort_table).values(defined_by="mallory"))
    assert filled.room.verify_audit().problems == ("cohort nodules@1 was changed in the catalog without the log",)


def test_a_label_that_must_be_there_may_have_to_be_of_a_kind(filled, tmp_path) -> None:
    filled.deliver("x", b"")
    file = tmp_path / "labels.csv"
    for kind, patient in (("radiologist", "P1"), ("report", "P2")):
        file.write_text(f"patient_id,finding,value\n{patient},nodule,yes\n")
        filled.room.import_labels(file, name="nodules", kind=kind)
    filled.room.cohort("any", replace(CT, require=("nodules.nodule",)))
    filled.room.cohort("read", replace(CT, require=("nodules@2.nodule:radiologist",)))
    assert reasons(filled.room.cohort_flow("any"))[-1] == ("no label nodules.nodule", 1)
    assert filled.room.freeze(cohort="any").patients == 2
    assert reasons(filled.room.cohort_flow("read"))[-1] == ("no label nodules@2.nodule:radiologist", 2)
    filled.room.freeze(cohort="read")
    assert [row.labels for row in filled.room.show("read@1").rows] == [{"nodule": "yes"}]


def test_patients_of_another_snapshot_s_part_are_left_out_with_all_they_have(filled) -> None:
    filled.room.freeze(
        "last-year", project="lung", where="patient_id = 'P1' AND slice_thickness_mm > 2", split="test=1"
    )
    filled.room.cohort("nodules", replace(CT, not_in=("last-year@1:test",)))
    flow = filled.room.cohort_flow("nodules")
    assert ("patient is in last-year@1:test", 1) in reasons(flow)
    assert filled.room.freeze(cohort="nodules").patients == 1


def test_what_means_nothing_is_refused_before_it_is_kept(filled) -> None:
    filled.room.freeze("whole", project="lung")
    for change, error, why in (
        ({"project": ""}, Invalid, "without a project"),
        ({"project": "heart"}, NotFound, "project"),
        ({"where": "modalty = 'CT'"}, Invalid, "did you mean modality"),
        ({"exclude": (Exclusion("thick", "thickness > 2"),)}, Invalid, "no such column"),
        ({"exclude": (Exclusion("", "rows > 2"),)}, Invalid, "exclusion"),
        ({"require": ("nodules.nodule",)}, NotFound, "no finding of a label set"),
        ({"labels": ("nodules",)}, NotFound, "no label set"),
        ({"not_in": ("lung",)}, Invalid, "NAME@VERSION"),
        ({"not_in": ("lung@1",)}, NotFound, "snapshot"),
        ({"not_in": ("whole@1:test",)}, NotFound, "no part 'test'"),
    ):
        with pytest.raises(error, match=why):
            filled.room.cohort("nodules", replace(CT, **change))
    assert filled.room.cohorts() == []


def test_a_cohort_has_a_condition_and_a_project_of_its_own(filled) -> None:
    filled.room.cohort("nodules", CT)
    for other in ({"where": "rows > 2"}, {"project": "heart"}):
        with pytest.raises(Invalid, match="of its own"):
            filled.room.freeze(cohort="nodules", **other)
    with pytest.raises(Invalid, match="whose clean copies"):
        filled.room.freeze("nodules")
    with pytest.raises(NotFound):
        filled.room.freeze(cohort="no-such")
    filled.room.cohort("none", replace(CT, where="modality = 'MR'"))
    with pytest.raises(Refused, match="no instance matches"):
        filled.room.freeze(cohort="none")


@pytest.fixture
def two_makers(world, make_ct):
    """Eight patients, half of them of each maker; four more come later."""

    def deliver(patients: range) -> None:
        for number in patients:
            world.deliver(f"P{number}", make_ct(f"P{number}", Manufacturer=("GE", "Siemens")[number % 2]))
        world.room.receive([world.inbox / f"P{number}" for number in patients], "ct-1")
        world.room.deidentify("lung")

    world.room.project("lung", purpose="find nodules")
    deliver(range(8))
    world.room.cohort("nodules", Criteria(project="lung"))
    world.more = lambda: deliver(range(8, 12))
    return world


def parts_of(world, ref: str) -> dict[str, str]:
    return {row.subject: row.split for row in world.room.show(ref).rows}


def test_a_split_is_stratified_and_nobody_moves_when_more_come(two_makers, tmp_path) -> None:
    asked = {"cohort": "nodules", "split": "train=0.5,test=0.5", "stratify": ["manufacturer", "label:read.nodule"]}
    file = tmp_path / "labels.csv"
    file.write_text("patient_id,finding,value\n" + "".join(f"P{n},nodule,{n // 4}\n" for n in range(8)))
    two_makers.room.import_labels(file, name="read", kind="report")
    two_makers.room.freeze(**asked)
    rows = two_makers.room.show("nodules@1").rows
    for nodule in "01":
        assert sorted(row.split for row in rows if row.labels["nodule"] == nodule) == ["test"] * 2 + ["train"] * 2
    assert two_makers.room.freeze(**asked).existing
    two_makers.more()
    two_makers.room.freeze(**{**asked, "split": "train=0.5,val=0.25,test=0.25", "seed": 9})
    before, after = parts_of(two_makers, "nodules@1"), parts_of(two_makers, "nodules@2")
    assert (len(before), len(after)) == (8, 12)
    assert after.items() >= before.items()
    assert list(after.values()).count("val") >= 2
    # Under another name, who was held out stays held out.
    two_makers.room.freeze("other", project="lung", split="train=0.9,test=0.1")
    assert all(parts_of(two_makers, "other@1")[who] == "test" for who, part in after.items() if part == "test")


def test_a_split_is_only_stratified_by_what_there_is(two_makers) -> None:
    for stratify, error in (("maker", Invalid), ("label:read.nodule", NotFound)):
        with pytest.raises(error):
            two_makers.room.freeze(cohort="nodules", split="train=0.5,test=0.5", stratify=[stratify])


def test_the_same_pixels_on_two_sides_are_refused_with_a_list_or_allowed_with_a_reason(two_makers, make_ct) -> None:
    two_makers.deliver("P9", make_ct("P9", PixelData=pydicom.dcmread(BytesIO(make_ct("P1"))).PixelData))
    two_makers.room.receive([two_makers.inbox / "P9"], "ct-1")
    two_makers.room.deidentify("lung")
    split = ",".join(f"part-{number}=1/9" for number in range(9))
    asked = {"cohort": "nodules", "split": split}
    with pytest.raises(Leaking, match="1 same-pixels") as caught:
        two_makers.room.freeze(**asked)
    (leak,) = caught.value.leaks
    assert isinstance(leak, Leak)
    assert (leak.code, len({*leak.patients}), len({*leak.parts})) == ("same-pixels", 2, 2)
    assert two_makers.room.snapshots() == []
    two_makers.room.freeze(**asked, allow_leak="a phantom")
    assert two_makers.room.show("nodules@1").document["leaks"] == {"why": "a phantom", "found": {"same-pixels": 1}}
    assert two_makers.room.audit(last=1)[0].entry["outcome"]["leaks"] == 1
    two_makers.room.freeze("whole", cohort="nodules")
    assert two_makers.room.show("whole@1").document["leaks"] is None


def test_what_was_test_data_is_not_trained_on_under_another_name(two_makers) -> None:
    two_makers.room.freeze("old", project="lung", where="patient_id IN ('P1', 'P2')", split="test=1")
    with pytest.raises(Leaking, match="2 earlier-test"):
        two_makers.room.freeze("new", project="lung", split="train=0.5,val=0.5")
    assert two_makers.room.freeze("new", project="lung", split="train=0.5,test=0.5").splits == {"train": 4, "test": 4}


def test_a_study_that_two_patients_share_is_one_person_s(two_makers, make_ct) -> None:
    study = "1.2.826.0.1.3680043.8.498.1"
    for patient in ("P20", "P21"):
        two_makers.deliver(patient, make_ct(patient, StudyInstanceUID=study))
    two_makers.room.receive([two_makers.inbox / "P20", two_makers.inbox / "P21"], "ct-1")
    two_makers.room.deidentify("lung")
    asked = {"project": "lung", "where": "patient_id IN ('P20', 'P21')"}
    with pytest.raises(Leaking, match="1 same-patient"):
        two_makers.room.freeze("two", **asked, split="train=0.5,test=0.5")
    two_makers.room.freeze("two", **asked)


GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "cohorts.md").read_text("utf-8")


@pytest.fixture
def hospital(world, make_ct, tmp_path):
    """What the guide has before it: 17 patients, a radiologist's and a report's labels, and last year's test set."""
    usual = {"SliceThickness": 1, "PatientAge": "060Y"}
    odd: dict[int, dict[str, object]] = {
        0: {"SliceThickness": 5},
        1: {"PatientAge": "009Y"},
        2: {"PatientAge": ""},
        3: {"Manufacturer": "Canon"},
    }
    for number in range(17):
        maker = {"Manufacturer": ("GE MEDICAL SYSTEMS", "SIEMENS")[number % 2]}
        world.deliver(f"P{number}", make_ct(f"P{number}", **{**usual, **maker, **odd.get(number, {})}))
    world.room.receive([world.inbox], "ct-1")
    world.room.project("lung", purpose="find nodules")
    world.room.deidentify("lung")
    file = tmp_path / "labels.csv"
    for kind, numbers in (("radiologist", range(6, 17)), ("report", [5])):
        lines = [f"P{number},nodule,{number // 2 % 2}" for number in numbers]
        file.write_text("\n".join(["patient_id,finding,value", *lines]))
        world.room.import_labels(file, name="nodules", kind=kind)
    world.room.freeze("chest-2025", project="lung", where="patient_id = 'P6'", split="test=1")
    return world


def test_the_guide_goes_from_a_sentence_to_a_frozen_split_with_its_figure(hospital) -> None:
    (definition,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    (table,) = re.findall(r"\$ filmroom cohort flow chest\n(.*?)```", GUIDE, re.DOTALL)
    (options,) = re.findall(r"\$ filmroom freeze --cohort chest --split (\S+) --stratify (\S+)\n", GUIDE)
    hospital.room.cohort("chest", parse(definition))
    assert as_text(hospital.room.cohort_flow("chest")) == table
    frozen = hospital.room.freeze(cohort="chest", split=options[0], stratify=options[1].split(","))
    (splits,) = re.findall(r"^splits +(.*)$", GUIDE, re.MULTILINE)
    assert ", ".join(f"{name}={count}" for name, count in frozen.splits.items()) == splits
    assert as_text(flow_from(hospital.room.show("chest@1").document["flow"])).startswith(table)
