"""The graph is walked both ways, and told in four languages without losing an edge."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filmroom.errors import NotFound
from filmroom.govern.lineage import Direction, Edge, Graph, Node, as_json, mermaid, openlineage, prov, reachable

GRAPH = Graph(
    (
        Node("p1", "patient", "P-0001"),
        Node("p2", "patient", "P-0002"),
        Node("chest-ct@3", "snapshot", "chest-ct@3"),
        Node("sha256:ab", "shardset", "256 x 256"),
        Node("net@1", "model", "net@1"),
        Node("ada", "actor", "ada"),
        Node("heart@1", "snapshot", "heart@1"),
    ),
    (
        Edge("p1", "chest-ct@3", "freeze"),
        Edge("p2", "chest-ct@3", "freeze"),
        Edge("p2", "heart@1", "freeze"),
        Edge("chest-ct@3", "sha256:ab", "build"),
        Edge("sha256:ab", "net@1", "model"),
        Edge("ada", "net@1", "model"),
    ),
)
AT = datetime(2026, 3, 1, tzinfo=UTC)


def ids(graph: Graph) -> set[str]:
    return {node.id for node in graph.nodes}


def test_what_came_out_of_a_patient_and_what_a_model_came_from() -> None:
    assert ids(reachable(GRAPH, "p1", Direction.DOWNSTREAM)) == {"p1", "chest-ct@3", "sha256:ab", "net@1"}
    upstream = reachable(GRAPH, "net@1", Direction.UPSTREAM)
    assert ids(upstream) == {"net@1", "sha256:ab", "chest-ct@3", "p1", "p2", "ada"}
    assert Edge("p2", "heart@1", "freeze") not in upstream.edges
    assert len(upstream.edges) == 5


def test_a_node_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        reachable(GRAPH, "nobody", Direction.UPSTREAM)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30), st.integers(0, 9))
def test_upstream_is_downstream_backwards_and_circles_end(pairs: list[tuple[int, int]], start: int) -> None:
    nodes = tuple(Node(str(number), "x", "") for number in range(10))
    graph = Graph(nodes, tuple(Edge(str(a), str(b), "v") for a, b in pairs))
    for other in ids(reachable(graph, str(start), Direction.DOWNSTREAM)):
        assert str(start) in ids(reachable(graph, other, Direction.UPSTREAM))


def test_json_does_not_depend_on_the_order() -> None:
    mirrored = Graph(GRAPH.nodes[::-1], GRAPH.edges[::-1] + GRAPH.edges)
    assert as_json(GRAPH) == as_json(mirrored)
    content = json.loads(json.dumps(as_json(GRAPH)))
    assert {"id": "ada", "kind": "actor", "label": "ada"} in content["nodes"]
    assert len(content["edges"]) == 6


def test_mermaid_has_a_line_for_each_node_and_edge_and_no_way_out_of_a_label() -> None:
    hostile = Graph((Node("a", "x", '"] --> evil["<script>\n'), Node("b", "y", "é")), (Edge("a", "b", '"|x'),))
    lines = mermaid(hostile).splitlines()
    assert lines[0] == "flowchart LR"
    assert len(lines) == 4
    assert lines[1].count('"') == 2 and "<script" not in lines[1] and "evil" in lines[1]
    assert lines[3].count('"') == 2
    assert len(mermaid(GRAPH).splitlines()) == 1 + 7 + 6


def test_prov_has_an_activity_for_each_act_and_the_actor_as_agent() -> None:
    document = json.loads(json.dumps(prov(GRAPH)))
    assert set(document["agent"]) == {"filmroom:ada"}
    assert len(document["entity"]) == 6
    assert set(document["activity"]) == {
        "filmroom:freeze/chest-ct@3",
        "filmroom:freeze/heart@1",
        "filmroom:build/sha256%3Aab",
        "filmroom:model/net@1",
    }
    assert len(document["used"]) == len(document["wasDerivedFrom"]) == 5
    assert len(document["wasGeneratedBy"]) == 4
    assert list(document["wasAssociatedWith"].values()) == [
        {"prov:activity": "filmroom:model/net@1", "prov:agent": "filmroom:ada"}
    ]
    named = {*document["entity"], *document["activity"], *document["agent"]}
    for section in ("used", "wasDerivedFrom", "wasGeneratedBy", "wasAssociatedWith"):
        assert all(set(relation.values()) <= named for relation in document[section].values())


def test_openlineage_has_an_event_for_each_act_with_the_version_in_the_name() -> None:
    events = json.loads(json.dumps(openlineage(GRAPH, room="site-a", at=AT)))
    assert events == json.loads(json.dumps(openlineage(GRAPH, room="site-a", at=AT)))
    assert len({event["run"]["runId"] for event in events}) == len(events) == 4
    by_output = {event["outputs"][0]["name"]: event for event in events}
    build = by_output["shardset/sha256:ab"]
    assert build["job"] == {"namespace": "filmroom", "name": "build"}
    assert [item["name"] for item in build["inputs"]] == ["snapshot/chest-ct@3"]
    assert build["inputs"][0]["namespace"] == "filmroom://site-a"
    assert build["inputs"][0]["facets"]["version"]["datasetVersion"] == "chest-ct@3"
    assert build["eventTime"] == "2026-03-01T00:00:00.000000Z"
    assert [item["name"] for item in by_output["model/net@1"]["inputs"]] == ["shardset/sha256:ab"]


def test_an_empty_graph_is_empty_in_every_language() -> None:
    empty = Graph((), ())
    assert as_json(empty) == {"nodes": [], "edges": []}
    assert mermaid(empty) == "flowchart LR\n"
    assert prov(empty) == {"prefix": {"filmroom": "urn:filmroom:"}}
    assert openlineage(empty, room="r", at=AT) == []
