"""Requests, grants, leases, what was opened through them, and who asked whom a pseudonym stands for."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal, select, update

from filmroom.adapters.sql.rows import actor_from, add, required, values_of
from filmroom.catalog.schema import grant as grant_table
from filmroom.catalog.schema import lease as lease_table
from filmroom.catalog.schema import opening as opening_table
from filmroom.catalog.schema import question as question_table
from filmroom.catalog.schema import request as request_table
from filmroom.catalog.types import Moment
from filmroom.errors import Refused
from filmroom.ids import Versioned
from filmroom.records import Grant, LeaseRecord, Opening, Question, Request, RequestState


class SqlAccess:
    """Implements `ports.Access`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_request(self, request: Request) -> None:
        add(self._connection, request_table, [values_of(request)])

    def get_request(self, request: str) -> Request:
        row = self._connection.execute(select(request_table).where(request_table.c.id == request)).one_or_none()
        return _request(required(row, "request"))

    def decide(self, request: Request) -> None:
        waiting = request_table.c.state == RequestState.WAITING
        statement = update(request_table).where(request_table.c.id == request.id, waiting)
        decision = {name: getattr(request, name) for name in ("state", "decided_by", "decided_at", "why")}
        if self._connection.execute(statement.values(decision)).rowcount == 0:
            raise Refused(f"the request is {self.get_request(request.id).state} already", "a decision stands")

    def add_grant(self, grant: Grant) -> None:
        add(self._connection, grant_table, [values_of(grant)])

    def get_grant(self, grant: str) -> Grant:
        row = self._connection.execute(select(grant_table).where(grant_table.c.id == grant)).one_or_none()
        return Grant(**required(row, "grant"))

    def revoke(self, grant: str, at: datetime) -> None:
        """End the grant. One that was revoked before keeps its first moment."""
        revoked = func.coalesce(grant_table.c.revoked_at, literal(at, Moment))
        statement = update(grant_table).where(grant_table.c.id == grant).values(revoked_at=revoked)
        if self._connection.execute(statement).rowcount == 0:
            required(None, "grant")

    def all(self) -> list[tuple[Request, Grant | None]]:
        """Return every request, oldest first, with its grant."""
        grants = {grant.request: grant for grant in self._grants()}
        rows = self._connection.execute(select(request_table).order_by(request_table.c.at, request_table.c.id))
        return [(_request(dict(row._mapping)), grants.get(row.id)) for row in rows]

    def grants_of(self, holder: str, snapshot: Versioned) -> list[Grant]:
        return self._grants(grant_table.c.holder == holder, grant_table.c.snapshot == snapshot)

    def add_lease(self, lease: LeaseRecord) -> None:
        add(self._connection, lease_table, [values_of(lease)])

    def get_lease(self, lease: str) -> tuple[LeaseRecord, Grant]:
        row = self._connection.execute(select(lease_table).where(lease_table.c.id == lease)).one_or_none()
        record = LeaseRecord(**required(row, "lease"))
        return record, self.get_grant(record.grant)

    def leases(self, snapshot: Versioned) -> list[LeaseRecord]:
        statement = select(lease_table).where(lease_table.c.snapshot == snapshot)
        rows = self._connection.execute(statement.order_by(lease_table.c.issued_at, lease_table.c.id))
        return [LeaseRecord(**dict(row._mapping)) for row in rows]

    def add_opening(self, opening: Opening) -> None:
        add(self._connection, opening_table, [values_of(opening)])

    def openings(self, snapshot: Versioned) -> list[Opening]:
        columns = opening_table.c["id", "lease", "shardset", "subjects", "at"]
        joined = opening_table.join(lease_table, lease_table.c.id == opening_table.c.lease)
        statement = select(*columns).select_from(joined).where(lease_table.c.snapshot == snapshot)
        rows = self._connection.execute(statement.order_by(opening_table.c.pk))
        return [Opening(**{**row._mapping, "subjects": tuple(row.subjects)}) for row in rows]

    def _grants(self, *conditions: ColumnElement[bool]) -> list[Grant]:
        statement = select(grant_table).where(*conditions).order_by(grant_table.c.granted_at, grant_table.c.id)
        return [Grant(**dict(row._mapping)) for row in self._connection.execute(statement)]


class SqlQuestions:
    """Implements `ports.Questions`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, question: Question) -> None:
        add(self._connection, question_table, [values_of(question)])

    def get(self, question: str) -> Question:
        row = self._connection.execute(select(question_table).where(question_table.c.id == question)).one_or_none()
        return _question(required(row, "question"))

    def put(self, question: Question) -> None:
        statement = update(question_table).where(question_table.c.id == question.id).values(values_of(question))
        if self._connection.execute(statement).rowcount == 0:
            required(None, "question")

    def all(self) -> list[Question]:
        rows = self._connection.execute(select(question_table).order_by(question_table.c.at, question_table.c.id))
        return [_question(dict(row._mapping)) for row in rows]


def _question(row: dict[str, Any]) -> Question:
    agreed = tuple(actor for each in row["agreed"] if (actor := actor_from(each)) is not None)
    return Question(**{**row, "requester": actor_from(row["requester"]), "agreed": agreed})


def _request(row: dict[str, Any]) -> Request:
    actors = {name: actor_from(row[name]) for name in ("requester", "decided_by")}
    return Request(**{**row, **actors})
