"""C-FIND in the Study Root information model (PS3.4 C.6.2): identifiers become conditions, rows become identifiers.

Every matching key that the catalog has a column for becomes a term of the closed query language; wild cards that the
language cannot say exactly are matched again on the rows. A key without a column is not matched and comes back empty,
and the status says so (0xFF01). Patient Name is no column of a film room: a search for a name finds nothing, because
the whole archive would be the wrong answer.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset

from filmroom.dicom import values
from filmroom.dicom.attributes import BY_NAME, COLUMNS
from filmroom.dicom.walk import FAILURES, is_uid
from filmroom.errors import Invalid
from filmroom.records import Column, ColumnType, Level, Value

LEVELS = {"STUDY": Level.STUDY, "SERIES": Level.SERIES, "IMAGE": Level.INSTANCE}

_ORDER = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE)
_UNIQUE = {Level.STUDY: "study_uid", Level.SERIES: "series_uid", Level.INSTANCE: "sop_uid"}
_COLUMNS = {column.dicom: column for column in COLUMNS if column.dicom and column.name != "age_years"}
_RELATED: dict[str, tuple[Level, Level]] = {
    "ModalitiesInStudy": (Level.STUDY, Level.SERIES),
    "NumberOfStudyRelatedSeries": (Level.STUDY, Level.SERIES),
    "NumberOfStudyRelatedInstances": (Level.STUDY, Level.INSTANCE),
    "NumberOfSeriesRelatedInstances": (Level.SERIES, Level.INSTANCE),
}
_OWN = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle", "InstanceAvailability"})
_NAMES = frozenset({"PatientName", "OtherPatientNames", "PatientBirthName"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a C-FIND asks: `patterns` are matched on the rows again; `is_hopeless` when nothing can match."""

    level: Level
    where: str
    select: tuple[str, ...]
    wanted: tuple[str, ...]
    related: tuple[Level, ...]
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
    related: set[Level] = set()
    is_complete, is_hopeless = True, False
    for keyword, text in keys.items():
        column = _COLUMNS.get("Modality" if keyword == "ModalitiesInStudy" else keyword)
        if keyword in _RELATED and _RELATED[keyword][0] is level:
            related.add(_RELATED[keyword][1])
        elif column is not None and column.level in above:
            select.add(column.name)
        elif keyword not in _OWN:
            is_complete = False
        if keyword in _OWN or text in ("", "*"):
            continue
        if keyword in _NAMES:
            is_hopeless = True
        elif column is not None and (column.level in above or keyword == "ModalitiesInStudy"):
            term = _term(column, text)
            is_hopeless = is_hopeless or term is None
            if term:
                terms.append(term)
            if _is_wild(column, text) and column.level in above:
                patterns[column.name] = _pattern(_as_stored(column, text))
    return Question(
        level=level,
        where=" AND ".join(terms),
        select=tuple(sorted(select)),
        wanted=tuple(keyword for keyword in keys if keyword not in _OWN),
        related=tuple(sorted(related)),
        patterns=patterns,
        is_complete=is_complete,
        is_hopeless=is_hopeless,
    )


def answers(asked: Question, rows: list[dict[str, Value]], title: str) -> Iterator[Dataset]:
    """Yield a response identifier for each row that matches; `title` is the AE that the objects are retrieved from."""
    for row in rows:
        if all(pattern.match(str(row.get(name) or "")) for name, pattern in asked.patterns.items()):
            yield _answer(asked, row, title)


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
    """Yield the keys by keyword with their text, "" for what cannot be read as text; private ones are left out."""
    encodings = _encodings(identifier)
    for tag in sorted(identifier.keys()):
        keyword = keyword_for_tag(tag)
        if keyword:
            yield keyword, values.text(identifier.get_item(tag), encodings) or ""


def _encodings(identifier: Dataset) -> list[str]:
    try:
        names = identifier.original_character_set
    except FAILURES:
        return ["iso8859"]
    return [names] if isinstance(names, str) else list(names)


def _term(column: Column, text: str) -> str | None:
    """Return the condition for one key, None when no stored value can satisfy it, "" when every value does."""
    match column.type:
        case ColumnType.DATE:
            return _dates(column.name, text)
        case ColumnType.INTEGER | ColumnType.REAL:
            number = text.strip()
            return f"{column.name} = {number}" if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", number) else None
        case ColumnType.TEXT:
            text = _as_stored(column, text)
            if _is_list(column) and "\\" in text:
                return f"{column.name} IN ({', '.join(_quote(each) for each in text.split(chr(92)) if each)})"
            if _is_wild(column, text):
                return f"{column.name} LIKE {_quote(text.replace('*', '%').replace('?', '_'))}"
            return f"{column.name} = {_quote(text)}"


def _dates(name: str, text: str) -> str | None:
    """Return a condition for a date or a range of dates (PS3.4 C.2.2.2.5)."""
    first, dash, last = text.partition("-")
    if not dash:
        day = values.day(first.strip())
        return f"{name} = '{day}'" if day else None
    terms = []
    for sign, written in ((">=", first.strip()), ("<=", last.strip())):
        day = values.day(written)
        if written and not day:
            return None
        if day:
            terms.append(f"{name} {sign} '{day}'")
    return " AND ".join(terms)


def _is_list(column: Column) -> bool:
    return dictionary_VR(column.dicom) == "UI" or column.name == "modality"


def _is_wild(column: Column, text: str) -> bool:
    is_text = column.type is ColumnType.TEXT and dictionary_VR(column.dicom) != "UI"
    return is_text and ("*" in text or "?" in text)


def _as_stored(column: Column, text: str) -> str:
    """Codes are stored in upper case, and a text without what pads it."""
    return text.upper() if dictionary_VR(column.dicom) == "CS" else text


def _pattern(text: str) -> re.Pattern[str]:
    parts = (".*" if each == "*" else "." if each == "?" else re.escape(each) for each in re.sub(r"\*+", "*", text))
    return re.compile("".join(parts) + r"\Z", re.DOTALL)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _answer(asked: Question, row: Mapping[str, Value], title: str) -> Dataset:
    answer = Dataset()
    texts = {keyword: _value(keyword, row) for keyword in asked.wanted}
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


def _value(keyword: str, row: Mapping[str, Value]) -> str:
    if keyword in _RELATED:
        if keyword == "ModalitiesInStudy":
            return str(row.get("related_modalities", ""))
        return str(row.get(f"related_{_RELATED[keyword][1]}", ""))
    column = _COLUMNS.get(keyword)
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
