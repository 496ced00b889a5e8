"""An empty PostgreSQL database to head, whole process, against plain Alembic over the same revisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import plain_alembic
from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, process


def rows(bench: Bench) -> Iterator[Row]:
    environment = plain_alembic.make(bench.folder / "plain")

    def ours() -> float:
        with bench.database() as url:
            return upgrade(url)

    def theirs() -> float:
        with bench.database() as url:
            return plain_alembic.upgrade(environment, url)

    yield Row("upgrade of an empty database", "plain Alembic", 0.5, *alternate(bench.rounds, ours, theirs))


def upgrade(url: str, checkout: Path | None = None) -> float:
    """Return how long the command takes, in milliseconds.

    Args:
        url: The database.
        checkout: Where it is typed; by default here.
    """
    return process("-m", "diwa_schema", "upgrade", "--url", url, "--repo", "diwa-schema", cwd=checkout)
