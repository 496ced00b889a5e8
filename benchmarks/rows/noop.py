"""`upgrade` with nothing to do, whole process, against plain Alembic with nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import plain_alembic
from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate
from benchmarks.rows.fresh import upgrade


def rows(bench: Bench) -> Iterator[Row]:
    environment = plain_alembic.make(bench.folder / "plain")
    with bench.database() as own, bench.database() as other:
        upgrade(own)
        plain_alembic.upgrade(environment, other)
        samples = alternate(
            bench.rounds, lambda: upgrade(own), lambda: plain_alembic.upgrade(environment, other)
        )
    yield Row("upgrade with nothing to do", "plain Alembic with nothing to do", 0.45, *samples)
