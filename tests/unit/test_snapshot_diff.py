"""What changed between two snapshots, instance by instance."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from filmroom.ids import Digest
from filmroom.records import Row
from filmroom.snapshot.diff import difference


def row(uid: int, *, value: str = "no", split: str = "train", content: bytes = b"1") -> Row:
    return Row(
        subject="P1",
        study_uid="2.25.1",
        series_uid="2.25.2",
        sop_uid=f"2.25.{uid}",
        modality="CT",
        frames=1,
        commitment=Digest.of(content),
        attestation=Digest.of(b"a"),
        split=split,
        labels={"nodule": value},
    )


ROWS = st.dictionaries(
    st.integers(1, 8),
    st.tuples(st.sampled_from(["yes", "no"]), st.sampled_from(["train", "test"]), st.sampled_from([b"1", b"2"])),
).map(lambda made: [row(uid, value=value, split=split, content=data) for uid, (value, split, data) in made.items()])


def test_each_kind_of_change_is_told_apart() -> None:
    before = [row(1), row(2), row(3), row(4), row(5)]
    after = [row(1), row(2, value="yes"), row(3, split="test"), row(4, content=b"2"), row(6)]
    found = difference(before, after)
    assert (found.added, found.removed) == (("2.25.6",), ("2.25.5",))
    assert (found.relabelled, found.moved, found.rewritten) == (("2.25.2",), ("2.25.3",), ("2.25.4",))
    assert not found.is_empty


def test_an_attestation_made_anew_is_no_change_of_the_instance() -> None:
    assert difference([row(1)], [replace(row(1), attestation=Digest.of(b"b"))]).is_empty


def test_a_label_that_was_dropped_is_a_change() -> None:
    assert difference([row(1)], [replace(row(1), labels={})]).relabelled == ("2.25.1",)


@given(ROWS)
def test_nothing_differs_from_itself(rows: list[Row]) -> None:
    assert difference(rows, reversed(rows)).is_empty


@given(ROWS, ROWS)
def test_the_other_way_round_what_came_went(before: list[Row], after: list[Row]) -> None:
    there, back = difference(before, after), difference(after, before)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert (there.relabelled, there.moved, there.rewritten) == (back.relabelled, back.moved, back.rewritten)
    assert set(there.added) | {each.sop_uid for each in before} >= {each.sop_uid for each in after}
