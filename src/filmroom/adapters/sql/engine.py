"""Opens the catalog: one engine, migrations by Alembic, and transactions. The two engines differ here and nowhere else.

SQLite: WAL, durable at commit, writers take the write lock first. PostgreSQL (17 or later, UTF-8): writers lock the audit
log's head row first, so that on both engines a writer sees all that was written before it and nobody writes beside it.
What the libraries raise is translated here, without their texts, which repeat values and addresses.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from sqlite3 import Error as SqliteError
from typing import Self

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    MetaData,
    StaticPool,
    String,
    Table,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
)
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    TimeoutError,  # the pool's, not the interpreter's
)
from sqlalchemy.pool import ConnectionPoolEntry

from filmroom.adapters.sql.rows import close_streams
from filmroom.adapters.sql.transaction import SqlTransaction
from filmroom.catalog.language import fold
from filmroom.catalog.migrations import HEAD
from filmroom.catalog.query import FOLD
from filmroom.catalog.schema import audit_head, metadata
from filmroom.errors import FilmroomError, Invalid, NotFound, Refused, Unavailable

_WAIT_SECONDS = 60
_RETRY_SECONDS = 0.0005
_MIGRATING = 7_263_554_011  # any number of our own, for PostgreSQL's advisory lock
_OLDEST_POSTGRESQL = 170_000
_WRITES = "filmroom writes"
# Alembic's own table, named here so that a catalog that is up to date can be opened without loading Alembic.
_VERSIONS = Table("alembic_version", MetaData(), Column("version_num", String))


class SqlCatalog:
    """The `Catalog` at an SQLAlchemy URL: `sqlite:///PATH`, `sqlite://` in memory, or `postgresql://...`.

    Thread-safe. In memory there is one connection, so a thread that opens a transaction inside another is Refused.
    Nothing is connected to before the first use. `password` is for a URL that should not hold one. Raises Invalid for a
    URL of another engine.
    """

    def __init__(self, url: str, *, password: str | None = None) -> None:
        self._engine = _engine(url, password)
        self._alone = _Turn() if isinstance(self._engine.pool, StaticPool) else None
        # SQLite compiles every statement of a connection anew when it becomes one that may write, or may not.
        is_file = self._alone is None and self._engine.dialect.name == "sqlite"
        self._writers = _engine(url, password) if is_file else self._engine

    @classmethod
    def in_file(cls, path: Path) -> Self:
        """The catalog in an SQLite file, whatever characters its path has."""
        return cls(URL.create("sqlite", database=str(path)).render_as_string(hide_password=False))

    def create(self) -> None:
        """Make the tables, or bring those that are there up to date; safe when two do it at once.

        A catalog that is up to date is only read.
        """
        if self._version() != HEAD:
            self._migrate()

    def upgrade(self) -> None:
        """Bring the catalog up to date. Raises NotFound when there is none."""
        with self.read() as tx:
            tx.log.size()
        self.create()

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        """Open the only writing transaction: commit on leaving, roll back when an exception leaves."""
        with self._begin(writing=True) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(audit_head.c.size).with_for_update())
            yield SqlTransaction(connection)

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """Open a consistent view; to write through it is Refused."""
        with self._begin(writing=False) as connection:
            yield SqlTransaction(connection)

    def stats(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        with self._begin(writing=False) as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
            }

    def tidy(self) -> None:
        """Let the engine count what its tables hold, so that it finds short ways; worth it after much has come."""
        with self._begin(writing=True) as connection:
            connection.exec_driver_sql("ANALYZE")

    def close(self) -> None:
        self._engine.dispose()
        self._writers.dispose()

    @contextmanager
    def _begin(self, *, writing: bool) -> Iterator[Connection]:
        turn: AbstractContextManager[object] = self._alone if self._alone is not None else _no_turn()
        engine = self._writers if writing else self._engine
        with turn, _translated(), engine.connect() as opened:
            if opened.dialect.name == "postgresql":
                level = "READ COMMITTED" if writing else "REPEATABLE READ"
                connection = opened.execution_options(isolation_level=level, postgresql_readonly=not writing)
            else:
                connection = opened.execution_options(filmroom_writing=writing)
            with connection.begin():
                try:
                    yield connection
                finally:
                    close_streams(connection)

    def _version(self) -> str | None:
        """Return the newest migration that the catalog has; None when it has none, or none of its tables is there."""
        with self._begin(writing=False) as connection:
            if not inspect(connection).has_table(_VERSIONS.name):
                return None
            return connection.execute(select(_VERSIONS.c.version_num)).scalar_one_or_none()

    def _migrate(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", "filmroom.catalog:migrations")
        if self._engine.dialect.name == "sqlite":
            _use_wal(self._engine)
        with self._begin(writing=True) as connection:
            if connection.dialect.name == "postgresql":
                _check_postgresql(connection)
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:
                raise Refused("a newer filmroom wrote this catalog", "use that version or a later one") from None


class _Turn:
    """Lets one thread at a time in. A thread that is inside already is Refused, for it would wait for itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: int | None = None

    def __enter__(self) -> None:
        if self._inside == threading.get_ident():
            raise Refused("a transaction is open in this thread already", "finish it before you open another")
        if not self._lock.acquire(timeout=_WAIT_SECONDS):
            raise Unavailable("another transaction takes too long", "try again")
        self._inside = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._inside = None
        self._lock.release()


@contextmanager
def _no_turn() -> Iterator[None]:
    yield


# -- the two engines -----------------------------------------------------------------------------------------------


def _engine(url: str, password: str | None) -> Engine:
    try:
        parsed = make_url(url) if password is None else make_url(url).set(password=password)
        if parsed.get_backend_name() == "postgresql":
            settings = f"-c lock_timeout={_WAIT_SECONDS}s -c TimeZone=UTC"
            return create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_pre_ping=True,
                hide_parameters=True,
                connect_args={"options": settings, "connect_timeout": _WAIT_SECONDS},
            )
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url)
    except ModuleNotFoundError:
        raise Unavailable("this installation has no driver for PostgreSQL", "pip install 'filmroom[server]'") from None
    except (ArgumentError, NoSuchModuleError, ValueError):
        pass  # their texts repeat the URL, and with it a password
    raise Invalid(
        "the catalog's URL is of no engine that filmroom knows", "write sqlite:///PATH or postgresql://HOST/DB"
    )


def _sqlite(url: str) -> Engine:
    database = make_url(url).database
    if database in (None, "", ":memory:"):
        arguments = {"check_same_thread": False}
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args=arguments, hide_parameters=True)
    else:
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": _WAIT_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: SqliteConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.create_function(FOLD, 1, lambda text: None if text is None else fold(text), deterministic=True)
    for setting in ("foreign_keys=ON", "synchronous=FULL", "fullfsync=ON", "case_sensitive_like=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("filmroom_writing", False)
    sqlite = connection.connection.dbapi_connection  # itself: by way of the engine this costs as much as a query
    assert sqlite is not None
    if connection.info.get(_WRITES) is not writing:
        sqlite.cursor().execute(f"PRAGMA query_only={'OFF' if writing else 'ON'}")
        connection.info[_WRITES] = writing
    if writing:
        _begin_immediate(connection, sqlite.cursor())
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection, cursor: DBAPICursor) -> None:
    """Take the write lock. SQLite itself sleeps longer and longer between its tries, while the lock lies idle."""
    deadline = time.monotonic() + _WAIT_SECONDS
    cursor.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < deadline:
            try:
                cursor.execute("BEGIN IMMEDIATE")
                return
            except SqliteError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                    break
            time.sleep(_RETRY_SECONDS)
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises what the engine makes of the error
    finally:
        cursor.execute(f"PRAGMA busy_timeout={_WAIT_SECONDS * 1000}")


def _use_wal(engine: Engine) -> None:
    """Switch the file to WAL, which it keeps. SQLite does not wait for others here, so we do."""
    for tries_left in reversed(range(_WAIT_SECONDS * 10)):
        try:
            with closing(engine.raw_connection()) as raw:
                raw.cursor().execute("PRAGMA journal_mode=WAL")
            return
        except SqliteError as error:
            name = getattr(error, "sqlite_errorname", "")
            if not tries_left or not name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise Unavailable(f"the catalog's file cannot be used ({name})", "check that it is there") from None
        time.sleep(0.1)


def _check_postgresql(connection: Connection) -> None:
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if version < _OLDEST_POSTGRESQL or encoding != "UTF8":
        raise Refused("the database cannot compare text as filmroom does", "use PostgreSQL 17 or later, in UTF8")


# -- what the libraries raise --------------------------------------------------------------------------------------


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Unavailable("the catalog has no connection free", "try again") from None
    except DBAPIError as error:
        raise _translation(error) from None


def _translation(error: DBAPIError) -> FilmroomError:
    """Return our error for the engine's; its text names tables and codes at most, since the engine's repeats values."""
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or ""
    if code.startswith("SQLITE_READONLY") or code == "25006":
        return Refused("nothing can be written through a read", "open a write transaction")
    if code == "42P01" or (code == "SQLITE_ERROR" and "no such table" in str(error.orig)):
        return NotFound("the room's catalog is not here", "check its URL, or restore it from a backup")
    if code == "SQLITE_ERROR" or code.startswith("42"):
        return FilmroomError(f"the catalog was asked in a way it does not understand ({code})", "report this mistake")
    if isinstance(error, IntegrityError):
        return Refused(f"this contradicts what the catalog has ({code})", "read what is there and decide again")
    if isinstance(error, DataError):
        return Invalid(f"a value that the catalog cannot hold ({code})", "check the numbers")
    return Unavailable(
        f"the catalog does not answer ({code or type(error.orig).__name__})",
        "check that its server runs, its disk has room and its URL is right, and try again",
    )
