"""QIDO-RS: query parameters become a condition of the catalog's language, and rows become DICOM JSON. PS3.18 10.6.

Pure functions; what keys mean is `catalog.matching`'s business. An attribute that the catalog does not have cannot be
matched: asking for any value of it is all right, asking for one is refused, since leaving the condition out would
answer with what was not asked for.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from filmroom.canon import Json
from filmroom.catalog import matching
from filmroom.dicom.attributes import COLUMNS
from filmroom.dicom.json import attribute, tag_of
from filmroom.errors import Invalid
from filmroom.flow.search import Page
from filmroom.records import Column, ColumnType, Level, Value

MAX_LIMIT = 1000
MAX_OFFSET = 1_000_000

_LEVELS = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE)
BELOW: Mapping[Level, tuple[Level, ...]] = {
    Level.STUDY: (Level.SERIES, Level.INSTANCE),
    Level.SERIES: (Level.INSTANCE,),
    Level.INSTANCE: (),
}
"""What a row of a level says how many of it has."""

# What a row has even where the catalog does not know it (PS3.18 tables 10.6.3-3 to 10.6.3-5).
_EMPTY = {
    Level.STUDY: ("StudyTime", "ReferringPhysicianName", "PatientName", "StudyID"),
    Level.SERIES: ("SeriesNumber", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
    Level.INSTANCE: (),
}
_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")


@dataclass(frozen=True, slots=True)
class Search:
    """One search: the condition, and which page of its rows."""

    where: str = field(repr=False)
    limit: int
    offset: int
    warnings: tuple[str, ...] = ()


def read(named: Mapping[str, str], parameters: Sequence[tuple[str, str]]) -> Search:
    """Read a search: `named` are the UIDs of the path by keyword. Raises Invalid, and names attributes but no value."""
    conditions = [f"{matching.COLUMN_OF[keyword].name} = {matching.quote(uid)}" for keyword, uid in named.items()]
    limit, offset, warnings = MAX_LIMIT, 0, []
    for name, value in parameters:
        match name.lower():
            case "limit":
                limit = min(_count(value), MAX_LIMIT)
            case "offset":
                offset = _count(value)
            case "includefield":
                pass  # a row has all that the catalog knows anyhow
            case "fuzzymatching":
                if value.lower() == "true":
                    warnings.append("fuzzy matching is not supported; only literal matching has been performed")
            case _:
                condition = _condition(_keyword(name), value)
                conditions += [condition] if condition else []
    if offset > MAX_OFFSET:
        raise Invalid("an offset that is too far", f"skip at most {MAX_OFFSET} rows")
    where = " AND ".join(f"({condition})" for condition in conditions)
    return Search(where, limit, offset, tuple(warnings))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Invalid("limit and offset are whole numbers", "write for example: limit=100&offset=200")
    return int(text)


def _keyword(name: str) -> str:
    """Return the keyword of an attribute that is named by keyword or tag; a path into a sequence stays as it is."""
    if _TAG.match(name):
        return next((keyword for keyword in matching.COLUMN_OF if tag_of(keyword) == name.upper()), f"({name.upper()})")
    first = name.partition(".")[0]
    if not _TAG.match(first) and tag_of(first) is None:
        raise Invalid("a query parameter is no attribute", "use keywords or tags of the DICOM dictionary")
    return name


def _condition(keyword: str, value: str) -> str:
    """Return the condition for one matching key, "" for one that everything matches."""
    if matching.is_universal(value):
        return ""
    column = matching.COLUMN_OF.get(keyword)
    if column is None:
        raise Invalid(f"{keyword} cannot be searched by", "`filmroom columns` lists the attributes that can")
    return matching.condition(column, value)


# -- rows ----------------------------------------------------------------------------------------------------------


def datasets(page: Page, studies: str) -> list[dict[str, Json]]:
    """Return the rows in DICOM JSON, each with the URL that retrieves it; `studies` is the resource's URL."""
    return [dict(sorted(_dataset(page, row, studies).items())) for row in page.rows]


def _dataset(page: Page, row: Mapping[str, Value], studies: str) -> dict[str, Json]:
    upper = _LEVELS[: _LEVELS.index(page.level) + 1]
    members = [attribute(keyword) for level in upper for keyword in _EMPTY.get(level, ())]
    members += [
        attribute(column.dicom, _values(column, row[column.name]))
        for column in COLUMNS
        if column.dicom in matching.COLUMN_OF and column.level in upper and column.dicom != "TransferSyntaxUID"
    ]
    url = f"{studies}/{row['study_uid']}"
    study = str(row["study_uid"])
    if page.level is Level.STUDY:
        members += [
            attribute("ModalitiesInStudy", page.modalities.get(study, ())),
            attribute("NumberOfStudyRelatedSeries", [page.series[study]]),
            attribute("NumberOfStudyRelatedInstances", [page.instances[study]]),
        ]
    if page.level in (Level.SERIES, Level.INSTANCE):
        url += f"/series/{row['series_uid']}"
    if page.level is Level.SERIES:
        members.append(attribute("NumberOfSeriesRelatedInstances", [page.instances[str(row["series_uid"])]]))
    if page.level is Level.INSTANCE:
        url += f"/instances/{row['sop_uid']}"
        members.append(attribute("AvailableTransferSyntaxUID", [row["transfer_syntax"]]))
    members += [attribute("InstanceAvailability", ["ONLINE"]), attribute("RetrieveURL", [url])]
    return dict(members)


def _values(column: Column, value: Value) -> list[str | int | float]:
    """Return a column's value as its attribute has it."""
    if value is None:
        return []
    if column.type is ColumnType.DATE:
        return [str(value).replace("-", "")]
    if column.name in matching.MANY:
        return list(str(value).split("\\"))
    return [value]
