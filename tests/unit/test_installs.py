"""An installation without an extra says which one it wants, in one line."""

import subprocess
import sys

import pytest

OPEN = "import filmroom; filmroom.load('lung@1', room='room', lease='x')"
COMMAND = "from filmroom.__main__ import main; main()"
POSTGRESQL = "from filmroom.adapters.sql.engine import SqlCatalog; SqlCatalog('postgresql://host/db')"


@pytest.mark.parametrize(
    ("missing", "code", "extra"),
    [
        ("sqlalchemy", OPEN, "filmroom[room]"),
        ("typer", COMMAND, "filmroom[room]"),
        ("psycopg", POSTGRESQL, "filmroom[server]"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(missing: str, code: str, extra: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules[{missing!r}] = None; {code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode != 0
    assert "navailable" in last and extra in last
    assert code is not COMMAND or done.stderr.count("\n") == 1
