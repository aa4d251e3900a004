"""Results and codes come from other systems: they find their patient or are told, and are put right later."""

import pytest

from filmroom.errors import NotFound

HEADER = "patient_id,issuer,scheme,code,value,unit,at,name,withdrawn\n"


@pytest.fixture
def filled(world, make_ct):
    """P1 of one hospital, and a P2 in each of two."""
    world.deliver("a", make_ct("P1"))
    world.deliver("b", make_ct("P2", IssuerOfPatientID="north"))
    world.deliver("c", make_ct("P2", 2, 2, IssuerOfPatientID="south", StudyInstanceUID="1.2.3"))
    world.room.receive([world.inbox], "ct-1")
    return world


def tell(world, *rows):
    return world.room.import_facts(world.deliver("facts.csv", (HEADER + "\n".join(rows)).encode()))


def test_a_fact_finds_its_patient_or_is_told_and_the_same_file_changes_nothing(filled) -> None:
    rows = (
        "P1,,LN,2160-0,1.1,mg/dL,2026-02-03T09:00:00,c1,",
        "P1,,LN,1988-5,<5,mg/L,2026-02-04,,",
        "P2,north,LN,2160-0,0.9,mg/dL,2026-02-03,c2,",
        "P2,,LN,2160-0,0.8,mg/dL,2026-02-03,c3,",
        "P3,,LN,2160-0,0.7,mg/dL,2026-02-03,c4,",
        "P1,,LN,2160-0,,,2026-02-03,c9,yes",
    )
    first, second = tell(filled, *rows), tell(filled, *rows)
    assert (first.added, first.corrected, first.withdrawn) == (3, 0, 0)
    assert [(each.place, each.reason) for each in first.unmatched] == [
        ("line 5", "patient-ambiguous"),
        ("line 6", "patient-unknown"),
        ("line 7", "nothing-to-withdraw"),
    ]
    assert (second.added, second.corrected, second.unmatched) == (0, 0, first.unmatched)
    assert [(fact.code, fact.value, fact.at) for fact in filled.room.facts("P1")] == [
        ("LN:2160-0", "1.1", "2026-02-03T09:00:00"),
        ("LN:1988-5", "<5", "2026-02-04T00:00:00"),
    ]
    assert {fact.subject for fact in filled.room.facts("P2")} == {
        row["subject"] for row in filled.room.query("issuer = 'north'", level="patient").rows
    }
    with pytest.raises(NotFound):
        filled.room.facts("P3")


def test_a_result_is_put_right_and_taken_back_and_the_log_says_so_without_its_value(filled) -> None:
    tell(filled, "P1,,LN,2160-0,1.1,mg/dL,2026-02-03,c1,")
    corrected = tell(filled, "P1,,LN,2160-0,1.7654,mg/dL,2026-02-03,c1,")
    assert (corrected.added, corrected.corrected) == (0, 1)
    assert [fact.value for fact in filled.room.facts("P1")] == ["1.7654"]
    assert tell(filled, "P1,,LN,2160-0,,,2026-02-03,c1,yes").withdrawn == 1
    assert filled.room.facts("P1") == []
    log = [str(entry.entry) for entry in filled.room.audit()]
    assert sum("'facts'" in entry for entry in log) >= 4 and not any("1.7654" in entry for entry in log)
    assert filled.room.verify_audit().ok


def test_two_values_at_one_time_need_names_to_be_told_apart(filled) -> None:
    row = "P1,,LN,2160-0,{},mg/dL,2026-02-03,{},"
    told = tell(filled, row.format("1.1", ""), row.format("1.1", ""), row.format("1.2", ""))
    assert (told.added, [(each.place, each.reason) for each in told.unmatched]) == (1, [("line 4", "told-twice")])
    assert tell(filled, row.format("1.1", "a"), row.format("1.2", "b")).added == 2


def test_messages_and_bundles_are_known_by_what_they_hold(filled) -> None:
    message = (
        "MSH|^~\\&|LAB|NORTH|ROOM||20260203101500||ORU^R01|7|P|2.5.1\rPID|1||P1^^^^MR\r"
        "OBR|1|PL1|FI1|24323-8|||20260203\rOBX|1|NM|2160-0^Kreatinin f\xfcr^LN||1.1|mg/dL|||||F\r"
    )
    assert filled.room.import_facts(filled.deliver("oru.hl7", message.encode("latin-1"))).added == 1
    empty = filled.room.import_facts(filled.deliver("bundle.json", b'{"resourceType": "Bundle"}'))
    assert (empty.added, empty.unmatched) == (0, ())
