"""A schema for every test, for roles that may not create databases."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from diwa_schema.api import migrate
from diwa_schema.database.failures import driver
from diwa_schema.database.state import VERSION
from diwa_schema.database.target import Target
from diwa_schema.errors import PermissionMissing
from diwa_schema.guard import OwnDatabase
from diwa_schema.migrations import pgvector
from diwa_schema.names import quoted
from diwa_schema.testing.server import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diwa_schema.testing.server import Server

_EXTENSION = """
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'vector'
  AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = %s)
"""


class Schemas:
    """Test databases that are schemas of the server's one database. Nothing outside these schemas is touched.

    Args:
        server: The server.

    Raises:
        PermissionMissing: The role may not create schemas either.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open: dict[str, tuple[str, OwnDatabase]] = {}
        self._refuse_without_right()
        with server.building("extension"):
            # Once for all tests, before the first schema exists.
            server.link.execute(pgvector.CREATE)
        self._path = [row[0] for row in server.link.rows(_EXTENSION, (VERSION,))]
        # A connection that a test left open would block the drop of its schema for ever.
        server.link.row("SELECT set_config('lock_timeout', '5s', false)")
        for name in server.left_over(self._schemas()):
            self._drop(name)

    def create(self) -> str:
        """Return the URL of a new schema at head; the guard allows changes to it until it is dropped."""
        name = self._server.new_name()
        self._server.link.execute(f"CREATE SCHEMA {name}")
        url = self._server.address.searching(name, *self._path)
        self._open[url] = name, OwnDatabase(Target.of(url).identity).__enter__()
        migrate(url)
        return url

    def drop(self, url: str) -> None:
        """Drop a schema."""
        name, token = self._open.pop(url)
        token.__exit__()
        self._drop(name)

    def close(self) -> None:
        """Drop the remaining schemas and release the server."""
        for url in list(self._open):
            self.drop(url)
        self._server.close()

    def _refuse_without_right(self) -> None:
        if self._server.link.value("SELECT has_database_privilege(current_database(), 'CREATE')"):
            return
        role = self._server.role
        raise PermissionMissing(
            f"Role '{role}' of {self._server.shown} may create neither databases nor schemas for tests.",
            next_step=f"As a superuser: ALTER ROLE {quoted(role)} CREATEDB; or name another server: --diwa-dsn URL",
        )

    def _drop(self, name: str) -> None:
        with suppress(driver("postgresql").Error):  # a later run drops it
            # A run of another release may have created the extension there.
            pgvector.move_out(self._server.link, name)
            self._server.link.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")

    def _schemas(self) -> Iterator[str]:
        rows = self._server.link.rows(
            "SELECT nspname::text FROM pg_namespace"
            " WHERE starts_with(nspname, %s) AND pg_has_role(nspowner, 'USAGE')",
            (PREFIX,),
        )
        return (row[0] for row in rows)
