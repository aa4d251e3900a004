"""Agreement of readers: the published examples, the definitions, and what is left out is told."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.catalog.agreement import Method, Reader, Readings, conflicts, kappa, overlaps, readings
from filmroom.catalog.labels import Ledger
from filmroom.dicom.regions import mask_region
from filmroom.records import PRESENT, Label, LabelKind, Level, Region

ANN, BEN = Reader("ann", LabelKind.RADIOLOGIST), Reader("ben", LabelKind.RADIOLOGIST)
NOW = datetime(2026, 3, 1, tzinfo=UTC)

# Fleiss 1971, as the worked example of 10 items, 14 raters and 5 categories that is usually given: kappa 0.210.
FLEISS = """0 0 0 0 14, 0 2 6 4 2, 0 0 3 5 6, 0 3 9 2 0, 2 2 8 1 1,
            7 7 0 0 0, 3 2 6 3 0, 2 5 3 2 2, 6 5 2 1 0, 0 2 2 3 7"""


def items(*rows: dict[Reader, str]) -> Readings:
    return {(Level.SERIES, f"1.{number}", "nodule"): row for number, row in enumerate(rows)}


def pairs(*said: tuple[str, str]) -> Readings:
    return items(*({ANN: first, BEN: second} for first, second in said))


def test_two_readers_of_fifty_get_the_textbook_s_kappa() -> None:
    counts = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    found = kappa(pairs(*(pair for pair, count in counts.items() for _ in range(count))))
    assert found is not None and found.method is Method.COHEN
    assert (found.observed, found.expected, found.items) == (0.7, 0.5, 50)
    assert found.kappa == pytest.approx(0.4)


def test_fourteen_readers_get_fleiss_kappa() -> None:
    table = [list(map(int, row.split())) for row in FLEISS.split(",")]
    said = [[str(place) for place, count in enumerate(row) for _ in range(count)] for row in table]
    readers = [Reader(f"r{number:02}", LabelKind.RADIOLOGIST) for number in range(14)]
    found = kappa(items(*(dict(zip(readers, values, strict=True)) for values in said)))
    assert found is not None and found.method is Method.FLEISS
    assert (round(found.observed, 3), round(found.expected, 3)) == (0.378, 0.213)
    assert found.kappa == pytest.approx(0.210, abs=5e-4)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_cohen_s_kappa_is_that_of_the_table_of_joint_counts(said: list[tuple[str, str]]) -> None:
    table = np.zeros((3, 3))
    for first, second in said:
        table["abc".index(first), "abc".index(second)] += 1 / len(said)
    expected = float(table.sum(1) @ table.sum(0))
    found = kappa(pairs(*said))
    assert found is not None and found.expected == pytest.approx(expected)
    if found.kappa is None:
        assert expected == pytest.approx(1)
    else:
        assert found.kappa == pytest.approx((np.trace(table) - expected) / (1 - expected))


def test_who_always_says_the_same_has_no_kappa() -> None:
    found = kappa(pairs(("no", "no"), ("no", "no")))
    assert found is not None and found.observed == 1 and found.kappa is None


def test_items_with_another_number_of_readings_are_left_out_and_counted() -> None:
    cat = Reader("cat", LabelKind.RADIOLOGIST)
    three = {ANN: "yes", BEN: "yes", cat: "no"}
    found = kappa(items(three, three, {ANN: "yes", BEN: "no"}, {cat: "no"}))
    assert found is not None and (found.method, found.items, found.left_out) == (Method.FLEISS, 2, 2)
    assert kappa(items({ANN: "yes"}, {BEN: "yes"})) is None


def said(by: str, value: str | None, region: Region | None = None, target: str = "1.1") -> Label:
    kind = LabelKind.RADIOLOGIST
    return Label(level=Level.INSTANCE, target=target, finding="nodule", value=value, kind=kind, by=by, region=region)


def test_a_mark_of_one_reader_contradicts_another_who_sees_nothing() -> None:
    mark, ledger = mask_region(np.eye(4, dtype=bool), mark="m"), Ledger([])
    for label in (said("ann", PRESENT, mark), said("ben", "absent"), said("cat", PRESENT)):
        ledger.add(label, NOW)
    (conflict,) = conflicts(readings(ledger.added))
    assert [(each.by, each.value) for each in conflict.said] == [("ann", PRESENT), ("ben", "absent"), ("cat", PRESENT)]
    ledger.add(said("ben", None), NOW)
    assert conflicts(readings(ledger.added)) == []


def square(first: int, last: int) -> Region:
    mask = np.zeros((8, 8), bool)
    mask[first:last, first:last] = True
    return mask_region(mask, mark=f"{first}")


def test_dice_is_over_the_series_that_both_drew_in_and_counts_what_one_left_empty() -> None:
    labels = [
        said("ann", PRESENT, square(0, 4), "1.1"),
        said("ben", PRESENT, square(2, 4), "1.1"),  # 4 of 16 and 4
        said("ann", PRESENT, square(0, 2), "1.2"),  # ben drew nothing in this slice
        said("ann", PRESENT, square(0, 3), "2.1"),
        said("ben", PRESENT, square(0, 2), "2.1"),
        said("ben", PRESENT, square(1, 3), "2.1"),  # two masks of one reader are one: 7 of 9 and 7
        said("ann", PRESENT, square(0, 4), "3.1"),  # a series that ben did not read
    ]
    (found,) = overlaps(labels, {"1.1": "1", "1.2": "1", "2.1": "2", "3.1": "3"})
    first, second = 2 * 4 / (16 + 4 + 4), 2 * 7 / (9 + 7)
    assert (found.first, found.second, found.series) == (ANN, BEN, 2)
    assert found.lowest == pytest.approx(first)
    assert found.mean == pytest.approx((first + second) / 2)
    assert found.together == pytest.approx(2 * (4 + 7) / (24 + 16))
