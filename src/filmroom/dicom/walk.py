"""From bytes to a data set of undecoded elements, with everything that is wrong with the way they lie there.

Reading is pydicom's; this module keeps its books: where the bytes end, which encoding they really have, how deep they
nest. It does not look into values (`dicom.values`) and does not judge attributes (`dicom.parse`).

Rules: nothing is decoded that nobody asked for; what pydicom passes over in silence (a value that ends early, an
element that comes twice) is written down; no value reaches a text, only names of attributes, lengths and counts.
Source: PS3.5 section 7 and annex A, PS3.10 section 7.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from typing import BinaryIO

from pydicom.charset import convert_encodings, python_encoding
from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from filmroom.dicom.windows import Lengthy, Window, end_at, open_stream
from filmroom.errors import Unreadable
from filmroom.records import Finding, Reason, Severity

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
GE_PRIVATE = "1.2.840.113619.5.2"  # implicit VR little endian, pixels big endian

UNDEFINED = 0xFFFFFFFF
MAX_DEPTH = 64
MAX_INFLATED_BYTES = 1 << 30
DEFERRED = 1 << 25
MAX_HELD = 1 << 26
MAX_ELEMENTS = 1 << 14

Element = RawDataElement | DataElement

# What pydicom raises on broken bytes: found by running it over the sample corpus, truncations, bit flips and noise.
FAILURES = (
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

# How the data set of a transfer syntax is encoded, where it is not explicit VR little endian.
_ENCODINGS = {IMPLICIT_LITTLE: IMPLICIT_LITTLE, GE_PRIVATE: IMPLICIT_LITTLE, EXPLICIT_BIG: EXPLICIT_BIG}

# What pydicom decodes in every item: the character set, and how pixels are represented.
_CHARSET, _PIXEL_REPRESENTATION = BaseTag(0x00080005), BaseTag(0x00280103)
_DECODED = (_CHARSET, _PIXEL_REPRESENTATION)

_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_LONGEST_META = 1 << 20
_VRS = frozenset(vr.value.encode() for vr in STANDARD_VR)

# Preambles that make the file something else to another program: TIFF is legitimate (PS3.10 7.1), programs are not.
_POLYGLOTS = (b"MZ", b"\x7fELF", b"PK\x03\x04", b"%PDF", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"#!", b"<")


@dataclass(frozen=True, slots=True)
class Reading:
    """A data set as far as it could be read. `declared` is what the file says its transfer syntax is, "" if nothing.

    `dataset.file_meta` names the transfer syntax that the bytes have; where it was missing or wrong, it was put right.
    """

    dataset: Dataset = field(repr=False)
    declared: str
    syntax: str
    reasons: tuple[Reason, ...]
    findings: tuple[Finding, ...]
    windows: Mapping[int, Window] = field(repr=False)


@dataclass(slots=True)
class _Book:
    """What is written down while the bytes are walked."""

    reasons: list[Reason] = field(default_factory=list)
    findings: dict[Finding, None] = field(default_factory=dict)
    windows: dict[int, Window] = field(default_factory=dict)

    def refuse(self, code: str, detail: str) -> None:
        self.reasons.append(Reason(code, detail))

    def note(self, code: str, severity: Severity, place: str = "") -> None:
        self.findings[Finding(code, severity, place)] = None


def walk(data: Lengthy, *, max_inflated: int = MAX_INFLATED_BYTES) -> Reading:
    """Read the elements of a Part 10 file or of a bare data set, undecoded. Never raises for what the bytes hold.

    A deflated data set (PS3.5 A.5) is inflated up to `max_inflated` bytes.
    Of what is not in memory, the value of an element over `DEFERRED` bytes is empty; `windows` says where it lies.
    It is not read any further once the others have more than `MAX_HELD` bytes, nor is anything beyond `MAX_ELEMENTS`.
    """
    book = _Book()
    start = _preamble(data, book)
    meta, at = _file_meta(data, start, book)
    declared = meta_text(meta, 0x00020010)
    if declared and not is_uid(declared):
        book.refuse("transfer-syntax-wrong", "the declared transfer syntax is no UID")
        declared = ""
    body, encoding = _body(data, at, declared, max_inflated, book)
    fits = declared and (encoding == _ENCODINGS.get(declared, EXPLICIT_LITTLE) or _is_compressed(declared))
    syntax = declared if fits else encoding
    elements: dict[BaseTag, Element] = {}
    explicit, little = encoding != IMPLICIT_LITTLE, encoding != EXPLICIT_BIG
    _elements(body, data, explicit, little, elements, book)
    if not elements and not book.reasons:
        book.refuse("unreadable", "there is no data set after the file's header")
    dataset = Dataset(elements)
    encodings = _encodings(dataset, book)
    dataset.set_original_encoding(not explicit, little, encodings)
    dataset.file_meta = meta if meta is not None and declared == syntax else _meta_with(meta, syntax)
    return Reading(dataset, declared, syntax, tuple(book.reasons), tuple(book.findings), book.windows)


def nested(dataset: Dataset, depth: int = 0, path: str = "") -> Iterator[tuple[Element, Dataset, str]]:
    """Yield every element with the data set that it lies in and its path, sequences opened, parents first.

    A path is made of keywords (`(gggg,eeee)` for an unknown attribute), without item numbers. Raises Unreadable when
    a sequence cannot be read or nests deeper than MAX_DEPTH.
    """
    for element in _undecoded(dataset):
        place = path + name_of(element.tag)
        yield element, dataset, place
        if is_sequence(element):
            yield from inside(element, dataset, depth, place)


def inside(element: Element, dataset: Dataset, depth: int, place: str) -> Iterator[tuple[Element, Dataset, str]]:
    """Yield what `nested` yields of one sequence, which lies in `dataset` at `place`."""
    if depth >= MAX_DEPTH:
        raise Unreadable(f"sequences nest deeper than {MAX_DEPTH} levels", "ask the sender for a sound file")
    try:
        items = list(dataset[element.tag].value)
    except FAILURES:
        # pydicom quotes values in its messages, and a chained exception would carry them into a log
        raise Unreadable(f"the sequence {place} cannot be read", "ask the sender for a sound file") from None
    for item in items:
        if isinstance(item, Dataset):
            yield from nested(item, depth + 1, f"{place}.")


def contents(element: Element, dataset: Dataset, place: str) -> Iterator[tuple[Element, str]]:
    """Yield the elements inside an outermost sequence with their paths, as `inside` does, and with what it raises."""
    found = _plain_contents(element, 1, place) if _is_harmless(dataset) else None
    if found is not None:
        yield from found
        return
    for each, _, where in inside(element, dataset, 0, place):
        yield each, where


def _plain_contents(element: Element, depth: int, place: str) -> list[tuple[Element, str]] | None:
    """Read items of known lengths with nothing but plain elements; None for what only pydicom can tell the end of."""
    if not isinstance(element, RawDataElement) or element.VR not in ("SQ", None) or not element.is_little_endian:
        return None
    if element.tag >> 16 & 1 or depth > MAX_DEPTH:
        return None
    value = element.value or b""
    found: list[tuple[Element, str]] = []
    at = 0
    while at < len(value):
        start = at + 8
        length = int.from_bytes(value[at + 4 : start], "little")
        if value[at : at + 4] != b"\xfe\xff\x00\xe0" or start + length > len(value):
            return None
        members: dict[BaseTag, Element] = {}
        end, _ = _plain(value[start : start + length], 0, -1, not element.is_implicit_VR, members)
        if end < length or not members.keys().isdisjoint(_DECODED):
            return None
        for tag, member in members.items():
            where = f"{place}.{name_of(tag)}"
            found.append((member, where))
            if is_sequence(member):
                deeper = _plain_contents(member, depth + 1, where)
                if deeper is None:
                    return None
                found += deeper
        at = start + length
    return found


def _is_harmless(dataset: Dataset) -> bool:
    """Say whether Pixel Representation, which pydicom decodes when it opens a sequence, cannot be in its way."""
    element = dataset.get_item(_PIXEL_REPRESENTATION) if _PIXEL_REPRESENTATION in dataset else None
    return element is None or (vr_of(element) == "US" and len(raw_value(element)) in (0, 2))


def by_tag(dataset: Dataset) -> dict[int, Element]:
    """Return the elements as they are, undecoded, by plain numbers: pydicom's own tags are slow to compare."""
    return dict(zip(map(int, dataset.keys()), dataset.values(), strict=True))


def _undecoded(dataset: Dataset) -> list[Element]:
    """Return the elements in the order of their tags; pydicom would decode an empty one of an unknown VR, and raise."""
    found = by_tag(dataset)
    return [found[tag] for tag in sorted(found)]


def is_sequence(element: Element) -> bool:
    """Say whether the element is a sequence, by its own word or by the dictionary's where it has none."""
    vr = element.VR
    return vr == "SQ" or ((vr is None or vr == "UN") and _dictionary_vr(element.tag) == "SQ")


def vr_of(element: Element) -> str:
    """Return the element's VR; the dictionary's where the encoding does not say it or says UN; "UN" if unknown."""
    vr = element.VR
    return _dictionary_vr(element.tag) if vr is None or vr == "UN" else vr


@lru_cache(8192)
def _dictionary_vr(tag: int) -> str:
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    return vr.split(" or ")[0]


def raw_value(element: Element | None) -> bytes:
    """Return the undecoded value; b"" for none and for what is no longer raw."""
    if isinstance(element, RawDataElement):
        return bytes(element.value or b"")
    if element is not None and isinstance(element.value, bytes):
        return element.value
    return b""


@lru_cache(8192)
def name_of(tag: int) -> str:
    """Return the attribute's keyword, or (gggg,eeee) when the dictionary does not have it."""
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def words_for(tag: int) -> str:
    """Return the attribute's name for people, or (gggg,eeee)."""
    return dictionary_description(tag) if dictionary_has_tag(tag) else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def meta_text(meta: Dataset | None, tag: int) -> str:
    """Return a UID of the file meta group as text, "" when it is not there."""
    element = meta.get_item(tag) if meta is not None and tag in meta else None
    if isinstance(element, DataElement) and isinstance(element.value, str):
        return str(element.value).strip(" \0")
    return raw_value(element).decode("ascii", "replace").strip(" \0")


def is_uid(text: str) -> bool:
    """Say whether a text has the letters and the length of a UID, so that it can stand in a message or a name."""
    return 0 < len(text) <= 64 and not text.strip("0123456789.")


def plausible(data: Lengthy, at: int, explicit: bool, little: bool) -> bool:
    """Say whether a data element with this encoding can begin at `at`."""
    head = data[at : at + 8]
    if len(head) < 8:
        return False
    group, element, length = struct.unpack("<HHL" if little else ">HHL", head)
    swapped = struct.unpack(">HH" if little else "<HH", head[:4])
    if group == 0 or group > 0x7FE0 or dictionary_has_tag(swapped[0] << 16 | swapped[1]):
        return False
    if explicit:
        return head[4:6] in _VRS
    fits = length == UNDEFINED or length <= len(data) - at - 8
    return head[4:6] not in _VRS and (fits or dictionary_has_tag(group << 16 | element))


def _preamble(data: Lengthy, book: _Book) -> int:
    """Return where the file meta group, or a bare data set, starts."""
    if data[128:132] == b"DICM":
        if data[:8].startswith(_POLYGLOTS):
            book.note("preamble-polyglot", Severity.REVIEW)
        elif any(data[:128]):
            book.note("preamble-used", Severity.INFO)
        return 132
    book.note("preamble-missing", Severity.INFO)
    return 4 if data[:4] == b"DICM" else 0


def _file_meta(data: Lengthy, start: int, book: _Book) -> tuple[FileMetaDataset | None, int]:
    """Read the file meta group (PS3.10 7.1), which is explicit VR little endian, or implicit in some old files."""
    if data[start : start + 2] != b"\x02\x00":
        book.note("meta-missing", Severity.INFO)
        return None, start
    stream = BytesIO(data[start : start + _LONGEST_META])
    found: dict[BaseTag, Element] = {}
    implicit = not plausible(data, start, explicit=True, little=True)
    at = start
    try:
        for element in data_element_generator(
            stream, implicit, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2
        ):
            if isinstance(element, RawDataElement) and is_cut(element):
                book.refuse("truncated", ends_early(element))
                break
            found[element.tag] = _filled(element)
            at = start + stream.tell()
    except FAILURES:
        book.refuse("unreadable", "the file's header (group 0002) cannot be read")
    meta = FileMetaDataset(found)
    meta.set_original_encoding(implicit, True, "iso8859")
    return meta, at


def _meta_with(meta: FileMetaDataset | None, syntax: str) -> FileMetaDataset:
    found = {} if meta is None else {element.tag: element for element in _undecoded(meta)}
    found[BaseTag(0x00020010)] = DataElement(0x00020010, "UI", syntax)
    fresh = FileMetaDataset(found)
    fresh.set_original_encoding(False, True, "iso8859")
    return fresh


def _body(data: Lengthy, at: int, declared: str, max_inflated: int, book: _Book) -> tuple[BinaryIO, str]:
    """Inflate the data set if need be, and return it with the encoding that it has: one of three transfer syntaxes."""
    if declared == DEFLATED:
        if not isinstance(data, bytes):
            book.refuse("too-large", "a deflated data set that does not fit into memory")
            return BytesIO(b""), EXPLICIT_LITTLE
        return _inflated(data[at:], max_inflated, book), EXPLICIT_LITTLE
    expected = _ENCODINGS.get(declared, EXPLICIT_LITTLE)
    stream = open_stream(data)
    stream.seek(at)
    likely = [
        encoding
        for encoding in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
        if plausible(data, at, encoding != IMPLICIT_LITTLE, encoding != EXPLICIT_BIG)
    ]
    if not declared and likely:
        book.note("transfer-syntax-missing", Severity.INFO)
        return stream, likely[0]
    if expected in likely or at >= len(data):
        return stream, expected
    if likely:
        book.refuse("transfer-syntax-wrong", f"declared {declared}, but the data set is encoded as {likely[0]}")
        return stream, likely[0]
    if len(data) - at < 8:
        book.refuse("truncated", f"ends {len(data) - at} bytes after the file's header")
    else:
        book.refuse("unreadable", "no data element can be read where the data set should begin")
    return stream, expected


def _inflated(data: bytes, most: int, book: _Book) -> BytesIO:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, most)
    except zlib.error:
        book.refuse("transfer-syntax-wrong", "the data set is declared deflated, and cannot be inflated")
        return BytesIO(b"")
    if inflater.unconsumed_tail:
        book.refuse("too-large", f"the data set inflates to more than {most:,} bytes")
    elif not inflater.eof:
        book.refuse("truncated", "ends in the middle of the deflated data set")
    return BytesIO(inflated)


def _is_compressed(syntax: str) -> bool:
    """Say whether a transfer syntax keeps its pixels encapsulated: every standard one but these four."""
    native = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED)
    return syntax.startswith(f"{IMPLICIT_LITTLE}.") and syntax not in native


def _elements(
    stream: BinaryIO, data: Lengthy, explicit: bool, little: bool, found: dict[BaseTag, Element], book: _Book
) -> None:
    """Fill `found` until the bytes end or make no sense. What is plain is read here, anything else by pydicom."""
    most = None if isinstance(stream, BytesIO) else DEFERRED
    whole = stream.getvalue() if isinstance(stream, BytesIO) and little else b""
    at, last, ordered, zeros_seen, held, number = stream.tell(), -1, True, False, 0, 0

    def bound(tag: BaseTag, vr: str | None, length: int) -> bool:
        """Let a sequence without a length end somewhere: pydicom reads it whole. Stops nothing."""
        may_be_sequence = length == UNDEFINED and int(tag) not in _PIXELS
        end_at(stream, stream.tell() + DEFERRED if may_be_sequence else None)
        return False

    try:
        while True:
            if whole:
                there = len(found)
                at, last = _plain(whole, at, last, explicit, found)
                number += len(found) - there
                stream.seek(at)
            elements = data_element_generator(stream, not explicit, little, None if most is None else bound, most)
            element = next(elements, None)
            if element is None:
                break
            tag = int(element.tag)
            if isinstance(element, RawDataElement):
                held += len(element.value or b"")
            if number >= MAX_ELEMENTS or (most is not None and held > MAX_HELD):
                book.refuse("too-large", f"more than {MAX_ELEMENTS:,} elements, or {MAX_HELD:,} bytes besides pixels")
                return
            if most is not None and isinstance(element, RawDataElement) and element.value is None and element.length:
                value = Window(data, element.value_tell, stream.tell())
                if value.stop > len(data):
                    book.refuse("truncated", ends_early(element, len(data) - value.start))
                    return
                element = _deferred(element, value, book)
            if tag == 0 and not zeros_seen:
                zeros_seen, here = True, stream.tell()
                rest = _from(stream, at)
                if rest.count(0) == len(rest):
                    break
                stream.seek(here)
            if isinstance(element, RawDataElement) and is_cut(element):
                found.setdefault(element.tag, element)
                book.refuse("truncated", ends_early(element))
                return
            if tag >> 16 in (0, 2):
                book.note("group-misplaced", Severity.INFO, name_of(tag))
            elif element.tag in found:
                book.note("element-repeated", Severity.REVIEW, name_of(tag))
            else:
                found[element.tag] = _filled(element)
            ordered, last, at, number = ordered and tag > last, max(last, tag), stream.tell(), number + 1
    except FAILURES as error:
        end_at(stream, None)
        _broken(_from(stream, at), explicit, little, error, book)
        return
    if not ordered:
        book.note("elements-unordered", Severity.INFO)
    _rest(_from(stream, at), book)


def _plain(whole: bytes, at: int, last: int, explicit: bool, found: dict[BaseTag, Element]) -> tuple[int, int]:
    """Read elements of a known VR and length, in ascending order, of a little-endian data set.

    Returns where the first begins that is anything else, and the tag before it.
    """
    end, room = len(whole), MAX_ELEMENTS - len(found)
    last = max(last, _LAST_OF_META)
    while at + 8 <= end and room > 0:
        start = at + 8
        if explicit:
            group, number, written, length = _EXPLICIT(whole, at)
            vr = _SHORT.get(written)
            if vr is None:
                vr = _LONG.get(written)
                if vr is None or start + 4 > end:
                    break
                (length,) = _LENGTH(whole, start)
                start += 4
        else:
            vr = None
            group, number, length = _IMPLICIT(whole, at)
        tag, stop = group << 16 | number, start + length
        if length == UNDEFINED or stop > end or not last < tag < _ITEM:
            break
        key = _tag(tag)
        found[key] = _made((key, vr, length, whole[start:stop], start, not explicit, True, True, False))
        at, last, room = stop, tag, room - 1
    return at, last


_EXPLICIT, _IMPLICIT, _LENGTH = (struct.Struct(form).unpack_from for form in ("<HH2sH", "<HHL", "<L"))
_LONG = {vr.value.encode(): vr.value for vr in STANDARD_VR & EXPLICIT_VR_LENGTH_32}
_SHORT = {vr.value.encode(): vr.value for vr in STANDARD_VR - EXPLICIT_VR_LENGTH_32}
_LAST_OF_META, _ITEM = 0x0002FFFF, 0xFFFE0000
_tag = lru_cache(8192)(BaseTag)
_made: Callable[[tuple[object, ...]], RawDataElement] = partial(tuple.__new__, RawDataElement)


def _deferred(element: RawDataElement, value: Window, book: _Book) -> RawDataElement:
    """Write down where a long value lies, and go on without it."""
    if is_sequence(element):
        book.refuse("too-large", f"{words_for(element.tag)} is a sequence of more than {DEFERRED:,} bytes")
    if element.length == UNDEFINED:  # the stream is behind its end mark
        value = Window(value.data, value.start, value.stop - 8)
    book.windows[int(element.tag)] = value
    return element._replace(value=b"", length=UNDEFINED if element.length == UNDEFINED else 0)


def _filled(element: Element) -> Element:
    """Give an empty element of an unknown VR the empty value that pydicom leaves out."""
    if isinstance(element, RawDataElement) and element.value is None:
        return element._replace(value=b"")
    return element


def is_cut(element: RawDataElement) -> bool:
    """Say whether the bytes end before the value does."""
    return element.length != UNDEFINED and len(element.value or b"") < element.length


def ends_early(element: RawDataElement, there: int | None = None) -> str:
    """Say in words where a cut element's value ends, of which `there` bytes are there."""
    there = len(element.value or b"") if there is None else there
    return f"ends in the middle of {words_for(element.tag)}: {there:,} of {element.length:,} bytes"


def _from(stream: BinaryIO, at: int) -> bytes:
    """Return what follows, or as much of it as can be judged."""
    stream.seek(at)
    return stream.read() if isinstance(stream, BytesIO) else stream.read(DEFERRED)


def _rest(rest: bytes, book: _Book) -> None:
    """Judge what lies behind the last whole element."""
    if not rest:
        return
    if rest.count(0) == len(rest):
        book.note("trailing-zeros", Severity.INFO)
    elif len(rest) < 8:
        book.refuse("truncated", f"ends in the middle of an element's header: {len(rest)} of 8 bytes")
    else:
        book.refuse("unreadable", f"{len(rest):,} bytes follow that are no data elements")


def _broken(rest: bytes, explicit: bool, little: bool, error: Exception, book: _Book) -> None:
    """Say what pydicom stumbled over: the element that starts `rest`, which is of undefined length or a sequence."""
    if isinstance(error, RecursionError):
        book.refuse("nesting-deep", f"sequences nest deeper than {MAX_DEPTH} levels")
        return
    if len(rest) < 8:
        book.refuse("truncated", f"ends in the middle of an element's header: {len(rest)} of 8 bytes")
        return
    group, element = struct.unpack("<HH" if little else ">HH", rest[:4])
    name = words_for(group << 16 | element)
    undefined = b"\xff\xff\xff\xff" in (rest[4:8], rest[8:12] if explicit else b"")
    if isinstance(error, EOFError | OSError) and undefined:
        book.refuse("truncated", f"ends in the middle of {name}: its end mark is not there in {len(rest):,} bytes")
    elif isinstance(error, struct.error) and len(rest) < 12:
        book.refuse("truncated", f"ends in the middle of the header of {name}")
    else:
        book.refuse("unreadable", f"{name} cannot be read")


def _encodings(dataset: Dataset, book: _Book) -> list[str]:
    """Return Python's names of the data set's character sets; what is not known counts as ASCII (PS3.3 C.12.1.1.2)."""
    tag = BaseTag(0x00080005)
    element = dataset.get_item(tag) if tag in dataset else None
    text = raw_value(element).decode("ascii", "replace").replace("\0", "")
    names = [name.strip() for name in text.split("\\")]
    known = [name if name in python_encoding else "" for name in names]
    if known != names:
        book.note("charset-unknown", Severity.REVIEW, "SpecificCharacterSet")
    try:
        return list(convert_encodings(known))
    except FAILURES:
        book.note("charset-unknown", Severity.REVIEW, "SpecificCharacterSet")
        return ["iso8859"]
