"""Rows to Parquet and back: the one home of pyarrow. Types written are the catalog's, whether or not a column has values."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from filmroom.errors import Invalid
from filmroom.records import ColumnType, Value

Fields: TypeAlias = Sequence[tuple[str, ColumnType]]
"""The names of a table's columns, in order, with their types. Dates are text, as everywhere in the catalog."""

_GROUP = 50_000  # rows in memory at once


def encode(fields: Fields, rows: Iterable[Mapping[str, Value]]) -> bytes:
    """Return the rows as one Parquet file, the same bytes for the same rows by the same version of pyarrow."""
    import pyarrow
    from pyarrow import parquet

    types = {ColumnType.INTEGER: pyarrow.int64(), ColumnType.REAL: pyarrow.float64()}
    schema = pyarrow.schema([(name, types.get(kind, pyarrow.string())) for name, kind in fields])
    stream, rest = io.BytesIO(), iter(rows)
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        while group := list(islice(rest, _GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
    return stream.getvalue()


def decode(data: bytes) -> tuple[list[str], Iterator[dict[str, object]]]:
    """Return the names of a Parquet file's columns and its rows. Raises Invalid for what is none."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError):
        raise Invalid("the file is not Parquet", "write it again") from None
    return table.column_names, (row for batch in table.to_batches(_GROUP) for row in batch.to_pylist())
