"""The first shape of the catalog."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INTEGER = sa.BigInteger()
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _hierarchy()
    _front_door()
    _boundary()
    _snapshots()
    _access()
    _evidence()


def _hierarchy() -> None:
    op.create_table(
        "patient",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("patient_id", TEXT),
        sa.Column("issuer", TEXT),
        sa.Column("sex", TEXT),
        sa.Column("birth_date", TEXT),
        sa.Column("subject", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_patient"),
        sa.UniqueConstraint("subject", name="uq_patient_subject"),
    )
    op.create_index("ix_patient_patient_id", "patient", ["patient_id"])
    op.create_table(
        "study",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("patient_pk", KEY, nullable=False),
        sa.Column("study_uid", TEXT, nullable=False),
        sa.Column("study_date", TEXT),
        sa.Column("study_start", TEXT),
        sa.Column("study_start_utc", TEXT),
        sa.Column("study_announced", INTEGER),
        sa.Column("study_description", TEXT),
        sa.Column("accession_number", TEXT),
        sa.Column("institution", TEXT),
        sa.Column("trial", TEXT),
        sa.Column("trial_site", TEXT),
        sa.Column("exam_code", TEXT),
        sa.Column("diagnosis", TEXT),
        sa.Column("diagnosis_code", TEXT),
        sa.Column("ordering_physician", TEXT),
        sa.Column("referring_physician", TEXT),
        sa.Column("reading_physician", TEXT),
        sa.Column("age_years", sa.Double()),
        sa.Column("weight_kg", sa.Double()),
        sa.ForeignKeyConstraint(["patient_pk"], ["patient.pk"], name="fk_study_patient_pk"),
        sa.PrimaryKeyConstraint("pk", name="pk_study"),
        sa.UniqueConstraint("patient_pk", "study_uid", name="uq_study_patient_pk_study_uid"),
    )
    op.create_index("ix_study_study_uid", "study", ["study_uid"])
    op.create_index("ix_study_study_date", "study", ["study_date"])
    op.create_table(
        "series",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("study_pk", KEY, nullable=False),
        sa.Column("series_uid", TEXT, nullable=False),
        sa.Column("modality", TEXT),
        sa.Column("modality_received", TEXT),
        sa.Column("body_part", TEXT),
        sa.Column("body_part_code", TEXT),
        sa.Column("body_part_from", TEXT),
        sa.Column("body_part_examined", TEXT),
        sa.Column("anatomic_region", TEXT),
        sa.Column("laterality", TEXT),
        sa.Column("laterality_received", TEXT),
        sa.Column("series_number", INTEGER),
        sa.Column("series_description", TEXT),
        sa.Column("protocol", TEXT),
        sa.Column("manufacturer", TEXT),
        sa.Column("manufacturer_received", TEXT),
        sa.Column("model", TEXT),
        sa.Column("station", TEXT),
        sa.Column("software", TEXT),
        sa.Column("device_serial", TEXT),
        sa.Column("department", TEXT),
        sa.Column("frame_of_reference_uid", TEXT),
        sa.Column("slice_thickness_mm", sa.Double()),
        sa.Column("spacing_between_slices_mm", sa.Double()),
        sa.Column("pixel_spacing_mm", sa.Double()),
        sa.Column("contrast_agent", TEXT),
        sa.Column("contrast_route", TEXT),
        sa.Column("kvp_kv", sa.Double()),
        sa.Column("tube_current_ma", sa.Double()),
        sa.Column("exposure_time_ms", sa.Double()),
        sa.Column("exposure_mas", sa.Double()),
        sa.Column("exposure_uas", sa.Double()),
        sa.Column("kernel", TEXT),
        sa.Column("ctdi_vol_mgy", sa.Double()),
        sa.Column("pitch", sa.Double()),
        sa.Column("field_strength_t", sa.Double()),
        sa.Column("field_strength_received", sa.Double()),
        sa.Column("repetition_time_ms", sa.Double()),
        sa.Column("echo_time_ms", sa.Double()),
        sa.Column("inversion_time_ms", sa.Double()),
        sa.Column("echo_train_length", INTEGER),
        sa.Column("flip_angle_deg", sa.Double()),
        sa.Column("sequence", TEXT),
        sa.Column("acquisition_type", TEXT),
        sa.Column("patient_position", TEXT),
        sa.Column("stain", TEXT),
        sa.Column("specimen", TEXT),
        sa.Column("container", TEXT),
        sa.Column("objective_power", sa.Double()),
        sa.Column("series_announced", INTEGER),
        sa.Column("completeness", TEXT),
        sa.Column("kind", INTEGER),
        sa.Column("patient_pk", KEY),
        sa.Column("sex", TEXT),
        sa.Column("study_date", TEXT),
        sa.Column("age_years", sa.Double()),
        sa.Column("series_description_wording", INTEGER),
        sa.Column("protocol_wording", INTEGER),
        sa.Column("study_description_wording", INTEGER),
        sa.Column("uid_number", INTEGER),
        sa.Column("judged_at", TEXT),
        sa.Column("lacks", TEXT),
        sa.Column("accepted_by", TEXT),
        sa.Column("accepted_at", TEXT),
        sa.Column("why", TEXT),
        sa.ForeignKeyConstraint(["study_pk"], ["study.pk"], name="fk_series_study_pk"),
        sa.PrimaryKeyConstraint("pk", name="pk_series"),
        sa.UniqueConstraint("study_pk", "series_uid", name="uq_series_study_pk_series_uid"),
    )
    op.create_index("ix_series_completeness", "series", ["completeness"])
    op.create_index("ix_series_judged_at", "series", ["judged_at"])
    counted = ["kind", "study_date", "age_years", "sex", "study_pk", "patient_pk"]
    op.create_index("ix_series_counted", "series", counted)
    op.create_index("ix_series_uid_number_kind", "series", ["uid_number", "kind"])
    for name in ("series_description", "protocol", "study_description"):
        op.create_index(f"ix_series_{name}_wording_kind", "series", [f"{name}_wording", "kind"])
    op.create_index("ix_series_series_uid", "series", ["series_uid"])
    op.create_table(
        "series_kind",
        sa.Column("pk", KEY, nullable=False, autoincrement=False),
        sa.Column("modality", TEXT),
        sa.Column("body_part", TEXT),
        sa.Column("laterality", TEXT),
        sa.Column("manufacturer", TEXT),
        sa.Column("model", TEXT),
        sa.Column("kernel", TEXT),
        sa.Column("slice_thickness_mm", sa.Double()),
        sa.Column("field_strength_t", sa.Double()),
        sa.Column("trial", TEXT),
        sa.Column("institution", TEXT),
        sa.Column("series", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_series_kind"),
    )
    op.create_table(
        "wording",
        sa.Column("pk", KEY, nullable=False, autoincrement=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("folded", TEXT, nullable=False),
        sa.Column("words", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_wording"),
    )
    op.create_table(
        "batch",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("received_at", TEXT, nullable=False),
        sa.Column("processing_version", TEXT, nullable=False),
        sa.Column("closed_at", TEXT),
        sa.Column("expected", INTEGER),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
    )
    op.create_table(
        "instance",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("series_pk", KEY, nullable=False),
        sa.Column("batch", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("checked_at", TEXT),
        sa.Column("sop_uid", TEXT, nullable=False),
        sa.Column("sop_class", TEXT, nullable=False),
        sa.Column("transfer_syntax", TEXT),
        sa.Column("image_type", TEXT),
        sa.Column("instance_number", INTEGER),
        sa.Column("plane", TEXT),
        sa.Column("slice_position_mm", sa.Double()),
        sa.Column("orientation", TEXT),
        sa.Column("microns_per_pixel", sa.Double()),
        sa.Column("image_laterality", TEXT),
        sa.Column("image_laterality_received", TEXT),
        sa.Column("view", TEXT),
        sa.Column("view_position", TEXT),
        sa.Column("view_code", TEXT),
        sa.Column("rows", INTEGER),
        sa.Column("columns", INTEGER),
        sa.Column("frames", INTEGER),
        sa.Column("bits_stored", INTEGER),
        sa.Column("photometric", TEXT),
        sa.Column("normalization", INTEGER),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("pixel_digest", TEXT),
        sa.Column("damage", TEXT),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.Column("findings", TEXT),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name="fk_instance_batch"),
        sa.ForeignKeyConstraint(["series_pk"], ["series.pk"], name="fk_instance_series_pk"),
        sa.PrimaryKeyConstraint("pk", name="pk_instance"),
        sa.UniqueConstraint("digest", name="uq_instance_digest"),
    )
    op.create_index("ix_instance_checked_at", "instance", ["checked_at"])
    op.create_index("ix_instance_series_pk_state", "instance", ["series_pk", "state"])
    op.create_index("ix_instance_sop_uid_state", "instance", ["sop_uid", "state"])
    current = sa.text("state = 'current'")
    op.create_index(
        "uq_instance_current", "instance", ["sop_uid"], unique=True, sqlite_where=current, postgresql_where=current
    )
    _image_files()


def _image_files() -> None:
    op.create_table(
        "image_file",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("batch", TEXT, nullable=False),
        sa.Column("findings", TEXT, nullable=False),
        sa.Column("checked_at", TEXT),
        sa.Column("damage", TEXT),
        sa.Column("file_kind", TEXT, nullable=False),
        sa.Column("file_format", TEXT),
        sa.Column("file_name", TEXT),
        sa.Column("file_patient", TEXT),
        sa.Column("file_modality", TEXT),
        sa.Column("width", INTEGER),
        sa.Column("height", INTEGER),
        sa.Column("depth", INTEGER),
        sa.Column("volumes", INTEGER),
        sa.Column("channels", INTEGER),
        sa.Column("sample_type", TEXT),
        sa.Column("spacing_x_mm", sa.Double()),
        sa.Column("spacing_y_mm", sa.Double()),
        sa.Column("spacing_z_mm", sa.Double()),
        sa.Column("interval_s", sa.Double()),
        sa.Column("pyramid_levels", INTEGER),
        sa.Column("magnification", sa.Double()),
        sa.Column("file_sidecar", TEXT),
        sa.Column("file_digest", TEXT, nullable=False),
        sa.Column("file_size_bytes", INTEGER, nullable=False),
        sa.Column("file_subject", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name="fk_image_file_batch"),
        sa.PrimaryKeyConstraint("pk", name="pk_image_file"),
        sa.UniqueConstraint("file_digest", name="uq_image_file_file_digest"),
    )
    op.create_index("ix_image_file_checked_at", "image_file", ["checked_at"])


def _front_door() -> None:
    op.create_table(
        "ledger",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("batch", TEXT, nullable=False),
        sa.Column("position", INTEGER, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("reasons", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name="fk_ledger_batch"),
        sa.PrimaryKeyConstraint("pk", name="pk_ledger"),
        sa.UniqueConstraint("batch", "position", name="uq_ledger_batch_position"),
    )
    op.create_index("ix_ledger_digest", "ledger", ["digest"])
    op.create_table(
        "quarantine_case",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.Column("batch", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("reasons", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("instance", TEXT),
        sa.Column("series_uid", TEXT),
        sa.Column("decided_by", TEXT),
        sa.Column("decided_at", TEXT),
        sa.Column("why", TEXT),
        sa.Column("checked_at", TEXT),
        sa.Column("damage", TEXT),
        sa.ForeignKeyConstraint(["batch"], ["batch.id"], name="fk_quarantine_case_batch"),
        sa.PrimaryKeyConstraint("pk", name="pk_quarantine_case"),
        sa.UniqueConstraint("id", name="uq_quarantine_case_id"),
    )
    op.create_index("ix_quarantine_case_batch", "quarantine_case", ["batch"])
    op.create_index("ix_quarantine_case_checked_at", "quarantine_case", ["checked_at"])
    op.create_index("ix_quarantine_case_digest", "quarantine_case", ["digest"])
    op.create_index("ix_quarantine_case_series_uid", "quarantine_case", ["series_uid"])
    op.create_index("ix_quarantine_case_state", "quarantine_case", ["state"])
    op.create_table(
        "data_key",
        sa.Column("zone", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("wrapped", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("zone", "subject", name="pk_data_key"),
    )


def _boundary() -> None:
    op.create_table(
        "project",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("profile", TEXT, nullable=False),
        sa.Column("created_at", TEXT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("until", TEXT),
        sa.Column("budget_bytes", INTEGER),
        sa.Column("requires", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_project"),
    )
    op.create_table(
        "copy",
        sa.Column("id", KEY, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("profile", TEXT, nullable=False),
        sa.Column("verifier", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reasons", TEXT, nullable=False),
        sa.Column("findings", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("digest", TEXT),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.Column("study_uid", TEXT, nullable=False),
        sa.Column("series_uid", TEXT, nullable=False),
        sa.Column("sop_uid", TEXT, nullable=False),
        sa.Column("modality", TEXT, nullable=False),
        sa.Column("frames", INTEGER, nullable=False),
        sa.Column("coverage", TEXT),
        sa.Column("attestation", TEXT),
        sa.Column("decided_by", TEXT),
        sa.Column("why", TEXT),
        sa.ForeignKeyConstraint(["project"], ["project.name"], name="fk_copy_project"),
        sa.ForeignKeyConstraint(["source"], ["instance.digest"], name="fk_copy_source"),
        sa.PrimaryKeyConstraint("id", name="pk_copy"),
        sa.UniqueConstraint("project", "source", "profile", "verifier", name="uq_copy_project_source_profile_verifier"),
    )
    op.create_index("ix_copy_digest", "copy", ["digest"])
    op.create_index("ix_copy_series_uid", "copy", ["series_uid"])
    op.create_index("ix_copy_sop_uid", "copy", ["sop_uid"])
    op.create_index("ix_copy_source", "copy", ["source"])
    op.create_index("ix_copy_state", "copy", ["state"])
    op.create_index("ix_copy_study_uid", "copy", ["study_uid"])
    op.create_table(
        "label_entry",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("position", INTEGER, autoincrement=False, nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("finding", TEXT, nullable=False),
        sa.Column("value", TEXT),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("confidence", TEXT),
        sa.Column("unit", TEXT),
        sa.Column("meaning", TEXT),
        sa.Column("mark", TEXT),
        sa.Column("shape", TEXT),
        sa.Column("space", TEXT),
        sa.Column("frame", INTEGER),
        sa.Column("geometry", TEXT),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("supersedes", INTEGER),
        sa.Column("said_at", TEXT),
        sa.Column("source", TEXT),
        sa.PrimaryKeyConstraint("name", "position", name="pk_label_entry"),
    )
    op.create_table(
        "fact",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("unit", TEXT),
        sa.Column("meaning", TEXT),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_fact"),
        sa.UniqueConstraint("subject", "name", name="uq_fact_subject_name"),
    )
    op.create_index("ix_fact_code_subject", "fact", ["code", "subject"])
    about = ["name", "level", "target", "finding", "kind", "position"]
    op.create_index("ix_label_entry_about", "label_entry", about)
    is_over = sa.text("supersedes IS NOT NULL")
    over = ["name", "supersedes", "position"]
    op.create_index("ix_label_entry_over", "label_entry", over, sqlite_where=is_over, postgresql_where=is_over)
    op.create_table(
        "label_now",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("finding", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("name", "level", "target", "finding", name="pk_label_now"),
    )
    op.create_index("ix_label_now_said", "label_now", ["name", "finding", "value", "level", "number"])


def _snapshots() -> None:
    op.create_table(
        "cohort",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("criteria", TEXT, nullable=False),
        sa.Column("defined_at", TEXT, nullable=False),
        sa.Column("defined_by", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_cohort"),
        sa.UniqueConstraint("name", "version", name="uq_cohort_name_version"),
    )
    op.create_table(
        "snapshot",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("root", TEXT, nullable=False),
        sa.Column("definition", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("where", TEXT, nullable=False),
        sa.Column("instances", INTEGER, nullable=False),
        sa.Column("series", INTEGER, nullable=False),
        sa.Column("studies", INTEGER, nullable=False),
        sa.Column("patients", INTEGER, nullable=False),
        sa.Column("splits", TEXT, nullable=False),
        sa.Column("cohort", TEXT),
        sa.Column("label_sets", TEXT, nullable=False),
        sa.Column("frozen_at", TEXT, nullable=False),
        sa.Column("frozen_by", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["project"], ["project.name"], name="fk_snapshot_project"),
        sa.PrimaryKeyConstraint("pk", name="pk_snapshot"),
        sa.UniqueConstraint("id", name="uq_snapshot_id"),
        sa.UniqueConstraint("name", "version", name="uq_snapshot_name_version"),
    )
    op.create_table(
        "snapshot_member",
        sa.Column("snapshot_pk", KEY, nullable=False),
        sa.Column("position", INTEGER, autoincrement=False, nullable=False),
        sa.Column("copy", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("split", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["snapshot_pk"], ["snapshot.pk"], name="fk_snapshot_member_snapshot_pk"),
        sa.PrimaryKeyConstraint("snapshot_pk", "position", name="pk_snapshot_member"),
    )
    op.create_index("ix_snapshot_member_copy", "snapshot_member", ["copy"])
    op.create_index(
        "ix_snapshot_member_snapshot_pk_split_subject", "snapshot_member", ["snapshot_pk", "split", "subject"]
    )
    op.create_table(
        "shardset",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("snapshot", TEXT, nullable=False),
        sa.Column("recipe", TEXT, nullable=False),
        sa.Column("recipe_text", TEXT, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("samples", INTEGER, nullable=False),
        sa.Column("raw_bytes", INTEGER, nullable=False),
        sa.Column("stored_bytes", INTEGER, nullable=False),
        sa.Column("failures", TEXT, nullable=False),
        sa.Column("built_at", TEXT, nullable=False),
        sa.Column("built_by", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_shardset"),
        sa.UniqueConstraint("id", name="uq_shardset_id"),
    )
    op.create_index("ix_shardset_snapshot", "shardset", ["snapshot"])
    op.create_table(
        "sealed_object",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("shardset_pk", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.Column("sealed", TEXT, nullable=False),
        sa.Column("plain", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["shardset_pk"], ["shardset.pk"], name="fk_sealed_object_shardset_pk"),
        sa.PrimaryKeyConstraint("pk", name="pk_sealed_object"),
        sa.UniqueConstraint("shardset_pk", "name", name="uq_sealed_object_shardset_pk_name"),
    )
    op.create_table(
        "model",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", INTEGER, nullable=False),
        sa.Column("snapshot", TEXT, nullable=False),
        sa.Column("shardset", TEXT),
        sa.Column("lease", TEXT),
        sa.Column("metrics", TEXT, nullable=False),
        sa.Column("registered_at", TEXT, nullable=False),
        sa.Column("registered_by", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_model"),
        sa.UniqueConstraint("name", "version", name="uq_model_name_version"),
    )
    op.create_index("ix_model_digest", "model", ["digest"])
    op.create_index("ix_model_snapshot", "model", ["snapshot"])


def _access() -> None:
    op.create_table(
        "request",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("snapshot", TEXT, nullable=False),
        sa.Column("requester", TEXT, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("days", INTEGER, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("decided_by", TEXT),
        sa.Column("decided_at", TEXT),
        sa.Column("why", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_request"),
    )
    op.create_table(
        "question",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("pseudonym", TEXT, nullable=False),
        sa.Column("requester", TEXT, nullable=False),
        sa.Column("why", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("agreed", TEXT, nullable=False),
        sa.Column("decided_at", TEXT),
        sa.Column("expires", TEXT),
        sa.Column("turned_down", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_question"),
    )
    op.create_table(
        "grant",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("request", TEXT, nullable=False),
        sa.Column("snapshot", TEXT, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("granted_at", TEXT, nullable=False),
        sa.Column("expires", TEXT, nullable=False),
        sa.Column("revoked_at", TEXT),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name="fk_grant_request"),
        sa.PrimaryKeyConstraint("id", name="pk_grant"),
        sa.UniqueConstraint("request", name="uq_grant_request"),
    )
    op.create_index("ix_grant_holder_snapshot", "grant", ["holder", "snapshot"])
    op.create_table(
        "lease",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("grant", TEXT, nullable=False),
        sa.Column("snapshot", TEXT, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("job", TEXT, nullable=False),
        sa.Column("issued_at", TEXT, nullable=False),
        sa.Column("expires", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["grant"], ["grant.id"], name="fk_lease_grant"),
        sa.PrimaryKeyConstraint("id", name="pk_lease"),
    )
    op.create_index("ix_lease_snapshot", "lease", ["snapshot"])
    op.create_table(
        "opening",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("lease", TEXT, nullable=False),
        sa.Column("shardset", TEXT, nullable=False),
        sa.Column("subjects", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["lease"], ["lease.id"], name="fk_opening_lease"),
        sa.PrimaryKeyConstraint("pk", name="pk_opening"),
        sa.UniqueConstraint("id", name="uq_opening_id"),
    )
    op.create_index("ix_opening_lease", "opening", ["lease"])


def _evidence() -> None:
    op.create_table(
        "audit_leaf",
        sa.Column("idx", KEY, autoincrement=False, nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", name="pk_audit_leaf"),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", KEY, autoincrement=False, nullable=False),
        sa.Column("size", INTEGER, nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("pk", KEY, nullable=False),
        sa.Column("size", INTEGER, nullable=False),
        sa.Column("root", TEXT, nullable=False),
        sa.Column("note", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_checkpoint"),
    )
    op.create_index("ix_checkpoint_size", "checkpoint", ["size"])
    head = sa.table(
        "audit_head", sa.column("id", KEY), sa.column("size", INTEGER), sa.column("frontier", sa.LargeBinary())
    )
    op.execute(head.insert().values(id=1, size=0, frontier=b""))
