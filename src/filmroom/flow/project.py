"""project: a purpose, with its own pseudonym keys."""

from datetime import datetime

from filmroom.deid import profile as profiles
from filmroom.errors import Invalid, NotFound, Refused
from filmroom.flow import evidence
from filmroom.ids import check_name
from filmroom.ports import Ports, Transaction
from filmroom.records import Project


def create_project(
    ports: Ports,
    name: str,
    *,
    purpose: str,
    profile: str = "research",
    until: datetime | None = None,
    budget_bytes: int | None = None,
) -> Project:
    """Create a project; asking for the same again changes nothing. Raises Refused when it exists and differs."""
    permit = evidence.authorize(ports, "project", {"kind": "project", "id": check_name(name)})
    if not purpose.strip():
        raise Invalid("a project needs a purpose", "say in a sentence what the data is for")
    profiles.load(profile)
    project = Project(
        name=name,
        purpose=purpose,
        profile=profile,
        created_at=ports.clock.now(),
        created_by=permit.actor.name,
        until=until,
        budget_bytes=budget_bytes,
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
    return before


def open_project(tx: Transaction, name: str, now: datetime) -> Project:
    """Return a project that has not ended. Raises NotFound, or Refused after its end."""
    project = tx.projects.get(name)
    if project.until is not None and now > project.until:
        raise Refused(f"project {name} has ended", "create a new project for what goes on")
    return project
