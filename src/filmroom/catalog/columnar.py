"""The tables of the columnar export: their names and columns, and what of them may leave the clinical zone. Pure.

Every table lies in hive partitions: `TABLE/KEY=VALUE/data.parquet`. docs/catalog-export.md is generated from this module.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from urllib.parse import quote

from filmroom.catalog.parquet import Fields
from filmroom.dicom.attributes import BY_NAME, COLUMNS, columns_of
from filmroom.records import Column, ColumnType, LabelEntry, Level, Value

TABLES: Mapping[str, str] = {
    "series": "a row a series that has a current instance, with its study and patient",
    "instances": "a row a current instance",
    "files": "a row an image file that is no DICOM object; not in the de-identified form",
    "findings": "a row for each oddity of an instance, as a code and an attribute; de-identified: what the verifier saw",
    "labels": "a row a statement, superseded ones too; de-identified: those that stand, about what the project has a copy of",
}
"""Every table, and what a row of it is."""

_TEXT, _INT = ColumnType.TEXT, ColumnType.INTEGER
_KEYS = ("subject", "study_uid", "series_uid")
_RECEIPT: Mapping[str, tuple[ColumnType, str]] = {
    "received_at": (_TEXT, "when it was received, the first instance of a series (RFC 3339 UTC)"),
    "source": (_TEXT, "the source of that delivery"),
}
_FINDINGS: Mapping[str, tuple[ColumnType, str]] = {
    "sop_uid": (_TEXT, "SOP Instance UID"),
    "code": (_TEXT, "what was odd"),
    "place": (_TEXT, "the attribute, by keyword or path"),
}
_PROOF: Mapping[str, tuple[ColumnType, str]] = {
    "attestation": (_TEXT, "digest of the verifier's signed record, as in snapshots; in the de-identified form only"),
}
_LABELS: Mapping[str, tuple[ColumnType, str]] = {
    "level": (_TEXT, "patient, study, series or instance"),
    "target": (_TEXT, "the subject or UID that it is about"),
    "finding": (_TEXT, "what it is about"),
    "value": (_TEXT, "what is said; absent where it is taken back"),
    "unit": (_TEXT, "UCUM unit of a measurement"),
    "kind": (_TEXT, "how it came about"),
    "confidence": (_TEXT, "as the reader gave it"),
    "shape": (_TEXT, "shape of a region"),
    "space": (_TEXT, "what its coordinates are measured in"),
    "frame": (_INT, "frame of a region, from 1"),
    "geometry": (_TEXT, "its coordinates"),
}
_LEDGER: Mapping[str, tuple[ColumnType, str]] = {
    "position": (_INT, "position in the set's ledger"),
    "by": (_TEXT, "who said it"),
    "at": (_TEXT, "when it was written down (RFC 3339 UTC)"),
    "supersedes": (_INT, "position of what it supersedes"),
    "mark": (_TEXT, "the reader's name for a region"),
}
_CATALOGS_OWN = frozenset(
    """patient_id issuer subject study_announced series_announced completeness digest pixel_digest damage size_bytes
    findings transfer_syntax""".split()
)
"""Columns that say something about the source, or about the archive; the pseudonym is `subject`."""


def clinical(table: str) -> Fields:
    """Return a table's columns in the clinical form."""
    match table:
        case "series":
            return [*_fields(columns_of(Level.SERIES)), *_plain(_RECEIPT)]
        case "instances":
            return [*_keys(), *_fields(_own(Level.INSTANCE)), *_plain(_RECEIPT)]
        case "files":
            return [*_fields(_own(Level.FILE)), *_plain(_RECEIPT)]
        case "findings":
            return [*_keys(), *_plain(_FINDINGS)]
        case _:
            return [*_plain(_LABELS), *_plain(_LEDGER)]


def deidentified(table: str, kept: AbstractSet[str]) -> Fields:
    """Return a table's columns in the de-identified form, `kept` being the keywords that the profile lets stay."""
    match table:
        case "series":
            return [_keys()[0], *_fields(each for each in columns_of(Level.SERIES) if _may_leave(each, kept))]
        case "instances":
            leaving = (each for each in _own(Level.INSTANCE) if _may_leave(each, kept))
            return [*_keys(), *_fields(leaving), *_plain(_PROOF)]
        case "findings":
            return [*_keys(), *_plain(_FINDINGS)]
        case _:
            return _plain(_LABELS)


def words(name: str) -> tuple[str, str]:
    """Return (unit, description) of a column of any table."""
    if name in BY_NAME:
        return BY_NAME[name].unit, BY_NAME[name].description
    return "", {**_RECEIPT, **_PROOF, **_FINDINGS, **_LABELS, **_LEDGER}[name][1]


def label_row(entry: LabelEntry) -> dict[str, Value]:
    """Return a statement's row in the clinical form, but for `at`."""
    label, region = entry.label, entry.label.region
    place: dict[str, Value] = {}
    if region is not None:
        place = {"shape": str(region.shape), "space": str(region.space), "frame": region.frame}
        place |= {"geometry": region.geometry, "mark": region.mark}
    return {
        "level": str(label.level),
        "target": label.target,
        "finding": label.finding,
        "value": label.value,
        "unit": label.unit,
        "kind": str(label.kind),
        "confidence": label.confidence,
        "position": entry.position,
        "by": label.by,
        "supersedes": entry.supersedes,
        **place,
    }


def finding_rows(instance: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """Yield a row for each finding of an instance's row."""
    for each in str(instance["findings"] or "").split():
        code, _, place = each.partition(":")
        yield {**{name: instance[name] for name in (*_KEYS, "sop_uid")}, "code": code, "place": place}


def partition(*keys: tuple[str, str]) -> str:
    """Return a hive partition's path: `modality=CT`, or `set=reads/month=2026-03`."""
    return "/".join(f"{name}={quote(value, safe='') or '__HIVE_DEFAULT_PARTITION__'}" for name, value in keys)


def _may_leave(column: Column, kept: AbstractSet[str]) -> bool:
    return column.name not in _CATALOGS_OWN and (not column.dicom or column.dicom in kept)


def _own(level: Level) -> list[Column]:
    return [column for column in COLUMNS if column.level is level]


def _keys() -> list[tuple[str, ColumnType]]:
    return [(name, _TEXT) for name in _KEYS]


def _fields(columns: Iterable[Column]) -> list[tuple[str, ColumnType]]:
    return [(column.name, column.type) for column in columns]


def _plain(fields: Mapping[str, tuple[ColumnType, str]]) -> list[tuple[str, ColumnType]]:
    return [(name, kind) for name, (kind, _) in fields.items()]
