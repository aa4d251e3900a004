"""What the catalog counts for the quality report, on every engine."""

from datetime import UTC, datetime

import pytest

from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.ids import Digest
from filmroom.records import (
    Batch,
    By,
    Cell,
    Copy,
    CopyState,
    Counted,
    Instance,
    InstanceState,
    Label,
    LabelEntry,
    LabelKind,
    LedgerRow,
    Level,
    Outcome,
    Project,
    Reason,
    Region,
    Shape,
    Space,
    Value,
)

MARCH, APRIL = datetime(2026, 3, 31, 23, 59, tzinfo=UTC), datetime(2026, 4, 30, 23, 59, tzinfo=UTC)
REASONS = (Reason("truncated", "it ends early"), Reason("uid-missing", "none"))


def _instance(patient: int, series: int, number: int, **values: Value) -> tuple[Instance, str]:
    stem = f"1.{patient}"
    instance = Instance(
        digest=_digest(f"{patient} {series} {number}"),
        size_bytes=1,
        issuer="",
        patient_id=f"p{patient}",
        study_uid=stem,
        series_uid=f"{stem}.{series}",
        sop_uid=f"{stem}.{series}.{number}",
        sop_class="1.2",
        transfer_syntax="1.2",
        pixel_digest=None,
        values=values,
    )
    return instance, f"patient/{patient}"


def _digest(text: str) -> Digest:
    return Digest.of(text.encode())


_POINT = Region(mark="m", shape=Shape.POINT, space=Space.PIXEL, frame=None, geometry="[[1,1]]")


def _label(
    position: int,
    target: str,
    value: str | None,
    by: str,
    supersedes: int | None = None,
    region: Region | None = None,
) -> LabelEntry:
    label = Label(
        level=Level.SERIES,
        target=target,
        finding="nodule",
        value=value,
        kind=LabelKind.RADIOLOGIST,
        by=by,
        region=region,
    )
    return LabelEntry(position=position, label=label, at=MARCH, supersedes=supersedes)


@pytest.fixture
def room(catalog: SqlCatalog) -> SqlCatalog:
    """Two patients at one site and one of no site: a CT of two images, of which April brought the second, and two MR."""
    ct: dict[str, Value] = {
        "modality": "CT",
        "institution": "North",
        "kvp_kv": 120.0,
        "manufacturer": "Maker",
        "plane": "axial",
    }
    mr: dict[str, Value] = {"modality": "MR", "manufacturer": "Maker", "slice_thickness_mm": 0.002}
    march = [_instance(1, 1, 1, **ct), _instance(2, 1, 1, **mr, institution="North")]
    april = [_instance(1, 1, 2, **{**ct, "plane": None}), _instance(3, 1, 1, **mr | {"slice_thickness_mm": 2.0})]
    with catalog.write() as tx:
        for name, at, brought in (("b1", MARCH, march), ("b2", APRIL, april)):
            tx.batches.open(Batch(id=name, source=f"from {name}", received_at=at, processing_version="1"))
            tx.instances.add([(each, subject, name, InstanceState.CURRENT) for each, subject in brought])
            rows: list[tuple[Digest, Outcome, tuple[Reason, ...]]] = [
                (each.digest, Outcome.STORED, ()) for each, _ in brought
            ]
            if name == "b2":
                rows += [(march[0][0].digest, Outcome.DUPLICATE, ()), (_digest("x"), Outcome.QUARANTINED, REASONS)]
            tx.batches.add(
                name,
                [
                    LedgerRow(position=at, name="n", digest=digest, size_bytes=1, outcome=outcome, reasons=reasons)
                    for at, (digest, outcome, reasons) in enumerate(rows)
                ],
            )
        old, subject = _instance(1, 2, 1, modality="US")
        tx.instances.add([(old, subject, "b1", InstanceState.SUPERSEDED)])
        tx.projects.add(Project(name="lung", purpose="p", profile="basic", created_at=MARCH, created_by="ann"))
    return catalog


def test_series_are_counted_in_the_month_and_for_the_source_of_their_first_image(room: SqlCatalog) -> None:
    counted = [Counted("kvp_kv", frozenset({"CT"})), Counted("institution")]
    with room.read() as tx:
        assert tx.quality.cells(Level.SERIES, counted=counted) == [Cell("", (), 3, 3, ((1, 1), (2, 3)))]
        monthly = tx.quality.cells(Level.SERIES, counted=counted, by=By.MONTH)
        by_source = tx.quality.cells(Level.SERIES, counted=counted, by=By.SOURCE)
        by_site = tx.quality.cells(Level.SERIES, by=By.SITE)
    assert monthly == [Cell("2026-03", (), 2, 2, ((1, 1), (2, 2))), Cell("2026-04", (), 1, 1, ((0, 0), (0, 1)))]
    assert by_source == [
        Cell(f"from b{cell.group[-1]}", (), cell.things, cell.patients, cell.counts) for cell in by_source
    ]
    assert [cell.things for cell in by_source] == [2, 1]
    assert by_site == [Cell("", (), 1, 1), Cell("North", (), 2, 2)]


def test_images_are_counted_where_they_came_and_only_current_ones(room: SqlCatalog) -> None:
    with room.read() as tx:
        monthly = tx.quality.cells(Level.INSTANCE, counted=[Counted("plane", frozenset({"CT"}))], by=By.MONTH)
    assert monthly == [Cell("2026-03", (), 2, 2, ((1, 1),)), Cell("2026-04", (), 2, 2, ((0, 1),))]


def test_values_are_told_apart_and_numbers_held_to_their_bounds(room: SqlCatalog) -> None:
    thin = Counted("slice_thickness_mm", bounds=(0.05, 2))
    with room.read() as tx:
        cells = tx.quality.cells(Level.SERIES, keys=["modality", "manufacturer", "model"], counted=[thin])
    assert cells == [Cell("", ("CT", "Maker", ""), 1, 1, ((0, 0),)), Cell("", ("MR", "Maker", ""), 2, 2, ((1, 2),))]


def test_what_was_received_is_counted_by_outcome_and_codes(room: SqlCatalog) -> None:
    with room.read() as tx:
        assert tx.quality.received() == [
            Cell("", ("duplicate",), 1),
            Cell("", ("quarantined", "truncated", "uid-missing"), 1),
            Cell("", ("stored",), 4),
        ]
        by_site = {(cell.group, cell.values[0]): cell.things for cell in tx.quality.received(By.SITE)}
        assert {cell.group for cell in tx.quality.received(By.SOURCE)} == {"from b1", "from b2"}
    assert by_site == {("", "quarantined"): 1, ("", "stored"): 1, ("North", "duplicate"): 1, ("North", "stored"): 3}


def test_rows_have_what_was_asked_for_of_each_image(room: SqlCatalog) -> None:
    with room.read() as tx:
        rows = list(tx.quality.rows([_digest("1 1 1"), _digest("3 1 1")], ["series_uid", "plane", "institution"]))
    assert sorted(rows, key=lambda row: str(row["series_uid"])) == [
        {"series_uid": "1.1.1", "plane": "axial", "institution": "North"},
        {"series_uid": "1.3.1", "plane": None, "institution": None},
    ]


def test_a_project_has_its_own_figures(room: SqlCatalog) -> None:
    copy = Copy(
        project="lung",
        source=_digest("1 1 1"),
        profile=_digest("profile"),
        verifier="v1",
        state=CopyState.REVIEW,
        reasons=(Reason("burned-in", "text"), Reason("burned-in", "more text")),
        findings=(),
        subject="pseudonym",
    )
    with room.write() as tx:
        assert tx.quality.cells(Level.SERIES, project="lung") == []
        tx.copies.put([copy])
        assert tx.quality.cells(Level.SERIES, keys=["modality"], project="lung") == [Cell("", ("CT",), 1, 1)]
        assert tx.quality.cells(Level.INSTANCE, project="lung") == [Cell("", (), 1, 1)]
        assert tx.quality.copies(By.MONTH) == [Cell("2026-03", ("lung", "review", "burned-in"), 1)]
        assert tx.quality.copies(project="brain") == []


def test_label_sets_are_counted_with_who_differs_and_what_is_gone(room: SqlCatalog) -> None:
    entries = [
        _label(1, "1.1.1", "yes", "ann"),
        _label(2, "1.1.1", "no", "bob"),
        _label(3, "1.2.1", "yes", "ann"),
        _label(4, "1.2.1", "no", "bob"),
        _label(5, "1.2.1", "yes", "bob", supersedes=4),
        _label(6, "1.1.2", "yes", "ann"),
        _label(7, "1.3.1", "no", "ann"),
        _label(8, "1.3.1", None, "ann", supersedes=7),
        _label(9, "1.2.1", "no", "bob", region=_POINT),
    ]
    with room.write() as tx:
        assert tx.quality.labels() == []
        tx.labels.append("nodules", entries)
        # 1.1.1 is contradicted, 1.2.1 was; 1.1.2 is a series of which only a superseded image is left. What was taken back
        # does not count, and a mark in an image contradicts nobody.
        assert tx.quality.labels() == [Cell("", ("nodules",), 6, counts=((1, 3), (1, 6)))]
        assert tx.quality.labels(By.MONTH) == [Cell("2026-03", ("nodules",), 6, counts=((1, 3), (1, 6)))]
