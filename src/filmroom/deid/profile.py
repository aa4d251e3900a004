"""De-identification profiles: what happens to which attribute of which SOP class, as data.

A profile is an allow-list (`profiles/*.toml`, or a site's own file): what it does not name is dropped, a SOP class that
it does not name is refused. This module reads and checks profiles and touches no image. Its rules:

- A keyword has one action in a class, and that action can serve the attribute's value representation: dates are never
  kept, UIDs kept only where they name a class or a coding scheme, text only where an option of the standard says so.
- Nothing may stay of an attribute that Table E.1-1 (`table`) removes, empties or replaces under the profile's options.
- The CID 7050 codes of a class are those of the declared options that its rules make use of, so that a file cannot
  claim what it does not do.

Sources: PS3.15 Annex E, PS3.16 CID 7050, PS3.6 (through pydicom's dictionary).
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TypeAlias

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_VR, tag_for_keyword

from filmroom.deid import devices, kinds, table
from filmroom.deid.devices import Device
from filmroom.deid.identifying import STATIONS
from filmroom.deid.publiccodes import SCHEMES
from filmroom.deid.table import Option, Tables
from filmroom.errors import Invalid, NotFound
from filmroom.ids import Digest, check_name

DEFAULT = "research"


class Action(StrEnum):
    """What can be done to an attribute; what is in no list is dropped."""

    KEEP = "keep"
    EMPTY = "empty"
    REPLACE = "replace"
    PSEUDONYM = "pseudonym"
    UID = "uid"
    SHIFT_DATE = "shift-date"
    AGE = "age"
    CLEAN_DESCRIPTOR = "clean-descriptor"
    CODE = "code"
    RETAIN = "retain"


SENTENCES: Mapping[Action, str] = {
    Action.KEEP: "kept where the value is well formed and made of defined terms; the items of a sequence are cleaned",
    Action.EMPTY: "present without a value",
    Action.REPLACE: "replaced by a fixed stand-in",
    Action.PSEUDONYM: "replaced by the patient's pseudonym in the project",
    Action.UID: "replaced by another UID, the same for the same UID throughout the project",
    Action.SHIFT_DATE: "moved by the patient's own number of days, the same for all of the patient's dates",
    Action.AGE: "kept; above 89 years it becomes 090Y",
    Action.CLEAN_DESCRIPTOR: "reduced to words of the radiology lexicon and protocol-like tokens",
    Action.CODE: "kept where it is a code, designator or unit of a public coding scheme",
    Action.RETAIN: "kept in ASCII letters, unless something that identifies the patient is in it",
}


class Faces(StrEnum):
    """What becomes of images in which a face can be seen, or from which one can be rebuilt (`faces`)."""

    BLOCK = "block"
    ACCEPT = "accept-under-agreement"


ON_FACES: Mapping[Faces, str] = {
    Faces.BLOCK: "refused; where the header names no part of the body, a person decides",
    Faces.ACCEPT: "released as they are, and marked: what protects the patient is the agreement under which they are used",
}

_TEXT = frozenset("LO SH ST LT UC UT".split())
_ROOM_FOR: Mapping[Action, frozenset[str]] = {
    Action.KEEP: frozenset("AT CS DS FD FL IS OB OD OF OL OV OW SL SQ SS SV TM UI UL US UV".split()),
    Action.EMPTY: _TEXT | frozenset("AE AS CS DA DS DT IS PN TM SQ UR".split()),
    Action.REPLACE: _TEXT | frozenset("AS CS DA DS DT IS PN TM".split()),
    Action.PSEUDONYM: frozenset("LO SH PN".split()),
    Action.UID: frozenset({"UI"}),
    Action.SHIFT_DATE: frozenset({"DA", "DT"}),
    Action.AGE: frozenset({"AS"}),
    Action.CLEAN_DESCRIPTOR: _TEXT | {"CS"},
    Action.CODE: frozenset("CS SH LO UC".split()),
    Action.RETAIN: _TEXT,
}
_SERVES: Mapping[str, frozenset[Action]] = {
    "X": frozenset(),
    "Z": frozenset({Action.EMPTY, Action.REPLACE, Action.PSEUDONYM}),
    "D": frozenset({Action.REPLACE, Action.PSEUDONYM, Action.UID}),
    "U": frozenset({Action.UID}),
    "U*": frozenset({Action.KEEP}),  # a sequence, in whose items UIDs are replaced
    "C": frozenset({Action.CLEAN_DESCRIPTOR, Action.CODE, Action.AGE, Action.SHIFT_DATE}),
    "K": frozenset({Action.KEEP, Action.RETAIN, Action.CLEAN_DESCRIPTOR, Action.CODE, Action.AGE, Action.SHIFT_DATE}),
}
"""Which actions do what a letter of Table E.1-1 asks for, beside dropping the attribute."""
_KEPT_UIDS = frozenset({"SOPClassUID", "ReferencedSOPClassUID", "CodingSchemeUID", "ContextUID", "MappingResourceUID"})
_KEPT_BYTES = frozenset(
    """PixelData FloatPixelData DoubleFloatPixelData WaveformData LUTData RedPaletteColorLookupTableData
    GreenPaletteColorLookupTableData BluePaletteColorLookupTableData""".split()
)
_NEEDED: Mapping[str, Action] = {
    "SOPClassUID": Action.KEEP,
    "SOPInstanceUID": Action.UID,
    "StudyInstanceUID": Action.UID,
    "SeriesInstanceUID": Action.UID,
    "Modality": Action.KEEP,
    "PatientID": Action.PSEUDONYM,
}
STAMPED = (
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)
"""What every copy carries, whatever its profile says (PS3.15 E.1.1)."""

_METHOD_CHARS, _DIGEST_CHARS = 60, 32
_BASIC = ("113100", "Basic Application Confidentiality Profile")
_CODES: Mapping[Option, tuple[str, str]] = {
    Option.GRAPHICS: ("113103", "Clean Graphics Option"),
    Option.STRUCTURED: ("113104", "Clean Structured Content Option"),
    Option.DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Option.MODIFIED_DATES: ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Option.CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Option.DEVICE: ("113109", "Retain Device Identity Option"),
    Option.INSTITUTION: ("113112", "Retain Institution Identity Option"),
}
"""The options that a profile can have, in the order of their codes."""


Concept: TypeAlias = tuple[str, str]
"""The coding scheme and the code of what a content item is about."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to one attribute. `vrs` are the value representations that the dictionary gives it."""

    keyword: str
    action: Action
    vrs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """A checked profile. `digest` is that of `text`; `rules` is keyed by SOP Class UID and then by tag.

    `codes` are those of CID 7050 by SOP Class UID. `retained` are the keywords of what an option lets stay as it is, and
    of what names a machine whose name may stay.
    `concepts` says which content items of reports may stay: with KEEP any but texts, with CLEAN_DESCRIPTOR those too.
    `barred` are items, by concept and value type, of which Table E.3.4-1 leaves nothing under the profile's options.
    """

    name: str
    digest: Digest
    text: str = field(repr=False)
    options: frozenset[Option]
    faces: Faces
    devices: tuple[Device, ...]
    rules: Mapping[str, Mapping[int, Rule]] = field(repr=False)
    codes: Mapping[str, tuple[tuple[str, str], ...]] = field(repr=False)
    retained: frozenset[str] = field(repr=False)
    concepts: Mapping[Concept, Action] = field(repr=False)
    barred: frozenset[tuple[Concept, str]] = field(repr=False)

    @property
    def shifts_dates(self) -> bool:
        return Option.MODIFIED_DATES in self.options


def shipped() -> tuple[str, ...]:
    """Return the names of the profiles that come with filmroom, the default first."""
    return (DEFAULT, "basic", "internal-pseudonymous")


def load(name_or_path: str) -> Profile:
    """Return the shipped profile of that name, or the one in the TOML file at that path.

    Raises NotFound, or Invalid naming the line or the key at fault.
    """
    if name_or_path in shipped():
        place = resources.files("filmroom.deid").joinpath(f"profiles/{name_or_path}.toml")
        return parse(place.read_text(encoding="utf-8"))
    known = ", ".join(shipped())
    try:
        return parse(Path(name_or_path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a path with a null
        raise NotFound(f"there is no profile {name_or_path!r}", f"name {known}, or a UTF-8 TOML file") from error


@lru_cache(16)
def parse(text: str) -> Profile:
    """Return the profile that `text` (TOML) describes. Raises Invalid naming the line or the key at fault."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"the profile is not TOML: {error}", "mend that line") from None
    if extra := sorted(document.keys() - {"name", "options", "faces", "groups", "classes", "concepts", "devices"}):
        raise _at(extra[0], "is not a key of a profile")
    name = document.get("name")
    if not isinstance(name, str):
        raise _at("name", "must be a string")
    options = _options(document.get("options"))
    groups = {group: dict(_group(group, actions)) for group, actions in _table(document, "groups")}
    rules = dict(_class(title, names, groups) for title, names in _table(document, "classes"))
    for rule, asked in breaches(rules, options, table.shipped()):
        raise _at(rule.keyword, f"has the action {rule.action}, yet PS3.15 Table E.1-1 asks for {asked}")
    used = {uid: _used(of_class, options) for uid, of_class in rules.items()}
    if idle := options.difference(*used.values()):
        raise _at("options", f"names {min(idle)}, of which no rule makes use")
    return Profile(
        name=check_name(name),
        digest=Digest.of(text.encode()),
        text=text,
        options=options,
        faces=_faces(document.get("faces", Faces.BLOCK)),
        devices=devices.parse(document.get("devices", [])),
        rules=rules,
        codes={uid: (_BASIC, *(_CODES[option] for option in _CODES if option in used[uid])) for uid in rules},
        retained=frozenset(_retained(rules, options)),
        concepts=_concepts(document.get("concepts", {})),
        barred=frozenset(_barred(options)),
    )


def breaches(
    rules: Mapping[str, Mapping[int, Rule]], options: AbstractSet[Option], tables: Tables
) -> list[tuple[Rule, str]]:
    """Return the rules that let more stay than the tables do under these options, with what those ask for."""
    found = [
        (rule, row.action(options))
        for tag, rule in _every(rules)
        if (row := tables.attribute(tag)) and not (_serves(rule, row.action(options)) or _serves(rule, row.basic))
    ]
    return sorted(found, key=lambda each: each[0].keyword)


def method(profile: Profile) -> tuple[str, str]:
    """Return what Deidentification Method says of the profile: its name, and half of its digest.

    Values of LO have at most 64 characters, and readers count the space that makes a length even.
    """
    return f"profile {profile.name}"[:_METHOD_CHARS], profile.digest.hex[:_DIGEST_CHARS]


def codes(profile: Profile, sop_class: str, *, pixels_cleaned: bool = False) -> tuple[tuple[str, str], ...]:
    """Return the (code value, meaning) pairs of CID 7050 that the rules of this class carry out.

    What is done to pixels no rule says: `pixels_cleaned` is whether they were read, and what was legible blanked.
    """
    applied = profile.codes[sop_class]
    return tuple(sorted({*applied, ("113101", "Clean Pixel Data Option")})) if pixels_cleaned else applied


def _every(rules: Mapping[str, Mapping[int, Rule]]) -> set[tuple[int, Rule]]:
    return {each for of_class in rules.values() for each in of_class.items()}


def _serves(rule: Rule, asked: str) -> bool:
    """Say whether an action leaves no more of an attribute than a cell of Table E.1-1 does."""
    if asked == "C" and rule.action is Action.KEEP:
        # Items of a sequence are cleaned. Dates move by whole days, so the time of day is that of another day.
        return set(rule.vrs) <= {"SQ", "TM"}
    return any(rule.action in _SERVES[letter] for letter in asked.split("/"))


def _used(rules: Mapping[int, Rule], options: AbstractSet[Option]) -> set[Option]:
    """Return the options without which one of these rules would let too much stay."""
    rows = [(rule, row) for tag, rule in rules.items() if (row := table.shipped().attribute(tag))]
    loose = [row for rule, row in rows if not _serves(rule, row.basic)]
    return {option for row in loose for option in options if row.options.get(option) == row.action(options)}


def _retained(rules: Mapping[str, Mapping[int, Rule]], options: AbstractSet[Option]) -> Iterator[str]:
    for tag, rule in _every(rules):
        row = table.shipped().attribute(tag)
        if rule.action in (Action.KEEP, Action.RETAIN) and row and row.action(options) == "K":
            yield rule.keyword
    if Option.DEVICE in options:
        yield from STATIONS


def _barred(options: AbstractSet[Option]) -> Iterator[tuple[Concept, str]]:
    for row in table.shipped().content_items:
        asked = row.action(options)
        if asked == "X" or (row.value_type == "TEXT" and asked != "C"):
            yield (row.scheme, row.code), row.value_type


def _options(words: object) -> frozenset[Option]:
    if not isinstance(words, str):
        raise _at("options", "must be a string of options")
    known = {str(option): option for option in _CODES}
    if wrong := sorted(set(words.split()) - known.keys()):
        raise _at("options", f"names {wrong[0]}; what filmroom can do is {', '.join(known)}")
    return frozenset(known[word] for word in words.split())


def _faces(word: object) -> Faces:
    if word == "deface":
        raise _at("faces", "is deface, and nothing here can remove a face yet")
    if word not in set(Faces):
        raise _at("faces", f"must be {' or '.join(Faces)}")
    return Faces(str(word))


def _table(document: Mapping[str, object], key: str) -> Iterable[tuple[str, object]]:
    table = document.get(key)
    if not isinstance(table, dict) or not table:
        raise _at(key, "must be a table with at least one entry")
    return table.items()


def _group(group: str, table: object) -> Iterator[tuple[str, Rule]]:
    if not isinstance(table, dict):
        raise _at(f"groups.{group}", "must be a table of actions")
    seen: set[str] = set()
    for action, keywords in table.items():
        place = f"groups.{group}.{action}"
        if action not in set(Action):
            raise _at(place, f"is no action; the actions are {', '.join(Action)}")
        if not isinstance(keywords, str):
            raise _at(place, "must be a string of keywords")
        for keyword in keywords.split():
            if keyword in seen:
                raise _at(place, f"names {keyword}, which the group has already")
            seen.add(keyword)
            yield keyword, _rule(keyword, Action(action), place)


def _concepts(table: object) -> dict[Concept, Action]:
    """Return the concepts of a table of tables: by action, and in it by coding scheme, a string of codes."""
    if not isinstance(table, dict):
        raise _at("concepts", "must be a table of actions")
    found: dict[Concept, Action] = {}
    for action, schemes in table.items():
        place = f"concepts.{action}"
        if action not in (Action.KEEP, Action.CLEAN_DESCRIPTOR) or not isinstance(schemes, dict):
            raise _at(place, "must be keep or clean-descriptor, and a table of coding schemes")
        for scheme, codes in schemes.items():
            if scheme not in SCHEMES or not isinstance(codes, str):
                raise _at(f"{place}.{scheme}", "must be a public coding scheme, and a string of codes")
            for code in codes.split():
                if found.setdefault((scheme, code), Action(action)) != action:
                    raise _at(f"{place}.{scheme}", f"names {code}, which has another action already")
    return found


def _rule(keyword: str, action: Action, place: str) -> Rule:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise _at(place, f"names {keyword}, which is no attribute of PS3.6")
    vrs = tuple(dictionary_VR(tag).split(" or "))
    fits = _ROOM_FOR[action].issuperset(vrs) and keyword not in STAMPED
    if action is Action.KEEP and "UI" in vrs:
        fits = keyword in _KEPT_UIDS
    elif action is Action.KEEP and any(vr.startswith("O") for vr in vrs):
        fits = keyword in _KEPT_BYTES
    if not fits:
        raise _at(place, f"names {keyword} ({' or '.join(vrs)}), for which this action is not open")
    return Rule(keyword, action, vrs)


def _class(title: str, names: object, groups: Mapping[str, Mapping[str, Rule]]) -> tuple[str, dict[int, Rule]]:
    place = f"classes.{title!r}"
    # a retired class can have the name of the one that replaced it
    current = (
        uid
        for uid, (name, kind, _, retired, _) in UID_dictionary.items()
        if (name, kind, retired) == (title, "SOP Class", "")
    )
    uid = next(current, None)
    if uid is None:
        raise _at(place, "is no SOP Class of PS3.6")
    if not isinstance(names, str):
        raise _at(place, "must be a string of group names")
    rules: dict[str, Rule] = {}
    for name in names.split():
        if name not in groups:
            raise _at(place, f"names the group {name}, which does not exist")
        for keyword, rule in groups[name].items():
            if rules.setdefault(keyword, rule) != rule:
                raise _at(place, f"has two actions for {keyword}")
    carried = kinds.carries(uid)
    for keyword, action in {**_NEEDED, **dict.fromkeys(carried, Action.KEEP)}.items():
        if keyword not in rules or rules[keyword].action is not action:
            raise _at(place, f"needs {keyword} with the action {action}")
    if wrong := sorted(rules.keys() & set(kinds.PIXELS) - set(carried)):
        raise _at(place, f"has {wrong[0]}, which its objects do not carry")
    return uid, {_tag(keyword): rule for keyword, rule in rules.items()}


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, "checked by _rule"
    return int(tag)


def _at(key: str, what: str) -> Invalid:
    return Invalid(f"profile: {key} {what}", "mend that key")
