"""`filmroom scrub`: a folder goes in, verified copies come out, and every file is accounted for, without a room."""

import csv
import gzip
import stat
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from tests.e2e.conftest import PLANTED_IDS, PLANTED_NAMES, PLANTED_PLACES

from filmroom.deid import profile

SHORTEST = 7


def mapped(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_is_counted_and_only_clean_copies_are_written(filmroom, planted, tmp_path) -> None:
    out, table = tmp_path / "out", tmp_path / "map.csv"
    answer = filmroom("scrub", planted, out, "--map", table, "--json", status=1).json
    files = [path for path in planted.rglob("*") if path.is_file()]
    assert answer["files"] == len(files) == answer["clean"] + answer["review"] + answer["refused"]
    assert answer["clean"] == 30 and answer["refused"] == 3
    rows = mapped(table)
    assert len(rows) == len(files)
    assert {row["output"] for row in rows if row["outcome"] == "clean"} == {path.name for path in out.iterdir()}
    assert all(row["reasons"] for row in rows if row["outcome"] != "clean")
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    for path in out.iterdir():
        copy = pydicom.dcmread(path)
        assert path.name == f"{copy.SOPInstanceUID}.dcm"
        data = path.read_bytes()
        assert not any(text.encode() in data for text in (*PLANTED_NAMES, *PLANTED_IDS, *PLANTED_PLACES))


def test_the_same_key_gives_the_same_copies_in_one_process_or_two_and_another_key_others(
    filmroom, planted, tmp_path
) -> None:
    key, other = tmp_path / "one.key", tmp_path / "other.key"
    runs = [(key, 1), (key, 2), (other, 1)]
    found = []
    for number, (file, workers) in enumerate(runs):
        out = tmp_path / f"out{number}"
        filmroom("scrub", planted, out, "--key", file, "--workers", workers, "--json", status=1)
        found.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert found[0] == found[1]
    assert not found[0].keys() & found[2].keys()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_two_files_with_one_uid_and_other_content_do_not_overwrite_each_other(filmroom, planted, tmp_path) -> None:
    first = planted / "p0-1-1"
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(first.read_bytes())
    (folder / "b.dcm").write_bytes(first.read_bytes())
    changed = pydicom.dcmread(first)
    changed.InstanceNumber = 99
    changed.save_as(folder / "c.dcm")
    answer = filmroom("scrub", folder, out, "--json", status=1).json
    assert (answer["clean"], answer["refused"], answer["findings"]["uid-conflict"]) == (2, 1, 1)
    [copy] = [pydicom.dcmread(path) for path in out.iterdir()]
    assert copy.InstanceNumber != 99


def test_copies_are_not_written_among_their_sources_and_a_wrong_key_is_told(filmroom, planted, tmp_path) -> None:
    assert "error[invalid]" in filmroom("scrub", planted, planted / "out", status=2).stderr
    bad = tmp_path / "bad.key"
    bad.write_text("no key")
    bad.chmod(0o600)
    assert "holds no key" in filmroom("scrub", planted, tmp_path / "out", "--key", bad, status=1).stderr
    assert "no profile" in filmroom("scrub", planted, tmp_path / "out", "--profile", "x", status=1).stderr


@pytest.mark.slow
def test_the_corpus_is_scrubbed_and_nothing_of_its_names_numbers_and_uids_comes_out(corpus, filmroom, tmp_path) -> None:
    out = tmp_path / "out"
    accepting = tmp_path / "heads-too.toml"
    accepting.write_text(profile.load("research").text.replace('faces = "block"', 'faces = "accept-under-agreement"'))
    answer = filmroom("scrub", corpus, out, "--profile", accepting, "--workers", 2, "--json", status=1).json
    assert answer["files"] == answer["clean"] + answer["review"] + answer["refused"] > 800
    assert answer["clean"] > 250
    secrets = {text for path in corpus.rglob("*") if path.is_file() for text in told(path)}
    assert len(secrets) > 1000
    for path in out.iterdir():
        data = path.read_bytes()
        header = data[: data.find(b"\xe0\x7f\x10\x00")] + path.name.encode()
        assert not [text for text in secrets if text.encode() in header], path.name


def told(path: Path) -> set[str]:
    """Return whom a file is about and its own UIDs, as pydicom reads them."""
    try:
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        return {text for text in _told(dataset) if len(text) >= SHORTEST}
    except Exception:  # noqa: BLE001  # a broken file tells nothing
        return set()


def _told(dataset: Dataset) -> set[str]:
    found = set()
    for element in dataset.iterall():
        values = element.value if element.VM > 1 else [element.value]
        if element.VR == "UI":
            found |= {str(value) for value in values if value and str(UID(str(value)).name) == str(value)}
        elif element.keyword in ("PatientName", "PatientID", "OtherPatientIDs", "AccessionNumber"):
            found |= {str(value) for value in values if value}
    return found


def test_volumes_sidecars_and_documents_stay_with_the_reason_and_names_of_files_never_leave(
    filmroom, planted, tmp_path
) -> None:
    folder, out, table = tmp_path / "ZANDER_OTTO", tmp_path / "out", tmp_path / "map.csv"
    folder.mkdir()
    head = bytearray(352)
    head[:4], head[344:348], head[148:160] = (348).to_bytes(4, "little"), b"n+1\0", b"Zander, Otto"
    (folder / "ZANDER_T1w.nii").write_bytes(bytes(head))
    (folder / "ZANDER_T2w.nii.gz").write_bytes(gzip.compress(bytes(head)))
    (folder / "ZANDER_T1w.json").write_text('{"PatientName": "Zander, Otto"}')
    (folder / "ZANDER.pdf").write_bytes(b"%PDF-1.7 Zander")
    (folder / "ZANDER_1931.dcm").write_bytes((planted / "p0-1-1").read_bytes())
    answer = filmroom("scrub", folder, out, "--map", table, "--json", status=1).json
    assert (answer["clean"], answer["refused"]) == (1, 4)
    reasons = {Path(row["source"]).name: row["reasons"] for row in mapped(table) if row["outcome"] == "refused"}
    assert all("not-dicom:nifti" in reasons[f"ZANDER_{end}"] for end in ("T1w.nii", "T2w.nii.gz"))
    assert "sidecar" in reasons["ZANDER_T1w.json"] and "not-dicom:pdf" in reasons["ZANDER.pdf"]
    [copy] = out.iterdir()
    assert copy.name == f"{pydicom.dcmread(copy).SOPInstanceUID}.dcm"
    assert b"zander" not in copy.read_bytes().lower()
