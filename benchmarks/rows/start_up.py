"""`ensure_current(engine)` on a current database, against a bare SELECT through the same engine."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

import diwa_schema
from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, timed

CALLS = 200  # in one measurement
SELECT = "SELECT version_num, floor FROM diwa_schema_version"


def rows(bench: Bench) -> Iterator[Row]:
    with bench.database() as url:
        diwa_schema.migrate(url)
        engine = sa.create_engine(url)

        def check() -> None:
            for _ in range(CALLS):
                diwa_schema.ensure_current(engine)

        def select() -> None:
            for _ in range(CALLS):
                with engine.connect() as connection:
                    connection.exec_driver_sql(SELECT).all()

        samples = alternate(bench.rounds, lambda: timed(check) / CALLS, lambda: timed(select) / CALLS)
        engine.dispose()
    yield Row("ensure_current(engine)", "a SELECT through the same engine", 1.5, *samples)
