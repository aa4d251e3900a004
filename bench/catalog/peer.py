"""Asks DuckDB over Parquet: `python peer.py FOLDER`, by the Python of an environment that has it.

Imports nothing of this project. Reads {name: SQL} from stdin; each SQL is asked over the views `series` and `labels`. Prints
one JSON document: for every name the milliseconds of each time, and the rows.
"""

import json
import sys
import time

import duckdb

WARM, ROUNDS = 2, 9


def main(folder: str) -> None:
    connection = duckdb.connect()
    for name in ("series", "labels"):
        connection.execute(f"create view {name} as select * from '{folder}/{name}.parquet'")
    told = {}
    for name, statement in json.load(sys.stdin).items():
        times = []
        for number in range(WARM + ROUNDS):
            start = time.perf_counter()
            rows = connection.execute(statement).fetchall()
            if number >= WARM:
                times.append(1000 * (time.perf_counter() - start))
        told[name] = {"ms": times, "rows": rows}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
