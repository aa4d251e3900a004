"""The one table of verbs.

A verb has the same name everywhere: `filmroom NAME` (not for `load`, which gives arrays and is Python's alone), the audit
event, the permission, the heading in docs/commands.md, and the method of `Room` (which differs only where the name is a
Python keyword). Tests hold the rest to this table.
"""

from dataclasses import dataclass
from enum import StrEnum

from filmroom.ids import Zone


class Role(StrEnum):
    """What an identity is trusted with. In an embedded room every identity holds every role."""

    STEWARD = "steward"
    RESEARCHER = "researcher"
    REVIEWER = "reviewer"
    UPLOADER = "uploader"
    AUDITOR = "auditor"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Verb:
    """`name` on the command line and in the audit log, `method` in Python, who may, and which zones it touches."""

    name: str
    method: str
    roles: frozenset[Role]
    zones: frozenset[Zone]
    summary: str


def _verb(name: str, roles: str, zones: str, summary: str, method: str = "") -> Verb:
    return Verb(
        name=name,
        method=method or name.replace("-", "_").replace(" ", "_"),
        roles=frozenset(map(Role, roles.split())),
        zones=frozenset(map(Zone, zones.split())),
        summary=summary,
    )


VERBS = {
    verb.name: verb
    for verb in (
        _verb("import", "uploader steward", "clinical", "let a delivery in, every object accounted for", "receive"),
        _verb("batches", "uploader steward auditor", "", "list deliveries, or show one with its ledger"),
        _verb("quarantine", "steward", "clinical", "see, release or reject what was refused at the door"),
        _verb("incomplete", "steward", "", "see series that lack instances, or let one be used as it is"),
        _verb("normalize", "steward", "", "read what is cataloged anew with newer normalisation tables"),
        _verb("query", "steward researcher", "", "find patients, studies, series or instances in the catalog"),
        _verb("quality", "steward researcher auditor", "", "say how complete, consistent and plausible the catalog is"),
        _verb("export-catalog", "steward", "research", "write catalog, labels and findings as partitioned Parquet"),
        _verb("retrieve", "steward", "clinical", "get objects out as they were received"),
        _verb("serve", "operator steward", "", "listen for other systems until stopped"),
        _verb("columns", "steward researcher auditor", "", "list the words a query can use"),
        _verb("project", "steward", "", "create a project: a purpose with its own pseudonym keys"),
        _verb("deidentify", "steward", "clinical research vault", "make verified de-identified copies for a project"),
        _verb("review", "reviewer", "clinical research", "decide about copies that need eyes"),
        _verb("reidentify", "steward", "vault", "ask whom a pseudonym stands for, and learn it when two others agreed"),
        _verb(
            "countersign", "steward auditor", "", "agree that somebody learns whom a pseudonym stands for, or refuse"
        ),
        _verb(
            "labels", "steward reviewer researcher", "", "import, list, show and compare label sets and their readers"
        ),
        _verb("facts", "steward", "", "import and show what is known of patients beside their images"),
        _verb("cohort", "steward researcher", "", "define who is in a dataset, and see who drops out and why"),
        _verb("freeze", "steward", "research", "freeze clean instances, labels and a split into a signed snapshot"),
        _verb("snapshots", "steward researcher auditor", "", "list snapshots"),
        _verb("show", "steward researcher auditor", "research", "show a snapshot's manifest"),
        _verb("diff", "steward researcher auditor", "research", "compare two snapshots"),
        _verb("build", "steward", "research", "turn a snapshot into shards by a recipe"),
        _verb("request", "researcher", "", "ask for the use of a snapshot"),
        _verb("approve", "steward", "", "grant a request, by somebody other than the requester"),
        _verb("deny", "steward", "", "turn a request down"),
        _verb("grants", "steward researcher auditor", "", "list requests and grants"),
        _verb("revoke", "steward", "", "end a grant now"),
        _verb("lease", "researcher", "research", "mint a short-lived token from a grant"),
        _verb("load", "researcher", "research", "read samples through a lease"),
        _verb("verify", "steward researcher auditor", "research", "check a snapshot against its root and signature"),
        _verb("reproduce", "steward", "clinical research", "rebuild from the clinical zone and compare"),
        _verb("model", "researcher", "models", "register a trained model with its snapshot"),
        _verb("trace", "steward auditor", "", "follow data from patient to model and back"),
        _verb("audit", "auditor steward", "", "show or verify the audit log, or prove an entry"),
        _verb("doctor", "operator steward", "", "check that the room's parts answer and agree"),
    )
}
