"""The database that a caller named by URL, Engine or Connection, and its connections."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from diwa_schema.database import url as urls
from diwa_schema.database.failures import brief, driver, is_driver_error, unreachable
from diwa_schema.database.link import Link
from diwa_schema.database.spelling import DatabaseURL, Dialect, placed
from diwa_schema.errors import ConnectionInUse, DatabaseUnreachable, InvalidDatabase, UsageError, offered
from diwa_schema.names import LONGEST
from diwa_schema.release import application_name

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

    from diwa_schema.database.reused import Reused

Database = Union[str, "URL", "Engine", "Connection"]

APPLICATION_NAME = "diwa-schema"

# On a search path, `$user` is the schema with the name of the role, also in quotes. The others belong to the server
# or to one connection; the server lets a superuser create tables in information_schema that no dump contains.
_KEPT_BY_SERVER = ("$user", "information_schema")


def _another() -> str:
    way = offered("--schema NAME")
    return f"Name another one with {way}." if way else "Name another one."


class Target:
    """A named database. Nothing is connected to until `connect()` or `work()` is called.

    Args:
        url: The parsed URL.
        engine: The caller's Engine; connections are opened in its way.
        connection: The caller's Connection for changes.
        schema: The named schema; None if the search path decides.
        reused: The connections of earlier targets; None if each connection is a new one.
    """

    schema: str | None = None
    reused: Reused | None = None

    def __init__(
        self, url: DatabaseURL, engine: Engine | None = None, connection: Connection | None = None
    ) -> None:
        self.url = url
        self.dialect = url.dialect
        self.engine = engine
        self.connection = connection

    @classmethod
    def of(cls, database: Any) -> Target:
        """Return the target of an argument; None means the database of the environment.

        Raises:
            NoDatabase: None was given and the environment names none.
            InvalidDatabase: It is not a URL, Engine or Connection of PostgreSQL or SQLite.
            ConnectionInUse: The Connection is in a transaction.
        """
        if isinstance(database, str) or database is None:
            return cls(urls.parse(urls.from_environment()) if database is None else urls.given(database))
        alchemy = sys.modules.get("sqlalchemy")
        if alchemy is None:
            raise _not_a_database(database)
        if isinstance(database, alchemy.URL):
            return cls(urls.of_parts(database))
        from diwa_schema.database import engines

        if isinstance(database, alchemy.Engine):
            return cls(engines.of_engine(database), engine=database)
        if isinstance(database, alchemy.Connection):
            _refuse_open_transaction(database)
            engine = database.engine
            return cls(engines.of_engine(engine, database), engine=engine, connection=database)
        if hasattr(database, "sync_connection"):
            raise InvalidDatabase(
                "An AsyncConnection cannot be used, because this function is synchronous.",
                next_step="Pass its AsyncEngine.",
            )
        if hasattr(database, "sync_engine"):
            return cls(engines.of_async_engine(database.sync_engine))
        raise _not_a_database(database)

    @property
    def shown(self) -> str:
        """The database for messages, without a password, and the schema if one was named."""
        return placed(self.url.shown, self.schema)

    @property
    def in_memory(self) -> bool:
        """Whether only this process can see the database."""
        return self.url.in_memory

    @property
    def absent(self) -> bool:
        """Whether this is an SQLite file that does not exist yet.

        Raises:
            InvalidDatabase: The system allows no file of that name.
            DatabaseUnreachable: This user may not read the folder.
        """
        return self.url.file is not None and not self.url.uri and not self._exists(self.url.file)

    @property
    def identity(self) -> tuple[str, str]:
        """The identity of this database, for the guard's own-database tokens."""
        return self.dialect, self.url.file or self.url.driver

    @property
    def borrowed(self) -> bool:
        """Whether `work()` uses a connection of the caller: the named one, or that of an engine in memory."""
        return self.connection is not None or (self.in_memory and self.engine is not None)

    def in_schema(self, schema: str | None) -> Target:
        """Return this target with a named schema.

        Raises:
            UsageError: It is SQLite, which has one schema, or the name cannot name a schema for tables.
        """
        if schema is not None and self.dialect == "sqlite":
            raise UsageError(
                f"{self.shown} is SQLite, which has no schemas.", next_step="Leave the schema out."
            )
        if schema is not None and (not schema or "\0" in schema or len(schema.encode()) > LONGEST):
            raise UsageError("A schema's name has 1 to 63 bytes.", next_step=_another())
        if schema is not None and (schema.startswith("pg_") or schema in _KEPT_BY_SERVER):
            raise UsageError(
                f"'{schema}' is a word of PostgreSQL and cannot name a schema for tables.",
                next_step=_another(),
            )
        self.schema = schema
        return self

    def connect(
        self,
        purpose: str = APPLICATION_NAME,
        *,
        create: bool = True,
        settle: bool = True,
        filtered: bool = False,
    ) -> Link:
        """Open a new connection in autocommit mode, in the named schema.

        Args:
            purpose: The beginning of application_name on PostgreSQL, before the release.
            create: Whether SQLite may create a missing file; otherwise an empty database in memory replaces it.
            settle: Whether to set the settings of this package; otherwise the connection is like an application's.
                Behind a pooler nothing is set, because it would reach other clients.
            filtered: Whether row security may filter the rows.

        Raises:
            DatabaseUnreachable: The connection cannot be made.
            InvalidDatabase: The URL cannot be read by the driver, or is a directory.
        """
        link = self._opened(purpose, create=create)
        link.schema, link.filtered = self.schema, filtered
        if settle and self.dialect == "postgresql":
            try:
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
            if self.url.file is not None:
                raise self.unopened(self.url.file, error) from error
            raise unreachable(self.shown, error) from error

    @contextmanager
    def work(self, purpose: str = APPLICATION_NAME, *, filtered: bool = False) -> Iterator[Link]:
        """Open the connection for changes: the caller's, if one was given, else a new one.

        A caller's connection is returned in its original mode.
        """
        if not self.borrowed:
            with self.connect(purpose, filtered=filtered) as link:
                yield link
            return
        proxied = self.connection.connection if self.connection is not None else self._engine.raw_connection()
        with self._on(proxied.driver_connection, filtered=filtered) as link:
            yield link
        if self.connection is None:
            proxied.close()

    @contextmanager
    def read(self) -> Iterator[Link]:
        """Open a connection for reading: the caller's, an idle one of its Engine's pool, or a new one.

        Row security may filter the rows. A missing SQLite file is not created.
        """
        if self.borrowed:
            with self.work(filtered=True) as link:
                yield link
        elif self.engine is None or self.dialect == "sqlite":
            with self.connect(create=False, filtered=True) as link:
                yield link
        else:
            with self._read_pooled(self.engine) as link:
                yield link

    @contextmanager
    def _read_pooled(self, engine: Engine) -> Iterator[Link]:
        from diwa_schema.database import pooled

        with pooled.lent(engine) as raw:
            if raw is not None and pooled.as_born(engine, raw):
                with self._on(raw, filtered=True) as link:
                    yield link
                return
        with self.connect(settle=False, filtered=True) as link:
            if raw is not None:
                pooled.note_born(engine, link.raw)
            link.settle()
            yield link

    @contextmanager
    def _on(self, raw: Any, *, filtered: bool) -> Iterator[Link]:
        """Use a connection of the caller, and return it in its original mode."""
        with _autocommit(raw, self.dialect):
            link = Link(raw, self.dialect, self.url.shown, lambda: None, self.schema, filtered)
            before = link.settle()
            try:
                yield link
            finally:
                if before and not raw.closed:
                    link.abandon()
                    link.set(before)

    @property
    def _engine(self) -> Engine:
        assert self.engine is not None  # noqa: S101 - callers have checked it
        return self.engine

    def _from_pool(self, purpose: str) -> Link:
        # A new pool with the same settings: the caller's own may be full, and its connections carry session state.
        pool = self._engine.pool.recreate()
        proxied = pool.connect()
        raw: Any = proxied.driver_connection

        def close() -> None:
            proxied.close()
            pool.dispose()

        if self.dialect == "postgresql":
            # Settings of an application's hook would be lost, or stay open, with its transaction.
            raw.commit()
            raw.autocommit = True
            raw.execute("SELECT set_config('application_name', %s, false)", (application_name(purpose),))
        else:
            raw.isolation_level = None
        return Link(raw, self.dialect, self.url.shown, close)

    def _exists(self, file: str) -> bool:
        try:
            os.stat(file)  # noqa: PTH116 - Path.exists() takes a name that is refused for one that is not there
        except FileNotFoundError:
            return False
        except OSError as error:
            what = f"The system refuses the path of {self.shown}: {error.strerror or error}."
            if isinstance(error, PermissionError):
                raise DatabaseUnreachable(
                    what, next_step="Give this user access to the folder, or name another path."
                ) from error
            raise InvalidDatabase(what, next_step="Name another path.") from error
        return True

    def unopened(self, file: str, error: Exception) -> DatabaseUnreachable:
        """Describe an SQLite file that cannot be opened; SQLite itself does not say why."""
        there = self._exists(file)
        if not there and not self._exists(os.path.dirname(file)):  # noqa: PTH120 - as above
            reason, way = "its folder does not exist", "Make the folder, or name another path."
        elif there:
            reason, way = brief(error), "Let this user read and write the file and its folder."
        else:
            reason, way = (
                "no file can be made in its folder",
                "Let this user write there, or name another path.",
            )
        return DatabaseUnreachable(
            f"The file of {self.shown} cannot be opened: {reason}.", next_step=way, database=self.shown
        )

    def refuse_directory(self) -> None:
        """Refuse a directory in the place of an SQLite file.

        Raises:
            InvalidDatabase: It is one.
        """
        if self.url.file is not None and self._exists(self.url.file) and Path(self.url.file).is_dir():
            raise InvalidDatabase(
                f"'{self.url.file}' is a directory, and SQLite keeps a database in one file.",
                next_step="Name a file in it.",
            )

    def make_folder(self) -> None:
        """Create the folder of an SQLite file if it is absent.

        Raises:
            InvalidDatabase: The folder cannot be created.
        """
        if self.url.file is None or not self.absent:
            return
        folder = Path(self.url.file).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidDatabase(
                f"The folder of {self.shown} cannot be made: {error.strerror or error}.",
                next_step="Name another path, or make the folder.",
            ) from error

    def _open_sqlite(self, sqlite: Any, *, create: bool) -> Link:
        # The file itself instead of a link to it, so that the locked file is the opened one.
        path = self.url.driver if self.url.uri else self.url.file or ":memory:"
        if not create and self.absent:
            path = ":memory:"
        self.refuse_directory()
        options = {"timeout": 5.0, **dict(self.url.parameters)}
        raw = sqlite.connect(path, isolation_level=None, uri=self.url.uri, check_same_thread=False, **options)
        return Link(raw, "sqlite", self.url.shown)

    def _open_postgresql(self, psycopg: Any, purpose: str) -> Link:
        given = dict(self.url.parameters)
        if unusual := set(given) - _USUAL:
            known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
            if unknown := sorted(unusual - known):
                raise InvalidDatabase(
                    f"libpq has no parameter '{unknown[0]}', which {self.shown} contains.",
                    next_step="Leave it out, or write the same with a parameter of libpq, such as sslmode=require.",
                )
        settings: dict[str, Any] = {
            # A service and libpq's own variable can set the timeout; an argument would override them.
            **({} if _libpq_waits(given) else {"connect_timeout": 10}),
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }
        settings |= given | {"application_name": application_name(purpose)}

        def opened() -> Any:
            # A run sends each statement a few times, and after each change of a table the driver would prepare it
            # again.
            return psycopg.connect(**settings, autocommit=True, prepare_threshold=None)

        close = None
        try:
            if self.reused is None:
                raw = opened()
            else:
                raw, close = self.reused.lend(self.url.parameters, settings["application_name"], opened)
        except psycopg.ProgrammingError as error:
            raise InvalidDatabase(
                f"libpq does not understand {self.shown}: {brief(error)}",
                next_step="Correct the parameter, then run the command again.",
            ) from None
        return Link(raw, "postgresql", self.url.shown, close)


# The parameters of most URLs. A query for all parameters of libpq takes longer than everything else before a
# connection.
_USUAL = frozenset({"host", "port", "user", "password", "dbname", "sslmode", "options"})


def _libpq_waits(given: dict[str, Any]) -> bool:
    return "service" in given or any(name in os.environ for name in ("PGCONNECT_TIMEOUT", "PGSERVICE"))


def _refuse_open_transaction(connection: Connection) -> None:
    if connection.in_transaction():
        raise ConnectionInUse(
            "The Connection is already in a transaction, and its rollback would undo the run.",
            next_step="Commit or roll back before the call, or pass the Engine.",
        )


def _not_a_database(database: object) -> InvalidDatabase:
    return InvalidDatabase(
        f"A {type(database).__name__} is not a database.",
        next_step="Pass a URL, a SQLAlchemy Engine or a SQLAlchemy Connection.",
    )


def _autocommit(raw: Any, dialect: Dialect) -> AbstractContextManager[None]:
    return _autocommit_postgresql(raw) if dialect == "postgresql" else _autocommit_sqlite(raw)


@contextmanager
def _autocommit_postgresql(raw: Any) -> Iterator[None]:
    before = raw.autocommit
    # SQLAlchemy knows of no transaction; an open one holds the settings of an application's hook.
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
    # With enforced foreign keys, a drop of a table first deletes its rows, and with them rows of other tables.
    raw.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        raw.rollback()
        raw.execute(f"PRAGMA foreign_keys = {enforced}")
        raw.isolation_level = before
