"""Facts in tables, FHIR bundles and HL7 messages: codes and numbers are taken, words are not, and what is left is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.canon import Json
from filmroom.catalog import facts, fhir, hl7
from filmroom.errors import Invalid
from filmroom.records import FactKind, Told, Unmatched

MESSAGE = r"""MSH|^~\&|LAB|NORTH|ROOM||20260203101500||ORU^R01|7|P|2.5.1
PID|1||999^^^SOUTH^PI~P1^^^NORTH&1.2.3&ISO^MR||Jones^Mary
OBR|1|PL1|FI1|24323-8^Panel^LN|||20260203090000+0100
OBX|1|NM|2160-0^Creatinine^LN||1.1|mg/dL|0.5-1.2||||F|||20260203093000
OBX|2|SN|L1^CRP^L^1988-5^C reactive protein^LN||<^5|mg/L|||||F
OBX|3|CWE|883-9^ABO group^LN||112144000^Group A^SCT||||||C
OBX|4|TX|18842-5^Summary^LN||Mrs Jones is well||||||F
OBX|5|NM|2161-8^x^LN||7||||||P
OBX|6|NM|2160-0^Creatinine^LN|2|1.3|mg/dL|||||D""".replace("\n", "\r")


def test_an_oru_s_results_are_the_patient_s_by_the_hospital_s_number() -> None:
    creatinine, protein, group, words, early, deleted = hl7.read(MESSAGE)
    assert isinstance(creatinine, Told) and isinstance(protein, Told)
    assert (creatinine.patient_id, creatinine.issuer, creatinine.name) == ("P1", "NORTH", "FI1:LN:2160-0")
    assert (creatinine.code, creatinine.value, creatinine.unit) == ("LN:2160-0", "1.1", "mg/dL")
    assert (creatinine.at, protein.at) == ("2026-02-03T09:30:00", "2026-02-03T09:00:00+01:00")
    assert (protein.code, protein.value) == ("LN:1988-5", "<5")
    assert isinstance(group, Told) and (group.value, group.meaning) == ("SCT:112144000", "ABO group")
    assert [words, early] == [
        Unmatched("message 1, result 4", "text-not-kept"),
        Unmatched("message 1, result 5", "not-final"),
    ]
    assert isinstance(deleted, Told) and deleted.value is None
    assert [facts.problem(each) for each in (creatinine, protein, group, deleted)] == [""] * 4


def test_messages_of_a_batch_are_told_apart_and_others_than_results_named() -> None:
    other = r"MSH|^~\&|ADT|NORTH|ROOM||20260203||ADT^A01|8|P|2.5"
    found = hl7.read(f"\x0b{MESSAGE}\x1c\r\n{other}\n{MESSAGE}")
    assert [each.place.partition(",")[0] for each in found].count("message 3") == 6
    assert Unmatched("message 2", "message-unknown") in found


@given(st.text(st.sampled_from("MSHOBXPID|^~\\&\r1F"), max_size=60))
def test_any_message_is_read(text: str) -> None:
    hl7.read(f"MSH|^~\\&|||||||ORU^R01\r{text}")


def test_text_without_a_message_is_invalid() -> None:
    with pytest.raises(Invalid):
        hl7.read("OBX|1|NM")


def bundle(**resource: Json) -> dict[str, Json]:
    patient: Json = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [
            {"value": "insurance"},
            {"value": "P1", "type": {"coding": [{"code": "MR"}]}, "assigner": {"display": "NORTH"}},
        ],
    }
    return {
        "resourceType": "Bundle",
        "entry": [{"resource": {"subject": {"reference": "Patient/p"}, "id": "o", **resource}}, {"resource": patient}],
    }


CREATININE: Json = {"coding": [{"system": "http://loinc.org", "code": "2160-0", "display": "Creatinine"}]}
RESULT: dict[str, Json] = {
    "resourceType": "Observation",
    "status": "final",
    "code": CREATININE,
    "effectiveDateTime": "2026-02-03",
    "valueQuantity": {"value": 1.1, "code": "mg/dL", "system": "http://unitsofmeasure.org"},
}


def test_a_bundle_s_results_and_conditions_are_the_patient_s() -> None:
    (result,) = fhir.read_facts(bundle(**RESULT))
    assert isinstance(result, Told) and facts.problem(result) == ""
    assert (result.patient_id, result.issuer, result.name) == ("P1", "NORTH", "Observation/o")
    assert (result.code, result.value, result.unit, result.at) == ("LN:2160-0", "1.1", "mg/dL", "2026-02-03")
    diagnosis: Json = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C34.1"}]}
    (condition,) = fhir.read_facts(bundle(resourceType="Condition", code=diagnosis, recordedDate="2026-02-03"))
    assert isinstance(condition, Told)
    assert (condition.kind, condition.code, condition.value) == (FactKind.CODE, "I10C:C34.1", "present")


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ({**RESULT, "status": "preliminary"}, "not-final"),
        ({**RESULT, "valueQuantity": None, "valueString": "Mrs Jones"}, "text-not-kept"),
        ({"resourceType": "DiagnosticReport"}, "text-not-kept"),
        ({**RESULT, "valueQuantity": None}, "value-missing"),
        ({**RESULT, "code": {"text": "creatinine"}}, "code-missing"),
        ({**RESULT, "effectiveDateTime": None}, "time-missing"),
        ({**RESULT, "subject": {"display": "Mrs Jones"}}, "patient-missing"),
    ],
)
def test_what_of_a_bundle_is_no_fact_is_told(resource: dict[str, Json], reason: str) -> None:
    (found,) = fhir.read_facts(bundle(**resource))
    assert reason in facts.REASONS
    assert (found.reason if isinstance(found, Unmatched) else facts.problem(found)) == reason


@pytest.mark.parametrize(
    ("columns", "cells", "reason"),
    [
        ("value", "P1,2160-0,2026-02-03,", "value-missing"),
        ("value", ",2160-0,2026-02-03,1", "patient-missing"),
        ("value", "P1,,2026-02-03,1", "code-missing"),
        ("value", "P1,2160-0,soon,1", "time-missing"),
        ("value", "P1,2160-0,2026-02-03,rather high", "not-a-code"),
        ("value", "P1,2160-0,2026-02-03,1,2", "cells-too-many"),
        ("kind", "P1,2160-0,2026-02-03,guess", "kind-unknown"),
        ("withdrawn", "P1,2160-0,2026-02-03,perhaps", "not-a-code"),
        ("kind", "P1,C34.1,2026-02-03,code", ""),
    ],
)
def test_a_row_that_is_no_fact_is_told_with_its_reason(columns: str, cells: str, reason: str) -> None:
    (found,) = facts.read_csv(f"patient_id,code,at,{columns}\n{cells}\n")
    assert (found.reason if isinstance(found, Unmatched) else facts.problem(found)) == reason
    assert reason in ("", *facts.REASONS)


@pytest.mark.parametrize("header", ["", "patient_id,code", "patient_id,code,at,colour", "patient_id,code,at,at"])
def test_a_header_that_is_not_understood_is_refused(header: str) -> None:
    with pytest.raises(Invalid):
        facts.read_csv(f"{header}\n")
