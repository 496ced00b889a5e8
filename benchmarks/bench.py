"""What every row works with: a server, a folder, and databases that are dropped again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks.measure import FEWEST_ROUNDS
from diwa_schema.database.target import Target
from diwa_schema.guard import OwnDatabase
from diwa_schema.testing import embedded
from diwa_schema.testing.address import Address
from diwa_schema.testing.databases import VARIABLE


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a benchmark runs.

    Args:
        server: The URL of a database whose role may create others.
        folder: For files that only live as long as the run.
        rounds: How often each thing is measured.
        memories: How many memories the rows about large databases insert.
    """

    server: Address
    folder: Path
    rounds: int = FEWEST_ROUNDS
    memories: int = 100_000

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Give the URL of a new database, which is dropped after the block; the guard is open for it."""
        name = f"diwa_bench_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        url = self.server.database(name)
        try:
            with OwnDatabase(Target.of(url).identity):
                yield url
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement in the maintenance database."""
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement.encode())


def name_of(url: str) -> str:
    """Return the name of a database; the embedded server's URL has its socket behind it."""
    name = make_url(url).database
    assert name is not None
    return name


@contextmanager
def server() -> Iterator[Address]:
    """Give the URL of the server: the one that the environment names, else the embedded one."""
    if named := os.environ.get(VARIABLE):
        yield Address(named)
        return
    lease = embedded.running()
    try:
        yield Address(lease.url)
    finally:
        lease.close()
