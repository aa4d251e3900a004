"""Each action on single values."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.deid import actions
from filmroom.deid.actions import Context

WHO = Context("PSUBJECT", 70, lambda uid: f"2.25.{len(uid)}", frozenset({"smith", "baker", "482913"}))
NOBODY = Context("PSUBJECT", 70, lambda uid: f"2.25.{len(uid)}", frozenset())

BENIGN = """AX T2 FLAIR; SAG T1 MPRAGE 1.0mm iso; CT CHEST W CONTRAST; P4^P101^S108^I0, Gated, 0.0%; 4.6 COLONOSCOPY (ACRIN)
XR CHEST AP PORTABLE; DWI b1000 ADC; LIVER 3 PHASE; Neck^NeckRoutine (Adult); MAMMO SCREENING BILAT TOMO; RT Hand PA/LAT
Localizer; Dose Report; TOF MRA Circle of Willis; Hashimoto thyroiditis follow up; Baker cyst popliteal; STIR COR
Parkinson disease protocol; Harris-Benedict; Cobb angle scoliosis; Murphy sign positive; Couinaud segment IV
Topogram 0.6 T20f; WB PET CTAC; ep2d_diff_mddw_20_p2; Thorax^01_LungLowDose (Adult); Recon 3: LUNG; AbdPelvis 5.0 B40f
Screen Save; KEY IMAGES; Fleischner follow-up; Bosniak II cyst; Le Fort II fracture; Schmorl node L4; Salter-Harris II
Chiari malformation; Ewing sarcoma; Wilson disease liver; Crohn enterography; Meckel scan""".replace("\n", "; ")


@pytest.mark.parametrize("text", BENIGN.split("; "))
def test_protocol_words_survive(text: str) -> None:
    assert actions.clean_descriptor("LO", text, NOBODY) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("CT for John Smith", "CT for"),
        ("SMITH, JOHN AX T2", "AX T2"),
        ("CHEST PA - Smith^John", "CHEST PA"),
        ("Pt Smith DOB 03/14/1957 fu", None),
        ("per Dr. Baker 555-212-3344", "per"),
        ("MRN 00482913 comparison", "comparison"),
        ("scan 2021-05-11 at bedside", "scan at"),
        ("seen 11 May 2021", None),
        ("seen May 11, 2021", None),
        ("00482913_Smith_brain", "brain"),
        ("Müller chest", "chest"),
        ("Baker cyst", "cyst"),
        ("chest 1957", "chest"),
        ("call Mary 12 Elm Street", None),
        ("chest, 12a Elm Street", "chest"),
        ("Smith B. chest", "chest"),
        ("B.Smith chest", "chest"),
    ],
)
def test_names_numbers_and_dates_do_not(text: str, left: str | None) -> None:
    assert actions.clean_descriptor("LO", text, WHO) == left
    upper = actions.clean_descriptor("LO", text.upper(), WHO)
    assert (upper or "").lower() == (left or "").lower()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("482_913", None),
        ("CT 482 chest 913", "CT chest"),
        ("482b913 brain", "brain"),
        ("chest 14 2 31", "chest"),
        ("2 14 31 axial 5", "axial"),
        ("chest 13 2 31", "chest 13 2 31"),
        ("T2 3mm 512/512", "T2 3mm 512/512"),
        ("T1 1.0 mm, 3 T", "T1 1.0 mm, 3 T"),
    ],
)
def test_numbers_that_spell_an_identifier_or_a_date_do_not_survive(text: str, left: str | None) -> None:
    who = Context("PSUBJECT", 70, lambda uid: uid, frozenset({"482913", "19310214", "20000101"}))
    assert actions.clean_descriptor("LO", text, who) == left


@pytest.mark.parametrize("text", ["00482913", "482913-1", "C482913", "0482913-2"])
def test_a_known_number_is_no_code(text: str) -> None:
    assert actions.code("SH", text, NOBODY) == text
    assert actions.code("SH", text, WHO) is None


def test_of_a_very_long_text_only_the_beginning_is_kept() -> None:
    assert actions.clean_descriptor("LO", "chest " * 171 + "abdomen", NOBODY) == " ".join(["chest"] * 170)
    assert actions.clean_descriptor("UT", "chest " + "9" * 3_000_000, NOBODY) == "chest"
    assert actions.clean_descriptor("UT", "." * 3_000_000, NOBODY) is None


def test_an_eponym_behind_a_title_is_a_person() -> None:
    assert actions.clean_descriptor("LO", "Dr. Baker chest", NOBODY) == "chest"
    assert actions.clean_descriptor("LO", "Baker cyst", NOBODY) == "Baker cyst"


@given(st.text(max_size=64))
def test_cleaning_twice_changes_nothing_and_leaves_ascii(text: str) -> None:
    once = actions.clean_descriptor("LO", text, WHO)
    if once is not None:
        assert once.isascii()
        assert "smith" not in once.lower().split()
        again = actions.clean_descriptor("LO", once, WHO)
        assert again is None or set(again.split()) <= set(once.split())


@given(st.dates(date(1930, 1, 1), date(2030, 1, 1)), st.dates(date(1930, 1, 1), date(2030, 1, 1)))
def test_intervals_are_kept_and_dates_agree_with_datetimes(first: date, second: date) -> None:
    moved = [actions.shift_date("DA", f"{day:%Y%m%d}", WHO) for day in (first, second)]
    days = [date.fromisoformat(f"{text[:4]}-{text[4:6]}-{text[6:]}") for text in moved if text]
    assert days[0] - first == timedelta(days=70)
    assert days[1] - days[0] == second - first
    assert actions.shift_date("DT", f"{first:%Y%m%d}101112.25+0100", WHO) == f"{moved[0]}101112.25+0100"


@pytest.mark.parametrize("text", ["", "2021", "202113", "20211350", "20210511-20210512", "today", "99991230"])
def test_what_is_no_whole_date_goes(text: str) -> None:
    assert actions.shift_date("DA", text, WHO) is None


@pytest.mark.parametrize(
    ("given_age", "left"),
    [
        ("089Y", "089Y"),
        ("090Y", "090Y"),
        ("095Y", "090Y"),
        ("999M", "999M"),
        ("006W", "006W"),
        ("old", None),
        ("", None),
    ],
)
def test_ages_above_89_become_90(given_age: str, left: str | None) -> None:
    assert actions.age("AS", given_age, WHO) == left


def test_standard_uids_stay_and_no_other() -> None:
    assert actions.uid("UI", "1.2.840.10008.1.1", WHO) == "1.2.840.10008.1.1"
    assert actions.uid("UI", "1.2.840.10008.1.1.20210511", WHO) == "2.25.26"
    assert actions.keep("UI", "1.2.840.10008.5.1.4.1.1.2", WHO) == "1.2.840.10008.5.1.4.1.1.2"
    assert actions.keep("UI", "1.2.840.10008.482913", WHO) is None


def test_keep_asks_for_the_form_of_the_vr_and_for_nobody_s_name() -> None:
    assert actions.keep("CS", "ORIGINAL", WHO) == "ORIGINAL"
    assert actions.keep("CS", "SMITH", WHO) is None
    assert actions.keep("CS", "11. Mai 2021, Station 5", WHO) is None
    assert actions.keep("IS", "482913", WHO) is None
    assert actions.keep("IS", "482913", NOBODY) == "482913"
    assert actions.keep("TM", "10:11", WHO) is None
    assert actions.keep("LO", "anything", WHO) is None


@pytest.mark.parametrize(
    ("text", "left"),
    [("11:22:07", "112207"), ("11:22:07.25", "112207.25"), ("09:11:02.00000000", "091102.000000"), ("25:00:00", None)],
)
def test_a_time_in_the_notation_of_the_standard_s_forerunner_is_kept_in_today_s(text: str, left: str | None) -> None:
    assert actions.keep("TM", text, NOBODY) == left


def test_the_modes_of_an_ultrasound_image_stay_in_its_image_type() -> None:
    assert actions.keep("CS", "0001", WHO) == "0001"
    assert actions.keep("CS", "0711", WHO) == "0711"
    assert actions.keep("CS", "1405", WHO) is None
    assert actions.keep("CS", "00010", WHO) is None


@pytest.mark.parametrize("text", ["T-D3000", "113100", "RID1234", "UCUM", "mm", "24627-2"])
def test_public_codes_stay(text: str) -> None:
    assert actions.code("SH", text, WHO) == text


@pytest.mark.parametrize("text", ["482913", "SMITH", "ZQ01PLNT", "99LOCAL"])
def test_other_codes_go(text: str) -> None:
    assert actions.code("SH", text, WHO) is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("95Y brain", "brain"),
        ("brain 103 yrs", "brain"),
        ("chest 11 05 21", "chest"),
        ("chest 06 12 34 56 78", "chest"),
        ("Dr. J. Short chest", "chest"),
        ("89Y brain", "89Y brain"),
    ],
)
def test_old_ages_and_numbers_in_pairs_do_not_survive(text: str, left: str) -> None:
    assert actions.clean_descriptor("LO", text, NOBODY) == left


@pytest.mark.parametrize("text", ["48291377", "+48291377", "0048291377", "48291377.0", "4.8291377E7", "482913770e-1"])
def test_a_known_number_is_known_however_it_is_written(text: str) -> None:
    who = Context("P", 7, str, frozenset({"48291377"}))
    assert actions.keep("DS", text, who) is None
    assert actions.keep("DS", text, NOBODY) == text


@pytest.mark.parametrize("text", ["SUE ANN LEE", "482-913-77", "48 29 13", "11/5/21"])
def test_names_and_numbers_in_short_pieces_are_no_code_string(text: str) -> None:
    assert actions.keep("CS", text, NOBODY) is None


@pytest.mark.parametrize("text", ["20210511482913", "20210511101112.5+9876", "20210511-2022"])
def test_a_date_and_time_of_no_clock_goes(text: str) -> None:
    assert actions.shift_date("DT", text, NOBODY) is None
