"""What a profile does to every attribute is told, to people and to programs, and so is what another edition asks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from filmroom.cli.main import main
from filmroom.deid import profile, table

PART15 = Path(__file__).parents[1] / "vectors" / "part15_fragment.xml"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        told = capsys.readouterr()
        return int(str(ended.value.code)), told.out, told.err

    return call


@pytest.mark.parametrize("name", profile.shipped())
def test_every_attribute_is_either_in_a_group_or_removed(run: Any, name: str) -> None:
    status, out, _ = run("scrub", "--describe", name, "--json")
    told, loaded = json.loads(out), profile.load(name)
    assert status == 0
    assert (told["profile"], told["digest"]) == (name, str(loaded.digest))
    assert {each["uid"] for each in told["sop_classes"]} == loaded.rules.keys()
    for each in told["sop_classes"]:
        rules = {(rule.keyword, str(rule.action)) for rule in loaded.rules[each["uid"]].values()}
        assert rules == {
            (keyword, action)
            for group in each["groups"]
            for action, keywords in told["groups"][group].items()
            for keyword in keywords
        }
    kept = {keyword for rules in told["groups"].values() for words in rules.values() for keyword in words}
    assert kept.isdisjoint(told["removed"])
    survivors = {row.tag for row in table.shipped().attributes} & {
        f"{tag:08X}" for r in loaded.rules.values() for tag in r
    }
    assert len(told["removed"]) == len(table.shipped().attributes) - len(survivors)
    assert {action for rules in told["groups"].values() for action in rules} == told["actions"].keys()


def test_a_site_s_own_profile_is_described_from_its_file(run: Any, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(profile.load("basic").text.replace('name = "basic"', 'name = "own"'), "utf-8")
    status, out, _ = run("scrub", "--describe", own)
    assert status == 0
    assert out.startswith("## own\n")
    assert "present without a value: PatientBirthDate, PatientSex\n" in out


def test_a_profile_that_is_nowhere_is_no_traceback(run: Any) -> None:
    status, _, err = run("scrub", "--describe", "nowhere")
    assert (status, err.startswith("error[not-found]: ")) == (1, True)


def test_scrub_wants_two_folders_or_a_profile_to_describe(run: Any, tmp_path: Path) -> None:
    status, _, err = run("scrub", tmp_path)
    assert (status, err.startswith("error[invalid]: ")) == (2, True)


def test_another_edition_says_what_it_changes_and_which_rules_it_forbids(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "2027a"
    status, out, _ = run("deid-table", PART15, "--profile", "research", "--to", folder, "--json")
    told = json.loads(out)
    assert status == 0
    assert (told["edition"], told["compared_with"], told["attributes"], told["content_items"]) == (
        "2027a",
        "2026d",
        6,
        1,
    )
    assert told["forbidden"] == [
        {"profile": "research", "attribute": "BodyPartExamined", "action": "keep", "asked": "X"}
    ]
    assert {"tag": "00180015", "name": "Body Part Examined", "before": "", "after": "X"} in told["changes"]
    assert table.read({name: (folder / name).read_text("utf-8") for name in table.FILES}).edition == "2027a"


@pytest.mark.parametrize("content", [None, b"<book/>", b"part 15"])
def test_a_file_that_is_not_the_standard_is_refused(run: Any, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "part15.xml"
    if content is not None:
        path.write_bytes(content)
    status, _, err = run("deid-table", path)
    assert status in (1, 2)
    assert "part15.xml" in err
