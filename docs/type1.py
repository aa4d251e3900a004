"""Writes dicom/type1.json, which attributes an object must have by its SOP class: `python docs/type1.py HIGHDICOM_WHEEL`.

highdicom carries PS3.3 as JSON, made from innolitics' dicom-standard; both are under the MIT licence. Only what holds for
every object of a class is taken: attributes of type 1, on the top level of its IOD's mandatory modules.
"""

import json
import sys
import zipfile
from pathlib import Path

import filmroom

TARGET = Path(filmroom.__file__).parent / "dicom" / "type1.json"
FOLDER = "highdicom/_standard"

# The table there holds every kind of content item; the root of a document is a container (PS3.3 C.17.3.1).
ROOT_OF_A_DOCUMENT = ("ValueType", "ContinuityOfContent")


def table(wheel: Path) -> dict[str, object]:
    with zipfile.ZipFile(wheel) as archive:
        names = ("sop_class_iod_map", "iod_module_map", "module_attribute_map")
        classes, modules, attributes = (json.loads(archive.read(f"{FOLDER}/{name}.json")) for name in names)
    iods = {
        iod: sorted(
            {
                attribute["keyword"]
                for module in modules[iod]
                if module["usage"] == "M"
                for attribute in attributes.get(module["key"], ())
                if attribute["type"] == "1" and not attribute["path"]
                if module["key"] != "sr-document-content" or attribute["keyword"] in ROOT_OF_A_DOCUMENT
            }
        )
        for iod in sorted(set(classes.values()))
    }
    return {
        "origin": f"PS3.3 by way of {'-'.join(wheel.name.split('-')[:2])} (MIT licence); written by docs/type1.py",
        "classes": dict(sorted(classes.items())),
        "iods": {iod: " ".join(keywords) for iod, keywords in iods.items()},
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(table(Path(sys.argv[1])), indent=1) + "\n", "utf-8")
