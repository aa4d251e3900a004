"""Image files: what is kept beside the DICOM objects."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from filmroom.adapters.sql.rows import add, findings_from, required, rows_in
from filmroom.catalog.schema import image_file
from filmroom.catalog.types import fit
from filmroom.dicom.attributes import columns_of
from filmroom.ids import Digest
from filmroom.records import FileKind, ImageFile, Level, StoredFile, Value

_COLUMNS = columns_of(Level.FILE)


class SqlFiles:
    """Implements `ports.Files`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, files: Sequence[tuple[ImageFile, str, str]]) -> None:
        rows = [{**_values(file, subject), "batch": batch, "findings": file.findings} for file, subject, batch in files]
        add(self._connection, image_file, rows)

    def get(self, digest: Digest) -> StoredFile:
        statement = select(image_file).where(image_file.c.file_digest == str(digest))
        row = required(self._connection.execute(statement).one_or_none(), "image file")
        return StoredFile(
            digest=digest,
            size_bytes=row["file_size_bytes"],
            subject=row["file_subject"],
            kind=FileKind(row["file_kind"]),
            batch=row["batch"],
            findings=findings_from(row["findings"]),
            damage=row["damage"],
        )

    def known(self, digests: Sequence[Digest]) -> set[Digest]:
        column = image_file.c.file_digest
        rows = rows_in(self._connection, select(column), column, [*map(str, digests)])
        return {Digest.parse(row.file_digest) for row in rows}


def _values(file: ImageFile, subject: str) -> dict[str, Value]:
    own: dict[str, Value] = {
        "file_kind": file.kind.value,
        "file_digest": str(file.digest),
        "file_size_bytes": file.size_bytes,
        "file_subject": subject,
    }
    return {column.name: fit(column, own.get(column.name, file.values.get(column.name))) for column in _COLUMNS}
