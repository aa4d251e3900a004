"""The catalog in rows for the columnar export, streamed in the order of their partitions."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, Text, func, select, true, type_coerce

from filmroom.adapters.sql.quality import RFC3339, delivered, first_receipts
from filmroom.adapters.sql.rows import stream
from filmroom.catalog.query import entity_order
from filmroom.catalog.schema import TABLES, batch, image_file, instance, patient, series, study
from filmroom.dicom.attributes import COLUMNS, columns_of
from filmroom.records import InstanceState, Level, PartitionBy, Value


class SqlColumnar:
    """Implements `ports.Columnar`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, level: Level, by: PartitionBy) -> Iterator[tuple[str, dict[str, Value]]]:
        receipt = type_coerce(batch.c.received_at, Text) + batch.c.source
        source, condition, modality = delivered(), instance.c.state == InstanceState.CURRENT, series.c.modality
        columns = columns_of(level)
        match level:
            case Level.SERIES:
                first = first_receipts()
                receipt, condition = first.c.first, true()
                source = first.join(series, series.c.pk == first.c.series_pk).join(study).join(patient)
            case Level.FILE:
                source, condition, modality = image_file.join(batch), true(), image_file.c.file_modality
            case _:
                names = {"subject", "study_uid", "series_uid"}
                columns = [each for each in COLUMNS if each.level is level or each.name in names]
        partition = self._partition(by, receipt, modality).label("partition")
        received = func.substr(receipt, 1, RFC3339).label("received_at")
        statement = (
            select(
                partition,
                *(TABLES[each.level].c[each.name].label(each.name) for each in columns),
                received,
                func.substr(receipt, RFC3339 + 1).label("source"),
            )
            .select_from(source)
            .where(condition)
            .order_by(partition, *entity_order(level))
        )
        for row in stream(self._connection, statement):
            values = dict(row._mapping)
            yield values.pop("partition"), values

    @staticmethod
    def _partition(by: PartitionBy, receipt: ColumnElement[str], modality: ColumnElement[str]) -> ColumnElement[str]:
        if by is PartitionBy.MODALITY:
            return func.coalesce(modality, "")
        return func.substr(receipt, 1, len("2026-03"))
