"""The tables of PS3.15 Annex E are whole, and say what others read in them."""

from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as others

from filmroom.deid import docbook, table
from filmroom.deid.table import Option
from filmroom.errors import Invalid
from filmroom.ids import Digest

TABLES = table.shipped()
OTHERS = {
    "X": others.X_TAGS,
    "Z": others.Z_TAGS,
    "D": others.D_TAGS,
    "U": others.U_TAGS,
    "X/Z": others.X_Z_TAGS,
    "X/D": others.X_D_TAGS,
    "Z/D": others.Z_D_TAGS,
    "X/Z/D": others.X_Z_D_TAGS,
    "X/Z/U*": others.X_Z_U_STAR_TAGS,
}
"""Kitware's dicom-anonymizer has read the edition before ours."""


def test_a_reading_by_somebody_else_has_the_same_actions() -> None:
    theirs = {tag: action for action, tags in OTHERS.items() for tag in tags if len(tag) == 2}
    ours = {tag: TABLES.attribute(tag[0] << 16 | tag[1]) for tag in theirs}
    common = {tag: row.basic for tag, row in ours.items() if row is not None}
    assert len(common) == 652
    assert common == {tag: action for tag, action in theirs.items() if tag in common}


def test_every_row_of_the_edition_is_there() -> None:
    assert TABLES.edition == "2026d"
    counts = "X 417 D 93 U 55 Z 42 X/D 23 X/Z 11 X/Z/D 8 Z/D 6 X/Z/U* 2".split()
    basic = Counter(row.basic for row in TABLES.attributes)
    assert basic == dict(zip(counts[::2], map(int, counts[1::2]), strict=True))
    assert Counter(cell for row in TABLES.attributes for cell in row.options.items()) == {
        (Option.FULL_DATES, "K"): 169,
        (Option.MODIFIED_DATES, "C"): 169,
        (Option.DESCRIPTORS, "C"): 141,
        (Option.UIDS, "K"): 60,
        (Option.DEVICE, "K"): 48,
        (Option.DEVICE, "C"): 11,
        (Option.CHARACTERISTICS, "K"): 14,
        (Option.CHARACTERISTICS, "C"): 5,
        (Option.INSTITUTION, "K"): 10,
        (Option.STRUCTURED, "C"): 4,
        (Option.GRAPHICS, "C"): 4,
        (Option.SAFE_PRIVATE, "C"): 1,
    }
    assert Counter(row.basic for row in TABLES.content_items) == {"X": 135, "D": 60, "X/D": 19}


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (0x00100010, "Patient's Name"),
        (0x60003000, "Overlay Data"),
        (0x60FE3000, "Overlay Data"),
        (0x601E4000, "Overlay Comments"),
        (0x50003000, "Curve Data"),
        (0x501E0005, "Curve Data"),
        (0x00091001, "Private Attributes"),
        (0x60013000, "Private Attributes"),
        (0x00280010, None),
        (0x60000010, None),
    ],
)
def test_a_tag_finds_its_row_also_where_the_row_is_about_many(tag: int, name: str | None) -> None:
    row = TABLES.attribute(tag)
    assert (row.name if row else None) == name


def test_an_option_goes_before_the_profile_and_cleaning_before_keeping() -> None:
    calibration = TABLES.attribute(0x00181200)
    assert calibration is not None
    assert calibration.action(frozenset()) == "X"
    assert calibration.action({Option.DESCRIPTORS}) == "X"
    assert calibration.action({Option.DEVICE}) == "K"
    assert calibration.action({Option.DEVICE, Option.MODIFIED_DATES}) == "C"


def test_what_is_written_reads_back_the_same_byte_for_byte() -> None:
    folder = files("filmroom.deid").joinpath("ps315")
    texts = table.write(TABLES)
    assert table.read(texts) == TABLES
    assert texts == {name: folder.joinpath(name).read_text("utf-8") for name in table.FILES}
    assert "Hossein Boustani Hezarani" in TABLES.notice
    assert "NEMA" in TABLES.notice


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("attributes.csv", "00100010,", "0010001,"),
        ("attributes.csv", "Patient's Name,,standard,Z", "Patient's Name,,standard,W"),
        ("attributes.csv", "retain-uids", "retain-names"),
        ("content_items.csv", "DCM,109054,Patient State,TEXT,,X", "DCM,109054,Patient State,TEXT,,Q"),
        ("origin.toml", "edition", "version"),
        ("origin.toml", "edition = ", "edition "),
    ],
)
def test_what_is_no_table_is_refused(file: str, before: str, after: str) -> None:
    texts = table.write(TABLES)
    assert before in texts[file]
    with pytest.raises(Invalid):
        table.read({**texts, file: texts[file].replace(before, after, 1)})


PART15 = (Path(__file__).parents[1] / "vectors" / "part15_fragment.xml").read_bytes()


def test_a_newer_edition_is_read_from_the_standard_s_own_source() -> None:
    newer = docbook.tables(PART15)
    assert newer.edition == "2027a"
    assert newer.sha256 == Digest.of(PART15).hex
    assert {row.tag: (row.name, row.basic, row.retired, row.standard) for row in newer.attributes} == {
        "00181200": ("Date of Last Calibration", "X", False, True),
        "50xxxxxx": ("Curve Data", "X", True, False),
        "60xx3000": ("Overlay Data", "X", False, True),
        "private": ("Private Attributes", "X", False, False),
        "00081140": ("Referenced Image Sequence", "X/Z/U*", False, True),
        "00180015": ("Body Part Examined", "X", False, True),
    }
    for row in newer.attributes:
        same = {other.tag: other for other in TABLES.attributes}.get(row.tag)
        assert same is None or same == row  # what has not changed is read as in the shipped edition
    [item] = newer.content_items
    assert item in TABLES.content_items
    assert table.read(table.write(newer)).attribute(0x50120010) == newer.attribute(0x50FE0010)


def test_what_two_editions_say_differently_is_told_by_tag() -> None:
    told = {change.tag: change for change in table.changes(TABLES, docbook.tables(PART15))}
    assert told["00180015"] == table.Change("00180015", "Body Part Examined", "", "X")
    assert (told["00100010"].before, told["00100010"].after) == ("Z", "")
    assert "00181200" not in told
    assert table.changes(TABLES, TABLES) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"2027a", b"of next year"),
        (b'table_E.1-1"', b'table_E.1-2"'),
        (b"table_E.3.4-1", b"table_E.3.4-2"),
        (b"Basic Prof.", b"Extended Prof."),
        (b"Rtn. Safe Priv. Opt.", b"Rtn. Weather Opt."),
        (b"(0018,0015)", b"(0018,001)"),
        (b"X/Z/U*", b"X/Y"),
        (b"<td/>", b""),
        (b"</book>", b""),
    ],
)
def test_what_is_not_the_standard_s_source_is_refused(before: bytes, after: bytes) -> None:
    assert before in PART15
    with pytest.raises(Invalid, match="part15"):
        docbook.tables(PART15.replace(before, after, 1))
