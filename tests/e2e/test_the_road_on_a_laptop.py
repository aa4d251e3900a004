"""From scanner files to a traced model with nothing but the command line and `filmroom.load`."""

import json

import numpy as np
import pytest

import filmroom as package
from filmroom.errors import LeaseEnded


def test_the_whole_road_with_the_shapes_of_the_contract(filmroom, planted, recipe, tmp_path) -> None:
    receipt = filmroom("import", planted, "--source", "ct-1", "--json").json
    assert {"id", "source", "received_at", "processing_version"} <= receipt["batch"].keys()
    counts = {name: receipt[name] for name in ("stored", "duplicate", "conflict", "quarantined", "ignored")}
    assert counts == {"stored": 30, "duplicate": 0, "conflict": 0, "quarantined": 2, "ignored": 1}
    assert receipt["received"] == sum(counts.values()) and receipt["bytes"] > 0 and receipt["seconds"] >= 0

    batch = filmroom("batches", "--json").json[0]
    assert batch["id"] == receipt["batch"]["id"] and batch["stored"] == 30
    assert len(filmroom("batches", "show", batch["id"], "--json").json["ledger"]) == 33

    cases = filmroom("quarantine", "list", "--json").json
    assert len(cases) == 2
    assert all({"id", "name", "digest", "size", "batch", "reasons", "state"} <= case.keys() for case in cases)
    assert all({"code", "detail"} <= reason.keys() for case in cases for reason in case["reasons"])
    filmroom("quarantine", "reject", cases[0]["id"], "--why", "cut off", "--json")

    found = filmroom("query", "modality = 'CT' AND slice_thickness_mm <= 2.5", "--level", "series", "--json").json
    assert (found["level"], found["count"], len(found["rows"])) == ("series", 10, 10)
    columns = filmroom("columns", "--json").json
    assert {"name", "level", "type", "unit", "description", "dicom"} == columns[0].keys()

    filmroom("project", "create", "lung", "--purpose", "find nodules", "--until", "2030-01-01", "--json")
    run = filmroom("deidentify", "--project", "lung", "--json").json
    assert {"run", "instances", "clean", "review", "refused", "already", "seconds", "findings"} <= run.keys()
    assert (run["instances"], run["clean"]) == (30, 30)
    assert filmroom("deidentify", "--project", "lung", "--json").json["already"] == 30

    labels = tmp_path / "labels.csv"
    lines = [f"{row['series_uid']},nodule,{number % 2}" for number, row in enumerate(found["rows"])]
    labels.write_text("\n".join(["series_instance_uid,finding,value", *lines, "1.2.3,nodule,1"]))
    added = filmroom("labels", "import", labels, "--set", "reads", "--kind", "radiologist", "--by", "r1", "--json").json
    assert (added["set"], added["version"], added["added"], added["superseded"]) == ("reads", 10, 10, 0)
    assert added["unmatched"] == [{"place": "line 12", "reason": "target-unknown"}]

    freeze = ("freeze", "lung", "--project", "lung", "--labels", "reads", "--split", "train=0.5,test=0.5", "--json")
    gates = tmp_path / "gates.toml"
    gates.write_text('require = ["completeness.modality >= 1"]')
    filmroom("project", "require", "lung", "--require", "labelled >= 0.5", "--gates", gates)
    assert filmroom("project", "require", "lung", "--json").json["requires"][0] == "labelled >= 0.5"
    frozen = filmroom(*freeze).json
    assert [gate["gate"] for gate in frozen["gates"]] == ["labelled >= 0.5", "completeness.modality >= 1"]
    assert (frozen["snapshot"], frozen["instances"], frozen["patients"]) == ("lung@1", 30, 5)
    assert frozen["root"].startswith("sha256:") and sum(frozen["splits"].values()) == 30
    assert filmroom(*freeze).json["root"] == frozen["root"]
    assert len(filmroom("show", "lung@1", "--json").json["members"]) == 30
    assert filmroom("snapshots", "--json").json[0]["ref"] == "lung@1"

    built = filmroom("build", "lung@1", "--recipe", recipe, "--json").json
    assert {"shardset", "snapshot", "recipe", "samples", "bytes", "path", "seconds"} <= built.keys()
    assert built["samples"] == 30

    asked = filmroom("--as", "dana", "request", "lung@1", "--purpose", "baseline", "--days", "30", "--json").json
    denied = filmroom("--as", "dana", "approve", asked["request"], status=3)
    assert denied.stderr.startswith("error[denied]: ") and denied.stderr.count("\n") == 1
    granted = filmroom("approve", asked["request"], "--as", "sam", "--json").json
    assert {"grant", "expires"} == granted.keys()
    lease = filmroom("--as", "dana", "--json", "lease", "lung@1", "--minutes", "30", "--job", "j1").json

    data = package.load("lung@1", room=filmroom.room, lease=lease["lease"], split="train")
    seen = [key for batch in data.batches(4, seed=0, epoch=0, rank=0, world=1) for key in batch.keys]
    assert len(seen) == len(set(seen)) == len(data) == frozen["splits"]["train"]
    assert data[0].image.shape == (64, 64) and data[0].image.dtype == np.float32
    assert set(data[0].labels) == {"nodule"}

    artifact, metrics = tmp_path / "weights", tmp_path / "metrics.json"
    artifact.write_bytes(b"learned")
    metrics.write_text(json.dumps({"auc": 0.5}))
    register = ("model", "register", "nodules", "--snapshot", "lung@1", "--artifact", artifact, "--metrics", metrics)
    model = filmroom("--as", "dana", *register, "--lease", lease["lease"], "--json").json
    assert model["model"] == "nodules@1" and model["digest"].startswith("sha256:")

    trace = filmroom("trace", "nodules@1", "--json").json
    assert len(trace["answers"]["studies"]) == 5 and trace["answers"]["labels"] == ["reads@10"]
    assert filmroom("trace", "lung@1", "--format", "mermaid").stdout.startswith("flowchart")
    assert "entity" in filmroom("trace", "lung@1", "--format", "prov").json
    assert filmroom("trace", "lung@1", "--format", "openlineage").json

    assert filmroom("verify", "lung@1", "--json").json["ok"]
    assert filmroom("reproduce", "lung@1", "--json").json["ok"]
    filmroom("revoke", granted["grant"])
    with pytest.raises(LeaseEnded):
        data[0]
    audit = filmroom("audit", "verify", "--json").json
    assert audit["ok"] and audit["size"] > 20 and audit["problems"] == []
    assert filmroom("doctor", "--json").json["ok"]
    assert "Qvistgaard" not in filmroom("audit", "show", "--json").stdout


def test_every_command_answers_people_too(filmroom, planted) -> None:
    filmroom("import", planted, "--source", "ct-1")
    for command in (["batches"], ["quarantine", "list"], ["columns"], ["query"], ["labels", "list"], ["snapshots"]):
        assert filmroom(*command).stdout.strip()
    for command in (
        ["review", "list"],
        ["grants"],
        ["audit", "show"],
        ["doctor"],
        ["quality"],
        ["version"],
        ["--help"],
    ):
        assert filmroom(*command).stdout.strip()


def test_rows_leave_as_csv_and_parquet(filmroom, planted, tmp_path) -> None:
    filmroom("import", planted, "--source", "ct-1")
    text = filmroom("query", "--level", "patient", "--select", "sex,subject", "--format", "csv").stdout
    assert text.splitlines()[0] == "sex,subject" and len(text.splitlines()) == 6
    out = tmp_path / "rows.parquet"
    filmroom("query", "--level", "series", "--format", "parquet", "--out", out, "--json")
    from pyarrow import parquet

    assert parquet.read_table(out).num_rows == 10
    exported = filmroom("export-catalog", tmp_path / "tables", "--by", "modality", "--json").json
    assert exported["rows"]["series"] == 10 and exported["out"] == str(tmp_path / "tables")
    assert parquet.read_table(tmp_path / "tables" / "series").num_rows == 10
    page = tmp_path / "quality.html"
    written = filmroom("quality", "--by", "month", "--out", out, "--html", page, "--json").json
    assert written["figures"] == parquet.read_table(out).num_rows > 20
    assert "<svg" in page.read_text() and "Qvistgaard" not in page.read_text()


def test_errors_are_one_line_with_a_code_and_a_next_step(filmroom, tmp_path) -> None:
    for arguments, status, code in (
        (["query", "modalty = 'CT'"], 2, "invalid"),
        (["verify", "nothing@1"], 1, "not-found"),
        (["verify", "nothing"], 2, "invalid"),
        (["verify", f"nothing@{'9' * 30}"], 2, "invalid"),
        (["query", "--out", tmp_path / "no" / "such" / "folder" / "rows.csv"], 4, "unavailable"),
        (["freeze"], 2, "usage"),
        (["no-such-verb"], 2, "usage"),
        (["--room", tmp_path / "nowhere", "batches"], 4, "no-room"),
        (["import", tmp_path / "nowhere", "--source", "x"], 1, "not-found"),
        (["--as", "Not A Name", "batches"], 2, "invalid"),
        (["--as", "", "batches"], 2, "invalid"),
    ):
        ran = filmroom(*arguments, status=status)
        assert ran.stdout == "" and ran.stderr.count("\n") == 1, ran.stderr
        assert ran.stderr.startswith(f"error[{code}]: "), ran.stderr
    assert "modality" in filmroom("query", "modalty = 'CT'", status=2).stderr


def test_a_room_that_is_there_is_left_as_it_is(filmroom) -> None:
    before = (filmroom.room / "room.toml").read_bytes()
    filmroom("init", filmroom.room)
    assert (filmroom.room / "room.toml").read_bytes() == before


def test_keys_that_others_can_read_are_not_used(filmroom) -> None:
    (filmroom.room / "keys" / "clinical.key").chmod(0o644)
    ran = filmroom("batches", status=3)
    assert "chmod" in ran.stderr


def test_a_catalog_that_is_away_is_status_4(filmroom) -> None:
    file = filmroom.room / "room.toml"
    text = file.read_text().replace("sqlite:///catalog.db", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    file.write_text(text)
    assert filmroom("batches", status=4).stderr.startswith("error[unavailable]: ")


def test_what_a_table_cell_says_is_no_markup(filmroom, planted) -> None:
    filmroom("import", planted, "--source", "[/red] ct-1 [bold]")
    assert "[/red] ct-1 [bold]" in filmroom("batches").stdout


def test_a_catalog_that_is_gone_is_not_replaced_by_an_empty_one(filmroom, planted) -> None:
    filmroom("import", planted, "--source", "ct-1")
    catalog, aside = filmroom.room / "catalog.db", filmroom.room.parent / "aside.db"
    catalog.rename(aside)
    for verb in (["batches"], ["import", planted, "--source", "ct-1"], ["init", filmroom.room]):
        ran = filmroom(*verb, status=0 if verb[0] == "init" else 1)
        assert verb[0] == "init" or "restore it from a backup" in ran.stderr
    catalog.unlink(missing_ok=True)
    aside.rename(catalog)
    assert filmroom("import", planted, "--source", "ct-1", "--json").json["duplicate"] == 30
    assert filmroom("doctor", "--json").json["ok"]


def test_an_older_catalog_is_noticed_and_the_evidence_stays(filmroom, planted) -> None:
    import shutil

    catalog, older = filmroom.room / "catalog.db", filmroom.room.parent / "older.db"
    shutil.copy(catalog, older)
    filmroom("import", planted, "--source", "ct-1")
    for left in filmroom.room.glob("catalog.db*"):
        left.unlink()
    shutil.copy(older, catalog)
    for _ in range(2):
        ran = filmroom("audit", "verify", "--json", status=1)
        assert not ran.json["ok"]


def test_a_row_that_an_operator_edits_in_sql_is_noticed(filmroom, planted) -> None:
    import sqlite3

    filmroom("import", planted, "--source", "ct-1")
    filmroom("project", "create", "lung", "--purpose", "find nodules")
    assert filmroom("audit", "verify", "--json").json["ok"]
    for statement in (
        "update project set purpose = 'anything'",
        "update ledger set outcome = 'ignored' where position = 3",
        "delete from ledger where position = 33",
    ):
        catalog = filmroom.room / "catalog.db"
        before = catalog.read_bytes()
        with sqlite3.connect(catalog) as connection:
            connection.execute(statement)
        connection.close()
        assert filmroom("audit", "verify", "--json", status=1).json["problems"], statement
        catalog.write_bytes(before)


def test_objects_that_are_gone_are_noticed(filmroom, planted) -> None:
    import shutil

    filmroom("import", planted, "--source", "ct-1")
    shutil.rmtree(filmroom.room / "zones" / "clinical")
    checks = filmroom("doctor", "--json", status=1).json["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == ["stored objects"]


def test_a_shortened_audit_log_is_noticed(filmroom, planted) -> None:
    import sqlite3

    filmroom("import", planted, "--source", "ct-1")
    with sqlite3.connect(filmroom.room / "catalog.db") as connection:
        connection.execute("delete from audit_leaf where idx = (select max(idx) from audit_leaf)")
    ran = filmroom("audit", "verify", "--json", status=1)
    assert not ran.json["ok"] and ran.json["problems"]
