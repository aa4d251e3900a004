"""The Native DICOM Model (PS3.19 annex A.1): a data set of `dicom.json` in XML, with the same values.

A private attribute has its creator beside it and no block in its tag, as the model wants it. Characters that XML 1.0
does not have become U+FFFD.
"""

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from pydicom.datadict import keyword_for_tag

from filmroom.canon import Json

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

_NAME_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def native(dataset: Mapping[str, Json]) -> bytes:
    """Return the document of a data set in DICOM JSON."""
    root = Element("NativeDicomModel", {"xmlns": NAMESPACE, "xml:space": "preserve"})
    _fill(root, dataset)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document.replace(b"\r", b"&#13;")  # a reader would take a bare CR for a LF


def _fill(parent: Element, dataset: Mapping[str, Json]) -> None:
    for tag, member in dataset.items():
        if isinstance(member, dict):
            _attribute(SubElement(parent, "DicomAttribute", _names(dataset, tag, str(member["vr"]))), member)


def _names(dataset: Mapping[str, Json], tag: str, vr: str) -> dict[str, str]:
    creator = _creator(dataset, tag)
    if creator:
        return {"tag": f"{tag[:4]}00{tag[6:]}", "vr": vr, "privateCreator": creator}
    keyword = keyword_for_tag(int(tag, 16))
    return {"tag": tag, "vr": vr} | ({"keyword": keyword} if keyword else {})


def _creator(dataset: Mapping[str, Json], tag: str) -> str:
    """Return who reserved a private attribute's block, "" for any other attribute or when nobody did."""
    if int(tag[3], 16) % 2 == 0 or tag[4:6] == "00":
        return ""
    reserved = dataset.get(f"{tag[:4]}00{tag[4:6]}")
    names = reserved.get("Value") if isinstance(reserved, dict) else None
    return _possible(str(names[0] or "")) if isinstance(names, list) and names else ""


def _attribute(element: Element, member: Mapping[str, Json]) -> None:
    if "BulkDataURI" in member:
        SubElement(element, "BulkData", {"uri": str(member["BulkDataURI"])})
    if "InlineBinary" in member:
        SubElement(element, "InlineBinary").text = str(member["InlineBinary"])
    values = member.get("Value")
    for number, value in enumerate(values if isinstance(values, list) else (), start=1):
        _value(element, str(number), str(member["vr"]), value)


def _value(element: Element, number: str, vr: str, value: Json) -> None:
    if vr == "SQ":
        item = SubElement(element, "Item", {"number": number})
        _fill(item, value if isinstance(value, dict) else {})
    elif vr == "PN":
        name = SubElement(element, "PersonName", {"number": number})
        for group, text in (value if isinstance(value, dict) else {}).items():
            parts = SubElement(name, group)
            for part, written in zip(_NAME_PARTS, str(text).split("^", 4), strict=False):
                if written:
                    SubElement(parts, part).text = _possible(written)
    else:
        SubElement(element, "Value", {"number": number}).text = None if value is None else _possible(str(value))


def _possible(text: str) -> str:
    return _IMPOSSIBLE.sub("\ufffd", text)
