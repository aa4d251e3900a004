"""build: a snapshot x recipe becomes shards, patient by patient.

A shardset's id depends on the snapshot and the recipe only, and every patient's samples are sealed under that patient's
key of this shardset. So an interrupted build writes the same plaintext over what it left behind, and building what is
built only repairs objects that were lost or damaged. The others stay byte for byte, for somebody may be reading them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TypeVar

from filmroom.canon import canonical, digest_of
from filmroom.crypto import derive, merkle
from filmroom.errors import KeyGone, NotFound, Refused
from filmroom.flow import evidence
from filmroom.flow.project import open_project
from filmroom.flow.sealed import SealedZone, project_subject, shardset_subject
from filmroom.flow.snapshots import Manifest, read_manifest
from filmroom.ids import Digest, Versioned, Zone
from filmroom.ports import Ports
from filmroom.prepare import recipe as recipes
from filmroom.prepare.recipe import Recipe
from filmroom.prepare.run import Failure, Sample, prepare
from filmroom.records import Member, Reason, Row, SealedObject, Shardset
from filmroom.shards import layout
from filmroom.shards.index import ArrayEntry, IndexEntry, encode_index
from filmroom.shards.write import encode_subject

Source = TypeVar("Source")

FORMAT = 1
"""Of what a shardset's objects are and how they are named; another one makes another id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The shardset; `bytes` is what it takes in the store, `raw_bytes` its samples uncompressed."""

    shardset: Digest
    snapshot: Versioned
    recipe: Digest
    samples: int
    raw_bytes: int
    bytes: int
    content: Digest
    failures: tuple[Reason, ...]
    path: str
    seconds: float
    existing: bool
    repaired: int


@dataclass(slots=True)
class _Shards:
    """What one building has made so far."""

    objects: list[SealedObject] = field(default_factory=list)
    arrays: list[ArrayEntry] = field(default_factory=list)
    next_array: int = 0
    entries: list[IndexEntry] = field(default_factory=list)
    failures: list[Reason] = field(default_factory=list)
    raw_bytes: int = 0


def build(ports: Ports, ref: Versioned, *, recipe_text: str) -> Built:
    """Build a snapshot's shards by a recipe. Raises NotFound, Invalid for the recipe, Refused when no sample comes."""
    permit = evidence.authorize(ports, "build", {"kind": "snapshot", "id": str(ref)})
    started = ports.clock.monotonic()
    recipe = recipes.parse(recipe_text)
    found = read_manifest(ports, ref)
    with ports.catalog.read() as tx:
        existing = next(iter(tx.shardsets.find(ref, recipe.digest)), None)
        members = tx.snapshots.members(ref)
        open_project(tx, found.snapshot.project, ports.clock.now())
        kept = tx.shardsets.objects(existing.id) if existing else []
    sound = {each.name: each for each in kept if not _problem(ports, each)}
    if existing is not None and len(sound) == len(kept) and _content(kept) == existing.content:
        return _built(ports, existing, started, existing=True, repaired=0)

    shardset = digest_of({"snapshot": str(found.snapshot.id), "recipe": str(recipe.digest), "format": FORMAT})
    research = SealedZone(ports, Zone.RESEARCH)
    sources = _stored_copies(research, found, members)
    expected = {each.name: each.plain for each in kept} if existing else None
    with ports.progress.task("build", len(found.rows)) as advance:
        shards = _make(_Sealer(research, shardset, expected=expected, sound=sound), found, recipe, sources, advance)
    if not shards.entries:
        why = ", ".join(sorted({failure.code for failure in shards.failures})) or "the recipe selects nothing"
        raise Refused(f"no sample came out of {ref}: {why}", "check the recipe against what the snapshot holds")
    record = Shardset(
        id=shardset,
        snapshot=ref,
        recipe=recipe.digest,
        recipe_text=recipe_text,
        content=_content(shards.objects),
        samples=len(shards.entries),
        raw_bytes=shards.raw_bytes,
        stored_bytes=sum(each.size_bytes for each in shards.objects),
        failures=tuple(shards.failures),
        built_at=ports.clock.now(),
        built_by=permit.actor.name,
        code=canonical(ports.code).decode(),
    )
    written = [each for each in shards.objects if each.name not in sound]
    with ports.catalog.write() as tx:
        outcome: dict[str, int | str] = {
            "content": str(record.content),
            "samples": record.samples,
            "failures": len(record.failures),
        }
        what = {"kind": "shardset", "id": str(shardset), "snapshot": str(ref), "recipe": str(recipe.digest)}
        now = next(iter(tx.shardsets.find(ref, recipe.digest)), None)
        if now is None:
            tx.shardsets.add(record, shards.objects)
            evidence.record(tx, ports, permit, what, outcome, row=record)
        else:
            # It was there, or somebody else built it meanwhile: what counts is how the objects lie in the store now.
            tx.shardsets.replace_objects(shardset, [_as_it_lies(ports, each) for each in written])
            evidence.record(tx, ports, permit, what, {**outcome, "repaired": len(written)})
    repaired = len(written) if existing else 0
    return _built(ports, existing or record, started, existing=existing is not None, repaired=repaired)


def of_snapshot(ports: Ports, ref: Versioned) -> list[Shardset]:
    with ports.catalog.read() as tx:
        return tx.shardsets.find(ref)


def objects_hold(ports: Ports, shardset: Shardset) -> Iterator[str]:
    """Yield "" for each object that lies in the store as it was written, and a problem for each that does not."""
    with ports.catalog.read() as tx:
        objects = tx.shardsets.objects(shardset.id)
    yield "" if _content(objects) == shardset.content else f"the objects of {shardset.id} do not add up to its content"
    for each in objects:
        yield _problem(ports, each)


def comes_again(
    ports: Ports, shardset: Shardset, found: Manifest, members: Sequence[Member], copies: Mapping[Digest, bytes]
) -> Iterator[str]:
    """Make the objects of a shardset anew from these copies, and yield "" or a problem for each.

    Patients of whom a copy is missing, or the key, are one problem each; the others' objects are compared all the same.
    """
    research = SealedZone(ports, Zone.RESEARCH)
    with ports.catalog.read() as tx:
        kept: dict[str, dict[str, Digest]] = {}
        for each in tx.shardsets.objects(shardset.id):
            kept.setdefault(each.subject, {})[each.name] = each.plain
    sealer, recipe = _Sealer(research, shardset.id, dry=True), recipes.parse(shardset.recipe_text)
    made, whole = _Shards(), True
    for pseudonym, items in _patients(found, [copies.get(member.copy) for member in members]):
        before = kept.pop(shardset_subject(shardset.id, pseudonym), {})
        there = [(row, data) for row, data in items if data is not None]
        try:
            again = _make_patient(sealer, recipe, pseudonym, there, made) if len(there) == len(items) else None
        except KeyGone:
            again = None
        if again is None:
            whole = False
            made.next_array += sum(name.endswith(f"/{layout.GROUP}") for name in before)
            yield f"the shards of {pseudonym} were not compared: a copy of theirs, or the key, is gone"
        else:
            yield from _differ(before, again)
    if whole:
        rest = {name: plain for objects in kept.values() for name, plain in objects.items()}
        yield from _differ(rest, _make_index(sealer, found, recipe, made))
    else:
        yield f"the index of {shardset.id} was not compared"


def _differ(before: Mapping[str, Digest], again: Sequence[SealedObject]) -> Iterator[str]:
    now = {each.name: each.plain for each in again}
    for name in sorted(before.keys() | now.keys()):
        yield "" if before.get(name) == now.get(name) else f"{name} came out differently"


class _Sealer:
    """Seals a shardset's objects under the right keys.

    With `expected` commitments it overwrites no object with another plaintext; the `sound` objects it does not write at
    all; when `dry`, it stores nothing.
    """

    def __init__(
        self,
        research: SealedZone,
        shardset: Digest,
        *,
        expected: Mapping[str, Digest] | None = None,
        sound: Mapping[str, SealedObject] | None = None,
        dry: bool = False,
    ) -> None:
        self._research = research
        self._shardset = shardset
        self._expected = expected
        self._sound = sound or {}
        self._dry = dry

    def put(self, name: str, data: bytes, pseudonym: str = "") -> SealedObject:
        full = f"{prefix(self._shardset)}/{name}"
        subject = shardset_subject(self._shardset, pseudonym)
        salt = derive.hkdf(self._research.key(subject), "commitment")
        plain = derive.commitment(salt, Digest.of(data))
        if self._expected is not None and self._expected.get(full) != plain:
            raise Refused("a shard came out differently than before", "nothing was overwritten; see filmroom reproduce")
        if full in self._sound:
            return self._sound[full]
        sealed = b"" if self._dry else self._research.put(full, subject, data)
        return SealedObject(name=full, subject=subject, size_bytes=len(sealed), sealed=Digest.of(sealed), plain=plain)


def prefix(shardset: Digest) -> str:
    """Return where a shardset lies in the research zone: one folder, so that one credential can cover it."""
    return f"shardsets/{shardset.hex}"


def _make(
    sealer: _Sealer,
    found: Manifest,
    recipe: Recipe,
    sources: Iterable[bytes],
    advance: Callable[[int], object],
) -> _Shards:
    """Prepare, encode and put every patient's samples, in the manifest's order, then the index."""
    made = _Shards()
    for pseudonym, items in _patients(found, sources):
        _make_patient(sealer, recipe, pseudonym, items, made)
        advance(len(items))
    if made.entries:
        _make_index(sealer, found, recipe, made)
    return made


def _patients(found: Manifest, sources: Iterable[Source]) -> Iterator[tuple[str, list[tuple[Row, Source]]]]:
    """Yield each pseudonym with its rows and sources; a manifest has a patient's rows together."""
    for pseudonym, group in groupby(zip(found.rows, sources, strict=True), key=lambda pair: pair[0].subject):
        yield pseudonym, list(group)


def _make_patient(
    sealer: _Sealer, recipe: Recipe, pseudonym: str, items: Sequence[tuple[Row, bytes]], made: _Shards
) -> list[SealedObject]:
    """Prepare, encode and put one patient's samples. Returns their objects, which are in `made` too."""
    samples = _samples(recipe, items, made)
    encoded = encode_subject(made.next_array, samples, recipe)
    objects = [sealer.put(name, data, pseudonym) for name, data in encoded.objects]
    made.objects += objects
    made.arrays += encoded.arrays
    made.next_array += len(encoded.arrays)
    made.entries += encoded.entries
    made.raw_bytes += sum(sample.image.nbytes for sample in samples)
    return objects


def _make_index(sealer: _Sealer, found: Manifest, recipe: Recipe, made: _Shards) -> list[SealedObject]:
    """Put what is nobody's in particular: the groups' documents, and the index over all that was made."""
    index = encode_index(made.arrays, made.entries, recipe=recipe.digest, snapshot=str(found.snapshot.id))
    objects = [sealer.put(name, layout.group_metadata(recipe.digest)) for name in layout.GROUPS]
    objects.append(sealer.put(layout.INDEX, index))
    made.objects += objects
    return objects


def _samples(recipe: Recipe, items: Sequence[tuple[Row, bytes]], made: _Shards) -> list[Sample]:
    samples: list[Sample] = []
    for result in prepare(recipe, items):
        if isinstance(result, Failure):
            made.failures.append(result.reason)
        else:
            samples.append(result)
    return samples


def _stored_copies(research: SealedZone, found: Manifest, members: Sequence[Member]) -> Iterator[bytes]:
    """Yield each member's copy. Raises NotFound, KeyGone or Corrupt: a dataset with holes is not built."""
    project = found.snapshot.project
    for member in members:
        yield research.get_content(member.copy, project_subject(project, member.subject))


def _problem(ports: Ports, kept: SealedObject) -> str:
    """Return "" for an object that lies in the store as it was written, else what became of it."""
    try:
        same = Digest.of(ports.objects[Zone.RESEARCH].get(kept.name)) == kept.sealed
    except NotFound:
        return f"{kept.name} is gone"
    return "" if same else f"{kept.name} was changed"


def _as_it_lies(ports: Ports, written: SealedObject) -> SealedObject:
    sealed = ports.objects[Zone.RESEARCH].get(written.name)
    return replace(written, sealed=Digest.of(sealed), size_bytes=len(sealed))


def _content(objects: Sequence[SealedObject]) -> Digest:
    """Return the Merkle root over the names and committed plaintexts of a shardset's objects."""
    lines = sorted((each.name, str(each.plain)) for each in objects)
    return Digest(merkle.root(canonical({"name": name, "plain": plain}) for name, plain in lines).hex())


def _built(ports: Ports, record: Shardset, started: float, *, existing: bool, repaired: int) -> Built:
    return Built(
        shardset=record.id,
        snapshot=record.snapshot,
        recipe=record.recipe,
        samples=record.samples,
        raw_bytes=record.raw_bytes,
        bytes=record.stored_bytes,
        content=record.content,
        failures=record.failures,
        path=prefix(record.id),
        seconds=round(ports.clock.monotonic() - started, 3),
        existing=existing,
        repaired=repaired,
    )
