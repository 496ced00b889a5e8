"""One driver connection with the same interface for PostgreSQL and SQLite.

All code except the replay of revisions works on this level, so that a check, or a run without pending work, never loads
SQLAlchemy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Self, cast

from diwa_schema.database.failures import is_driver_error
from diwa_schema.database.spelling import Dialect, placed
from diwa_schema.errors import DatabaseRefused
from diwa_schema.migrations import citus
from diwa_schema.names import literal, quoted

if TYPE_CHECKING:
    import sqlite3

    import psycopg
    import sqlalchemy as sa


# The settings of this package on every connection to PostgreSQL. A role, a database or an application may have other
# values, and any of those would change the content or the form of a result:
# * with row_security on, the server would hide rows; off, it refuses a statement that it would have to filter;
# * a snapshot of REPEATABLE READ can be older than a lock after a wait, so commits in between would be overwritten
#   (each transaction names its level as well);
# * a connection of a run is idle for a long time, one while the other works or waits for another run;
# * the others determine the text of values and definitions, the reading of literals, and comparisons.
SETTINGS = {
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "idle_session_timeout": "0",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "gin_fuzzy_search_limit": "0",
    "exit_on_error": "off",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
}
# A role's limits on its statements protect a server from an application. The work of a run has limits of its own, and a
# comparison takes as long as the schema needs: a limit of the role would end either in its middle. They hold for a
# session alone, so a start-up check of an application keeps those of its role.
_LIMITS = {"statement_timeout": 0, "idle_in_transaction_session_timeout": 0, "transaction_timeout": 170000}
# Only a superuser can reset these, so they are checked: with any other value, triggers would not fire or damaged rows
# would be skipped.
REQUIRED = {
    "session_replication_role": "origin",
    "zero_damaged_pages": "off",
    "ignore_checksum_failure": "off",
}


class Link:
    """A driver connection in autocommit mode; `transaction()` groups statements.

    Args:
        raw: The driver's connection.
        dialect: The kind of database.
        shown: The database's URL, masked, for messages.
        close: The function that ends the link; by default it closes the driver connection.
        schema: The named schema; None if the search path decides.
        filtered: Whether row security may filter the rows; a change has to see all of them.
    """

    def __init__(
        self,
        raw: psycopg.Connection[Any] | sqlite3.Connection | sa.Connection,
        dialect: Dialect,
        shown: str,
        close: Callable[[], None] | None = None,
        schema: str | None = None,
        filtered: bool = False,
    ) -> None:
        self.schema = schema
        self.filtered = filtered
        self.raw: Any = raw
        self.dialect = dialect
        self.database = shown
        self._close = close or raw.close

    @property
    def shown(self) -> str:
        """The database for messages, without a password, and the schema if one was named."""
        return placed(self.database, self.schema)

    @property
    def limits(self) -> tuple[str, ...]:
        """The settings of this server that limit the time of a statement or a transaction."""
        return tuple(name for name, since in _LIMITS.items() if since <= self.raw.info.server_version)

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
        """Run several statements, in one round trip if the server accepts that."""
        if self.dialect == "postgresql":
            for part in self._parts(sql):
                self.raw.execute(part)
            return
        # executescript() would first commit an open transaction.
        for statement in _statements(sql):
            self.raw.execute(statement)

    def _parts(self, sql: str) -> Sequence[str]:
        if not self.citus:
            return (sql,)
        from diwa_schema.database.script import statements

        return statements(sql)

    @cached_property
    def server_process(self) -> int:
        """The answering process on the server; behind a pooler the driver knows another number."""
        return int(self.value("SELECT pg_backend_pid()"))

    @cached_property
    def citus(self) -> bool:
        """Whether the database has Citus, which takes statements one by one."""
        return self.dialect == "postgresql" and bool(self.value(f"SELECT {citus.THERE}"))

    @property
    def direct(self) -> bool:
        """Whether the answering process has accepted the connection; a pooler accepts connections itself."""
        return self.dialect == "sqlite" or self.raw.info.backend_pid == self.server_process

    def settle(self, *, pooled: bool = False) -> dict[str, str]:
        """Set the settings of this package on a PostgreSQL connection, and return the earlier ones.

        Behind a pooler that changes server processes, a setting would stay with the process and reach other clients:
        nothing is set there, and `settled` does it inside a transaction. A named schema comes first on the search
        path: unqualified new objects of a revision go there, and pgvector's type is still found behind it.

        Args:
            pooled: Whether to also set them behind a pooler that is known to keep its server process.

        Raises:
            DatabaseRefused: A setting that only a superuser can change has a wrong value.
        """
        if self.dialect == "sqlite":
            return {}
        return self._settle(local=False, process=None if pooled else self.raw.info.backend_pid)

    @contextmanager
    def settled(self, *opening: str) -> Iterator[None]:
        """Read in the block with the settings of this package, in a transaction that is rolled back at its end.

        Args:
            opening: Its first statements, beginning with BEGIN; by default it sees committed data.
        """
        if self.dialect == "sqlite":
            yield
            return
        try:
            for statement in opening or ("BEGIN ISOLATION LEVEL READ COMMITTED",):
                self.raw.execute(statement)
            self._settle(local=True)
            yield
        finally:
            self.abandon()

    def _settle(self, *, local: bool, process: int | None = None) -> dict[str, str]:
        """Read the answering process and the settings, and set the required ones, in one round trip.

        The server evaluates the list of a SELECT from left to right, so the read values are the earlier ones. Nothing
        is set if another process answers, or while a required setting has a wrong value.
        """
        wanted = {name: literal(value) for name, value in SETTINGS.items()}
        if not local:
            wanted |= dict.fromkeys(self.limits, literal("0"))
        if self.filtered:
            del wanted["row_security"]
        if self.schema is not None:
            wanted["search_path"] = (
                f"concat_ws(', ', {literal(quoted(self.schema))}, nullif(current_setting('search_path'), ''))"
            )
        names = list({**wanted, **REQUIRED})
        when = [f"current_setting({literal(name)}) = {literal(value)}" for name, value in REQUIRED.items()]
        when += ["pg_backend_pid() = %s"] if process is not None else []
        sets = (
            f"CASE current_setting({literal(name)}) WHEN {value} THEN NULL"
            f" ELSE set_config({literal(name)}, {value}, {str(local).lower()}) END"
            for name, value in wanted.items()
        )
        looks = (f"current_setting({literal(name)})" for name in names)
        found = self.row(
            f"SELECT pg_backend_pid(), {citus.THERE}, {', '.join(looks)},"
            f" CASE WHEN {' AND '.join(when)} THEN ARRAY[{', '.join(sets)}] END",
            () if process is None else (process,),
        )
        assert found is not None  # noqa: S101 - a SELECT without FROM has one row
        self.server_process, self.citus, *values, done = found
        before = dict(zip(names, map(str, values), strict=True))
        if process not in (None, self.server_process):
            return {}
        wrong = {name: before[name] for name, value in REQUIRED.items() if before[name] != value}
        if wrong:
            for name, value in wrong.items():
                self._require(name, REQUIRED[name], value)
            return self._settle(local=local) | wrong
        return {name: before[name] for name, value in zip(wanted, done, strict=True) if value is not None}

    def set(self, settings: Mapping[str, str], *, local: bool = False) -> None:
        """Set settings of the session, or of its open transaction alone, in one round trip."""
        if settings:
            calls = (
                f"set_config({literal(name)}, {literal(value)}, {str(local).lower()})"
                for name, value in settings.items()
            )
            self.row(f"SELECT {', '.join(calls)}")

    def _require(self, name: str, value: str, found: str) -> None:
        try:
            self.set({name: value})
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise DatabaseRefused(
                f"The setting {name} is '{found}' on connections to {self.shown}. It has to be '{value}':"
                " otherwise the database does not keep its own rules.",
                next_step=f"As a superuser: ALTER ROLE ... RESET {name}; or ALTER DATABASE ... RESET {name};",
                setting=name,
            ) from error

    @contextmanager
    def transaction(self, first: str | None = None) -> Iterator[tuple[Any, ...]]:
        """Run the block in one transaction; on SQLite it takes the write lock at once.

        The isolation level is explicit: a role may have another default, with a snapshot older than the locks of the
        block.

        Args:
            first: A SELECT, which PostgreSQL runs in the same round trip as BEGIN. Its first row is yielded.
        """
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED" if self.dialect == "postgresql" else "BEGIN IMMEDIATE"
        try:
            if first is not None and not self.citus:
                cursor = self._run(f"{begin}; {first}", ())
                cursor.nextset()
                row = cursor.fetchone()
            else:
                self.raw.execute(begin)
                row = None if first is None else self.row(first)
            yield row or ()
        except BaseException:
            self.abandon()
            raise
        self.raw.execute("COMMIT")

    def abandon(self) -> None:
        """Roll back an open transaction; a lost connection has done so itself."""
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
        from psycopg import RawCursor
        from psycopg.rows import tuple_row

        # The server's own placeholders, because a schema's name may contain a percent sign. The connection may belong
        # to a caller with another kind of rows.
        cursor = RawCursor(self.raw, row_factory=tuple_row)
        return cursor.execute(_numbered(sql) if params else sql, params or None)


# Quoted text is skipped.
_MARK = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|%s""")


@lru_cache(maxsize=500)
def _numbered(sql: str) -> str:
    """Return a statement with $1, $2 and so on in place of its marks."""
    numbers = count(1)
    return _MARK.sub(lambda found: f"${next(numbers)}" if found[0] == "%s" else found[0], sql)


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
