"""A cohort's file is read or refused, and its figure's numbers add up in each of its forms."""

from typing import cast
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.canon import plain
from filmroom.errors import Invalid
from filmroom.ids import Versioned
from filmroom.records import Exclusion, LabelKind
from filmroom.snapshot import cohort
from filmroom.snapshot.cohort import Counts, Flow
from filmroom.snapshot.figure import as_mermaid, as_svg, as_text

FILE = """
project = "lung"
where = "modality = 'CT'"
require = ["nodules@5.nodule:radiologist"]
not_in = ["lung@1:test"]
labels = ["sex"]
[[exclude]]
reason = "not an adult"
where = "age_years < 18"
"""


def counts(number: int) -> Counts:
    return Counts(patients=number, studies=number, series=2 * number, instances=1000 * number)


def figure(*reasons: str) -> Flow:
    left = [counts(10 - number) for number in range(len(reasons) + 1)]
    return cohort.flow(reasons, left, unless_empty=len(reasons))


def test_a_file_is_read() -> None:
    found = cohort.parse(FILE)
    assert (found.project, found.where, found.labels) == ("lung", "modality = 'CT'", ("sex",))
    assert found.exclude == (Exclusion("not an adult", "age_years < 18"),)
    assert cohort.requirement(found.require[0]) == ("nodules@5.nodule", LabelKind.RADIOLOGIST)
    assert cohort.elsewhere(found.not_in[0]) == (Versioned("lung", 1), "test")


def test_a_code_with_a_colon_is_no_kind() -> None:
    assert cohort.requirement("nodules.RID:50149") == ("nodules.RID:50149", None)
    assert cohort.requirement("nodules.RID:50149:model") == ("nodules.RID:50149", LabelKind.MODEL)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("where = ", "not TOML"),
        ("were = 'x'", "'were'"),
        ("where = 1", "where in"),
        ("labels = 'a'", "labels in"),
        ("not_in = [1]", "not_in in"),
        ("exclude = 'x'", "no list"),
        ("[[exclude]]\nwhere = 'rows = 1'", "a reason and a condition"),
        ("[[exclude]]\nreason = 'x'\nwhere = 'rows = 1'\nwhy = 'y'", "a reason and a condition"),
        ("[[exclude]]\nreason = 'x'\nwhere = ' '", "without a condition"),
        ('[[exclude]]\nreason = "x\\ny"\nwhere = "rows = 1"', "more than a line"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        cohort.parse(text)


def test_an_exclusion_needs_a_reason() -> None:
    assert cohort.exclusion("no adult: age_years < 18") == Exclusion("no adult", "age_years < 18")
    for text in ("age_years < 18", ": age_years < 18", "no adult:"):
        with pytest.raises(Invalid):
            cohort.exclusion(text)


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 3), min_size=1, max_size=6), st.integers(0, 6))
def test_who_is_left_is_who_was_there_without_who_was_left_out(drops: list[tuple[int, int, int]], kept: int) -> None:
    left = [Counts(patients=300, studies=300, series=300, instances=300)]
    for patients, studies, series in drops:
        instances = max(patients, studies, series)  # nobody leaves without an instance
        left.append(left[-1] - Counts(patients=patients, studies=studies, series=series, instances=instances))
    found = cohort.flow([str(at) for at in range(len(drops))], left, unless_empty=kept)
    at = found.start
    for step in found.steps:
        assert step.left == at - step.excluded
        at = step.left
    assert at.instances == left[-1].instances
    assert all(step.excluded.instances for step in found.steps if int(step.reason) >= kept)
    assert cohort.flow_from(plain(found)) == found


def test_every_form_tells_of_every_step_and_its_numbers() -> None:
    flow = Flow(start=figure("a").start, steps=figure("young", '<b> & "c" #1').steps, parts={"train": counts(6)})
    text, mermaid, svg = as_text(flow), as_mermaid(flow), as_svg(flow)
    assert [line.split() for line in text.splitlines()[-3:]] == [
        ["without:", "<b>", "&", '"c"', "#1", "1", "1", "2", "1,000"],
        ["in", "the", "cohort", "8", "8", "16", "8,000"],
        ["train", "6", "6", "12", "6,000"],
    ]
    assert 'out2["#lt;b#gt; & #quot;c#quot; #35;1<br/>1 patients' in mermaid
    assert mermaid.count("-->") == 5
    drawn = [cast(str, each.text) for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert '<b> & "c" #1' in drawn and drawn[-2:] == ["6 patients, 6 studies", "12 series, 6,000 instances"]
    assert "href" not in svg and "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_boxes_do_not_overlap_however_long_a_reason_is() -> None:
    svg = ElementTree.fromstring(as_svg(figure("short", "long " * 24, "short")))
    paper, *boxes = [
        tuple(int(each.get(name, "0")) for name in ("x", "y", "width", "height"))
        for each in svg.iter("{http://www.w3.org/2000/svg}rect")
    ]
    for at, (x, y, width, height) in enumerate(boxes):
        assert x + width <= paper[2] and y + height <= paper[3]
        for x2, y2, width2, height2 in boxes[at + 1 :]:
            assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y
