"""A rule about the rows of a table: its name, its content, and the queries for rows that break it.

Constraints, the messages about them and the queries for rows all come from here. A rule needs no database library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from diwa_schema.names import amount, literal, quoted

KEY = "id"  # of every table with a rule
_TABLES = "{tables}."
_VECTOR = "{vector}."


@dataclass(frozen=True, slots=True)
class Places:
    """The place of a rule's tables and functions.

    Args:
        tables: The schema of the tables; None if there is only one, as on SQLite.
        vector: The schema of pgvector; None without it.
        lite: Whether the database is SQLite.
    """

    tables: str | None = None
    vector: str | None = None
    lite: bool = False

    def name(self, table: str) -> str:
        """Return the name of a table, valid for any search path."""
        return _prefix(self.tables) + quoted(table)

    def placed(self, sql: str) -> str:
        """Return SQL with the schemas inserted."""
        return sql.replace(_TABLES, _prefix(self.tables)).replace(_VECTOR, _prefix(self.vector))


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition for the rows of a table.

    Args:
        name: Its name, and that of its constraint or unique index.
        table: The table.
        columns: The columns that it concerns; they are shown for a row that breaks it.
        why: Its content and its source, in one sentence.
        condition: SQL that is not false for a valid row; for a unique rule, the condition that selects its rows.
        on_sqlite: The condition for SQLite, if it differs.
        unique: The columns or expressions that must be unique together; empty for a rule about one row.
        kept: Whether the database enforces it, as a constraint or unique index of PostgreSQL. Other rules are only
            checked and reported.
        type: The type that its first column must have on PostgreSQL for the condition to make sense.
        postgresql_only: Whether it does not apply to SQLite.
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
        """The kind of object that enforces it."""
        return "unique" if self.unique else "check"

    def with_names(self, names: Mapping[str, str]) -> Rule:
        """Return the rule on renamed columns: each old name with the new one."""
        if not names:
            return self
        return replace(
            self,
            columns=tuple(names.get(column, column) for column in self.columns),
            condition=with_names(self.condition, names),
            on_sqlite=with_names(self.on_sqlite, names),
            unique=tuple(with_names(one, names) for one in self.unique),
        )

    def said(self, places: Places) -> str:
        """Return the rule as text: its content and, for a rule about one row, the database's own condition."""
        if self.unique or not self.condition:
            return self.why
        return f"{self.why} Each row needs: {self._condition(places)}"

    def _condition(self, places: Places) -> str:
        return places.placed(self.on_sqlite if places.lite and self.on_sqlite else self.condition)

    def rows(self, places: Places) -> str:
        """Return a query for the rows that break it: key, the earlier row, and the columns.

        Among equal rows, the first one by time and key breaks nothing; it is the earlier row.
        """
        table, columns = places.name(self.table), ", ".join(map(quoted, self.columns))
        condition = self._condition(places)
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
        """Return the statement that shows one row that breaks it, and the earlier row."""
        keys = ", ".join(literal(one).strip() for one in (first, key) if one is not None)
        return f"SELECT * FROM {places.name(self.table)} WHERE {KEY} IN ({keys});"


def broken_by(rows: int) -> str:
    """Return a text with the number of rows that break a rule."""
    return f"{amount(rows, 'row', 'breaks')} it"


def one_of(column: str, words: object) -> str:
    """Return the condition that a column holds a word of a value set or NULL."""
    listed = words if isinstance(words, tuple) else get_args(words)
    return f"{column} IN ({', '.join(map(literal, listed))})"


def with_names(sql: str, names: Mapping[str, str]) -> str:
    """Return the SQL of a condition with renamed columns."""
    # Every second part is a literal, whose words stay.
    parts = re.split(r"('(?:[^']|'')*')", sql)
    words = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
    parts[::2] = [words.sub(lambda found: names[found[0]], part) for part in parts[::2]]
    return "".join(parts)


def _prefix(schema: str | None) -> str:
    return "" if schema is None else f"{quoted(schema)}."
