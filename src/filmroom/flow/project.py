"""project: a purpose, with its own pseudonym keys."""

from datetime import datetime

from filmroom.deid import profile as profiles
from filmroom.errors import Invalid, NotFound, Refused
from filmroom.flow import evidence
from filmroom.ids import check_name
from filmroom.ports import Ports
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
            evidence.record(tx, ports, permit, {"kind": "project", "id": name}, {"profile": profile})
            return project
    if (before.purpose, before.profile, before.until) != (purpose, profile, until):
        raise Refused(f"project {name} exists with another purpose, profile or end", "give the new one another name")
    return before
