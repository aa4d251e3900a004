"""Decides who may do what: Cedar policies behind the `Authorizer` port.

The shipped policies (`policies/room.cedar`) permit each verb to the roles of the verb table and forbid a few things to
everyone. Nothing is permitted unless a policy says so; a forbid beats every permit; a policy that cannot be evaluated
denies. Expiry is decided here, at the moment of asking, and never by a job.

What is acted on comes as text by word. Four words are decisive and typed: `requester`, `holder`, `expires` (seconds
since 1970) and `revoked` ("", "no" and "false" mean no, all else means yes). The shipped rules fail closed: `approve`
and `deny` need `requester`; `lease` and `load` need `holder`, `expires` and `revoked`. All other words reach the
policies as tags.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Self

import cedarpy

from filmroom.canon import Json, digest_of
from filmroom.errors import Denied, Invalid
from filmroom.ids import Digest
from filmroom.records import Actor, Permit
from filmroom.verbs import Role

_TEXT = frozenset({"requester", "holder"})
_NO = frozenset({"", "no", "false"})
_THING = {"type": "Thing", "id": "it"}


@dataclass(frozen=True, slots=True)
class _Rule:
    id: str
    because: str


class Policies:
    """An `Authorizer` over one set of policies, parsed and checked once. Thread-safe."""

    def __init__(self, policies: str, schema: str, roles_of: Callable[[Actor], frozenset[Role]]) -> None:
        """`roles_of` says which roles an actor holds now.

        Raises Invalid when the policies do not parse or use a word that the schema does not have.
        """
        checked = cedarpy.validate_policies(policies, schema)
        if not checked.validation_passed:
            problems = "; ".join(error.error for error in checked.errors)
            raise Invalid(f"the policies do not fit their schema: {problems}", "correct the policy file")
        self._policies = cedarpy.PolicySet.from_str(policies)
        self._rules = _rules(policies)
        self._roles_of = roles_of
        self.digest: Digest = digest_of({"policies": policies, "schema": schema})

    @classmethod
    def shipped(cls, roles_of: Callable[[Actor], frozenset[Role]]) -> Self:
        """Return the policies that come with filmroom."""
        folder = files("filmroom.govern").joinpath("policies")
        policies, schema = folder.joinpath("room.cedar"), folder.joinpath("room.cedarschema")
        return cls(policies.read_text(encoding="utf-8"), schema.read_text(encoding="utf-8"), roles_of)

    def permit(self, actor: Actor, verb: str, resource: Mapping[str, str], *, now: datetime) -> Permit:
        """Return a Permit, or raise Denied with every reason in words and the ids of the policies that decided.

        Raises Invalid when `expires` is not a whole number of seconds.
        """
        principal = {"type": "Actor", "id": actor.name}
        roles: list[Json] = [{"type": "Role", "id": role.value} for role in self._roles_of(actor)]
        request = {
            "principal": principal,
            "action": {"type": "Action", "id": verb},
            "resource": _THING,
            "context": {"name": actor.name, "now": int(now.timestamp() // 1)},
        }
        entities = [
            {"uid": principal, "attrs": {}, "parents": roles},
            {"uid": _THING, "parents": [], **_described(resource)},
        ]
        try:
            answer = cedarpy.is_authorized(request, self._policies, json.dumps(entities))
        except ValueError:
            raise Denied("the policy cannot be asked about this name", "use a name that is plain text") from None
        if answer.allowed and not answer.diagnostics.errors:
            return Permit(actor, verb, self.digest)
        raise self._denied(verb, answer.diagnostics)

    def _denied(self, verb: str, diagnostics: cedarpy.Diagnostics) -> Denied:
        if diagnostics.errors:
            return Denied(f"{verb}: a policy could not be evaluated", "ask who keeps the policies to correct them")
        rules = sorted((self._rules[name] for name in diagnostics.reasons), key=lambda rule: rule.id)
        if not rules:
            return Denied(f"{verb}: no policy permits this to the roles you hold", "ask a steward for a role that may")
        words = "; ".join(f"{rule.because} [{rule.id}]" for rule in rules)
        return Denied(f"{verb}: {words}", "ask a steward, or ask for a grant of your own")


def every_role(actor: Actor) -> frozenset[Role]:
    """Return every role: what anybody holds in an embedded room."""
    del actor
    return frozenset(Role)


def _rules(policies: str) -> dict[str, _Rule]:
    """Return what each policy says about itself, by the name that the engine gives it."""
    parsed = json.loads(cedarpy.policies_to_json_str(policies))["staticPolicies"]
    rules = {}
    for name, policy in parsed.items():
        annotations = policy.get("annotations", {})
        given = annotations.get("id") or name
        rules[name] = _Rule(given, annotations.get("because") or "a policy forbids it")
    return rules


def _described(resource: Mapping[str, str]) -> dict[str, Json]:
    attributes: dict[str, Json] = {}
    tags: dict[str, Json] = {}
    for word, text in resource.items():
        if word in _TEXT:
            attributes[word] = text
        elif word == "expires":
            attributes[word] = _seconds(text)
        elif word == "revoked":
            attributes[word] = text not in _NO
        else:
            tags[word] = text
    return {"attrs": attributes, "tags": tags}


def _seconds(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 16:
        return int(text)
    raise Invalid("the end of a grant is not a whole number of seconds since 1970", "pass the epoch as decimal digits")
