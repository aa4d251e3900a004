"""The examples of docs/formats are recomputed from what the pages say, and by the program."""

import base64
import hashlib
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from filmroom.canon import canonical, plain
from filmroom.errors import Corrupt, NotFound
from filmroom.govern import audit
from filmroom.records import Checkpoint
from filmroom.snapshot import manifest
from filmroom.wiring import init, open_room

Blocks = Callable[[Path, str], list[str]]


@pytest.fixture
def log(root: Path, blocks: Blocks) -> tuple[list[bytes], str, bytes]:
    """Leaves, checkpoint and public key of the audit log's example."""
    page = root / "docs" / "formats" / "audit.md"
    (leaves,), (key,), (note,) = blocks(page, "jsonl"), blocks(page, ""), blocks(page, "note")
    return [line.encode() for line in leaves.splitlines()], note, bytes.fromhex(key.strip())


def test_the_snapshot_is_what_its_page_says(root: Path, blocks: Blocks) -> None:
    page = root / "docs" / "formats" / "snapshot.md"
    (text,) = blocks(page, "jsonl")
    stated = dict(re.findall(r"^\| `?([\w .-]+?)`? \| `([0-9a-f]{64})` \|$", page.read_text("utf-8"), re.MULTILINE))
    rows = [line.encode() for line in text.splitlines()]
    for row in rows:
        assert json.dumps(json.loads(row), sort_keys=True, separators=(",", ":")).encode() == row
    leaves = [hashlib.sha256(b"\0" + row).digest() for row in rows]
    assert stated == {
        "leaf 0": leaves[0].hex(),
        "leaf 1": leaves[1].hex(),
        "root": hashlib.sha256(b"\1" + leaves[0] + leaves[1]).hexdigest(),
        "rows-0000.jsonl": hashlib.sha256(text.encode()).hexdigest(),
    }


def test_the_program_computes_the_same_snapshot(root: Path, blocks: Blocks) -> None:
    page = root / "docs" / "formats" / "snapshot.md"
    (text,) = blocks(page, "jsonl")
    rows = list(manifest.read_rows(text.encode()))
    assert manifest.in_order(reversed(rows)) == rows
    assert b"".join(manifest.row_bytes(row) + b"\n" for row in rows) == text.encode()
    assert f"| root | `{manifest.root_of(rows).hex}` |" in page.read_text("utf-8")


def test_the_checker_passes_the_log(checker: ModuleType, log: tuple[list[bytes], str, bytes]) -> None:
    leaves, note, key = log
    assert [checker.leaf_of(json.loads(each)) for each in leaves] == leaves
    assert checker.problem(leaves, note, key) == ""


def test_the_checker_notices_every_change(checker: ModuleType, log: tuple[list[bytes], str, bytes]) -> None:
    leaves, note, key = log
    for at, each in enumerate(leaves):
        edited = [*leaves[:at], each.replace(b"dana", b"omar").replace(b'"stored":2', b'"stored":3'), *leaves[at + 1 :]]
        assert checker.problem(edited, note, key) == "the leaves are not the signed ones"
    assert checker.problem(leaves[:-1], note, key) == "leaves are missing"
    assert checker.problem(leaves[::-1], note, key) == "the leaves are not the signed ones"
    assert checker.problem(leaves, note.replace("\n3\n", "\n2\n"), key) == "the signature does not hold"
    assert checker.problem(leaves, note, bytes(32)) == "another log or another key"


def test_the_program_agrees_about_the_log(log: tuple[list[bytes], str, bytes]) -> None:
    leaves, note, key = log
    size, root = audit.open_checkpoint(note, "filmroom/room-example", key)
    given = [Checkpoint(size=size, root=root, note=note)]
    assert audit.verify(leaves, given, origin="filmroom/room-example", public_key=key).ok
    assert [canonical(audit.read_leaf(each)) for each in leaves] == leaves


def test_the_checker_knows_nothing_of_the_program(root: Path) -> None:
    assert "import filmroom" not in (source := (root / "tests" / "docs" / "audit_log_checker.py").read_text("utf-8"))
    assert "from filmroom" not in source


def test_the_checker_passes_a_real_room_s_log_as_it_is_exported(root: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder = init(tmp_path / "room")
    with open_room(folder) as room:
        room.project("lung", purpose="find nodules, größer als 3 mm")
        room.query("modality = 'CT'")
    with open_room(folder) as room:
        entries = [{"index": each.index, **each.entry} for each in room.audit()]
    assert [entry["verb"] for entry in entries] == ["project", "query"]
    log = tmp_path / "log.json"
    seed = bytes.fromhex((folder / "keys" / "signing.key").read_text())
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()

    def check() -> "subprocess.CompletedProcess[str]":
        log.write_text(json.dumps(entries, indent=2), "utf-8")
        script = root / "tests" / "docs" / "audit_log_checker.py"
        call = [sys.executable, str(script), str(log), str(folder / "audit" / "checkpoint"), key]
        return subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)

    assert check().returncode == 0
    entries[0]["actor"] = "somebody"
    assert (check().returncode, check().stderr) == (1, "the leaves are not the signed ones\n")


def test_the_checker_passes_the_proof_of_every_entry_and_of_no_other(checker: ModuleType, tmp_path: Path) -> None:
    with open_room(init(tmp_path / "room")) as room:
        for number in range(5):
            room.query(f"rows = {number}")
        key = bytes.fromhex(next(each.detail for each in room.doctor().checks if each.name == "keys").split()[-1])
        proofs = [plain(room.prove_audit(index, size=size)) for size in (1, 3, 5) for index in range(size)]
        with pytest.raises(NotFound):
            room.prove_audit(5)
        with pytest.raises(NotFound):
            room.prove_audit(3, size=3)
    assert [checker.problem_of_proof(each, key) for each in proofs] == [""] * 9
    whole = proofs[-1]
    assert isinstance(whole, dict) and isinstance(whole["entry"], dict) and isinstance(whole["path"], list)
    for change in (
        {"entry": {**whole["entry"], "actor": "somebody"}},
        {"index": 3},
        {"index": 7},
        {"path": whole["path"][1:]},
        {"path": [*whole["path"], *whole["path"]]},
        {"checkpoint": str(whole["checkpoint"]).replace("\n5\n", "\n4\n")},
    ):
        assert checker.problem_of_proof({**whole, **change}, key)


def test_an_edited_log_gives_no_proof(tmp_path: Path) -> None:
    folder = init(tmp_path / "room")
    with open_room(folder) as room:
        room.project("lung", purpose="find nodules")
        room.query("modality = 'CT'")
        with sqlite3.connect(folder / "catalog.db") as catalog:
            catalog.execute("update audit_leaf set leaf = replace(leaf, 'lung', 'lungs') where idx = 0")
        catalog.close()
        with pytest.raises(Corrupt):
            room.prove_audit(1)
        assert room.verify_audit().problems


def test_a_lease_page_shows_the_claims_that_are_minted(root: Path, blocks: Blocks) -> None:
    from datetime import UTC, datetime

    from filmroom.govern import leases
    from filmroom.ids import Versioned
    from filmroom.records import LeaseRecord

    moment = datetime(2026, 3, 1, tzinfo=UTC)
    lent = LeaseRecord(
        id="lease-1", grant="g", snapshot=Versioned("lung", 1), holder="dana", job="", issued_at=moment, expires=moment
    )
    header, claims, _ = leases.mint(lent, "room-example", lambda message: bytes(64), bytes(32)).split(".")
    shown = [json.loads(block) for block in blocks(root / "docs" / "formats" / "lease.md", "json")]
    made = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims)]
    assert [each.keys() for each in made] == [each.keys() for each in shown]
