"""Records can stand in a log line: their reprs hold no patient's value. And nothing changes a record."""

import dataclasses
import inspect
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom import records
from filmroom.dimse.storing import Sent
from filmroom.flow.labels import Change, LabelChange
from filmroom.flow.query import Rows
from filmroom.ids import Digest, Versioned
from filmroom.records import (
    Accepted,
    Case,
    Conflict,
    Coverage,
    FactKind,
    Finding,
    Instance,
    Label,
    LabelEntry,
    LabelKind,
    LedgerRow,
    Level,
    Outcome,
    Quarantined,
    Reason,
    Severity,
    Snapshot,
    Statement,
    StoredInstance,
    Told,
)

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = Digest("0" * 64)
# Letters that no field name, code or digest of a record has, so that finding one in a repr means that a value leaked.
PLANTED = st.text("ŠŽÖÅÉÑØÜ", min_size=4, max_size=12)
RECORDS = [
    each for _, each in inspect.getmembers(records, dataclasses.is_dataclass) if each.__module__ == records.__name__
]


def holding(value: str) -> list[Any]:
    """Return a record of every kind that may hold a patient's value, with `value` wherever it may stand."""
    instance = Instance(
        digest=DIGEST,
        size_bytes=1,
        issuer=value,
        patient_id=value,
        study_uid=value,
        series_uid=value,
        sop_uid=value,
        sop_class="1.2",
        transfer_syntax="1.2",
        pixel_digest=None,
        values={"patient_id": value, "study_description": value},
        findings=(Finding("value-odd", Severity.INFO, "PatientName"),),
    )
    reasons = (Reason("truncated", "ends early"),)
    label = Label(
        level=Level.PATIENT,
        target=value,
        finding="nodule",
        value="yes",
        kind=LabelKind.REPORT,
        by="reader",
        confidence=None,
    )
    return [
        instance,
        Accepted(instance),
        Conflict(instance),
        Quarantined(DIGEST, reasons, instance),
        LedgerRow(position=1, name=value, digest=DIGEST, size_bytes=1, outcome=Outcome.QUARANTINED, reasons=reasons),
        Case(
            id="case-1",
            name=value,
            digest=DIGEST,
            size_bytes=1,
            batch="b",
            subject="s",
            reasons=reasons,
            instance=instance,
        ),
        StoredInstance(
            digest=DIGEST,
            size_bytes=1,
            subject="patient/0",
            study_uid=value,
            series_uid=value,
            sop_uid=value,
            sop_class="1.2",
            transfer_syntax="1.2",
            modality="CT",
            state=records.InstanceState.CURRENT,
        ),
        Snapshot(
            ref=Versioned("chest-ct", 1),
            id=DIGEST,
            root=DIGEST,
            definition=DIGEST,
            project="lung",
            where=f"patient_id = '{value}'",
            instances=1,
            series=1,
            studies=1,
            patients=1,
            splits={},
            label_sets=(),
            frozen_at=MOMENT,
            frozen_by="dana",
        ),
        Rows(level=Level.PATIENT, count=1, rows=({"patient_id": value},)),
        LabelChange(
            change=Change.ADDED,
            level=Level.PATIENT,
            target=value,
            finding="nodule",
            mark=None,
            by=None,
            before=None,
            after="yes",
        ),
        Told(place="line 2", patient_id=value, issuer=value, name=value, kind=FactKind.CODE, code="a", value=value),
        Statement(place="line 2", level=Level.PATIENT, target=value, finding=value, value=value, confidence=value),
        Sent(sop_class="1.2", sop_uid=value, data=value.encode()),
        label,
        LabelEntry(position=1, label=label, at=MOMENT),
    ]


@given(PLANTED)
def test_no_repr_holds_a_patient_s_value(value: str) -> None:
    for record in holding(value):
        assert value not in repr(record), type(record).__name__
        assert value not in f"{record}", type(record).__name__


@given(PLANTED)
def test_the_values_are_there_all_the_same(value: str) -> None:
    instance = holding(value)[0]
    assert instance.patient_id == instance.values["patient_id"] == value


def parts(hint: object) -> Iterator[object]:
    """Yield every type that a type is made of: `tuple[list[int], ...]` has tuple, list and int."""
    yield get_origin(hint) or hint
    for each in get_args(hint):
        yield from parts(each)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_record_is_frozen_and_slotted(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(kind)
    within = {part for hint in get_type_hints(kind).values() for part in parts(hint)}
    assert not within & {list, dict, set, bytearray}, "a field that can be changed"


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_coverage_is_full_only_when_nothing_was_left_out(elements: int, present: int, frames: int, there: int) -> None:
    coverage = Coverage(elements=elements, elements_present=present, frames=frames, frames_present=there, identifiers=0)
    assert coverage.is_full == (elements == present and frames == there)


def test_kinds_of_labels_are_in_the_order_of_belief() -> None:
    assert [kind.value for kind in LabelKind] == ["consensus", "radiologist", "report", "code", "model"]
