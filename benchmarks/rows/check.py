"""`check` of a database at head, against SQLAlchemy's reflection of the same schema."""

from __future__ import annotations

import sqlalchemy as sa

import diwa_schema
from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, timed


def row(bench: Bench) -> Row | None:
    check = getattr(diwa_schema, "check", None)
    if check is None:
        return None
    with bench.database() as url:
        diwa_schema.migrate(url)
        engine = sa.create_engine(url)
        samples = alternate(
            bench.rounds,
            lambda: timed(lambda: check(engine)),
            lambda: timed(lambda: sa.MetaData().reflect(engine)),
        )
        engine.dispose()
    return Row("check at head", "MetaData.reflect of the same schema", 0.2, *samples)
