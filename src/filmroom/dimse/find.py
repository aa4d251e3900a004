"""C-FIND in the Study Root information model (PS3.4 C.6.2): identifiers become conditions, rows become identifiers.

Every matching key that the catalog has a column for becomes a condition (`catalog.matching`); what the query language
cannot say exactly is matched again on the rows. A key without a column is not matched and comes back empty,
and the status says so (0xFF01). Patient Name is no column of a film room: a search for a name finds nothing, because
the whole archive would be the wrong answer.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset

from filmroom.catalog import matching
from filmroom.dicom import values
from filmroom.dicom.attributes import BY_NAME
from filmroom.dicom.walk import FAILURES, is_uid
from filmroom.errors import Invalid
from filmroom.flow.search import Page
from filmroom.records import ColumnType, Level, Value

LEVELS = {"STUDY": Level.STUDY, "SERIES": Level.SERIES, "IMAGE": Level.INSTANCE}

_ORDER = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE)
_UNIQUE = {Level.STUDY: "study_uid", Level.SERIES: "series_uid", Level.INSTANCE: "sop_uid"}
_RELATED: dict[str, tuple[Level, Level]] = {
    "ModalitiesInStudy": (Level.STUDY, Level.SERIES),
    "NumberOfStudyRelatedSeries": (Level.STUDY, Level.SERIES),
    "NumberOfStudyRelatedInstances": (Level.STUDY, Level.INSTANCE),
    "NumberOfSeriesRelatedInstances": (Level.SERIES, Level.INSTANCE),
}
_MAX_KEY = 100_000
_OWN = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle", "InstanceAvailability"})
_NAMES = frozenset({"PatientName", "OtherPatientNames", "PatientBirthName"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a C-FIND asks: `patterns` are matched on the rows again; `is_hopeless` when nothing can match."""

    level: Level
    where: str
    select: tuple[str, ...]
    wanted: tuple[str, ...]
    below: tuple[Level, ...]
    patterns: Mapping[str, re.Pattern[str]]
    is_complete: bool
    is_hopeless: bool


def question(identifier: Dataset) -> Question:
    """Read an identifier. Raises Invalid when it names no level that the Study Root model has."""
    keys = dict(_keys(identifier))
    level = LEVELS.get(keys.get("QueryRetrieveLevel", "").upper())
    if level is None:
        raise Invalid("the query level is STUDY, SERIES or IMAGE", "ask in the Study Root model")
    above = _ORDER[: _ORDER.index(level) + 1]
    terms: list[str] = []
    patterns: dict[str, re.Pattern[str]] = {}
    select = {_UNIQUE[each] for each in above if each in _UNIQUE}
    below: set[Level] = set()
    is_complete, is_hopeless = True, False
    for keyword, text in keys.items():
        column = matching.COLUMN_OF.get(keyword)
        is_alias = column is not None and column.dicom != keyword
        in_row = column is not None and column.level in above and not is_alias
        if keyword in _RELATED and _RELATED[keyword][0] is level:
            below.add(_RELATED[keyword][1])
        elif column is not None and in_row:
            select.add(column.name)
        elif keyword not in _OWN:
            is_complete = False
        if keyword in _OWN or matching.is_universal(text):
            continue
        if keyword in _NAMES:
            is_hopeless = True
        elif column is not None and (in_row or is_alias):
            try:
                terms.append(f"({matching.condition(column, text)})")
            except Invalid:
                is_hopeless = True  # no stored value is equal to what is none
            exact = matching.pattern(column, text)
            if exact and in_row:
                patterns[column.name] = exact
    return Question(
        level=level,
        where=" AND ".join(terms),
        select=tuple(sorted(select)),
        wanted=tuple(keyword for keyword in keys if keyword not in _OWN),
        below=tuple(sorted(below)),
        patterns=patterns,
        is_complete=is_complete,
        is_hopeless=is_hopeless,
    )


def answers(asked: Question, page: Page, title: str) -> Iterator[Dataset]:
    """Yield a response identifier for each row that matches; `title` is the AE that the objects are retrieved from."""
    for row in page.rows:
        if all(pattern.match(str(row.get(name) or "")) for name, pattern in asked.patterns.items()):
            yield _answer(asked, page, row, title)


def uids(identifier: Dataset) -> tuple[Level, list[str]]:
    """Return what a C-GET or C-MOVE asks for: the level and its unique keys (PS3.4 C.4.2.1.4). Raises Invalid."""
    keys = dict(_keys(identifier))
    level = LEVELS.get(keys.get("QueryRetrieveLevel", "").upper())
    if level is None:
        raise Invalid("the retrieve level is STUDY, SERIES or IMAGE", "ask in the Study Root model")
    found = [uid for uid in keys.get(BY_NAME[_UNIQUE[level]].dicom, "").split("\\") if uid]
    if not found or not all(map(is_uid, found)):
        raise Invalid("a retrieval names the unique keys of its level", "give one UID or a list of UIDs")
    return level, found


def _keys(identifier: Dataset) -> Iterator[tuple[str, str]]:
    """Yield the keys by keyword with their text, "" for sequences; private ones are left out. Raises Invalid."""
    encodings = _encodings(identifier)
    for tag in sorted(identifier.keys()):
        keyword = keyword_for_tag(tag)
        if keyword:
            text = values.text(identifier.get_item(tag), encodings, limit=_MAX_KEY)
            if text is None:
                raise Invalid("a key is too long", f"use at most {_MAX_KEY} characters, or ask in parts")
            yield keyword, text


def _encodings(identifier: Dataset) -> list[str]:
    try:
        names = identifier.original_character_set
    except FAILURES:
        return ["iso8859"]
    return [names] if isinstance(names, str) else list(names)


def _answer(asked: Question, page: Page, row: Mapping[str, Value], title: str) -> Dataset:
    answer = Dataset()
    texts = {keyword: _value(keyword, page, row) for keyword in asked.wanted}
    if not all(text.isascii() for text in texts.values()):
        answer.SpecificCharacterSet = "ISO_IR 192"
    answer.QueryRetrieveLevel = next(name for name, level in LEVELS.items() if level is asked.level)
    answer.RetrieveAETitle = title
    answer.InstanceAvailability = "ONLINE"
    for keyword, text in texts.items():
        if dictionary_VR(keyword) == "SQ":
            setattr(answer, keyword, [])
            continue
        try:
            setattr(answer, keyword, text or None)
        except FAILURES:
            setattr(answer, keyword, None)  # what is stored is no value of this VR
    return answer


def _value(keyword: str, page: Page, row: Mapping[str, Value]) -> str:
    if keyword in _RELATED:
        return _related(keyword, page, row)
    column = matching.COLUMN_OF.get(keyword)
    value = row.get(column.name) if column is not None else None
    if column is None or value is None:
        return ""
    match column.type:
        case ColumnType.DATE:
            return str(value).replace("-", "")
        case ColumnType.REAL:
            return f"{float(value):.10g}"
        case ColumnType.INTEGER | ColumnType.TEXT:
            return str(value)


def _related(keyword: str, page: Page, row: Mapping[str, Value]) -> str:
    level, below = _RELATED[keyword]
    if level is not page.level:
        return ""
    uid = str(row[_UNIQUE[level]])
    if keyword == "ModalitiesInStudy":
        return "\\".join(page.modalities.get(uid, ()))
    return str((page.series if below is Level.SERIES else page.instances)[uid])
