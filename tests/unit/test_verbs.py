"""The table of verbs: complete, unambiguous, and sparing with permissions."""

import keyword

from filmroom.ids import Zone
from filmroom.verbs import VERBS, Role


def test_a_verb_is_known_by_its_name() -> None:
    assert all(name == verb.name for name, verb in VERBS.items())
    assert all(name == name.lower() and name.replace("-", "_").isidentifier() for name in VERBS)


def test_the_method_differs_only_where_the_name_is_a_keyword() -> None:
    differing = {verb.name for verb in VERBS.values() if verb.method != verb.name.replace("-", "_")}
    assert differing == {name for name in VERBS if keyword.iskeyword(name)} == {"import"}
    assert len({verb.method for verb in VERBS.values()}) == len(VERBS)


def test_every_verb_says_what_it_does_and_somebody_may() -> None:
    for verb in VERBS.values():
        assert verb.roles
        assert verb.summary == verb.summary.strip().rstrip(".")
        assert verb.summary[0].islower()


def test_every_role_may_something() -> None:
    assert {role for verb in VERBS.values() for role in verb.roles} == set(Role)


def test_only_stewards_reviewers_and_uploaders_touch_the_clinical_zone() -> None:
    allowed = {Role.STEWARD, Role.REVIEWER, Role.UPLOADER}
    assert all(verb.roles <= allowed for verb in VERBS.values() if Zone.CLINICAL in verb.zones)


def test_nobody_asks_and_answers() -> None:
    for asking in ("request", "lease", "load"):
        assert VERBS[asking].roles == {Role.RESEARCHER}
    for answering in ("approve", "deny", "revoke"):
        assert VERBS[answering].roles == {Role.STEWARD}
