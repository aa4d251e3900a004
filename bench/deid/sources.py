"""Which real files the plants go into: some of each kind, from the corpus or from those that pydicom ships."""

import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

import pydicom
import pydicom.data
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import FileDataset

from filmroom.dicom.walk import FAILURES

_LARGEST = 3 << 20
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_EVERYDAY = frozenset(_STORAGE + end for end in ("1", "2", "4", "4.1", "6.1", "128"))  # CR, CT, MR, US, PET
_HANDS = 4
_CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"


def choose(count: int) -> list[Path]:
    """Return up to `count` readable files with a SOP class, over as many classes, modalities and encodings as there are.

    FILMROOM_BENCH_CORPUS names another folder than `../shared/corpus`.
    """
    folder = Path(os.environ.get("FILMROOM_BENCH_CORPUS", _CORPUS))
    if not folder.is_dir():
        folder = Path(pydicom.data.__file__).parent / "test_files"
    kinds: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and each.stat().st_size <= _LARGEST):
        for kind in _kind(path):
            kinds[kind].append(path)
    # Classes take turns, and within a class its encodings do, so that no large collection crowds out the rest.
    classes: dict[str, list[list[Path]]] = defaultdict(list)
    for kind in sorted(kinds):
        classes[kind[0]].append(kinds[kind])
    turns = chain.from_iterable(_hands(sop_class, _by_turns(groups)) for sop_class, groups in classes.items())
    return [path for path in chain.from_iterable(zip_longest(*turns)) if path is not None][:count]


def read(path: Path) -> FileDataset:
    """Return the whole data set, every value of it decoded. Raises what pydicom raises for one that is malformed."""
    dataset = pydicom.dcmread(path)
    dataset.decode()
    for _ in dataset.iterall():
        pass
    int(dataset.get("NumberOfFrames") or 1)
    return dataset


def _hands(sop_class: str, paths: list[Path]) -> list[list[Path]]:
    """Return the files in as many hands as get a turn."""
    hands = _HANDS if sop_class in _EVERYDAY else 1
    return [paths[hand::hands] for hand in range(hands)]


def _kind(path: Path) -> Iterator[tuple[str, ...]]:
    try:
        dataset = read(path)
        if "SOPInstanceUID" in dataset and dataset.SOPClassUID in UID_dictionary and "Modality" in dataset:
            syntax = str(dataset.file_meta.TransferSyntaxUID)
            yield str(dataset.SOPClassUID), syntax, str(dataset.Modality), str(dataset.get("PhotometricInterpretation"))
    except (*FAILURES, AttributeError, KeyError, pydicom.errors.InvalidDicomError):
        return


def _by_turns(groups: list[list[Path]]) -> list[Path]:
    return [path for path in chain.from_iterable(zip_longest(*groups)) if path is not None]
