"""The pages, the commands in them, and the program that makes the reference pages."""

import importlib.util
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from filmroom.cli.main import _globals_first, app

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
REDIRECTION = re.compile(r" > [\w./-]+$")
COMMAND = re.compile(r"\$?\s*(?:[A-Z_]+=\S+\s+)*(filmroom\s.*)")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tests_docs_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    """docs/generate.py."""
    return _load(ROOT / "docs" / "generate.py")


@pytest.fixture(scope="session")
def checker() -> ModuleType:
    """The audit log's checker that imports nothing of ours."""
    return _load(ROOT / "tests" / "docs" / "audit_log_checker.py")


@pytest.fixture(scope="session")
def blocks() -> Callable[[Path, str], list[str]]:
    """Returns the fenced blocks of a page in one language ("" for none)."""
    return lambda page, language: [text for lang, text in BLOCK.findall(page.read_text("utf-8")) if lang == language]


@pytest.fixture(scope="session")
def commands_of() -> Callable[[Path], list[tuple[str, bool]]]:
    """Returns every `filmroom ...` command line that a page shows, and whether it stands inside a sentence."""
    return lambda page: list(_commands(page.read_text("utf-8")))


@pytest.fixture(scope="session")
def refusal() -> Callable[[str], str]:
    """Parses a command line as the program would, without running it; "" when it is understood."""
    return _refusal


def _commands(text: str) -> Iterator[tuple[str, bool]]:
    for _, block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if found := COMMAND.fullmatch(line.strip()):
                yield found[1], False
    for inline in INLINE.findall(BLOCK.sub("", text)):
        if found := COMMAND.fullmatch(inline.strip()):
            yield found[1], True


def _refusal(line: str) -> str:
    command, context = typer.main.get_command(app), None
    words = _globals_first(shlex.split(REDIRECTION.sub("", line), comments=True)[1:])
    name = "filmroom"
    try:
        while isinstance(command, TyperGroup):
            context = command.make_context(name, list(words), parent=context)
            words = [*context._protected_args, *context.args]
            if not words:
                return ""
            found, below, words = command.resolve_command(context, words)
            assert found is not None and below is not None
            name, command = found, below
        command.make_context(name, list(words), parent=context)
    except TyperException as error:
        return error.format_message()
    return ""
