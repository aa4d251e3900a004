"""The catalog on each of its engines."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from filmroom.adapters.sql.engine import SqlCatalog

ENGINES = ("sqlite-memory", "sqlite-file", "postgresql")


@pytest.fixture(scope="session")
def new_catalog(request: pytest.FixtureRequest) -> Callable[[str, Path], SqlCatalog]:
    """Makes an empty catalog on an engine; a file lies in the given folder."""

    def make(engine: str, folder: Path) -> SqlCatalog:
        match engine:
            case "postgresql":
                catalog = SqlCatalog(request.getfixturevalue("new_database")())
            case "sqlite-file":
                catalog = SqlCatalog.in_file(folder / "catalog.db")
            case _:
                catalog = SqlCatalog("sqlite://")
        catalog.create()
        return catalog

    return make


@pytest.fixture(params=ENGINES)
def catalog(
    request: pytest.FixtureRequest, tmp_path: Path, new_catalog: Callable[[str, Path], SqlCatalog]
) -> Iterator[SqlCatalog]:
    """An empty catalog, on each engine in turn."""
    made = new_catalog(request.param, tmp_path)
    yield made
    made.close()
