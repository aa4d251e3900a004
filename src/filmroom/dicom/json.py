"""The DICOM JSON Model (PS3.18 annex F): from a data set, or from single attributes, to JSON values.

Large binary values are left out and named by a BulkDataURI; `bulk_value` gives one of them back. A value that cannot be
decoded has its VR and nothing else: an odd file has metadata like any other. Numbers that JSON does not have are text.
"""

import base64
import math
from collections.abc import Callable, Iterator, Sequence

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from filmroom.canon import Json
from filmroom.dicom.walk import EXPLICIT_BIG, FAILURES, MAX_DEPTH, meta_text, vr_of
from filmroom.errors import NotFound, Unreadable

INLINE_BYTES = 1024
"""Binary values up to this size stand in the metadata itself."""

_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "US or OW", "US or SS or OW"})
_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})
_REALS = frozenset({"DS", "FD", "FL"})
_CHARSET = 0x00080005


def tag_of(keyword: str) -> str | None:
    """Return an attribute's tag as eight hex digits, None for a keyword that the dictionary does not have."""
    tag = tag_for_keyword(keyword)
    return None if tag is None else f"{tag:08X}"


def attribute(keyword: str, values: Sequence[str | int | float | None] = ()) -> tuple[str, Json]:
    """Return an attribute of the dictionary with these values, None among them left out, as a member of a data set."""
    tag = Tag(keyword)
    vr = dictionary_VR(tag).split(" or ")[0]
    whole = [value for value in values if value not in (None, "")]
    listed: list[Json] = [{"Alphabetic": str(value)} for value in whole] if vr == "PN" else list(whole)
    return f"{tag:08X}", {"vr": vr, "Value": listed} if listed else {"vr": vr}


def sequence(keyword: str, items: Sequence[dict[str, Json]]) -> tuple[str, Json]:
    """Return a sequence attribute with these items as a member of a data set."""
    listed: list[Json] = list(items)
    return f"{Tag(keyword):08X}", {"vr": "SQ", "Value": listed} if listed else {"vr": "SQ"}


def metadata(dataset: Dataset, bulk_uri: Callable[[str], str]) -> dict[str, Json]:
    """Return a data set without its bulk data; `bulk_uri` makes the URI of a value from its path.

    A path is a tag, or a sequence's tag, an item's number from 0 and a tag, and so on, joined by slashes. Text is Unicode,
    and Specific Character Set says so. The file meta group is not part of it.
    """
    return dict(_members(dataset, bulk_uri, "", 0))


def bulk_value(dataset: Dataset, path: str) -> bytes:
    """Return the binary value at a path of `metadata`. Raises NotFound when there is none."""
    steps = path.split("/")
    here = dataset
    try:
        for tag, item in zip(steps[:-1:2], steps[1::2], strict=True):
            here = here[Tag(int(tag, 16))].value[int(item)]
        element = here[Tag(int(steps[-1], 16))]
        value = element.value
    except FAILURES:
        value = None
    if not isinstance(value, bytes):
        raise NotFound("there is no bulk data at this place", "take the BulkDataURI from the instance's metadata")
    big = meta_text(getattr(dataset, "file_meta", None), 0x00020010) == EXPLICIT_BIG
    if big and element.VR == "OW":
        raise Unreadable("bulk data of a big endian object is not given", "retrieve the whole instance")
    return value


def _members(dataset: Dataset, bulk_uri: Callable[[str], str], above: str, depth: int) -> Iterator[tuple[str, Json]]:
    for tag in sorted(dataset.keys()):
        if tag.group <= 2 or tag.element == 0:
            continue
        name = f"{tag:08X}"
        try:
            element = dataset[tag]
            yield name, _member(element, bulk_uri, f"{above}{name}", depth)
        except FAILURES:
            yield name, {"vr": _vr_known(dataset, tag)}


def _member(element: DataElement, bulk_uri: Callable[[str], str], path: str, depth: int) -> Json:
    vr = str(element.VR)
    if vr == "SQ":
        if depth >= MAX_DEPTH:
            return {"vr": vr}
        items: list[Json] = [
            dict(_members(item, bulk_uri, f"{path}/{number}/", depth + 1)) for number, item in enumerate(element.value)
        ]
        return {"vr": vr, "Value": items} if items else {"vr": vr}
    if int(element.tag) == _CHARSET:
        return {"vr": "CS", "Value": ["ISO_IR 192"]}
    if vr in _BINARY and isinstance(element.value, bytes | None):
        value = element.value or b""
        short = vr.rpartition(" ")[2] if " " in vr else vr
        if len(value) > INLINE_BYTES:
            return {"vr": short, "BulkDataURI": bulk_uri(path)}
        return {"vr": short, "InlineBinary": base64.b64encode(value).decode()} if value else {"vr": short}
    if element.is_empty:
        return {"vr": vr.partition(" ")[0]}
    many = element.value if element.VM > 1 else [element.value]
    return {"vr": vr.partition(" ")[0], "Value": [_value(each, vr) for each in many]}


def _value(value: object, vr: str) -> Json:
    """Return one value. Raises what pydicom raises for one that is broken."""
    if value is None or value == "":
        return None
    if vr == "PN":
        groups = zip(("Alphabetic", "Ideographic", "Phonetic"), value.components, strict=False)  # type: ignore[attr-defined]
        return {name: _clean(str(group)) for name, group in groups if group}
    if vr == "AT":
        return f"{int(str(value)) if not isinstance(value, int) else value:08X}"
    if vr in _INTEGERS:
        return int(str(value))
    if vr in _REALS:
        number = float(str(value))
        return number if math.isfinite(number) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(number, "NaN")
    return _clean(str(value))


def _clean(text: str) -> str:
    """Make what UTF-8 does not have visible."""
    return text.encode("utf-8", "backslashreplace").decode()


def _vr_known(dataset: Dataset, tag: BaseTag) -> str:
    element = dataset.get_item(tag)
    vr = vr_of(element).partition(" ")[0]
    return vr if len(vr) == 2 and vr.isalpha() and vr.isupper() else "UN"
