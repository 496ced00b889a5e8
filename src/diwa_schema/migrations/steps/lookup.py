"""Lookups of a database's relations before a step changes them, and the spelling of names.

Names refer to objects of the current schema, never to objects of the same name elsewhere on the search path.
SQLAlchemy's inspector and unqualified names would also find those, such as the live table beside a shadow.

Alembic and SQLAlchemy interpret a colon in SQL as the beginning of a parameter. Names and the server's descriptions of
objects therefore go through this module, which preserves all their characters.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from diwa_schema import names
from diwa_schema.migrations import citus

# The only place that defines the schema of the steps.
_SCHEMA = "current_schema()"
_KNOWN = "diwa_schema_current_schema"


@dataclass(frozen=True, slots=True)
class IndexState:
    """The state of an index.

    Args:
        table: Its table.
        columns: Its key columns; an expression is an empty string.
        unique: Whether it is unique.
        valid: Whether queries can use it.
    """

    table: str
    columns: tuple[str, ...]
    unique: bool
    valid: bool


def verbatim(sql: str) -> str:
    """Return SQL in which no colon begins a parameter."""
    return sql.replace(":", r"\:")


def quoted(name: str) -> str:
    """Return a name as an identifier inside a statement."""
    return verbatim(names.quoted(name))


def literal(value: str) -> str:
    """Return a text as a literal inside a statement."""
    return verbatim(names.literal(value))


def oid(name: str) -> str:
    """Return SQL for the oid of a relation of the current schema, as a regclass; NULL if there is none.

    It has neither parameters nor percent signs, so that it can be part of a block that runs later.
    """
    return f"to_regclass(quote_ident({_SCHEMA}) || '.' || quote_ident({literal(name)}))"


def qualified(connection: sa.Connection, name: str) -> str:
    """Return a name of the current schema as an identifier that is valid from every schema."""
    if connection.dialect.name == "sqlite":
        return quoted(name)
    return verbatim(names.qualified(current_schema(connection), name))


def renames_constraints(connection: sa.Connection) -> bool:
    """Whether a constraint can be renamed: on PostgreSQL, but not on Citus."""
    return not connection.scalar(sa.text(f"SELECT {citus.THERE}"))


def current_schema(connection: sa.Connection) -> str:
    """Return the name of the schema of the steps, on PostgreSQL."""
    return str(connection.info.get(_KNOWN) or connection.scalar(sa.text(f"SELECT {_SCHEMA}")))


def remember_schema(connection: sa.Connection, schema: str) -> None:
    """Remember the name of the schema, for a connection whose search path stays as it is."""
    connection.info[_KNOWN] = schema


def table_exists(connection: sa.Connection, table: str) -> bool:
    """Return whether the current schema has a table."""
    if connection.dialect.name == "sqlite":
        return sa.inspect(connection).has_table(table)
    return connection.scalar(sa.text(f"SELECT {oid(table)} IS NOT NULL")) is True


def column_types(connection: sa.Connection, table: str) -> dict[str, str]:
    """Return a table's columns with their types in the database's notation; empty without the table."""
    if connection.dialect.name == "sqlite":
        found = connection.execute(sa.text(f"SELECT name, type FROM pragma_table_info({literal(table)})"))
    else:
        found = connection.execute(
            sa.text(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                f" WHERE attrelid = {oid(table)} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            )
        )
    return {name: str(kind) for name, kind in found}


def estimated_rows(connection: sa.Connection, table: str) -> int | None:
    """Return the approximate number of rows of a table, without reading it; None without an earlier count.

    The server's count of recent writes is newer than that of the last ANALYZE, but a crash erases it.
    """
    counted = "coalesce(nullif(pg_stat_get_live_tuples(oid), 0), reltuples::bigint)"
    found = connection.scalar(sa.text(f"SELECT {counted} FROM pg_class WHERE oid = {oid(table)}"))
    return int(found) if found is not None and found > 0 else None


def index_state(connection: sa.Connection, name: str) -> IndexState | None:
    """Return the state of an index, or None if it does not exist."""
    found = connection.execute(
        sa.text(
            "SELECT t.relname, ARRAY(SELECT coalesce(a.attname::text, '')"
            "   FROM unnest(i.indkey) WITH ORDINALITY k(n, o)"
            "   LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n AND k.n > 0"
            "   WHERE k.o <= i.indnkeyatts ORDER BY k.o),"
            " i.indisunique, i.indisvalid AND i.indisready"
            f" FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid WHERE i.indexrelid = {oid(name)}"
        )
    ).first()
    if found is None:
        return None
    table, columns, unique, valid = found
    return IndexState(table, tuple(columns), unique, valid)


def usable_index(connection: sa.Connection, name: str) -> bool:
    """Return whether an index exists and queries can use it."""
    state = f"SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = {oid(name)}"
    return connection.scalar(sa.text(state)) is True


def index_builders(connection: sa.Connection, name: str) -> list[int]:
    """Return the server processes that are now building an index."""
    return list(
        connection.scalars(
            sa.text(
                "SELECT pid FROM pg_stat_progress_create_index"
                " WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database())"
                f" AND index_relid = {oid(name)}"
            )
        )
    )
