"""A permanent test database, as mix uses it, in either repository.

The guard allows changes to a database that this process created. An earlier process created a permanent one, so it
carries a mark, written while the database was empty: a comment on a database of PostgreSQL, a number in the head of an
SQLite file. An empty database has nothing to protect, and a shared one is not empty. If the database in a test run is
neither empty nor marked, the guard decides as usual.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

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
_EMPTY_FILE = "SELECT count(*) = 0 FROM sqlite_master"
# SQLite keeps these beside a file.
_BESIDE = ("", "-wal", "-shm", "-journal")


def opened(url: str, *, makes: bool = True) -> AbstractContextManager[object]:
    """Return a context in which the guard allows changes of a test database; for other databases it allows nothing.

    An empty database becomes a test database if the role owns it.

    Args:
        url: The database.
        makes: Whether the block makes the tables; otherwise a missing SQLite file stays missing.

    Raises:
        DatabaseUnreachable: The database did not accept a connection.
    """
    target = Target.of(url)
    if target.in_memory:
        return nullcontext()
    if target.absent and not makes:
        return OwnDatabase(target.identity)
    with _looked_at(target) as link:
        empty = _EMPTY if target.dialect == "postgresql" else _EMPTY_FILE
        ours = _is_marked(target, link) or (bool(link.value(empty)) and _mark(target, link))
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
        return _removed(target)
    with _looked_at(target) as link:
        ours, name = _is_marked(target, link), str(link.value("SELECT current_database()"))
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


@contextmanager
def _looked_at(target: Target) -> Iterator[Link]:
    """Connect to a database to look for its mark."""
    with target.connect("diwa-schema tests") as link:
        try:
            yield link
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise explain(error, target.shown, "looking for the mark of a test database") from error


def _server(url: str) -> Link:
    """Connect to the server of a database, because nobody can drop or miss the database of the connection."""
    return Target(libpq.changed(parse(url), dbname="postgres")).connect("diwa-schema tests")


def _removed(target: Target) -> bool:
    """Remove a test database that is an SQLite file, and return whether it was one."""
    if target.url.file is None or target.in_memory or target.absent:
        return False
    with _looked_at(target) as link:
        ours = _is_marked(target, link)
    for end in _BESIDE if ours else ():
        Path(f"{target.url.file}{end}").unlink(missing_ok=True)
    return ours


def _is_marked(target: Target, link: Link) -> bool:
    if target.dialect == "postgresql":
        return str(link.value(_MARKED)) == MARK
    return bool(link.value("PRAGMA application_id") == _number(target))


def _number(target: Target) -> int:
    """Return the mark of an SQLite file: it depends on the path, so a copy elsewhere is not marked."""
    return crc32(f"{MARK}: {target.url.file}".encode()) >> 1


def _mark(target: Target, link: Link) -> bool:
    try:
        if target.dialect == "postgresql":
            name = quoted(str(link.value("SELECT current_database()")))
            link.execute(f"COMMENT ON DATABASE {name} IS {literal(MARK)}")
        elif link.value("PRAGMA application_id"):
            return False  # the number of another program's file
        else:
            link.execute(f"PRAGMA application_id = {_number(target)}")
    except Exception as error:
        if sqlstate(error) != PERMISSION:
            raise
        return False
    return True
