"""export-catalog: the catalog, labels and findings as partitioned Parquet, which other tools read without a room.

What lies at the target already is only written again where it differs. The manifest there says what was written, up to
which entry of the audit log: without a later entry that could have changed a row there is nothing to do. A partition is
replaced as a whole and then noted, so an export that was cut off goes on where it was.

The de-identified form is read from the headers of verified copies, never from the catalog's rows: what is in it, is in a
copy. Its partitions are by modality, since months of receipt would tell when a study was.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from filmroom.canon import Json, canonical, digest_of, rfc3339
from filmroom.catalog import columnar, parquet
from filmroom.catalog.labels import standing
from filmroom.catalog.parquet import Fields
from filmroom.deid import profile as profiles
from filmroom.deid import verify
from filmroom.deid.profile import Action, Profile
from filmroom.dicom.normalize import normalize
from filmroom.dicom.parse import parse
from filmroom.errors import Corrupt, Invalid, NotFound, Refused
from filmroom.flow import evidence
from filmroom.flow.project import open_project
from filmroom.flow.sealed import SealedZone, project_subject
from filmroom.govern import audit
from filmroom.ids import Digest, Zone
from filmroom.ports import Objects, Ports, Transaction
from filmroom.records import (
    Copy,
    CopyState,
    InstanceState,
    LabelEntry,
    Level,
    PartitionBy,
    Project,
    StoredInstance,
    Value,
)

MANIFEST = "export.json"
FORMAT = 1

_ONLY_READS = frozenset(
    """query quality columns export-catalog cohort freeze snapshots show diff build request approve deny grants revoke lease
    load model verify reproduce trace audit retrieve serve reidentify countersign project""".split()
)
"""Verbs after which every row of an export is what it was."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What is at the target now, by table, and how many partitions were written, left as they were, and removed.

    `position` is the size of the audit log that it is as of.
    """

    project: str | None
    position: int
    rows: dict[str, int]
    written: int
    unchanged: int
    removed: int


def export_catalog(
    ports: Ports, out: Objects, *, project: str | None = None, by: PartitionBy | None = None
) -> Exported:
    """Bring an export up to date, or begin one. With a project it is the de-identified form.

    Raises Refused when something else lies at the target, Invalid for months in the de-identified form, NotFound.
    """
    what = {"kind": "catalog", "id": "export"} if project is None else {"kind": "project", "id": project}
    permit = evidence.authorize(ports, "export-catalog", what)
    if project is None:
        evidence.authorize(ports, "query", what)
    elif by is PartitionBy.MONTH:
        raise Invalid("months of receipt would tell when a study was", "leave --by out, or export the clinical form")
    by = by or (PartitionBy.MONTH if project is None else PartitionBy.MODALITY)
    target = _Target(out, {"room": ports.room, "project": project, "by": str(by)}, ports.code)
    released = None
    with ports.catalog.read() as tx:
        position = tx.log.size()
        found = None if project is None else open_project(tx, project, ports.clock.now())
        is_current = target.is_complete and _nothing_changed(tx, target.position)
        if not is_current and found is None:
            _clinical(tx, target, by)
        elif not is_current and found is not None:
            released = _released(tx, found)
    if released is not None:
        _deidentified(ports, target, released)
    if not is_current:
        target.remove_others()
    target.finish(position)
    counts = {"written": target.written, "removed": target.removed, "rows": sum(target.rows().values())}
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, what, {**counts, "position": position, "manifest": str(target.digest)})
    return Exported(
        project=project,
        position=position,
        rows=target.rows(),
        written=target.written,
        unchanged=target.unchanged,
        removed=target.removed,
    )


def _nothing_changed(tx: Transaction, position: int) -> bool:
    return all(audit.read_leaf(leaf)["verb"] in _ONLY_READS for leaf in tx.log.leaves(position))


# -- the target ----------------------------------------------------------------------------------------------------


class _Target:
    """The folder or prefix that an export lies in, and its manifest."""

    def __init__(self, out: Objects, head: Mapping[str, str | None], code: Mapping[str, str]) -> None:
        self._out = out
        self._code = dict(code)
        self._head: dict[str, Json] = {"format": FORMAT, "kind": "filmroom.catalog-export", **head}
        self._partitions: dict[str, dict[str, Json]] = {}
        self._seen: set[str] = set()
        self.position = 0
        self._is_ours = self.is_complete = False
        self.written = self.removed = 0
        self.digest = digest_of(self._head)
        self._read()

    def _read(self) -> None:
        try:
            document = json.loads(self._out.get(MANIFEST))
            head = {name: document.pop(name) for name in self._head}
            partitions, position = dict(document["partitions"]), int(document["position"])
        except NotFound:
            if next(iter(self._out.names("")), None) is not None:
                raise Refused("the target is not empty, and no export", "name a new folder") from None
            return
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Corrupt("the export's manifest cannot be read", "export into a new folder") from None
        if head != self._head:
            raise Refused("another export lies at the target", "name a new folder, or ask for the same as before")
        self._partitions, self.position = partitions, position
        self._is_ours = document.get("code") == self._code
        self.is_complete = document.get("complete") is True and self._is_ours

    @property
    def unchanged(self) -> int:
        return len(self._partitions) - self.written

    def is_from(self, table: str, partition: str, origin: Digest) -> bool:
        """Say whether a partition was made from this, and keep it if so."""
        name = f"{table}/{partition}"
        same = self._partitions.get(name, {}).get("from") == str(origin)
        if same:
            self._seen.add(name)
        return same

    def standing(self, table: str, partition: str, fields: Fields) -> list[dict[str, Value]]:
        """Return the rows of a partition as it lies there, none if it is not what this code wrote with these columns."""
        name = f"{table}/{partition}"
        if name not in self._partitions or not self._is_ours:
            return []
        try:
            data = self._out.get(f"{name}/data.parquet")
        except NotFound:
            return []
        if str(Digest.of(data)) != self._partitions[name]["digest"]:
            return []
        columns, rows = parquet.decode(data)
        return [cast("dict[str, Value]", row) for row in rows] if columns == [each for each, _ in fields] else []

    def put(
        self,
        table: str,
        partition: str,
        fields: Fields,
        rows: Iterable[Mapping[str, Value]],
        origin: Digest | None = None,
    ) -> None:
        """Write a partition unless it is there already as it would be. One without rows is not kept."""
        count = 0

        def counted() -> Iterator[Mapping[str, Value]]:
            nonlocal count
            for row in rows:
                count += 1
                yield row

        data = parquet.encode(fields, counted())
        if not count:
            return
        name = f"{table}/{partition}"
        entry: dict[str, Json] = {"rows": count, "digest": str(Digest.of(data))}
        if origin is not None:
            entry["from"] = str(origin)
        self._seen.add(name)
        if self._partitions.get(name) != entry:
            self._out.put(f"{name}/data.parquet", data)
            self._partitions[name] = entry
            self.written += 1
            self._note(complete=False)

    def remove_others(self) -> None:
        """Remove the partitions that nothing belongs to any more."""
        for name in self._partitions.keys() - self._seen:
            self._out.delete(f"{name}/data.parquet")
            del self._partitions[name]
            self.removed += 1

    def finish(self, position: int) -> None:
        self.position = position
        self._note(complete=True)

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        found = dict.fromkeys(columnar.TABLES, 0)
        for name, entry in self._partitions.items():
            found[name.partition("/")[0]] += int(str(entry["rows"]))
        return found

    def _note(self, *, complete: bool) -> None:
        document = {
            **self._head,
            "position": self.position,
            "complete": complete,
            "code": self._code,
            "partitions": dict(sorted(self._partitions.items())),
        }
        data = canonical(document)
        self.digest = Digest.of(data)
        self._out.put(MANIFEST, data)


# -- the clinical form ---------------------------------------------------------------------------------------------


def _clinical(tx: Transaction, target: _Target, by: PartitionBy) -> None:
    for table, level in {"series": Level.SERIES, "instances": Level.INSTANCE, "files": Level.FILE}.items():
        for value, group in groupby(tx.columnar.rows(level, by), key=lambda each: each[0]):
            partition = columnar.partition((by, value))
            findings: list[dict[str, Value]] = []
            rows = _noting(findings, group, told=level is Level.INSTANCE)
            target.put(table, partition, _without(by, columnar.clinical(table)), rows)
            target.put("findings", partition, columnar.clinical("findings"), findings)
    for name, _ in tx.labels.all():
        for month, entries in groupby(tx.labels.entries(name), key=lambda entry: rfc3339(entry.at)[: len("2026-03")]):
            partition = columnar.partition(("set", name), ("month", month))
            target.put("labels", partition, columnar.clinical("labels"), map(_label_row, entries))


def _without(by: PartitionBy, fields: Fields) -> Fields:
    """Return the columns of the files: what a partition is by stands in its path only, where hive readers take it from."""
    return [(name, kind) for name, kind in fields if name != by]


def _noting(
    findings: list[dict[str, Value]], rows: Iterable[tuple[str, dict[str, Value]]], *, told: bool
) -> Iterator[dict[str, Value]]:
    for _, row in rows:
        if told:
            findings += columnar.finding_rows(row)
        yield row


def _label_row(entry: LabelEntry) -> dict[str, Value]:
    return {**columnar.label_row(entry), "at": rfc3339(entry.at)}


# -- the de-identified form ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Released:
    """A project's clean copies by modality, with the profile that they were made by, and its label sets' rows."""

    profile: Profile
    copies: list[Copy]
    labels: dict[str, list[dict[str, Value]]]


def _released(tx: Transaction, project: Project) -> _Released:
    profile = profiles.load(project.profile)
    pairs = _current(tx, project, profile)
    names = {
        (level, source.names[level]): copied
        for copy, source in pairs
        for level, copied in {
            Level.PATIENT: copy.subject,
            Level.STUDY: copy.study_uid,
            Level.SERIES: copy.series_uid,
            Level.INSTANCE: copy.sop_uid,
        }.items()
    }
    labels = {
        name: [
            {**columnar.label_row(entry), "target": names[entry.label.level, entry.label.target]}
            for entry in standing(tx.labels.entries(name)).values()
            if (entry.label.level, entry.label.target) in names
        ]
        for name, _ in tx.labels.all()
    }
    return _Released(profile, [copy for copy, _ in pairs], labels)


def _deidentified(ports: Ports, target: _Target, released: _Released) -> None:
    for modality, group in groupby(released.copies, key=lambda copy: copy.modality):
        _of_modality(ports, target, released.profile, modality, list(group))
    for name, rows in released.labels.items():
        fields = columnar.deidentified("labels", frozenset())
        target.put("labels", columnar.partition(("set", name)), fields, rows)


def _current(tx: Transaction, project: Project, profile: Profile) -> list[tuple[Copy, StoredInstance]]:
    """Return the clean copies of what is current, undamaged and not erased, with their sources, by modality."""
    copies = [
        copy
        for copy in tx.copies.all(project=project.name, state=CopyState.CLEAN)
        if (copy.profile, copy.verifier) == (profile.digest, verify.VERIFIER)
    ]
    found: list[tuple[Copy, StoredInstance]] = []
    for start in range(0, len(copies), _AT_ONCE):
        some = copies[start : start + _AT_ONCE]
        sources = tx.instances.some([copy.source for copy in some])
        found += [(copy, sources[copy.source]) for copy in some]
    keys = tx.keys.get(Zone.RESEARCH, sorted({project_subject(project.name, copy.subject) for copy in copies}))
    erased = {subject for subject, key in keys.items() if key.wrapped is None}
    standing_now = [
        (copy, source)
        for copy, source in found
        if source.state is InstanceState.CURRENT
        and source.damage is None
        and project_subject(project.name, copy.subject) not in erased
    ]
    return sorted(
        standing_now, key=lambda pair: (pair[0].modality, pair[0].subject, pair[0].series_uid, pair[0].sop_uid)
    )


def _of_modality(ports: Ports, target: _Target, profile: Profile, modality: str, copies: Sequence[Copy]) -> None:
    """Write the tables of one modality, unless they were made from the same copies by the same code.

    Of what is there already only the headers of new copies are read.
    """
    kept, partition = kept_by(profile), columnar.partition((PartitionBy.MODALITY, modality))
    tables = {
        table: _without(PartitionBy.MODALITY, columnar.deidentified(table, kept))
        for table in ("series", "instances", "findings")
    }
    made_from: list[Json] = [
        [_record(copy) for copy in copies],
        [[list(field) for field in fields] for fields in tables.values()],
        dict(ports.code),
    ]
    origin = digest_of(made_from)
    if target.is_from("instances", partition, origin):
        target.is_from("series", partition, origin)
        target.is_from("findings", partition, origin)
        return
    wanted = {_record(copy): copy for copy in copies}
    images = [
        row for row in target.standing("instances", partition, tables["instances"]) if row["attestation"] in wanted
    ]
    known = {row["attestation"] for row in images}
    of_known = {row["series_uid"] for row in images}
    series = {
        row["series_uid"]: row
        for row in target.standing("series", partition, tables["series"])
        if row["series_uid"] in of_known
    }
    fresh = [copy for record, copy in wanted.items() if record not in known]
    with ports.progress.task("export-catalog", len(fresh)) as advance:
        for row in _headers(ports, profile, fresh):
            of_series = series.setdefault(row["series_uid"], {})
            of_series.update({name: row[name] for name, _ in tables["series"] if row.get(name) is not None})
            images.append({name: row.get(name) for name, _ in tables["instances"]})
            advance(1)
    findings = (
        {**_names(copy), "code": finding.code, "place": finding.place} for copy in copies for finding in copy.findings
    )
    target.put("series", partition, tables["series"], series.values(), origin)
    target.put("findings", partition, tables["findings"], findings, origin)
    target.put("instances", partition, tables["instances"], images, origin)  # last: it stands for the others


def _record(copy: Copy) -> str:
    """Return the digest of the verifier's record, by which a copy is known in an export."""
    return str(Digest.of((copy.attestation or "").encode()))


def _names(copy: Copy) -> dict[str, Value]:
    return {name: getattr(copy, name) for name in ("subject", "study_uid", "series_uid", "sop_uid")}


def _headers(ports: Ports, profile: Profile, copies: Sequence[Copy]) -> Iterator[dict[str, Value]]:
    """Yield what the catalog would say of each copy, had it been received. Raises Refused for one that is not proven."""
    research, public_key = SealedZone(ports, Zone.RESEARCH), ports.keys.public_key()
    for copy in copies:
        clean = verify.admit(copy, public_key=public_key, profile=profile.digest)
        data = research.get_content(clean.digest, project_subject(copy.project, clean.subject))
        instance = parse(data, digest=clean.digest).instance
        if instance is None:
            raise Corrupt("a copy has no UIDs", "run: filmroom doctor")
        own: dict[str, Value] = {"subject": clean.subject, "attestation": str(clean.attestation)}
        yield {**instance.values, **normalize(instance.values), **own}


def kept_by(profile: Profile) -> frozenset[str]:
    """Return the keywords of which something may stay in a copy."""
    gone = (Action.EMPTY, Action.REPLACE)
    return frozenset(
        rule.keyword for rules in profile.rules.values() for rule in rules.values() if rule.action not in gone
    )
