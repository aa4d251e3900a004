"""What must not survive of one object, read from the received bytes, and the search for it.

Part of the verifier's side: nothing here is shared with `apply` but the table of attributes. The terms are the patient's
own values; they stay in memory, and no repr, finding or error shows them.

What counts as found:

- Text values are searched for terms with word boundaries, without regard to case: "Ann" is not found in "Scanning".
- Numbers (DS, IS) count only when the whole number is the term and the term has six digits or more: a short Patient ID
  such as 100 is no finding where a tube current is 100. Zeros before a number do not count.
- The numbers of a descriptor are also read as one: 482913 is found in "482 chest 913", and 14 February 1931 in "14 2 31".
- The raw bytes are searched for terms of five characters and more, in UTF-8, Latin-1 and UTF-16, in either case and
  without boundaries, so that nothing hides in a glued word or an odd encoding; for a term of digits only, no digit or
  dot may touch it.
- What a reader reads in the picture is searched like a text, and for terms of five characters and more without boundaries.
- Compressed pixel data is searched in the same way, for terms of six characters and more that are not all digits.
- Terms under three characters, stand-ins such as "anonymous", and words of one repeated character are skipped.
- An age above 89 years is found as a number of its own or with a letter: 95, 95F, F95.
- A date is found where the same attribute has it, or where a text spells it in one of the usual ways.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache

import numpy as np
from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from filmroom.deid import eyes, faces
from filmroom.deid.identifying import IDENTIFIERS, PLACEHOLDERS, PLACES, tells
from filmroom.deid.lexicon import code_words, words
from filmroom.dicom import parse, pixels, walk
from filmroom.errors import Unreadable
from filmroom.ids import Digest

_SHORTEST, _SHORTEST_RAW, _SHORTEST_IN_PIXELS, _SHORTEST_NUMBER = 3, 5, 6, 6
_OWN_TRACES = frozenset({"ImplementationClassUID", "MediaStorageSOPClassUID", "TransferSyntaxUID"})
_PRIVATE_TEXT = frozenset("LO SH ST LT UT UC UN AE".split())
_PRIVATE_NOTED = _PRIVATE_TEXT | {"PN", "AS", "UI", "DA", "DT"}
_LONGEST_PRIVATE = 64
_SPLIT = frozenset("AE AS CS DA DT LO SH TM UC UI".split())  # VRs whose values a backslash separates
_ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
_MOST_PLACES = 30
_NUMBER = re.compile("[0-9]+")
_NUMBER_IN_TEXT = re.compile(r"\d{6,}")
_DAY = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
_AGE = re.compile(r"[0-9]{1,3}y")
_OLD, _AGE_MARKS = 90, ("", "0", "y", "f", "m", "w", "j")
_TO_BLANKS = {code: " " for code in range(128) if not chr(code).isalnum()}
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifiers:
    """What must not survive. Terms are lower case; `dates` are YYYYMMDD by keyword ("" for private attributes).

    `found` has the terms by the attribute of a device, place or identifier that they come from, with the sequence that it
    lies in; PatientAge for ages, "" for all others.
    `frames` are the digests of the source's decoded frames, None when it cannot be decoded, `waveforms` those of samples. `doubts` are the attributes
    of the source that do not exclude text in its pixels (`eyes`), an overlay, in a group of its own or in unused bits,
    among them; `unsettled` are those that reading the pixels does not settle. `extent` is how much has to be read.
    `is_said_clean` is whether the source says that there is no text, `face` why a face is possible. `source` is kept for comparing pixels.
    """

    terms: frozenset[str] = field(repr=False)
    found: Mapping[str, frozenset[str]] = field(repr=False)
    uids: frozenset[str] = field(repr=False)
    dates: Mapping[str, frozenset[str]] = field(repr=False)
    spellings: frozenset[str] = field(repr=False)
    frames: tuple[str, ...] | None = field(repr=False)
    waveforms: tuple[str, ...] = field(repr=False)
    doubts: frozenset[str]
    unsettled: frozenset[str]
    extent: eyes.Extent
    is_said_clean: bool
    face: faces.Sign | None
    source: Dataset = field(repr=False)

    @property
    def count(self) -> int:
        return len(self.terms) + len(self.uids) + sum(map(len, self.dates.values()))

    def but(self, retained: AbstractSet[str]) -> "Identifiers":
        """Return the same without the terms that only come from attributes which may stay as they are."""
        left = (terms for place, terms in self.found.items() if retained.isdisjoint(place.split(".")))
        return replace(self, terms=frozenset().union(*left))


@dataclass(slots=True)
class _Notes:
    terms: dict[str, set[str]] = field(default_factory=dict, repr=False)
    uids: set[str] = field(default_factory=set, repr=False)
    dates: dict[str, set[str]] = field(default_factory=dict, repr=False)
    years: set[int] = field(default_factory=set, repr=False)
    overlays: bool = False

    def add(self, terms: set[str], place: str = "") -> None:
        self.terms.setdefault(place, set()).update(terms)


def identifiers(source: bytes, slices: int | None = None) -> Identifiers:
    """Return what identifies the patient, the people, the places and the study in the received bytes.

    Header, every nested item and private attributes are read, and every frame is decoded. `slices` is how many objects the
    series has, where that is known. Raises Unreadable when the bytes are no data set.
    """
    dataset = parse.read(source)
    notes = _Notes()
    for part in (dataset.file_meta, dataset):
        for raw, holder, place in walk.nested(part):
            _note(raw, holder, place, notes)
    found = {place: _forms(terms) for place, terms in notes.terms.items()} | {"PatientAge": frozenset(_ages(notes))}
    return Identifiers(
        terms=frozenset().union(*found.values()),
        found=found,
        uids=frozenset(uid for uid in notes.uids if uid not in UID_dictionary and len(uid) > _SHORTEST),
        dates={keyword: frozenset(found) for keyword, found in notes.dates.items()},
        spellings=frozenset(spelt for found in notes.dates.values() for day in found for spelt in _spellings(day)),
        frames=frame_digests(dataset),
        waveforms=waveform_digests(dataset),
        doubts=eyes.doubts(dataset) | ({"OverlayData"} if notes.overlays else set()),
        unsettled=eyes.beyond_reading(dataset),
        extent=eyes.Extent.FRAMES if notes.overlays else eyes.extent(dataset),
        is_said_clean=eyes.says_clean(dataset),
        face=faces.sign(dataset, slices),
        source=dataset,
    )


def frame_digests(dataset: Dataset) -> tuple[str, ...] | None:
    """Return a digest of every decoded frame, None when one of them cannot be decoded."""
    try:
        return tuple(
            Digest.of_pieces((repr((frame.shape, frame.dtype.str)).encode(), np.ascontiguousarray(frame).data)).hex
            for frame in pixels.frames(dataset)
        )
    except Unreadable:
        return None


def waveform_digests(dataset: Dataset) -> tuple[str, ...]:
    """Return a digest of the samples of every multiplex group; of one that breaks its VR or is too short, of nothing."""
    try:
        groups = [
            (int(sample_bytes(group)), bytes(group.WaveformData)) for group in dataset.get("WaveformSequence") or []
        ]
    except walk.FAILURES:
        return ()
    return tuple(Digest.of(data[:size] if len(data) >= size else b"").hex for size, data in groups)


def sample_bytes(group: Dataset) -> int:
    """Return how long the samples of a multiplex group are. Raises what is in `walk.FAILURES`."""
    channels, samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    return channels * samples * (int(group.WaveformBitsAllocated) // 8)


def in_text(text: str, forbidden: Identifiers) -> bool:
    """Say whether a text value has a term in it, a date in words, or one of the source's UIDs."""
    lowered = text.lower()
    tokens = set(_alnum(lowered).split())
    if tokens & forbidden.terms or any(spelling in lowered for spelling in forbidden.spellings):
        return True
    if any(uid in text for uid in forbidden.uids if len(uid) >= _SHORTEST_RAW):
        return True
    return any(_bounded(term, lowered) for term in forbidden.terms if not term.isalnum() and term in lowered)


def in_reading(text: str, forbidden: Identifiers) -> bool:
    """Say whether a text as it was read in a picture, where words can run together, has a term or a date in it."""
    glued = _alnum(text.lower()).replace(" ", "")
    words = (_alnum(term).replace(" ", "") for term in forbidden.terms)
    return in_text(text, forbidden) or any(len(word) >= _SHORTEST_RAW and word in glued for word in words)


def in_number(text: str, forbidden: Identifiers) -> bool:
    """Say whether the whole part of a DS or IS value is a term of at least six digits, or one of the source's dates."""
    number = _plain(text).lstrip("+-").partition(".")[0]
    if len(number) < _SHORTEST_NUMBER or not number.isdigit():
        return False
    known = forbidden.terms.union(*forbidden.dates.values())
    return any(number.lstrip("0") == each.lstrip("0") for each in known if each.isdigit())


def in_pieces(text: str, forbidden: Identifiers) -> bool:
    """Say whether the numbers of a text are a term when what stands between them is left out, or spell a date."""
    numbers = _NUMBER.findall(text)
    joined = "".join(numbers)
    if len(numbers) < 3 and len(joined) < _SHORTEST_RAW:
        return False
    terms = (term.lstrip("0") for term in forbidden.terms if term.isdigit())
    if any(len(term) >= _SHORTEST_RAW and term in joined for term in terms):
        return True
    runs = (numbers[at : at + 3] for at in range(len(numbers) - 2))
    threes = [sorted(map(int, run)) for run in runs if "0" not in run]  # a lone zero is no year
    days = {day for found in forbidden.dates.values() for day in found} if threes else set()
    return any(
        sorted(parts) in threes
        for day in days
        for parts in ((int(day[:4]), int(day[4:6]), int(day[6:])), (int(day[2:4]), int(day[4:6]), int(day[6:])))
    )


def in_date(keyword: str, text: str, forbidden: Identifiers) -> bool:
    """Say whether a DA or DT value has the day that the same attribute had in the source."""
    return text.strip()[:8] in forbidden.dates.get(keyword, frozenset())


def in_header_bytes(header: bytes, forbidden: Identifiers) -> bool:
    """Say whether the raw bytes outside of the pixel data have a term or a UID of the source in them."""
    lowered = header.lower()
    terms = (term for term in forbidden.terms if len(term) >= _SHORTEST_RAW)
    if any(_in_bytes(term, lowered) for term in terms):
        return True
    return any(uid.encode() in header for uid in forbidden.uids if len(uid) >= 2 * _SHORTEST_RAW)


def in_pixel_bytes(value: bytes, forbidden: Identifiers) -> bool:
    """Say whether encoded pixel data has a term in it."""
    lowered = value.lower()
    terms = (term for term in forbidden.terms if len(term) >= _SHORTEST_IN_PIXELS and not term.isdigit())
    return any(_in_bytes(term, lowered) for term in terms)


def _plain(text: str) -> str:
    """Return a DS or IS value without an exponent, "" for one that is too large for a number that anybody has."""
    text = text.strip()
    try:
        number = Decimal(text) if "e" in text.lower() else None
    except ArithmeticError:
        return ""
    if number is None:
        return text
    return f"{number:f}" if abs(number.adjusted()) <= _MOST_PLACES else ""


def _in_bytes(term: str, lowered: bytes) -> bool:
    if term.isdigit():
        pattern = rb"(?<![\d.])0*" + term.encode() + rb"(?![\d.])"
        return term.isascii() and re.search(pattern, lowered) is not None
    if term.isascii():
        return any(term.encode(encoding) in lowered for encoding in _ENCODINGS)
    writable = [encoding for encoding in _ENCODINGS if len(term.encode(encoding, "ignore")) > _SHORTEST]
    return any(re.search(b"".join(_cased(char, encoding) for char in term), lowered) for encoding in writable)


def _cased(char: str, encoding: str) -> bytes:
    """Return a pattern for a letter in either case, in bytes of which those that could be ASCII letters were lowered."""
    if char.isascii():
        return re.escape(char.encode(encoding))
    found = {form.encode(encoding, "ignore").lower() for form in (char, char.upper(), char.title())}
    return b"(?:" + b"|".join(map(re.escape, sorted(found - {b""}))) + b")" if any(found) else b""


def _note(raw: walk.Element, holder: Dataset, place: str, notes: _Notes) -> None:
    tag = int(raw.tag)
    vr, private = walk.vr_of(raw), bool(tag & 0x10000)
    if private and vr not in _PRIVATE_NOTED:
        return
    keyword = walk.name_of(tag)
    within, is_identifier, is_place = _tells(place)
    if tag >> 16 & 0xFF01 == 0x6000:
        notes.overlays = True
    if keyword in _OWN_TRACES or vr in ("SQ", "OB", "OW"):
        return
    is_told = keyword == "TextValue" and tells(holder)
    if vr == "PN" or is_told or (is_identifier and vr != "UI"):
        for text in _texts(raw, holder):
            parts = {part for part in _alnum(text).split() if vr == "PN" or len(part) >= _SHORTEST_RAW}
            notes.add({text} | parts, "" if vr == "PN" else within)
    elif is_place:
        for text in _texts(raw, holder):
            notes.add(set(_alnum(text).split()) - words() - code_words(), within)
    elif vr == "AS":
        notes.years |= {int(text[:-1]) for text in _texts(raw, holder) if _AGE.fullmatch(text)}
    elif vr == "UI":
        notes.uids |= set(_texts(raw, holder))
    elif vr in ("DA", "DT"):
        for text in _texts(raw, holder):
            if found := _DAY.match(text):
                notes.dates.setdefault("" if private else keyword, set()).add("".join(found.groups()))
    elif private and vr in _PRIVATE_TEXT and len(walk.raw_value(raw)) <= _LONGEST_PRIVATE:
        notes.add({number for text in _texts(raw, holder) for number in _NUMBER_IN_TEXT.findall(text)})


@lru_cache(8192)
def _tells(place: str) -> tuple[str, bool, bool]:
    """Return a path's attribute with the sequence that it lies in, whether it is an identifier, and whether a place."""
    names = place.split(".")[-2:]
    within = ".".join(names)
    rows = {names[-1], within}
    return within, not rows.isdisjoint(IDENTIFIERS), not rows.isdisjoint(PLACES)


def _ages(notes: _Notes) -> set[str]:
    """Return the spellings of an age above 89 years, stated or counted from birth to a study."""
    born, seen = (
        {int(day[:4]) for day in notes.dates.get(keyword, ())} for keyword in ("PatientBirthDate", "StudyDate")
    )
    years = notes.years | {year - birth - early for year in seen for birth in born for early in (0, 1)}
    return {f"{one}{age}{other}" for age in years if age >= _OLD for one in _AGE_MARKS for other in _AGE_MARKS}


def _texts(raw: walk.Element, holder: Dataset) -> Iterator[str]:
    """Yield the components of a value as stripped lower-case text; of a value that breaks its VR, the bytes as text."""
    value: object = _plain_texts(raw)
    if value is None:
        try:
            value = holder[raw.tag].value
        except walk.FAILURES:
            value = walk.raw_value(raw)
    for part in value if isinstance(value, MultiValue | list) else [value]:
        text = part.decode("latin-1") if isinstance(part, bytes) else "" if part is None else str(part)
        if stripped := text.strip(" \0^=").lower():
            yield stripped


def _forms(terms: set[str]) -> frozenset[str]:
    return frozenset(form for term in terms for form in (term, _folded(term)) if _is_term(form))


def _plain_texts(raw: walk.Element) -> list[str] | None:
    """Return the components of a value that reads the same in every character set, None for one that pydicom decodes."""
    if not isinstance(raw, RawDataElement) or raw.VR not in _SPLIT or not raw.value or not raw.value.isascii():
        return None
    text = raw.value.decode("ascii").rstrip(" \0")
    return text.split("\\") if text.isprintable() else None


def _is_term(term: str) -> bool:
    letters = set(_alnum(term).replace(" ", ""))
    return len(term) >= _SHORTEST and len(letters) > 1 and term not in PLACEHOLDERS


def _spellings(day: str) -> Iterator[str]:
    year, month, dom = day[:4], day[4:6], day[6:]
    yield day
    for mark in "-/.":
        yield from (
            f"{year}{mark}{month}{mark}{dom}",
            f"{dom}{mark}{month}{mark}{year}",
            f"{month}{mark}{dom}{mark}{year}",
        )
    if month.isdigit() and 1 <= int(month) <= 12:
        name = _MONTHS[int(month) - 1]
        yield from (f"{int(dom)} {name} {year}", f"{dom}-{name}-{year}", f"{dom} {name} {year}")


def _bounded(term: str, text: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(term)}(?![^\W_])", text) is not None


def _alnum(text: str) -> str:
    if text.isascii():
        return text.translate(_TO_BLANKS)
    return "".join(char if char.isalnum() else " " for char in text)


def _folded(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
