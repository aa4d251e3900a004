"""The catalog as tables that other tools read: written once, brought up to date, and without anybody's identity."""

import json
from dataclasses import replace

import pytest
from pyarrow import dataset
from sqlalchemy import update

from filmroom.catalog.schema import data_key
from filmroom.errors import Corrupt, Denied, Invalid, Refused
from filmroom.flow.export_catalog import _ONLY_READS
from filmroom.flow.sealed import project_subject
from filmroom.govern.policy import Policies
from filmroom.ids import Zone
from filmroom.verbs import VERBS, Role
from filmroom.wiring import Room


def _labels(world, *lines):
    return world.deliver("labels.csv", "\n".join(["sop_instance_uid,finding,value", *lines]).encode())


@pytest.fixture
def filled(world, make_ct):
    """Three patients in March and one MR in April; one statement about an image, made in April."""
    for patient in ("P1", "P2", "P3"):
        world.deliver(f"march/{patient}", make_ct(patient, InstitutionName="North", AccessionNumber=f"A-{patient}"))
    world.room.receive([world.inbox / "march"], source="ct-1")
    world.clock.pass_by(days=31)
    world.deliver("april/mr", make_ct("P1", 2, Modality="MR", SliceThickness=1))
    world.room.receive([world.inbox / "april"], source="mr-1")
    (uid,) = (
        row["sop_uid"] for row in world.room.query("patient_id = 'P1' AND modality = 'CT'", level="instance").rows
    )
    world.room.import_labels(_labels(world, f"{uid},nodule,yes"), name="reads", kind="radiologist", by="r1")
    return world


def _read(folder, table):
    found = dataset.dataset(folder / table, format="parquet", partitioning="hive", exclude_invalid_files=True)
    return found.to_table().to_pylist()


def test_an_export_says_what_the_catalog_says(filled, tmp_path):
    out = tmp_path / "out"
    done = filled.room.export_catalog(out)
    assert (done.written, done.unchanged, done.removed) == (5, 0, 0)
    assert done.rows == {"series": 4, "instances": 4, "files": 0, "findings": 0, "labels": 1}
    series = {row["series_uid"]: row for row in _read(out, "series")}
    assert {(row["month"], row["source"]) for row in series.values()} == {("2026-03", "ct-1"), ("2026-04", "mr-1")}
    for row in filled.room.query(level="series").rows:
        assert {name: series[row["series_uid"]][name] for name in row} == row
    images = _read(out, "instances")
    assert {row["sop_uid"] for row in images} == {row["sop_uid"] for row in filled.room.query(level="instance").rows}
    (label,) = _read(out, "labels")
    assert (label["set"], label["month"], label["finding"], label["value"], label["by"]) == (
        *("reads", "2026-04", "nodule", "yes", "r1"),
    )
    assert {path.name for path in out.rglob("*") if path.is_file()} == {"data.parquet", "export.json"}


def test_only_what_changed_is_written_again(filled, make_ct, tmp_path):
    out = tmp_path / "out"
    filled.room.export_catalog(out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("data.parquet")}
    filled.room.query("modality = 'CT'")
    assert filled.room.export_catalog(out).written == 0
    filled.deliver("more/ct", make_ct("P4"))
    filled.room.receive([filled.inbox / "more"], source="ct-1")
    done = filled.room.export_catalog(out)
    assert (done.written, done.unchanged, done.rows["series"]) == (2, 3, 5)
    changed = {path.parent for path in out.rglob("data.parquet") if before.get(path) != path.stat().st_mtime_ns}
    assert changed == {out / "series" / "month=2026-04", out / "instances" / "month=2026-04"}


def test_an_export_that_was_cut_off_goes_on(filled, tmp_path):
    out = tmp_path / "out"
    whole = filled.room.export_catalog(out)
    manifest = json.loads((out / "export.json").read_text())
    name, *_ = [each for each in manifest["partitions"] if each.startswith("instances")]
    del manifest["partitions"][name]
    (out / "export.json").write_text(json.dumps({**manifest, "complete": False}))
    done = filled.room.export_catalog(out)
    assert (done.written, done.unchanged, done.rows) == (1, 4, whole.rows)


def test_what_is_gone_from_the_catalog_leaves_the_export(filled, tmp_path):
    out = tmp_path / "out"
    filled.room.export_catalog(out, by="modality")
    assert {row["modality"] for row in _read(out, "series")} == {"CT", "MR"}
    manifest = json.loads((out / "export.json").read_text())
    manifest["partitions"]["series/modality=XX"] = {"rows": 1, "digest": "sha256:" + "0" * 64}
    (out / "export.json").write_text(json.dumps({**manifest, "complete": False}))
    assert filled.room.export_catalog(out, by="modality").removed == 1


def test_what_lies_there_already_is_not_overwritten(filled, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    with pytest.raises(Refused, match="not empty"):
        filled.room.export_catalog(tmp_path / "mine")
    filled.room.export_catalog(tmp_path / "out")
    with pytest.raises(Refused, match="another export"):
        filled.room.export_catalog(tmp_path / "out", by="modality")
    (tmp_path / "out" / "export.json").write_text("{")
    with pytest.raises(Corrupt):
        filled.room.export_catalog(tmp_path / "out")


def test_the_de_identified_form_has_nothing_that_the_copies_do_not_have(filled, tmp_path):
    room, out = filled.room, tmp_path / "out"
    room.project("lung", purpose="nodules")
    room.deidentify("lung", where="modality = 'CT'")
    with pytest.raises(Invalid, match="months"):
        room.export_catalog(out, project="lung", by="month")
    done = room.export_catalog(out, project="lung")
    assert (done.rows["series"], done.rows["instances"], done.rows["labels"]) == (3, 3, 1)
    series, images, (label,) = (_read(out, table) for table in ("series", "instances", "labels"))
    sources = room.query(level="instance").rows
    secrets = {str(row[name]) for row in sources for name in row if name.endswith("_uid") or name == "digest"}
    secrets |= {
        str(row[name]) for row in sources for name in ("patient_id", "subject", "accession_number", "study_date")
    }
    secrets |= {"North", "r1", "ct-1"} - {"None"}
    told = {str(value) for row in (*series, *images, label) for value in row.values() if value is not None}
    assert not told & (secrets - {"None"})
    copies = {copy.sop_uid: copy for copy in _copies(filled)}
    assert {row["sop_uid"] for row in images} == copies.keys()
    assert {row["subject"] for row in series} == {copy.subject for copy in copies.values()}
    assert {row["modality"] for row in series} == {"CT"} and {row["slice_thickness_mm"] for row in series} == {2.0}
    assert label["target"] in copies and label["value"] == "yes" and "by" not in label
    assert not {"patient_id", "birth_date", "institution", "accession_number", "received_at"} & series[0].keys()
    assert room.export_catalog(out, project="lung").written == 0
    room.deidentify("lung")
    again = room.export_catalog(out, project="lung")
    assert {row["modality"] for row in _read(out, "series")} == {"CT", "MR"}
    assert (again.rows["instances"], again.unchanged) == (4, done.written)


def test_a_header_that_was_exported_is_not_read_again_and_who_was_erased_leaves(filled, make_ct, tmp_path):
    room, out = filled.room, tmp_path / "out"
    room.project("lung", purpose="nodules")
    room.deidentify("lung", where="modality = 'CT'")
    room.export_catalog(out, project="lung")
    before = {row["sop_uid"]: row for row in _read(out, "instances")}
    research = filled.ports.objects[Zone.RESEARCH]
    for name in list(research.names("")):
        research.delete(name)
    filled.deliver("more/ct", make_ct("P4"))
    room.receive([filled.inbox / "more"], source="ct-1")
    room.deidentify("lung", where="modality = 'CT'")
    done = room.export_catalog(out, project="lung")
    after = {row["sop_uid"]: row for row in _read(out, "instances")}
    assert len(after) == done.rows["series"] == 4 and before.items() <= after.items()
    gone = next(iter(before.values()))["subject"]
    with filled.ports.catalog.write() as tx:
        theirs = data_key.c.subject == project_subject("lung", gone)
        tx.keys._connection.execute(update(data_key).where(theirs).values(wrapped=None))
    room.receive([filled.inbox / "more"], source="ct-1")
    room.export_catalog(out, project="lung")
    assert gone not in {row["subject"] for row in (*_read(out, "instances"), *_read(out, "series"))}


def _copies(world):
    with world.ports.catalog.read() as tx:
        return tx.copies.all(project="lung")


def test_an_export_is_for_stewards_and_is_written_down(filled, tmp_path):
    done = filled.room.export_catalog(tmp_path / "out")
    entry = filled.room.audit()[-1].entry
    assert entry["verb"] == "export-catalog" and entry["outcome"]["position"] == done.position
    assert entry["outcome"]["manifest"].startswith("sha256:")
    for role in Role:
        if role is not Role.STEWARD:
            with pytest.raises(Denied):
                _as(filled, role).export_catalog(tmp_path / role)
    assert VERBS.keys() >= _ONLY_READS


def _as(world, role):
    return Room(replace(world.ports, authorizer=Policies.shipped(lambda actor: frozenset({role}))))
