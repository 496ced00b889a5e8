"""A migrated database for each test, from create to drop, against bare CREATE DATABASE … TEMPLATE and drop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg

from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, alternate, timed
from diwa_schema.testing.copies import Copies
from diwa_schema.testing.server import Server

NAME = "diwa_bench_bare"


def rows(bench: Bench) -> Iterator[Row]:
    samples = measured(bench, lambda _: None, f"DROP DATABASE {NAME}")
    yield Row("a database for a test", "CREATE DATABASE … TEMPLATE and drop", 1.25, *samples)


def measured(bench: Bench, work: Callable[[str], None], drop: str) -> tuple[Sample, Sample]:
    """Return what a database costs with the plugin and by hand.

    Args:
        bench: Where it runs.
        work: What a test does with the database's URL.
        drop: The statement that drops the one made by hand.
    """
    server = Server(bench.server)
    copies = Copies(server)
    template = server.link.value(
        "SELECT datname::text FROM pg_database WHERE starts_with(datname, 'diwa_template_') ORDER BY oid DESC LIMIT 1"
    )

    def ours() -> None:
        url = copies.create()
        work(url)
        copies.drop(url)

    def theirs() -> None:
        server.link.execute(f"CREATE DATABASE {NAME} TEMPLATE {template}")
        work(server.address.database(NAME))
        server.link.execute(drop)

    try:
        return alternate(bench.rounds * 3, lambda: timed(ours), lambda: timed(theirs))
    finally:
        copies.close()


def connect(url: str) -> None:
    """Do what every test does: connect and ask something."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT count(*) FROM organizations")
