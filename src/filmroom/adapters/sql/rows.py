"""Records to rows and back. A column has the name of the field it holds; JSON documents are read here.

`catalog.types.Document` writes every record as `canon.plain` spells it; the functions here are its inverse.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from sqlalchemy import ColumnElement, Connection, Result, Row, Select, Table, bindparam, insert

from filmroom.errors import NotFound
from filmroom.ids import Digest
from filmroom.records import Actor, Coverage, Finding, Instance, Reason, Severity, Value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CHUNK = 500
"""How many values an IN list gets: engines bound the number of parameters of a statement."""

_STREAMS = "filmroom streams"
_T = TypeVar("_T")


def chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield `values` without repetitions, in pieces that fit into a statement."""
    once = list(dict.fromkeys(values))
    for start in range(0, len(once), CHUNK):
        yield once[start : start + CHUNK]


def rows_in(
    connection: Connection, statement: Select[*tuple[Any, ...]], column: ColumnElement[Any], values: Sequence[object]
) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield the statement's rows whose `column` is one of `values`."""
    parts = ((column.in_(part) if len(part) > 1 else column == part[0]) for part in chunks(values))
    return chain.from_iterable(connection.execute(statement.where(part)) for part in parts)


class Lookup:
    """A statement that is made once, for the rows whose `column` is one of some values."""

    def __init__(self, statement: Select[*tuple[Any, ...]], column: ColumnElement[Any]) -> None:
        self._one = statement.where(column == bindparam("one", type_=column.type))
        self._some = statement.where(column.in_(bindparam("some", expanding=True, type_=column.type)))

    def rows(self, connection: Connection, values: Iterable[object]) -> Iterator[Row[*tuple[Any, ...]]]:
        """Yield the rows, with each value looked for once."""
        for part in chunks(list(values)):
            if len(part) == 1:
                yield from connection.execute(self._one, {"one": part[0]})
            else:
                yield from connection.execute(self._some, {"some": part})


def stream(connection: Connection, statement: Select[*tuple[Any, ...]]) -> Result[*tuple[Any, ...]]:
    """Run a statement whose rows are read while they come, so that they need not fit into memory."""
    result = connection.execute(statement, execution_options={"stream_results": True, "yield_per": 1000})
    connection.info.setdefault(_STREAMS, []).append(result)
    return result


def close_streams(connection: Connection) -> None:
    """Close what was streamed on this connection, read to its end or not: engines hold cursors for it."""
    for result in connection.info.pop(_STREAMS, ()):
        result.close()


def add(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, all with the same keys; none is fine."""
    if rows:
        connection.execute(_insert(table), rows)


_insert = lru_cache(insert)


def values_of(record: "DataclassInstance") -> dict[str, Any]:
    """Return the record's fields as they are, by name."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def required(row: Row[*tuple[Any, ...]] | None, what: str) -> dict[str, Any]:
    """Return the row by column name. Raises NotFound, saying that there is no such `what`, when there is none."""
    if row is None:
        raise NotFound(f"there is no such {what}", "list what there is, and copy the name whole")
    return dict(row._mapping)


# -- documents -----------------------------------------------------------------------------------------------------


class ReasonDocument(TypedDict):
    code: str
    detail: str


class FindingDocument(TypedDict):
    code: str
    severity: str
    place: str


class ActorDocument(TypedDict):
    name: str
    owner: str | None


class CoverageDocument(TypedDict):
    elements: int
    elements_present: int
    frames: int
    frames_present: int
    identifiers: int


class InstanceDocument(TypedDict):
    digest: str
    size_bytes: int
    issuer: str
    patient_id: str
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    transfer_syntax: str
    pixel_digest: str | None
    values: dict[str, Value]
    findings: list[FindingDocument]


def reasons_from(documents: Sequence[ReasonDocument]) -> tuple[Reason, ...]:
    return tuple(Reason(**document) for document in documents)


def findings_from(documents: Sequence[FindingDocument]) -> tuple[Finding, ...]:
    return tuple(
        Finding(code=document["code"], severity=Severity(document["severity"]), place=document["place"])
        for document in documents
    )


def actor_from(document: ActorDocument | None) -> Actor | None:
    return None if document is None else Actor(**document)


def coverage_from(document: CoverageDocument | None) -> Coverage | None:
    return None if document is None else Coverage(**document)


def instance_from(document: InstanceDocument | None) -> Instance | None:
    """Return the instance that a case keeps; numbers stay what they were, whole or not."""
    if document is None:
        return None
    pixels = document["pixel_digest"]
    return Instance(
        digest=Digest.parse(document["digest"]),
        size_bytes=document["size_bytes"],
        issuer=document["issuer"],
        patient_id=document["patient_id"],
        study_uid=document["study_uid"],
        series_uid=document["series_uid"],
        sop_uid=document["sop_uid"],
        sop_class=document["sop_class"],
        transfer_syntax=document["transfer_syntax"],
        pixel_digest=None if pixels is None else Digest.parse(pixels),
        values=document["values"],
        findings=findings_from(document["findings"]),
    )
