"""A million real series of a public archive (NCI Imaging Data Commons, from the wheel `idc-index-data`) as catalog records.

The index tells what a series is, not how it was acquired: slice thickness and tube voltage are made up here, from the
UID and among usual values. So are the labels: three findings about every CT and MR series, until there are a million. Each
series has one instance.
"""

import subprocess
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
from filmroom.ingest.normalize import normalize
from pyarrow import parquet

from bench.peers import bare
from filmroom.dicom.attributes import COLUMNS
from filmroom.dicom.values import age_years
from filmroom.ids import Digest
from filmroom.records import ColumnType, Instance, Label, LabelEntry, LabelKind, Level, Value

_COLUMNS = {
    "StudyInstanceUID": "study_uid",
    "StudyDate": "study_date",
    "StudyDescription": "study_description",
    "PatientSex": "sex",
    "SeriesDescription": "series_description",
    "SeriesInstanceUID": "series_uid",
    "Manufacturer": "manufacturer_received",
    "ManufacturerModelName": "model",
    "Modality": "modality_received",
    "BodyPartExamined": "body_part_examined",
    "collection_id": "trial",
}
_UPPER = {"patient": ["PatientSex"], "study": ["StudyDate", "StudyDescription", "PatientAge"]}
_THICKNESS_MM = {"CT": (0.625, 1.0, 1.25, 2.0, 2.5, 3.0, 5.0), "MR": (1.0, 1.5, 3.0, 4.0, 5.0), "PT": (3.27, 4.0, 5.0)}
_KVP = (80.0, 100.0, 120.0, 120.0, 120.0, 140.0)
_FINDINGS = {"nodule": 9, "effusion": 25, "motion": 60}
"""Each finding, and that it is present in one of so many."""

MAX_LABELS = 1_000_000
SET = "reads"
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One instance of one series, and the name of its patient."""

    instance: Instance
    subject: str


def find(python: Path) -> Path:
    """Return the index's Parquet file in the environment of that Python."""
    ask = "import idc_index_data as d; print(d.IDC_INDEX_PARQUET_FILEPATH)"
    told = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True, env=bare())
    return Path(told.stdout.strip())


def rows(index: Path, count: int, size: int) -> Iterator[list[Row]]:
    """Yield `count` series of the archive, spread over all of it, in lists of `size`.

    What is a patient's or a study's is the same in all of its series, as the catalog keeps it: the first that is told.
    """
    table = parquet.read_table(index)
    step = max(1, len(table) // count)
    some = table.take(pyarrow.array(range(0, len(table), step)[:count]))
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for key, names in _UPPER.items():
        for told in some.select(["collection_id", "PatientID", "StudyInstanceUID", *names]).to_pylist():
            known = first.setdefault((key, _name(told, key)), {})
            known.update({name: told[name] for name in names if told[name] and name not in known})
    for batch in some.to_batches(size):
        for told in (listed := batch.to_pylist()):
            for key, names in _UPPER.items():
                told |= dict.fromkeys(names) | first[key, _name(told, key)]
        yield [_row(each) for each in listed]


def _name(told: dict[str, Any], key: str) -> str:
    return told["StudyInstanceUID"] if key == "study" else f"{told['collection_id']}/{told['PatientID']}"


def _row(told: dict[str, Any]) -> Row:
    facts: dict[str, Value] = {name: told[theirs] for theirs, name in _COLUMNS.items() if told[theirs]}
    for name in ("modality_received", "body_part_examined"):
        if name in facts:
            facts[name] = str(facts[name]).upper()
    dice = zlib.crc32(told["SeriesInstanceUID"].encode())
    usual = _THICKNESS_MM.get(told["Modality"])
    facts |= {} if usual is None else {"slice_thickness_mm": usual[dice % len(usual)]}
    facts |= {"kvp_kv": _KVP[dice // 8 % len(_KVP)]} if told["Modality"] == "CT" else {}
    age = age_years(told["PatientAge"] or "")
    facts |= {} if age is None else {"age_years": age}
    digest = Digest.of(told["crdc_series_uuid"].encode())
    patient = _name(told, "patient")
    facts |= {"sop_class": told["SOPClassUID"]}
    instance = Instance(
        digest=digest,
        size_bytes=int((told["series_size_MB"] or 0) * 1_000_000),
        issuer="",
        patient_id=patient,
        study_uid=told["StudyInstanceUID"],
        series_uid=told["SeriesInstanceUID"],
        sop_uid=f"2.25.{uuid.UUID(told['crdc_series_uuid']).int}",
        sop_class=told["SOPClassUID"] or "1.2.840.10008.5.1.4.1.1.7",
        transfer_syntax=told["TransferSyntaxUID"] or "1.2.840.10008.1.2.1",
        pixel_digest=digest,
        values=facts | normalize(facts),
    )
    return Row(instance, Digest.of(patient.encode()).hex[:32])


class Columnar:
    """The same series, a row each, in a Parquet file with the catalog's column names."""

    def __init__(self, path: Path) -> None:
        types = {ColumnType.INTEGER: pyarrow.int64(), ColumnType.REAL: pyarrow.float64()}
        columns = [each for each in COLUMNS if each.level in (Level.PATIENT, Level.STUDY, Level.SERIES)]
        self._schema = pyarrow.schema([(each.name, types.get(each.type, pyarrow.string())) for each in columns])
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def add(self, rows: Sequence[Row]) -> None:
        named = [{**row.instance.values, "subject": row.subject, "patient_id": row.instance.patient_id} for row in rows]
        self._writer.write_table(pyarrow.Table.from_pylist(named, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def labels(rows: Sequence[Row], position: int) -> list[LabelEntry]:
    """Return the statements about these series; the first of every fiftieth is taken back by its second."""
    entries: list[LabelEntry] = []
    for row in rows:
        if row.instance.values.get("modality") not in ("CT", "MR"):
            continue
        dice = zlib.crc32(row.instance.series_uid.encode(), 1)
        for finding, rarity in _FINDINGS.items():
            value = "absent" if dice % rarity else "present"
            if dice % 50 == 0:
                position += 1
                entries.append(_entry(position, row, finding, "unsure", None))
            position += 1
            entries.append(_entry(position, row, finding, value, position - 1 if dice % 50 == 0 else None))
    return entries


def _entry(position: int, row: Row, finding: str, value: str, supersedes: int | None) -> LabelEntry:
    label = Label(
        level=Level.SERIES,
        target=row.instance.series_uid,
        finding=finding,
        value=value,
        kind=LabelKind.RADIOLOGIST,
        by="r1",
        confidence=None,
    )
    return LabelEntry(position=position, label=label, at=_START + timedelta(seconds=position), supersedes=supersedes)


def write_standing(entries: Sequence[LabelEntry], path: Path) -> None:
    """Write what stands: target, finding and value."""
    gone = {entry.supersedes for entry in entries}
    said = [entry.label for entry in entries if entry.position not in gone]
    columns = {name: [getattr(each, name) for each in said] for name in ("target", "finding", "value")}
    parquet.write_table(pyarrow.table(columns), path, compression="zstd")
