"""What the database fills in for writers that leave it out, as SQL."""

from __future__ import annotations

from diwa_schema.names import quoted

RANDOM_ID = "gen_random_uuid()"

# The time of the row, not of its transaction: rows of one transaction have an order as well.
NOW = "(clock_timestamp() AT TIME ZONE 'UTC'::text)"


def trigger_name(table: str, column: str) -> str:
    """Return the name of the trigger that fills a column on SQLite."""
    return f"{table}_{column}_filled"


def filling_trigger(table: str, column: str, source: str) -> str:
    """Return what creates the trigger that fills a column on SQLite from another one of its row.

    Args:
        table: The table.
        column: The column; a value that a writer gives stays.
        source: The column that it is filled from.
    """
    return (
        f"CREATE TRIGGER {quoted(trigger_name(table, column))} AFTER INSERT ON {quoted(table)}"
        f" WHEN NEW.{quoted(column)} IS NULL BEGIN UPDATE {quoted(table)} SET {quoted(column)} = NEW.{quoted(source)}"
        f" WHERE rowid = NEW.rowid; END"
    )
