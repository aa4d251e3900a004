"""How good the data is: figures, and what follows from them."""

import base64
import hashlib
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from filmroom.cli.quality_page import page
from filmroom.errors import Denied, GateClosed, NotFound, Refused
from filmroom.govern.policy import Policies
from filmroom.verbs import Role
from filmroom.wiring import Room


@pytest.fixture
def mixed(world, make_ct):
    """Two months of deliveries: six patients of one site, then one whose header has typing errors."""
    for number in range(6):
        world.deliver(f"march/{number}", make_ct(f"P{number}", InstitutionName="North", ManufacturerModelName="M1"))
    world.room.receive([world.inbox / "march"], source="ct-1")
    world.clock.pass_by(days=31)
    odd = {
        "BodyPartExamined": "DOE JANE",
        "Manufacturer": "Doe^Jane",
        "ProtocolName": "Doe^Jane",
        "SliceThickness": 2000,
    }
    world.deliver("april/odd", make_ct("P9", InstitutionName="Dr. Doe", StationName="Doe", **odd))
    world.deliver("april/again", make_ct("P0", InstitutionName="North", ManufacturerModelName="M1"))
    world.deliver("april/cut", make_ct("P8")[:-20])
    world.room.receive([world.inbox / "april"], source="ct-2")
    return world


def _figures(found, measure):
    return {
        (each.name, each.value, each.group): (each.count, each.total)
        for each in found.figures
        if each.measure == measure
    }


def _holding(role):
    return Policies.shipped(lambda actor: frozenset({role}))


def test_a_report_says_what_is_missing_odd_and_unknown_and_names_nobody(mixed):
    found = mixed.room.quality()
    assert _figures(found, "completeness")["body_part", "", ""] == (6, 7)
    assert ("field_strength_t", "", "") not in _figures(found, "completeness")
    assert _figures(found, "plausible")["slice_thickness_mm", "", ""] == (6, 7)
    assert _figures(found, "plausible")["slice_thickness_mm", "(rare)", ""] == (0, 1)
    assert _figures(found, "understood")["body_part", "", ""] == (6, 7)
    assert _figures(found, "scanner")["CT", "Maker M1", ""] == (6, 7)
    assert _figures(found, "received")["duplicate", "", ""] == (1, 9)
    assert _figures(found, "received")["quarantined", "", ""] == (1, 9)
    assert _figures(found, "reason")["truncated", "", ""] == (1, 9)
    by_site = mixed.room.quality(by="site")
    assert _figures(by_site, "completeness")["body_part", "", "(rare)"] == (0, 1)
    for each in (found, by_site, mixed.room.quality(by="source"), mixed.room.quality(by="month")):
        assert "doe" not in repr(each).lower()


def test_drift_shows_by_the_month_of_receipt(mixed):
    found = _figures(mixed.room.quality(by="month"), "plausible")
    assert found["slice_thickness_mm", "", "2026-03"] == (6, 6)
    assert found["slice_thickness_mm", "", "2026-04"] == (0, 1)


def test_the_page_is_whole_in_itself_and_says_in_numbers_what_it_draws(mixed):
    text = page(mixed.room.quality(by="site"), mixed.room.quality(by="month"))
    root = ElementTree.fromstring(text)
    tags = {each.tag.rpartition("}")[2] for each in root.iter()}
    assert {"table", "svg", "rect", "polyline", "circle"} <= tags and not tags & {
        "script",
        "link",
        "img",
        "iframe",
        "a",
    }
    assert not {name for each in root.iter() for name in each.attrib} & {"src", "href", "style", "onload"}
    style = root.findtext("head/style", "")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = [each.attrib["content"] for each in root.iter("meta") if "http-equiv" in each.attrib]
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'"]
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "2026-03 100.0%, 2026-04 0.0%" in titles
    assert "doe" not in text.lower()


def test_a_project_sees_its_own_and_an_auditor_may_look(mixed):
    room = mixed.room
    room.project("lung", purpose="nodules")
    room.deidentify("lung", where="institution = 'North'")
    found = room.quality(project="lung")
    assert _figures(found, "completeness")["body_part", "", ""] == (6, 6)
    assert _figures(found, "copies") == {("clean", "lung", ""): (6, 6)}
    assert not _figures(found, "received")
    with pytest.raises(NotFound):
        room.quality(project="brain")
    for role, may in ((Role.AUDITOR, True), (Role.UPLOADER, False)):
        somebody = Room(replace(mixed.ports, authorizer=_holding(role)))
        if may:
            assert somebody.quality().figures
        else:
            with pytest.raises(Denied):
                somebody.quality()


def test_what_is_not_good_enough_is_not_frozen_and_what_held_is_signed(mixed):
    room = mixed.room
    room.project("lung", purpose="nodules", requires=["completeness.body_part>=0.95", "completeness.kvp_kv >= 1"])
    room.deidentify("lung")
    with pytest.raises(GateClosed, match=r"completeness.body_part >= 0.95 is 6 of 7") as caught:
        room.freeze("lung", project="lung")
    assert "kvp" not in str(caught.value) and room.snapshots() == []
    frozen = room.freeze("lung", project="lung", where="institution = 'North'")
    held = [("completeness.body_part >= 0.95", 6, 6), ("completeness.kvp_kv >= 1", 6, 6)]
    assert [(each.gate, each.count, each.total) for each in frozen.gates] == held
    document = room.show("lung@1").document
    assert document["gates"] == [{"gate": gate, "count": count, "total": total} for gate, count, total in held]
    assert document["definition"]["requires"] == [gate for gate, _, _ in held]
    leaf = room.audit()[-1].entry
    assert leaf["outcome"]["gates"] == "completeness.body_part >= 0.95: 6 of 6; completeness.kvp_kv >= 1: 6 of 6"
    assert room.freeze("lung", project="lung", where="institution = 'North'").existing
    room.require("lung", ["plausible.slice_thickness_mm >= 1", "agreement >= 1", "labelled >= 0"])
    with pytest.raises(GateClosed, match="slice_thickness_mm >= 1 is 6 of 7"):
        room.freeze("lung", project="lung")
    room.require("lung", [])
    assert room.freeze("lung", project="lung").instances == 7
    assert room.verify("lung@1").ok and room.verify("lung@2").ok and room.verify_audit().ok


def test_gates_of_a_project_are_changed_openly_only(mixed):
    room = mixed.room
    room.project("lung", purpose="nodules", requires=["clean >= 0.5"])
    assert room.project("lung", purpose="nodules").requires == ("clean >= 0.5",)
    with pytest.raises(Refused, match="other gates"):
        room.project("lung", purpose="nodules", requires=["clean >= 0.4"])
    assert room.require("lung", ["labelled >= 1"]) == room.require("lung")
    assert room.require("lung").requires == ("labelled >= 1",)
    for asked in (["clean >= 0.5"], None):
        with pytest.raises(NotFound):
            room.require("brain", asked)
