"""Gates: what they understand, and what they find in a cohort."""

from datetime import UTC, datetime

import pytest

from filmroom.errors import Invalid
from filmroom.records import Label, LabelEntry, LabelKind, Level, Value
from filmroom.snapshot.gates import Facts, holds, judge, needed, parse_gate

AT = datetime(2026, 3, 1, tzinfo=UTC)


def _said(position: int, target: str, value: str, by: str, supersedes: int | None = None) -> LabelEntry:
    label = Label(level=Level.SERIES, target=target, finding="nodule", value=value, kind=LabelKind.RADIOLOGIST, by=by)
    return LabelEntry(position=position, label=label, at=AT, supersedes=supersedes)


def _row(series: str, **values: Value) -> dict[str, Value]:
    nothing: dict[str, Value] = dict.fromkeys(
        ("body_part", "plane", "manufacturer_received", "slice_thickness_mm", "kvp_kv"), None
    )
    return {**nothing, "series_uid": series, "modality": "CT", **values}


FACTS = Facts(
    rows=[
        _row("1", body_part="CHEST", plane="axial", manufacturer_received="GE", slice_thickness_mm=1.0),
        _row("1", body_part="CHEST", manufacturer_received="GE", slice_thickness_mm=1.0),
        _row("2", manufacturer_received="Nobody", slice_thickness_mm=1000.0),
        _row("3", modality="SR"),
    ],
    left_out=1,
    labelled=3,
    entries=[
        [_said(1, "1", "y", "ann"), _said(2, "1", "n", "bob"), _said(3, "2", "n", "ann"), _said(4, "2", "y", "ann", 3)]
    ],
    read=lambda column, word: "GE" if word == "GE" else None,
)


@pytest.mark.parametrize(
    ("gate", "count", "total"),
    [
        ("completeness.body_part >= 0.5", 1, 2),  # a report has no body part
        ("completeness.plane >= 0.3", 1, 3),  # counted in images, of slices
        ("plausible.slice_thickness_mm >= 0.5", 1, 2),
        ("understood.manufacturer >= 0.5", 1, 2),
        ("clean >= 0.8", 4, 5),
        ("labelled >= 0.75", 3, 4),
        ("agreement >= 0.5", 1, 2),
        ("plausible.kvp_kv >= 1", 0, 0),
    ],
)
def test_a_gate_measures_what_would_be_frozen(gate: str, count: int, total: int) -> None:
    parsed = parse_gate(gate)
    found = judge(parsed, FACTS)
    assert (found.gate, found.count, found.total) == (gate, count, total)
    assert holds(parsed, found)
    assert set(needed([parsed])) <= FACTS.rows[0].keys()


def test_a_share_is_exact() -> None:
    gate = parse_gate("clean >= 0.8")
    assert holds(gate, judge(gate, FACTS))
    assert not holds(parse_gate("clean >= 0.800001"), judge(gate, FACTS))
    assert str(parse_gate("  completeness.body_part>=1.0 ")) == "completeness.body_part >= 1.0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "completeness.body_part",
        "completeness.body_part > 0.9",
        "completeness.body_part >= 95",
        "completeness.body_part >= 1.5",
        "completeness >= 0.5",
        "completeness.patient_id >= 0.5",
        "clean.body_part >= 0.5",
        "beauty.body_part >= 0.5",
        "completeness.body_part >= 0.5 or 1",
    ],
)
def test_what_is_no_gate_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_gate(text)
    assert caught.value.next_step
