"""Writes dicom/regions.csv, the vocabulary of body parts: `python docs/regions.py HIGHDICOM_WHEEL`.

highdicom (MIT licence) carries table L-1 of PS3.16, the Body Part Examined terms with their SNOMED CT codes, and its
pairedness; pydicom (MIT licence) knows the older SNOMED RT identifiers of the same concepts. Terms that share a code with
an earlier one are left out, so that a code has one term; dicom/normalization.toml says what they are read as.
"""

import csv
import json
import sys
import zipfile
from pathlib import Path

from pydicom.sr._snomed_dict import mapping

import filmroom

TARGET = Path(filmroom.__file__).parent / "dicom" / "regions.csv"
SOURCE = "highdicom/_standard/anatomic_regions.json"


def write(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        terms = json.loads(archive.read(SOURCE))
    rows = {}
    # Chest before thorax, an organ before the same organ seen from inside.
    for term, (_, code, meaning, paired) in sorted(terms.items(), key=lambda item: item[0].startswith("ENDO")):
        rows.setdefault(code, (term, code, mapping["SCT"].get(code, ""), "paired" if paired else "", meaning))
    with TARGET.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("term", "code", "older_code", "paired", "meaning"))
        writer.writerows(sorted(rows.values()))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
