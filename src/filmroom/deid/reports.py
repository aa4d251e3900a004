"""Leaves of a report the content items whose concept the profile knows, in a tree that is whole.

It works on what the rules left of the values: an item whose value did not survive goes too, with all that lies below it.
References from item to item follow to where the items are now. Sources: PS3.15 E.3.4 and Table E.3.4-1, PS3.3 C.17.3.
"""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeAlias

from pydicom.dataset import Dataset

from filmroom.deid.kinds import NAMELESS, VALUE_OF
from filmroom.deid.policy import has_code
from filmroom.deid.profile import Action, Concept, Profile
from filmroom.deid.publiccodes import meanings
from filmroom.records import Reason

_Path: TypeAlias = tuple[int, ...]
_ROOT: _Path = (1,)
_ROOM = 64  # characters of a Code Meaning
_NEEDS_BELOW = frozenset({"SCOORD", "TCOORD"})


def prune(report: Dataset, profile: Profile, known: AbstractSet[str]) -> Reason | None:
    """Take out of a cleaned report what may not stay; return why when nothing of it may.

    Whoever verified the original has not seen what is left. Codes get their meaning from the standard, unless one of the
    `known` words, which identify the patient, is in it.
    """
    if _concept(report) not in profile.concepts:
        return Reason("report-not-known", "the profile does not know the concept that is the title of the report")
    staying = _staying(report, profile)
    if len(staying) == 1:
        return Reason("report-empty", "nothing of the report's content may stay")
    moved = {_ROOT: _ROOT}
    _rebuild(report, staying, _ROOT, moved)
    for path, item in staying.items():
        if path != _ROOT and "ReferencedContentItemIdentifier" in item:
            item.ReferencedContentItemIdentifier = list(moved[_target(item)])
    report.VerificationFlag = "UNVERIFIED"
    for item in staying.values():
        _name_codes(item, known)
    return None


def _staying(report: Dataset, profile: Profile) -> dict[_Path, Dataset]:
    """Return the items that stay by where they are, without any that points to one that goes."""
    gone: set[_Path] = set()
    while True:
        staying = {_ROOT: report, **dict(_below(report, profile, _ROOT, gone))}
        pointing = {path for path, item in staying.items() if "ReferencedContentItemIdentifier" in item}
        dangling = {path for path in pointing if _target(staying[path]) not in staying}
        if not dangling:
            return staying
        gone |= dangling


def _below(parent: Dataset, profile: Profile, path: _Path, gone: set[_Path]) -> Iterator[tuple[_Path, Dataset]]:
    for number, item in enumerate(parent.get("ContentSequence") or [], 1):
        here = (*path, number)
        if here in gone or not _may_stay(item, profile):
            continue
        below = list(_below(item, profile, here, gone))
        if below or item.get("ValueType") not in _NEEDS_BELOW:
            yield here, item
            yield from below


def _may_stay(item: Dataset, profile: Profile) -> bool:
    kind = item.get("ValueType")
    if not item.get("RelationshipType"):
        return False
    if "ReferencedContentItemIdentifier" in item:
        return kind is None and "ContentSequence" not in item
    if kind not in VALUE_OF or not _has_value(item, kind):
        return False
    if not item.get("ConceptNameCodeSequence"):
        return kind in NAMELESS
    if (_concept(item), kind) in profile.barred:
        return False
    action = profile.concepts.get(_concept(item))
    return action is Action.CLEAN_DESCRIPTOR or (action is Action.KEEP and kind != "TEXT")


def _has_value(item: Dataset, kind: str) -> bool:
    value = item.get(VALUE_OF[kind])
    if kind == "NUM":
        # without a measured value an item says that it could not be measured
        return value is not None and all(
            each.get("NumericValue") is not None and has_code(each, "MeasurementUnitsCodeSequence") for each in value
        )
    if kind == "CODE":
        return has_code(item, "ConceptCodeSequence")
    if VALUE_OF[kind] == "ReferencedSOPSequence":
        return bool(value) and all(
            each.get("ReferencedSOPClassUID") and each.get("ReferencedSOPInstanceUID") for each in value
        )
    return not item[VALUE_OF[kind]].is_empty if VALUE_OF[kind] in item else False


def _name_codes(item: Dataset, known: AbstractSet[str]) -> None:
    """Give every code of an item, but not of those below it, a meaning: the attribute has to have a value."""
    for element in item:
        for each in element.value if element.VR == "SQ" and element.keyword != "ContentSequence" else ():
            code = str(each.get("CodingSchemeDesignator") or ""), str(each.get("CodeValue") or "")
            meaning = meanings().get(code, "")[:_ROOM].rstrip()
            if "CodeMeaning" in each and meaning and known.isdisjoint(re.findall(r"\w+", meaning.lower())):
                each.CodeMeaning = meaning
            elif "CodeMeaning" in each:
                each.CodeMeaning = each.CodeMeaning or "REMOVED"
            _name_codes(each, known)


def _concept(item: Dataset) -> Concept:
    name = (item.get("ConceptNameCodeSequence") or [Dataset()])[0]
    return str(name.get("CodingSchemeDesignator") or ""), str(name.get("CodeValue") or "")


def _target(item: Dataset) -> _Path:
    identifier = item["ReferencedContentItemIdentifier"]
    found = identifier.value if identifier.VM > 1 else [identifier.value]
    return tuple(int(part or 0) for part in found)


def _rebuild(parent: Dataset, staying: Mapping[_Path, Dataset], path: _Path, moved: dict[_Path, _Path]) -> None:
    """Give the parent, which was at `path`, the children that stay, and note where they are."""
    found = list(enumerate(parent.get("ContentSequence") or [], 1))
    left = [(number, item) for number, item in found if (*path, number) in staying]
    for place, (number, item) in enumerate(left, 1):
        moved[*path, number] = (*moved[path], place)
        _rebuild(item, staying, (*path, number), moved)
    if left:
        parent.ContentSequence = [item for _, item in left]
    elif found:
        del parent.ContentSequence
