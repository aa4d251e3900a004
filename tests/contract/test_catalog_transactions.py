"""Transactions, the audit log's order, and how the catalog comes into being, on every engine."""

import multiprocessing
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from filmroom.adapters.sql.engine import SqlCatalog
from filmroom.catalog.schema import metadata
from filmroom.crypto import merkle
from filmroom.errors import Invalid, NotFound, Refused, Unavailable
from filmroom.ids import Digest, Zone
from filmroom.records import Batch, Checkpoint, Project

NOW = datetime(2024, 5, 31, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite-file", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("new_database")())
    return f"sqlite:///{tmp_path / 'catalog.db'}"


def _project(name: str) -> Project:
    return Project(name=name, purpose="p", profile="basic", created_at=NOW, created_by="me")


# -- transactions --------------------------------------------------------------------------------------------------


def test_what_is_written_together_is_kept_together_or_not_at_all(catalog: SqlCatalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.write() as tx:
        tx.projects.add(_project("a"))
        tx.log.append([b"a"])
        _ = 1 / 0
    with catalog.read() as tx:
        assert (tx.projects.all(), tx.log.size()) == ([], 0)
    with catalog.write() as tx:
        tx.projects.add(_project("a"))
        tx.log.append([b"a"])
    with catalog.read() as tx:
        assert (tx.projects.all(), tx.log.size()) == ([_project("a")], 1)


def test_nothing_can_be_written_through_a_read(catalog: SqlCatalog) -> None:
    with pytest.raises(Refused, match="read"), catalog.read() as tx:
        tx.projects.add(_project("a"))
    with pytest.raises(Refused, match="read"), catalog.read() as tx:
        tx.keys.ensure(Zone.CLINICAL, {"s": b"k"})
    with catalog.write() as tx:
        tx.projects.add(_project("a"))


def test_a_stream_that_nobody_finishes_does_not_stop_the_next_writer(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.log.append([bytes(8)] * 5000)
    with catalog.read() as tx:
        unfinished = tx.log.leaves()
        next(unfinished)
    with catalog.write() as tx:
        assert tx.log.append([b"more"])[0] == 5001
    del unfinished


def test_a_commit_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    catalog = SqlCatalog.in_file(tmp_path / "catalog.db")
    catalog.create()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(Unavailable), catalog.write() as tx:
            tx.log.append([bytes(8)] * 100)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with catalog.write() as tx:
        assert tx.log.append([b"more"])[0] == 1
    catalog.close()


def test_a_reader_sees_one_state_while_others_write(url: str) -> None:
    catalog = SqlCatalog(url)
    catalog.create()
    with catalog.read() as reader:
        before = reader.log.size()
        with catalog.write() as tx:
            tx.log.append([b"a"])
        assert (before, reader.log.size()) == (0, 0)
    catalog.close()


def test_two_transactions_in_one_thread_are_refused_in_memory_instead_of_waiting_forever() -> None:
    catalog = SqlCatalog("sqlite://")
    catalog.create()
    with catalog.read(), pytest.raises(Refused, match="already"), catalog.write():
        pass
    catalog.close()


def test_a_writer_sees_what_the_writer_before_it_wrote(catalog: SqlCatalog) -> None:
    """Both threads count the projects and add one more; had they run beside each other, two would have one name."""

    def add_next(_: int) -> None:
        with catalog.write() as tx:
            tx.projects.add(_project(f"p{len(tx.projects.all())}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_next, range(12)))
    with catalog.read() as tx:
        assert {each.name for each in tx.projects.all()} == {f"p{i}" for i in range(12)}


def test_every_leaf_of_concurrent_writers_has_an_index_of_its_own_without_gaps(catalog: SqlCatalog) -> None:
    together = threading.Barrier(4)

    def append(writer: int) -> None:
        together.wait()
        for i in range(8):
            with catalog.write() as tx:
                tx.log.append([f"{writer}.{i}.{j}".encode() for j in range(3)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    with catalog.read() as tx:
        leaves = list(tx.log.leaves())
        size, frontier = tx.log.frontier()
    assert sorted(leaves) == sorted(f"{w}.{i}.{j}".encode() for w in range(4) for i in range(8) for j in range(3))
    assert [leaf[-1:] for leaf in leaves] == [b"0", b"1", b"2"] * 32  # what is appended together stays together
    assert (size, merkle.frontier_root([bytes.fromhex(each.hex) for each in frontier])) == (96, merkle.root(leaves))


# -- the log -------------------------------------------------------------------------------------------------------


def test_the_frontier_is_that_of_the_leaves_after_every_append(catalog: SqlCatalog) -> None:
    leaves: list[bytes] = []
    for count in (0, 1, 1, 5, 2, 0, 13):
        more = [f"{len(leaves) + i}".encode() * i for i in range(count)]
        leaves += more
        with catalog.write() as tx:
            size, frontier = tx.log.append(more)
            assert tx.log.frontier() == (size, frontier)
        assert size == len(leaves)
        assert [bytes.fromhex(each.hex) for each in frontier] == merkle.extend(0, (), leaves)[1]


def test_leaves_come_in_order_and_in_part(catalog: SqlCatalog) -> None:
    with catalog.write() as tx:
        tx.log.append([bytes([i]) for i in range(20)])
        assert list(tx.log.leaves(5, 8)) == [b"\5", b"\6", b"\7"]
        assert list(tx.log.leaves(18)) == [b"\x12", b"\x13"]
        assert list(tx.log.leaves(20)) == []


def test_checkpoints_come_in_the_order_in_which_they_were_made(catalog: SqlCatalog) -> None:
    made = [Checkpoint(size=size, root=Digest.of(bytes(size)), note=f"room\n{size}\n\n— x y\n") for size in (0, 2, 2)]
    with catalog.write() as tx:
        for each in made:
            tx.log.add_checkpoint(each)
        assert tx.log.checkpoints() == made


# -- making, upgrading, opening ------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_of_the_schema(url: str) -> None:
    catalog = SqlCatalog(url)
    catalog.create()
    catalog.close()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_creating_twice_changes_nothing_and_upgrading_needs_a_catalog(url: str) -> None:
    catalog = SqlCatalog(url)
    with pytest.raises(NotFound):
        catalog.upgrade()
    with pytest.raises(NotFound), catalog.read() as tx:
        tx.projects.all()
    with pytest.raises(NotFound), catalog.write() as tx:
        tx.projects.all()
    catalog.create()
    with catalog.write() as tx:
        tx.log.append([b"a"])
    catalog.create()
    catalog.upgrade()
    stats = catalog.stats()
    assert set(stats) == set(metadata.tables)
    assert {name: count for name, count in stats.items() if count} == {"audit_leaf": 1, "audit_head": 1}
    catalog.close()


def _create(url: str) -> None:
    catalog = SqlCatalog(url)
    catalog.create()
    catalog.close()


def test_two_processes_may_create_the_same_catalog_at_once(url: str) -> None:
    fresh = multiprocessing.get_context("spawn")
    processes = [fresh.Process(target=_create, args=(url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    catalog = SqlCatalog(url)
    assert catalog.stats()["audit_head"] == 1
    catalog.close()


def test_many_threads_may_create_the_same_catalog_at_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(_create, [url] * 6))
    catalog = SqlCatalog(url)
    assert catalog.stats()["audit_head"] == 1
    catalog.close()


def test_a_catalog_of_a_newer_filmroom_is_refused(url: str) -> None:
    catalog = SqlCatalog(url)
    catalog.create()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(Refused, match="newer"):
        catalog.create()
    catalog.close()


def test_a_sqlite_file_survives_a_crash_after_the_commit(tmp_path: Path) -> None:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    catalog.create()
    with catalog._engine.connect() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous")]
        others = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("foreign_keys", "busy_timeout")
        ]
    catalog.close()
    assert modes == ["wal", 2]
    assert others[0] == 1 and others[1] >= 10_000


@pytest.mark.parametrize(
    "url",
    ["mysql://u:s3cret@h/d", "oracle://u:s3cret@h/d", "u:s3cret@h", "", "postgresql+x://u:s3cret@h:notaport/d"],
)
def test_a_url_of_another_engine_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        SqlCatalog(url)
    assert "s3cret" not in str(refused.value)


def test_a_server_that_does_not_answer_is_unavailable_and_its_password_is_not_told() -> None:
    catalog = SqlCatalog("postgresql://user@127.0.0.1:1/none", password="s3cret")
    with pytest.raises(Unavailable) as unavailable, catalog.read():
        pass
    assert "s3cret" not in str(unavailable.value) and "127.0.0.1" not in str(unavailable.value)
    assert unavailable.value.next_step and unavailable.value.__suppress_context__
    catalog.close()


def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    catalog = SqlCatalog(f"sqlite:///{tmp_path / 'no' / 'folder' / 'catalog.db'}")
    with pytest.raises(Unavailable):
        catalog.create()
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"this is no database, and never was one" * 100)
    broken = SqlCatalog(f"sqlite:///{garbage}")
    with pytest.raises(Unavailable):
        broken.create()
    with pytest.raises(Unavailable), broken.read() as tx:
        tx.projects.all()
    broken.close()


def test_what_contradicts_the_catalog_is_refused_without_the_values(catalog: SqlCatalog) -> None:
    batch = Batch(id="Meier", source="s", received_at=NOW, processing_version="1")
    with catalog.write() as tx:
        tx.batches.open(batch)
    with pytest.raises(Refused) as refused, catalog.write() as tx:
        tx.batches.open(batch)
    assert "Meier" not in str(refused.value)
