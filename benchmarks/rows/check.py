"""`check` of a database at head, against SQLAlchemy's reflection of the same tables on the same connection.

Reflection sees tables, columns, keys and indexes; the check also validity, triggers, policies, owners and more.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import sqlalchemy as sa

import diwa_schema
from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, timed
from diwa_schema.migrations.manifest import load


def rows(bench: Bench) -> Iterator[Row]:
    with bench.database() as url:
        diwa_schema.migrate(url)
        engine = sa.create_engine(url)
        with engine.connect() as connection:

            def check() -> float:
                connection.rollback()
                return timed(lambda: diwa_schema.check(connection))

            def reflect() -> float:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # about types that SQLAlchemy does not know
                    return timed(lambda: sa.MetaData().reflect(connection, only=load().tables))

            assert not diwa_schema.check(connection)
            samples = alternate(bench.rounds * 3, check, reflect)
        engine.dispose()
    yield Row("check at head", "MetaData.reflect of the same tables", 0.2, *samples)
