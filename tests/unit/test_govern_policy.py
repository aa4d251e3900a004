"""The shipped policies say what the verb table says, forbid what nobody may, and fail closed."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.errors import Denied, Invalid
from filmroom.govern.policy import Policies, every_role
from filmroom.records import Actor
from filmroom.verbs import VERBS, Role

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
FOLDER = files("filmroom.govern").joinpath("policies")
SCHEMA = FOLDER.joinpath("room.cedarschema").read_text(encoding="utf-8")
GRANT = {"holder": "ada", "expires": str(int(NOW.timestamp()) + 60), "revoked": "false"}
REQUEST = {"requester": "somebody else"}


def holding(*roles: Role) -> Policies:
    return Policies.shipped(lambda actor: frozenset(roles))


def may(policies: Policies, verb: str, resource: Mapping[str, str], *, name: str = "ada", now: datetime = NOW) -> bool:
    try:
        permit = policies.permit(Actor(name), verb, resource, now=now)
    except Denied:
        return False
    assert (permit.actor.name, permit.verb, permit.policy) == (name, verb, policies.digest)
    return True


def test_every_verb_of_the_table_is_an_action_of_the_schema_and_no_other() -> None:
    listed = SCHEMA[SCHEMA.index("action") : SCHEMA.index("appliesTo")]
    assert sorted(re.findall(r'"([^"]+)"', listed)) == sorted(VERBS)


@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_exactly_what_the_table_says(role: Role) -> None:
    policies = holding(role)
    allowed = {verb for verb in VERBS if may(policies, verb, GRANT | REQUEST)}
    assert allowed == {verb.name for verb in VERBS.values() if role in verb.roles}


def test_without_a_role_nothing_is_allowed_and_the_reason_is_in_words() -> None:
    assert not any(may(holding(), verb, GRANT | REQUEST) for verb in VERBS)
    with pytest.raises(Denied, match="no policy permits this") as caught:
        holding().permit(Actor("ada"), "freeze", {}, now=NOW)
    assert caught.value.next_step


def test_no_policies_permit_nothing_and_an_unknown_verb_is_nobodys() -> None:
    empty = Policies("", SCHEMA, every_role)
    assert not any(may(empty, verb, GRANT | REQUEST) for verb in VERBS)
    assert not may(Policies.shipped(every_role), "frobnicate", GRANT)


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_who_asked_cannot_decide_with_whatever_roles(verb: str) -> None:
    policies = Policies.shipped(every_role)
    assert may(policies, verb, {"requester": "bob"})
    with pytest.raises(Denied, match=r"somebody other .*\[not-your-own-request\]"):
        policies.permit(Actor("ada"), verb, {"requester": "ada"}, now=NOW)
    assert not may(policies, verb, {})


@pytest.mark.parametrize("verb", ["lease", "load"])
def test_a_grant_is_for_its_holder_until_its_last_second_and_until_revoked(verb: str) -> None:
    policies = Policies.shipped(every_role)
    assert may(policies, verb, GRANT)
    assert all(may(policies, verb, GRANT | {"revoked": no}) for no in ("", "no", "false"))
    assert not may(policies, verb, GRANT, name="bob")
    assert may(policies, verb, GRANT, now=NOW + timedelta(seconds=59, microseconds=999_999))
    assert not may(policies, verb, GRANT, now=NOW + timedelta(seconds=60))
    assert not may(policies, verb, GRANT | {"revoked": "2026-03-01T11:00:00Z"})
    for word in GRANT:
        assert not may(policies, verb, {key: text for key, text in GRANT.items() if key != word})


def test_every_reason_is_told() -> None:
    bad = {"holder": "bob", "expires": "5", "revoked": "true"}
    with pytest.raises(Denied) as caught:
        Policies.shipped(every_role).permit(Actor("ada"), "load", bad, now=NOW)
    for rule in ("grant-expired", "grant-revoked", "not-your-grant"):
        assert f"[{rule}]" in str(caught.value)


def test_other_words_reach_a_sites_own_policies_as_tags() -> None:
    own = """
        permit (principal, action == Action::"query", resource)
        when { resource.hasTag("project") && resource.getTag("project") == "lung" };
    """
    policies = Policies(own, SCHEMA, every_role)
    assert may(policies, "query", {"project": "lung"})
    assert not may(policies, "query", {"project": "heart"})
    assert not may(policies, "query", {})


@pytest.mark.parametrize(
    "policies",
    [
        'permit (principal, action == Action::"load", resource) when { resource.expirez > 5 };',
        'permit (principal, action == Action::"lod", resource);',
        'permit (principal in Rolle::"steward", action, resource);',
        "permit everything",
    ],
)
def test_a_misspelt_policy_is_refused_when_it_is_read(policies: str) -> None:
    with pytest.raises(Invalid, match="policies"):
        Policies(policies, SCHEMA, every_role)
    with pytest.raises(Invalid):
        Policies("", "entity", every_role)


def test_a_policy_that_cannot_be_evaluated_denies_although_another_permits() -> None:
    own = """
        permit (principal, action, resource);
        forbid (principal, action, resource) when { context.now + 9223372036854775807 < 0 };
    """
    with pytest.raises(Denied, match="could not be evaluated"):
        Policies(own, SCHEMA, every_role).permit(Actor("ada"), "query", {}, now=NOW)


@pytest.mark.parametrize("text", ["", "soon", "-5", "1e9", "9" * 40, "٣"])
def test_an_end_that_is_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Policies.shipped(every_role).permit(Actor("ada"), "load", GRANT | {"expires": text}, now=NOW)


SHIPPED = Policies.shipped(every_role)


@given(
    st.text(max_size=30), st.text(max_size=30), st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=4)
)
def test_odd_names_are_answered_like_others(name: str, verb: str, resource: dict[str, str]) -> None:
    resource.pop("expires", None)
    if verb not in VERBS:
        assert not may(SHIPPED, verb, resource, name=name)
    may(SHIPPED, "approve", {"requester": name}, name="ada")
    assert not may(SHIPPED, "approve", {"requester": name}, name=name)


@pytest.mark.parametrize("name", ["\udc80", "new\nline", 'Actor::"bob"', ""])
def test_a_name_cannot_break_out_of_the_question(name: str) -> None:
    assert not may(SHIPPED, "approve", {"requester": name}, name=name)
    assert not may(SHIPPED, "load", GRANT, name=name)
    assert not may(holding(), "query", {"tag": name}, name=name)


def test_the_digest_changes_with_the_policies() -> None:
    assert Policies.shipped(every_role).digest == SHIPPED.digest != Policies("", SCHEMA, every_role).digest
