"""The losses of a downgrade or a drop, counted before any change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from diwa_schema.database.relations import in_schema
from diwa_schema.errors import UsageError, option
from diwa_schema.migrations.ecto import AGENT
from diwa_schema.names import qualified, quoted

if TYPE_CHECKING:
    from diwa_schema.migrations.manifest import Revision
    from diwa_schema.run.session import Look


def of(look: Look, revisions: Iterable[Revision]) -> dict[str, int]:
    """Count the losses of a downgrade: rows of tables, and rows with a value in columns.

    A default value of a column is not a loss. While the agent's own migration is on record, a downgrade keeps its
    tables until the first revision drops them.
    """
    stay = AGENT in (look.state.ecto or ())
    dropped = {
        name
        for revision in revisions
        for name in revision.drops
        if not (stay and revision.down_revision and name in revision.leaves)
    }
    lost = {
        table: count(look, table) if columns(look, table) else 0
        for table in sorted(dropped)
        if "." not in table
    }
    for name in sorted(dropped):
        table, _, column = name.partition(".")
        if column and table not in dropped:
            lost[name] = _values(look, table, column)
    return lost


def confirm(look: Look, lost: Mapping[str, int], typed: str | None) -> None:
    """Raise an error unless nothing is lost, or the confirmation names the database or schema.

    Raises:
        UsageError: The confirmation is missing, or has another name.
    """
    lost = {name: count for name, count in lost.items() if count}
    if not lost:
        return
    name = _name(look)
    if typed == name:
        return
    listed = ", ".join(f"{count} in {table}" for table, count in lost.items())
    mistyped = f" '{typed}' is not its name." if typed else ""
    raise UsageError(
        f"Rows of {look.shown} would be lost: {listed}.{mistyped}",
        next_step=f"To accept the loss, add {option('--confirm', name)}",
        lost=lost,
        confirm=name,
    )


def count(look: Look, table: str) -> int:
    """Count the rows of an existing table."""
    return int(look.link.value(f"SELECT count(*) FROM {qualified(look.state.schema, table)}"))


def tables(look: Look) -> frozenset[str]:
    """Return all tables of the schema."""
    if look.link.dialect == "sqlite":
        rows = look.link.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        rows = look.link.rows(
            "SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND "
            + in_schema("(SELECT oid FROM pg_namespace WHERE nspname = %s)"),
            (look.state.schema,),
        )
    return frozenset(row[0] for row in rows)


def columns(look: Look, table: str) -> dict[str, str | None]:
    """Return the columns of a table with their defaults as SQL; none without the table."""
    if look.link.dialect == "sqlite":
        return dict(look.link.rows("SELECT name, dflt_value FROM pragma_table_info(%s)", (table,)))
    found = look.link.rows(
        "SELECT a.attname::text, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped",
        (look.state.schema, table),
    )
    return dict(found)


def _name(look: Look) -> str:
    """Return the name for the confirmation: of the schema if one was named, else of the database or the file."""
    if look.link.schema is not None:
        return look.link.schema
    if look.link.dialect == "postgresql":
        return str(look.link.value("SELECT current_database()"))
    path = look.link.value("SELECT file FROM pragma_database_list WHERE name = 'main'")
    return Path(path).name if path else "memory"


def _values(look: Look, table: str, column: str) -> int:
    found = columns(look, table)
    if column not in found:
        return 0
    default = found[column]
    distinct = "IS DISTINCT FROM" if look.link.dialect == "postgresql" else "IS NOT"
    other = f" AND {quoted(column)} {distinct} ({default})" if default else ""
    table = qualified(look.state.schema, table)
    return int(look.link.value(f"SELECT count(*) FROM {table} WHERE {quoted(column)} IS NOT NULL{other}"))
