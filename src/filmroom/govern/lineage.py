"""From patient to model and back, as a graph, and the same graph in the words of other tools.

A node is an artifact (or, with the kind `actor`, who acted); an edge says that `target` came out of `source` through a
verb. Ids are digests, names and pseudonyms. Nothing here reads a catalog: who calls builds the graph.
Sources: W3C PROV-JSON, OpenLineage 2-0-2, Mermaid flowcharts.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from filmroom.canon import Json, plain, rfc3339
from filmroom.errors import NotFound

ACTOR = "actor"

_PRODUCER = "urn:filmroom:openlineage"
_RUN_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_VERSION_FACET = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"


class Direction(StrEnum):
    """Where to look from a node: at what it came from, or at what came out of it."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


@dataclass(frozen=True, slots=True, order=True)
class Node:
    id: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`target` came out of `source` through `verb`."""

    source: str
    target: str
    verb: str


@dataclass(frozen=True, slots=True)
class Graph:
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def reachable(graph: Graph, start: str, direction: Direction) -> Graph:
    """Return the part of the graph that lies on a way from `start`, with `start`. Raises NotFound if it is not there."""
    if all(node.id != start for node in graph.nodes):
        raise NotFound("the graph has no such node", "name a patient, study, snapshot, shardset or model by its id")
    following: dict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        here, there = (edge.source, edge.target) if direction is Direction.DOWNSTREAM else (edge.target, edge.source)
        following[here].append(there)
    seen, waiting = {start}, [start]
    while waiting:
        for there in following[waiting.pop()]:
            if there not in seen:
                seen.add(there)
                waiting.append(there)
    return Graph(
        tuple(node for node in graph.nodes if node.id in seen),
        tuple(edge for edge in graph.edges if edge.source in seen and edge.target in seen),
    )


def as_json(graph: Graph) -> Json:
    """Return nodes and edges, sorted, so that equal graphs give equal text."""
    return plain({"nodes": sorted(set(graph.nodes)), "edges": sorted(set(graph.edges))})


def mermaid(graph: Graph) -> str:
    """Return a Mermaid flowchart, left to right."""
    nodes = sorted(set(graph.nodes))
    names = {node.id: f"n{number}" for number, node in enumerate(nodes)}
    lines = ["flowchart LR"]
    lines += [f'    {names[node.id]}["{_escaped(node.kind)}<br/>{_escaped(node.label)}"]' for node in nodes]
    lines += [
        f'    {names[edge.source]} -->|"{_escaped(edge.verb)}"| {names[edge.target]}'
        for edge in sorted(set(graph.edges))
        if edge.source in names and edge.target in names
    ]
    return "\n".join(lines) + "\n"


def prov(graph: Graph) -> Json:
    """Return the graph as PROV-JSON: artifacts are entities, actors agents, and each verb that made one an activity."""
    document: dict[str, dict[str, Json]] = defaultdict(dict)
    for node in sorted(set(graph.nodes)):
        section = "agent" if node.kind == ACTOR else "entity"
        document[section][_qualified(node.id)] = {"prov:label": node.label, "prov:type": node.kind}
    agents = _actors(graph.nodes)
    for (verb, target), sources in _activities(graph.edges).items():
        activity, made = _qualified(f"{verb}/{target}"), _qualified(target)
        document["activity"][activity] = {"prov:label": verb}
        relations = document["wasGeneratedBy"]
        relations[f"_:g{len(relations)}"] = {"prov:entity": made, "prov:activity": activity}
        for source in sources:
            if source in agents:
                relations = document["wasAssociatedWith"]
                relations[f"_:a{len(relations)}"] = {"prov:activity": activity, "prov:agent": _qualified(source)}
                continue
            relations = document["used"]
            relations[f"_:u{len(relations)}"] = {"prov:activity": activity, "prov:entity": _qualified(source)}
            relations = document["wasDerivedFrom"]
            relations[f"_:d{len(relations)}"] = {
                "prov:generatedEntity": made,
                "prov:usedEntity": _qualified(source),
                "prov:activity": activity,
            }
    return {"prefix": {"filmroom": "urn:filmroom:"}, **document}


def openlineage(graph: Graph, *, room: str, at: datetime) -> list[Json]:
    """Return one OpenLineage COMPLETE event for each verb that made something.

    The version stands in the dataset's name too, since receivers ignore the facet on inputs. Run ids are the same each
    time for the same act.
    """
    kinds = {node.id: node.kind for node in graph.nodes}
    agents, space = _actors(graph.nodes), f"filmroom://{room}"

    def dataset(artifact: str) -> Json:
        facet: Json = {"_producer": _PRODUCER, "_schemaURL": _VERSION_FACET, "datasetVersion": artifact}
        return {
            "namespace": space,
            "name": f"{kinds.get(artifact, 'artifact')}/{artifact}",
            "facets": {"version": facet},
        }

    return [
        {
            "eventType": "COMPLETE",
            "eventTime": rfc3339(at),
            "producer": _PRODUCER,
            "schemaURL": _RUN_EVENT,
            "run": {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{space}/{verb}/{target}"))},
            "job": {"namespace": "filmroom", "name": verb},
            "inputs": [dataset(source) for source in sources if source not in agents],
            "outputs": [dataset(target)],
        }
        for (verb, target), sources in _activities(graph.edges).items()
    ]


def _activities(edges: Iterable[Edge]) -> Mapping[tuple[str, str], list[str]]:
    """Return what went into each act: the edges of one verb into one target are one act."""
    acts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for edge in sorted(set(edges)):
        acts[edge.verb, edge.target].append(edge.source)
    return acts


def _actors(nodes: Iterable[Node]) -> frozenset[str]:
    return frozenset(node.id for node in nodes if node.kind == ACTOR)


def _qualified(text: str) -> str:
    return "filmroom:" + quote(text, safe="@/.-_", errors="replace")


def _escaped(text: str) -> str:
    """Return text that cannot end a Mermaid label: everything but plain characters becomes a numbered entity."""
    return "".join(
        character if character.isalnum() or character in " .,:@/_-+=()" else f"#{ord(character)};" for character in text
    )
