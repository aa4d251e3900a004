"""Figures from counts: shares, and nothing that a few patients alone have in a header."""

from filmroom.catalog import quality
from filmroom.catalog.quality import NONE, OTHER, RARE, SMALLEST
from filmroom.dicom.attributes import BY_NAME, COLUMNS
from filmroom.dicom.normalize import reading
from filmroom.records import Cell, ColumnType, Figure, Level

MANY = SMALLEST


def _told(figures: list[Figure], measure: str) -> list[tuple[str, str, int, int]]:
    return [(each.name, each.value, each.count, each.total) for each in figures if each.measure == measure]


def test_what_is_asked_of_no_series_has_no_figure() -> None:
    columns = quality.asked(Level.SERIES)[:3]
    cell = Cell("North", (), 10, 3, ((9, 10), (0, 10), (0, 0)))
    figures = list(quality.completeness([cell], columns))
    assert [(each.name, each.group, each.share) for each in figures] == [
        (columns[0].column, "North", 0.9),
        (columns[1].column, "North", 0.0),
    ]


def test_every_column_that_is_asked_for_exists_and_is_of_one_kind() -> None:
    series, images = ({each.column for each in quality.asked(level)} for level in (Level.SERIES, Level.INSTANCE))
    assert not series & images and series | images == set(quality.ASKED)
    assert all(BY_NAME[name].type is ColumnType.REAL for name in quality.PLAUSIBLE)
    images = {column.name for column in COLUMNS if column.level in (Level.INSTANCE, Level.FILE)}
    assert not images & {*quality.PLAUSIBLE, *quality.SPELLED, *quality.SPELLED.values()}
    assert {*quality.SPELLED, *quality.SPELLED.values()} <= BY_NAME.keys()


def test_a_value_of_few_patients_is_added_up_and_not_told() -> None:
    cells = [
        Cell("", ("MR", "Maker"), 20, MANY),
        Cell("", ("MR", "Doe^Jane"), 1, 1),
        Cell("", ("MR", "Roe^Joe"), 2, 1),
        Cell("", ("DOE^JANE", "Maker"), 3, MANY),
        Cell("", ("MR", ""), 1, 1),
    ]
    figures = list(quality.mix("protocol", cells, lambda word: reading("modality", word) is not None))
    assert sorted(_told(figures, "protocol")) == [
        (OTHER, "Maker", 3, 3),
        ("MR", NONE, 1, 24),
        ("MR", RARE, 3, 24),
        ("MR", "Maker", 20, 24),
    ]
    assert "Doe" not in repr(figures)


def test_spellings_stand_beside_what_they_were_read_as() -> None:
    cells = [
        Cell("", ("SIEMENS",), 7, 1),
        Cell("", ("SIEMENS Healthineers",), 5, MANY),
        Cell("", ("Frobnicate GmbH",), 6, MANY),
        Cell("", ("unknown",), 1, MANY),
        Cell("", ("Siemens of Doe^Jane",), 1, 1),
        Cell("", ("",), 9, MANY),
    ]
    figures = list(quality.spelling(cells, "manufacturer", lambda word: reading("manufacturer", word)))
    assert _told(figures, "understood") == [("manufacturer", "", 14, 20)]
    assert _told(figures, "variants") == [("manufacturer", "Siemens", 3, 13)]
    assert sorted(_told(figures, "spelling")) == [
        ("manufacturer", RARE, 1, 20),
        ("manufacturer", "Frobnicate GmbH → unknown", 6, 20),
        ("manufacturer", "SIEMENS Healthineers → Siemens", 5, 20),
        ("manufacturer", "SIEMENS → Siemens", 7, 20),
        ("manufacturer", f"unknown → {NONE}", 1, 20),
    ]


def test_a_device_is_told_where_some_of_its_numbers_are_implausible() -> None:
    def counts(thickness: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        return tuple(thickness if name == "slice_thickness_mm" else (0, 0) for name in quality.PLAUSIBLE)

    cells = [
        Cell("", ("Maker", "Good", "ct1"), 8, MANY, counts((8, 8))),
        Cell("", ("Maker", "Bad", ""), 4, MANY, counts((1, 4))),
    ]
    assert _told(list(quality.plausible(cells)), "plausible") == [
        ("slice_thickness_mm", "", 9, 12),
        ("slice_thickness_mm", "Maker Bad", 1, 4),
    ]


def test_sites_of_few_patients_are_one() -> None:
    cells = [Cell("North", (), 9, MANY), Cell("Dr. Doe", (), 1, 1, ()), Cell("Dr. Roe", (), 2, MANY - 1)]
    hidden = quality.small_groups(cells)
    assert quality.without_groups(cells, hidden) == [Cell("North", (), 9, MANY), Cell(RARE, (), 3, MANY - 1)]


def test_outcomes_have_their_reasons_beside_them() -> None:
    cells = [Cell("", ("lung", "clean"), 6), Cell("", ("lung", "review", "a", "b"), 2), Cell("", ("brain", "clean"), 1)]
    figures = list(quality.outcomes("copies", "exception", cells, kept=1))
    assert _told(figures, "copies") == [("clean", "lung", 6, 8), ("review", "lung", 2, 8), ("clean", "brain", 1, 1)]
    assert _told(figures, "exception") == [("a", "lung", 2, 8), ("b", "lung", 2, 8)]


def test_agreement_is_of_findings_and_attachment_of_statements() -> None:
    (differ, gone) = quality.labels([Cell("", ("nodules",), 5, counts=((1, 4), (2, 5)))])
    assert (differ.measure, differ.count, differ.share) == ("agreement", 3, 0.75)
    assert (gone.measure, gone.count, gone.share) == ("attached", 3, 0.6)
