"""`filmroom demo`, as a newcomer runs it, and as a power cut interrupts it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


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


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_root(tmp_path) -> None:
    room = tmp_path / "room"
    command = [sys.executable, "-m", "filmroom", "demo", "--keep", str(room)]
    roots: set[str] = set()
    killed = 0
    for step in range(18):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(0.6 + step * 0.15)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        roots |= _roots(room)
    last = demo("--keep", room, "--json")
    assert last.returncode == 0, last.stderr
    told = json.loads(last.stdout)
    undisturbed = json.loads(demo("--json").stdout)
    assert killed >= 5
    assert roots | {told["freeze"]["root"]} == {told["freeze"]["root"]}
    assert told["freeze"]["snapshot"] == "demo@1"
    for figure in ("instances", "series", "studies", "patients"):
        assert told["freeze"][figure] == undisturbed["freeze"][figure]
    assert told["build"]["samples"] == undisturbed["build"]["samples"]
    assert told["audit"]["ok"] and told["verify"]["ok"]


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


def test_a_single_patient_makes_a_demo_too(tmp_path, planted) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for file in planted.glob("p0-*"):
        (inbox / file.name).write_bytes(file.read_bytes())
    for _ in range(3):  # the one patient falls into either part, by chance
        ran = demo("--data", inbox)
        assert ran.returncode == 0, ran.stderr
