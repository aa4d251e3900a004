"""A snapshot's root is that of its rows: not of how they were found, and of everything that they say."""

import json
from collections import UserDict
from collections.abc import ItemsView
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.canon import canonical
from filmroom.errors import Corrupt
from filmroom.ids import Digest, Versioned
from filmroom.records import Row
from filmroom.snapshot import manifest
from filmroom.snapshot.cohort import Counts, Flow
from filmroom.snapshot.manifest import Circumstances, Definition
from filmroom.snapshot.split import parse_split

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
UIDS = st.integers(1, 9).map(lambda number: f"2.25.{number}")
DIGESTS = st.binary(max_size=2).map(Digest.of)
ROWS = st.lists(
    st.builds(
        Row,
        subject=TEXT,
        study_uid=UIDS,
        series_uid=UIDS,
        sop_uid=st.integers(1, 10**6).map(lambda number: f"2.25.{number}"),
        modality=TEXT,
        frames=st.integers(1, 99),
        commitment=DIGESTS,
        attestation=DIGESTS,
        split=st.sampled_from(["train", "test"]),
        labels=st.dictionaries(TEXT, TEXT, max_size=3),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row.sop_uid,
)
DEFINITION = Definition(
    project="lung",
    where=Digest.of(b"modality = 'CT'"),
    cohort=Versioned("nodules", 1),
    criteria=Digest.of(b"criteria"),
    label_sets=(Versioned("nodules", 5),),
    split=parse_split("train=0.5,test=0.5", 0),
    stratify=("manufacturer",),
    profile=Digest.of(b"profile"),
    verifier="verifier/1",
)
CIRCUMSTANCES = Circumstances(
    catalog_sequence=7,
    code={"filmroom": "0.1.0"},
    frozen_at=datetime(2026, 3, 1, tzinfo=UTC),
    frozen_by="sam",
    parent=None,
    flow=Flow(start=Counts(patients=1, studies=1, series=1, instances=1), steps=(), parts={}),
)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_root_does_not_depend_on_the_order_in_which_rows_were_found(rows: list[Row], chance: Random) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert manifest.root_of(manifest.in_order(shuffled)) == manifest.root_of(manifest.in_order(rows))


@given(ROWS)
def test_rows_read_back_from_their_files(rows: list[Row]) -> None:
    table = manifest.tabulate(rows)
    read = [row for _, data in table.files for row in manifest.read_rows(data)]
    assert read == list(table.rows) == manifest.in_order(rows)
    assert manifest.root_of(read) == table.root


def test_a_row_is_encoded_once_for_root_files_and_document() -> None:
    class Counted(UserDict[str, str]):
        asked = 0

        def items(self) -> ItemsView[str, str]:
            self.asked += 1
            return super().items()

    labels = Counted(nodule="yes")
    table = manifest.tabulate([replace(_row(1), labels=labels)])
    document = manifest.root_document(Versioned("lung", 1), DEFINITION, table, CIRCUMSTANCES)
    assert document["root"] == str(table.root)
    assert b'{"nodule":"yes"}' in table.files[0][1]
    assert labels.asked == 1


@given(ROWS, st.data())
def test_everything_that_a_row_says_is_in_the_root(rows: list[Row], data: st.DataObject) -> None:
    rows = manifest.in_order(rows)
    at = data.draw(st.integers(0, len(rows) - 1))
    change: dict[str, Any] = data.draw(
        st.sampled_from(
            [
                {"labels": {**rows[at].labels, "planted": "yes"}},
                {"split": "elsewhere"},
                {"commitment": Digest.of(b"other bytes")},
                {"attestation": Digest.of(b"other attestation")},
                {"frames": rows[at].frames + 1},
                {"subject": rows[at].subject + "x"},
            ]
        )
    )
    changed = [*rows[:at], replace(rows[at], **change), *rows[at + 1 :]]
    assert manifest.root_of(changed) != manifest.root_of(rows)
    assert manifest.root_of(rows[:at] + rows[at + 1 :]) != manifest.root_of(rows)


def test_many_rows_lie_in_several_files() -> None:
    files = manifest.tabulate([_row(number) for number in range(5)], per_file=2).files
    assert [name for name, _ in files] == ["rows-0000.jsonl", "rows-0001.jsonl", "rows-0002.jsonl"]
    assert [data.count(b"\n") for _, data in files] == [2, 2, 1]


@pytest.mark.parametrize("line", [b"x", b"{}", b"[]", b"null", b"\xff", b'{"commitment":1,"attestation":2}', b"1"])
def test_a_line_that_is_no_row_is_corrupt_and_told_by_its_number(line: bytes) -> None:
    good = manifest.row_bytes(_row(1))
    with pytest.raises(Corrupt, match="line 2 "):
        list(manifest.read_rows(good + b"\n" + line + b"\n"))


@pytest.mark.parametrize("change", [{"commitment": "sha256:0"}, {"frames": "many"}, {"labels": []}], ids=str)
def test_a_line_with_a_field_that_is_none_is_corrupt(change: dict[str, object]) -> None:
    fields = {**json.loads(manifest.row_bytes(_row(1))), **change}
    with pytest.raises(Corrupt):
        list(manifest.read_rows(json.dumps(fields).encode()))


@given(ROWS)
def test_the_root_document_counts_what_is_there(rows: list[Row]) -> None:
    table = manifest.tabulate(rows)
    document = manifest.root_document(Versioned("lung", 2), DEFINITION, table, CIRCUMSTANCES)
    assert document["root"] == str(manifest.root_of(table.rows))
    assert document["counts"] == {
        "instances": len({row.sop_uid for row in rows}),
        "series": len({row.series_uid for row in rows}),
        "studies": len({row.study_uid for row in rows}),
        "patients": len({row.subject for row in rows}),
    }
    assert isinstance(splits := document["splits"], dict)
    assert sum(int(str(count)) for count in splits.values()) == len(rows)
    assert canonical(document), "it can be signed"


def test_a_part_without_anybody_is_counted_as_empty() -> None:
    assert manifest.splits([_row(1)], DEFINITION.split) == {"train": 1, "test": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"project": "heart"},
        {"where": ""},
        {"cohort": Versioned("nodules", 2)},
        {"criteria": Digest.of(b"other criteria")},
        {"label_sets": (Versioned("nodules", 6),)},
        {"split": parse_split("train=0.5,test=0.5", 1)},
        {"split": parse_split("train=0.4,test=0.6", 0)},
        {"stratify": ()},
        {"profile": Digest.of(b"other")},
        {"verifier": "verifier/2"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_definition_is_another_digest(change: dict[str, object]) -> None:
    assert replace(DEFINITION, **change).digest != DEFINITION.digest  # type: ignore[arg-type]


def _row(number: int) -> Row:
    return Row(
        subject=f"P{number}",
        study_uid="2.25.1",
        series_uid="2.25.2",
        sop_uid=f"2.25.{number + 10}",
        modality="CT",
        frames=1,
        commitment=Digest.of(b"c"),
        attestation=Digest.of(b"a"),
        split="train",
        labels={},
    )
