"""`python -m bench [NAME]`: run all benches, or one."""

import importlib
import os
import platform
import sys
import tempfile
from pathlib import Path

from bench.figures import print_table

NAMES = ("ingest", "network", "growth", "catalog", "cohort", "loader", "deid")
BUILD = Path(__file__).resolve().parents[1] / "build"


def main() -> int:
    wanted = sys.argv[1:] or NAMES
    unknown = set(wanted) - set(NAMES)
    if unknown:
        print(f"there is no bench {', '.join(sorted(unknown))}; choose among {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in wanted:
        module = importlib.import_module(f"bench.{name}")
        # On the disk that the project lies on: a folder in memory, as /tmp may be, would flatter whoever waits for the disk.
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("FILMROOM_BENCH_DIR", BUILD)) as work:
            print_table(f"{name}: {module.__doc__.splitlines()[0]}", module.run(Path(work)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
