"""Says what a profile does to every attribute: as a record, and in words that are Markdown.

`docs/profiles.md` is made of these words, and `filmroom scrub --describe` prints them.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag
from pydicom.uid import UID

from filmroom.deid import devices, table
from filmroom.deid.profile import ON_FACES, SENTENCES, STAMPED, Action, Profile, codes

_ITEMS = (
    "By their concept, unless PS3.15 Table E.3.4-1 wants them removed. An item of another concept goes with all that lies below "
    "it. The values in items are handled as the attributes above."
)
_OF_ITEMS = {Action.KEEP: "but for texts", Action.CLEAN_DESCRIPTOR: "texts too"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SopClass:
    """A class that the profile lets through: which groups its rules are of, and the CID 7050 codes of what is done."""

    name: str
    uid: str
    groups: tuple[str, ...]
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All that a profile does. What is in no group of an object's class is removed; a class that is not here is refused.

    `groups` has the keywords by group and action, `actions` the actions in words; `concepts` has the codes, by coding scheme
    and action, of the content items of reports that may stay. `removed` names the attributes of PS3.15
    Table E.1-1 (`edition`) that stay in no form: by keyword, by name where there is none.
    """

    profile: str
    digest: str
    options: tuple[str, ...]
    dates: str
    faces: str
    devices: Mapping[str, int]
    sop_classes: tuple[SopClass, ...]
    groups: Mapping[str, Mapping[Action, tuple[str, ...]]]
    actions: Mapping[Action, str]
    concepts: Mapping[str, Mapping[Action, tuple[str, ...]]]
    stamped: tuple[str, ...]
    removed: tuple[str, ...]
    edition: str


def describe(profile: Profile) -> Description:
    """Return what a profile does."""
    document = tomllib.loads(profile.text)
    classes = tuple(_sop_class(profile, uid, document["classes"]) for uid in profile.rules)
    used = {group for each in classes for group in each.groups}
    groups = {
        group: {Action(action): tuple(words.split()) for action, words in rules.items()}
        for group, rules in document["groups"].items()
        if group in used
    }
    named = {action for rules in groups.values() for action in rules}
    return Description(
        profile=profile.name,
        digest=str(profile.digest),
        options=tuple(sorted(profile.options)),
        dates="MODIFIED" if profile.shifts_dates else "REMOVED",
        faces=profile.faces,
        devices={"filmroom": len(devices.shipped()), "profile": len(profile.devices)},
        sop_classes=classes,
        groups=groups,
        actions={action: SENTENCES[action] for action in Action if action in named},
        concepts=_concepts(profile),
        stamped=STAMPED,
        removed=tuple(_removed(profile)),
        edition=table.shipped().edition,
    )


def in_words(profile: Profile) -> list[str]:
    """Return the same in lines of Markdown."""
    told = describe(profile)
    lines = [
        f"## {told.profile}",
        "",
        f"Digest: `{told.digest}`.",
        "",
        f"Options of PS3.15 E.3: {', '.join(told.options) or 'none'}. Longitudinal temporal information: {told.dates}.",
        "",
        f"Images in which a face can be seen, or from which one can be rebuilt ({told.faces}): {ON_FACES[profile.faces]}.",
        "",
        f"Known devices whose banner is blanked: {told.devices['filmroom']} of filmroom, {told.devices['profile']} of the profile.",
        "",
        f"Every copy says what was done: {', '.join(told.stamped)}.",
        "",
        "### SOP classes",
        "",
        "With the groups of their rules, and the CID 7050 codes of what is done. Any other class is refused.",
        "",
        *(f"- {each.name}: {', '.join(each.groups)} ({', '.join(each.codes)})" for each in told.sop_classes),
        "",
        "### Attributes",
        "",
        "What is in no group of a class is removed, at every depth.",
        "",
    ]
    for group, rules in told.groups.items():
        lines.append(f"- {group}")
        lines += [f"  - {told.actions[action]}: {', '.join(keywords)}" for action, keywords in rules.items()]
    if told.concepts:
        lines += ["", "### Content items of reports", "", _ITEMS, ""]
    for scheme, codes_of in told.concepts.items():
        lines += [f"- {scheme}, {_OF_ITEMS[action]}: {', '.join(codes)}" for action, codes in codes_of.items()]
    lines += ["", "### Removed", "", f"Everything else. Of what PS3.15 Table E.1-1 ({told.edition}) names:", ""]
    return [*lines, ", ".join(told.removed) + "."]


def _concepts(profile: Profile) -> dict[str, dict[Action, tuple[str, ...]]]:
    found: dict[str, dict[Action, tuple[str, ...]]] = {}
    for (scheme, code), action in sorted(profile.concepts.items()):
        of_scheme = found.setdefault(scheme, {})
        of_scheme[action] = (*of_scheme.get(action, ()), code)
    return found


def _sop_class(profile: Profile, uid: str, groups: Mapping[str, str]) -> SopClass:
    name = str(UID(uid).name)
    told = tuple(code for code, _ in codes(profile, uid))
    return SopClass(name=name, uid=uid, groups=tuple(groups[name].split()), codes=told)


def _removed(profile: Profile) -> Iterator[str]:
    kept = {tag for rules in profile.rules.values() for tag in rules}
    for row in table.shipped().attributes:
        wild = "x" in row.tag or row.tag == table.PRIVATE
        if not wild and int(row.tag, 16) in kept:
            continue
        yield (not wild and keyword_for_tag(int(row.tag, 16))) or row.name
