"""project: a purpose, with its own pseudonym keys."""

from collections.abc import Sequence
from datetime import datetime

from filmroom.deid import profile as profiles
from filmroom.errors import Invalid, NotFound, Refused
from filmroom.flow import evidence
from filmroom.ids import check_name
from filmroom.ports import Ports, Transaction
from filmroom.records import Project
from filmroom.snapshot.gates import parse_gate


def create_project(
    ports: Ports,
    name: str,
    *,
    purpose: str,
    profile: str = "research",
    until: datetime | None = None,
    budget_bytes: int | None = None,
    requires: Sequence[str] = (),
) -> Project:
    """Create a project; asking for the same again changes nothing. Raises Refused when it exists and differs."""
    permit = evidence.authorize(ports, "project", {"kind": "project", "id": check_name(name)})
    if not purpose.strip():
        raise Invalid("a project needs a purpose", "say in a sentence what the data is for")
    profiles.load(profile)
    gates = _gates(requires)
    project = Project(
        name=name,
        purpose=purpose,
        profile=profile,
        created_at=ports.clock.now(),
        created_by=permit.actor.name,
        until=until,
        budget_bytes=budget_bytes,
        requires=gates,
    )
    with ports.catalog.write() as tx:
        try:
            before = tx.projects.get(name)
        except NotFound:
            tx.projects.add(project)
            evidence.record(tx, ports, permit, {"kind": "project", "id": name}, {"profile": profile}, row=project)
            return project
    asked = (purpose, profile, until, budget_bytes)
    if (before.purpose, before.profile, before.until, before.budget_bytes) != asked:
        raise Refused(
            f"project {name} exists with another purpose, profile, end or budget", "give the new one another name"
        )
    if gates and gates != before.requires:
        raise Refused(f"project {name} exists with other gates", f"change them with: filmroom project require {name}")
    return before


def require(ports: Ports, name: str, requires: Sequence[str] | None = None) -> Project:
    """Put these gates in place of those that the project has; an empty list takes them away, None changes nothing.

    Raises NotFound or Invalid.
    """
    permit = evidence.authorize(ports, "project", {"kind": "project", "id": name})
    if requires is None:
        with ports.catalog.read() as tx:
            return tx.projects.get(name)
    gates = _gates(requires)
    with ports.catalog.write() as tx:
        tx.projects.require(name, gates)
        project = tx.projects.get(name)
        evidence.record(tx, ports, permit, {"kind": "project", "id": name}, {"gates": len(gates)}, row=project)
    return project


def open_project(tx: Transaction, name: str, now: datetime) -> Project:
    """Return a project that has not ended. Raises NotFound, or Refused after its end."""
    project = tx.projects.get(name)
    if project.until is not None and now > project.until:
        raise Refused(f"project {name} has ended", "create a new project for what goes on")
    return project


def _gates(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(parse_gate(text)) for text in texts))
