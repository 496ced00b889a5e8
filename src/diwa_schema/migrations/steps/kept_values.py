"""The table of values that a column can no longer hold, or that a revision has replaced."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.dialects import drop_table_unless_filled
from diwa_schema.migrations.steps.pace import dialect, ground, offline
from diwa_schema.models.types import LongText, ShortText, Timestamp, UniqueId
from diwa_schema.names import literal, quoted

KEPT = "diwa_schema_kept_values"


def create_kept_values() -> None:
    """Create the table of values that a column of another type cannot hold, if it is absent."""
    key = sa.PrimaryKeyConstraint("table_name", "row_id", "column_name", name=f"{KEPT}_pkey")
    op.create_table(KEPT, *columns(), key, if_not_exists=True)


def columns() -> list[sa.Column[Any]]:
    """Return the columns of the table of kept values, new objects for each table."""
    return [
        sa.Column("table_name", ShortText(63), nullable=False),
        sa.Column("row_id", UniqueId(), nullable=False),
        sa.Column("column_name", ShortText(63), nullable=False),
        sa.Column("value", LongText(), nullable=False),
        sa.Column("reason", LongText(), nullable=False),
        sa.Column("kept_at", Timestamp(6), nullable=False),
    ]


def drop_kept_values() -> None:
    """Drop the table of kept values if it is empty; on SQLite all values have been restored by then."""
    if dialect() == "sqlite":
        op.drop_table(KEPT)
    else:
        drop_table_unless_filled(KEPT)


NONE = "null"
"""The kept text of a missing value."""

_NOW = {
    "postgresql": "clock_timestamp() AT TIME ZONE 'UTC'",
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f000', 'now')",
}
_ALL = 1_000_000_000


def keep(kept: str, dialect: str, table: str, column: str, reason: str, *, found: str) -> str:
    """Return a statement that records the values ``old`` of the rows ``row_id``; earlier records stay.

    A row without an id, which SQLite allows, could never get its value back, so its value is not kept.

    Args:
        kept: The table of kept values, as SQL.
        dialect: The dialect of the SQL.
        table: The table of the values.
        column: The column of the values.
        reason: The reason why they cannot stay there.
        found: The rows, as SQL.
    """
    values = (
        f"{literal(table)}, row_id, {literal(column)}, coalesce(CAST(old AS text), '{NONE}'), {literal(reason)},"
        f" {_NOW[dialect]}"
    )
    return (
        f"INSERT INTO {kept} SELECT {lookup.verbatim(values)} FROM {found} WHERE row_id IS NOT NULL"
        " ON CONFLICT DO NOTHING"
    )


def give_back(table: str, column: str, value: str, still: str = "true") -> None:
    """Restore the kept values of a column in batches, and delete their records.

    Args:
        table: The table.
        column: The column.
        value: The restored value, as SQL, in which ``kept`` is the kept text.
        still: The SQL condition for the rows to restore; other rows have been changed since and stay.
    """
    if offline():
        for statement in _giving_back(
            table, table, KEPT, column, value, still, *_chosen(_first(KEPT, table, column, _ALL))
        ):
            op.execute(statement)
        return

    def batch(connection: sa.Connection, size: int) -> int:
        rows, kept = (lookup.qualified(connection, name) for name in (table, KEPT))
        first = _first(kept, table, column, size)
        chosen, values, taken = _chosen(first), {}, 0
        if dialect() == "postgresql":
            found = connection.execute(sa.text(first)).all()
            chosen, values = _BY_ID, {"ids": [row for row, _ in found], "kept": [text for _, text in found]}
        for statement in _giving_back(table, rows, kept, column, value, still, *chosen):
            taken = connection.execute(sa.text(statement), values).rowcount
        return taken

    ground().pace.batches(batch, None, f"{table}: {column} as it was")


def _mine(table: str, column: str) -> str:
    return f"table_name = {literal(table)} AND column_name = {literal(column)}"


def forget(table: str, column: str, where: str) -> str:
    """Return SQL that deletes kept values of a column."""
    return f"DELETE FROM {KEPT} WHERE {_mine(table, column)} AND {where}"


def note(table: str, column: str) -> str:
    """Return SQL that keeps the current values of rows without a kept value."""
    now = f"(SELECT {quoted(column)} FROM {quoted(table)} WHERE id = row_id)"
    return f"UPDATE {KEPT} SET value = {now} WHERE {_mine(table, column)} AND value = '{NONE}'"


# PostgreSQL has no statistics of a table that was just filled: a join would choose the rows anew for each of them.
_BY_ID = (
    "(SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:kept AS text[])) AS given(taken, kept))",
    "row_id = ANY(CAST(:ids AS uuid[]))",
)


def _first(kept: str, table: str, column: str, size: int) -> str:
    mine = lookup.verbatim(_mine(table, column))
    return f"SELECT row_id AS taken, value AS kept FROM {kept} WHERE {mine} ORDER BY row_id LIMIT {size}"


def _chosen(first: str) -> tuple[str, str]:
    return f"({first})", f"row_id IN (SELECT taken FROM ({first}) AS k)"


def _giving_back(
    table: str, rows: str, kept: str, column: str, value: str, still: str, taken: str, these: str
) -> tuple[str, str]:
    mine, value, still = (lookup.verbatim(one) for one in (_mine(table, column), value, still))
    return (
        f"UPDATE {rows} SET {lookup.quoted(column)} = {value} FROM {taken} AS k WHERE {rows}.id = taken AND {still}",
        f"DELETE FROM {kept} WHERE {mine} AND {these}",
    )
