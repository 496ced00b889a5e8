"""The check that a database's recorded version is credible: its tables exist, and its version row is visible.

The version row alone is not sufficient. A dump of one schema, restored without pgvector, lacks every table with a
vector but has the version row. And row security on the version table hides the row from an application, so that the
database looks like another tool's.
"""

from __future__ import annotations

import json
from functools import cache

from diwa_schema.database.link import Link
from diwa_schema.database.search_path import passed_over
from diwa_schema.database.state import ECTO, VERSION, State
from diwa_schema.errors import DriftFound, PermissionMissing, command, option
from diwa_schema.migrations.manifest import load
from diwa_schema.names import literal, qualified, quoted

_SHOWN = 5


def versions(link: Link) -> list[tuple[str, str | None, bool, str | None]]:
    """Return the rows of the version table, in one query.

    Each row has revision, floor, whether all tables of head exist, and the name of Ecto's list as SQL; None without a
    list.

    Without a named schema, only the table in the first schema of the search path counts: a later one describes other
    tables than those that the connection's next CREATE TABLE would create. If the path may begin with a missing
    schema, no table counts.

    Raises:
        The driver's error, if there is no version table or the role may not read it.
    """
    if link.dialect == "sqlite":
        # In JSON, because SQLite limits the number of parameters.
        return link.rows(_ON_SQLITE, (json.dumps(load().tables),))
    if link.schema is not None:
        return link.rows(_query(link.schema))
    rows = link.rows(_query(None))
    return [tuple(row) for *row, path, role, taken in rows if passed_over(path, role, taken) is None]


_ON_SQLITE = (
    "SELECT version_num, floor, NOT EXISTS (SELECT 1 FROM json_each(%s) WHERE value NOT IN"
    " (SELECT name FROM sqlite_master WHERE type IN ('table', 'view'))),"
    f" (SELECT '{ECTO}' FROM pragma_table_info('{ECTO}') WHERE name = 'version' AND instr(upper(type), 'INT'))"
    f" FROM {VERSION}"
)

_IS_ECTOS = (
    "SELECT has_table_privilege(attrelid, 'SELECT') FROM pg_attribute WHERE attrelid = to_regclass(%s)"
    " AND attname = 'version' AND atttypid = 'pg_catalog.int8'::regtype"
)


@cache
def _query(schema: str | None) -> str:
    # to_regclass returns NULL for a missing table; the names of this package need no quotes.
    prefix = "quote_ident(current_schema()) || '." if schema is None else f"{literal(quoted(schema))} || '."
    # One array is read faster than thirty conditions, and this query is all that a start-up check costs.
    tables = literal("{" + ",".join(load().tables) + "}")
    there = (
        f"NOT EXISTS (SELECT FROM unnest({tables}::text[]) AS t WHERE to_regclass({prefix}' || t) IS NULL)"
    )
    table = VERSION if schema is None else qualified(schema, VERSION)
    leads = ", current_setting('search_path'), current_user::text, current_schema()::text"
    return (
        f"SELECT version_num, floor, {there}, to_regclass({prefix}{ECTO}')::text{leads if schema is None else ''}"
        f" FROM {table} v WHERE v.tableoid = to_regclass({prefix}{VERSION}')"
    )


def listed(link: Link, name: str) -> tuple[int, ...] | None:
    """Return the versions of Ecto's list; None if the role may not read it, or if its versions are no numbers.

    Args:
        link: A connection to a database.
        name: The list's name as SQL, as `versions` returns it.
    """
    if link.dialect == "postgresql" and not link.value(_IS_ECTOS, (name,)):
        return None
    return tuple(int(version) for (version,) in link.rows(f"SELECT version FROM {name}"))


def missing(state: State) -> tuple[str, ...]:
    """Return the tables that a database lacks at its revision; none at a revision that the history does not have."""
    history = load()
    if state.revision is None or state.revision not in history:
        return ()
    return tuple(name for name in history.tables_at(state.revision) if name not in state.tables)


def refuse_missing(state: State, shown: str) -> None:
    """Raise an error if a database lacks tables of its recorded revision.

    Raises:
        DriftFound: Tables are missing; the message names them.
    """
    if names := missing(state):
        raise lacking(names, shown, state.revision)


def lacking(names: tuple[str, ...], shown: str, revision: str | None) -> DriftFound:
    """Describe a database that lacks tables of its recorded revision."""
    head = load().head
    where = f"head, {head}" if revision == head else f"revision {revision}"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return DriftFound(
        f"{shown} is recorded at {where}, and {len(names)} of its tables"
        f" {'is' if len(names) == 1 else 'are'} missing: {', '.join(names[:_SHOWN])}{more}. An incomplete"
        " restore causes this, such as one without pgvector.",
        next_step=f"Restore them from the backup, pgvector first; {command('check')} lists every difference.",
        missing=list(names),
    )


def elsewhere(link: Link, schema: str) -> tuple[str, ...]:
    """Return the other schemas with a version table, in order.

    Args:
        link: A connection to a database.
        schema: The schema without a version table.
    """
    if link.dialect == "sqlite":
        return ()
    rows = link.rows(
        "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = %s AND c.relkind IN ('r', 'p') AND n.nspname <> %s ORDER BY 1",
        (VERSION, schema),
    )
    return tuple(row[0] for row in rows)


def meant(schemas: tuple[str, ...]) -> str:
    """Return the sentence that suggests another schema; empty if there is none."""
    if not schemas:
        return ""
    more = f" and {len(schemas) - _SHOWN} more" if len(schemas) > _SHOWN else ""
    those = ", ".join(schemas[:_SHOWN])
    return (
        f"The version table lies in schema {those}{more}. To use it,"
        f" add {option('--schema', 'NAME' if schemas[1:] else schemas[0])}"
    )


def hidden(link: Link, schema: str, table: str = VERSION) -> PermissionMissing | None:
    """Describe row security that hides one of this package's tables from the connection's role; None if there is none.

    Args:
        link: A connection to a database.
        schema: The table's schema.
        table: The version table, or the ledger.
    """
    if link.dialect == "sqlite":
        return None
    # The server's own answer does not help: with row_security off it calls row security inactive, and refuses the
    # statement.
    row = link.row(
        "SELECT current_user::text, pg_has_role(c.relowner, 'USAGE') FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.rolname = current_user"
        " WHERE c.relname = %s AND c.relrowsecurity AND n.nspname = %s AND NOT r.rolsuper AND NOT r.rolbypassrls"
        " AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))"
        " AND NOT (%s AND EXISTS (SELECT FROM pg_policy p, unnest(p.polroles) who WHERE p.polrelid = c.oid"
        "  AND p.polpermissive AND p.polcmd IN ('r', '*') AND (who = 0 OR pg_has_role(who, 'USAGE'))))",
        (table, schema, link.filtered),
    )
    if row is None:
        return None
    role, owner = row
    name = qualified(schema, table)
    if owner:
        way = f"Run as this role, which owns it: ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY;"
    elif link.filtered:
        way = (
            f"As the table's owner, let the role read it: CREATE POLICY diwa_schema_read ON {name} FOR "
            f"SELECT TO {quoted(role)} USING (true);"
        )
    else:
        way = "Connect as the role that owns the schema: a change needs all rows."
    return PermissionMissing(
        f"Row security on {table} hides the revision of {link.shown} from role '{role}'.",
        next_step=way,
        role=role,
    )
