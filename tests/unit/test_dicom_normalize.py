"""Many spellings come to one word, what was received stays beside it, and a guess is not made of two things."""

import csv
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts
from tests.vectors.dicom_files import sound

from filmroom.dicom.attributes import BY_NAME
from filmroom.dicom.encode import encode
from filmroom.dicom.normalize import normalize
from filmroom.ids import Digest
from filmroom.ingest.accept import accept
from filmroom.records import Accepted, Quarantined, Value

CT = "1.2.840.10008.5.1.4.1.1.2"
ROWS = list(csv.DictReader(files("filmroom.dicom").joinpath("regions.csv").read_text("utf-8").splitlines()))
TABLE = tomllib.loads(files("filmroom.dicom").joinpath("normalization.toml").read_text("utf-8"))


def region(**facts: str) -> tuple[Value, Value]:
    found = normalize(facts)
    return found.get("body_part"), found.get("body_part_from")


# -- body parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "term"),
    [
        *[(each, "CHEST") for each in ("CHEST", "Chest ", "THORAX", "Thx", "TORAX", "TÓRAX", "Torace", "BRUSTKORB")],
        *[(each, "CHEST") for each in ("Грудная клетка", "胸部", "흉부")],
        *[(each, "HEAD") for each in ("HEAD", "KOPF", "Tête", "CABEZA", "Голова", "頭部")],
        *[(each, "BRAIN") for each in ("BRAIN", "Gehirn", "ENCÉPHALE", "cerebro", "головного мозга", "脳")],
        *[(each, "CSPINE") for each in ("CSPINE", "C-SPINE", "C_SPINE", "C SPINE", "HWS", "Halswirbelsäule", "頚椎")],
        *[(each, "LSPINE") for each in ("LSPINE", "L-SPINE", "LWS", "Rachis lombaire", "LUMBAR SPINE", "腰椎")],
        *[
            (each, "KNEE")
            for each in ("KNEE", "KNIE", "GENOU", "RODILLA", "ginocchio", "Joelho", "коленный сустав", "膝")
        ],
        *[(each, "ABDOMEN") for each in ("ABDOMEN", "ABD", "Oberbauch", "ADDOME", "BUIK", "腹部", "брюшной полости")],
        *[
            (each, "WHOLEBODY")
            for each in ("WHOLEBODY", "WHOLE BODY", "Whole_Body", "Ganzkörper", "CORPS ENTIER", "全身")
        ],
        *[
            (each, "CHESTABDPELVIS")
            for each in ("CHESTABDPELVIS", "CAP", "CHEST/ABDOMEN/PELVIS", "TX Thorax+Abd+Becken")
        ],
        *[(each, "HEADNECK") for each in ("HEADNECK", "HEAD & NECK", "HEAD_NECK", "Kopf/Hals")],
        *[(each, "LOWERLEG") for each in ("LEG", "LOWERLEG", "Unterschenkel", "jambe")],
        *[(each, "FOOT") for each in ("FOOT", "Fuß", "FUSS", "PIED", "voet", "足")],
        ("MAMMA", "BREAST"),
        ("PROSTATE ", "PROSTATE"),
    ],
)
def test_a_body_part_in_many_spellings_and_languages_is_one_term(written: str, term: str) -> None:
    assert region(body_part_examined=written) == (term, "BodyPartExamined")


@pytest.mark.parametrize(
    ("code", "term"),
    [
        ("SCT:816094009", "CHEST"),
        ("SCT:51185008", "CHEST"),
        ("SRT:T-D3000", "CHEST"),
        ("SNM3:T-D9200", "KNEE"),
        ("SCT:774007", "HEADNECK"),
        ("SCT:76752008", "BREAST"),
    ],
)
def test_a_coded_region_goes_before_the_word(code: str, term: str) -> None:
    facts = {"anatomic_region": code, "body_part_examined": "FOOT"}
    assert region(**facts) == (term, "AnatomicRegionSequence")
    assert normalize(facts)["body_part_code"] == {row["term"]: row["code"] for row in ROWS}[term]


@pytest.mark.parametrize(
    ("description", "term"),
    [
        ("CT, HEAD/BRAIN WO CONTRAST", "BRAIN"),
        ("CT ANGIO CHEST", "CHEST"),
        ("CT THORAX/ABDOMEN m. KM", "CHESTABDOMEN"),
        ("MRT Oberbauch", "ABDOMEN"),
        ("abdomen^liver", "LIVER"),
        ("Lower Extremities^Extremity (Adult)", "LOWERLIMB"),
        ("RX RODILLA DERECHA AP/LAT", "KNEE"),
        ("XR femoral neck", "FEMUR"),
        ("XR C Spine Comp Min 4 Views", "CSPINE"),
        ("МРТ головного мозга", "BRAIN"),
        ("膝関節MRI", "KNEE"),
        ("胸部単純", "CHEST"),
        ("右肩関節", "SHOULDER"),
        ("手术前", None),
        ("FMRI_AX_ASC", None),
        ("KNEE AND SHOULDER", None),
        ("comparative heartfelt headline", None),
        ("", None),
    ],
)
def test_a_description_tells_one_part_or_none(description: str, term: str | None) -> None:
    assert region(study_description=description)[0] == term


def test_the_best_evidence_is_named_and_a_word_for_nothing_is_none() -> None:
    assert region(body_part_examined="OTHER", protocol="Knie re", series_description="hand") == ("KNEE", "ProtocolName")
    assert region(body_part_examined="HEAD", study_description="CT chest") == ("HEAD", "BodyPartExamined")
    assert region(body_part_examined="Q7", series_description="hip") == ("HIP", "SeriesDescription")


def test_a_term_too_wide_gives_way_to_a_narrower_one_inside_it_only() -> None:
    assert region(body_part_examined="EXTREMITY", study_description="distal tibia") == ("TIBIA", "StudyDescription")
    assert region(body_part_examined="EXTREMITY", study_description="chest") == ("EXTREMITY", "BodyPartExamined")


def test_every_code_is_a_concept_of_the_standard_and_stands_for_one_term() -> None:
    standard = {code for meanings in concepts["SCT"].values() for code in cast("dict[str, object]", meanings)}
    codes = [row["code"] for row in ROWS]
    assert len(set(codes)) == len(codes)
    assert all(code.isdigit() for code in codes)
    assert len(standard & set(codes)) > 0.95 * len(codes)


def test_the_table_speaks_of_terms_that_exist_and_no_spelling_means_two() -> None:
    terms = {row["term"] for row in ROWS}
    regions = TABLE["regions"]
    for name in ("together", "inside", "codes", "words"):
        assert set(regions[name]) <= terms, name
    for name in ("together", "inside"):
        assert {each.strip() for listed in regions[name].values() for each in listed.split(",")} <= terms, name
    for spellings in (regions["words"], TABLE["view"]["words"], TABLE["laterality"]["words"]):
        listed = [each.strip() for words in spellings.values() for each in words.split(",")]
        assert len(set(listed)) == len(listed)
        assert "" not in listed


# -- the rest ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "sop_class", "modality"),
    [
        ("CT", CT, "CT"),
        ("MRI", "1.2.840.10008.5.1.4.1.1.4", "MR"),
        ("PET", "1.2.840.10008.5.1.4.1.1.128", "PT"),
        ("", "1.2.840.10008.5.1.4.1.1.4", "MR"),
        ("CT\\PT", CT, "CT"),
        ("??", "1.2.840.10008.5.1.4.1.1.1.2", "MG"),
        ("MR", CT, "MR"),  # what it says is a known word: it is not overruled
        ("NEW", "1.2.3", "NEW"),
        ("", "1.2.3", None),
    ],
)
def test_a_modality_that_is_missing_or_odd_is_told_by_the_class(received: str, sop_class: str, modality: str) -> None:
    assert normalize({"modality_received": received, "sop_class": sop_class}).get("modality") == modality


@pytest.mark.parametrize(
    ("facts", "sides"),
    [
        ({"laterality_received": "R"}, ("R", "R")),
        ({"laterality_received": "LEFT"}, ("L", "L")),
        ({"laterality_received": "U"}, (None, None)),
        ({"image_laterality_received": "L"}, (None, "L")),
        ({"laterality_received": "R", "image_laterality_received": "L"}, ("R", "L")),
        ({"study_description": "Knie li 2 Eb"}, ("L", "L")),
        ({"study_description": "rodilla izquierda"}, ("L", "L")),
        ({"study_description": "Hüfte bds."}, ("B", "B")),
        ({"study_description": "左膝"}, ("L", "L")),
        ({"study_description": "knee left and right"}, (None, None)),
        ({"study_description": "chest, nodule left upper lobe"}, (None, None)),
    ],
)
def test_a_side_is_told_by_attributes_and_by_descriptions_of_paired_parts(
    facts: dict[str, Value], sides: tuple[str | None, str | None]
) -> None:
    found = normalize(facts)
    assert (found.get("laterality"), found.get("image_laterality")) == sides


@pytest.mark.parametrize(
    ("facts", "view"),
    [
        ({"view_position": "PA"}, "PA"),
        ({"view_position": "LATERAL"}, "LAT"),
        ({"view_position": "left lateral"}, "LL"),
        ({"view_code": "SCT:399368009", "view_position": "CC"}, "MLO"),
        ({"view_code": "SNM3:R-10242"}, "CC"),
        ({"modality_received": "CR", "series_description": "Chest PA PA"}, "PA"),
        ({"modality_received": "DX", "series_description": "knee AP/LAT"}, None),
        ({"modality_received": "CT", "series_description": "AP"}, None),
    ],
)
def test_a_view_is_told_by_its_code_its_position_or_a_radiograph_s_description(
    facts: dict[str, Value], view: str | None
) -> None:
    assert normalize(facts).get("view") == view


@pytest.mark.parametrize(
    ("received", "maker"),
    [
        *[(each, "GE") for each in ("GE", "G.E. Medical Systems", "GE MEDICAL SYSTEMS", "GE Healthcare Inc.")],
        *[(each, "Siemens") for each in ("SIEMENS", "Siemens HealthCare GmbH", "Siemens Healthineers")],
        *[(each, "Philips") for each in ("Philips Medical Systems, Inc.", "PHILIPS")],
        *[(each, "Toshiba") for each in ("TOSHIBA", "TOSHIBA_MEC")],
        ("Müller  & Söhne", "Müller & Söhne"),
        ("GEORGE Instruments", "GEORGE Instruments"),
        *[(each, None) for each in ("", "?", "Unspecified", "Manufacturer name here")],
    ],
)
def test_a_maker_has_one_spelling(received: str, maker: str | None) -> None:
    assert normalize({"manufacturer_received": received}).get("manufacturer") == maker


def test_gauss_become_tesla_and_microampere_seconds_fill_an_exposure() -> None:
    assert normalize({"field_strength_received": 1.5})["field_strength_t"] == 1.5
    assert normalize({"field_strength_received": 15000.0})["field_strength_t"] == 1.5
    assert normalize({"exposure_uas": 2500.0})["exposure_mas"] == 2.5
    assert normalize({"exposure_uas": 2500.0, "exposure_mas": 3.0})["exposure_mas"] == 3.0


def test_a_moment_in_a_zone_is_one_in_utc() -> None:
    assert normalize({"study_start": "2024-03-05T00:11:12+01:00"})["study_start_utc"] == "2024-03-04T23:11:12Z"
    assert "study_start_utc" not in normalize({"study_start": "2024-03-05T00:11:12"})
    assert "study_start_utc" not in normalize({"study_start": "0001-01-01T00:00:00+14:00"})


# -- what always holds ---------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    ["CHEST", "knee", "LINKS", "re", "AP", "lat", "GE", "脳", "左膝", "other", "MRI", "?", "-", "/", "Thorax", "neck"]
)
_TEXTS = st.one_of(st.text(max_size=30), st.lists(_WORDS, max_size=5).map(" ".join))
_FACTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            (
                *("modality_received", "body_part_examined", "anatomic_region", "laterality_received", "protocol"),
                *("image_laterality_received", "view_position", "view_code", "manufacturer_received", "sop_class"),
                *("series_description", "study_description", "study_start"),
            ),
            _TEXTS,
        ),
        **{
            name: st.floats(allow_nan=False, allow_infinity=False)
            for name in ("field_strength_received", "exposure_uas", "exposure_mas")
        },
    },
)


@settings(deadline=None, max_examples=400)
@given(_FACTS)
def test_normalising_again_changes_nothing_and_nothing_received_is_lost(facts: Mapping[str, Value]) -> None:
    found = normalize(facts)
    together = {**facts, **found}
    assert normalize(together) == found
    assert {name: together[name] for name in facts} == dict(facts)
    assert set(found) <= set(BY_NAME)
    assert found["normalization"] == TABLE["version"]


@settings(deadline=None)
@given(st.sampled_from([row["term"] for row in ROWS]), st.sampled_from(["", " ", "\0"]))
def test_every_term_of_the_vocabulary_is_itself(term: str, padding: str) -> None:
    assert region(body_part_examined=term + padding) == (term, "BodyPartExamined")


def test_an_object_at_the_door_has_both_what_was_received_and_what_it_means() -> None:
    dataset = sound()
    dataset.BodyPartExamined = "BRUSTKORB"
    dataset.StudyTime = "101112"
    dataset.TimezoneOffsetFromUTC = "+0100"
    data = encode(dataset)
    decision = accept(data, Digest.of(data), is_here=False)
    assert isinstance(decision, Accepted)
    values = decision.instance.values
    assert (values["body_part_examined"], values["body_part"]) == ("BRUSTKORB", "CHEST")
    assert (values["body_part_code"], values["normalization"]) == ("816094009", TABLE["version"])
    assert values["study_start_utc"] == "2024-02-29T09:11:12Z"
    assert (values["manufacturer_received"], values["manufacturer"]) == ("Müller & Söhne", "Müller & Söhne")


def test_texts_in_other_character_sets_are_understood() -> None:
    dataset = sound()
    dataset.SpecificCharacterSet = "ISO_IR 144"
    dataset.Manufacturer = "Siemens"
    dataset.BodyPartExamined = ""
    dataset.StudyDescription = "МРТ коленного сустава левого"
    data = encode(dataset)
    decision = accept(data, Digest.of(data), is_here=False)
    assert isinstance(decision, Accepted)
    values = decision.instance.values
    assert values["study_description"] == "МРТ коленного сустава левого"
    assert (values["body_part"], values["laterality"]) == ("KNEE", "L")


def test_real_files_are_normalised_and_keep_what_they_had(corpus: Path) -> None:
    told = 0
    for path in sorted(corpus.rglob("*.dcm")):
        data = path.read_bytes()
        decision = accept(data, Digest.of(data), is_here=False)
        if not isinstance(decision, Accepted | Quarantined) or decision.instance is None:
            continue
        values = decision.instance.values
        examined = values.get("body_part_examined")
        assert examined in (None, "OTHER") or values.get("body_part"), examined
        assert values.get("modality") or not values.get("modality_received")
        assert normalize(values).items() <= values.items()
        told += "body_part" in values
    assert told > 250
