"""Write annex_e_in_iods.csv: `python tests/vectors/annex_e_in_iods.py HIGHDICOM_WHEEL`.

Which attributes of PS3.15 Table E.1-1 the standard gives to objects of the classes that the shipped profiles let through,
and in which classes an object must have one, with a value or without (type 1 and 2 on the top level of a mandatory module).
highdicom 0.28.2 carries PS3.3 as JSON, made from innolitics' dicom-standard; both are under the MIT licence.
"""

import csv
import json
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

from pydicom.datadict import keyword_for_tag

from filmroom.deid import profile, table

TARGET = Path(__file__).with_suffix(".csv")
FOLDER = "highdicom/_standard"


def rows(wheel: Path) -> dict[str, set[str]]:
    with zipfile.ZipFile(wheel) as archive:
        names = ("sop_class_iod_map", "iod_module_map", "module_attribute_map")
        iods, modules, attributes = (json.loads(archive.read(f"{FOLDER}/{name}.json")) for name in names)
    known = {
        keyword_for_tag(int(row.tag, 16))
        for row in table.shipped().attributes
        if "x" not in row.tag and row.tag != table.PRIVATE
    }
    found: dict[str, set[str]] = defaultdict(set)
    for sop_class in {uid for name in profile.shipped() for uid in profile.load(name).rules}:
        for module in modules[iods[sop_class]]:
            for attribute in attributes.get(module["key"], ()):
                if attribute["keyword"] not in known:
                    continue
                must = module["usage"] == "M" and attribute["type"] in ("1", "2") and not attribute["path"]
                found[attribute["keyword"]] |= {sop_class} if must else set()
    return found


if __name__ == "__main__":
    with TARGET.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("keyword", "required"))
        writer.writerows(
            (keyword, " ".join(sorted(classes))) for keyword, classes in sorted(rows(Path(sys.argv[1])).items())
        )
