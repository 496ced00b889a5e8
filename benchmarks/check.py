"""How long `check` takes at head, against SQLAlchemy's reflection of the same schema, in turn.

    python benchmarks/check.py URL

URL names an empty PostgreSQL database; the schema is built in it and dropped again. Reflection sees tables,
columns, keys and indexes, the check also validity, triggers, policies, owners and what else a catalog holds.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable

import sqlalchemy as sa

import diwa_schema
from diwa_schema.catalog import check
from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.target import Target

ROUNDS = 40
TARGET = 0.2


def measure(url: str, rounds: int = ROUNDS) -> dict[str, float]:
    """Return the medians in milliseconds, and their ratio."""
    with Target.of(url).connect() as link, connection_over(link) as connection:
        names = [table.name for table in check.at_head("postgresql").tables]

        def reflect() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the types that SQLAlchemy does not know
                sa.MetaData().reflect(connection, only=names)

        def look() -> None:
            assert check.check(link) == ()

        spent: dict[Callable[[], None], list[float]] = {look: [], reflect: []}
        for _ in range(rounds):
            for work, times in spent.items():
                began = time.perf_counter()
                work()
                times.append((time.perf_counter() - began) * 1000)
    checked, reflected = (statistics.median(times) for times in spent.values())
    return {"check": checked, "reflect": reflected, "ratio": checked / reflected}


def main() -> int:
    url = sys.argv[1]
    diwa_schema.migrate(url, repo="diwa-cloud")
    try:
        found = measure(url)
    finally:
        diwa_schema.downgrade(url, "base", repo="diwa-cloud")
    print("check {check:.1f} ms, MetaData.reflect {reflect:.1f} ms, ratio {ratio:.3f}".format(**found))
    return int(found["ratio"] > TARGET)


if __name__ == "__main__":
    sys.exit(main())
