"""Says whether the content tree of a report is whole and has nothing that the profile does not know; the verifier's reading.

It shares the facts of `kinds` with what pruned the tree, and no code. Source: PS3.3 C.17.3.
"""

from collections.abc import Mapping
from typing import TypeAlias

from pydicom.dataset import Dataset

from filmroom.deid.kinds import NAMELESS, VALUE_OF
from filmroom.deid.profile import Action, Concept, Profile

_Path: TypeAlias = tuple[int, ...]
_POINTER = "ReferencedContentItemIdentifier"


def is_sound(report: Dataset, profile: Profile) -> bool:
    """Say whether every item has a concept and a value that may stay, and every reference leads to an item."""
    if str(report.get("VerificationFlag", "UNVERIFIED")) != "UNVERIFIED" or _name(report) not in profile.concepts:
        return False
    items: dict[_Path, Dataset] = {}
    waiting: list[tuple[_Path, Dataset]] = [((1,), report)]
    while waiting:
        at, holder = waiting.pop()
        items[at] = holder
        waiting += [((*at, n), item) for n, item in enumerate(holder.get("ContentSequence", ()), 1)]
    return len(items) > 1 and all(
        _leads(item, items) if _POINTER in item else _is_known(item, profile)
        for at, item in items.items()
        if at != (1,)
    )


def _leads(item: Dataset, items: Mapping[_Path, Dataset]) -> bool:
    value = item[_POINTER].value
    target: _Path = (value,) if isinstance(value, int) else tuple(value or ())
    allowed = {_POINTER, "RelationshipType"}
    return {element.keyword for element in item} <= allowed and target in items


def _is_known(item: Dataset, profile: Profile) -> bool:
    kind = str(item.get("ValueType"))
    if kind not in VALUE_OF or VALUE_OF[kind] not in item or item.get("RelationshipType") in (None, ""):
        return False
    # an item has the value of its own type and no other's
    others = {keyword for name, keyword in VALUE_OF.items() if keyword != VALUE_OF[kind]}
    if any(keyword in item for keyword in others):
        return False
    if kind in ("SCOORD", "TCOORD") and not item.get("ContentSequence"):
        return False
    if kind in NAMELESS and "ConceptNameCodeSequence" not in item:
        return True
    wanted = {Action.CLEAN_DESCRIPTOR} if kind == "TEXT" else {Action.CLEAN_DESCRIPTOR, Action.KEEP}
    return profile.concepts.get(_name(item)) in wanted and (_name(item), kind) not in profile.barred


def _name(item: Dataset) -> Concept:
    names = list(item.get("ConceptNameCodeSequence") or [])
    if len(names) != 1:
        return "", ""
    return str(names[0].get("CodingSchemeDesignator", "")), str(names[0].get("CodeValue", ""))
