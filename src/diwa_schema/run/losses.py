"""What a downgrade or a drop would destroy, counted before anything is touched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diwa_schema.errors import UsageError
from diwa_schema.migrations.steps import aside
from diwa_schema.names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diwa_schema.database.link import Link
    from diwa_schema.database.version import State
    from diwa_schema.migrations.manifest import Revision


def of(link: Link, state: State, revisions: Iterable[Revision]) -> dict[str, int]:
    """Count what reversing revisions would lose: rows of tables, and rows with a value in columns.

    A column's value that is its default is no loss.
    """
    dropped = {name for revision in revisions for name in revision.drops}
    lost = {table: rows(link, state, table) for table in sorted(dropped) if "." not in table}
    for name in sorted(dropped):
        table, _, column = name.partition(".")
        if column and table not in dropped:
            lost[name] = _values(link, state, table, column)
    return {name: count for name, count in lost.items() if count}


def rows(link: Link, state: State, table: str) -> int:
    """Count the rows of a table; 0 where it does not exist."""
    if not columns(link, state, table):
        return 0
    kept = aside.kept_name(table)
    # What was copied from a table that is brought back is no loss.
    there = f" WHERE id NOT IN (SELECT id FROM {quoted(kept)})" if columns(link, state, kept) else ""
    return int(link.value(f"SELECT count(*) FROM {quoted(state.schema)}.{quoted(table)}{there}"))


def confirm(link: Link, lost: dict[str, int], typed: str | None, shown: str) -> None:
    """Raise unless nothing is lost or the database's name was typed.

    Raises:
        UsageError: It was not, or it was another name.
    """
    if not lost:
        return
    name = database_name(link)
    if typed == name:
        return
    listed = ", ".join(f"{count} in {table}" for table, count in lost.items())
    mistyped = f" '{typed}' is not its name." if typed else ""
    raise UsageError(
        f"Rows of {shown} would be lost: {listed}.{mistyped}",
        next_step=f"To lose them, add --confirm {name}",
        lost=lost,
        confirm=name,
    )


def database_name(link: Link) -> str:
    """Return the name that is typed back: the database's, or the file's on SQLite."""
    if link.dialect == "postgresql":
        return str(link.value("SELECT current_database()"))
    path = link.value("SELECT file FROM pragma_database_list WHERE name = 'main'")
    return Path(path).name if path else "memory"


def _values(link: Link, state: State, table: str, column: str) -> int:
    found = columns(link, state, table)
    if column not in found:
        return 0
    default = found[column]
    distinct = "IS DISTINCT FROM" if link.dialect == "postgresql" else "IS NOT"
    other = f" AND {quoted(column)} {distinct} ({default})" if default else ""
    return int(
        link.value(
            f"SELECT count(*) FROM {quoted(state.schema)}.{quoted(table)} WHERE {quoted(column)} IS NOT NULL{other}"
        )
    )


def columns(link: Link, state: State, table: str) -> dict[str, str | None]:
    """Return the columns of a table with their defaults as SQL; none where there is no such table."""
    if link.dialect == "sqlite":
        return dict(link.rows("SELECT name, dflt_value FROM pragma_table_info(%s)", (table,)))
    found = link.rows(
        "SELECT a.attname::text, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a"
        " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped",
        (f"{quoted(state.schema)}.{quoted(table)}",),
    )
    return dict(found)
