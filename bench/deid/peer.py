"""Runs another tool over a folder: `python peer.py TOOL PLANTED OUT`, by the Python of an environment that has the tool.

Imports nothing of this project. Prints one JSON document: which file came of which, which could not be done and why, and
the seconds of processor time. Every file is tried by itself, as one failure would otherwise end the run.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path


def _dicom_anonymizer() -> Callable[[Path, Path, Path], Path]:
    from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file, initialize_actions

    def run(source: Path, out: Path, name: Path) -> Path:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        anonymize_dicom_file(
            str(source),
            str(target),
            delete_private_tags=True,
            base_rules_gen=lambda: initialize_actions("dicomfields_2026c"),
        )
        return target

    return run


def _dicognito() -> Callable[[Path, Path, Path], Path]:
    import pydicom
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer(seed="bench")

    def run(source: Path, out: Path, name: Path) -> Path:
        dataset = pydicom.dcmread(source)
        anonymizer.anonymize(dataset)
        target = out / f"{dataset.SOPInstanceUID}.dcm"  # as its command line names them
        dataset.save_as(target)
        return target

    return run


def _dcmanon() -> Callable[[Path, Path, Path], Path]:
    from dcmanon import Anonymizer

    anonymizer = Anonymizer()
    numbers = count()

    def run(source: Path, out: Path, name: Path) -> Path:
        target = out / f"{next(numbers)}.dcm"  # it gives bytes and no name
        target.write_bytes(anonymizer.anonymize(str(source)))
        return target

    return run


TOOLS = {"dicom-anonymizer": _dicom_anonymizer, "dicognito": _dicognito, "dcmanon": _dcmanon}


def main(tool: str, planted: Path, out: Path) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    out.mkdir(parents=True)
    run = TOOLS[tool]()
    released, failed = {}, {}
    start = time.process_time()
    for source in sorted(path for path in planted.rglob("*") if path.is_file()):
        name = source.relative_to(planted)
        try:
            released[str(name)] = str(run(source, out, name))
        except Exception as error:  # noqa: BLE001  # whatever the tool raises is said of the file
            failed[str(name)] = type(error).__name__
    print(json.dumps({"released": released, "failed": failed, "cpu": time.process_time() - start}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
