"""Which attributes tell who a patient is, as data: whose values must not survive anywhere in a copy.

This is not the allow-list (`profiles/`): an attribute outside this table is dropped all the same. The words of these
values are searched for in what is kept. Person names are known by their VR (PN) and need no row here. A row is a keyword,
or the keywords of a sequence and of an attribute in its items.
"""

from pydicom.dataset import Dataset

from filmroom.dicom.walk import FAILURES

IDENTIFIERS = frozenset(
    """PatientID OtherPatientIDs IssuerOfPatientID AccessionNumber StudyID AdmissionID DeviceSerialNumber
    StationName PatientTelephoneNumbers MedicalRecordLocator
    FillerOrderNumberImagingServiceRequest PlacerOrderNumberImagingServiceRequest RequestedProcedureID
    ScheduledProcedureStepID PerformedProcedureStepID ServiceEpisodeID DetectorID PlateID CassetteID GantryID GeneratorID
    PerformedStationName PerformedStationAETitle ScheduledStationName ScheduledStationAETitle RetrieveAETitle
    SourceApplicationEntityTitle SendingApplicationEntityTitle ReceivingApplicationEntityTitle TelephoneNumberTrial
    SpecimenIdentifier ContainerIdentifier ClinicalTrialSubjectID ClinicalTrialSubjectReadingID
    ReferringPhysicianTelephoneNumbers PersonTelephoneNumbers UniqueDeviceIdentifier
    LocalNamespaceEntityID UniversalEntityID InstitutionCodeSequence.CodeValue PatientInsurancePlanCodeSequence.CodeValue
    PersonIdentificationCodeSequence.CodeValue
    """.split()
)
"""Values that are one identifier each."""

PLACES = frozenset(
    """InstitutionName InstitutionAddress InstitutionalDepartmentName PatientAddress PersonAddress CountryOfResidence
    RegionOfResidence ReferringPhysicianAddress CurrentPatientLocation PatientInstitutionResidence Occupation
    RequestingService PerformedLocation ScheduledProcedureStepLocation AddressTrial MilitaryRank BranchOfService
    InstitutionCodeSequence.CodeMeaning PatientInsurancePlanCodeSequence.CodeMeaning
    PersonIdentificationCodeSequence.CodeMeaning
    """.split()
)
"""Values whose words point to a place or institution; words of the lexicons ("hospital", "research") are no terms."""

STATIONS = frozenset(
    """StationName PerformedStationName ScheduledStationName PerformedStationAETitle ScheduledStationAETitle RetrieveAETitle
    SourceApplicationEntityTitle SendingApplicationEntityTitle ReceivingApplicationEntityTitle DeviceSerialNumber
    UniqueDeviceIdentifier DetectorID PlateID CassetteID GantryID GeneratorID
    """.split()
)
"""Of these identifiers those of a machine, under one of its names: where one of them may stay, the others tell no more."""

CONCEPTS = frozenset(
    """113870 113871 113872 113873 113877 113880 121008 121009 121013 121016 121017 121020 121021 121022 121029 121030
    121040 121041 121043 121088 121114 121121 121122 121148 121193 121196 121197 111700 111705 128774 128775
    """.split()
)
"""Concepts of DCM (PS3.16 D) whose text in a report is one identifier or name."""

PLACEHOLDERS = frozenset(
    """anon anonymous anonymized anonymised deidentified removed none null nil unknown unnamed undefined empty
    not available name patient subject test dummy default other first last noname nnn xxx
    """.split()
)
"""Stand-ins that tools write instead of an identifier; they identify nobody."""


def tells(item: Dataset) -> bool:
    """Say whether the text of a content item is one identifier or name, by its concept. Never raises."""
    try:
        name = item["ConceptNameCodeSequence"].value[0]
        return str(name["CodingSchemeDesignator"].value) == "DCM" and str(name["CodeValue"].value) in CONCEPTS
    except FAILURES:
        return False
