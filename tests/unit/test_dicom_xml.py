"""DICOM XML says what DICOM JSON says, whatever a data set holds."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from filmroom.canon import Json
from filmroom.dicom.json import metadata
from filmroom.dicom.parse import read
from filmroom.dicom.xml import NAMESPACE, native
from filmroom.errors import FilmroomError

NAME_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def say(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def possible(text: str) -> str:
    """What of a text XML 1.0 can say."""
    return "".join(
        sign if sign in "\t\n\r" or (ord(sign) >= 0x20 and ord(sign) not in (0xFFFE, 0xFFFF)) else "\ufffd"
        for sign in text
    )


def from_xml(parent: ET.Element) -> dict[tuple[str, str], Json]:
    """Read attributes back, by tag and private creator."""
    found: dict[tuple[str, str], Json] = {}
    for each in parent:
        assert each.tag == say("DicomAttribute")
        member: dict[str, Json] = {"vr": each.attrib["vr"]}
        values: list[Json] = []
        for number, child in enumerate(each, start=1):
            match child.tag.removeprefix(f"{{{NAMESPACE}}}"):
                case "BulkData":
                    member["BulkDataURI"] = child.attrib["uri"]
                case "InlineBinary":
                    member["InlineBinary"] = child.text
                case "Item":
                    assert child.attrib["number"] == str(number)
                    values.append({"|".join(key): value for key, value in from_xml(child).items()})
                case "PersonName":
                    assert child.attrib["number"] == str(number)
                    values.append(dict(_names(child)))
                case other:
                    assert other == "Value"
                    assert child.attrib["number"] == str(number)
                    values.append(child.text)
        key = (each.attrib["tag"], each.attrib.get("privateCreator", ""))
        found[key] = member | ({"Value": values} if values else {})
    return found


def _names(person: ET.Element) -> Iterator[tuple[str, str]]:
    for group in person:
        parts = {part.tag: part.text or "" for part in group}
        yield group.tag.removeprefix(f"{{{NAMESPACE}}}"), "^".join(parts.get(say(each), "") for each in NAME_PARTS)


def from_json(dataset: dict[str, Json]) -> dict[tuple[str, str], Json]:
    """Say of a data set in JSON what the XML should say of it."""
    found: dict[tuple[str, str], Json] = {}
    for tag, member in dataset.items():
        assert isinstance(member, dict)
        said: dict[str, Json] = {key: value for key, value in member.items() if key != "Value"}
        values = member.get("Value", [])
        assert isinstance(values, list)
        if values:
            said["Value"] = [_said(str(member["vr"]), value) for value in values]
        creator = ""
        if int(tag[:4], 16) % 2 and tag[4:6] != "00":
            reserved = dataset.get(f"{tag[:4]}00{tag[4:6]}")
            named = reserved.get("Value") if isinstance(reserved, dict) else None
            creator = possible(str(named[0] or "")) if isinstance(named, list) else ""
        found[f"{tag[:4]}00{tag[6:]}" if creator else tag, creator] = said
    return found


def _said(vr: str, value: Json) -> Json:
    if vr == "SQ":
        assert isinstance(value, dict)
        return {"|".join(key): said for key, said in from_json(value).items()}
    if vr == "PN":
        groups = value if isinstance(value, dict) else {}
        return {
            group: "^".join([*possible(str(text)).split("^", 4), "", "", "", ""][:5]) for group, text in groups.items()
        }
    return None if value is None else possible(str(value)) or None


PERSON = st.dictionaries(st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), TEXT, max_size=3)
MEMBERS: dict[str, st.SearchStrategy[tuple[str, list[Any]]]] = {
    "00080008": st.tuples(st.just("CS"), st.lists(st.none() | TEXT, max_size=4)),
    "00100010": st.tuples(st.just("PN"), st.lists(st.none() | PERSON, max_size=2)),
    "00200013": st.tuples(st.just("IS"), st.lists(st.integers(), max_size=3)),
    "00180050": st.tuples(st.just("DS"), st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3)),
    "00204000": st.tuples(st.just("LT"), st.lists(TEXT, max_size=1)),
    "00290010": st.tuples(st.just("LO"), st.lists(TEXT, min_size=1, max_size=1)),
    "00291001": st.tuples(st.just("UN"), st.lists(TEXT, max_size=2)),
    "00291101": st.tuples(st.just("LO"), st.lists(TEXT, max_size=2)),
}


@st.composite
def datasets(draw: st.DrawFn, depth: int = 2) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for tag, members in MEMBERS.items():
        if draw(st.booleans()):
            vr, values = draw(members)
            listed: list[Json] = [*values]
            found[tag] = {"vr": vr, "Value": listed} if listed else {"vr": vr}
    if draw(st.booleans()):
        found["00880200"] = {"vr": "OW", "BulkDataURI": f"http://room/{draw(st.integers(0, 9))}?a&b"}
        found["7FE00010"] = {"vr": "OB", "InlineBinary": "AAECAw=="}
    if depth and draw(st.booleans()):
        items: list[Json] = [draw(datasets(depth - 1)) for _ in range(draw(st.integers(1, 2)))]
        found["00081140"] = {"vr": "SQ", "Value": items}
    return found


@settings(deadline=None)
@given(datasets())
def test_whatever_is_in_json_is_in_xml_and_nothing_else(dataset: dict[str, Json]) -> None:
    root = ET.fromstring(native(dataset))
    assert root.tag == say("NativeDicomModel")
    assert from_xml(root) == from_json(dataset)


def test_what_is_in_the_corpus_says_the_same_in_both(corpus: Path) -> None:
    count = 0
    for path in sorted(corpus.rglob("*.dcm")):
        if path.stat().st_size > 200_000:
            continue
        try:
            described = metadata(read(path.read_bytes()), lambda place: f"http://room/{place}")
        except FilmroomError:
            continue
        assert from_xml(ET.fromstring(native(described))) == from_json(described), path
        count += 1
    assert count


def test_attributes_have_their_keyword_and_private_ones_their_creator() -> None:
    dataset = Dataset()
    dataset.PatientName = "Doe^Jane=山田^花子"
    dataset.private_block(0x0029, "ACME", create=True).add_new(1, "LO", "secret\x1b sauce")
    document = native(metadata(dataset, str))
    assert b'keyword="PatientName"' in document and "<Ideographic><FamilyName>山田".encode() in document
    assert b'tag="00290001" vr="LO" privateCreator="ACME"' in document and b"\x1b" not in document


def test_the_end_of_a_line_is_what_it_was() -> None:
    document = native({"00204000": {"vr": "LT", "Value": ["one\r\ntwo"]}})
    assert ET.fromstring(document)[0][0].text == "one\r\ntwo"
