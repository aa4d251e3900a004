"""Facts about patients that are in no image."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, select

from filmroom.adapters.sql.rows import add, rows_in, values_of
from filmroom.catalog.schema import fact as fact_table
from filmroom.records import Fact


class SqlFacts:
    """Implements `ports.Facts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, facts: Sequence[Fact]) -> None:
        latest = {(each.subject, each.name): each for each in facts}
        self.remove(list(latest))
        add(self._connection, fact_table, [values_of(each) for each in latest.values()])

    def remove(self, names: Sequence[tuple[str, str]]) -> None:
        if names:
            is_it = (fact_table.c.subject == bindparam("of"), fact_table.c.name == bindparam("called"))
            self._connection.execute(
                delete(fact_table).where(*is_it), [{"of": subject, "called": name} for subject, name in names]
            )

    def of(self, subjects: Sequence[str]) -> list[Fact]:
        columns = [column for column in fact_table.c if column.name != "pk"]
        rows = rows_in(self._connection, select(*columns), fact_table.c.subject, subjects)
        return sorted((Fact(**dict(row._mapping)) for row in rows), key=lambda fact: (fact.subject, fact.at, fact.name))
