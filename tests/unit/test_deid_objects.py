"""Objects that are no plain images: what stays of each class, what never leaves, and nothing planted in any of them."""

import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from filmroom.deid import profile, verify
from filmroom.deid.apply import Applied, NotApplied, apply
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.records import Severity

STORAGE = "1.2.840.10008.5.1.4.1.1."
RESEARCH = profile.load("research")
BORN, STUDIED = "19300214", "20210511"
STUDY = f"1.2.999.1.{STUDIED}.482913"
LITTLE, DEFLATED, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"


class Plants:
    """Hands out one token a place, and finds those that are left."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def next(self) -> str:
        self.tokens.append(f"ZQ{len(self.tokens):02}PLNT")
        return self.tokens[-1]

    def left_in(self, data: bytes) -> list[str]:
        lowered = data.lower()
        forms = ("utf-8", "utf-16-le", "utf-16-be")
        return [token for token in self.tokens if any(token.lower().encode(form) in lowered for form in forms)]


def stem(sop_class: str, modality: str, plants: Plants) -> Dataset:
    """Return what every object has, with a token in each text."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = UID(STORAGE + sop_class), UID(f"{STUDY}.1.1")
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, f"{STUDY}.1", f"{STUDY}.9"
    ds.Modality, ds.StudyDate, ds.SeriesDate, ds.ContentDate = modality, STUDIED, STUDIED, STUDIED
    ds.StudyTime = ds.ContentTime = "101112"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate = plants.next(), f"{plants.next()}^{plants.next()}", BORN
    ds.PatientAge, ds.PatientSex = "095Y", "F"
    for keyword in """InstitutionName ReferringPhysicianName StudyDescription SeriesDescription OperatorsName
      AccessionNumber ManufacturerModelName RetrieveURL PatientComments ContentCreatorName
      ContentDescription ContentLabel""".split():
        setattr(ds, keyword, plants.next())
    ds.private_block(0x0009, plants.next(), create=True).add_new(1, "LO", plants.next())
    return ds


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def reference(sop_class: str = "2", end: str = "7") -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(STORAGE + sop_class), UID(f"{STUDY}.{end}")
    return item


def with_items(**sequences: Dataset | list[Dataset]) -> Dataset:
    """Return an item that has these sequences."""
    holder = Dataset()
    for keyword, items in sequences.items():
        setattr(holder, keyword, Sequence([items] if isinstance(items, Dataset) else items))
    return holder


def image(ds: Dataset, *, bits: int = 16, samples: int = 1) -> Dataset:
    ds.Rows = ds.Columns = 4
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = samples, "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits, bits - 1, 0
    ds.PixelData = bytes(range(1, 1 + 2 * samples * bits))
    ds["PixelData"].VR = "OW" if bits > 8 else "OB"
    return ds


def written(ds: Dataset, syntax: str = LITTLE) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    out = BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def copied(data: bytes) -> Applied:
    copy = apply(data, RESEARCH, Pseudonyms(b"k" * 32))
    assert isinstance(copy, Applied), copy
    return copy


def refused(data: bytes, name: str = "research") -> Iterator[str]:
    copy = apply(data, profile.load(name), Pseudonyms(b"k" * 32))
    assert isinstance(copy, NotApplied)
    return (reason.code for reason in copy.reasons)


def judged(data: bytes, copy: bytes | None = None) -> verify.Passed | verify.Residue:
    return verify.verify(copied(data).data if copy is None else copy, verify.identifiers(data), RESEARCH)


def faults(data: bytes, copy: bytes) -> set[str]:
    verdict = judged(data, copy)
    return {finding.code for finding in verdict.findings if finding.severity is Severity.ERROR}


def cleanly(ds: Dataset, plants: Plants) -> Dataset:
    """Return the copy, after nothing planted was found in it and the verifier passed it."""
    data = written(ds)
    assert set(plants.left_in(data)) == set(plants.tokens)
    copy = copied(data)
    assert plants.left_in(copy.data) == []
    assert not any(text.encode() in copy.data for text in (STUDY, BORN, STUDIED, "095Y"))
    verdict = judged(data, copy.data)
    assert isinstance(verdict, verify.Passed), verdict.findings
    return pydicom.dcmread(BytesIO(copy.data))


# -- what never leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", profile.shipped())
@pytest.mark.parametrize(
    ("sop_class", "why"),
    [
        (STORAGE + "104.1", "document"),
        (STORAGE + "104.2", "document"),
        (STORAGE + "104.3", "document"),
        ("1.2.840.10008.1.3.10", "medium"),
        (STORAGE + "66", "raw data"),
        (STORAGE + "4.2", "spectra"),
        (STORAGE + "9.4.1", "speak"),
        (STORAGE + "77.1.1.1", "seen"),
        (STORAGE + "66.5", "packed"),
        (STORAGE + "66.6", "packed"),
        (STORAGE + "91.1", "packed"),
        ("1.2.840.10008.5.1.4.38.1", "hanging protocol"),
        ("1.2.840.10008.5.1.4.39.1", "palette"),
        (STORAGE + "481.8", "nobody wrote rules"),
        ("1.2.3.4.5", "does not know"),
    ],
)
def test_a_class_that_nobody_can_clean_is_refused_with_the_reason(sop_class: str, why: str, name: str) -> None:
    ds = stem("2", "OT", Plants())
    ds.SOPClassUID = UID(sop_class)
    copy = apply(written(ds), profile.load(name), Pseudonyms(b"k" * 32))
    assert isinstance(copy, NotApplied)
    [reason] = [reason for reason in copy.reasons if reason.code == "sop-class-not-supported"]
    assert why in reason.detail and "ZQ" not in reason.detail


@pytest.mark.parametrize(
    "file",
    [
        "orthanc-server+orthanc-setup-samples/docker/move-instances-filter/samples/OT000000.dcm",
        "pydicom+pydicom/src/pydicom/data/test_files/dicomdirtests/DICOMDIR",
        "pydicom+pydicom/src/pydicom/data/palettes/spring.dcm",
        "nroduit+weasis-dicom-tools/weasis-dicom-tools/src/test/resources/org/weasis/dicom/hp/NeurosurgeryPlan.dcm",
        "ImagingDataCommons+highdicom/data/test_files/sm_annotations.dcm",
    ],
)
def test_real_ones_are_refused_too(corpus: Path, file: str) -> None:
    assert "sop-class-not-supported" in refused((corpus / file).read_bytes())


def test_a_picture_inside_an_item_does_not_pass() -> None:
    """An icon can show what was blanked, and no picture but the object's own is looked at."""
    ds = image(stem("2", "CT", Plants()))
    icon = image(Dataset(), bits=8)
    ds.SharedFunctionalGroupsSequence = Sequence([icon])
    ds.SOPClassUID = UID(STORAGE + "2.1")
    data = written(ds)
    copy = pydicom.dcmread(BytesIO(copied(data).data))
    assert "PixelData" not in copy.SharedFunctionalGroupsSequence[0]
    copy.SharedFunctionalGroupsSequence[0].add(icon["PixelData"])
    assert "not-allowed" in faults(data, written(copy))


# -- reports -------------------------------------------------------------------------------------------------------

REPORTS = {"88.11": "Basic Text", "88.22": "Enhanced", "88.33": "Comprehensive", "88.34": "3D", "88.67": "dose"}


def item(kind: str, concept: tuple[str, str] | None, *below: Dataset, relation: str = "CONTAINS") -> Dataset:
    found = Dataset()
    found.RelationshipType, found.ValueType = relation, kind
    if concept:
        found.ConceptNameCodeSequence = Sequence([coded(*concept, "")])
    if kind == "CONTAINER":
        found.ContinuityOfContent = "SEPARATE"
    if below:
        found.ContentSequence = Sequence(below)
    return found


def valued(kind: str, concept: tuple[str, str] | None, keyword: str, value: object, *below: Dataset) -> Dataset:
    found = item(kind, concept, *below)
    setattr(found, keyword, value)
    return found


def measured(concept: tuple[str, str], value: str, unit: Dataset, *below: Dataset) -> Dataset:
    number = with_items(MeasurementUnitsCodeSequence=unit)
    number.NumericValue = value
    return valued("NUM", concept, "MeasuredValueSequence", Sequence([number]), *below)


def pointing(*path: int) -> Dataset:
    found = Dataset()
    found.RelationshipType, found.ReferencedContentItemIdentifier = "INFERRED FROM", list(path)
    return found


MM = coded("mm", "UCUM", "millimetre")
FINDING, LENGTH, COMMENT = ("121071", "DCM"), ("410668003", "SCT"), ("121106", "DCM")
GROUP, LOCAL = ("125007", "DCM"), ("77", "99HOSPITAL")


def report(sop_class: str, plants: Plants, *content: Dataset, title: tuple[str, str] = ("126000", "DCM")) -> Dataset:
    ds = stem(sop_class, "SR", plants)
    ds.ValueType, ds.ContinuityOfContent, ds.CompletionFlag = "CONTAINER", "SEPARATE", "COMPLETE"
    ds.ConceptNameCodeSequence = Sequence([coded(*title, plants.next())])
    ds.VerificationFlag = "VERIFIED"
    observer = with_items(VerifyingObserverIdentificationCodeSequence=coded("4711", "99HOSPITAL", plants.next()))
    observer.VerifyingObserverName, observer.VerifyingOrganization = plants.next(), plants.next()
    observer.VerificationDateTime = f"{STUDIED}101112"
    ds.VerifyingObserverSequence = Sequence([observer])
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "1500"
    ds.ContentTemplateSequence = Sequence([template])
    series = with_items(ReferencedSOPSequence=reference())
    series.SeriesInstanceUID, series.RetrieveAETitle = f"{STUDY}.3", plants.next()
    evidence = with_items(ReferencedSeriesSequence=series)
    evidence.StudyInstanceUID = STUDY
    ds.CurrentRequestedProcedureEvidenceSequence = Sequence([evidence])
    ds.ContentSequence = Sequence(content)
    return ds


def every_kind_of_item(plants: Plants) -> list[Dataset]:
    image = valued("IMAGE", None, "ReferencedSOPSequence", Sequence([reference()]))
    image.RelationshipType = "SELECTED FROM"
    region = valued("SCOORD", None, "GraphicData", [1.0, 2.0, 3.0, 4.0], image)
    region.GraphicType = "POLYLINE"
    return [
        valued("PNAME", ("121008", "DCM"), "PersonName", f"{plants.next()}^{plants.next()}"),
        valued("TEXT", ("121030", "DCM"), "TextValue", plants.next()),
        valued("TEXT", LOCAL, "TextValue", plants.next()),
        valued("TEXT", FINDING, "TextValue", f"nodule in the right lung of {plants.next()}, seen 11 May 2021"),
        valued("TEXT", ("113705", "DCM"), "TextValue", f"lung {plants.next()}"),
        valued("UIDREF", ("112040", "DCM"), "UID", f"{STUDY}.55"),
        valued("DATETIME", ("113809", "DCM"), "DateTime", f"{STUDIED}101112"),
        valued("CODE", FINDING, "ConceptCodeSequence", Sequence([coded("27925004", "SCT", plants.next())])),
        valued("CODE", FINDING, "ConceptCodeSequence", Sequence([coded("12", "99HOSPITAL", plants.next())])),
        item("CONTAINER", GROUP, measured(LENGTH, "12.5", MM, region)),
        item("CONTAINER", LOCAL, measured(LENGTH, "3", MM)),
        measured(LENGTH, "8", coded("span", "99HOSPITAL", plants.next())),
    ]


def shape(holder: Dataset) -> list[object]:
    """Return the value types of a tree."""
    return [(str(each.get("ValueType")), shape(each)) for each in holder.get("ContentSequence", ())]


@pytest.mark.parametrize("sop_class", REPORTS, ids=REPORTS.values())
def test_a_report_keeps_the_items_whose_concept_is_known_and_nothing_planted(sop_class: str) -> None:
    plants = Plants()
    copy = cleanly(report(sop_class, plants, *every_kind_of_item(plants)), plants)
    region: list[object] = [("SCOORD", [("IMAGE", [])])]
    assert shape(copy) == [
        ("PNAME", []),
        ("TEXT", []),
        ("UIDREF", []),
        ("DATETIME", []),
        ("CODE", []),
        ("CONTAINER", [("NUM", region)]),
    ]
    name, text, uid, moment, code, group = copy.ContentSequence
    assert name.PersonName == "REMOVED"
    assert text.TextValue == "nodule in the right lung of"
    assert uid.UID.startswith("2.25.")
    assert moment.DateTime[8:] == "101112"
    assert code.ConceptCodeSequence[0].CodeMeaning == "Nodule"
    assert group.ContentSequence[0].MeasuredValueSequence[0].NumericValue == 12.5
    assert copy.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert copy.VerificationFlag == "UNVERIFIED" and "VerifyingObserverSequence" not in copy
    [evidence] = copy.CurrentRequestedProcedureEvidenceSequence
    assert evidence.StudyInstanceUID == copy.StudyInstanceUID


def test_a_key_object_selection_keeps_its_references() -> None:
    plants = Plants()
    image = valued("IMAGE", None, "ReferencedSOPSequence", Sequence([reference()]))
    words = valued("TEXT", ("113012", "DCM"), "TextValue", f"{plants.next()} lung nodule")
    copy = cleanly(report("88.59", plants, words, image, title=("113000", "DCM")), plants)
    assert shape(copy) == [("TEXT", []), ("IMAGE", [])]
    mapped = Pseudonyms(b"k" * 32).uid(f"{STUDY}.7")
    assert copy.ContentSequence[1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == mapped


def test_references_between_items_follow_to_where_the_items_are() -> None:
    plants = Plants()
    copy = cleanly(
        report(
            "88.33",
            plants,
            valued("TEXT", LOCAL, "TextValue", plants.next()),
            item("CONTAINER", GROUP, measured(LENGTH, "1", MM), measured(LENGTH, "2", MM)),
            item("CONTAINER", GROUP, pointing(1, 2, 2), pointing(1, 1), measured(LENGTH, "3", MM)),
        ),
        plants,
    )
    pointer, number = copy.ContentSequence[1].ContentSequence
    assert pointer.ReferencedContentItemIdentifier == [1, 1, 2]
    assert number.MeasuredValueSequence[0].NumericValue == 3


def test_a_report_of_a_local_kind_and_one_of_which_nothing_may_stay_are_refused() -> None:
    plants = Plants()
    [reason] = refused(written(report("88.11", plants, measured(LENGTH, "1", MM), title=LOCAL)))
    assert reason == "report-not-known"
    [reason] = refused(written(report("88.11", plants, valued("TEXT", LOCAL, "TextValue", "lung"))))
    assert reason == "report-empty"


def test_a_report_without_content_or_with_a_picture_is_refused() -> None:
    ds = report("88.11", Plants())
    del ds.ContentSequence
    assert list(refused(written(ds))) == ["content-missing"]
    assert list(refused(written(image(report("88.11", Plants(), measured(LENGTH, "1", MM)))))) == [
        "pixel-data-unexpected"
    ]
    assert list(refused(written(ds), "basic")).count("sop-class-not-supported") == 1


def test_whom_a_report_names_is_searched_for_in_its_other_texts() -> None:
    plants = Plants()
    named = [
        valued("TEXT", ("121030", "DCM"), "TextValue", "LUNG"),
        valued("PNAME", ("121008", "DCM"), "PersonName", "NODULE^CHEST"),
        valued("TEXT", FINDING, "TextValue", "lung nodule in left chest"),
    ]
    copy = cleanly(report("88.11", plants, *named), plants)
    assert copy.ContentSequence[-1].TextValue == "in left"


def put(at: int, **values: object) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds.ContentSequence[at], keyword, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        put(0, ConceptNameCodeSequence=Sequence([coded("121030", "DCM", "")])),
        put(0, ConceptNameCodeSequence=Sequence([])),
        put(0, ConceptNameCodeSequence=Sequence([coded("125007", "DCM", "")])),
        put(0, ValueType="NUM"),
        put(0, Time="101112"),
        put(0, RelationshipType=""),
        put(1, ContentSequence=Sequence([pointing(1, 9)])),
        put(1, ContentSequence=Sequence([pointing(1, 1), item("SCOORD", None)])),
        lambda ds: setattr(ds, "VerificationFlag", "VERIFIED"),
        lambda ds: setattr(ds, "ConceptNameCodeSequence", Sequence([coded("121030", "DCM", "")])),
        lambda ds: setattr(ds, "ContentSequence", Sequence([])),
    ],
)
def test_the_verifier_passes_no_tree_that_is_not_whole_or_not_known(change: Callable[[Dataset], None]) -> None:
    plants = Plants()
    data = written(report("88.33", plants, valued("TEXT", FINDING, "TextValue", "lung"), measured(LENGTH, "1", MM)))
    copy = pydicom.dcmread(BytesIO(copied(data).data))
    change(copy)
    assert faults(data, written(copy)) & {"content-item", "required-missing"}


@pytest.mark.parametrize(
    "file",
    [
        "dcmjs-org+dcmjs/test/sample-sr.dcm",
        "dcmjs-org+dcmjs/examples/data/structured_report.dcm",
        "ImagingDataCommons+highdicom/data/test_files/sr_document.dcm",
        "ImagingDataCommons+highdicom/data/test_files/sr_document_with_multiple_groups.dcm",
    ],
)
def test_a_measurement_report_of_the_corpus_ends_clean(corpus: Path, file: str) -> None:
    verdict = judged((corpus / file).read_bytes())
    assert isinstance(verdict, verify.Passed)
    assert (verdict.record["frames"], verdict.coverage.frames_present) == (0, 0)


# -- radiotherapy, presentations, registrations, maps --------------------------------------------------------------


def structures(plants: Plants) -> Dataset:
    ds = stem("481.3", "RTSTRUCT", plants)
    for keyword in ("StructureSetLabel", "StructureSetName", "StructureSetDescription", "ReviewerName"):
        setattr(ds, keyword, plants.next())
    ds.StructureSetDate, ds.StructureSetTime, ds.ApprovalStatus = STUDIED, "101112", "UNAPPROVED"
    images = with_items(ContourImageSequence=reference())
    images.SeriesInstanceUID = f"{STUDY}.3"
    study = with_items(RTReferencedSeriesSequence=images)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = UID("1.2.840.10008.3.1.2.3.1"), STUDY
    frame = with_items(RTReferencedStudySequence=study)
    frame.FrameOfReferenceUID = f"{STUDY}.9"
    ds.ReferencedFrameOfReferenceSequence = Sequence([frame])
    region, observed = Dataset(), Dataset()
    region.ROINumber, region.ROIName = 1, f"GTV lung left {plants.next()}"
    region.ROIDescription, region.ReferencedFrameOfReferenceUID = plants.next(), f"{STUDY}.9"
    region.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
    ds.StructureSetROISequence = Sequence([region])
    contour = with_items(ContourImageSequence=reference())
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 2
    contour.ContourData = ["1.5", "2", "-3", "4", "5", "6"]
    drawn = with_items(ContourSequence=contour)
    drawn.ReferencedROINumber, drawn.ROIDisplayColor = 1, [255, 0, 0]
    ds.ROIContourSequence = Sequence([drawn])
    observed.ObservationNumber, observed.ReferencedROINumber, observed.RTROIInterpretedType = 1, 1, "GTV"
    observed.ROIInterpreter, observed.ROIObservationDescription = plants.next(), plants.next()
    ds.RTROIObservationsSequence = Sequence([observed])
    return ds


def test_a_structure_set_keeps_its_contours_and_the_medical_part_of_its_names() -> None:
    plants = Plants()
    copy = cleanly(structures(plants), plants)
    [region], [drawn], [observed] = (
        copy.StructureSetROISequence,
        copy.ROIContourSequence,
        copy.RTROIObservationsSequence,
    )
    assert (region.ROIName, region.ROIGenerationAlgorithm) == ("GTV lung left", "SEMIAUTOMATIC")
    assert region.ReferencedFrameOfReferenceUID == copy.FrameOfReferenceUID
    assert drawn.ContourSequence[0].ContourData == [1.5, 2, -3, 4, 5, 6]
    assert drawn.ContourSequence[0].ContourGeometricType == "CLOSED_PLANAR"
    assert (observed.RTROIInterpretedType, str(observed.ROIInterpreter)) == ("GTV", "")
    assert copy.StructureSetLabel == "REMOVED" and "StructureSetDescription" not in copy
    study = copy.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    assert study.ReferencedSOPInstanceUID == copy.StudyInstanceUID


def test_a_plan_keeps_its_beams_and_names_nobody() -> None:
    plants = Plants()
    ds = stem("481.5", "RTPLAN", plants)
    ds.RTPlanLabel, ds.RTPlanName, ds.RTPlanDescription = plants.next(), plants.next(), plants.next()
    ds.RTPlanDate, ds.RTPlanGeometry, ds.ApprovalStatus = STUDIED, "PATIENT", "APPROVED"
    ds.ReviewDate, ds.ReviewerName = STUDIED, plants.next()
    dose, beam, point = Dataset(), Dataset(), Dataset()
    dose.DoseReferenceUID, dose.DoseReferenceDescription = f"{STUDY}.44", plants.next()
    dose.DoseReferenceNumber, dose.DoseReferenceStructureType, dose.DoseReferenceType = 1, "SITE", "TARGET"
    ds.DoseReferenceSequence = Sequence([dose])
    group = Dataset()
    group.FractionGroupNumber, group.NumberOfFractionsPlanned, group.FractionGroupDescription = 1, 30, plants.next()
    ds.FractionGroupSequence = Sequence([group])
    beam.BeamNumber, beam.BeamName, beam.BeamDescription = 1, f"arc 1 {plants.next()}", plants.next()
    beam.BeamType, beam.RadiationType, beam.PrimaryDosimeterUnit = "DYNAMIC", "PHOTON", "MU"
    beam.InstitutionName = plants.next()
    point.ControlPointIndex, point.GantryAngle, point.GantryRotationDirection = 0, "179.9", "CC"
    beam.ControlPointSequence = Sequence([point])
    ds.BeamSequence = Sequence([beam])
    copy = cleanly(ds, plants)
    [beam] = copy.BeamSequence
    assert (beam.BeamName, beam.BeamType, beam.RadiationType, beam.PrimaryDosimeterUnit) == (
        "arc 1",
        "DYNAMIC",
        "PHOTON",
        "MU",
    )
    assert (beam.ControlPointSequence[0].GantryAngle, copy.RTPlanGeometry) == (179.9, "PATIENT")
    assert copy.DoseReferenceSequence[0].DoseReferenceUID.startswith("2.25.")


def presentation(plants: Plants) -> Dataset:
    ds = stem("11.1", "PR", plants)
    ds.PresentationCreationDate, ds.PresentationCreationTime = STUDIED, "101112"
    series = with_items(ReferencedImageSequence=reference())
    series.SeriesInstanceUID = f"{STUDY}.3"
    ds.ReferencedSeriesSequence = Sequence([series])
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [512, 512]
    area.PresentationSizeMode = "SCALE TO FIT"
    ds.DisplayedAreaSelectionSequence = Sequence([area])
    words, drawing, layer = Dataset(), Dataset(), Dataset()
    words.UnformattedTextValue = plants.next()
    drawing.GraphicAnnotationUnits, drawing.GraphicDimensions, drawing.NumberOfGraphicPoints = "PIXEL", 2, 2
    drawing.GraphicData, drawing.GraphicType, drawing.GraphicFilled = [1.0, 2.0, 30.0, 40.0], "POLYLINE", "N"
    annotation = with_items(TextObjectSequence=words, GraphicObjectSequence=drawing)
    only_text = with_items(TextObjectSequence=words)
    layer.GraphicLayer = annotation.GraphicLayer = only_text.GraphicLayer = plants.next()
    layer.GraphicLayerOrder, layer.GraphicLayerDescription = 1, plants.next()
    ds.GraphicAnnotationSequence, ds.GraphicLayerSequence = Sequence([only_text, annotation]), Sequence([layer])
    window = Dataset()
    window.WindowCenter, window.WindowWidth, window.WindowCenterWidthExplanation = "40", "400", plants.next()
    ds.SoftcopyVOILUTSequence = Sequence([window])
    for tag, vr in (((0x6000, 0x3000), "OW"), ((0x6000, 0x4000), "LT"), ((0x6000, 0x1500), "LO")):
        value = plants.next()
        ds.add_new(tag, vr, value.encode() if vr == "OW" else value)
    return ds


def test_a_presentation_state_keeps_what_it_displays_and_draws_and_no_words() -> None:
    plants = Plants()
    copy = cleanly(presentation(plants), plants)
    [annotation] = copy.GraphicAnnotationSequence
    assert "TextObjectSequence" not in annotation
    assert annotation.GraphicObjectSequence[0].GraphicData == [1, 2, 30, 40]
    assert annotation.GraphicLayer == copy.GraphicLayerSequence[0].GraphicLayer == "REMOVED"
    assert copy.DisplayedAreaSelectionSequence[0].PresentationSizeMode == "SCALE TO FIT"
    assert copy.SoftcopyVOILUTSequence[0].WindowWidth == 400
    assert not [element for element in copy if element.tag.group == 0x6000]
    assert "113103" in [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]


def lookup(*entries: int) -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [len(entries), 0, 16])
    table.add_new("LUTData", "US", list(entries))
    return table


def test_a_lookup_table_stays_as_it_is_unless_it_could_be_text() -> None:
    ramp = list(range(0x3000, 0x7000, 64))
    for entries, stays in ((ramp, True), ([5, 1, 9], True), ([0x5150, 0x4C50, 0x544E, 0x515A], False)):
        ds = presentation(Plants())
        ds.SoftcopyVOILUTSequence = Sequence([with_items(VOILUTSequence=lookup(*entries))])
        data = written(ds)
        if not stays:
            assert list(refused(data)) == ["table-not-cleanable"]
            continue
        copy = pydicom.dcmread(BytesIO(copied(data).data))
        assert copy.SoftcopyVOILUTSequence[0].VOILUTSequence[0].LUTData == entries
        assert isinstance(judged(data), verify.Passed)
        copy.SoftcopyVOILUTSequence[0].VOILUTSequence[0].LUTData = [0x5150, 0x4C50, 0x544E, 0x515A]
        assert "text-in-numbers" in faults(data, written(copy))


def test_a_registration_keeps_its_matrix_and_relates_the_new_frames_of_reference() -> None:
    plants = Plants()
    ds = stem("66.1", "REG", plants)
    matrix = Dataset()
    matrix.FrameOfReferenceTransformationMatrixType = "RIGID"
    matrix.FrameOfReferenceTransformationMatrix = list(map(str, [1, 0, 0, 12.25, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]))
    one = with_items(MatrixRegistrationSequence=with_items(MatrixSequence=matrix), ReferencedImageSequence=reference())
    one.FrameOfReferenceUID, one.ImageComments = f"{STUDY}.9", plants.next()
    one.MatrixRegistrationSequence[0].FrameOfReferenceTransformationComment = plants.next()
    ds.RegistrationSequence = Sequence([one])
    copy = cleanly(ds, plants)
    [one] = copy.RegistrationSequence
    assert one.FrameOfReferenceUID == copy.FrameOfReferenceUID
    [matrix] = one.MatrixRegistrationSequence[0].MatrixSequence
    assert matrix.FrameOfReferenceTransformationMatrix[3] == 12.25


def real_world(plants: Plants) -> Dataset:
    mapped = with_items(MeasurementUnitsCodeSequence=coded("HU", "UCUM", plants.next()))
    mapped.LUTExplanation, mapped.LUTLabel = plants.next(), plants.next()
    mapped.RealWorldValueIntercept, mapped.RealWorldValueSlope = -1024.0, 1.0
    return with_items(RealWorldValueMappingSequence=mapped, ReferencedImageSequence=reference())


def test_a_real_world_value_mapping_keeps_its_numbers() -> None:
    plants = Plants()
    ds = stem("67", "RWV", plants)
    ds.ReferencedImageRealWorldValueMappingSequence = Sequence([real_world(plants)])
    copy = cleanly(ds, plants)
    [one] = copy.ReferencedImageRealWorldValueMappingSequence
    assert one.RealWorldValueMappingSequence[0].RealWorldValueIntercept == -1024


def parametric_map(plants: Plants) -> Dataset:
    ds = image(stem("30", "MR", plants))
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.BitsAllocated, ds.FloatPixelData = 32, struct.pack("<16f", *range(16))
    ds.ImageType = ["DERIVED", "PRIMARY", "OTHER"]
    ds.SharedFunctionalGroupsSequence = Sequence([real_world(plants)])
    return ds


def test_a_parametric_map_keeps_its_numbers_and_hides_nothing_in_them() -> None:
    plants = Plants()
    ds = parametric_map(plants)
    copy = cleanly(ds, plants)
    assert copy.FloatPixelData == ds.FloatPixelData
    data = written(ds)
    assert {finding.code for finding in judged(data).findings} == {"pixels-not-read"}
    longer = parametric_map(plants)
    longer.FloatPixelData += b"ZQHIDDEN"
    assert b"ZQHIDDEN" not in copied(written(longer)).data
    copy.FloatPixelData += b"ZQHIDDEN"
    assert {"pixel-length"} <= faults(data, written(copy))
    longer.FloatPixelData = longer.FloatPixelData[:60]
    assert list(refused(written(longer))) == ["pixel-data-short"]
    longer.add_new("PixelData", "OW", bytes(32))
    assert "pixel-data-unexpected" in refused(written(longer))


@pytest.mark.parametrize(
    "file",
    [
        "qurit+rt-utils/tests/mock_data/rt.dcm",
        "pydicom+pydicom/src/pydicom/data/test_files/rtstruct.dcm",
        "pydicom+pydicom/src/pydicom/data/test_files/rtplan.dcm",
        "nroduit+weasis-dicom-tools/weasis-dicom-tools/src/test/resources/org/dcm4che3/img/prLUTs.dcm",
        "nroduit+weasis-dicom-tools/weasis-dicom-tools/src/test/resources/org/dcm4che3/img/prOverlay.dcm",
        "pydicom+pydicom-data/data_store/data/parametric_map_float.dcm",
        "pydicom+pydicom-data/data_store/data/parametric_map_double_float.dcm",
    ],
)
def test_plans_structures_presentations_and_maps_of_the_corpus_end_clean(corpus: Path, file: str) -> None:
    assert isinstance(judged((corpus / file).read_bytes()), verify.Passed)


# -- waveforms -----------------------------------------------------------------------------------------------------

ECGS = {"9.1.1": "12 leads", "9.1.2": "general", "9.1.3": "ambulatory", "9.2.1": "haemodynamic", "9.6.1": "respiratory"}
SAMPLES = struct.pack("<8h", 1, -2, 3, -4, 5, -6, 7, -8)


def waveform(sop_class: str, plants: Plants) -> Dataset:
    ds = stem(sop_class, "ECG", plants)
    channel = with_items(ChannelSourceSequence=coded("2:2", "MDC", plants.next()))
    channel.ChannelLabel, channel.ChannelSensitivity, channel.WaveformBitsStored = f"Lead II {plants.next()}", "2.5", 16
    group = with_items(ChannelDefinitionSequence=[channel, channel])
    group.MultiplexGroupLabel, group.WaveformOriginality = plants.next(), "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples, group.SamplingFrequency = 2, 4, "500"
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new("WaveformData", "OW", SAMPLES)
    ds.WaveformSequence = Sequence([group])
    said, number, mark, local = Dataset(), Dataset(), Dataset(), Dataset()
    said.UnformattedTextValue, local.NumericValue = f"sinus rhythm, confirmed by {plants.next()}", "60"
    number.ConceptNameCodeSequence = Sequence([coded("5.10.2.1-3", "SCPECG", plants.next())])
    number.NumericValue, number.MeasurementUnitsCodeSequence = "982", Sequence([coded("ms", "UCUM", "")])
    mark.ConceptNameCodeSequence = Sequence([coded("5.7.1-3", "SCPECG", plants.next())])
    mark.TemporalRangeType, mark.ReferencedSamplePositions = "POINT", [2]
    local.ConceptNameCodeSequence = Sequence([coded("77", "99HOSPITAL", plants.next())])
    local.MeasurementUnitsCodeSequence = Sequence([coded("/min", "UCUM", "")])
    only_name = Dataset()
    only_name.UnformattedTextValue = plants.next()
    annotations = [said, number, mark, local, only_name]
    for each in annotations:
        each.ReferencedWaveformChannels, each.AnnotationGroupNumber = [1, 0], 0
    ds.WaveformAnnotationSequence = Sequence(annotations)
    context = valued("TEXT", ("121030", "DCM"), "TextValue", plants.next())
    ds.AcquisitionContextSequence = Sequence([context])
    return ds


@pytest.mark.parametrize("sop_class", ECGS, ids=ECGS.values())
def test_a_waveform_keeps_its_samples_and_channels_and_no_name_in_its_annotations(sop_class: str) -> None:
    plants = Plants()
    copy = cleanly(waveform(sop_class, plants), plants)
    [group] = copy.WaveformSequence
    assert group.WaveformData == SAMPLES
    assert group.ChannelDefinitionSequence[1].ChannelLabel == "Lead II"
    assert group.ChannelDefinitionSequence[1].ChannelSourceSequence[0].CodeValue == "2:2"
    said, number, mark = copy.WaveformAnnotationSequence
    assert said.UnformattedTextValue == "sinus rhythm by"
    assert (number.NumericValue, number.ConceptNameCodeSequence[0].CodeValue) == (982, "5.10.2.1-3")
    assert mark.ReferencedSamplePositions == 2
    assert not copy.AcquisitionContextSequence


def test_samples_are_compared_with_the_source_s_and_have_nothing_behind_them() -> None:
    plants = Plants()
    ds = waveform("9.1.1", plants)
    ds.WaveformSequence[0].WaveformData += b"ZQHIDDEN"
    data = written(ds)
    assert b"ZQHIDDEN" not in copied(data).data
    assert isinstance(judged(data), verify.Passed)
    for changed, code in ((SAMPLES[:-1] + b"\1", "samples-differ"), (SAMPLES + b"ZQHIDDEN", "samples-length")):
        copy = pydicom.dcmread(BytesIO(copied(data).data))
        copy.WaveformSequence[0].WaveformData = changed
        assert code in faults(data, written(copy))
    ds.WaveformSequence[0].WaveformData = SAMPLES[:-4]
    assert "samples-differ" in faults(written(ds), copied(written(ds)).data)


def test_the_ecg_of_the_corpus_ends_clean_with_its_measurements(corpus: Path) -> None:
    data = (corpus / "pydicom+pydicom/src/pydicom/data/test_files/waveform_ecg.dcm").read_bytes()
    assert isinstance(judged(data), verify.Passed)
    copy = pydicom.dcmread(BytesIO(copied(data).data))
    assert len(copy.WaveformAnnotationSequence) > 60
    assert "RITMO" not in str(copy)


# -- images of more kinds ------------------------------------------------------------------------------------------

SCANNED = ("2.2", "4.4", "128.1", "130", "13.1.1", "13.1.2", "13.1.3")
LOOKED_AT = (
    """4.3 1.3 1.3.1 13.1.4 13.1.5 12.1.1 12.2.1 6.2 14.1 14.2 77.1.2 77.1.3 77.1.5.4 77.1.6 481.1 1.1 6.1""".split()
)
PHOTOGRAPHS = ("77.1.1", "77.1.4", "77.1.5.1", "77.1.5.2", "77.1.7")


def picture(sop_class: str, plants: Plants) -> Dataset:
    """Return an image with a token in every text that slides, frames and cameras have."""
    ds = image(stem(sop_class, "OT", plants))
    region = Dataset()
    region.RegionSpatialFormat, region.RegionFlags, region.RegionLocationMinX0 = 1, 2, 3
    ds.SequenceOfUltrasoundRegions = Sequence([region])
    for keyword in "ContainerIdentifier LabelText BarcodeValue ImageComments LensMake CameraSerialNumber".split():
        if pydicom.datadict.tag_for_keyword(keyword):
            setattr(ds, keyword, plants.next())
    ds.SpecimenLabelInImage = "NO"
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = plants.next()
    step = with_items(SpecimenPreparationStepContentItemSequence=valued("TEXT", FINDING, "TextValue", plants.next()))
    specimen = with_items(SpecimenPreparationSequence=step, IssuerOfTheSpecimenIdentifierSequence=issuer)
    specimen.SpecimenIdentifier, specimen.SpecimenUID = plants.next(), f"{STUDY}.66"
    specimen.SpecimenShortDescription, specimen.SpecimenDetailedDescription = plants.next(), plants.next()
    ds.SpecimenDescriptionSequence = Sequence([specimen])
    ds.IssuerOfTheContainerIdentifierSequence = Sequence([issuer])
    path = with_items(IlluminationTypeCodeSequence=coded("111744", "DCM", plants.next()))
    path.OpticalPathIdentifier, path.OpticalPathDescription, path.ObjectiveLensPower = "1", plants.next(), "20"
    path.ICCProfile = plants.next().encode()
    ds.OpticalPathSequence = Sequence([path])
    frame = with_items(FrameContentSequence=Dataset(), IconImageSequence=image(Dataset(), bits=8))
    frame.FrameContentSequence[0].FrameComments, frame.FrameContentSequence[0].FrameLabel = plants.next(), plants.next()
    frame.FrameContentSequence[0].FrameAcquisitionDateTime = f"{STUDIED}101112"
    frame.IconImageSequence[0].PixelData = plants.next().encode()
    for tag, vr in (((0x6000, 0x3000), "OW"), ((0x6000, 0x4000), "LT")):
        value = plants.next()
        frame.add_new(tag, vr, value.encode() if vr == "OW" else value)
    frame.private_block(0x0021, plants.next(), create=True).add_new(1, "UN", plants.next().encode("utf-16-le"))
    ds.SharedFunctionalGroupsSequence = Sequence([frame])
    ds.PerFrameFunctionalGroupsSequence = Sequence([Dataset()])
    ds.ConcatenationUID, ds.InConcatenationNumber = f"{STUDY}.77", 1
    ds.SOPInstanceUIDOfConcatenationSource = f"{STUDY}.78"
    ds.AcquisitionContextSequence = Sequence([valued("TEXT", ("121030", "DCM"), "TextValue", plants.next())])
    icon = image(Dataset(), bits=8)
    icon.PixelData = plants.next().encode()
    ds.IconImageSequence = Sequence([icon])
    return ds


def verdict_on(ds: Dataset, plants: Plants, name: str) -> verify.Passed | verify.Residue:
    data, using = written(ds), profile.load(name)
    assert set(plants.left_in(data)) == set(plants.tokens)
    copy = apply(data, using, Pseudonyms(b"k" * 32))
    assert isinstance(copy, Applied), copy
    assert plants.left_in(copy.data) == []
    assert not any(text.encode() in copy.data for text in (STUDY, BORN, STUDIED, "095Y"))
    return verify.verify(copy.data, verify.identifiers(data, 1), using)


@pytest.mark.parametrize("name", ["research", "basic"])
@pytest.mark.parametrize("sop_class", SCANNED)
def test_what_a_scanner_reconstructed_ends_clean_but_for_its_overlay(sop_class: str, name: str) -> None:
    plants = Plants()
    ds = picture(sop_class, plants)
    verdict = verdict_on(ds, plants, name)
    assert [(finding.code, finding.place) for finding in verdict.findings] == [("needs-eyes", "OverlayData")]
    for tag in ((0x6000, 0x3000), (0x6000, 0x4000)):
        plants.tokens.remove(str(ds.SharedFunctionalGroupsSequence[0][tag].value).strip("b'\""))
        del ds.SharedFunctionalGroupsSequence[0][tag]
    assert isinstance(verdict_on(ds, plants, name), verify.Passed)


@pytest.mark.parametrize("name", ["research", "basic"])
@pytest.mark.parametrize("sop_class", LOOKED_AT)
def test_other_images_lose_what_was_planted_and_need_eyes(sop_class: str, name: str) -> None:
    plants = Plants()
    if name == "basic" and sop_class == "481.1":
        return
    verdict = verdict_on(picture(sop_class, plants), plants, name)
    assert isinstance(verdict, verify.Residue)
    assert verdict.needs_eyes_only, verdict.findings


@pytest.mark.parametrize("sop_class", PHOTOGRAPHS)
def test_a_photograph_of_a_person_always_needs_eyes(sop_class: str) -> None:
    plants = Plants()
    ds = picture(sop_class, plants)
    ds.BurnedInAnnotation = ds.RecognizableVisualFeatures = "NO"
    verdict = verdict_on(ds, plants, "research")
    assert isinstance(verdict, verify.Residue)
    assert verdict.needs_eyes_only
    assert "RecognizableVisualFeatures" in {finding.place for finding in verdict.findings}


def test_a_slide_keeps_its_optical_path_and_its_specimen_without_their_names() -> None:
    plants = Plants()
    copy = pydicom.dcmread(BytesIO(copied(written(picture("77.1.6", plants))).data))
    [path], [specimen] = copy.OpticalPathSequence, copy.SpecimenDescriptionSequence
    assert (path.OpticalPathIdentifier, path.ObjectiveLensPower) == ("1", 20)
    assert path.IlluminationTypeCodeSequence[0].CodeValue == "111744" and "ICCProfile" not in path
    assert copy.ContainerIdentifier == specimen.SpecimenIdentifier == "REMOVED"
    assert specimen.SpecimenUID.startswith("2.25.") and not specimen.SpecimenPreparationSequence


@pytest.mark.parametrize(
    ("flavour", "label", "is_refused"),
    [
        ("VOLUME", "NO", False),
        ("VOLUME", None, False),
        ("VOLUME", "YES", True),
        ("LABEL", "NO", True),
        ("OVERVIEW", "NO", True),
        ("THUMBNAIL", "YES", True),
        ("THUMBNAIL", None, True),
        ("THUMBNAIL", "NO", False),
    ],
)
def test_an_image_that_can_show_a_slide_s_label_is_refused_by_both_sides(
    flavour: str, label: str | None, is_refused: bool
) -> None:
    ds = picture("77.1.6", Plants())
    ds.ImageType = ["ORIGINAL", "PRIMARY", flavour, "NONE"]
    volume = written(ds)
    if label is None:
        del ds.SpecimenLabelInImage
    else:
        ds.SpecimenLabelInImage = label
    data = written(ds)
    if not is_refused:
        assert isinstance(apply(data, RESEARCH, Pseudonyms(b"k" * 32)), Applied)
        return
    assert list(refused(data)) == ["label-in-image"]
    ds.ImageType, ds.SpecimenLabelInImage = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], "NO"
    copy = copied(written(ds)).data
    assert volume and "label-in-image" in faults(data, copy)


def test_a_part_of_a_concatenation_names_the_new_whole() -> None:
    plants = Plants()
    copy = pydicom.dcmread(BytesIO(copied(written(picture("13.1.3", plants))).data))
    mapped = Pseudonyms(b"k" * 32)
    assert copy.ConcatenationUID == mapped.uid(f"{STUDY}.77")
    assert copy.SOPInstanceUIDOfConcatenationSource == mapped.uid(f"{STUDY}.78")
    assert copy.InConcatenationNumber == 1


def test_an_ultrasound_keeps_its_regions() -> None:
    copy = pydicom.dcmread(BytesIO(copied(written(picture("6.1", Plants()))).data))
    assert copy.SequenceOfUltrasoundRegions[0].RegionFlags == 2


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("GoogleCloudPlatform+EZ-WSI-DICOMweb/ez_wsi_dicomweb/testdata/test.dcm", "label-in-image"),
        ("ImagingDataCommons+highdicom/data/test_files/sm_image.dcm", "needs-eyes"),
        ("dcmjs-org+dcmjs/test/sample-op.dcm", "needs-eyes"),
        ("open-ortho+dicom4ortho/test/resources/test.dcm", "needs-eyes"),
        ("pydicom+pynetdicom/pynetdicom/tests/dicom_files/RTImageStorage.dcm", "needs-eyes"),
    ],
)
def test_real_slides_and_photographs_are_refused_or_need_eyes(corpus: Path, file: str, code: str) -> None:
    data = (corpus / file).read_bytes()
    if code == "label-in-image":
        assert code in refused(data)
        return
    verdict = judged(data)
    assert isinstance(verdict, verify.Residue)
    assert verdict.needs_eyes_only
    assert {finding.code for finding in verdict.findings} == {code}
