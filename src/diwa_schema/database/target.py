"""The database that a caller named, as a URL, an Engine or a Connection, and the connections made to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from diwa_schema.database import url as urls
from diwa_schema.database.failures import driver, is_driver_error, unreachable
from diwa_schema.database.link import Link
from diwa_schema.errors import ConnectionInUse, InvalidDatabase, UsageError
from diwa_schema.names import LONGEST

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

Database = Union[str, "URL", "Engine", "Connection"]

APPLICATION_NAME = "diwa-schema"
_DRIVERS = {"postgresql": "psycopg", "sqlite": "pysqlite"}


class Target:
    """A named database. Nothing is connected to until `connect()` or `work()` is called.

    Args:
        url: The URL that was understood.
        engine: The caller's Engine, whose way of connecting is used.
        connection: The caller's Connection, on which changes are to run.
        schema: The schema that was said; None where the search path decides.
    """

    schema: str | None = None

    def __init__(
        self, url: urls.DatabaseURL, engine: Engine | None = None, connection: Connection | None = None
    ) -> None:
        self.url = url
        self.dialect = url.dialect
        self.shown = url.shown
        self.engine = engine
        self.connection = connection

    @classmethod
    def of(cls, database: Any) -> Target:
        """Return the target that a caller means; None is what the environment names.

        Raises:
            NoDatabase: None was given and the environment names none.
            InvalidDatabase: It is no URL, Engine or Connection of PostgreSQL or SQLite.
            ConnectionInUse: The Connection is in a transaction.
        """
        if isinstance(database, str) or database is None:
            return cls(urls.parse(database or urls.from_environment()))
        alchemy = sys.modules.get("sqlalchemy")
        if alchemy is None:
            raise _not_a_database(database)
        if isinstance(database, alchemy.URL):
            return cls(urls.parse(database.render_as_string(hide_password=False)))
        if isinstance(database, alchemy.Engine):
            return cls(_engine_url(database), engine=database)
        if isinstance(database, alchemy.Connection):
            _refuse_open_transaction(database)
            return cls(_engine_url(database.engine), engine=database.engine, connection=database)
        if hasattr(database, "sync_engine"):
            return cls.of(database.sync_engine.url)
        raise _not_a_database(database)

    @property
    def in_memory(self) -> bool:
        """Whether only this process can see the database."""
        return self.url.in_memory

    @property
    def absent(self) -> bool:
        """Whether this is an SQLite file that does not exist yet."""
        given = self.dialect != "sqlite" or self.in_memory or self.url.uri
        return not given and not Path(self.url.driver).exists()

    @property
    def identity(self) -> tuple[str, str]:
        """What tells this database from others, for the guard's own-database tokens."""
        return self.dialect, self.url.driver

    def in_schema(self, schema: str | None) -> Target:
        """Return this target with the schema that was said.

        Raises:
            UsageError: It is SQLite, which has one schema, or the name is empty.
        """
        if schema is not None and self.dialect == "sqlite":
            raise UsageError(
                f"{self.shown} is SQLite, which has no schemas.", next_step="Leave the schema out."
            )
        if schema is not None and (not schema or "\0" in schema or len(schema.encode()) > LONGEST):
            raise UsageError(
                "A schema's name has 1 to 63 bytes.", next_step="Name an existing schema with --schema NAME."
            )
        self.schema = schema
        return self

    def connect(self, purpose: str = APPLICATION_NAME, *, create: bool = True, settle: bool = True) -> Link:
        """Open a new connection in autocommit mode, in the schema that was said.

        Args:
            purpose: What PostgreSQL shows as application_name.
            create: Whether SQLite may make a file that does not exist; without, an empty database stands for it.
            settle: Whether to set what this package relies on; without, the connection is as an application has it.
                Behind a pooler nothing is set: it would reach other clients.

        Raises:
            DatabaseUnreachable: The connection cannot be made.
            InvalidDatabase: The URL cannot be read by the driver, or is a directory.
        """
        link = self._opened(purpose, create=create)
        link.schema = self.schema
        if settle and self.dialect == "postgresql":
            try:
                if link.direct:
                    link.settle()
            except BaseException:
                link.close()
                raise
        return link

    def _opened(self, purpose: str, *, create: bool) -> Link:
        module = driver(self.dialect)
        try:
            if self.engine is not None:
                return self._from_pool(purpose)
            if self.dialect == "sqlite":
                return self._open_sqlite(module, create=create)
            return self._open_postgresql(module, purpose)
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise unreachable(self.shown, error) from error

    @contextmanager
    def work(self, purpose: str = APPLICATION_NAME) -> Iterator[Link]:
        """Open the connection on which changes run: the caller's, if one was given, else a new one.

        A caller's connection is handed back in the mode it came in.
        """
        if self.connection is None and not (self.in_memory and self.engine is not None):
            with self.connect(purpose) as link:
                yield link
            return
        proxied = self.connection.connection if self.connection is not None else self._engine.raw_connection()
        raw: Any = proxied.driver_connection
        with _autocommit(raw, self.dialect):
            link = Link(raw, self.dialect, self.shown, close=lambda: None, schema=self.schema)
            before = link.settle() if link.direct else {}
            try:
                yield link
            finally:
                if before and not raw.closed:
                    link.abandon()
                    link.set(before)
        if self.connection is None:
            proxied.close()

    @property
    def _engine(self) -> Engine:
        assert self.engine is not None  # noqa: S101 - callers have checked it
        return self.engine

    def _from_pool(self, purpose: str) -> Link:
        # A new pool of the same making: the caller's own may be full, and its connections carry session state.
        pool = self._engine.pool.recreate()
        proxied = pool.connect()
        raw: Any = proxied.driver_connection

        def close() -> None:
            proxied.close()
            pool.dispose()

        if self.dialect == "postgresql":
            # What an application's hook has set on it would be lost, or stay open, with its transaction.
            raw.commit()
            raw.autocommit = True
            raw.execute("SELECT set_config('application_name', %s, false)", (purpose,))
        else:
            raw.isolation_level = None
        return Link(raw, self.dialect, self.shown, close)

    def _open_sqlite(self, sqlite: Any, *, create: bool) -> Link:
        path = self.url.driver
        if not create and self.absent:
            path = ":memory:"
        if not self.in_memory and not self.url.uri and Path(path).is_dir():
            raise InvalidDatabase(
                f"'{path}' is a directory, and SQLite keeps a database in one file.",
                next_step="Name a file in it.",
            )
        raw = sqlite.connect(
            path, isolation_level=None, timeout=5.0, uri=self.url.uri, check_same_thread=False
        )
        return Link(raw, "sqlite", self.shown)

    def _open_postgresql(self, psycopg: Any, purpose: str) -> Link:
        try:
            given = psycopg.conninfo.conninfo_to_dict(self.url.driver)
        except psycopg.ProgrammingError:
            # libpq's own words can quote a part of the password.
            raise InvalidDatabase(
                f"'{self.shown}' is not a URL that libpq understands.",
                next_step="Write postgresql://USER:PASSWORD@HOST:PORT/NAME, special characters percent-encoded.",
            ) from None
        settings = {
            "application_name": purpose,
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        } | {name: value for name, value in given.items() if name != "application_name"}
        # What a run sends it sends a few times, and after each change of a table the driver would prepare it anew.
        raw = psycopg.connect(**settings, autocommit=True, prepare_threshold=None)
        return Link(raw, "postgresql", self.shown)


def _engine_url(engine: Engine) -> urls.DatabaseURL:
    if engine.dialect.driver != _DRIVERS.get(engine.dialect.name):
        raise InvalidDatabase(
            f"An Engine of {engine.dialect.name}+{engine.dialect.driver} cannot be used.",
            next_step="Pass an Engine of postgresql+psycopg or sqlite, or the URL itself.",
        )
    return urls.parse(engine.url.render_as_string(hide_password=False))


def _refuse_open_transaction(connection: Connection) -> None:
    if connection.in_transaction():
        raise ConnectionInUse(
            "The Connection is already in a transaction, which would decide over the migration's fate.",
            next_step="Commit or roll back before the call, or pass the Engine.",
        )


def _not_a_database(database: object) -> InvalidDatabase:
    return InvalidDatabase(
        f"A {type(database).__name__} is not a database.",
        next_step="Pass a URL, a SQLAlchemy Engine or a SQLAlchemy Connection.",
    )


def _autocommit(raw: Any, dialect: urls.Dialect) -> AbstractContextManager[None]:
    return _autocommit_postgresql(raw) if dialect == "postgresql" else _autocommit_sqlite(raw)


@contextmanager
def _autocommit_postgresql(raw: Any) -> Iterator[None]:
    before = raw.autocommit
    # SQLAlchemy knows of no transaction; one that is open all the same holds what an application's hook has set.
    raw.commit()
    raw.autocommit = True
    try:
        yield
    finally:
        if not raw.closed:
            raw.rollback()
            raw.autocommit = before


@contextmanager
def _autocommit_sqlite(raw: sqlite3.Connection) -> Iterator[None]:
    before = raw.isolation_level
    raw.rollback()
    raw.isolation_level = None
    enforced = raw.execute("PRAGMA foreign_keys").fetchone()[0]
    # While foreign keys are enforced, dropping a table first deletes its rows, and with them those of others.
    raw.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        raw.rollback()
        raw.execute(f"PRAGMA foreign_keys = {enforced}")
        raw.isolation_level = before
