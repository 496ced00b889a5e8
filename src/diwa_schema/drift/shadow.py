"""The catalog expected at any revision: built in a transaction that is rolled back, and read there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from diwa_schema.database import citus
from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.failures import LOCK_TIMEOUT, PERMISSION, READ_ONLY, is_driver_error, sqlstate
from diwa_schema.database.link import Link
from diwa_schema.drift.read import read
from diwa_schema.errors import DiwaSchemaError, PermissionMissing
from diwa_schema.migrations.manifest import load
from diwa_schema.migrations.revisions import load as load_module, operations
from diwa_schema.names import quoted

if TYPE_CHECKING:
    import sqlalchemy as sa

    from diwa_schema.drift.model import Catalog
    from diwa_schema.migrations.manifest import Revision

# A revision in a shadow creates nothing that outlives it, such as an extension.
OPTIONS: Mapping[str, Any] = {"shadow": True}

_SURROUNDINGS = """
SELECT current_setting('search_path'),
  format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user),
  EXISTS (SELECT FROM pg_class WHERE relname = 'diwa_schema_version' AND pg_has_role(relowner, 'USAGE'))
"""
_FOREIGN_LOCKS = """
SELECT DISTINCT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.mode <> 'AccessShareLock'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND c.relnamespace NOT IN (%s::regnamespace, 'pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
  AND c.relpersistence <> 't'
"""


def expected_at(link: Link, revision: str | None) -> Catalog:
    """Return the expected catalog of a database at a revision.

    On PostgreSQL it is built in a separate schema, inside a transaction that is rolled back, on the given connection;
    on SQLite in memory. Nothing is left behind, even after a kill of the process.

    Args:
        link: A connection to the database, without an open transaction.
        revision: The revision; None for base.

    Raises:
        PermissionMissing: The role may not create a schema.
        DiwaSchemaError: A statement of the shadow locked a table outside it; everything was rolled back.
    """
    if link.dialect == "sqlite":
        with (
            Link(sqlite3.connect(":memory:", isolation_level=None), "sqlite", "memory") as memory,
            connection_over(memory) as connection,
        ):
            build(connection, load().until(revision))
            return read(memory)
    name = f"diwa_schema_shadow_{uuid4().hex[:12]}"
    with connection_over(link) as connection:
        link.execute("BEGIN")
        try:
            if link.citus:
                link.execute(citus.SHADOW)
            _enter(link, name)
            build(connection, load().until(revision))
            catalog = read(link, name)
            prove_harmless(link, name)
            return catalog
        except Exception as error:
            # Nobody else knows the shadow's tables, so nobody can lock one.
            if is_driver_error(error) and sqlstate(error) == LOCK_TIMEOUT:
                raise astray("a table of another session") from error
            raise
        finally:
            link.abandon()


def _enter(link: Link, name: str) -> None:
    # The schema of the database stays on the path after it, because it may contain pgvector's type.
    path, grant, owner = link.rows(_SURROUNDINGS)[0]
    try:
        link.execute(f"CREATE SCHEMA {quoted(name)}")
    except Exception as error:
        if not is_driver_error(error) or sqlstate(error) not in (PERMISSION, READ_ONLY):
            raise
        why, way = "The role may not create a schema in", f"Let its owner run `{grant}`"
        if sqlstate(error) == READ_ONLY:
            why, way = "Nothing can be written to", "Compare on the primary server"
        elif not owner:
            # The right would let an application create schemas.
            way = "Compare as a member of the role that owns the tables"
        raise PermissionMissing(
            f"{why} {link.shown}. Below head, the comparison builds the expected schema there.",
            next_step=f"{way}, or upgrade first: at head the comparison only reads.",
        ) from error
    # A statement that reaches a live table would make others wait.
    link.row(
        "SELECT set_config('search_path', %s, true), set_config('lock_timeout', '50ms', true)",
        (f"{quoted(name)}, {path}",),
    )


def build(
    connection: sa.Connection, revisions: Iterable[Revision], options: Mapping[str, Any] = OPTIONS
) -> None:
    """Run revisions in the schema for unqualified new names; without a pace in the options, in the plain form."""
    with operations(connection, dict(options)):
        for step in revisions:
            load_module(step).upgrade()


def prove_harmless(link: Link, name: str) -> None:
    """Raise an error if the open transaction has locked a table that is neither in the shadow nor temporary.

    Raises:
        DiwaSchemaError: It has locked one; the caller rolls back.
    """
    locked = link.rows(_FOREIGN_LOCKS, (quoted(name),))
    if locked:
        raise astray(", ".join(f"{table} ({mode})" for table, mode in locked))


def astray(what: str) -> DiwaSchemaError:
    """Describe a revision that left its shadow."""
    return DiwaSchemaError(
        f"A revision reached tables outside its shadow: {what}.",
        untouched="The command rolled everything back.",
        next_step="Report this message: the revision names a table together with a schema.",
    )
