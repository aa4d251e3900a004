"""The shipped profiles do what PS3.15 Annex E asks for, row by row, and their copies say so.

Nothing may stay that Table E.1-1 removes under a profile's options. Where a profile drops what the table only empties,
replaces, cleans or keeps, the attribute is named here with the reason.
"""

import csv
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from filmroom.deid import profile, table, verify
from filmroom.deid.apply import Applied, apply
from filmroom.deid.policy import METHOD
from filmroom.deid.profile import Action, Profile
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import required

NAMES = profile.shipped()
VECTOR = Path(__file__).parents[1] / "vectors" / "annex_e_in_iods.csv"
WITHIN = {row["keyword"]: row["required"].split() for row in csv.DictReader(VECTOR.read_text("utf-8").splitlines())}
"""What the standard gives to the classes of the profiles, and the classes whose objects must have it."""

SEQUENCES = "is only in sequences that are dropped whole"
MODULES = "belongs to an optional module that is dropped whole"
FREE_TEXT = "is text that anybody can have written anything into"
HOSPITAL = "is about the hospital's course of events, no part of the image"
UNUSED = "is a moment of a step that nothing which is kept refers to"
NOWHERE = "relates to what no copy holds"
STRICTER = {
    SEQUENCES: """AttributeModificationDateTime CertificateOfSigner CertifiedTimestamp ContextGroupLocalVersion
        ContextGroupVersion ContributionDateTime ContributionDescription Date DateTime DecompositionDescription
        DeviceAlternateIdentifier DeviceLabel DigitalSignatureDateTime DigitalSignatureUID EntityLongLabel
        FunctionalSyncPulse InterventionDrugStartTime InterventionDrugStopTime LongDeviceDescription
        ManufacturerDeviceIdentifier ModifyingSystem MultienergyAcquisitionDescription
        ObservationStartDateTime PatientSetupPhotoDescription PatientTreatmentPreparationMethodDescription
        PatientTreatmentPreparationProcedureParameterDescription PersonIdentificationCodeSequence PersonName
        ReasonForTheAttributeModification RetrieveAETitle RTAccessoryDeviceSlotID RTAccessoryHolderSlotID RTPlanLabel
        SourceEndDateTime SourceOfPreviousValues SourceStartDateTime StorageMediaFileSetUID TargetUID Time
        TreatmentSite UID XRayDetectorLabel XRaySourceID LensMake LensModel LensSerialNumber
        LensSpecification ModifyingDeviceID""",
    MODULES: """ClinicalTrialCoordinatingCenterName ClinicalTrialProtocolEthicsCommitteeName ClinicalTrialProtocolID
        ClinicalTrialProtocolName ClinicalTrialSeriesDescription ClinicalTrialSiteID ClinicalTrialSiteName
        ClinicalTrialSponsorName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialTimePointDescription
        ClinicalTrialTimePointID ContainerDescription PyramidDescription PyramidLabel SpecimenDetailedDescription
        SpecimenShortDescription""",
    FREE_TEXT: """AcquisitionContextDescription AdditionalPatientHistory AdmittingDiagnosesDescription Allergies
        CommentsOnRadiationDose CommentsOnThePerformedProcedureStep EthnicGroup FrameComments ImageComments
        MedicalAlerts Occupation PatientComments PatientState ReasonForTheRequestedProcedure ReasonForVisit
        RequestedProcedureDescription ScheduledProcedureStepDescription ServiceEpisodeDescription
        AcquisitionProtocolDescription BeamDescription BolusDescription ChannelDerivationDescription
        CompensatorDescription DeviceSettingDescription DoseReferenceDescription FilterLookupTableDescription
        FixationDeviceDescription FractionGroupDescription LabelText MakerNote PrescriptionDescription ROIDescription
        ROIGenerationDescription RTPlanDescription RespiratoryMotionCompensationTechniqueDescription
        SetupTechniqueDescription ShieldingDeviceDescription StructureSetDescription WaveformFilterDescription""",
    HOSPITAL: """AdmittingDiagnosesCodeSequence ConsultingPhysicianName InstanceCoercionDateTime LastMenstrualDate
        ReasonForRequestedProcedureCodeSequence ReasonForVisitCodeSequence RequestAttributesSequence RequestingService
        SOPAuthorizationDateTime TimezoneOffsetFromUTC TreatmentSessionUID PerformedStationName
        PerformedStationGeographicLocationCodeSequence PerformedStationNameCodeSequence ScheduledProcedureStepLocation
        ScheduledStationGeographicLocationCodeSequence ScheduledStationName ScheduledStationNameCodeSequence
        ScheduledStudyLocation FillerOrderNumberImagingServiceRequest PlacerOrderNumberImagingServiceRequest
        ParticipationDateTime StationAETitle VerificationDateTime VerifyingObserverIdentificationCodeSequence
        VerifyingObserverName VerifyingObserverSequence VerifyingOrganization""",
    UNUSED: """CalibrationDateTime EndAcquisitionDateTime ExclusionStartDateTime GPSDateStamp
        ImpedanceMeasurementDateTime ROIDateTime ROIObservationDateTime SelectorDTValue SourceStrengthReferenceDate
        SourceStrengthReferenceTime StartAcquisitionDateTime""",
    NOWHERE: """ConceptualVolumeUID FiducialUID MultiplexGroupUID ObservationUID ReferencedConceptualVolumeUID
        ReferencedDoseReferenceUID SourceConceptualVolumeUID TableTopPositionAlignmentUID""",
    "names a device or a palette, which no use of the pixels asks for": """InstanceCreatorUID ManufacturerDeviceClassUID
        PaletteColorLookupTableUID DeviceUID XRayDetectorID HardcopyCreationDeviceID""",
    "is of no class that a profile lets through": """SelectorASValue SourceManufacturer SourceSerialNumber""",
}
OF_OTHERS = frozenset(
    """ContentSequence DoseReferenceUID GraphicAnnotationSequence ROIInterpreter ROIName ReferencedDateTime
    ReferencedFrameOfReferenceUID ReviewDate ReviewTime StructureSetDate StructureSetLabel StructureSetTime
    UnformattedTextValue""".split()
)
"""What only reports, plans and presentations have, of which the strictest profile lets none through."""
NAMED = {keyword for words in STRICTER.values() for keyword in words.split()}


def _rows(loaded: Profile) -> list[tuple[str, int, str]]:
    """Return keyword, tag and action asked for of every row about one attribute that pydicom knows."""
    tags = [int(row.tag, 16) for row in table.shipped().attributes if "x" not in row.tag and row.tag != table.PRIVATE]
    rows = ((keyword_for_tag(tag), tag, table.shipped().attribute(tag)) for tag in tags)
    return [(keyword, tag, row.action(loaded.options)) for keyword, tag, row in rows if keyword and row]


def _dropped(loaded: Profile) -> set[str]:
    """Return what no class keeps in any form, and the table does not remove; the file header is made anew."""
    kept = {tag for rules in loaded.rules.values() for tag in rules}
    rows = [(keyword, asked) for keyword, tag, asked in _rows(loaded) if tag not in kept and tag >> 16 != 2]
    return {keyword for keyword, asked in rows if asked == "K" or (keyword in WITHIN and "X" not in asked)}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_stays_that_the_table_removes_empties_or_replaces(name: str) -> None:
    loaded = profile.load(name)
    asked = {tag: action for _, tag, action in _rows(loaded)}
    done = {(tag, rule.action) for rules in loaded.rules.values() for tag, rule in rules.items() if tag in asked}
    assert len(done) > 30
    stays = {(tag, action) for tag, action in done if action in (Action.KEEP, Action.RETAIN)}
    assert {asked[tag] for tag, _ in stays} <= {"K", "C", "X/Z/U*"}
    assert {asked[tag] for tag, action in done if action is Action.RETAIN} <= {"K"}
    emptied = {asked[tag] for tag, action in done if action is Action.EMPTY}
    assert emptied <= {"Z", "X/Z", "X/Z/D", "Z/D", "C"}
    assert {asked[tag] for tag, action in done if action is Action.UID} <= {"U", "K"}
    assert "X" not in {asked[tag] for tag, _ in done}


@pytest.mark.parametrize("name", NAMES)
def test_what_an_object_must_have_is_in_every_copy_of_its_class(name: str) -> None:
    loaded = profile.load(name)
    needed = [
        (keyword, uid)
        for keyword, _, asked in _rows(loaded)
        if asked != "X"
        for uid in WITHIN.get(keyword, ())
        if uid in loaded.rules
    ]
    assert len(needed) > 200
    assert {uid for _, uid in needed} == loaded.rules.keys(), "of every class something is asked"
    assert [(keyword, uid) for keyword, uid in needed if tag_for_keyword(keyword) not in loaded.rules[uid]] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_an_object_must_have_a_value_of_has_one_in_every_copy(name: str) -> None:
    loaded = profile.load(name)
    without = {
        (found.place, uid)
        for uid, rules in loaded.rules.items()
        for found in required.lacking(
            uid, {tag: _filled(tag) for tag, rule in rules.items() if rule.action != Action.EMPTY}
        )
    }
    assert without == {("ICCProfile", COLOURED_MR)}, "bytes in which anything can be hidden"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_dropped_though_the_table_would_not_is_named_with_the_reason(name: str) -> None:
    assert _dropped(profile.load(name)) - NAMED - (OF_OTHERS if name == "basic" else set()) == set()


def test_nothing_is_named_that_is_not_dropped() -> None:
    assert NAMED - {keyword for name in NAMES for keyword in _dropped(profile.load(name))} == set()


COLOURED_MR = "1.2.840.10008.5.1.4.1.1.4.3"


def _filled(tag: int) -> RawDataElement:
    return RawDataElement(Tag(tag), "UN", 2, b"7 ", 0, False, True)


CT_CODES = {
    "basic": "113100",
    "research": "113100 113105 113107 113108 113109",
    "internal-pseudonymous": "113100 113105 113107 113108 113109 113112",
}


def _source() -> Dataset:
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.PatientName, dataset.PatientSex, dataset.PatientAge = "Zander^Otto", "M", "041Y"
    dataset.StationName, dataset.DeviceSerialNumber = "CT-07", "SN 4711-A"
    dataset.InstitutionName, dataset.InstitutionAddress = "Universitätsklinik Süd", "Ringstraße 1"
    dataset.InstitutionalDepartmentName = "Radiology of Dr. Zander"
    return dataset


def _bytes(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def _copy(dataset: Dataset, name: str) -> Dataset:
    made = apply(_bytes(dataset), profile.load(name), Pseudonyms(bytes(32)))
    assert isinstance(made, Applied)
    return pydicom.dcmread(BytesIO(made.data))


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_says_what_was_done_to_it(name: str) -> None:
    copy, loaded = _copy(_source(), name), profile.load(name)
    assert copy.PatientIdentityRemoved == "YES"
    assert list(copy.DeidentificationMethod) == [METHOD, f"profile {name}", loaded.digest.hex[:32]]
    assert [item.CodeValue for item in copy.DeidentificationMethodCodeSequence] == CT_CODES[name].split()
    assert {item.CodingSchemeDesignator for item in copy.DeidentificationMethodCodeSequence} == {"DCM"}
    assert copy.LongitudinalTemporalInformationModified == ("REMOVED" if name == "basic" else "MODIFIED")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("said", ["YES", "NO", None])
def test_nothing_is_said_about_pixels_that_the_sender_did_not_say(name: str, said: str | None) -> None:
    source = _source()
    if said:
        source.BurnedInAnnotation = source.RecognizableVisualFeatures = said
    copy = _copy(source, name)
    assert copy.get("BurnedInAnnotation") == copy.get("RecognizableVisualFeatures") == said
    assert {"113101", "113102"}.isdisjoint(item.CodeValue for item in copy.DeidentificationMethodCodeSequence)


def test_devices_and_institutions_are_named_where_an_option_says_so_and_nowhere_else() -> None:
    source = _source()
    research, internal = _copy(source, "research"), _copy(source, "internal-pseudonymous")
    assert (research.StationName, research.DeviceSerialNumber) == ("CT-07", "SN 4711-A")
    assert "InstitutionName" not in research
    assert internal.InstitutionName == "Universitatsklinik Sud"
    assert not internal.InstitutionAddress  # a letter without an ASCII form
    assert not internal.InstitutionalDepartmentName  # has the patient's name in it
    assert not {"StationName", "DeviceSerialNumber", "InstitutionName"} & {
        each.keyword for each in _copy(source, "basic")
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_verifier_lets_pass_what_an_option_keeps_and_nothing_of_the_patient(name: str) -> None:
    source, loaded = _source(), profile.load(name)
    forbidden = verify.identifiers(_bytes(source), 1)
    copy = _copy(source, name)
    assert isinstance(verify.verify(_bytes(copy), forbidden, loaded), verify.Passed)
    for keyword, text in (("StationName", "Zander CT"), ("InstitutionName", "Klinik Zander")):
        leaking = pydicom.dcmread(BytesIO(_bytes(copy)))
        setattr(leaking, keyword, text)
        verdict = verify.verify(_bytes(leaking), forbidden, loaded)
        assert isinstance(verdict, verify.Residue)
        assert not verdict.needs_eyes_only


def test_a_device_is_searched_for_where_the_profile_does_not_keep_it() -> None:
    source = _source()
    forbidden = verify.identifiers(_bytes(source))
    assert "ct-07" in forbidden.terms
    assert "ct-07" not in forbidden.but(profile.load("research").retained).terms
    assert "zander" in forbidden.but(profile.load("internal-pseudonymous").retained).terms
