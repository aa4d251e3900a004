"""Plants a token in every place where identity hides, and looks for it in the bytes of the copy."""

from collections.abc import Callable, Iterator
from io import BytesIO

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID

from filmroom.deid import profile, verify
from filmroom.deid.apply import Applied, apply
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom.parse import parse
from filmroom.dicom.walk import walk

CT, US = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1"
BORN, STUDIED = "19300214", "20210511"
STUDY_UID = f"1.2.999.1.{STUDIED}.482913"
TEXTS = """PatientName PatientID OtherPatientNames InstitutionName InstitutionAddress ReferringPhysicianName StudyDescription
 SeriesDescription ProtocolName ImageComments PatientComments DerivationDescription ManufacturerModelName SoftwareVersions
 StationName DeviceSerialNumber OperatorsName RetrieveURL AdmittingDiagnosesDescription TextString ContainerIdentifier
 SpecimenShortDescription DocumentTitle AccessionNumber StudyID BodyPartExamined PatientAddress PatientTelephoneNumbers
 AdditionalPatientHistory RequestingPhysician ContrastBolusAgent ConvolutionKernel Manufacturer TimezoneOffsetFromUTC
 PositionReferenceIndicator ScanOptions SequenceName TransducerData FilterType""".split()


class Plants:
    """Hands out one token a place."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def next(self) -> str:
        self.tokens.append(f"ZQ{len(self.tokens):02}PLNT")
        return self.tokens[-1]


def image(sop_class: str) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), UID(f"{STUDY_UID}.1.1")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = UID(STUDY_UID), UID(f"{STUDY_UID}.1")
    ds.FrameOfReferenceUID = UID(f"{STUDY_UID}.9")
    ds.Modality = "CT" if sop_class == CT else "US"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = STUDIED
    ds.AcquisitionDateTime = f"{STUDIED}101112.5"
    ds.PatientBirthDate, ds.PatientAge, ds.PatientSex = BORN, "095Y", "F"
    ds.StudyTime = ds.ContentTime = "101112"
    ds.Rows = ds.Columns = 4
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelSpacing, ds.ImagePositionPatient = ["0.5", "0.5"], ["0", "0", "1"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.PixelData = b"".join(value.to_bytes(2, "little") for value in range(100, 116))
    return ds


def nested(plants: Plants, ds: Dataset) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = plants.next(), "99LOCAL", plants.next()
    deep = Dataset()
    deep.PurposeOfReferenceCodeSequence = Sequence([code])
    deep.ReferencedSOPClassUID, deep.ReferencedSOPInstanceUID = UID(CT), UID(f"{STUDY_UID}.7")
    ds.SourceImageSequence = Sequence([deep])
    request = Dataset()
    request.RequestedProcedureDescription = plants.next()
    request.ScheduledProcedureStepDescription = plants.next()
    ds.RequestAttributesSequence = Sequence([request])
    modified, original = Dataset(), Dataset()
    modified.PatientName = plants.next()
    original.ModifiedAttributesSequence = Sequence([modified])
    ds.OriginalAttributesSequence = Sequence([original])
    graphic, text = Dataset(), Dataset()
    text.UnformattedTextValue = plants.next()
    graphic.TextObjectSequence = Sequence([text])
    ds.GraphicAnnotationSequence = Sequence([graphic])
    content = Dataset()
    content.TextValue, content.PersonName = plants.next(), plants.next()
    content.ConceptNameCodeSequence = Sequence([code])
    ds.ContentSequence = Sequence([content])


def odd_places(plants: Plants, ds: Dataset) -> None:
    block = ds.private_block(0x0009, plants.next(), create=True)
    block.add_new(0x01, "LO", plants.next())
    item = Dataset()
    item.add_new(0x00091002, "PN", plants.next())
    block.add_new(0x02, "SQ", Sequence([item]))
    block.add_new(0x03, "UN", plants.next().encode("utf-16-le"))
    for tag, vr in (
        ((0x6000, 0x3000), "OW"),
        ((0x5000, 0x3000), "OW"),
        ((0xFFFC, 0xFFFC), "OB"),
        ((0x0042, 0x0011), "OB"),
    ):
        ds.add(DataElement(Tag(tag), vr, plants.next().encode()))
    for tag, vr in (((0x6000, 0x4000), "LT"), ((0x6000, 0x1500), "LO"), ((0x0008, 0x0F0F), "LO")):
        ds.add(DataElement(Tag(tag), vr, plants.next()))
    ds.add(DataElement(Tag(0x0018, 0x9FF8), "UN", plants.next().encode()))
    icon = Dataset()
    icon.PixelData = plants.next().encode()
    icon["PixelData"].VR = "OB"
    ds.IconImageSequence = Sequence([icon])
    ds.ImageComments = f"{ds.ImageComments} seen 11 May 2021"


@pytest.fixture
def nasty() -> Callable[[str], tuple[bytes, list[str]]]:
    """A file of the SOP class with a token in every place, and the tokens."""

    def build(sop_class: str) -> tuple[bytes, list[str]]:
        plants, ds = Plants(), image(sop_class)
        for keyword in TEXTS:
            setattr(ds, keyword, plants.next())
        nested(plants, ds)
        odd_places(plants, ds)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
        ds.file_meta.SourceApplicationEntityTitle = plants.next()
        ds.file_meta.PrivateInformationCreatorUID = UID("1.2.3.4")
        ds.file_meta.PrivateInformation = plants.next().encode()
        ds.preamble = plants.next().encode().ljust(128, b"\0")
        out = BytesIO()
        pydicom.dcmwrite(out, ds, enforce_file_format=True)
        return out.getvalue(), plants.tokens

    return build


@pytest.mark.parametrize("name", profile.shipped())
@pytest.mark.parametrize("sop_class", [CT, US])
def test_no_planted_token_is_left_but_the_names_that_an_option_keeps(
    nasty: Callable[[str], tuple[bytes, list[str]]], sop_class: str, name: str
) -> None:
    data, tokens = nasty(sop_class)
    copy = applied(data, name)
    assert len(tokens) > 60
    retained = {str(pydicom.dcmread(BytesIO(data)).get(keyword)) for keyword in profile.load(name).retained}
    survivors = [token for token in tokens if any(form in copy.data.lower() for form in spellings(token))]
    assert survivors == [token for token in tokens if token in retained]
    planted = [STUDIED.encode(), BORN.encode(), STUDY_UID.encode(), b"095Y", b"11 May"]
    assert all(plant in data for plant in planted)
    assert [plant for plant in planted if plant in copy.data] == []


@pytest.mark.parametrize("name", profile.shipped())
def test_the_verifier_agrees_that_the_nasty_ct_is_clean_but_for_its_overlay(
    nasty: Callable[[str], tuple[bytes, list[str]]], name: str
) -> None:
    data, _ = nasty(CT)
    verdict = verify.verify(applied(data, name).data, verify.identifiers(data), profile.load(name))
    assert isinstance(verdict, verify.Residue)
    assert verdict.needs_eyes_only
    assert [finding.place for finding in verdict.findings] == ["OverlayData"]


def test_what_was_planted_is_found_when_it_does_survive(nasty: Callable[[str], tuple[bytes, list[str]]]) -> None:
    data, _ = nasty(CT)
    verdict = verify.verify(data, verify.identifiers(data), profile.load("research"))
    assert isinstance(verdict, verify.Residue)
    codes = {finding.code for finding in verdict.findings}
    assert {
        "preamble",
        "file-meta",
        "private",
        "not-allowed",
        "identifier-in-bytes",
        "identifier-survives",
        "uid-survives",
        "date-survives",
        "method",
    } <= codes


def test_the_same_object_gives_the_same_bytes(nasty: Callable[[str], tuple[bytes, list[str]]]) -> None:
    data, _ = nasty(US)
    assert applied(data, "research").data == applied(data, "research").data


def test_no_repr_shows_a_value(nasty: Callable[[str], tuple[bytes, list[str]]]) -> None:
    data, tokens = nasty(CT)
    shown = repr(verify.identifiers(data)) + repr(applied(data, "research")) + repr(walk(data)) + repr(parse(data))
    assert [token for token in tokens if token.lower() in shown.lower()] == []


def applied(data: bytes, name: str) -> Applied:
    copy = apply(data, profile.load(name), Pseudonyms(b"k" * 32))
    assert isinstance(copy, Applied), copy
    return copy


def spellings(token: str) -> Iterator[bytes]:
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        yield token.encode(encoding).lower()
