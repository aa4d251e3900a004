"""The reference pages say what the code's tables say, and a verb has one name all the way."""

import re
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.core import TyperGroup

from filmroom.catalog.query import compile_where
from filmroom.cli.main import app, main
from filmroom.deid import profile
from filmroom.records import Level
from filmroom.verbs import VERBS
from filmroom.wiring import Room

PAGES = ("commands", "columns", "quality", "catalog-export", "recipes", "profiles", "permissions", "settings", "errors")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_generator_writes(generate: ModuleType, root: Path, page: str) -> None:
    written = (root / "docs" / f"{page}.md").read_text("utf-8")
    assert written == generate.PAGES[f"{page}.md"](), "run: make docs"


def test_the_generator_makes_these_pages_and_no_others(generate: ModuleType) -> None:
    assert set(generate.PAGES) == {f"{page}.md" for page in PAGES}


def test_check_tells_a_stale_page_and_writes_nothing(
    generate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0
    page = tmp_path / "errors.md"
    page.write_text(page.read_text("utf-8").replace("denied", "allowed"), "utf-8")
    changed = page.read_text("utf-8")
    assert generate.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "docs/errors.md is not up to date; run: make docs\n"
    assert page.read_text("utf-8") == changed


def test_a_code_without_a_row_is_noticed(generate: ModuleType) -> None:
    for told, used in (({"a"}, {"a", "b"}), ({"a", "b"}, {"a"})):
        with pytest.raises(SystemExit, match="b: in the code"):
            generate._check_all("reason", told, used)
    assert {"denied", "http", "usage"} <= generate._found(generate.RAISED, "**/*.py")


def test_every_verb_stands_in_one_group(generate: ModuleType) -> None:
    grouped = [name for names in generate.GROUPS.values() for name in names.split()]
    assert sorted(grouped) == sorted(VERBS)


def test_every_verb_is_a_command_and_every_command_a_verb(generate: ModuleType) -> None:
    tree = typer.main.get_command(app)
    assert isinstance(tree, TyperGroup)
    assert set(tree.commands) == (VERBS.keys() - set(generate.ONLY_IN_PYTHON)) | set(generate.OTHER_COMMANDS)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_verb_has_a_method_and_a_heading(root: Path, verb) -> None:
    assert callable(getattr(Room, verb.method, None))
    headings = re.findall(r"^### (.+)$", (root / "docs" / "commands.md").read_text("utf-8"), re.MULTILINE)
    assert headings.count(verb.name) == 1


@pytest.mark.parametrize("name", profile.shipped())
def test_the_page_of_profiles_is_what_describing_them_prints(
    root: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit):
        main(["scrub", "--describe", name])
    assert f"\n{capsys.readouterr().out}" in (root / "docs" / "profiles.md").read_text("utf-8")


def test_every_example_of_the_grammar_is_a_condition(root: Path) -> None:
    page = (root / "docs" / "how-to" / "query.md").read_text("utf-8")
    rows = re.findall(r"\| `([^`|]+)` \|$", page, re.MULTILINE)
    assert len(rows) == 12
    for condition in rows:
        compile_where(condition, Level.INSTANCE)


@pytest.mark.parametrize(
    "refused", ["lower(modality) = 'ct'", "rows * 2 = columns", "rows = 1; rows = 2", "kvp_kv > 'a'"]
)
def test_what_the_grammar_says_is_not_there_is_refused(refused: str) -> None:
    from filmroom.errors import Invalid

    with pytest.raises(Invalid):
        compile_where(refused, Level.INSTANCE)
