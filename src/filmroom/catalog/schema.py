"""The tables of the catalog, the same on SQLite and on PostgreSQL.

The columns that queries see are made from `dicom.attributes.COLUMNS`; every other column has the name of the record's
field that it holds. It runs no statement: `adapters.sql` does. A change here needs a migration; a test compares them.

All text is ordered by code point on both engines, and times are RFC 3339 text, whose order is the order of time.
Tables of the patient hierarchy are keyed by integers, since patients move and merge while rows stay.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from filmroom import records
from filmroom.catalog.types import KEY, DigestText, Document, Moment, VersionedText, Words, choice
from filmroom.dicom.attributes import BY_NAME, COLUMNS
from filmroom.ids import Zone
from filmroom.records import ColumnType, Level

_Held = TypeVar("_Held", int, str)


# -- the patient hierarchy -----------------------------------------------------------------------------------------

_TYPES: dict[ColumnType, TypeEngine[str] | TypeEngine[int] | TypeEngine[float]] = {
    ColumnType.TEXT: Words,
    ColumnType.INTEGER: BigInteger(),
    ColumnType.REAL: Double(),
    ColumnType.DATE: Words,
}

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_REQUIRED = frozenset(
    "subject study_uid series_uid sop_uid sop_class digest size_bytes file_kind file_digest file_size_bytes file_subject".split()
)


def _level(level: Level) -> list["Column[Any]"]:
    """Make the columns that queries see at `level`."""
    return [
        Column(column.name, _TYPES[column.type], nullable=column.name not in _REQUIRED)
        for column in COLUMNS
        if column.level == level
    ]


def _key() -> "Column[int]":
    return Column("pk", KEY, primary_key=True)


def _ref(name: str, target: str, type_: TypeEngine[_Held]) -> "Column[_Held]":
    return Column(name, type_, ForeignKey(target), nullable=False)


KIND = (
    *("modality", "body_part", "laterality", "manufacturer", "model", "kernel"),
    *("slice_thickness_mm", "field_strength_t", "trial", "institution"),
)
"""Columns of a study or series that have few values together: what `series_kind` has a row for each combination of."""

WORDED = ("series_description", "protocol", "study_description")
"""Columns of free text that is written again and again: `wording` has each text once."""

MIRRORED = ("sex", "study_date", "age_years")
"""Columns of the patient and study that a series repeats, so that series can be counted without looking there."""


patient = Table("patient", metadata, _key(), *_level(Level.PATIENT), UniqueConstraint("subject"))
Index(None, patient.c.patient_id)

study = Table(
    "study",
    metadata,
    _key(),
    _ref("patient_pk", "patient.pk", KEY),
    *_level(Level.STUDY),
    UniqueConstraint("patient_pk", "study_uid"),
)
Index(None, study.c.study_uid)
Index(None, study.c.study_date)

series = Table(
    "series",
    metadata,
    _key(),
    _ref("study_pk", "study.pk", KEY),
    *_level(Level.SERIES),
    # What of a series is current, and what it would otherwise be looked up for: `adapters.sql.cataloging` keeps these.
    Column("kind", BigInteger),  # absent when no instance of it is current
    Column("patient_pk", KEY),
    *(Column(name, _TYPES[BY_NAME[name].type]) for name in MIRRORED),
    *(Column(f"{name}_wording", BigInteger) for name in WORDED),
    Column("uid_number", BigInteger),  # made of the UID
    Column("judged_at", Moment),
    Column("lacks", Document),
    Column("accepted_by", Words),
    Column("accepted_at", Moment),
    Column("why", Words),
    UniqueConstraint("study_pk", "series_uid"),
)
Index(None, series.c.series_uid)
Index("ix_series_counted", *series.c["kind", "study_date", "age_years", "sex", "study_pk", "patient_pk"])
Index(None, series.c.uid_number, series.c.kind)
for name in WORDED:
    Index(None, series.c[f"{name}_wording"], series.c.kind)
Index(None, series.c.completeness)
Index(None, series.c.judged_at)

series_kind = Table(
    "series_kind",
    metadata,
    Column("pk", KEY, primary_key=True, autoincrement=False),  # made of the values
    *(Column(name, _TYPES[BY_NAME[name].type]) for name in KIND),
    Column("series", BigInteger, nullable=False),  # how many series of the kind have a current instance
)

wording = Table(
    "wording",
    metadata,
    Column("pk", KEY, primary_key=True, autoincrement=False),  # made of the text
    Column("text", Words, nullable=False),
    Column("folded", Words, nullable=False),
    Column("words", Words, nullable=False),
)

batch = Table(
    "batch",
    metadata,
    Column("id", Words, primary_key=True),
    Column("source", Words, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("processing_version", Words, nullable=False),
    Column("closed_at", Moment),
    Column("expected", BigInteger),
)

instance = Table(
    "instance",
    metadata,
    _key(),
    _ref("series_pk", "series.pk", KEY),
    _ref("batch", "batch.id", Words),
    Column("state", choice(records.InstanceState), nullable=False),
    Column("checked_at", Moment, index=True),
    *_level(Level.INSTANCE),
    UniqueConstraint("digest"),
)
Index(None, instance.c.sop_uid, instance.c.state)
_is_current = instance.c.state == records.InstanceState.CURRENT.value
Index("uq_instance_current", instance.c.sop_uid, unique=True, sqlite_where=_is_current, postgresql_where=_is_current)
Index(None, instance.c.series_pk, instance.c.state)

image_file = Table(
    "image_file",
    metadata,
    _key(),
    _ref("batch", "batch.id", Words),
    Column("findings", Document, nullable=False),
    Column("checked_at", Moment, index=True),
    Column("damage", Words),
    *_level(Level.FILE),
    UniqueConstraint("file_digest"),
)

TABLES: Mapping[Level, Table] = {
    Level.PATIENT: patient,
    Level.STUDY: study,
    Level.SERIES: series,
    Level.INSTANCE: instance,
    Level.FILE: image_file,
}
"""The table of each level, from the top down; image files stand beside the others."""


# -- the front door ------------------------------------------------------------------------------------------------

ledger = Table(
    "ledger",
    metadata,
    _key(),  # the order of receipt over all batches
    _ref("batch", "batch.id", Words),
    Column("position", BigInteger, nullable=False),
    Column("name", Words, nullable=False),
    Column("digest", DigestText, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("outcome", choice(records.Outcome), nullable=False),
    Column("reasons", Document, nullable=False),
    UniqueConstraint("batch", "position"),
)

quarantine_case = Table(
    "quarantine_case",
    metadata,
    _key(),
    Column("id", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("digest", DigestText, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("batch", Words, ForeignKey("batch.id"), nullable=False, index=True),
    Column("subject", Words, nullable=False),
    Column("reasons", Document, nullable=False),
    Column("state", choice(records.CaseState), nullable=False, index=True),
    Column("instance", Document),
    Column("series_uid", Words, index=True),
    Column("decided_by", Words),
    Column("decided_at", Moment),
    Column("why", Words),
    Column("checked_at", Moment, index=True),
    Column("damage", Words),
)

data_key = Table(
    "data_key",
    metadata,
    Column("zone", choice(Zone), primary_key=True),
    Column("subject", Words, primary_key=True),
    Column("wrapped", LargeBinary),
)


# -- the boundary --------------------------------------------------------------------------------------------------

project = Table(
    "project",
    metadata,
    Column("name", Words, primary_key=True),
    Column("purpose", Words, nullable=False),
    Column("profile", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Words, nullable=False),
    Column("until", Moment),
    Column("budget_bytes", BigInteger),
    Column("requires", Document, nullable=False),
)

copy = Table(
    "copy",
    metadata,
    Column("id", KEY, primary_key=True),
    _ref("project", "project.name", Words),
    Column("source", DigestText, ForeignKey("instance.digest"), nullable=False, index=True),
    Column("profile", DigestText, nullable=False),
    Column("verifier", Words, nullable=False),
    Column("state", choice(records.CopyState), nullable=False, index=True),
    Column("reasons", Document, nullable=False),
    Column("findings", Document, nullable=False),
    Column("subject", Words, nullable=False),
    Column("digest", DigestText, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("study_uid", Words, nullable=False, index=True),
    Column("series_uid", Words, nullable=False, index=True),
    Column("sop_uid", Words, nullable=False, index=True),
    Column("modality", Words, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("coverage", Document),
    Column("attestation", Words),
    Column("decided_by", Words),
    Column("why", Words),
    UniqueConstraint("project", "source", "profile", "verifier"),
)

label_entry = Table(
    "label_entry",
    metadata,
    Column("name", Words, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("level", choice(Level), nullable=False),
    Column("target", Words, nullable=False),
    Column("finding", Words, nullable=False),
    Column("value", Words),
    Column("kind", choice(records.LabelKind), nullable=False),
    Column("by", Words, nullable=False),
    Column("confidence", Words),
    Column("unit", Words),
    Column("meaning", Words),
    Column("mark", Words),
    Column("shape", choice(records.Shape)),
    Column("space", choice(records.Space)),
    Column("frame", BigInteger),
    Column("geometry", Words),
    Column("at", Moment, nullable=False),
    Column("supersedes", BigInteger),
    Column("said_at", Words),
    Column("source", DigestText),
)
Index("ix_label_entry_about", *label_entry.c["name", "level", "target", "finding", "kind", "position"])
_supersedes = label_entry.c.supersedes.is_not(None)
Index(
    "ix_label_entry_over",
    *label_entry.c["name", "supersedes", "position"],
    sqlite_where=_supersedes,
    postgresql_where=_supersedes,
)

label_now = Table(
    "label_now",  # what each set says as a whole, at its newest version
    metadata,
    Column("name", Words, primary_key=True),
    Column("level", choice(Level), primary_key=True),
    Column("target", Words, primary_key=True),
    Column("finding", Words, primary_key=True),
    Column("value", Words, nullable=False),
    Column("number", BigInteger, nullable=False),  # made of the target
)
Index("ix_label_now_said", *label_now.c["name", "finding", "value", "level", "number"])


fact = Table(
    "fact",
    metadata,
    _key(),
    Column("subject", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("kind", choice(records.FactKind), nullable=False),
    Column("code", Words, nullable=False),
    Column("value", Words, nullable=False),
    Column("unit", Words),
    Column("meaning", Words),
    Column("at", Words, nullable=False),
    Column("source", DigestText, nullable=False),
    UniqueConstraint("subject", "name"),
)
Index(None, fact.c.code, fact.c.subject)


# -- cohorts, snapshots, shards, models ----------------------------------------------------------------------------

cohort = Table(
    "cohort",
    metadata,
    _key(),
    Column("name", Words, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("digest", DigestText, nullable=False),
    Column("criteria", Document, nullable=False),
    Column("defined_at", Moment, nullable=False),
    Column("defined_by", Words, nullable=False),
    UniqueConstraint("name", "version"),
)

snapshot = Table(
    "snapshot",
    metadata,
    _key(),
    Column("name", Words, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("id", DigestText, nullable=False, unique=True),
    Column("root", DigestText, nullable=False),
    Column("definition", DigestText, nullable=False),
    _ref("project", "project.name", Words),
    Column("where", Words, nullable=False),
    Column("instances", BigInteger, nullable=False),
    Column("series", BigInteger, nullable=False),
    Column("studies", BigInteger, nullable=False),
    Column("patients", BigInteger, nullable=False),
    Column("splits", Document, nullable=False),
    Column("cohort", VersionedText),
    Column("label_sets", Document, nullable=False),
    Column("frozen_at", Moment, nullable=False),
    Column("frozen_by", Words, nullable=False),
    UniqueConstraint("name", "version"),
)

snapshot_member = Table(
    "snapshot_member",
    metadata,
    Column("snapshot_pk", KEY, ForeignKey("snapshot.pk"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("copy", DigestText, nullable=False, index=True),
    Column("subject", Words, nullable=False),
    Column("split", Words, nullable=False),
)
Index(None, snapshot_member.c.snapshot_pk, snapshot_member.c.split, snapshot_member.c.subject)

shardset = Table(
    "shardset",
    metadata,
    _key(),
    Column("id", DigestText, nullable=False, unique=True),
    Column("snapshot", VersionedText, nullable=False, index=True),
    Column("recipe", DigestText, nullable=False),
    Column("recipe_text", Words, nullable=False),
    Column("content", DigestText, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("raw_bytes", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("failures", Document, nullable=False),
    Column("built_at", Moment, nullable=False),
    Column("built_by", Words, nullable=False),
    Column("code", Words, nullable=False),
)

sealed_object = Table(
    "sealed_object",
    metadata,
    _key(),
    _ref("shardset_pk", "shardset.pk", KEY),
    Column("name", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sealed", DigestText, nullable=False),
    Column("plain", DigestText, nullable=False),
    UniqueConstraint("shardset_pk", "name"),
)

model = Table(
    "model",
    metadata,
    _key(),
    Column("name", Words, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("digest", DigestText, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("snapshot", VersionedText, nullable=False, index=True),
    Column("shardset", DigestText),
    Column("lease", Words),
    Column("metrics", Document, nullable=False),
    Column("registered_at", Moment, nullable=False),
    Column("registered_by", Words, nullable=False),
    UniqueConstraint("name", "version"),
)


# -- access --------------------------------------------------------------------------------------------------------

request = Table(
    "request",
    metadata,
    Column("id", Words, primary_key=True),
    Column("snapshot", VersionedText, nullable=False),
    Column("requester", Document, nullable=False),
    Column("purpose", Words, nullable=False),
    Column("days", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
    Column("state", choice(records.RequestState), nullable=False),
    Column("decided_by", Document),
    Column("decided_at", Moment),
    Column("why", Words),
)

question = Table(
    "question",
    metadata,
    Column("id", Words, primary_key=True),
    Column("project", Words, nullable=False),
    Column("pseudonym", Words, nullable=False),
    Column("requester", Document, nullable=False),
    Column("why", Words, nullable=False),
    Column("at", Moment, nullable=False),
    Column("state", choice(records.RequestState), nullable=False),
    Column("agreed", Document, nullable=False),
    Column("decided_at", Moment),
    Column("expires", Moment),
    Column("turned_down", Words),
)

grant = Table(
    "grant",
    metadata,
    Column("id", Words, primary_key=True),
    _ref("request", "request.id", Words),
    Column("snapshot", VersionedText, nullable=False),
    Column("holder", Words, nullable=False),
    Column("purpose", Words, nullable=False),
    Column("granted_at", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("revoked_at", Moment),
    UniqueConstraint("request"),
)
Index(None, grant.c.holder, grant.c.snapshot)

lease = Table(
    "lease",
    metadata,
    Column("id", Words, primary_key=True),
    _ref("grant", "grant.id", Words),
    Column("snapshot", VersionedText, nullable=False, index=True),
    Column("holder", Words, nullable=False),
    Column("job", Words, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
)

opening = Table(
    "opening",
    metadata,
    _key(),
    Column("id", Words, nullable=False, unique=True),
    _ref("lease", "lease.id", Words),
    Column("shardset", DigestText, nullable=False),
    Column("subjects", Document, nullable=False),
    Column("at", Moment, nullable=False),
)
Index(None, opening.c.lease)


# -- evidence ------------------------------------------------------------------------------------------------------

audit_leaf = Table(
    "audit_leaf",
    metadata,
    Column("idx", KEY, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=False),  # always 1: the first migration writes the only row
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),  # 32 bytes for each perfect subtree, largest first
)

checkpoint = Table(
    "checkpoint",
    metadata,
    _key(),
    Column("size", BigInteger, nullable=False, index=True),
    Column("root", DigestText, nullable=False),
    Column("note", Words, nullable=False),
)
