"""What steps have to know about the tables of a PostgreSQL database before they change them.

Names mean objects of the current schema, never ones of the same name elsewhere on the search path.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

IN_SCHEMA = "to_regclass(format('%I.%I', current_schema(), CAST(:name AS text)))"


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index as it is.

    Args:
        table: The table it is on.
        columns: Its key columns; an expression is an empty string.
        unique: Whether it is unique.
        valid: Whether queries can use it.
        builders: The server processes that are building it now.
    """

    table: str
    columns: tuple[str, ...]
    unique: bool
    valid: bool
    builders: tuple[int, ...]


def quoted(connection: sa.Connection, name: str) -> str:
    """Return a name as an identifier of the connection's dialect."""
    return str(connection.dialect.identifier_preparer.quote(name))


def qualified(connection: sa.Connection, name: str) -> str:
    """Return a name of the current schema as an identifier that is good from anywhere."""
    schema = connection.scalar(sa.text("SELECT current_schema()"))
    return f"{quoted(connection, schema)}.{quoted(connection, name)}"


def table_exists(connection: sa.Connection, table: str) -> bool:
    """Tell whether the current schema has a table.

    SQLAlchemy's inspector would also find one elsewhere on the search path: beside a shadow, the live one.
    """
    if connection.dialect.name == "sqlite":
        return bool(sa.inspect(connection).has_table(table))
    return connection.scalar(sa.text(f"SELECT {IN_SCHEMA} IS NOT NULL"), {"name": table}) is True


def column_types(connection: sa.Connection, table: str) -> dict[str, str]:
    """Return a table's columns with their types as PostgreSQL writes them; empty where it does not exist."""
    found = connection.execute(
        sa.text(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            f" WHERE attrelid = {IN_SCHEMA} AND attnum > 0 AND NOT attisdropped"
        ),
        {"name": table},
    )
    return {name: str(kind) for name, kind in found}


def estimated_rows(connection: sa.Connection, table: str) -> int:
    """Return about how many rows a table has, without reading it."""
    found = connection.scalar(
        sa.text(f"SELECT reltuples::bigint FROM pg_class WHERE oid = {IN_SCHEMA}"), {"name": table}
    )
    return max(int(found or 0), 0)


def index_state(connection: sa.Connection, name: str) -> IndexState | None:
    """Return what is known of an index, or None where there is none of that name."""
    found = connection.execute(
        sa.text(
            "SELECT t.relname, ARRAY(SELECT coalesce(a.attname::text, '')"
            "   FROM unnest(i.indkey) WITH ORDINALITY k(n, o)"
            "   LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n AND k.n > 0"
            "   WHERE k.o <= i.indnkeyatts ORDER BY k.o),"
            " i.indisunique, i.indisvalid AND i.indisready,"
            " ARRAY(SELECT p.pid FROM pg_stat_progress_create_index p"
            "   WHERE p.datid = (SELECT oid FROM pg_database WHERE datname = current_database())"
            "   AND p.index_relid = i.indexrelid)"
            f" FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid WHERE i.indexrelid = {IN_SCHEMA}"
        ),
        {"name": name},
    ).first()
    if found is None:
        return None
    table, columns, unique, valid, builders = found
    return IndexState(table, tuple(columns), unique, valid, tuple(builders))


def constraint_valid(connection: sa.Connection, table: str, name: str) -> bool | None:
    """Tell whether a constraint of a table is validated, or None where there is none of that name."""
    valid = connection.scalar(
        sa.text(
            f"SELECT convalidated FROM pg_constraint WHERE conrelid = {IN_SCHEMA} AND conname = :constraint"
        ),
        {"name": table, "constraint": name},
    )
    return None if valid is None else bool(valid)


def is_not_null(connection: sa.Connection, table: str, column: str) -> bool:
    """Tell whether a column refuses NULL."""
    found = connection.scalar(
        sa.text(f"SELECT attnotnull FROM pg_attribute WHERE attrelid = {IN_SCHEMA} AND attname = :column"),
        {"name": table, "column": column},
    )
    return found is True
