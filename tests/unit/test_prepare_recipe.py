"""A recipe means what it says, however it is written, and says everything that is wrong with it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import filmroom.prepare.recipe as recipe_module
from filmroom.errors import Invalid
from filmroom.prepare.recipe import OPS, Kind, parse
from filmroom.prepare.steps import _STEPS

RECIPES = sorted((Path(recipe_module.__file__).parent / "recipes").glob("*.toml"))
HEAD = 'name = "r"\nkind = "image"\n'


def step(op: str, rest: str = "") -> str:
    return f'{HEAD}[[step]]\nop = "{op}"\n{rest}\n'


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_examples_parse(path: Path) -> None:
    assert parse(path.read_text()).name == path.stem


def test_every_word_has_its_step_and_no_step_is_without_a_word() -> None:
    assert set(OPS) == set(_STEPS)
    assert len(RECIPES) >= 3


def test_spacing_comments_and_spelling_do_not_change_the_digest() -> None:
    plain = parse(step("window", "center = 40\nwidth = 400"))
    spaced = parse('# words\nkind="image"\nname  =  "r"\n\n[[step]]\nwidth = 4e2 # HU\ncenter = 40.0\nop = "window"')
    assert plain.digest == spaced.digest
    assert plain.text != spaced.text


def test_defaults_that_are_written_out_do_not_change_the_digest() -> None:
    assert parse(step("normalize")).digest == parse(step("normalize", "low = 0.5\nhigh = 99.5")).digest


@pytest.mark.parametrize(
    "other",
    [
        step("window", "center = 41\nwidth = 400"),
        step("clip", "low = 40\nhigh = 400"),
        step("window", "center = 40\nwidth = 400").replace('"r"', '"s"'),
        "version = 2\n" + step("window", "center = 40\nwidth = 400"),
        'frames = "middle"\n' + step("window", "center = 40\nwidth = 400"),
        step("window", "center = 40\nwidth = 400").replace("image", "volume"),
        HEAD,
    ],
)
def test_whatever_changes_the_meaning_changes_the_digest(other: str) -> None:
    assert parse(other).digest != parse(step("window", "center = 40\nwidth = 400")).digest


def test_a_new_version_of_an_op_changes_the_digest() -> None:
    before = parse(step("to-grey")).digest
    newer = replace(OPS["to-grey"], version=OPS["to-grey"].version + 1)
    assert parse(step("to-grey"), {**OPS, "to-grey": newer}).digest != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (step("windw", ""), "did you mean 'window'"),
        (step("window", "centre = 1\nwidth = 2"), "did you mean 'center'"),
        (step("window", "center = 1"), "width is missing"),
        (step("window", "center = nan\nwidth = 2"), "center: one of numbers"),
        (step("window", "center = true\nwidth = 2"), "center: one of numbers"),
        (step("window", "center = 1\nwidth = 0"), "width: one of numbers"),
        (step("resize", "rows = 1.5\ncolumns = 2"), "rows: one of whole numbers"),
        (step("resize", "rows = 1\ncolumns = 99999999"), "columns: one of whole numbers"),
        (step("resample", "spacing-mm = [1, 1, 1]"), "not for kind image"),
        (step("crop-or-pad", "shape = [1, 1, 1]"), "shape has 2 lengths"),
        (step("crop-or-pad", "shape = []"), "shape: a list"),
        (step("normalize", "low = 60\nhigh = 40"), "low is not below high"),
        (step("dtype", 'type = "int61"'), "did you mean 'int16'"),
        (step("dtype", 'type = "float32"\nscale = true'), "scale is for integer types"),
        ('name = "r"\nkind = "imagge"', "did you mean 'image'"),
        ('name = "r"\nkind = "volume"\nframes = "middle"', "a volume takes all frames"),
        ('name = "R R"\nkind = "image"', "cannot be a name"),
        ('name = "r"\nkind = "image"\nversion = 0', "version: a whole number"),
        ('name = "r"\nkind = "image"\nsteps = []', "did you mean 'step'"),
        ('name = "r"\nkind = "image"\nstep = 3', "tables [[step]]"),
        ("name = ", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_the_nearest_word(text: str, words: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse(text)
    assert words in raised.value.what
    assert raised.value.next_step


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(Invalid) as raised:
        parse('kind = "x"\n[[step]]\nop = "y"\n[[step]]\nop = "window"\n')
    assert all(word in raised.value.what for word in ("name", "kind", "step 1", "center", "width"))


def test_in_a_volume_what_depends_on_the_slice_comes_first() -> None:
    late = 'name = "r"\nkind = "volume"\n[[step]]\nop = "clip"\nlow = 0\nhigh = 1\n[[step]]\nop = "rescale"\n'
    with pytest.raises(Invalid, match="rescale comes before"):
        parse(late)
    assert parse(late.replace("volume", "image")).kind is Kind.IMAGE


@given(st.text(max_size=200))
def test_any_text_is_a_recipe_or_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)
