"""`ensure_current(engine)` on a current database, against a bare SELECT through the same engine.

The note that the release has started comes after the check, once in the life of a process, and has a row of its own.
"""

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

        def check(*, note: bool) -> None:
            for _ in range(CALLS):
                diwa_schema.ensure_current(engine, note=note)

        def select() -> None:
            for _ in range(CALLS):
                with engine.connect() as connection:
                    connection.exec_driver_sql(SELECT).all()

        for note, said, at_most in ((False, "", 1.5), (True, ", and the note of the start", None)):
            samples = alternate(
                bench.rounds,
                lambda note=note: timed(lambda: check(note=note)) / CALLS,  # type: ignore[misc]
                lambda: timed(select) / CALLS,
            )
            yield Row(f"ensure_current(engine){said}", "a SELECT through the same engine", at_most, *samples)
        engine.dispose()
