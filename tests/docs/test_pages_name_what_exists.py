"""Links lead somewhere, commands and snippets are understood, and no page knows the machine it was written on."""

import ast
import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import filmroom
from filmroom.catalog import facts
from filmroom.catalog.label_tables import OPTIONAL, REQUIRED, TARGETS, read_csv
from filmroom.catalog.labels import REASONS, problem
from filmroom.loader.data import Batch, Data
from filmroom.prepare import recipe
from filmroom.records import Statement
from filmroom.settings import Environment
from filmroom.wiring import Room

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
GUIDES = sorted([ROOT / "README.md", *(ROOT / "docs" / "how-to").glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MENTIONS = sorted(
    {
        (path.relative_to(ROOT).as_posix(), page)
        for path in (ROOT / "src").rglob("*.py")
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text("utf-8"))
    }
)


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        if "://" in target:
            continue
        place, _, heading = target.partition("#")
        found = (page.parent / place).resolve() if place else page
        assert found.exists(), f"{_id(page)} links to {target}"
        if heading:
            slugs = {
                re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
                for line in found.read_text("utf-8").splitlines()
                if line.startswith("#")
            }
            assert heading in slugs, f"{_id(page)} links to {target}"


@pytest.mark.parametrize("page", GUIDES, ids=_id)
def test_every_command_line_is_understood(
    page: Path, commands_of: Callable[[Path], list[tuple[str, bool]]], refusal: Callable[[str], str]
) -> None:
    for line, in_sentence in commands_of(page):
        problem = refusal(line)
        # A sentence may name a command, or a group of them, without what it needs.
        named = in_sentence and problem.startswith(("Missing", "Usage: "))
        assert named or not problem, f"{_id(page)}: {line}: {problem}"


def test_the_guides_do_show_commands(commands_of: Callable[[Path], list[tuple[str, bool]]]) -> None:
    assert len([line for page in GUIDES for line in commands_of(page)]) > 50


@pytest.mark.parametrize("line", ["filmroom frieze lung", "filmroom query --colour red", "filmroom build lung@1"])
def test_a_command_line_that_is_wrong_is_noticed(line: str, refusal: Callable[[str], str]) -> None:
    assert refusal(line)


@pytest.mark.parametrize("page", GUIDES, ids=_id)
def test_python_snippets_use_names_that_exist(page: Path, blocks: Callable[[Path, str], list[str]]) -> None:
    for block in blocks(page, "python"):
        for word in re.findall(r"(?<=[ ,])\.(\w+)", block):
            assert word in Batch.__dataclass_fields__, f"{_id(page)}: batch.{word}"
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = {"filmroom": filmroom, "data": Data, "room": Room, "batch": Batch}.get(node.value.id)
                assert owner is None or hasattr(owner, node.attr), f"{_id(page)}: {node.value.id}.{node.attr}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                functions: dict[str, Callable[..., object]] = {
                    "load": filmroom.load,
                    "open": filmroom.open,
                    "batches": Data.batches,
                }
                function = functions.get(node.func.attr)
                if function is not None:
                    known = inspect.signature(function).parameters
                    assert {each.arg for each in node.keywords} <= known.keys(), f"{_id(page)}: {node.func.attr}"


def test_the_readme_has_a_snippet(blocks: Callable[[Path, str], list[str]]) -> None:
    assert "filmroom.load(" in "".join(blocks(ROOT / "README.md", "python"))


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_no_page_knows_a_machine(page: Path) -> None:
    found = re.search(r"(?<![\w.])/(home|root|work|tmp|Users|mnt|opt)/", page.read_text("utf-8"))
    assert found is None


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_variable_that_a_page_names_is_read(page: Path) -> None:
    known = {f"FILMROOM_{name.upper()}" for name in Environment.model_fields}
    assert set(re.findall(r"FILMROOM_[A-Z0-9_]*[A-Z0-9]", page.read_text("utf-8"))) <= known


@pytest.mark.parametrize(("source", "page"), MENTIONS)
def test_a_page_that_the_code_names_exists(source: str, page: str) -> None:
    assert (ROOT / page).exists()


def test_the_recipe_of_the_guide_is_a_recipe(blocks: Callable[[Path, str], list[str]]) -> None:
    (text,) = blocks(ROOT / "docs" / "how-to" / "recipe.md", "toml")
    assert recipe.parse(text).name == "lung-window"


def test_the_label_files_of_the_guide_are_read(blocks: Callable[[Path, str], list[str]]) -> None:
    for text in blocks(ROOT / "docs" / "how-to" / "labels.md", "csv"):
        assert [problem(row) for row in read_csv(text) if isinstance(row, Statement)] in (
            ["kind-missing"] * 2,
            ["", ""],
        )


def test_the_label_guide_explains_every_column_and_every_reason_why_a_row_is_left_out() -> None:
    page = (ROOT / "docs" / "how-to" / "labels.md").read_text("utf-8")
    for name in (*TARGETS, *REQUIRED, *OPTIONAL, *REASONS):
        assert f"`{name}`" in page, name


def test_the_guide_to_facts_explains_every_column_and_every_reason() -> None:
    path = ROOT / "docs" / "how-to" / "facts.md"
    page = path.read_text("utf-8")
    for name in (*facts.COLUMNS, *facts.REASONS):
        assert f"`{name}`" in page, name


def test_the_room_file_of_the_page_has_every_key(blocks: Callable[[Path, str], list[str]], tmp_path: Path) -> None:
    from filmroom.settings import RoomFile

    (text,) = blocks(ROOT / "docs" / "formats" / "room.md", "toml")
    assert tomllib.loads(text)["format"] == 1
    (tmp_path / "room.toml").write_text(text, "utf-8")
    assert RoomFile.read(tmp_path).keys == "keys"
