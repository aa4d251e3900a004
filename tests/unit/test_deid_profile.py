"""Profiles are data; a wrong one is refused with the place of the fault."""

from pathlib import Path

import pytest

from filmroom.deid import profile
from filmroom.errors import Invalid, NotFound
from filmroom.ids import Digest

GOOD = profile.load("research").text
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize("name", profile.shipped())
def test_a_shipped_profile_loads_under_its_own_name(name: str) -> None:
    loaded = profile.load(name)
    assert loaded.name == name
    assert loaded.digest == Digest.of(loaded.text.encode())
    assert len(loaded.rules) >= 20


@pytest.mark.parametrize("name", profile.shipped())
def test_no_document_recording_spectrum_or_raw_data_has_rules(name: str) -> None:
    refused = {"104.1", "104.2", "104.3", "66", "4.2", "9.4.1", "66.6", "77.1.1.1"}
    assert not {f"1.2.840.10008.5.1.4.1.1.{end}" for end in refused} & profile.load(name).rules.keys()


def test_the_codes_say_what_the_rules_do() -> None:
    research = [code for code, _ in profile.codes(profile.load("research"), CT)]
    assert research == ["113100", "113105", "113107", "113108", "113109"]
    internal = [code for code, _ in profile.codes(profile.load("internal-pseudonymous"), CT)]
    assert internal == [*research, "113112"]
    assert [code for code, _ in profile.codes(profile.load("basic"), CT)] == ["113100"]


def test_a_site_s_own_profile_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(GOOD.replace('name = "research"', 'name = "own"'), encoding="utf-8")
    assert profile.load(str(path)).name == "own"


def test_a_profile_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="nowhere"):
        profile.load("nowhere")


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('name = "research"', "name = research", "line"),
        ('options = """clean', 'options = """tidy clean', "tidy"),
        ('options = """clean', 'options = """retain-uids clean', "retain-uids"),
        ('options = """clean', 'options = """retain-institution-identity clean', "retain-institution-identity"),
        ("retain-modified-dates ", "", "AcquisitionDate"),
        ("clean-descriptors ", "", "AcquisitionDeviceProcessingDescription"),
        ("retain-patient-characteristics ", "", "EthnicGroupCodeSequence"),
        (" retain-device-identity", "", "CassetteID"),
        ('retain = "DeviceSerialNumber', 'retain = "InstitutionName DeviceSerialNumber', "InstitutionName"),
        ('retain = "DeviceSerialNumber', 'retain = "BodyPartExamined DeviceSerialNumber', "BodyPartExamined"),
        ('retain = "DeviceSerialNumber', 'retain = "ImageComments DeviceSerialNumber', "ImageComments"),
        ('name = "research"', 'name = "Not A Name"', "name"),
        ('name = "research"', 'title = "research"', "title"),
        ('keep = "PatientSex', 'keep = "PatientName PatientSex', "PatientName"),
        ('keep = "PatientSex', 'keep = "StudyDate PatientSex', "StudyDate"),
        ('keep = "PatientSex', 'keep = "SOPInstanceUID PatientSex', "SOPInstanceUID"),
        ('keep = "PatientSex', 'keep = "EncapsulatedDocument PatientSex', "EncapsulatedDocument"),
        ('keep = "PatientSex', 'keep = "PatientSecks', "PatientSecks"),
        ('keep = "PatientSex', 'guard = "PatientSex', "guard"),
        ('pseudonym = "PatientName PatientID"', 'pseudonym = "PatientName"', "PatientID"),
        ('"CT Image Storage" = "instance', '"CT Image Storage" = "nothing', "nothing"),
        ('"CT Image Storage"', '"CT Picture Storage"', "CT Picture Storage"),
    ],
)
def test_a_fault_is_named(before: str, after: str, named: str) -> None:
    assert before in GOOD
    text = GOOD.replace(before, after, 1)
    with pytest.raises(Invalid, match=named):
        profile.parse(text)


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("clean-structured-content", "", "ContentSequence"),
        ("[concepts.keep]", "[concepts.empty]", "concepts.empty"),
        ("[concepts.keep]", "[concepts.keep.deeper]", "concepts.keep.deeper"),
        ('[concepts.keep]\nDCM = """', '[concepts.keep]\nLOCAL = ""\nDCM = """', "LOCAL"),
        ('[concepts.clean-descriptor]\nDCM = """', '[concepts.clean-descriptor]\nDCM = """113000 ', "113000"),
    ],
)
def test_a_fault_in_the_list_of_content_items_is_named(before: str, after: str, named: str) -> None:
    assert before in GOOD
    with pytest.raises(Invalid, match=named):
        profile.parse(GOOD.replace(before, after, 1))


def test_content_items_that_the_standard_removes_stay_of_no_value_type_that_it_names() -> None:
    barred = profile.load("research").barred
    assert (("DCM", "121018"), "UIDREF") in barred
    assert (("DCM", "121030"), "TEXT") in barred
    assert (("DCM", "121106"), "TEXT") not in barred
