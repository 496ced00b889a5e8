"""Sessions whose commits are undone after the test, on a database shared by all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from diwa_schema.models.base import enforce_foreign_keys


class Savepoints:
    """A connection whose transaction contains the sessions of the tests, one after the other.

    Args:
        url: The database that the tests share.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = engine(url)
        explicit_begin(self._engine)
        self._connection = self._engine.connect()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session; its commits are rolled back at the end."""
        if self._connection.invalidated or self._connection.closed:  # a test has ended the transaction
            self._connection.close()
            self._connection = self._engine.connect()
        with self._connection.begin() as outer:
            with Session(self._connection, join_transaction_mode="create_savepoint") as session:
                yield session
            if outer.is_active:
                outer.rollback()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._engine.dispose()


def engine(url: str) -> sa.Engine:
    """Return an engine on a test database; SQLite keeps foreign keys on its connections."""
    made = sa.create_engine(url)
    enforce_foreign_keys(made)
    return made


def explicit_begin(made: sa.Engine) -> None:
    """Let SQLite's driver begin transactions explicitly; otherwise savepoints would be outside any transaction."""
    if made.dialect.name == "sqlite":
        sa.event.listen(made, "connect", _leave_transactions_alone)
        sa.event.listen(made, "begin", _begin)


def _leave_transactions_alone(connection: Any, _: Any) -> None:
    connection.isolation_level = None


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")
