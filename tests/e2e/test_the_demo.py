"""`filmroom demo`, as a newcomer runs it, and as a power cut interrupts it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file


def demo(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "filmroom", "demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=cwd)


def test_it_tells_every_stage_and_ends_well(tmp_path) -> None:
    ran = demo(cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    for stage in (
        "1. import",
        "2. catalog",
        "3. deidentify",
        "4. freeze",
        "5. build",
        "6. request",
        "7. load",
        "8. trace",
    ):
        assert stage in ran.stdout
    for ending in (
        "A byte of a shard is flipped",
        "The grant is revoked",
        "The audit log verifies",
        "filmroom init room",
    ):
        assert ending in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_told_twice_in_one_room_it_ends_with_the_same_root(tmp_path) -> None:
    room = tmp_path / "my room"
    first, second = (demo("--keep", room, "--json") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    before, after = json.loads(first.stdout), json.loads(second.stdout)
    assert before["freeze"]["root"] == after["freeze"]["root"]
    assert after["freeze"]["existing"] and after["build"]["existing"]
    assert before["import"]["received"] == after["import"]["received"]
    assert after["import"]["stored"] == 0


HEADINGS = ("1. import", "2. catalog", "3. deid", "4. freeze", "5. build", "6. request", "7. load", "8. trace")
AMIDST = {
    "1. import": ("clinical/??/*", 20),
    "3. deid": ("research/??/*", 10),
    "5. build": ("research/shardsets/*/*", 1),
}
"""What a zone holds while the stage of that heading is at work: a heading is printed when its stage is done."""


@pytest.mark.slow
def test_killed_in_or_after_any_stage_it_goes_on_and_ends_with_the_same_root(tmp_path) -> None:
    room = tmp_path / "room"
    roots: set[str] = set()
    for heading in HEADINGS:
        if heading in AMIDST:
            _killed_when(room, partial(_holds, room / "zones", *AMIDST[heading]))
        _killed_when(room, partial(_is_told, heading))
        roots |= _roots(room)
    last = demo("--keep", room, "--json")
    assert last.returncode == 0, last.stderr
    told = json.loads(last.stdout)
    undisturbed = json.loads(demo("--json").stdout)
    assert roots == {told["freeze"]["root"]}
    assert told["freeze"]["snapshot"] == "demo@1"
    for figure in ("instances", "series", "studies", "patients"):
        assert told["freeze"][figure] == undisturbed["freeze"][figure]
    assert told["build"]["samples"] == undisturbed["build"]["samples"]
    assert told["audit"]["ok"] and told["verify"]["ok"]


def test_killed_while_a_shard_was_damaged_for_show_it_mends_the_shard(tmp_path) -> None:
    room = tmp_path / "room"
    first = demo("--keep", room, "--json")
    assert first.returncode == 0, first.stderr
    shard = next(file for file in (room / "zones" / "research" / "shardsets").rglob("c/**/*") if file.is_file())
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = demo("--keep", room, "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["build"]["repaired"] and told["verify"]["ok"]
    assert told["freeze"]["root"] == json.loads(first.stdout)["freeze"]["root"]


def _killed_when(room: Path, is_time: Callable[[Path], bool]) -> None:
    """Run the demo and kill it at that moment; `is_time` is asked with the file of what was told so far."""
    told, complained = room.parent / "told", room.parent / "complained"
    command = [sys.executable, "-m", "filmroom", "demo", "--keep", str(room)]
    with (
        told.open("wb") as out,
        complained.open("wb") as err,
        subprocess.Popen(command, stdout=out, stderr=err) as process,
    ):
        while not is_time(told):
            assert process.poll() is None, f"it ended by itself: {process.returncode}, {complained.read_text('utf-8')}"
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def _is_told(heading: str, told: Path) -> bool:
    return f"\n{heading}" in told.read_text("utf-8")


def _holds(zones: Path, pattern: str, count: int, _: Path) -> bool:
    return sum(1 for _ in zones.glob(pattern)) >= count


def test_the_sample_corpus_is_all_in_the_ledger(corpus, tmp_path) -> None:
    room = tmp_path / "room"
    ran = demo("--data", corpus, "--keep", room, "--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)["import"]
    files = sum(1 for path in corpus.rglob("*") if path.is_file())
    assert told["received"] == files
    assert told["received"] == sum(told[name] for name in ("stored", "duplicate", "conflict", "quarantined", "ignored"))


def _roots(room: Path) -> set[str]:
    command = [sys.executable, "-m", "filmroom", "--room", str(room), "snapshots", "--json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return {each["root"] for each in json.loads(listed.stdout)} if listed.returncode == 0 else set()


@pytest.mark.parametrize(
    ("patients", "splits", "judged"),
    [
        ("0", "train 6, test 0", "nothing to test it on"),
        ("01", "train 6, test 6", "6 test samples of other patients"),
    ],
)
def test_it_is_told_whichever_part_of_the_split_the_patients_fall_into(
    tmp_path, planted, patients: str, splits: str, judged: str
) -> None:
    inbox, keys = tmp_path / "inbox", tmp_path / "room" / "keys"
    inbox.mkdir()
    for file in planted.glob(f"p[{patients}]-*"):
        (inbox / file.name).write_bytes(file.read_bytes())
    # The split is by pseudonym, and pseudonyms come from this key; a room that is being made keeps the keys that it has.
    keys.mkdir(parents=True, mode=0o700)
    (keys / "vault.key").write_bytes(bytes(32))
    (keys / "vault.key").chmod(0o600)
    ran = demo("--data", inbox, "--keep", tmp_path / "room")
    assert ran.returncode == 0, ran.stderr
    words = " ".join(ran.stdout.split())
    assert splits in words and judged in words


def test_a_part_of_the_split_that_holds_an_ecg_only_is_nothing_to_test_on(tmp_path, planted) -> None:
    inbox, keys = tmp_path / "inbox", tmp_path / "room" / "keys"
    inbox.mkdir()
    for file in planted.glob("p0-*"):
        (inbox / file.name).write_bytes(file.read_bytes())
    ecg = pydicom.dcmread(str(get_testdata_file("waveform_ecg.dcm")))
    patient = pydicom.dcmread(planted / "p4-1-1")
    ecg.PatientID, ecg.PatientName = patient.PatientID, patient.PatientName
    ecg.save_as(inbox / "ecg")
    keys.mkdir(parents=True, mode=0o700)
    (keys / "vault.key").write_bytes(bytes(32))
    (keys / "vault.key").chmod(0o600)
    ran = demo("--data", inbox, "--keep", tmp_path / "room")
    assert ran.returncode == 0, ran.stderr
    words = " ".join(ran.stdout.split())
    assert "train 6, test 1" in words and "nothing to test it on" in words
