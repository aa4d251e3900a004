"""trace: from a patient to every snapshot, lease and model, and from a model back to every study, label and line of code.

The graph is read off the catalog's own rows, which were written in the same transactions as the audit log; nothing is
kept twice. `Answers` says in lists what an auditor asks: which studies, which labels, which code and parameters, which
models, and who held leases.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from filmroom.canon import Json
from filmroom.errors import Invalid, NotFound
from filmroom.flow import evidence
from filmroom.govern import lineage
from filmroom.govern.lineage import Direction, Edge, Graph, Node
from filmroom.ids import Digest, Versioned
from filmroom.ports import Ports, Transaction
from filmroom.records import Copy, LeaseRecord, Level, Model, Snapshot, StoredFile, StoredInstance

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What an auditor asks, about everything on the ways from and to what was traced."""

    studies: tuple[str, ...]
    labels: tuple[str, ...]
    code: tuple[Mapping[str, Json], ...]
    models: tuple[str, ...]
    access: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The graph around one thing, as the room saw it at a moment."""

    room: str
    at: datetime
    id: str
    kind: str
    answers: Answers
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @property
    def graph(self) -> Graph:
        return Graph(self.nodes, self.edges)


@dataclass(frozen=True, slots=True)
class _Start:
    """What was named, the snapshots it has to do with, and, below a snapshot, the instances."""

    node: Node
    snapshots: tuple[Versioned, ...]
    instances: tuple[StoredInstance, ...] | None = None
    files: tuple[StoredFile, ...] = ()


def trace(ports: Ports, name: str, *, forward: bool = True, backward: bool = True) -> Trace:
    """Follow a patient, study, series, instance, snapshot, shardset or model, both ways unless told otherwise.

    `name` is a Patient ID, a UID, a digest, NAME@VERSION, or one of these after `patient:`, `study:`, `snapshot:`,
    `model:` ... where it could mean two things. Raises NotFound, or Invalid when it does.
    """
    permit = evidence.authorize(ports, "trace", {"kind": "lineage"})
    with ports.catalog.read() as tx:
        start = _find(tx, name)
        story = _Story(tx)
        for ref in start.snapshots:
            story.tell_snapshot(tx.snapshots.get(ref), start.instances)
        story.tell_instances(start.instances or ())
        for file in start.files:
            story.tell_file(file)
        if start.node not in story.nodes:
            story.nodes.append(start.node)
        answers = story.answers
    whole = Graph(tuple(dict.fromkeys(story.nodes)), tuple(dict.fromkeys(story.edges)))
    ways = [Direction.DOWNSTREAM] * forward + [Direction.UPSTREAM] * backward
    parts = [lineage.reachable(whole, start.node.id, way) for way in ways]
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, {"kind": start.node.kind}, {"nodes": len(whole.nodes)})
    return Trace(
        room=ports.room,
        at=ports.clock.now(),
        id=start.node.id,
        kind=start.node.kind,
        answers=answers,
        nodes=tuple(dict.fromkeys(node for part in parts for node in part.nodes)),
        edges=tuple(dict.fromkeys(edge for part in parts for edge in part.edges)),
    )


class _Story:
    """Collects nodes and edges, and the answers that they give, from the catalog."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._studies: set[str] = set()
        self._labels: set[str] = set()
        self._models: set[str] = set()
        self._code: list[Mapping[str, Json]] = []
        self._access: list[Mapping[str, str]] = []
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

    @property
    def answers(self) -> Answers:
        return Answers(
            studies=tuple(sorted(self._studies)),
            labels=tuple(sorted(self._labels)),
            code=tuple(self._code),
            models=tuple(sorted(self._models)),
            access=tuple(self._access),
        )

    def tell_snapshot(self, snapshot: Snapshot, only: Sequence[StoredInstance] | None) -> None:
        """Tell what came into a snapshot (`only` these instances, when given) and what came of it."""
        node = _snapshot_node(snapshot)
        self.nodes.append(node)
        wanted = None if only is None else {instance.digest for instance in only}
        members = self._tx.snapshots.members(snapshot.ref)
        copies = [
            copy
            for copy in self._tx.copies.by_digest([member.copy for member in members])
            if copy.project == snapshot.project and (wanted is None or copy.source in wanted)
        ]
        sources = self._tx.instances.some([copy.source for copy in copies])
        for copy in copies:
            self._edge(self._tell_source(sources[copy.source]), _copy_node(copy), "deidentify")
            self._edge(_copy_node(copy), node, "freeze")
        if snapshot.cohort:
            self._edge(Node(f"cohort:{snapshot.cohort}", "cohort", str(snapshot.cohort)), node, "freeze")
        for labels in snapshot.label_sets:
            self._labels.add(labels)
            self._edge(Node(f"labels:{labels}", "labels", labels), node, "freeze")
        self._tell_use(snapshot, node)

    def tell_instances(self, instances: Sequence[StoredInstance]) -> None:
        """Tell where instances belong, and their copies."""
        nodes = {instance.digest: self._tell_source(instance) for instance in instances}
        for copy in self._tx.copies.by_source(list(nodes)):
            if copy.digest is not None:
                self._edge(nodes[copy.source], _copy_node(copy), "deidentify")

    def tell_file(self, file: StoredFile) -> None:
        """Tell which delivery brought an image file; nothing is made of it yet."""
        batch = self._tx.batches.get(file.batch)
        self._edge(Node(f"batch:{batch.id}", "batch", f"delivery of {batch.source}"), _file_node(file), "import")

    def _tell_source(self, instance: StoredInstance) -> Node:
        node = _instance_node(instance)
        patient, study, series = (_level_node(level, instance) for level in (Level.PATIENT, Level.STUDY, Level.SERIES))
        self._studies.add(instance.study_uid)
        self._edge(patient, study, "import")
        self._edge(study, series, "import")
        self._edge(series, node, "import")
        return node

    def _tell_use(self, snapshot: Snapshot, node: Node) -> None:
        leases = {lease.id: lease for lease in self._tx.access.leases(snapshot.ref)}
        shardsets: dict[Digest, Node] = {}
        for shardset in self._tx.shardsets.find(snapshot.ref):
            built = shardsets[shardset.id] = Node(f"shardset:{shardset.id}", "shardset", f"shards of {snapshot.ref}")
            self._edge(node, built, "build")
            self._edge(Node(f"recipe:{shardset.recipe}", "recipe", "recipe"), built, "build")
            self._code.append(
                {
                    "shardset": str(shardset.id),
                    "recipe": str(shardset.recipe),
                    "parameters": shardset.recipe_text,
                    "packages": json.loads(shardset.code),
                }
            )
        for opening in self._tx.access.openings(snapshot.ref):
            self._edge(shardsets[opening.shardset], _lease_node(leases[opening.lease]), "load")
        for lease in leases.values():
            self._edge(node, _lease_node(lease), "lease")
            self._access.append(
                {
                    "lease": lease.id,
                    "grant": lease.grant,
                    "holder": lease.holder,
                    "job": lease.job,
                    "issued_at": lease.issued_at.isoformat(),
                }
            )
        for model in self._tx.models.of(snapshot.ref):
            self._models.add(str(model.ref))
            target = _model_node(model)
            self._edge(node, target, "model")
            if model.shardset:
                self._edge(shardsets[model.shardset], target, "model")
            if model.lease:
                self._edge(_lease_node(leases[model.lease]), target, "model")

    def _edge(self, source: Node, target: Node, verb: str) -> None:
        self.nodes += [source, target]
        self.edges.append(Edge(source.id, target.id, verb))


def _find(tx: Transaction, name: str) -> _Start:
    """Return what `name` names; several things of different kinds are too many."""
    kind, colon, rest = name.partition(":")
    readers: dict[str, Callable[[Transaction, str], _Start | None]] = {
        "snapshot": _find_snapshot,
        "model": _find_model,
        "shardset": _find_shardset,
        "instance": _find_instance,
        "file": _find_file,
        "patient": lambda tx, text: _find_level(tx, Level.PATIENT, text),
        "study": lambda tx, text: _find_level(tx, Level.STUDY, text),
        "series": lambda tx, text: _find_level(tx, Level.SERIES, text),
    }
    if colon and kind in readers:
        found = [readers[kind](tx, rest)]
    else:
        found = [reader(tx, name) for reader in readers.values()]
    hits = [start for start in found if start is not None]
    if not hits:
        raise NotFound(
            "nothing in this room has that name",
            "give a Patient ID, a UID, a digest, or NAME@VERSION; see filmroom query and filmroom snapshots",
        )
    if len(hits) > 1:
        kinds = ", ".join(f"{start.node.kind}:..." for start in hits)
        raise Invalid("that name means several things", f"say which one: {kinds}")
    return hits[0]


def _find_snapshot(tx: Transaction, text: str) -> _Start | None:
    digest = _digest(text)
    snapshot = tx.snapshots.by_id(digest) if digest else _or_none(lambda: tx.snapshots.get(Versioned.parse(text)))
    return _Start(_snapshot_node(snapshot), (snapshot.ref,)) if snapshot else None


def _find_model(tx: Transaction, text: str) -> _Start | None:
    digest = _digest(text)
    models = tx.models.by_digest(digest) if digest else []
    if len(models) > 1:
        names = ", ".join(_model_node(model).id for model in models)
        raise Invalid("several models have that digest", f"say which one: {names}")
    model = models[0] if models else _or_none(lambda: tx.models.get(Versioned.parse(text)))
    return _Start(_model_node(model), (model.snapshot,)) if model else None


def _find_shardset(tx: Transaction, text: str) -> _Start | None:
    digest = _digest(text)
    shardset = _or_none(lambda: tx.shardsets.get(digest)) if digest else None
    if shardset is None:
        return None
    return _Start(Node(f"shardset:{digest}", "shardset", f"shards of {shardset.snapshot}"), (shardset.snapshot,))


def _find_instance(tx: Transaction, text: str) -> _Start | None:
    """Find an instance by digest, by the digest of a copy, or by SOP Instance UID."""
    digest = _digest(text)
    if digest is None:
        found = tx.instances.find(Level.INSTANCE, text)
    else:
        sources = [digest, *(copy.source for copy in tx.copies.by_digest([digest]))]
        found = list(tx.instances.some(sources).values())
    return _Start(_instance_node(found[0]), _snapshots_of(tx, found[:1]), tuple(found[:1])) if found else None


def _find_file(tx: Transaction, text: str) -> _Start | None:
    digest = _digest(text)
    file = _or_none(lambda: tx.files.get(digest)) if digest else None
    return _Start(_file_node(file), (), files=(file,)) if file else None


def _find_level(tx: Transaction, level: Level, text: str) -> _Start | None:
    found = tx.instances.find(level, text)
    if not found:
        return None
    return _Start(_level_node(level, found[0]), _snapshots_of(tx, found), tuple(found))


def _snapshots_of(tx: Transaction, instances: Iterable[StoredInstance]) -> tuple[Versioned, ...]:
    copies = [copy.digest for copy in tx.copies.by_source([each.digest for each in instances]) if copy.digest]
    return tuple(tx.snapshots.containing(copies))


def _digest(text: str) -> Digest | None:
    return _or_none(lambda: Digest.parse(text))


def _or_none(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (Invalid, NotFound):
        return None


def _snapshot_node(snapshot: Snapshot) -> Node:
    return Node(f"snapshot:{snapshot.ref}", "snapshot", str(snapshot.ref))


def _model_node(model: Model) -> Node:
    return Node(f"model:{model.ref}", "model", str(model.ref))


def _copy_node(copy: Copy) -> Node:
    return Node(f"copy:{copy.digest}", "copy", f"{copy.modality} copy for {copy.project}")


def _file_node(file: StoredFile) -> Node:
    return Node(f"file:{file.digest}", "file", _with_damage(f"{file.kind} file", file.damage))


def _lease_node(lease: LeaseRecord) -> Node:
    return Node(f"lease:{lease.id}", "lease", f"lease of {lease.holder}")


def _level_node(level: Level, instance: StoredInstance) -> Node:
    """Return the patient, study or series that the instance belongs to. A patient's label says nothing of the patient."""
    name = instance.names[level]
    return Node(f"{level}:{name}", level.value, level.value if level is Level.PATIENT else f"{level} {name}")


def _instance_node(instance: StoredInstance) -> Node:
    label = _with_damage(f"{instance.modality} instance", instance.damage)
    return Node(f"instance:{instance.digest}", "instance", label)


def _with_damage(label: str, damage: str | None) -> str:
    return f"{label}, {damage}" if damage else label
