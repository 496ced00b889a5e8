"""A permanent test database, as mix uses it, in either repository.

The guard allows changes to a database that this process created. An earlier process created a permanent one, so it
carries a mark: a comment on the database, written while the database was empty. An empty database has nothing to
protect, and a shared one is not empty. If the database in a test run is neither empty nor marked, the guard decides as
usual.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from diwa_schema.database import libpq
from diwa_schema.database.failures import PERMISSION, brief, explain, is_driver_error, sqlstate
from diwa_schema.database.target import Target
from diwa_schema.database.url import parse
from diwa_schema.errors import DatabaseUnreachable, LockNotObtained
from diwa_schema.guard import OwnDatabase
from diwa_schema.names import literal, quoted

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

MARK = "diwa-schema made this database for tests"
_IN_USE = "55006"  # object_in_use

_MARKED = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
_EMPTY = """
SELECT NOT EXISTS (
  SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
"""


def opened(url: str) -> AbstractContextManager[object]:
    """Return a context in which the guard allows changes of a test database; for other databases it allows nothing.

    An empty database becomes a test database if the role owns it.

    Args:
        url: The database.

    Raises:
        DatabaseUnreachable: The database did not accept a connection.
    """
    target = Target.of(url)
    if target.dialect != "postgresql":
        return nullcontext()
    link = target.connect("diwa-schema tests")
    try:
        ours = _is_marked(link) or (bool(link.value(_EMPTY)) and _mark(link))
    finally:
        link.close()
    return OwnDatabase(target.identity) if ours else nullcontext()


def drop(url: str, *, force: bool = False) -> bool:
    """Drop a test database with its contents, and return whether it was one; other databases stay unchanged.

    Args:
        url: The database.
        force: Whether to end the sessions of connected clients.

    Raises:
        DatabaseUnreachable: The database did not accept a connection.
        LockNotObtained: Another session is connected to it.
        PermissionMissing: The role may not drop it.
    """
    target = Target.of(url)
    if target.dialect != "postgresql":
        return False
    link = target.connect("diwa-schema tests")
    try:
        ours, name = _is_marked(link), str(link.value("SELECT current_database()"))
    finally:
        link.close()
    if not ours:
        return False
    server = _server(url)
    try:
        server.execute(f"DROP DATABASE IF EXISTS {quoted(name)}{' WITH (FORCE)' if force else ''}")
    except Exception as error:
        if not is_driver_error(error):
            raise
        if sqlstate(error) == _IN_USE:
            raise LockNotObtained(
                f"The test database {target.shown} is in use: {brief(error)}",
                next_step="End the sessions that use it, or run: MIX_ENV=test mix ecto.drop --force-drop",
            ) from error
        raise explain(error, target.shown, "dropping the test database") from error
    finally:
        server.close()
    return True


def is_absent(url: str) -> bool:
    """Whether the server of a database answers and has no such database.

    An error of a connection carries no code, and its text is translated, so the server is asked.
    """
    target = Target.of(url)
    if target.dialect != "postgresql":
        return target.absent
    name = dict(target.url.parameters).get("dbname")
    try:
        server = _server(url)
    except DatabaseUnreachable:
        return False
    try:
        return not server.value(
            f"SELECT {literal(name)} IS NULL OR EXISTS (SELECT FROM pg_database WHERE datname = {literal(name)})"
        )
    finally:
        server.close()


def _server(url: str) -> Link:
    """Connect to the server of a database, because nobody can drop or miss the database of the connection."""
    return Target(libpq.changed(parse(url), dbname="postgres")).connect("diwa-schema tests")


def _is_marked(link: Link) -> bool:
    return str(link.value(_MARKED)) == MARK


def _mark(link: Link) -> bool:
    try:
        link.execute(
            f"COMMENT ON DATABASE {quoted(str(link.value('SELECT current_database()')))} IS {literal(MARK)}"
        )
    except Exception as error:
        if sqlstate(error) != PERMISSION:
            raise
        return False
    return True
