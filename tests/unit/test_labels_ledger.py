"""Label sets: nothing is lost, nothing is said twice, and where readers differ the order of belief decides."""

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from filmroom.catalog.labels import Ledger, labels_of, resolve
from filmroom.dicom import regions
from filmroom.records import PRESENT, Label, LabelEntry, LabelKind, Level, Shape

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
STATEMENTS = st.lists(
    st.builds(
        Label,
        level=st.sampled_from(Level),
        target=st.sampled_from(["1.1", "1.2"]),
        finding=st.sampled_from(["nodule", "effusion"]),
        value=st.sampled_from(["yes", "no", "unclear", None]),
        kind=st.sampled_from(LabelKind),
        by=st.sampled_from(["ann", "ben"]),
        confidence=st.sampled_from([None, "high"]),
        region=st.sampled_from([None, *(regions.region(Shape.POINT, [at, 1], mark="m") for at in (1, 2))]),
    ),
    max_size=12,
)


def append(before: list[LabelEntry], labels: list[Label], at: datetime) -> list[LabelEntry]:
    ledger = Ledger(before)
    for label in labels:
        ledger.add(label, at)
    return ledger.added


def said(
    value: str | None,
    *,
    by: str = "ann",
    kind: LabelKind = LabelKind.RADIOLOGIST,
    level: Level = Level.SERIES,
    finding: str = "nodule",
    mark: str = "",
    at: int = 1,
) -> Label:
    region = regions.region(Shape.BOX, [at, at, 5, 5], mark=mark) if mark else None
    return Label(level=level, target="1.1", finding=finding, value=value, kind=kind, by=by, region=region)


def ledger(*labels: Label) -> list[LabelEntry]:
    entries: list[LabelEntry] = []
    for label in labels:
        entries += append(entries, [label], MOMENT)
    return entries


def believed(*labels: Label) -> str:
    return resolve(ledger(*labels))[Level.SERIES, "1.1"]["nodule"]


def test_a_reader_who_says_something_else_supersedes_what_was_said() -> None:
    first, second = ledger(said("no"), said("yes"))
    assert (first.position, first.supersedes) == (1, None)
    assert (second.position, second.supersedes) == (2, 1)
    assert believed(said("no"), said("yes")) == "yes"


def test_the_same_again_adds_nothing() -> None:
    assert len(ledger(said("yes"), said("yes"))) == 1
    assert append([], [said("yes"), said("yes")], MOMENT)[-1].position == 1


def test_going_back_to_the_first_opinion_is_a_statement() -> None:
    assert [entry.supersedes for entry in ledger(said("yes"), said("no"), said("yes"))] == [None, 1, 2]


def test_another_reader_supersedes_nobody() -> None:
    assert [entry.supersedes for entry in ledger(said("yes", by="ann"), said("no", by="ben"))] == [None, None]


def test_of_two_readers_of_one_kind_the_later_is_believed() -> None:
    assert believed(said("yes", by="ann"), said("no", by="ben")) == "no"
    assert believed(said("no", by="ben"), said("yes", by="ann")) == "yes"


def test_each_kind_is_believed_over_those_below_it_however_late_they_come() -> None:
    order = list(LabelKind)
    for above, below in pairwise(order):
        assert believed(said("yes", kind=above), said("no", kind=below, by="ben")) == "yes", (above, below)
        assert believed(said("no", kind=below, by="ben"), said("yes", kind=above)) == "yes", (above, below)


def test_one_reader_may_say_one_thing_as_a_model_and_another_as_a_radiologist() -> None:
    entries = ledger(said("no", kind=LabelKind.MODEL), said("yes", kind=LabelKind.RADIOLOGIST))
    assert [entry.supersedes for entry in entries] == [None, None]


def test_the_nearest_level_counts() -> None:
    resolved = resolve(ledger(said("patient", level=Level.PATIENT), said("image", level=Level.INSTANCE)))
    names = dict.fromkeys(Level, "1.1")
    assert labels_of(names, resolved) == {"nodule": "image"}
    assert labels_of({**names, Level.INSTANCE: "other"}, resolved) == {"nodule": "patient"}


def test_findings_of_several_levels_come_together() -> None:
    resolved = resolve(ledger(said("yes", level=Level.STUDY), said("no", finding="effusion")))
    assert labels_of(dict.fromkeys(Level, "1.1"), resolved) == {"nodule": "yes", "effusion": "no"}


@given(STATEMENTS, STATEMENTS)
def test_a_ledger_only_grows_and_its_positions_have_no_gaps(first: list[Label], second: list[Label]) -> None:
    before = append([], first, MOMENT)
    added = append(before, second, MOMENT)
    positions = [entry.position for entry in (*before, *added)]
    assert positions == list(range(1, len(positions) + 1))
    for entry in added:
        assert entry.supersedes is None or entry.supersedes < entry.position


@given(STATEMENTS)
def test_a_superseded_statement_is_of_the_same_reader_about_the_same(labels: list[Label]) -> None:
    entries = append([], labels, MOMENT)
    by_position = {entry.position: entry.label for entry in entries}
    for entry in entries:
        if entry.supersedes is not None:
            old, new = by_position[entry.supersedes], entry.label
            same = ("level", "target", "finding", "by", "kind")
            assert [getattr(old, name) for name in same] == [getattr(new, name) for name in same]
            assert (old.region and old.region.mark) == (new.region and new.region.mark)
            assert old != new


@given(STATEMENTS)
def test_in_one_piece_or_one_by_one_the_ledger_is_the_same(labels: list[Label]) -> None:
    assert ledger(*labels) == append([], labels, MOMENT)


@given(STATEMENTS)
def test_what_is_believed_is_the_last_word_of_the_most_believed_who_spoke(labels: list[Label]) -> None:
    order = list(LabelKind)
    last = {(e.level, e.target, e.finding, e.by, e.kind, e.region and e.region.mark): e for e in labels}
    believable = [each for each in last.values() if each.value is not None and each.region is None]
    for (level, target), findings in resolve(append([], labels, MOMENT)).items():
        for finding, value in findings.items():
            about = [each for each in believable if (each.level, each.target, each.finding) == (level, target, finding)]
            best = min(order.index(each.kind) for each in about)
            assert value in {each.value for each in about if order.index(each.kind) == best}


def test_what_a_reader_takes_back_no_longer_counts_and_the_others_do() -> None:
    taken = (said("yes"), said("no", by="ben", kind=LabelKind.MODEL), said(None))
    assert [entry.supersedes for entry in ledger(*taken)] == [None, None, 1]
    assert believed(*taken) == "no"


def test_only_what_stands_can_be_taken_back() -> None:
    assert ledger(said(None)) == []
    assert not Ledger([]).add(said(None), MOMENT)
    gone = Ledger(ledger(said("yes"), said(None)))
    assert gone.add(said(None), MOMENT) and not gone.added, "taking it back again says nothing new"


def test_a_mark_that_is_moved_supersedes_itself_and_no_other_mark() -> None:
    entries = ledger(said(PRESENT, mark="a"), said(PRESENT, mark="b"), said(PRESENT, mark="a", at=2))
    assert [entry.supersedes for entry in entries] == [None, None, 1]


def test_a_mark_says_of_its_image_that_the_finding_is_there_and_never_its_own_measurement() -> None:
    assert believed(said(PRESENT, mark="a")) == PRESENT
    assert resolve(ledger(said("12", mark="a"))) == {}


def test_who_speaks_about_the_whole_image_is_believed_over_a_mark_in_it() -> None:
    assert believed(said("no", by="ben"), said(PRESENT, mark="a")) == "no"
    assert believed(said("no", kind=LabelKind.MODEL), said(PRESENT, mark="a")) == PRESENT
