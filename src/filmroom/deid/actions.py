"""What a profile's actions do to one value, each a pure function: `(vr, text, context) -> text or None`.

None means that nothing may remain of the value. The functions see one component of a multi-valued text element; which
element gets which action is `apply`'s business. Sources: PS3.5 section 6.2 (forms of values), PS3.15 E.2 and E.3.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeAlias

from pydicom._uid_dict import UID_dictionary

from filmroom.deid.lexicon import code_words, eponyms, words
from filmroom.deid.profile import Action
from filmroom.deid.publiccodes import SCHEMES, UNITS

_FORMS = {
    "CS": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ +./()-]{0,15}\Z"),
    "TM": re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?\Z"),
    "DS": re.compile(r"(?=.{1,24}\Z)[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z"),
    "IS": re.compile(r"[+-]?\d{1,12}\Z"),
}
_STAND_INS = {"DA": "19000101", "DT": "19000101000000", "TM": "000000", "AS": "000Y", "IS": "0", "DS": "0"}
_DATETIME = re.compile(
    r"(\d{8})((?:(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?)?)([+-](?:0\d|1[0-4])[0-5]\d)?\Z"
)
_OLD_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)(\.\d+)?")
_TO_MICROSECONDS = len(".000000")
_AGE = re.compile(r"(\d{1,3})([DWMY])\Z")
OLDEST_YEARS = 89
_SHORT_WORD = 2
_SHORTEST_GLUED = 5  # a word of at least so many characters also counts where it is a part of another
_SHORTEST_IN_PIECES = 5
_MOST_DIGITS = 5  # in the short words of a code string, together
_LONGEST_TEXT = 1024  # the patterns below take time by the square of it; the longest descriptor has 64 characters
_LONGEST_EXPONENT = 2  # in digits; with more of them it is no whole number of these
_LONG_NUMBER = 6  # shorter ones are counts and measures more often than identifiers

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mai|okt|dez"
_GIVEAWAY = re.compile(
    rf"""\d+([-/.])\d+\1\d+                                 # dates, numbers in three parts
    | \b\d{{1,2}}[ .-]*(?:{_MONTHS})[a-z]*[ .,-]*\d{{2,4}}    # 11 May 2021
    | \b(?:{_MONTHS})[a-z]*[ .-]*\d{{1,2}}[ .,-]+\d{{2,4}}    # May 11, 2021
    | \b\d{{1,2}}:\d{{2}}(?::\d{{2}})?                        # times
    | \+?\b\d{{3,}}[-. ]\d{{3,}}                              # telephone numbers
    | (?<![^\W_])\d{{2,3}}(?:[ _^,:./-]\d{{2,3}}){{2,}}(?![^\W_]) # the same in pairs; 11 05 21
    | \b0?(?:9\d|1[0-3]\d)[ -]*y(?:rs?|ears?|o|/o|\.o\.)?\b   # an age above 89
    | \S+@\S+ | \b(?:https?|www)\S+""",
    re.IGNORECASE | re.VERBOSE,
)
_TITLES = frozenset({"dr", "prof", "doctor", "professor", "mrs", "physician", "nurse", "operator"})
_PROTOCOL = re.compile(
    r"[a-z]?\d{1,3}[a-z]?|b\d{4}|\d{1,3}(mm|cm|ms|hz|min|sec|kv|ma|mas|pc|ch|fr|ph|mm3)|v[a-e]\d\d[a-z]?|xa\d\d[a-z]?"
)
_MODES = re.compile(r"0[0-7][0-9a-f]{2}")  # the sum of what an ultrasound image shows, PS3.3 C.8.5.6.1.1
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_TOKENS = re.compile(r"[^\W_]+|[\W_]+")
_WITH_DIGITS = re.compile(r"[^\W_]*\d[^\W_]*")
_SEPARATORS = frozenset(" _^-/.,()+%&:*")
_BARE_NUMBER = re.compile(r"\d{1,3}[a-z]?")
_CODE = re.compile(
    r"""(?:[A-Z][0-9A-F]?-[0-9A-F]{4,6}   # SNOMED RT: T-D3000, P5-0900A
    | (?:RID|RPID)\d{1,6}                # RadLex
    | [CD]\d{3,8}                        # NCIt, UMLS, MeSH
    | [A-Z]\d\d(?:\.\d{1,3})?           # ICD-10
    | 5(?:\.\d{1,2}){1,3}(?:-\d{1,3}){1,3} # SCP-ECG: 5.6.3-9-1
    | [1-9]:\d{1,5}                       # ISO/IEEE 11073: 2:15872
    | (?:UBERON:)?\d{1,18}(?:[-.]\d{1,6})? # DCM, SCT, LOINC, versions
    )\Z""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Context:
    """Whose values these are. `known` holds, in lower case, the words that identify the patient; never shown."""

    subject: str
    days: int
    uid: Callable[[str], str]
    known: frozenset[str] = field(repr=False)


Act: TypeAlias = Callable[[str, str, Context], str | None]


def keep(vr: str, text: str, context: Context) -> str | None:
    """Return the value if it has the form of its VR and identifies nobody.

    A code string keeps only words of defined terms: anything can be typed into Body Part Examined.
    """
    if vr == "UI":
        return text if text in UID_dictionary else None
    if vr == "TM":
        text = _clock(text)
    form = _FORMS.get(vr)
    if form is None or not form.match(text):
        return None
    if vr == "CS" and not _is_code_string(text, context.known):
        return None
    if vr in ("DS", "IS", "TM") and is_known_number(text, context.known):
        return None
    return text


def _clock(text: str) -> str:
    """Return a time of the older form 10:11:12.5, which readers are to accept (PS3.5 6.2), in today's.

    What a fraction has beyond microseconds is cut off: there is no room for it.
    """
    old = _OLD_CLOCK.fullmatch(text)
    return f"{old[1]}{old[2]}{old[3]}{(old[4] or '')[:_TO_MICROSECONDS]}" if old else text


def is_known_number(text: str, known: frozenset[str]) -> bool:
    """Say whether a number of six digits or more is an identifier or a date, however DS and IS can write it."""
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and len(exponent.lstrip("+-0")) <= _LONGEST_EXPONENT:
        text = f"{Decimal(mantissa).scaleb(int(exponent)):f}"
    whole = text.lstrip("+-").split(".")[0]
    return len(whole) >= _LONG_NUMBER and (whole in known or whole.lstrip("0") in known)


def _is_code_string(text: str, known: frozenset[str]) -> bool:
    tokens = [word.lower() for word in re.findall(r"[^\W_]+", text)]
    digits = sum(char.isdigit() for word in tokens if word not in code_words() for char in word)
    return digits <= _MOST_DIGITS and not _GIVEAWAY.search(text) and all(_is_defined(word, known) for word in tokens)


def _is_defined(word: str, known: frozenset[str]) -> bool:
    """Say whether a word of a code string is one of a defined term, or too short to be anybody's."""
    if word in known:
        return False
    is_word = len(word) <= _SHORT_WORD or word in code_words() or word in words()
    return is_word or bool(_PROTOCOL.fullmatch(word) or _MODES.fullmatch(word))


def empty(vr: str, text: str, context: Context) -> str | None:
    """Return nothing."""
    return None


def replace(vr: str, text: str, context: Context) -> str | None:
    """Return a fixed stand-in that is valid for the VR."""
    return _STAND_INS.get(vr, "REMOVED")


def pseudonym(vr: str, text: str, context: Context) -> str | None:
    """Return the patient's pseudonym."""
    return context.subject


def uid(vr: str, text: str, context: Context) -> str | None:
    """Return the project's UID for this one; UIDs that the standard itself defines stay."""
    text = text.strip(" \0")
    return (text if text in UID_dictionary else context.uid(text)) if text else None


def shift_date(vr: str, text: str, context: Context) -> str | None:
    """Return a DA or DT value moved by the patient's days; None for what is no whole date. The time of day stays."""
    text = text.strip()
    if re.fullmatch(r"\d{4}\.\d{2}\.\d{2}", text):
        text = text.replace(".", "")
    found = _DATETIME.match(text)
    if not found or (vr == "DA" and len(text) != 8):
        return None
    day = found[1]
    try:
        moved = date(int(day[:4]), int(day[4:6]), int(day[6:])) + timedelta(days=context.days)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04}{moved.month:02}{moved.day:02}{found[2]}{found[3] or ''}"


def age(vr: str, text: str, context: Context) -> str | None:
    """Return an age as it is, 090Y above 89 years, None for what is no age."""
    found = _AGE.match(text.strip())
    if not found:
        return None
    years = {"Y": 1, "M": 12, "W": 52, "D": 365}
    count, unit = int(found[1]), found[2]
    return "090Y" if count // years[unit] > OLDEST_YEARS else f"{count:03}{unit}"


def code(vr: str, text: str, context: Context) -> str | None:
    """Return a code value, coding scheme or unit that has the form of a public one."""
    text = text.strip()
    numbers = re.findall(r"\d+", text)
    if text.lower() in context.known or any(is_known_number(number, context.known) for number in numbers):
        return None
    return text if text in SCHEMES or text in UNITS or _CODE.match(text) else None


def is_public(scheme: str) -> bool:
    """Say whether a coding scheme designator is one of a public scheme (PS3.16 section 8)."""
    return scheme.strip() in SCHEMES


def retain(vr: str, text: str, context: Context) -> str | None:
    """Return a text in ASCII letters, None when one of the patient's words is in it or a letter has no such form."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    lowered = plain.lower()
    tokens = set(re.findall(r"[^\W_]+", lowered))
    glued = (word for word in context.known if len(word) >= _SHORTEST_GLUED or not word.isalnum())
    if not plain.isascii() or tokens & context.known or any(word in lowered for word in glued):
        return None
    return plain


def clean_descriptor(vr: str, text: str, context: Context) -> str | None:
    """Return the lexicon words and protocol-like tokens of a text in their order, None when there are none.

    Dates, times, telephone numbers and the patient's own words go first; a word behind a title goes too. An unknown
    word is dropped, so a name needs no recognising, and with it a number that is only its own, as that of a house is, and
    an initial beside a name. So is all that follows the first 1,024 characters. No number stays where the numbers
    together spell one of the patient's.
    """
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT].rpartition(" ")[0]  # a word that is cut could pass for another
    left = _cleaned(text, context.known)
    if left is None or not _spells_known(left, context.known):
        return left
    return _cleaned(_WITH_DIGITS.sub(" \N{REPLACEMENT CHARACTER} ", left), context.known)


def _spells_known(text: str, known: frozenset[str]) -> bool:
    """Say whether the numbers in a text are an identifier in pieces, or day, month and year of a date."""
    numbers = re.findall(r"\d+", text)
    joined = "".join(numbers)
    if len(joined) < 3:
        return False
    if any(len(word) >= _SHORTEST_IN_PIECES and word.isdecimal() and word in joined for word in known):
        return True
    threes = (triple for triple in zip(numbers, numbers[1:], numbers[2:], strict=False) if "0" not in triple)
    triples = {tuple(sorted(map(int, triple))) for triple in threes}  # a lone zero is no year
    days = [(int(word[:4]), int(word[4:6]), int(word[6:])) for word in known if len(word) == 8 and word.isdecimal()]
    return any(tuple(sorted((y, month, day))) in triples for year, month, day in days for y in (year, year % 100))


def _cleaned(text: str, known: frozenset[str]) -> str | None:
    bare = _GIVEAWAY.sub(" \N{REPLACEMENT CHARACTER} ", text)
    kept, gap = "", False
    pending = ""
    for token, stays in _alone(list(_judged(bare, known)), known):
        if stays is None:
            pending = "".join(char for char in token if char in _SEPARATORS)
            gap = gap or "\N{REPLACEMENT CHARACTER}" in token
        elif stays:
            kept += (" " if gap and kept else "" if gap else pending) + token
            gap, pending = False, ""
        else:
            gap, pending = True, ""
    kept = kept + ("" if gap else pending)
    return kept.strip(" _^-/.,+&:*") or None


def _alone(judged: Sequence[tuple[str, bool | None]], known: frozenset[str]) -> Iterator[tuple[str, bool | None]]:
    """Yield the same, but that a whole number goes with the word behind it, and a single letter with a name beside it.

    A number behind a word that stays is that word's, and so stays: "arc 1".
    """
    for at, (token, stays) in enumerate(judged):
        before, after = judged[max(at - 2, 0) : at], judged[at + 1 : at + 3]
        is_initial = len(token) == 1 and any(word.lower() in known for word, _ in (*before[:-1], *after[1:]))
        is_number = _BARE_NUMBER.fullmatch(token.lower()) and token.lower() not in words()
        is_part = bool(before) and (before[-1][0] in (".", ":") or (before[-1][0].isspace() and before[0][1] is True))
        is_numbered = is_number and not is_part and [stays for _, stays in after] == [None, False]
        yield token, stays and not is_initial and not (is_numbered and after[0][0].isspace())


def _judged(text: str, known: frozenset[str]) -> Iterator[tuple[str, bool | None]]:
    """Yield each token with whether it stays; None for what separates words."""
    recent: list[str] = []
    for token in _TOKENS.findall(text):
        if not token[0].isalnum():
            yield token, None
            continue
        word = token.lower()
        titled = any(before in _TITLES for before in recent[-2:]) or recent[-1:] == ["per"]
        is_medical = word not in known if word in eponyms() else _is_medical(token, known)
        stays = is_medical and not (titled if word in eponyms() else _is_titled(recent))
        recent.append(word)
        yield token, stays


def _is_titled(recent: list[str]) -> bool:
    """Say whether a title comes just before, or before an initial."""
    return any(before in _TITLES for before in recent[-2 if len(recent[-1:] and recent[-1]) == 1 else -1 :])


def _is_medical(token: str, known: frozenset[str]) -> bool:
    word = token.lower()
    if word in known or not word.isascii():
        return False
    if word in words() or _PROTOCOL.fullmatch(word):
        return True
    pieces = [piece.lower() for piece in _PIECES.findall(token)]
    return len(pieces) > 1 and all(
        piece not in known and (piece in words() or (piece.isdigit() and len(piece) <= 3)) for piece in pieces
    )


ACTIONS: Mapping[Action, Act] = {
    Action.KEEP: keep,
    Action.EMPTY: empty,
    Action.REPLACE: replace,
    Action.PSEUDONYM: pseudonym,
    Action.UID: uid,
    Action.SHIFT_DATE: shift_date,
    Action.AGE: age,
    Action.CLEAN_DESCRIPTOR: clean_descriptor,
    Action.CODE: code,
    Action.RETAIN: retain,
}
