"""The fast way of making a copy makes the same one as the thorough way, byte for byte, or leaves the object to it.

`by_bytes` walks explicit VR little endian; `by_pydicom` reads everything, and alone refuses. They share the policy for one
value, so what is compared here is how elements are found, decoded and written.
"""

import struct
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.encaps import encapsulate
from tests.vectors.mutations import Mutation, mutated, mutations

from filmroom.deid import by_bytes, by_pydicom, profile
from filmroom.deid.apply import Applied, NotApplied, apply
from filmroom.deid.pseudonym import Pseudonyms

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "dicom"
PROFILES = {name: profile.load(name) for name in profile.shipped()}
RESEARCH = PROFILES["research"]
PSEUDONYMS = Pseudonyms(bytes(range(32)))

CT, ENHANCED_MR, ULTRASOUND, SEGMENTATION = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4.1", "6.1", "66.4"))
LONG = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

Value: TypeAlias = "bytes | list[Level]"
Level: TypeAlias = dict[int, tuple[str, Value]]


# -- objects made by hand ------------------------------------------------------------------------------------------


def tag(keyword: str) -> int:
    found = tag_for_keyword(keyword)
    assert found is not None, keyword
    return found


def head(number: int) -> bytes:
    return struct.pack("<HH", number >> 16, number & 0xFFFF)


def written(elements: Iterable[tuple[int, tuple[str, Value]]], *, defined: bool = True) -> bytes:
    """Encode elements in the order given; sequences and items with their lengths, or with end marks."""
    return b"".join(element(number, vr, value, defined=defined) for number, (vr, value) in elements)


def element(number: int, vr: str, value: Value, *, defined: bool = True) -> bytes:
    start = head(number) + vr.encode()
    if isinstance(value, list):
        items = b"".join(item(written(sorted(level.items()), defined=defined), defined=defined) for level in value)
        if defined:
            return start + struct.pack("<HL", 0, len(items)) + items
        return start + struct.pack("<HL", 0, UNDEFINED) + items + head(SEQUENCE_END) + bytes(4)
    if vr in LONG:
        return start + struct.pack("<HL", 0, len(value)) + value
    return start + struct.pack("<H", len(value)) + value


def item(body: bytes, *, defined: bool) -> bytes:
    if defined:
        return head(ITEM) + struct.pack("<L", len(body)) + body
    return head(ITEM) + struct.pack("<L", UNDEFINED) + body + head(ITEM_END) + bytes(4)


def level(**values: Value) -> Level:
    """Give each keyword its value, with the VR of the dictionary."""
    return {tag(keyword): (dictionary_VR(tag(keyword)).split(" or ")[0], value) for keyword, value in values.items()}


def part10(body: bytes, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> bytes:
    meta = element(0x00020001, "OB", b"\0\1") + element(0x00020010, "UI", syntax)
    return bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<L", len(meta))) + meta + body


def sound(sop_class: str = CT) -> Level:
    """A slice of four pixels, of somebody with a history."""
    short = struct.Struct("<H").pack
    return level(
        SpecificCharacterSet=b"ISO_IR 100",
        ImageType=b"ORIGINAL\\PRIMARY\\AXIAL ",
        SOPClassUID=sop_class.encode(),
        SOPInstanceUID=b"1.2.3.4\0",
        StudyDate=b"20210511",
        StudyTime=b"101530.25 ",
        AccessionNumber=b"7755331 ",
        Modality=b"CT",
        InstitutionName=b"Bergklinik, Chest Centre",
        StudyDescription=b"CT chest for Short, Anna",
        PatientName=b"M\xfcller^Anna ",
        PatientID=b"48291377",
        PatientBirthDate=b"19310214",
        PatientAge=b"090Y",
        BodyPartExamined=b"CHEST ",
        SliceThickness=b"1.250 ",
        KVP=b" 120",
        StudyInstanceUID=b"1.2.3.5\0",
        SeriesInstanceUID=b"1.2.3.6\0",
        InstanceNumber=b"+7",
        ImagePositionPatient=b"-1.5\\2e1\\.5",
        SamplesPerPixel=short(1),
        PhotometricInterpretation=b"MONOCHROME2 ",
        Rows=short(2),
        Columns=short(2),
        BitsAllocated=short(16),
        BitsStored=short(12),
        HighBit=short(11),
        PixelRepresentation=short(0),
        PixelData=struct.pack("<4H", 0, 1, 2, 4095),
    )


def both(data: bytes, using: profile.Profile = RESEARCH) -> tuple[Applied | None, Applied | NotApplied]:
    """Make a copy in both ways, and see to it that they do not disagree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pydicom's, about odd values
        fast, thorough = by_bytes.apply(data, using, PSEUDONYMS), by_pydicom.apply(data, using, PSEUDONYMS)
        assert apply(data, using, PSEUDONYMS) == thorough
    assert fast is None or fast == thorough
    return fast, thorough


def copied(body: bytes) -> Applied:
    """The copy of a data set that both ways make."""
    fast, _ = both(part10(body))
    assert fast is not None
    return fast


# -- what is walked ------------------------------------------------------------------------------------------------


def test_a_plain_object_needs_no_data_set_and_its_copy_is_the_same() -> None:
    copy = copied(written(sorted(sound().items())))
    assert b"CHEST" in copy.data and b"Anna" not in copy.data and b"48291377" not in copy.data
    assert copy.actions["pseudonym"] == 2


NESTED = {"ReferencedImageSequence": 2, "SourceImageSequence": 0}


@pytest.mark.parametrize("defined", [True, False])
def test_sequences_are_cleaned_at_every_depth_whether_their_length_is_told_or_not(defined: bool) -> None:
    code = level(CodeValue=b"T-D3000 ", CodingSchemeDesignator=b"SRT ", CodeMeaning=b"Chest for Anna")
    private = {0x00091001: ("PN", b"Hidden^Name ")}
    inner = level(ReferencedSOPClassUID=CT.encode(), ReferencedSOPInstanceUID=b"1.9.8.7.6 ")
    inner |= level(PurposeOfReferenceCodeSequence=[code, {}]) | private
    nested = level(ReferencedImageSequence=[inner, inner], DerivationCodeSequence=[])
    copy = copied(written(sorted((sound() | nested).items()), defined=defined))
    assert copy.data.count(b"T-D3000") == 2 and b"1.9.8.7.6" not in copy.data and b"Hidden" not in copy.data


@pytest.mark.parametrize("defined", [True, False])
def test_what_frames_share_is_the_same_in_each_of_them_and_what_they_do_not_is_their_own(defined: bool) -> None:
    spacing = level(PixelMeasuresSequence=[level(PixelSpacing=b"0.5\\0.25", SliceThickness=b"2 ")])
    hidden: Level = {0x00211001: ("SQ", [{0x00211002: ("PN", b"Chest^Lung")}])}
    frames: list[Level] = [
        spacing | hidden | level(PlanePositionSequence=[level(ImagePositionPatient=b"1\\2\\%d " % place)])
        for place in (3, 4, 4, 5)
    ]
    whole = sound(ENHANCED_MR) | level(PerFrameFunctionalGroupsSequence=frames)
    copy = copied(written(sorted(whole.items()), defined=defined))
    assert [copy.data.count(b"1\\2\\%d " % place) for place in (3, 4, 5)] == [1, 2, 1]
    assert copy.data.count(b"0.5\\0.25") == 4 and b"CHEST" not in copy.data


def test_what_lies_in_a_dropped_or_private_sequence_is_read_for_names_all_the_same() -> None:
    hidden: Level = {0x00090010: ("LO", b"MAKER "), 0x00091001: ("SQ", [{0x00091002: ("PN", b"Chest^Lung")}])}
    assert b"CHEST" not in copied(written(sorted((sound() | hidden).items()))).data


def test_a_private_value_of_unknown_form_is_dropped_without_being_read() -> None:
    blob: Level = {0x00090010: ("LO", b"MAKER "), 0x00091001: ("UN", b"\xfe\xff\x00\xe0\xff\xff\xff\xff")}
    assert copied(written(sorted((sound() | blob).items()))).actions["drop"] >= 2


def test_frames_of_a_compressed_image_are_cut_out_whole() -> None:
    plane = b"\x03\x00\x00\x00\x00" + b"\x03\x00\x01\x02\x03"
    frame = struct.pack("<16L", 2, 64, 69, *[0] * 13) + plane
    compressed = sound()
    del compressed[tag("PixelData")]
    body = written(sorted(compressed.items())) + head(tag("PixelData")) + b"OB\0\0\xff\xff\xff\xff"
    body += encapsulate([frame], has_bot=False) + head(SEQUENCE_END) + bytes(4)
    fast, _ = both(part10(body, b"1.2.840.10008.1.2.5\0"))
    assert fast is not None and plane in fast.data


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", b"\xdf\xdf^\xe4 "),
        ("StudyDescription", b"Sch\xe4del CT"),
        ("SliceThickness", b"thick "),
        ("SliceThickness", b"0.12345678901234567890"),
        ("InstanceNumber", b"1.5 "),
        ("InstanceNumber", b"2.0 "),
        ("ImagePositionPatient", b"1\\\\3"),
        ("ImageType", b"\\\\ "),
        ("Modality", b"CT\0\0"),
        ("StudyTime", b"10:15:30"),
        ("StudyDate", b"2021.05.11"),
        ("StudyInstanceUID", b" 1.2.3.5"),
        ("BodyPartExamined", b"CHEST\x1b$B"),
        ("PatientAge", b"95Y "),
        ("WindowCenter", b"1\\2\\x "),
    ],
)
def test_a_value_that_is_not_plain_does_not_make_the_copies_differ(keyword: str, value: bytes) -> None:
    copied(written(sorted((sound() | level(**{keyword: value})).items())))


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"ISO_IR 13 ", b"GB18030 "])
def test_names_in_every_character_set_are_known_to_both_ways(charset: bytes) -> None:
    japanese = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
    named = level(SpecificCharacterSet=charset, PatientName=japanese, StudyDescription=b"CT chest \xc0\xdb\xb3")
    copied(written(sorted((sound() | named).items())))


def test_a_palette_that_the_image_uses_is_kept_by_both_ways() -> None:
    colours = level(
        PhotometricInterpretation=b"PALETTE COLOR ",
        RedPaletteColorLookupTableDescriptor=struct.pack("<3H", 4, 0, 16),
        RedPaletteColorLookupTableData=struct.pack("<6H", *range(6)),
    )
    colours[tag("RedPaletteColorLookupTableData")] = ("OW", struct.pack("<6H", *range(6)))
    fast, _ = both(part10(written(sorted((sound(ULTRASOUND) | colours).items()))))
    assert fast is not None and struct.pack("<4H", *range(4)) in fast.data


# -- what is left to pydicom ---------------------------------------------------------------------------------------


def flaws() -> Iterator[tuple[str, bytes]]:
    plain = sorted(sound().items())
    body = written(plain)
    unknown = element(tag("StudyDescription"), "UN", b"CT chest")
    yield "the header names no encoding", part10(body, b"1.2.840.10008.1.2\0")
    yield "the data set is deflated", part10(body, b"1.2.840.10008.1.2.1.99")
    yield "there is no preamble", part10(body)[132:]
    yield "an element comes twice", part10(written([*plain, *plain[-1:]]))
    yield "the elements are out of order", part10(written([plain[1], plain[0], *plain[2:]]))
    yield "a known attribute comes as UN", part10(written(plain[:9]) + unknown + written(plain[10:]))
    yield "the last value ends early", part10(body)[:-2]
    yield "zeros follow", part10(body) + bytes(64)
    yield "a VR that the standard does not have", part10(body.replace(b"CS", b"ZZ"))
    yield (
        "a class that the profile does not have",
        part10(written(sorted(sound("1.2.840.10008.5.1.4.1.1.104.1").items()))),
    )
    for keyword in ("StudyInstanceUID", "Modality", "Rows", "PixelData"):
        rest = {number: value for number, value in plain if number != tag(keyword)}
        yield f"{keyword} is missing", part10(written(rest.items()))
    odd = level(SourceImageSequence=[level(SpecificCharacterSet=b"ISO_IR 101", PatientName=b"\xb1\xb2")])
    yield "an item has a character set of its own", part10(written(sorted((sound() | odd).items())))
    deep: Level = {}
    for _ in range(40):
        deep = level(SourceImageSequence=[deep])
    yield "sequences nest very deep", part10(written(sorted((sound() | deep).items())))


@pytest.mark.parametrize(("_flaw", "data"), list(flaws()), ids=[flaw for flaw, _ in flaws()])
def test_what_is_not_plain_is_left_to_pydicom(_flaw: str, data: bytes) -> None:
    fast, _ = both(data)
    assert fast is None


# -- everything there is -------------------------------------------------------------------------------------------


def compared(files: Iterable[Path], using: profile.Profile) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for path in sorted(files):
        if path.is_file():
            fast, thorough = both(path.read_bytes(), using)
            counts["by bytes" if fast else "by pydicom" if isinstance(thorough, Applied) else "refused"] += 1
    return counts


@pytest.mark.parametrize("name", PROFILES)
def test_every_file_that_pydicom_ships_has_one_copy(name: str, pydicom_files: Path) -> None:
    counts = compared((pydicom_files / "test_files").glob("*.dcm"), PROFILES[name])
    assert counts["by bytes"] > 10 and counts["by pydicom"] > 3 and counts["refused"] > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", PROFILES)
def test_every_file_of_the_corpus_has_one_copy(name: str, corpus: Path) -> None:
    counts = compared(corpus.rglob("*"), PROFILES[name])
    assert counts["by bytes"] > 2 * counts["by pydicom"]


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.dcm")), ids=lambda path: path.stem)
def test_every_flawed_vector_has_one_copy_or_one_refusal(path: Path) -> None:
    both(path.read_bytes())


# -- everything that could be --------------------------------------------------------------------------------------

PIECES = (
    *(
        b"",
        b" ",
        b"CHEST",
        b"Anna",
        b"48291377",
        b"19310214",
        b"20210511",
        b"1.25",
        b"-3",
        b"1e400",
        b"+7",
        b"095Y",
        b"=",
    ),
    *(
        CT.encode(),
        b"1.2.3.5",
        b"T-D3000",
        b"SRT",
        b"121401",
        b"M\xfcller",
        b"\xc3\x84",
        b"\x1b$B;3\x1b(B",
        b"mm",
        b"^",
    ),
    *(b"20210511101530.5+0100", b"1015", b"\0", b"CT chest of 11 May 2021", b"\xff", b"\t"),
)
WORDS = st.sampled_from(PIECES)
TEXTS = st.lists(WORDS, min_size=1, max_size=4).map(b"\\".join) | st.lists(WORDS, max_size=3).map(b" ".join)
SIZES = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "AT": 4, "OW": 2}
PACKED = {"FD": b"\0\0\0\0\0\0\xf8?", "FL": b"\0\0\xc0?", "AT": b"\x20\0\x0d\0", "US": b"\7\0", "OW": b"\1\0"}
RULES = [rules for each in PROFILES.values() for rules in each.rules.values()]
RULED = sorted({(number, vr) for rules in RULES for number, rule in rules.items() for vr in rule.vrs})
OTHERS = [
    *((tag(keyword), dictionary_VR(tag(keyword)).split(" or ")[0]) for keyword in ("InstitutionName", "OperatorsName")),
    *((tag(keyword), "SQ") for keyword in ("InstitutionCodeSequence", "RequestAttributesSequence")),
    *((tag(keyword), "LO") for keyword in ("IssuerOfPatientID", "PatientTelephoneNumbers", "StudyDate")),
    (0x00090010, "LO"),
    *((0x00091001, vr) for vr in ("PN", "UN", "SQ", "DA", "DS", "FD")),
    (0x60003000, "OW"),
    (0xFFFCFFFC, "OB"),
]


def values_of(vr: str) -> st.SearchStrategy[bytes]:
    size = SIZES.get(vr)
    if size is None:
        return TEXTS
    usual = st.binary(min_size=size, max_size=size) | st.just(PACKED.get(vr, bytes(size)))
    return st.lists(usual, max_size=3).map(b"".join) | st.binary(max_size=12)


@st.composite
def levels(draw: st.DrawFn, depth: int = 0) -> Level:
    found: Level = {}
    kinds = st.sampled_from(RULED) | st.sampled_from(OTHERS)
    for number, vr in draw(st.lists(kinds, max_size=8 if depth else 14)):
        if vr == "SQ" and depth < 3:
            found[number] = ("SQ", draw(st.lists(levels(depth + 1), max_size=2)) * draw(st.integers(1, 2)))
        elif vr != "SQ":
            value = draw(values_of(vr))
            found[number] = (draw(st.sampled_from([vr] * 9 + ["UN", "LO"])), value + bytes(len(value) % 2))
    return found


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    whole = sound(draw(st.sampled_from([CT, ENHANCED_MR, ULTRASOUND, SEGMENTATION])))
    extra = draw(levels())
    extra.pop(tag("PixelData"), None)
    whole |= extra
    charsets = [b"", b"ISO_IR 100", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"ISO_IR 999"]
    whole[tag("SpecificCharacterSet")] = ("CS", draw(st.sampled_from(charsets)))
    return part10(written(sorted(whole.items()), defined=draw(st.booleans())))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=objects(), name=st.sampled_from(sorted(PROFILES)))
def test_any_object_has_one_copy_or_one_refusal(data: bytes, name: str) -> None:
    both(data, PROFILES[name])


TOKENS = [head(ITEM), head(ITEM_END), head(SEQUENCE_END), b"\xff\xff\xff\xff", b"SQ\0\0", b"UN\0\0", b"PN", b"\0\0\0\0"]
NESTED_BODY = sound() | level(
    SourceImageSequence=[level(ReferencedSOPInstanceUID=b"1.9.8.7.6 ", PurposeOfReferenceCodeSequence=[{}])] * 2
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(changes=mutations(TOKENS), defined=st.booleans())
def test_broken_bytes_are_never_read_in_two_ways(changes: list[Mutation], defined: bool) -> None:
    both(mutated(part10(written(sorted(NESTED_BODY.items()), defined=defined)), changes))
