"""What senders write, in one vocabulary: body part, modality, side, view, maker, units and times.

A pure function of the facts that the catalog keeps anyway, by tables that are data: `normalization.toml` and `regions.csv`.
What was received stays in a column of its own beside what it was read as, with the version of the tables; so changed tables
can be applied to what is cataloged. A guess is only made from whole words, and not when they speak of two things.
"""

import csv
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from filmroom.records import Value

# Where a body part is looked for, best evidence first; the columns' names and the attributes they hold.
_DESCRIPTIONS = (
    ("protocol", "ProtocolName"),
    ("series_description", "SeriesDescription"),
    ("study_description", "StudyDescription"),
)
_OLDER_SCHEMES = {"SNM3": "SRT", "99SDM": "SRT"}
_GAUSS = 10_000

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKENS = re.compile(f"[左右좌우]|[{_CJK}]+|[^\\W\\d_{_CJK}]+|\\d+")


def normalize(facts: Mapping[str, Value]) -> dict[str, Value]:
    """Return the normalised columns of one instance, by name; what cannot be told is absent.

    `facts` are what `dicom.parse` found. Normalised again, together with what is returned, they give the same.
    """
    return {name: value for name, value in readings(facts).items() if value is not None}


def version() -> int:
    """Return the version of the tables."""
    return _tables().version


def readings(facts: Mapping[str, Value]) -> dict[str, Value]:
    """Return every column that is normalised, None for what cannot be told."""
    tables = _tables()
    text = {name: value for name, value in facts.items() if isinstance(value, str)}
    descriptions = tuple(text.get(name, "") for name, _ in _DESCRIPTIONS)
    modality = _modality(text.get("modality_received", ""), text.get("sop_class", ""))
    region, told_by = _region(text.get("anatomic_region", ""), text.get("body_part_examined", ""), descriptions)
    side = _side(text.get("laterality_received", ""), region, descriptions)
    found: dict[str, Value] = {
        "modality": modality,
        "body_part": region,
        "body_part_code": tables.codes.get(region, ""),
        "body_part_from": told_by,
        "laterality": side,
        "image_laterality": tables.sides.whole(text.get("image_laterality_received", "")) or side,
        "view": _view(text.get("view_code", ""), text.get("view_position", ""), modality, descriptions),
        "manufacturer": _maker(text.get("manufacturer_received", "")),
        "field_strength_t": _tesla(facts.get("field_strength_received")),
        "exposure_mas": _milliampere_seconds(facts.get("exposure_mas"), facts.get("exposure_uas")),
        "study_start_utc": _utc(text.get("study_start", "")),
        "normalization": tables.version,
    }
    return {name: None if value == "" else value for name, value in found.items()}


def reading(column: str, received: str) -> str | None:
    """Return what the tables read a received word as, for a column of normalised words and by itself.

    None is for a word that no table knows, "" for one that says nothing, such as `unknown`.
    """
    tables = _tables()
    match column:
        case "modality":
            term = _modality(received, "")
            return term if term in tables.modalities else None
        case "body_part":
            return tables.regions.term(received) or ("" if tables.regions.says_nothing(received) else None)
        case "laterality":
            return tables.sides.whole(received) or None
        case "manufacturer":
            return tables.makers.start(received) or (None if _maker(received) else "")
        case _:
            raise KeyError(column)


def parts_named(text: str) -> frozenset[str]:
    """Return every body part (PS3.16 Annex L) that a description or a value of Body Part Examined names."""
    return _tables().regions.named(text)


def part_coded(scheme: str, code: str) -> str:
    """Return the body part that a code of Anatomic Region Sequence means, or ""."""
    return _tables().regions.by_code(f"{scheme}:{code}")


def parts_with(part: str) -> frozenset[str]:
    """Return a body part, what lies inside it, and what it lies inside of."""
    inside = _tables().regions.inside
    return frozenset({part, *inside[part], *(term for term in inside if part in inside[term])})


# -- one thing at a time -------------------------------------------------------------------------------------------


def _modality(received: str, sop_class: str) -> str:
    tables = _tables()
    word = received.strip().upper()
    if word in tables.modalities:
        return word
    return tables.other_modalities.whole(received) or tables.modality_of_class.get(sop_class, "") or word


@lru_cache(4096)
def _region(code: str, examined: str, descriptions: tuple[str, ...]) -> tuple[str, str]:
    """Return the term and the attribute that told it, "" and "" when none does."""
    regions = _tables().regions
    term = regions.by_code(code)
    told_by = "AnatomicRegionSequence"
    if not term:
        term, told_by = regions.term(examined), "BodyPartExamined"
    if term and term not in regions.wide:
        return term, told_by
    for (_, attribute), description in zip(_DESCRIPTIONS, descriptions, strict=True):
        hinted = regions.hint(description)
        if hinted and (not term or hinted in regions.inside[term]):
            return hinted, attribute
    return (term, told_by) if term else ("", "")


@lru_cache(4096)
def _side(received: str, region: str, descriptions: tuple[str, ...]) -> str:
    """Return L, R or B; from a description only where there are two of the part."""
    tables = _tables()
    told = tables.sides.whole(received)
    if told or region not in tables.paired:
        return told
    return next((side for each in descriptions if (side := _only(tables.side_words.all(each)))), "")


@lru_cache(4096)
def _view(code: str, position: str, modality: str, descriptions: tuple[str, ...]) -> str:
    tables = _tables()
    told = tables.view_codes.get(_known_scheme(code), "") or tables.views.whole(position)
    if told or modality not in tables.view_modalities:
        return told
    return next((view for each in descriptions if (view := _only(tables.views.all(each)))), "")


@lru_cache(1024)
def _maker(received: str) -> str:
    tables = _tables()
    if not _tokens(received) or tables.no_maker.whole(received):
        return ""
    return tables.makers.start(received) or " ".join(received.split())


def _tesla(received: Value) -> Value:
    if not isinstance(received, int | float) or received <= _tables().gauss_above:
        return received
    return received / _GAUSS


def _milliampere_seconds(stated: Value, micro: Value) -> Value:
    if stated is None and isinstance(micro, int | float):
        return micro / 1000
    return stated


def _utc(start: str) -> str:
    """Return the moment in UTC, "" when its zone is not known."""
    try:
        moment = datetime.fromisoformat(start)
        return "" if moment.tzinfo is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return ""


def _only(terms: set[str]) -> str:
    return terms.pop() if len(terms) == 1 else ""


def _known_scheme(code: str) -> str:
    scheme, _, value = code.partition(":")
    return f"{_OLDER_SCHEMES.get(scheme, scheme)}:{value}"


# -- words ---------------------------------------------------------------------------------------------------------


def _tokens(text: str) -> tuple[str, ...]:
    """Return the words of a text without regard to case, accents and punctuation."""
    if not text.isascii():
        plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text))
        text = unicodedata.normalize("NFC", "".join(each for each in plain if unicodedata.category(each) != "Mn"))
    return tuple(_TOKENS.findall(text.casefold()))


class _Phrases:
    """Spellings of terms. Of those that fit at one place, the longest counts."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._terms: dict[tuple[str, ...], str] = {}
        self._unspaced: dict[str, str] = {}
        for term, spellings in words.items():
            for spelling in _listed(spellings):
                tokens = _tokens(spelling)
                self._terms[tokens] = term
                # Chinese, Japanese and Korean put no space between words; a single sign may be part of any other word.
                if len(tokens) == 1 and len(tokens[0]) > 1 and _is_unspaced(tokens[0]):
                    self._unspaced[tokens[0]] = term
        self._longest = max(map(len, self._terms), default=0)

    def whole(self, text: str) -> str:
        """Return the term that the whole text spells, or ""."""
        return self._terms.get(_tokens(text), "")

    def start(self, text: str) -> str:
        """Return the term that the text begins with, or ""."""
        return self._at(_tokens(text), 0)[0]

    def all(self, text: str) -> set[str]:
        """Return every term in the text."""
        tokens = _tokens(text)
        found: set[str] = set()
        place = 0
        while place < len(tokens):
            term, length = self._at(tokens, place)
            if term:
                found.add(term)
            elif _is_unspaced(tokens[place]):
                found |= self._inside(tokens[place])
            place += length
        return found

    def _at(self, tokens: tuple[str, ...], place: int) -> tuple[str, int]:
        for length in range(min(self._longest, len(tokens) - place), 0, -1):
            term = self._terms.get(tokens[place : place + length])
            if term:
                return term, length
        return "", 1

    def _inside(self, run: str) -> set[str]:
        for word in sorted(self._unspaced, key=len, reverse=True):
            if word in run:
                return {self._unspaced[word], *self._inside(run.replace(word, " "))}
        return set()


def _is_unspaced(token: str) -> bool:
    return "\u3040" <= token[0] <= "\ud7af"


# -- regions -------------------------------------------------------------------------------------------------------


class _Regions:
    """The vocabulary of body parts: terms, codes, spellings, and which lies inside which."""

    def __init__(self, table: Mapping[str, Any], rows: Iterable[Mapping[str, str]]) -> None:
        self._nothing = _Phrases({"nothing": table["nothing"]})
        self.wide = frozenset(_listed(table["wide"]))
        self._words = _Phrases(table["words"])
        self._together = {frozenset(_listed(parts)): term for term, parts in table["together"].items()}
        self._codes: dict[str, str] = {}
        self._terms: set[str] = set()
        for row in rows:
            self._terms.add(row["term"])
            self._codes[f"SCT:{row['code']}"] = row["term"]
            if row["older_code"]:
                self._codes[f"SRT:{row['older_code']}"] = row["term"]
        self._codes |= {code: term for term, codes in table["codes"].items() for code in _listed(codes)}
        inner = {term: frozenset(_listed(terms)) for term, terms in table["inside"].items()}
        self.inside = {term: _below(term, inner) for term in self._terms}

    def by_code(self, code: str) -> str:
        return self._codes.get(_known_scheme(code), "")

    def named(self, text: str) -> frozenset[str]:
        squeezed = "".join(_tokens(text)).upper()
        return frozenset({squeezed} if squeezed in self._terms else self._words.all(text))

    def term(self, examined: str) -> str:
        """Return what a value of Body Part Examined means, or ""."""
        if self.says_nothing(examined):
            return ""
        squeezed = "".join(_tokens(examined)).upper()
        return squeezed if squeezed in self._terms else self.hint(examined)

    def says_nothing(self, examined: str) -> bool:
        return bool(self._nothing.whole(examined))

    def hint(self, description: str) -> str:
        """Return the one part that a text speaks of, or ""."""
        named = self._words.all(description)
        innermost = {term for term in named if not self.inside[term] & named}
        if len(innermost) == 1:
            return innermost.pop()
        outermost = {term for term in named if not any(term in self.inside[other] for other in named)}
        return _only(set(outermost)) or self._together.get(frozenset(outermost), "")


def _below(term: str, inner: Mapping[str, frozenset[str]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = [term]
    while waiting:
        fresh = inner.get(waiting.pop(), frozenset()) - found
        found |= fresh
        waiting += fresh
    return frozenset(found)


# -- the tables ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    version: int
    regions: _Regions
    codes: Mapping[str, str]
    paired: frozenset[str]
    modalities: frozenset[str]
    other_modalities: _Phrases
    modality_of_class: Mapping[str, str]
    sides: _Phrases
    side_words: _Phrases
    views: _Phrases
    view_codes: Mapping[str, str]
    view_modalities: frozenset[str]
    makers: _Phrases
    no_maker: _Phrases
    gauss_above: float


@cache
def _tables() -> _Tables:
    folder = files("filmroom.dicom")
    table = tomllib.loads(folder.joinpath("normalization.toml").read_text("utf-8"))
    rows = list(csv.DictReader(folder.joinpath("regions.csv").read_text("utf-8").splitlines()))
    modality, laterality, view, maker = (table[name] for name in ("modality", "laterality", "view", "manufacturer"))
    return _Tables(
        version=table["version"],
        regions=_Regions(table["regions"], rows),
        codes={row["term"]: row["code"] for row in rows},
        paired=frozenset(row["term"] for row in rows if row["paired"]),
        modalities=frozenset(modality["terms"].split()),
        other_modalities=_Phrases(modality["words"]),
        modality_of_class=modality["classes"],
        sides=_Phrases({side: laterality[side] for side in "LRB"}),
        side_words=_Phrases(laterality["words"]),
        views=_Phrases(view["words"]),
        view_codes={code: term for term, codes in view["codes"].items() for code in _listed(codes)},
        view_modalities=frozenset(_listed(view["modalities"])),
        makers=_Phrases(maker["words"]),
        no_maker=_Phrases({"nothing": maker["nothing"]}),
        gauss_above=table["units"]["gauss_above"],
    )


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]
