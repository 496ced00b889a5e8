"""`upgrade` with nothing to do, whole process, against a process that loads psycopg, connects and asks one thing."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, process
from benchmarks.rows.fresh import upgrade

ALLOWED = 12.0  # milliseconds
ASKS = (
    "import sys, psycopg\n"
    "with psycopg.connect(sys.argv[1], autocommit=True) as connection:\n"
    "    connection.execute('SELECT 1').fetchone()"
)


def rows(bench: Bench) -> Iterator[Row]:
    with bench.database() as url:
        upgrade(url)
        samples = alternate(
            bench.rounds * 3, lambda: upgrade(url), lambda: process("-c", ASKS, url) + ALLOWED
        )
    yield Row("upgrade with nothing to do", f"psycopg connects and asks, and {ALLOWED:.0f} ms", 1.0, *samples)
