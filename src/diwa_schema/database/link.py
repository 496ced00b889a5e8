"""One driver connection, spoken to in the same way for PostgreSQL and SQLite.

Everything but the replay of revisions works on this level, so that a check or a run with nothing to do
never loads SQLAlchemy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, cast

from diwa_schema.database.failures import is_driver_error
from diwa_schema.database.url import Dialect

if TYPE_CHECKING:
    import sqlite3

    import psycopg
    import sqlalchemy as sa


class Link:
    """A driver connection in autocommit mode; `transaction()` groups statements.

    Args:
        raw: The driver's connection.
        dialect: The kind of database.
        shown: The database's URL, masked, for messages.
        close: What ends the link; by default the driver connection is closed.
        schema: The schema that was said; None where the search path decides.
    """

    def __init__(
        self,
        raw: psycopg.Connection[Any] | sqlite3.Connection | sa.Connection,
        dialect: Dialect,
        shown: str,
        close: Callable[[], None] | None = None,
        schema: str | None = None,
    ) -> None:
        self.schema = schema
        self.raw: Any = raw
        self.dialect = dialect
        self.shown = shown
        self._close = close or raw.close

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all rows. Placeholders are ``%s`` on both dialects."""
        return cast("list[tuple[Any, ...]]", self._run(sql, params).fetchall())

    def row(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Run one statement and return its first row, or None."""
        return cast("tuple[Any, ...] | None", self._run(sql, params).fetchone())

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement and return the first column of its first row, or None."""
        row = self.row(sql, params)
        return row[0] if row else None

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one statement and return the number of rows it changed."""
        return cast("int", self._run(sql, params).rowcount)

    def script(self, sql: str) -> None:
        """Run several statements, in one round trip where the server takes them so."""
        if self.dialect == "postgresql":
            self.raw.execute(sql)
            return
        # executescript() would first commit an open transaction.
        for statement in _statements(sql):
            self.raw.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in one transaction; on SQLite it takes the write lock at once."""
        self.raw.execute("BEGIN" if self.dialect == "postgresql" else "BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.abandon()
            raise
        self.raw.execute("COMMIT")

    def abandon(self) -> None:
        """Roll back an open transaction; a connection that is already gone has done so itself."""
        try:
            self.raw.rollback()
        except Exception as error:
            if not isinstance(error, OSError) and not is_driver_error(error):
                raise

    def close(self) -> None:
        """End the link."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, sql: str, params: Sequence[Any]) -> Any:
        if self.dialect == "sqlite":
            return self.raw.execute(sql.replace("%s", "?"), params)
        return self.raw.execute(sql, params or None)


def _statements(sql: str) -> Iterator[str]:
    import sqlite3

    statement = ""
    for piece in re.split("(?<=;)", sql):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
