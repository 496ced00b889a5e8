"""A rule about the rows of a table: what it is called, what it says, and which rows break it.

Constraints, the messages about them and the queries for rows all come from here. A rule needs no database library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from diwa_schema.names import literal, quoted

KEY = "id"  # of every table that has a rule
_TABLES = "{tables}."
_VECTOR = "{vector}."


@dataclass(frozen=True, slots=True)
class Places:
    """Where a rule's tables and functions are.

    Args:
        tables: The schema of the tables; None where there is only one, as on SQLite.
        vector: The schema of pgvector; None without it.
        lite: Whether the database is SQLite.
    """

    tables: str | None = None
    vector: str | None = None
    lite: bool = False

    def name(self, table: str) -> str:
        """Return the name of a table, good from any search path."""
        return _prefix(self.tables) + quoted(table)

    def placed(self, sql: str) -> str:
        """Return SQL with the schemas in it."""
        return sql.replace(_TABLES, _prefix(self.tables)).replace(_VECTOR, _prefix(self.vector))


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold for the rows of a table.

    Args:
        name: Its name, and that of its constraint or unique index.
        table: The table.
        columns: What it is about, and what is shown of a row that breaks it.
        why: What it says and where it comes from, in one sentence.
        condition: SQL that is not false for a row that keeps it; of a unique rule, which rows count at all.
        on_sqlite: The same in the words of SQLite, where these are others.
        unique: The columns or expressions in which no two rows are alike; empty for a rule about one row.
        kept: Whether the database keeps it, as a constraint or unique index of PostgreSQL. One that is not kept is
            looked at and reported only.
        type: The type that its first column must have on PostgreSQL for the condition to make sense.
        postgresql_only: Whether it says nothing about SQLite.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    why: str
    condition: str = ""
    on_sqlite: str = ""
    unique: tuple[str, ...] = ()
    kept: bool = False
    type: str = ""
    postgresql_only: bool = False

    @property
    def kind(self) -> Literal["check", "unique"]:
        """What keeps it."""
        return "unique" if self.unique else "check"

    def rows(self, places: Places) -> str:
        """Return a query for the rows that break it: key, the row that came before it, and the columns.

        Of rows that are alike the first one, by time and key, breaks nothing; it is the row that came before.
        """
        table, columns = places.name(self.table), ", ".join(map(quoted, self.columns))
        condition = places.placed(self.on_sqlite if places.lite and self.on_sqlite else self.condition)
        if not self.unique:
            return f"SELECT {KEY}, NULL AS first, {columns} FROM {table} AS t WHERE NOT ({condition})"
        alike = f"(PARTITION BY {', '.join(self.unique)} ORDER BY inserted_at, {KEY})"
        where = f" WHERE {condition}" if condition else ""
        return (
            f"SELECT {KEY}, first, {columns} FROM (SELECT {KEY}, {columns}, first_value({KEY}) OVER {alike} AS first,"
            f" row_number() OVER {alike} AS place FROM {table} AS t{where}) AS numbered WHERE place > 1"
        )

    def count(self, places: Places) -> str:
        """Return a query for the number of rows that break it."""
        return f"SELECT count(*) FROM ({self.rows(places)}) AS broken"

    def look(self, places: Places, key: str, first: str | None) -> str:
        """Return the statement that shows one row that breaks it, and the row that came before it."""
        keys = ", ".join(literal(one).strip() for one in (first, key) if one is not None)
        return f"SELECT * FROM {places.name(self.table)} WHERE {KEY} IN ({keys});"


def broken_by(rows: int) -> str:
    """Return in words how many rows break a rule."""
    return f"{rows:,} row{' breaks' if rows == 1 else 's break'} it"


def one_of(column: str, words: object) -> str:
    """Return the condition that a column holds one of the words of a value set, or nothing."""
    listed = words if isinstance(words, tuple) else get_args(words)
    return f"{column} IN ({', '.join(map(literal, listed))})"


def _prefix(schema: str | None) -> str:
    return "" if schema is None else f"{quoted(schema)}."
