"""What a file shows: its attributes as text by path, and every form of its bytes in which a text could hide."""

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments
from pydicom.multival import MultiValue

from filmroom.dicom import pixels
from filmroom.dicom.walk import FAILURES
from filmroom.errors import Unreadable

SHORTEST = 5
"""In bytes: what is shorter turns up in pixels by chance, and is looked for in its own attribute only."""

_RUNS = 6
_LENGTHS = (SHORTEST, 12)  # words of an image can look like digits in UTF-16: then three are not enough
_BITS = 24
_MASK, _FACTOR = (1 << _BITS) - 1, 0x9E3779  # any odd number that spreads bytes over the bits
_LONG_NUMBER = 9
_BETWEEN = bytes(8)
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BYTES = frozenset("OB OW OF OD OL OV UN".split())
_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
_ESCAPES = (b"\x1b$B", b"\x1b(B", b"\x1b$)C", b"\x1b(J")


@dataclass(frozen=True, slots=True)
class Element:
    keyword: str
    vr: str
    text: str = field(repr=False)


@dataclass(slots=True)
class Shown:
    """One file. `elements` by path, `meta` by keyword; `views` are lower-cased bytes."""

    name: str
    dataset: Dataset = field(repr=False)
    elements: dict[str, Element] = field(repr=False)
    meta: dict[str, Element] = field(repr=False)
    views: list[bytes] = field(repr=False)
    _folded: list[tuple[str, str]] = field(default_factory=list, repr=False)

    def found(self, patterns: "Patterns") -> set[int]:
        """Return the numbers of the texts that are in any of the views."""
        return patterns.found_in(_BETWEEN.join(self.views))

    def at(self, folded: str) -> set[str]:
        """Return the paths of the attributes that have a folded text in them."""
        if not self._folded:
            self._folded = [(path, fold(each.text)) for path, each in [*self.elements.items(), *self.meta.items()]]
        return {path for path, text in self._folded if folded in text}


class Patterns:
    """Many texts, each in every encoding that it could have, ready to be looked for in many files."""

    def __init__(self, texts: Sequence[tuple[str, str]]) -> None:
        """`texts` are pairs of a text and the codec of its file."""
        coded = [(number, form) for number, pair in enumerate(texts) for form in _encoded(*pair)]
        self._numbers = [number for number, _ in coded]
        self._forms = [form for _, form in coded]
        self._runs = {length: _runs(self._forms, length) for length in _LENGTHS}
        self._has = np.zeros((1 << _BITS) + 1, dtype=bool)
        self._has[-1] = True  # of forms that are shorter than a run

    def found_in(self, view: bytes) -> set[int]:
        """Return the numbers of the texts in it: those of which it has some short runs of bytes are worth a search."""
        likely = np.arange(len(self._forms))
        for length, runs in self._runs.items():
            if len(view) < length or not len(likely):
                continue
            read = np.frombuffer(view, dtype=np.uint8)
            there = _hashes([read[at : len(read) - length + 1 + at].astype(np.int64) for at in range(length)])
            self._has[there] = True
            likely = likely[self._has[runs[likely]].all(axis=1)]
            self._has[there] = False
        return {self._numbers[at] for at in likely if _is_in(self._forms[at], view)}


def show(path: Path, name: str) -> Shown:
    """Read a file. One that is no DICOM shows its bytes only."""
    return show_bytes(path.read_bytes(), name)


def show_bytes(data: bytes, name: str) -> Shown:
    try:
        dataset: Dataset = pydicom.dcmread(BytesIO(data), force=True)
    except FAILURES:
        dataset = Dataset()
    elements = dict(flat(dataset))
    meta = dict(flat(dataset.file_meta)) if hasattr(dataset, "file_meta") else {}
    texts = [element.text for element in (*elements.values(), *meta.values()) if element.vr not in _BYTES]
    joined = "\n".join(fold(text) for text in texts)
    squeezed = "\n".join("".join(filter(str.isalnum, fold(text))) for text in texts)
    views = [data.lower(), joined.encode(), squeezed.encode(), *_inflated(data, dataset), *_planes(dataset)]
    return Shown(name, dataset, elements, meta, views + [frame.lower() for frame in _fragments(dataset)])


def flat(dataset: Dataset, at: str = "") -> Iterator[tuple[str, Element]]:
    """Yield every element with its path, sequences' items included, sequences themselves not."""
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except FAILURES:
            continue
        name = element.keyword or f"({element.tag.group:04x},{element.tag.element:04x})"
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from flat(item, f"{at}{name}[{number}].")
        else:
            yield f"{at}{name}", Element(element.keyword, str(element.VR), text_of(element))


def text_of(element: DataElement) -> str:
    """Return a value as text, its trimmed components between backslashes; bytes as Latin-1, those of pixels left out."""
    value = element.value
    if element.keyword == "PixelData" or value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip("\0 ")
    parts = value if isinstance(value, MultiValue | list) else [value]
    return "\\".join(str(part).strip("\0 ") for part in parts)


def fold(text: str) -> str:
    """Return a text without case and accents."""
    plain = unicodedata.normalize("NFKD", text.replace("ø", "o").replace("Ø", "O"))
    return "".join(char for char in plain if not unicodedata.combining(char)).casefold()


def frames(dataset: Dataset) -> list[NDArray[np.generic]] | None:
    """Return the decoded frames, bits that the image does not use left out; None when they cannot be decoded."""
    try:
        found = list(pixels.frames(dataset))
    except (*FAILURES, Unreadable):
        return None
    stored, allocated = (int(dataset.get(keyword) or 0) for keyword in ("BitsStored", "BitsAllocated"))
    if 0 < stored < allocated and not dataset.get("PixelRepresentation"):
        mask = (1 << stored) - 1
        return [np.bitwise_and(frame, frame.dtype.type(mask)) if frame.dtype.kind == "u" else frame for frame in found]
    return found


def _is_in(form: bytes, view: bytes) -> bool:
    """Say whether bytes are in a view; digits only where no digit touches them, as long numbers hold any short one."""
    if form not in view or not form.isdigit():
        return form in view
    return re.search(rb"(?<!\d)" + form + rb"(?!\d)", view) is not None


def _runs(forms: Sequence[bytes], length: int) -> NDArray[np.int64]:
    """Return the hashes of some runs of bytes of each form, spread over it: long UIDs differ in their ends only."""
    hashes = np.full((len(forms), _RUNS), 1 << _BITS, dtype=np.int64)
    for row, form in enumerate(forms):
        if len(form) >= length:
            starts = [(len(form) - length) * number // (_RUNS - 1) for number in range(_RUNS)]
            hashes[row] = [_hashes([np.int64(form[start + at]) for at in range(length)]) for start in starts]
    return hashes


def _hashes(run: Sequence[Any]) -> Any:
    """Return a hash of _BITS bits of each run of bytes; `run` are its first bytes, its second ones and so on."""
    total = run[0]
    for each in run[1:]:
        total = (total * _FACTOR + each) & _MASK
    return total


def _encoded(text: str, charset: str) -> set[bytes]:
    """Return the bytes of a text and of what is left without accents, as lower-cased views would have them."""
    found = set()
    squeezed = "".join(filter(str.isalnum, fold(text)))
    if squeezed.isdecimal() and (len(squeezed) < _LONG_NUMBER or text.count(".") > 1):
        squeezed = text  # a date, a short number or a UID: its digits alone can be anything
    for form in {text, text.casefold(), text.upper(), fold(text), squeezed}:
        for encoding in {*_ENCODINGS, charset or "ascii"}:
            coded = form.encode(encoding, "ignore").lower()
            for escape in _ESCAPES:
                coded = coded.replace(escape.lower(), b"")
            if len(coded) >= max(SHORTEST, len(form)) and coded.decode(encoding, "ignore"):
                found.add(coded)
    return found


def _inflated(data: bytes, dataset: Dataset) -> Iterable[bytes]:
    if str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "")) != _DEFLATED:
        return []
    length = dataset.file_meta.get("FileMetaInformationGroupLength", 0)
    try:
        return [zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[144 + length :]).lower()]
    except zlib.error:
        return []


def _fragments(dataset: Dataset) -> list[bytes]:
    """Return the encapsulated pixel data without what stands between its fragments: a text may be cut by them."""
    try:
        if dataset["PixelData"].is_undefined_length:
            return [b"".join(generate_fragments(dataset.PixelData))]
    except FAILURES:
        pass
    return []


def _planes(dataset: Dataset) -> list[bytes]:
    """Return each plane of bits that the image does not use, as bytes, least significant bit first."""
    try:
        allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
        if allocated != 16 or stored >= allocated or dataset["PixelData"].is_undefined_length:
            return []
        words = np.frombuffer(dataset.PixelData[: len(dataset.PixelData) // 2 * 2], dtype="<u2")
    except FAILURES:
        return []
    planes = range(stored, allocated)
    return [np.packbits((words >> bit & 1).astype(np.uint8), bitorder="little").tobytes().lower() for bit in planes]
