"""Writes deid/devices.toml, where known devices write text: `python docs/devices.py DEID_WHEEL`.

deid (MIT licence) carries rules for flagging images, some with coordinates. Taken are those that ask for nothing but what a header
says of a device and its picture, each of which has to be there. Those marked as from CTP, which is under another licence, are left out.
"""

import hashlib
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import filmroom

TARGET = Path(filmroom.__file__).parent / "deid" / "devices.toml"
SOURCE = "deid/data/deid.dicom"
KEYS = {
    "Modality": "modality",
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "model",
    "SoftwareVersions": "software",
    "Rows": "rows",
    "Columns": "columns",
}
_LABEL = re.compile(
    r"LABEL (?P<title>[^#\n]*)#? *(?P<origin>[^\n]*)\n(?P<body>.*?)(?=^LABEL |^%|\Z)", re.DOTALL | re.MULTILINE
)
_TEST = re.compile(r"\+? *(contains|equals) (\w+) (.+)")
_CORNERS = re.compile(r"(ctp)?coordinates (\d+), *(\d+), *(\d+), *(\d+)")
_HEAD = """\
# Where devices write text into their pictures; `Device` in devices.py says what the keys mean. Made by docs/devices.py from
# {source} of deid {version} (https://github.com/pydicom/deid; SHA-256 of the file
# {digest}); raise METHOD in policy.py with every change.
#
# deid is under this licence:
#
{licence}
"""


def write(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(SOURCE)
        licence = archive.read(next(name for name in archive.namelist() if name.endswith("/LICENSE"))).decode()
    lines = "\n".join(f"# {line}".rstrip() for line in licence.strip().splitlines())
    version, digest = wheel.name.split("-")[1], hashlib.sha256(data).hexdigest()
    head = _HEAD.format(source=SOURCE, version=version, digest=digest, licence=lines)
    found = dict.fromkeys(_rules(data.decode()))  # some are there twice
    TARGET.write_text("\n".join([head, *found]), "utf-8")


def _rules(recipe: str) -> Iterator[str]:
    for label in _LABEL.finditer(recipe.partition("%filter graylist")[2]):
        lines = [line.strip() for line in label["body"].splitlines() if line.strip() and not line.startswith("#")]
        corners = [match for line in lines if (match := _CORNERS.fullmatch(line))]
        tests = [_TEST.fullmatch(line) for line in lines if not _CORNERS.fullmatch(line)]
        keys = {test[2]: test[3] for test in tests if test and test[2] in KEYS and "||" not in test[3]}
        of_a_device = len(keys) == len(tests) and "ManufacturerModelName" in keys
        if corners and of_a_device and "CTP" not in label["title"] + label["origin"]:
            yield _rule(keys, corners)


def _rule(keys: dict[str, str], corners: list[re.Match[str]]) -> str:
    told = [
        f"{KEYS[key]} = {_value(key, text)}"
        for key, text in sorted(keys.items(), key=lambda each: list(KEYS).index(each[0]))
    ]
    boxes = ", ".join(_box(match) for match in corners)
    return "\n".join(["[[devices]]", *told, f"blank = [{boxes}]", ""])


def _value(key: str, text: str) -> str:
    if key in ("Rows", "Columns"):
        return str(int(text))
    words = text.split("|")
    return f'"{words[0]}"' if len(words) == 1 else "[" + ", ".join(f'"{word}"' for word in words) + "]"


def _box(corners: re.Match[str]) -> str:
    left, top, right, bottom = map(int, corners.groups()[1:])
    if corners[1]:  # CTP's way: a corner, width and height
        right, bottom = left + right, top + bottom
    return f"{{ left = {left}, top = {top}, right = {right}, bottom = {bottom} }}"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
