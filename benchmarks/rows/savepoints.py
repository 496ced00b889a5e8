"""A migrated session for each test, against a bare savepoint and rollback."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

import diwa_schema
from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, timed
from diwa_schema.testing.sessions import Savepoints

TESTS = 50  # in one measurement
QUERY = sa.text("SELECT count(*) FROM organizations")


def rows(bench: Bench) -> Iterator[Row]:
    with bench.database() as url:
        diwa_schema.migrate(url)
        savepoints = Savepoints(url)
        engine = sa.create_engine(url)
        with engine.connect() as connection:

            def ours() -> None:
                for _ in range(TESTS):
                    with savepoints.session() as session:
                        session.execute(QUERY)
                        session.commit()

            def theirs() -> None:
                for _ in range(TESTS):
                    outer = connection.begin()
                    with Session(connection, join_transaction_mode="create_savepoint") as session:
                        session.execute(QUERY)
                        session.commit()
                    outer.rollback()

            samples = alternate(bench.rounds, lambda: timed(ours) / TESTS, lambda: timed(theirs) / TESTS)
        engine.dispose()
        savepoints.close()
    yield Row("a session for a test", "a savepoint and its rollback", 1.5, *samples)
