"""Which attributes every object of a SOP class must have, with a value: type 1 in its IOD's mandatory modules (PS3.3 A).

What is conditional (1C), lies inside a sequence or belongs to an optional module is not looked at. The table,
`type1.json`, is written by docs/type1.py.
"""

import json
from collections.abc import Container, Mapping
from functools import cache, lru_cache
from importlib.resources import files

from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from filmroom.dicom import values
from filmroom.dicom.walk import Element
from filmroom.records import Finding, Severity

MISSING, EMPTY = "type1-missing", "type1-empty"

# Without these there is no instance at all, and `dicom.parse` refuses it with reasons of their own.
_IDENTITY = frozenset({"SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"})


def lacking(sop_class: str, elements: Mapping[int, Element], apart: Container[int] = ()) -> list[Finding]:
    """Return a finding for each attribute that is missing or empty; none for a class that the table does not have.

    The elements must still be as they were read, undecoded. `apart` are the tags whose values were left where they lie.
    """
    wanted = _wanted(sop_class)
    there = {tag: elements[tag] for tag in wanted.keys() & elements.keys()}
    found = [_finding(MISSING, wanted[tag]) for tag in wanted.keys() - there.keys()]
    return found + [_finding(EMPTY, wanted[tag]) for tag in there if tag not in apart and _is_empty(there[tag])]


def _is_empty(element: Element) -> bool:
    value = element.value
    if not value or not isinstance(element, RawDataElement):
        return not value
    return value[0] in b" \0" and values.is_blank(element)  # whatever starts otherwise is not blank


def _finding(code: str, keyword: str) -> Finding:
    return Finding(code, Severity.REVIEW, keyword)


@lru_cache(512)
def _wanted(sop_class: str) -> dict[int, str]:
    """Return the tags that the class requires, with their keywords."""
    table = _table()
    keywords = table["iods"].get(table["classes"].get(sop_class, ""), "").split()
    return {int(Tag(keyword)): keyword for keyword in keywords if keyword not in _IDENTITY}


@cache
def _table() -> dict[str, dict[str, str]]:
    text = files("filmroom.dicom").joinpath("type1.json").read_text("utf-8")
    table: dict[str, dict[str, str]] = json.loads(text)
    return table
