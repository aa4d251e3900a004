"""The catalog in rows for the columnar export, on every engine."""

from datetime import UTC, datetime
from itertools import groupby

from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.dicom.attributes import columns_of
from filmroom.ids import Digest
from filmroom.records import Batch, FileKind, ImageFile, Instance, InstanceState, Level, PartitionBy

MARCH, APRIL = datetime(2026, 3, 31, 23, 59, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


def _instance(series: int, number: int, modality: str | None) -> Instance:
    return Instance(
        digest=Digest.of(f"{series}.{number}".encode()),
        size_bytes=1,
        issuer="",
        patient_id="p",
        study_uid="1",
        series_uid=f"1.{series}",
        sop_uid=f"1.{series}.{number}",
        sop_class="1.2",
        transfer_syntax="1.2",
        pixel_digest=None,
        values={"modality": modality, "plane": "axial"},
    )


def test_rows_come_partition_by_partition_with_their_receipt(catalog: SqlCatalog) -> None:
    brought = {
        "b2": (APRIL, "mr", [_instance(1, 2, "CT"), _instance(2, 1, None)]),
        "b1": (MARCH, "ct", [_instance(1, 1, "CT")]),
    }
    volume = ImageFile(
        digest=Digest.of(b"f"), size_bytes=9, kind=FileKind.NIFTI, values={"file_name": "a.nii", "file_modality": "MR"}
    )
    with catalog.write() as tx:
        for name, (at, source, instances) in brought.items():
            tx.batches.open(Batch(id=name, source=source, received_at=at, processing_version="1"))
            tx.instances.add([(each, "patient/1", name, InstanceState.CURRENT) for each in instances])
        tx.instances.add([(_instance(3, 1, "US"), "patient/1", "b1", InstanceState.REJECTED)])
        tx.files.add([(volume, "file/1", "b1")])
    with catalog.read() as tx:
        series, images, files = (
            list(tx.columnar.rows(level, PartitionBy.MONTH)) for level in (Level.SERIES, Level.INSTANCE, Level.FILE)
        )
        by_modality = list(tx.columnar.rows(Level.SERIES, PartitionBy.MODALITY))
        asked = tx.instances.query("", Level.SERIES, select=[], order=None, limit=None)
    told = [(month, row["series_uid"], row["received_at"], row["source"]) for month, row in series]
    assert told == [
        ("2026-03", "1.1", "2026-03-31T23:59:00.000000Z", "ct"),
        ("2026-04", "1.2", "2026-04-01T00:00:00.000000Z", "mr"),
    ]
    names = [column.name for column in columns_of(Level.SERIES)]
    assert [{name: row[name] for name in names} for _, row in series] == asked
    assert [(month, row["sop_uid"], row["subject"]) for month, row in images] == [
        ("2026-03", "1.1.1", "patient/1"),
        ("2026-04", "1.1.2", "patient/1"),
        ("2026-04", "1.2.1", "patient/1"),
    ]
    assert [(month, row["file_name"], row["source"]) for month, row in files] == [("2026-03", "a.nii", "ct")]
    assert [modality for modality, _ in groupby(by_modality, key=lambda each: each[0])] == ["", "CT"]
