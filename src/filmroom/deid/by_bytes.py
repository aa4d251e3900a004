"""Makes a de-identified copy of an object in explicit VR little endian straight from its bytes, without a data set.

The same copy that `by_pydicom` makes, byte for byte, of what is well formed; whatever is not plain in the bytes is left to
it: another encoding, elements out of order, a value or sequence that does not end where it should, UN where the standard
has a VR. So no object is refused here. A single value that is not plain (letters beyond ASCII, a number that is none) is
decoded with pydicom and judged by the same policy. Pixel bytes are cut out once and never walked.

Sources: PS3.5 section 7 and annex A, PS3.10 section 7.
"""

import re
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from pydicom.charset import convert_encodings, python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

from filmroom.deid import kinds, numbers, pixels, policy
from filmroom.deid.actions import Context
from filmroom.deid.identifying import IDENTIFIERS, PLACES
from filmroom.deid.policy import Applied
from filmroom.deid.profile import Action, Profile, Rule
from filmroom.deid.pseudonym import Pseudonyms
from filmroom.dicom import part10, values, walk
from filmroom.records import Reason

_SYNTAXES = pixels.SYNTAXES - {walk.IMPLICIT_LITTLE, walk.EXPLICIT_BIG, walk.DEFLATED}
_HEAD, _LENGTH, _TAG_AND_LENGTH = (struct.Struct(form).unpack_from for form in ("<HHHH", "<L", "<HHL"))
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_HEAD, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_BEFORE_FIRST = 0x0007FFFF  # no image has a group below 0008, and Specific Character Set comes before all text
_LONGEST_META = 1 << 20
_MOST_MADE = 1 << 14
_LONGEST_SHORT = 0xFFFF


def _number(vr: str) -> int:
    """Return a VR as it is read: two letters as one little-endian number."""
    return int.from_bytes(vr.encode(), "little")


def _tag(keyword: str) -> int:
    return int(Tag(keyword))


_VRS = {_number(vr.value): vr.value for vr in STANDARD_VR}
_IS_LONG = {_number(vr.value): vr.value in EXPLICIT_VR_LENGTH_32 for vr in STANDARD_VR}
_SQ, _UN = _number("SQ"), _number("UN")
_DATES = frozenset(map(_number, ("DA", "DT")))
_NOTED = _DATES | {_number("PN")}
_TELLING = {
    tuple(map(_tag, row.split("."))): row in PLACES for row in sorted(IDENTIFIERS | PLACES)
}  # the tags of a row: is it a place?
_PIXEL_DATA, _CHARSET, _CODE_VALUE, _SCHEME = map(
    _tag, ("PixelData", "SpecificCharacterSet", "CodeValue", "CodingSchemeDesignator")
)
_WATCHED = frozenset(row[-1] for row in _TELLING) | {_CHARSET}
_IDS = tuple(map(_tag, ("IssuerOfPatientID", "PatientID")))
_FACTS = tuple(map(_tag, ("SOPClassUID", "Modality", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")))
_FRAMES, _PHOTOMETRIC = map(_tag, ("NumberOfFrames", "PhotometricInterpretation"))
_KEPT = (*_FACTS, _FRAMES)
_US = _number("US")
_US_TAGS = {
    keyword: _tag(keyword)
    for keyword in (
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
    )
}
_AGE_FROM = tuple(map(_tag, policy.AGE_FROM))

_is_plain = re.compile(rb"[ -~]*\0*").fullmatch
_NUMBERS = {
    "DS": re.compile(r"(?=.{1,24}\Z)[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch,
    "IS": re.compile(r"[+-]?[0-9]{1,12}").fullmatch,
}

_Value: TypeAlias = "bytes | list[_Level]"
_Level: TypeAlias = list[tuple[int, int, _Value]]
"""The elements of a data set in order: tag, VR, and the value's bytes or the items."""


class _NotPlain(Exception):
    """These bytes are for pydicom to read."""


def apply(data: bytes, profile: Profile, pseudonyms: Pseudonyms) -> Applied | None:
    """Return the copy of the object in `data` that `profile` allows; None for what `by_pydicom` has to decide.

    Never raises for what the bytes hold.
    """
    try:
        return _copy(data, profile, pseudonyms)
    except (_NotPlain, *walk.FAILURES):
        return None


def _copy(data: bytes, profile: Profile, pseudonyms: Pseudonyms) -> Applied:
    syntax, at = _meta(data)
    walker = _Walker(data, _retained(profile), is_native=syntax in pixels.NATIVE)
    source = walker.walk(at)
    top = {tag: (vr, value) for tag, vr, value in source if isinstance(value, bytes)}
    sop_class, modality, *uids = (_only(_first(top, tag)) for tag in _FACTS)
    plan = _plan(profile, sop_class)
    if plan is None or walker.pixels is None or not kinds.is_plain(sop_class) or not modality or not all(uids):
        raise _NotPlain
    issuer, patient = (values.text(_raw(tag, top), walker.encodings) or "" for tag in _IDS)
    subject, days = policy.who(issuer, patient, uids[1], pseudonyms)
    known = walker.words.known(policy.old_ages(*(_first(top, tag)[0] for tag in _AGE_FROM)))
    vr, value = walker.pixels
    cleaned = pixels.clean_image(value, _image(top), syntax)
    if isinstance(cleaned, Reason):
        raise _NotPlain
    writer = _Writer(plan, Context(subject, days, pseudonyms.uid, known), walker.encodings)
    parts = writer.elements(source)
    writer.done["drop"] += walker.private
    kept = {tag: _value_of(parts[tag]) for tag in _KEPT if tag in parts}
    parts |= plan.stamp | {tag: _element(tag, name, _padded(subject, name)) for tag, name in plan.named}
    header = part10.header(sop_class=kept[_FACTS[0]], sop_uid=kept[_FACTS[2]], syntax=syntax)
    return Applied(
        data=b"".join([header, *_around(parts, _VRS[vr], cleaned.value, is_native=syntax in pixels.NATIVE)]),
        subject=subject,
        study_uid=kept.get(_FACTS[3], ""),
        series_uid=kept.get(_FACTS[4], ""),
        sop_uid=kept[_FACTS[2]],
        sop_class=sop_class,
        modality=kept.get(_FACTS[1], ""),
        frames=int(kept.get(_FRAMES) or 1) or 1,
        actions=policy.counted(writer.done, cleaned),
    )


# -- reading -------------------------------------------------------------------------------------------------------


class _Walker:
    """Takes a data set apart, and gathers on the way the words that point to people.

    `private` counts the private elements that were passed over.
    """

    def __init__(self, data: bytes, retained: frozenset[int], *, is_native: bool) -> None:
        self._data = data
        self._retained = retained
        self._is_native = is_native
        self.words = policy.Words()
        self.pixels: tuple[int, memoryview] | None = None
        self.private = 0
        self._last: dict[tuple[int, int, int], tuple[bytes | None, list[_Level]]] = {}
        self.encodings = _encodings(b"")

    def walk(self, at: int) -> _Level:
        """Return the elements from `at` to the end of the bytes but for Pixel Data. Raises _NotPlain."""
        if not walk.plausible(self._data, at, explicit=True, little=True):
            raise _NotPlain
        found, _ = self._level(at, len(self._data), 0, 0)
        if len(found) + self.private >= walk.MAX_ELEMENTS:
            raise _NotPlain
        return found

    def _level(self, at: int, end: int | None, parent: int, depth: int) -> tuple[_Level, int]:
        """Return the elements from `at` to `end`, or to the end mark of an item without a length, and where that ends."""
        data, found, last = self._data, _Level(), _BEFORE_FIRST
        stop = len(data) if end is None else end
        while at < stop:
            group, number, vr, length = _HEAD(data, at)
            tag = group << 16 | number
            if tag == _ITEM_END and end is None:
                if vr or length:
                    raise _NotPlain
                return found, at + 8
            if tag <= last or vr not in _IS_LONG or (vr == _UN and not group & 1):
                raise _NotPlain
            start, last = at + 8, tag
            if _IS_LONG[vr]:
                start, length = at + 12, _LENGTH(data, start)[0]
            value: _Value
            if vr == _SQ:
                value, at = self._sequence(start, length, stop, tag, depth)
            elif length != walk.UNDEFINED:
                at = start + length
                if at <= stop and tag == _PIXEL_DATA and not depth:
                    self.pixels = vr, memoryview(data)[start:at]
                    continue
                if group & 1 and not depth and vr not in _NOTED and at <= stop:
                    self.private += 1  # no rule is about it, and nobody is named in it
                    continue
                value = data[start:at]
                if vr in _NOTED or tag in _WATCHED:
                    self._note(parent, tag, vr, value)
            else:
                at = self._fragments(start, tag, depth)
                self.pixels = vr, memoryview(data)[start : at - 8]
                continue
            if at > stop:
                raise _NotPlain
            found.append((tag, vr, value))
        if end is None:
            raise _NotPlain
        return found, at

    def _sequence(self, at: int, length: int, stop: int, tag: int, depth: int) -> tuple[list[_Level], int]:
        """Return the items of a sequence and where it ends. What lies there as in the frame before is not read again."""
        written, items = self._last.get((depth, tag, length), (None, []))
        if written is not None and at + len(written) <= stop and self._data.startswith(written, at):
            return items, at + len(written)
        items, end = self._items(at, length, stop, tag, depth)
        self._last[depth, tag, length] = self._data[at:end], items
        return items, end

    def _items(self, at: int, length: int, stop: int, tag: int, depth: int) -> tuple[list[_Level], int]:
        if depth >= policy.DEEPEST:
            raise _NotPlain
        data, found = self._data, list[_Level]()
        end = stop if length == walk.UNDEFINED else at + length
        if end > stop:
            raise _NotPlain
        while at < end or length == walk.UNDEFINED:
            group, number, size = _TAG_AND_LENGTH(data, at)
            mark = group << 16 | number
            at += 8
            if mark == _SEQUENCE_END and length == walk.UNDEFINED and not size:
                return found, at
            if mark != _ITEM or (size != walk.UNDEFINED and at + size > end):
                raise _NotPlain
            item, at = self._level(at, None if size == walk.UNDEFINED else at + size, tag, depth + 1)
            found.append(item)
        if at != end:
            raise _NotPlain
        return found, at

    def _fragments(self, at: int, tag: int, depth: int) -> int:
        """Return where encapsulated Pixel Data ends, behind its end mark."""
        if tag != _PIXEL_DATA or depth or self._is_native:
            raise _NotPlain
        while True:
            group, number, size = _TAG_AND_LENGTH(self._data, at)
            mark = group << 16 | number
            at += 8
            if mark == _SEQUENCE_END and not size:
                return at
            if mark != _ITEM:
                raise _NotPlain
            at += size

    def _note(self, parent: int, tag: int, vr: int, value: bytes) -> None:
        if tag == _CHARSET:
            if parent:
                raise _NotPlain
            self.encodings = _encodings(value)
            return
        rows = [row for row in ((tag,), (parent, tag)) if row in _TELLING and self._retained.isdisjoint((parent, tag))]
        if not value or (vr not in _NOTED and not rows):
            return
        parts = _plain(_VRS[vr], value)
        written = _decoded(tag, vr, value, self.encodings) if parts is None else " ".join(parts)
        if vr in _DATES:
            self.words.add_days(written)
        if rows or vr not in _DATES:
            self.words.add(written, is_place=any(_TELLING[row] for row in rows))


def _meta(data: bytes) -> tuple[str, int]:
    """Return the transfer syntax and where the data set starts. Raises _NotPlain."""
    if data[128:132] != b"DICM" or data[132:134] != b"\2\0":
        raise _NotPlain
    at, last, syntax = 132, 0, ""
    while data[at : at + 2] == b"\2\0":
        _, number, vr, length = _HEAD(data, at)
        start = at + 8
        if _IS_LONG[vr]:
            start, length = at + 12, _LENGTH(data, start)[0]
        if (number <= last and at > 132) or vr in (_SQ, _UN) or start + length > len(data):
            raise _NotPlain
        at, last = start + length, number
        if number == 0x0010:
            syntax = data[start:at].decode("ascii").strip(" \0")
    if syntax not in _SYNTAXES or at - 132 > _LONGEST_META:
        raise _NotPlain
    return syntax, at


@lru_cache(16)
def _retained(profile: Profile) -> frozenset[int]:
    """Return the tags of what an option lets stay as it is."""
    return frozenset(map(_tag, profile.retained))


@lru_cache(64)
def _encodings(value: bytes) -> tuple[str, ...]:
    """Return Python's names of the character sets that Specific Character Set names. Raises _NotPlain."""
    names = [name.strip() for name in value.decode("ascii").replace("\0", "").split("\\")]
    if not python_encoding.keys() >= set(names):
        raise _NotPlain
    return tuple(convert_encodings(names))


def _plain(vr: str, value: bytes) -> list[str] | None:
    """Return a text value's parts as pydicom reads them, None when that takes pydicom."""
    if vr not in policy.TEXTS or vr == "UR" or not _is_plain(value):
        return None
    text = value.decode("ascii")
    if vr == "AE":
        return None if "\0" in text else [part.strip() for part in text.split("\\")]
    text = text.rstrip(" \0")
    if vr in ("ST", "LT", "UT"):
        return [text]
    parts = text.split("\\")
    if vr in ("LO", "SH", "UC"):
        return [part.rstrip() for part in parts]
    if vr == "PN":
        return [part.rstrip("=") for part in parts]
    if vr in ("DS", "IS", "UI"):
        parts = [part.strip() for part in parts]
        is_number = _NUMBERS.get(vr)
        return parts if is_number is None or all(is_number(part) for part in parts if part) else None
    return parts


def _decoded(tag: int, vr: int, value: bytes, encodings: tuple[str, ...]) -> str:
    try:
        found = _dataset([(tag, vr, value)], encodings)[BaseTag(tag)].value
    except walk.FAILURES:
        return value.decode("latin-1")
    return " ".join(map(str, found)) if isinstance(found, MultiValue) else str(found)


def _dataset(level: _Level, encodings: tuple[str, ...]) -> Dataset:
    """Return the elements of a level that are no sequences as a data set."""
    found = Dataset(
        {BaseTag(tag): _raw_element(tag, vr, value) for tag, vr, value in level if isinstance(value, bytes)}
    )
    found.set_original_encoding(False, True, list(encodings))
    return found


def _raw_element(tag: int, vr: int, value: bytes) -> RawDataElement:
    return RawDataElement(BaseTag(tag), _VRS[vr], len(value), value, 0, False, True)


_Top: TypeAlias = Mapping[int, tuple[int, bytes]]


def _raw(tag: int, top: _Top) -> RawDataElement | None:
    return _raw_element(tag, *top[tag]) if tag in top else None


def _first(top: _Top, tag: int) -> list[str]:
    """Return the values of a text element, without padding; at least one. Raises _NotPlain when that takes pydicom."""
    if tag not in top:
        return [""]
    vr, value = top[tag]
    parts = _plain(_VRS[vr], value)
    if parts is None:
        raise _NotPlain
    return [part.strip(" \0") for part in parts]


def _only(parts: list[str]) -> str:
    if len(parts) != 1:
        raise _NotPlain
    return parts[0]


def _image(top: _Top) -> pixels.Image:
    allocated = _whole(top, "BitsAllocated")
    stored = _whole(top, "BitsStored", 0) or allocated
    return pixels.Image(
        rows=_whole(top, "Rows"),
        columns=_whole(top, "Columns"),
        samples=_whole(top, "SamplesPerPixel", 0) or 1,
        frames=int(_only(_first(top, _FRAMES)) or 1) or 1,
        allocated=allocated,
        stored=stored,
        high=_whole(top, "HighBit", stored - 1),
        is_signed=bool(_whole(top, "PixelRepresentation", 0)),
        photometric=_only(_first(top, _PHOTOMETRIC)),
    )


def _whole(top: _Top, keyword: str, default: int | None = None) -> int:
    vr, value = top.get(_US_TAGS[keyword], (_US, b""))
    if vr == _US and len(value) == 2:
        return int.from_bytes(value, "little")
    if default is None or _US_TAGS[keyword] in top:
        raise _NotPlain
    return default


# -- writing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """What happens to an attribute with one of its value representations."""

    rule: Rule
    tag: int
    vr: str
    most: float


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A profile's rules for a class, by tag and VR; the elements that say what was done, encoded; who gets a pseudonym."""

    steps: Mapping[int, _Step]
    stamp: dict[int, bytes]
    named: tuple[tuple[int, str], ...]


@lru_cache(256)
def _plan(profile: Profile, sop_class: str) -> _Plan | None:
    """Return what a profile does to a class, None when pydicom has to do it."""
    rules = profile.rules.get(sop_class)
    if rules is None or _CHARSET in rules:
        return None
    steps = {
        tag << 16 | _number(vr): _Step(rule, tag, vr, numbers.most(tag))
        for tag, rule in rules.items()
        if tag != _PIXEL_DATA
        for vr in rule.vrs
    }
    said = Dataset()
    policy.stamp(said, profile, sop_class)
    named = tuple((tag, rules[tag].vrs[0]) for tag in map(_tag, policy.NAMED) if tag in rules)
    return _Plan(steps, {int(each.tag): _by_pydicom(each) for each in said}, named)


_Made: TypeAlias = dict[tuple[int, bytes], bytes | None]


@lru_cache(4)
def _made(plan: _Plan, context: Context, encodings: tuple[str, ...]) -> _Made:
    """Return where to keep what was made of a patient's values: the objects of a series, and frames, share most of them."""
    return {}


class _Writer:
    """Encodes what the rules leave, and counts in `done` what was done to how many elements."""

    def __init__(self, plan: _Plan, context: Context, encodings: tuple[str, ...]) -> None:
        self._steps = plan.steps
        self._context = context
        self._encodings = encodings
        self._made = _made(plan, context, encodings)
        self._sequences: dict[int, tuple[bytes, Counter[str]]] = {}  # by identity: the caller holds the items
        self.done: Counter[str] = Counter()
        if len(self._made) > _MOST_MADE:
            self._made.clear()

    def elements(self, level: _Level) -> dict[int, bytes]:
        """Return what is left of a level, encoded, by tag."""
        steps, done, made = self._steps, self.done, self._made
        parts: dict[int, bytes] = {}
        for tag, vr, value in level:
            key = tag << 16 | vr
            step = steps.get(key)
            if step is None:
                done["drop"] += 1
                continue
            if isinstance(value, list):
                part: bytes | None = self._sequence(step, value)
            elif tag == _CODE_VALUE or step.vr in ("OB", "OW"):  # these depend on what lies beside them
                part = self._made_of(step, value, level)
            elif (key, value) in made:
                part = made[key, value]
            else:
                part = made[key, value] = self._made_of(step, value, level)
            if part is None:
                done["drop"] += 1
            else:
                done[step.rule.action] += 1
                parts[tag] = part
        return parts

    def _sequence(self, step: _Step, items: list[_Level]) -> bytes:
        """Return a sequence with what is left of its items, made once for items that several frames share."""
        if step.rule.action is Action.EMPTY:
            return _element(step.tag, "SQ", b"")
        if id(items) not in self._sequences:
            outer, self.done = self.done, Counter()
            encoded = (b"".join(self.elements(item).values()) for item in items)
            body = b"".join([_ITEM_HEAD + struct.pack("<L", len(item)) + item for item in encoded])
            self._sequences[id(items)] = _element(step.tag, "SQ", body), self.done
            self.done = outer
        part, done = self._sequences[id(items)]
        for action, count in done.items():
            self.done[action] += count
        return part

    def _made_of(self, step: _Step, value: bytes, level: _Level) -> bytes | None:
        """Return what is left of one element, encoded."""
        rule, vr = step.rule, step.vr
        if not value or rule.action is Action.EMPTY:
            return _element(step.tag, vr, b"")
        if vr in numbers.PACKED and rule.action is Action.KEEP and not rule.keyword.endswith("Descriptor"):
            return self._numbers(step, value)
        parts = _plain(vr, value)
        scheme = self._scheme(level) if step.tag == _CODE_VALUE else ""
        if parts is None or scheme is None:
            return self._by_policy(step, level)
        if parts == [""]:
            return _element(step.tag, vr, b"")
        if step.most < len(parts):
            return None
        left = policy.texts(rule, vr, parts, scheme, self._context)
        return None if left is None else _element(step.tag, vr, _padded("\\".join(left), vr))

    def _numbers(self, step: _Step, value: bytes) -> bytes | None:
        kind = numbers.PACKED[step.vr]
        count, rest = divmod(len(value), struct.calcsize(f"<{kind}"))
        if rest or step.most < count:
            return None
        found = struct.unpack(f"<{count}{kind}", value)
        if numbers.is_text(step.vr, found):
            return None
        return _element(step.tag, step.vr, struct.pack(f"<{count}{kind}", *found))

    def _scheme(self, level: _Level) -> str | None:
        """Return the coding scheme designator of an item, None when reading it takes pydicom."""
        found = next((each for each in level if each[0] == _SCHEME), None)
        if found is None:
            return ""
        _, vr, value = found
        parts = _plain(_VRS[vr], value) if isinstance(value, bytes) else None
        return None if parts is None else parts[0].strip(" \0")

    def _by_policy(self, step: _Step, level: _Level) -> bytes | None:
        """Return what is left of an element that is not plain, as `by_pydicom` does it."""
        try:
            left = policy.element(step.rule, _dataset(level, self._encodings), self._context)
        except walk.FAILURES:
            return None
        return None if left is None else _by_pydicom(left)


def _element(tag: int, vr: str, value: bytes) -> bytes:
    """Encode an element. Raises _NotPlain for a value that is too long for its VR's length field."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in EXPLICIT_VR_LENGTH_32:
        return head + struct.pack("<HL", 0, len(value)) + value
    if len(value) > _LONGEST_SHORT:
        raise _NotPlain
    return head + struct.pack("<H", len(value)) + value


def _padded(text: str, vr: str) -> bytes:
    encoded = text.encode("ascii")
    return encoded + (b"\0" if vr == "UI" else b" ") * (len(encoded) % 2)


def _by_pydicom(element: DataElement) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_data_element(stream, element)
    return bytes(stream.getvalue())


def _value_of(part: bytes) -> str:
    """Return the first value of an encoded element of a VR with a short length."""
    return part[8:].decode("ascii").partition("\\")[0].strip(" \0")


def _around(
    parts: Mapping[int, bytes], vr: str, value: bytes | memoryview, *, is_native: bool
) -> list[bytes | memoryview]:
    """Return the elements in order with Pixel Data, whose bytes are copied by nothing but the final joining."""
    if vr not in ("OB", "OW"):
        raise _NotPlain
    before = [parts[tag] for tag in sorted(parts) if tag < _PIXEL_DATA]
    after = [parts[tag] for tag in sorted(parts) if tag > _PIXEL_DATA]
    head = struct.pack(
        "<HH2sHL", 0x7FE0, 0x0010, vr.encode() if is_native else b"OB", 0, len(value) if is_native else walk.UNDEFINED
    )
    return [*before, head, value, b"" if is_native else _END, *after]
