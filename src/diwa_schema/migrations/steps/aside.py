"""Keeping a table of another shape aside under another name, with its rows, and bringing it back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.manifest import KEPT
from diwa_schema.migrations.steps.lookup import quoted, table_exists


def kept_name(table: str) -> str:
    """Return the name that a table has while it is kept aside."""
    return KEPT + table


def is_kept(table: str) -> bool:
    """Tell whether a table of this name is kept aside in the database."""
    return table_exists(op.get_bind(), kept_name(table))


def set_aside(table: str) -> None:
    """Rename a table and its indexes, so that another of its name can be made. Rows stay; foreign keys follow."""
    _rename(table, kept_name(table), lambda index: KEPT + index)


def bring_back(table: str) -> None:
    """Give a table that was set aside its names again; there must be no other of that name."""
    _rename(kept_name(table), table, lambda index: index.removeprefix(KEPT))


def _rename(before: str, after: str, renamed: object) -> None:
    connection = op.get_bind()
    name = renamed if callable(renamed) else str
    if connection.dialect.name == "sqlite":
        indexes = connection.execute(
            sa.text(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table AND sql IS NOT NULL"
            ),
            {"table": before},
        ).all()
        op.rename_table(before, after)
        # SQLite cannot rename an index.
        for index, text in indexes:
            op.drop_index(index, after)
            _, _, rest = text.partition(" ON ")
            unique = "UNIQUE " if text.upper().startswith("CREATE UNIQUE") else ""
            columns = rest[rest.index("(") :]
            op.execute(
                f"CREATE {unique}INDEX {quoted(connection, name(index))} ON {quoted(connection, after)} {columns}"
            )
        return
    found = connection.scalars(
        sa.text(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE i.indrelid = to_regclass(format('%I.%I', current_schema(), CAST(:table AS text)))"
        ),
        {"table": before},
    ).all()
    op.rename_table(before, after)
    for index in found:
        op.execute(
            f"ALTER INDEX {quoted(connection, index)} RENAME TO {quoted(connection, name(index)[:63])}"
        )
