"""Rows into a table by the shortest way of each engine; what is written is what the statement of `rows.add` would write.

Values are given as the engine keeps them: text is text already, and a row has its surrogate key.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

_COPIED = 50
"""From so many rows on PostgreSQL's COPY is worth its round trips."""


def keys(connection: Connection, table: Table, count: int) -> Sequence[int]:
    """Return surrogate keys that nothing in the table has; the transaction is the only one that writes."""
    if not count:
        return ()
    if connection.dialect.name == "postgresql":
        following = func.nextval(func.pg_get_serial_sequence(table.name, "pk"))
        return connection.execute(select(following).select_from(func.generate_series(1, count))).scalars().all()
    last = connection.execute(select(func.max(table.c.pk))).scalar_one() or 0
    return range(last + 1, last + 1 + count)


def put(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; a column that a row does not have is NULL."""
    if not rows:
        return
    names = table.c.keys()
    listed = [tuple(map(row.get, names)) for row in rows]
    if connection.dialect.name == "postgresql" and len(rows) >= _COPIED:
        _copy(connection, table, listed)
    elif connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_insert(table, "%s"), listed)
    else:
        connection.exec_driver_sql(_insert(table, "?"), listed)


def put_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert those rows whose key is not there."""
    if rows:
        made = postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
        connection.execute(made.on_conflict_do_nothing(), rows)


@lru_cache
def _insert(table: Table, mark: str) -> str:
    return f"INSERT INTO {table.name} ({_names(table)}) VALUES ({', '.join([mark] * len(table.c))})"


@lru_cache
def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.c)


def _copy(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    driver = connection.connection.dbapi_connection
    errors = connection.dialect.loaded_dbapi.Error
    assert driver is not None
    statement = f"COPY {table.name} ({_names(table)}) FROM STDIN"
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
            for row in rows:
                copy.write_row(row)
    except errors as error:
        raise DBAPIError.instance(statement, None, error, errors, hide_parameters=True) from None
