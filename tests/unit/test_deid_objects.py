"""Objects that are no plain images: what stays of each class, what never leaves, and nothing planted in any of them."""

from collections.abc import Iterator
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
    for (
        keyword
    ) in """InstitutionName ReferringPhysicianName StudyDescription SeriesDescription OperatorsName StationName
      AccessionNumber ManufacturerModelName DeviceSerialNumber RetrieveURL PatientComments ContentCreatorName
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
