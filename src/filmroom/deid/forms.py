"""What a value of a copy may look like, given what its rule promises; the verifier's own reading of the rules.

It shares the word lists with what made the copy, no code and no pattern. A value that keeps the promise can still be
the patient's: that is for the search for identifiers. Sources: PS3.5 6.2, PS3.6 (through pydicom's dictionary).
"""

import re
import struct
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache

from pydicom.datadict import dictionary_has_tag, dictionary_VM
from pydicom.dataelem import DataElement

from filmroom.deid.lexicon import code_words, eponyms, words
from filmroom.deid.profile import Action, Rule
from filmroom.deid.publiccodes import SCHEMES, UNITS, meanings

_CLOCK = r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"
_SHAPES: Mapping[str, re.Pattern[str]] = {
    "AS": re.compile(r"\d{3}[DWM]|0[0-8]\dY|090Y"),
    "DA": re.compile(r"\d{8}"),
    "DT": re.compile(rf"\d{{8}}(?:{_CLOCK})?(?:[+-](?:0\d|1[0-4])[0-5]\d)?"),
    "DS": re.compile(r"[-+0-9.eE]{1,24}"),
    "IS": re.compile(r"[-+]?[0-9]{1,12}"),
    "TM": re.compile(_CLOCK),
    "UI": re.compile(r"[0-9.]{1,64}"),
}
_SUBJECT = re.compile(r"P[A-Z2-7]{16}")
_CODE_SHAPE = re.compile(
    r"(?:UBERON:|RPID|RID|[A-Z][0-9A-F]?-|[A-Z])?[0-9A-F]{1,18}(?:[-.][0-9]{1,6})?"
    r"|5\.[0-9]{1,2}(?:\.[0-9]{1,2}){0,2}(?:-[0-9]{1,3}){1,3}|[1-9]:[0-9]{1,5}"
)
_STAND_INS = frozenset({"REMOVED", "19000101", "19000101000000", "000000", "000Y", "0"})
_TOKEN = re.compile(r"[0-9A-Za-z]+")
_PIECE = re.compile(r"[0-9]+|[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MEASURES = frozenset({"min", "sec", "mas", "mm3"})
_OLD = re.compile(r"(?<![0-9])0?(?:9[0-9]|1[0-3][0-9])[ -]*y(?![a-df-z])", re.IGNORECASE)
_MOST_DIGITS, _SHORT = 4, 2
_MOST_CHARS = 64  # of a Code Meaning
_PACKED = {"FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
_RUN = {"FD": 8, "FL": 8}
_WORD_BYTES = 6
_FEW = 16
_HUGE, _TINY = 1e12, 1e-25
_BYTES = frozenset({"OB", "OW", "OF", "OD"})
_LUT = "LUTData"


def breach(element: DataElement, rule: Rule, subject: str) -> str | None:
    """Return the code of what a value has that its rule does not allow, None for nothing. `subject` is the copy's ID."""
    vr = str(element.VR)
    if vr == "SQ":
        return None
    if element.keyword == _LUT and not element.is_empty:
        return None if is_ramp(element) else "text-in-numbers"
    if vr in _BYTES:
        return None
    count = element.VM
    if not count:
        return None
    if most_values(int(element.tag)) < count:
        return "multiplicity"
    parts = element.value if count > 1 else [element.value]
    if vr == "AT":
        return None if all(dictionary_has_tag(int(part)) for part in parts) else "form"
    if vr in _PACKED:
        return "text-in-numbers" if holds_text(vr, parts) else None
    texts = [str(part) for part in parts if part not in (None, "")]
    if vr in _SHAPES and not all(_SHAPES[vr].fullmatch(text) for text in texts):
        return "form"
    if element.keyword == "CodeMeaning" and set(texts) <= _meanings():
        return None
    return None if all(_keeps(text, vr, rule.action, subject) for text in texts) else "vocabulary"


@cache
def most_values(tag: int) -> float:
    """Return how many values the dictionary lets an attribute have."""
    most = dictionary_VM(tag).rpartition("-")[2]
    return int(most) if most.isdigit() else float("inf")


def is_ramp(element: DataElement) -> bool:
    """Say whether the entries of a lookup table rise or fall all the way, or their bytes do not read as text."""
    raw = element.value
    words = struct.unpack(f"<{len(raw) // 2}H", raw) if isinstance(raw, bytes) else (raw if element.VM > 1 else [raw])
    ordered = sorted(words)
    return (len(words) > _FEW and list(words) in (ordered, ordered[::-1])) or not holds_text("US", words)


def holds_text(vr: str, numbers: Sequence[float]) -> bool:
    """Say whether the bytes of binary numbers read as text, in either byte order, or a number is none of a measurement."""
    run = re.compile(rb"[0-9A-Za-z]{%d}" % _RUN.get(vr, _WORD_BYTES))
    orders = [struct.pack(f"{order}{len(numbers)}{_PACKED[vr]}", *numbers) for order in "<>"]
    if any(run.search(packed) for packed in orders):
        return True
    return vr == "FD" and any(
        not _TINY < abs(number) < _HUGE and re.search(rb"[0-9A-Za-z]{4}", struct.pack("<d", number))
        for number in numbers
        if number
    )


def _keeps(text: str, vr: str, action: Action, subject: str) -> bool:
    if action is Action.PSEUDONYM:
        return text == subject and _SUBJECT.fullmatch(text) is not None
    if action is Action.REPLACE:
        return text in _STAND_INS
    if action is Action.RETAIN:
        return text.isascii()
    if action is Action.CODE:
        return text in UNITS or text in SCHEMES or _CODE_SHAPE.fullmatch(text) is not None
    if action is Action.CLEAN_DESCRIPTOR or vr == "CS":
        return text.isascii() and not _OLD.search(text) and all(map(_is_word, _TOKEN.findall(text)))
    return vr in _SHAPES


def _is_word(token: str) -> bool:
    """Say whether a token is a word of the lists, or made of such words, short numbers and at most two other letters."""
    known = _known()
    if token.lower() in known:
        return True
    pieces = _PIECE.findall(token)
    if token.isalpha() and len(pieces) < 2:
        return len(token) <= _SHORT
    return all(
        len(piece) <= _MOST_DIGITS if piece.isdigit() else piece.lower() in known or len(piece) <= _SHORT
        for piece in pieces
    )


@cache
def _known() -> frozenset[str]:
    return words() | code_words() | eponyms() | _MEASURES


@cache
def _meanings() -> frozenset[str]:
    return frozenset(meaning[:_MOST_CHARS] for meaning in meanings().values())


def one_shift(moved: Sequence[tuple[str, str]], source: Mapping[str, frozenset[str]]) -> bool:
    """Say whether one number of days, other than none, leads from the source's dates to all of the copy's.

    `moved` are (keyword, YYYYMMDD) of the copy. A copy without dates has nothing to explain.
    """
    possible: set[int] | None = None
    for keyword, text in moved:
        steps = {(_day(text) - _day(before)).days for before in source.get(keyword, frozenset()) if _is_day(before)}
        possible = steps if possible is None else possible & steps
    return possible is None or bool(possible - {0})


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def _is_day(text: str) -> bool:
    try:
        _day(text)
    except ValueError:
        return False
    return True
