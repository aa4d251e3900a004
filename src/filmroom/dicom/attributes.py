"""The columns of the catalog: which attribute fills each, at which level, in which unit.

This table is the whole vocabulary of queries. `dicom.parse` fills the columns that an attribute fills, as received, and
`dicom.normalize` those that it reads out of them, `ingest.accept` those of the level `file`; `catalog.schema` makes columns of them,
`catalog.query` allows nothing else, and docs/columns.md is generated from them. A column's name carries its unit.
Identifying columns are the clinical zone's and never leave with a snapshot.
"""

from filmroom.records import Column, ColumnType, Level

_TEXT, _INT, _REAL, _DATE = ColumnType.TEXT, ColumnType.INTEGER, ColumnType.REAL, ColumnType.DATE
_PATIENT, _STUDY, _SERIES, _INSTANCE, _FILE = Level

COLUMNS: tuple[Column, ...] = (
    Column("patient_id", _PATIENT, _TEXT, "", "Patient ID as received; identifying", "PatientID"),
    Column("issuer", _PATIENT, _TEXT, "", "who issued the Patient ID; identifying", "IssuerOfPatientID"),
    Column("sex", _PATIENT, _TEXT, "", "M, F or O", "PatientSex"),
    Column("birth_date", _PATIENT, _DATE, "", "date of birth; identifying", "PatientBirthDate"),
    Column("study_uid", _STUDY, _TEXT, "", "Study Instance UID", "StudyInstanceUID"),
    Column("study_date", _STUDY, _DATE, "", "date the study started", "StudyDate"),
    Column("study_start", _STUDY, _TEXT, "", "when it started, local time, with its zone where that is known", ""),
    Column("study_start_utc", _STUDY, _TEXT, "", "the same in UTC; absent when the zone is not known", ""),
    Column("study_announced", _STUDY, _INT, "", "instances that the sender says the study has", ""),
    Column("study_description", _STUDY, _TEXT, "", "what the study was", "StudyDescription"),
    Column("accession_number", _STUDY, _TEXT, "", "number of the order; identifying", "AccessionNumber"),
    Column("institution", _STUDY, _TEXT, "", "institution where it was acquired", "InstitutionName"),
    Column("trial", _STUDY, _TEXT, "", "clinical trial or collection it belongs to", "ClinicalTrialProtocolID"),
    Column("trial_site", _STUDY, _TEXT, "", "site of the trial", "ClinicalTrialSiteID"),
    Column("exam_code", _STUDY, _TEXT, "", "codes of the examination, SCHEME:CODE, joined by a backslash", ""),
    Column("diagnosis", _STUDY, _TEXT, "", "admitting diagnoses; identifying", "AdmittingDiagnosesDescription"),
    Column("diagnosis_code", _STUDY, _TEXT, "", "their codes, SCHEME:CODE, joined by a backslash", ""),
    Column("ordering_physician", _STUDY, _TEXT, "", "who asked for it; identifying", "RequestingPhysician"),
    Column("referring_physician", _STUDY, _TEXT, "", "who referred; identifying", "ReferringPhysicianName"),
    Column("reading_physician", _STUDY, _TEXT, "", "who read it; identifying", "NameOfPhysiciansReadingStudy"),
    Column("age_years", _STUDY, _REAL, "a", "patient's age at the study", "PatientAge"),
    Column("weight_kg", _STUDY, _REAL, "kg", "patient's weight at the study", "PatientWeight"),
    Column("series_uid", _SERIES, _TEXT, "", "Series Instance UID", "SeriesInstanceUID"),
    Column("modality", _SERIES, _TEXT, "", "CT, MR, US, DX ... (PS3.3 C.7.3.1.1.1), normalised", ""),
    Column("modality_received", _SERIES, _TEXT, "", "modality as received, upper case", "Modality"),
    Column("body_part", _SERIES, _TEXT, "", "body part (a term of PS3.16 Annex L), normalised", ""),
    Column("body_part_code", _SERIES, _TEXT, "", "its SNOMED CT code", ""),
    Column("body_part_from", _SERIES, _TEXT, "", "the attribute that told the body part, by keyword", ""),
    Column("body_part_examined", _SERIES, _TEXT, "", "body part as received, upper case", "BodyPartExamined"),
    Column("anatomic_region", _SERIES, _TEXT, "", "anatomic region as received, SCHEME:CODE", ""),
    Column("laterality", _SERIES, _TEXT, "", "L, R or B (both), normalised", ""),
    Column("laterality_received", _SERIES, _TEXT, "", "laterality as received, upper case", "Laterality"),
    Column("series_number", _SERIES, _INT, "", "number of the series in its study", "SeriesNumber"),
    Column("series_description", _SERIES, _TEXT, "", "what the series is", "SeriesDescription"),
    Column("protocol", _SERIES, _TEXT, "", "acquisition protocol", "ProtocolName"),
    Column("manufacturer", _SERIES, _TEXT, "", "maker of the equipment, one spelling for each", ""),
    Column("manufacturer_received", _SERIES, _TEXT, "", "maker of the equipment as received", "Manufacturer"),
    Column("model", _SERIES, _TEXT, "", "model of the equipment", "ManufacturerModelName"),
    Column("station", _SERIES, _TEXT, "", "name of the station", "StationName"),
    Column("software", _SERIES, _TEXT, "", "software versions of the equipment", "SoftwareVersions"),
    Column("device_serial", _SERIES, _TEXT, "", "serial number of the equipment", "DeviceSerialNumber"),
    Column("department", _SERIES, _TEXT, "", "department where it was acquired", "InstitutionalDepartmentName"),
    Column("frame_of_reference_uid", _SERIES, _TEXT, "", "Frame of Reference UID", "FrameOfReferenceUID"),
    Column("slice_thickness_mm", _SERIES, _REAL, "mm", "nominal slice thickness", "SliceThickness"),
    Column("spacing_between_slices_mm", _SERIES, _REAL, "mm", "centre to centre of slices", "SpacingBetweenSlices"),
    Column("pixel_spacing_mm", _SERIES, _REAL, "mm", "distance of rows (first value of Pixel Spacing)", "PixelSpacing"),
    Column("contrast_agent", _SERIES, _TEXT, "", "contrast or bolus agent", "ContrastBolusAgent"),
    Column("contrast_route", _SERIES, _TEXT, "", "how the contrast agent was given", "ContrastBolusRoute"),
    Column("kvp_kv", _SERIES, _REAL, "kV", "peak voltage of the X-ray tube", "KVP"),
    Column("tube_current_ma", _SERIES, _REAL, "mA", "current of the X-ray tube", "XRayTubeCurrent"),
    Column("exposure_time_ms", _SERIES, _REAL, "ms", "time of exposure", "ExposureTime"),
    Column("exposure_mas", _SERIES, _REAL, "mAs", "exposure; from exposure_uas where only that is there", "Exposure"),
    Column("exposure_uas", _SERIES, _REAL, "µAs", "exposure as received in microampere seconds", "ExposureInuAs"),
    Column("kernel", _SERIES, _TEXT, "", "convolution kernel", "ConvolutionKernel"),
    Column("ctdi_vol_mgy", _SERIES, _REAL, "mGy", "CT dose index CTDIvol", "CTDIvol"),
    Column("pitch", _SERIES, _REAL, "", "pitch of a helical scan", "SpiralPitchFactor"),
    Column("field_strength_t", _SERIES, _REAL, "T", "magnetic field strength; gauss were made tesla", ""),
    Column("field_strength_received", _SERIES, _REAL, "", "field strength as received", "MagneticFieldStrength"),
    Column("repetition_time_ms", _SERIES, _REAL, "ms", "repetition time TR", "RepetitionTime"),
    Column("echo_time_ms", _SERIES, _REAL, "ms", "echo time TE", "EchoTime"),
    Column("inversion_time_ms", _SERIES, _REAL, "ms", "inversion time TI", "InversionTime"),
    Column("echo_train_length", _SERIES, _INT, "", "lines of k-space an excitation", "EchoTrainLength"),
    Column("flip_angle_deg", _SERIES, _REAL, "deg", "flip angle", "FlipAngle"),
    Column("sequence", _SERIES, _TEXT, "", "scanning sequence (SE, GR ...)", "ScanningSequence"),
    Column("acquisition_type", _SERIES, _TEXT, "", "2D or 3D", "MRAcquisitionType"),
    Column("patient_position", _SERIES, _TEXT, "", "HFS, FFP ...: how the patient lay", "PatientPosition"),
    Column("stain", _SERIES, _TEXT, "", "substances that a slide was prepared with, joined by a backslash", ""),
    Column("specimen", _SERIES, _TEXT, "", "identifier of the specimen on a slide; identifying", ""),
    Column("container", _SERIES, _TEXT, "", "identifier of the slide; identifying", "ContainerIdentifier"),
    Column("objective_power", _SERIES, _REAL, "", "power of the objective that a slide was scanned with", ""),
    Column("series_announced", _SERIES, _INT, "", "instances that the sender says the series has", ""),
    Column("completeness", _SERIES, _TEXT, "", "complete, incomplete or accepted; absent while it may grow", ""),
    Column("sop_uid", _INSTANCE, _TEXT, "", "SOP Instance UID", "SOPInstanceUID"),
    Column("sop_class", _INSTANCE, _TEXT, "", "SOP Class UID", "SOPClassUID"),
    Column("transfer_syntax", _INSTANCE, _TEXT, "", "Transfer Syntax UID", "TransferSyntaxUID"),
    Column("image_type", _INSTANCE, _TEXT, "", "values of Image Type, joined by a backslash", "ImageType"),
    Column("instance_number", _INSTANCE, _INT, "", "number of the instance in its series", "InstanceNumber"),
    Column("plane", _INSTANCE, _TEXT, "", "axial, coronal or sagittal, whichever is nearest", ""),
    Column("slice_position_mm", _INSTANCE, _REAL, "mm", "position along the normal of the plane", ""),
    Column("orientation", _INSTANCE, _TEXT, "", "direction cosines of row and column", "ImageOrientationPatient"),
    Column("microns_per_pixel", _INSTANCE, _REAL, "µm", "distance of pixels of a slide, across", ""),
    Column("image_laterality", _INSTANCE, _TEXT, "", "L, R or B (both) of this image, normalised", ""),
    Column("image_laterality_received", _INSTANCE, _TEXT, "", "the same as received, upper case", "ImageLaterality"),
    Column("view", _INSTANCE, _TEXT, "", "view (AP, PA, LL, MLO ...), normalised", ""),
    Column("view_position", _INSTANCE, _TEXT, "", "view position as received, upper case", "ViewPosition"),
    Column("view_code", _INSTANCE, _TEXT, "", "code of the view as received, SCHEME:CODE", ""),
    Column("rows", _INSTANCE, _INT, "px", "height", "Rows"),
    Column("columns", _INSTANCE, _INT, "px", "width", "Columns"),
    Column("frames", _INSTANCE, _INT, "", "number of frames; absent when there are no pixels", "NumberOfFrames"),
    Column("bits_stored", _INSTANCE, _INT, "bit", "bits stored a sample", "BitsStored"),
    Column("photometric", _INSTANCE, _TEXT, "", "photometric interpretation", "PhotometricInterpretation"),
    Column("normalization", _INSTANCE, _INT, "", "version of the tables that it was normalised by", ""),
    Column("digest", _INSTANCE, _TEXT, "", "digest of the received bytes", ""),
    Column("pixel_digest", _INSTANCE, _TEXT, "", "digest of the encoded Pixel Data value", ""),
    Column("damage", _INSTANCE, _TEXT, "", "gone or rotten, when its bytes were so at their last scrubbing", ""),
    Column("size_bytes", _INSTANCE, _INT, "B", "size as received", ""),
    Column("findings", _INSTANCE, _TEXT, "", "what was odd about it, as code:Attribute, with blanks between", ""),
    Column("file_kind", _FILE, _TEXT, "", "nifti or slide", ""),
    Column("file_format", _FILE, _TEXT, "", "NIfTI-1, NIfTI-2 (in gzip), Aperio SVS, OME-TIFF, TIFF ...", ""),
    Column("file_name", _FILE, _TEXT, "", "name as received; identifying", ""),
    Column("file_patient", _FILE, _TEXT, "", "whom its BIDS name is about, sub-...; identifying", ""),
    Column("file_modality", _FILE, _TEXT, "", "Modality of its sidecar", ""),
    Column("width", _FILE, _INT, "px", "size of the first dimension", ""),
    Column("height", _FILE, _INT, "px", "size of the second dimension", ""),
    Column("depth", _FILE, _INT, "px", "size of the third dimension of a volume", ""),
    Column("volumes", _FILE, _INT, "", "product of a volume's further dimensions: times, directions", ""),
    Column("channels", _FILE, _INT, "", "samples a pixel of a slide", ""),
    Column("sample_type", _FILE, _TEXT, "", "int16, float32, uint8, rgb24 ...", ""),
    Column("spacing_x_mm", _FILE, _REAL, "mm", "distance of pixels in the first dimension", ""),
    Column("spacing_y_mm", _FILE, _REAL, "mm", "distance of pixels in the second dimension", ""),
    Column("spacing_z_mm", _FILE, _REAL, "mm", "distance of pixels in the third dimension", ""),
    Column("interval_s", _FILE, _REAL, "s", "time from one volume to the next", ""),
    Column("pyramid_levels", _FILE, _INT, "", "directories of tiles in a slide", ""),
    Column("magnification", _FILE, _REAL, "", "objective power of a slide", ""),
    Column("file_sidecar", _FILE, _TEXT, "", "fields of its JSON sidecar; identifying", ""),
    Column("file_digest", _FILE, _TEXT, "", "digest of the received bytes", ""),
    Column("file_size_bytes", _FILE, _INT, "B", "size as received", ""),
    Column("file_subject", _FILE, _TEXT, "", "the file's key name", ""),
    Column("subject", _PATIENT, _TEXT, "", "the patient's key name: a keyed hash, the same in the whole room", ""),
)

BY_NAME = {column.name: column for column in COLUMNS}

UPPER = frozenset(
    {
        *("body_part_examined", "sex", "modality_received", "laterality_received"),
        *("image_laterality_received", "view_position"),
    }
)
"""Columns of codes as received, which are kept in upper case."""


def columns_of(level: Level) -> list[Column]:
    """Return the columns that a row of `level` has: those of the level and of the levels above it."""
    if level is Level.FILE:
        return [column for column in COLUMNS if column.level is level]
    order = list(Level)
    return [column for column in COLUMNS if order.index(column.level) <= order.index(level)]
