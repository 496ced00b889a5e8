"""The recovery of an application's engine after a migration has changed types.

A migration changes types under open connections. A statement that a connection prepared earlier keeps the old types.
The server refuses it (SQLSTATE 0A000 if its result changed, 42804 or 42883 if a parameter no longer fits), and some
drivers send it again for ever. An engine that has used one of this package's types therefore executes its statements
through this module:

* A statement that fails in such a way **before anything else was sent in its transaction** is rolled back, the
  connection discards its prepared statements, and the statement is sent once more. The application does not notice.
  If it fails again, the cause is in the caller's code, and the caller gets that error. No connection is dropped.
* In the middle of a transaction nothing can be sent again: the caller gets the error, and the connection discards its
  prepared statements, so that the next attempt succeeds.
* A successful second attempt proves a change of types. The other connections of the engine then discard their prepared
  statements before their next statement.
* Tenants of one pool can have different types while their schemas are at different revisions. If the search path is set
  at the beginning of each transaction, each change of the tenant would cause the same error in the middle of a
  transaction. So an engine that has met it uses no prepared statements for five minutes, and none at all any more if it
  meets it again in the five minutes after them.

A listener of the application for the same events of SQLAlchemy (`do_execute`) is called as well. One that sends
statements itself must be added after `heal(engine)`: SQLAlchemy asks no other one then.

The module does not check which tables have changed, and it does not read the texts of errors, because they are
translated.

Before its first statement each connection states the release of the models in its `application_name`: a change that
breaks old code waits until no process runs that code any more (`diwa_schema.release`).
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from inspect import iscoroutinefunction
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, InvalidRequestError
from sqlalchemy.sql.visitors import iterate

from diwa_schema.models.kinds import Kinds
from diwa_schema.names import literal
from diwa_schema.release import UNNAMED, application_name

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

STALE = frozenset({
    "0A000",  # the result of a prepared statement changed
    "26000",  # the prepared statement is gone
    "42804", "42883",  # a parameter has a type that no longer fits its column
    "22000", "22021", "22P02", "22P03",  # a parameter is spelled for the column's earlier type
    "XX000",  # a type in a prepared statement was dropped
})  # fmt: skip
"""What the server says to a statement that was prepared before a change, and to some mistakes of a caller."""

_OF_TYPES = frozenset({"0A000", "26000", "42804", "42883"})  # whatever the values of the parameters are

# Only these statements do all of their work or nothing. Others, such as CALL or CREATE INDEX CONCURRENTLY, may have
# committed a part before they failed. Where a comment holds another one, this finds neither.
_ATOMIC = re.compile(
    r"(?:[\s(]|--[^\n]*\n|/\*(?:(?!/\*).)*?\*/)*(?:select|insert|update|delete|merge|with|values|table)\b",
    re.IGNORECASE | re.DOTALL,
)
# A text without parameters can hold several statements.
_COMMITS = re.compile(r";.*\b(?:commit|end|prepare|call|do)\b", re.IGNORECASE | re.DOTALL)

# How long an engine that met a stale statement in the middle of a transaction prepares nothing: most changes end in it.
_PAUSE = 300.0  # seconds
_DOUBTED = 8  # statements that one connection remembers

_IDLE = 0  # PQTRANS_IDLE of libpq
_UTC = (
    "UTC",
    "Etc/UTC",
    "GMT",
    "Etc/GMT",
    "Zulu",
    "Etc/Zulu",
    "Universal",
    "Etc/Universal",
    "UCT",
    "Etc/UCT",
)
_ENFORCED = "diwa_schema.foreign_keys"


def heal(engine: Engine | AsyncEngine) -> None:
    """Let an engine recover automatically when a migration changes types under its open connections.

    Engines that execute a statement with the models already recover, and so do engines passed to `ensure_current`. This
    function is for an engine that sends only text. On SQLite it only sets up foreign keys, as the models need them.

    Args:
        engine: An Engine or an AsyncEngine.

    Raises:
        UsageError: The driver does not support the types of the schema. Nothing was sent.
    """
    watch(getattr(engine, "sync_engine", engine).dialect)


def renewed(connection: Any, error: BaseException) -> bool:
    """Make a psycopg connection discard its prepared statements if a change of types may have caused an error.

    For applications that use psycopg without SQLAlchemy::

        except psycopg.Error as error:
            if not renewed(connection, error):
                raise
            rows = connection.execute(query, values).fetchall()

    The function rolls back a transaction that the error has aborted, so the caller must repeat the whole transaction.

    Args:
        connection: A `psycopg.Connection`.
        error: The error of the statement.

    Returns:
        Whether the statement is worth sending again. Send it once: a second failure has another cause.
    """
    if _state(error) not in STALE:
        return False
    if iscoroutinefunction(connection.rollback):
        from diwa_schema.errors import UsageError

        raise UsageError(
            f"renewed cannot wait for a connection of type {type(connection).__name__}.",
            next_step="Call: await arenewed(connection, error)",
        )
    _Psycopg().renew(connection, None)
    return True


async def arenewed(connection: Any, error: BaseException) -> bool:
    """Make a connection of an asynchronous driver discard its prepared statements, as `renewed` does.

    For applications that use asyncpg or psycopg's `AsyncConnection` without SQLAlchemy::

        except asyncpg.PostgresError as error:
            if not await arenewed(connection, error):
                raise
            rows = await connection.fetch(query, *values)

    In a transaction of asyncpg's, call it after the block of the transaction, and repeat the whole transaction.

    Args:
        connection: A `psycopg.AsyncConnection`, or a connection of asyncpg, also one of its pool.
        error: The error of the statement.

    Returns:
        Whether the statement is worth sending again. Send it once: a second failure has another cause.
    """
    if _state(error) not in STALE:
        return False
    if hasattr(connection, "reload_schema_state"):
        # Behind a pooler, which may have prepared the statement as well, another process answers. In a transaction that
        # has failed, the server answers no query.
        if not connection.is_in_transaction():
            answering = await connection.fetchval("SELECT pg_backend_pid()")
            if answering != connection.get_server_pid():
                await connection.execute("DEALLOCATE ALL")
        await connection.reload_schema_state()
        return True
    if connection.info.transaction_status == _IDLE:
        await connection.execute("BEGIN")
    await connection.rollback()
    return True


def watch(dialect: Dialect) -> None:
    """Execute the statements of all engines of a dialect through this module from now on.

    Raises:
        UsageError: The driver does not support the types of the schema.
    """
    # A run's own connection does not recover: SQLAlchemy does not manage its transactions, and it sends nothing twice.
    if dialect in _watched or dialect.name not in _WATCHERS or getattr(dialect, "diwa_schema_own", False):
        return
    with _starting:
        if dialect not in _watched:
            _watched[dialect] = watcher = _WATCHERS[dialect.name](dialect)
            event.listen(dialect, "do_execute", watcher.execute)
            event.listen(dialect, "do_executemany", watcher.executemany)
            event.listen(dialect, "do_execute_no_params", watcher.execute_bare)


def refuse_driver(driver: str) -> None:
    """Refuse a driver for PostgreSQL with which the models do not work.

    Raises:
        UsageError: The driver does not support the types of the schema.
    """
    if driver not in _DRIVERS:
        from diwa_schema.errors import UsageError

        raise UsageError(
            f"The driver {driver} does not support the types of the schema: it would write an"
            " embedding as plain text. Nothing was sent.",
            next_step="Connect with postgresql+psycopg:// or postgresql+asyncpg://",
        )


class _Postgresql:
    """The executor of one engine's statements on PostgreSQL."""

    def __init__(self, dialect: Dialect) -> None:
        # A dialect without a driver only renders statements.
        if getattr(dialect, "dbapi", None) is not None:
            refuse_driver(dialect.driver)
        self.driver: _Psycopg | _Asyncpg = _DRIVERS.get(dialect.driver, _Psycopg)()
        self.dbapi: Any = getattr(dialect, "dbapi", None)
        self.named: WeakSet[Any] = WeakSet()
        self.kinds = Kinds()
        self.changed = 0.0
        self.doubted: WeakKeyDictionary[Any, deque[str]] = WeakKeyDictionary()
        self.pause_ends = 0.0

    def execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """Send a statement with one set of parameters."""
        self._refuse_other_zones(context)
        self.kinds.notice(statement, context)

        def send() -> None:
            decided = self.kinds.decided(parameters, context)
            _send("do_execute", self.execute, context.dialect, cursor, statement, decided, context)

        self._send(send, cursor, statement, context)
        return True

    def executemany(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        """Send a statement with many sets of parameters."""
        self._refuse_other_zones(context)

        def send() -> None:
            decided = [self.kinds.decided(each, context) for each in parameters]
            _send("do_executemany", self.executemany, context.dialect, cursor, statement, decided, context)

        self._send(send, cursor, statement, context, many=True)
        return True

    def execute_bare(self, cursor: Any, statement: str, context: Any) -> bool:
        """Send a statement without parameters."""
        self._refuse_other_zones(context)
        self.kinds.notice(statement, context)

        def send() -> None:
            _send("do_execute_no_params", self.execute_bare, context.dialect, cursor, statement, context)

        self._send(send, cursor, statement, context)
        return True

    def _send(
        self, send: Callable[[], None], cursor: Any, statement: str, context: Any, *, many: bool = False
    ) -> None:
        link = context.root_connection.connection
        driver = _driver_of(link)
        first = self.driver.is_idle(driver)
        if first and driver not in self.named and not context.execution_options.get(UNNAMED):
            self._say_release(link)
        if time.time() < self.pause_ends:
            self.driver.bypass(link, cursor, first=first)
        else:
            self.driver.prepare(link, cursor, first=first, changed=self.changed)
        try:
            send()
        except Exception as error:
            self.kinds.forget(context)
            unsent = not many and _refused_by_asyncpg(error)
            if not unsent and _state(error) not in STALE:
                raise
            if first:
                self.driver.renew(link.dbapi_connection, cursor)
            else:
                self.driver.suspect(link, cursor)
                if _state(error) in _OF_TYPES:
                    self.doubted.setdefault(driver, deque(maxlen=_DOUBTED)).append(statement)
            # In AUTOCOMMIT some of the rows may have been committed before one failed.
            once_more = unsent or (first and not (many and link.dbapi_connection.autocommit))
            if not once_more or not _ATOMIC.match(statement) or _COMMITS.search(statement):
                raise
        else:
            if self.doubted and statement in self.doubted.get(driver, ()):
                self._pause(driver)
            return
        send()
        self.changed = time.time()

    def _pause(self, driver: Any) -> None:
        """Prepare nothing for a while: a statement failed in a transaction and works now, so it was no mistake."""
        del self.doubted[driver]
        now = time.time()
        if now >= self.pause_ends:
            self.pause_ends = inf if now < self.pause_ends + _PAUSE else now + _PAUSE
            self.changed = now

    def _refuse_other_zones(self, context: Any) -> None:
        link = context.root_connection.connection
        _refuse_server_times(context, lambda: self.driver.setting(_driver_of(link), "TimeZone"))

    def _say_release(self, link: Any) -> None:
        """Add the release to the name of a connection without a transaction; try this only once."""
        self.named.add(_driver_of(link))
        # The server reports the name unasked, so this sends no query.
        now = self.driver.setting(_driver_of(link), "application_name")
        name = application_name(now)
        if name == now:
            return
        cursor = link.dbapi_connection.cursor()
        try:
            cursor.execute(f"SET application_name = {literal(name)}")
            link.dbapi_connection.commit()
        except self.dbapi.Error:
            # A pooler may refuse this. The caller's own statement shows whether the connection works.
            link.dbapi_connection.rollback()
        finally:
            cursor.close()


class _Psycopg:
    """The reset for psycopg: a connection discards its prepared statements itself after a ROLLBACK."""

    def __init__(self) -> None:
        self.fresh_since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self.thresholds: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def is_idle(self, driver: Any) -> bool:
        return bool(driver.pgconn.transaction_status == _IDLE)

    def setting(self, driver: Any, name: str) -> str:
        return driver.info.parameter_status(name) or ""

    def prepare(self, link: Any, cursor: Any, *, first: bool, changed: float) -> None:
        """Before a transaction, discard statements that were prepared before a change."""
        driver = _driver_of(link)
        if driver in self.thresholds:
            driver.prepare_threshold = self.thresholds.pop(driver)
        if first and self.fresh_since.setdefault(driver, time.time()) < changed:
            self.renew(link.dbapi_connection, cursor)
            self.fresh_since[driver] = time.time()

    def bypass(self, link: Any, _: Any, *, first: bool) -> None:
        """Send the next statement without a prepared one."""
        driver = _driver_of(link)
        if driver.prepare_threshold is not None:
            self.thresholds[driver] = driver.prepare_threshold
            driver.prepare_threshold = None

    def renew(self, connection: Any, _: Any) -> None:
        if connection.info.transaction_status == _IDLE:
            # After AUTOCOMMIT there is nothing to roll back, and psycopg would send no ROLLBACK.
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            cursor.close()
        connection.rollback()

    def suspect(self, link: Any, cursor: Any) -> None:
        """Do nothing: the caller must roll back, which is enough."""


class _Asyncpg:
    """The reset for asyncpg: SQLAlchemy prepares statements again that are older than a cursor's time stamp.

    An engine without that cache never has a stale statement of its own, but a pooler may have one: PgBouncer from 1.21
    on prepares equal texts once on each of its sessions, whatever name the client gives them, and keeps them for ever.
    Only DEALLOCATE ALL reaches them, on the session that the transaction has. Such an engine therefore begins each
    transaction with it for some minutes after a stale statement. It costs a round trip, and no statement of the engine
    depends on what is lost.
    """

    def __init__(self) -> None:
        self.fresh_since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self.cleaning_ends = 0.0

    def is_idle(self, driver: Any) -> bool:
        return not driver.is_in_transaction()

    def setting(self, driver: Any, name: str) -> str:
        return getattr(driver.get_settings(), name, "")

    def prepare(self, link: Any, cursor: Any, *, first: bool, changed: float) -> None:
        _prepare_anew(cursor, max(changed, self.fresh_since.get(_driver_of(link), 0.0)))
        if first and time.time() < self.cleaning_ends:
            self._clean(link.dbapi_connection)

    def bypass(self, link: Any, cursor: Any, *, first: bool) -> None:
        """Prepare the next statement anew."""
        self.prepare(link, cursor, first=first, changed=time.time())

    def renew(self, connection: Any, cursor: Any) -> None:
        connection.rollback()
        _prepare_anew(cursor, time.time())
        self.cleaning_ends = time.time() + _PAUSE
        self._clean(connection)

    def _clean(self, connection: Any) -> None:
        """Begin the transaction with the end of all prepared statements, if none of them is in use by the driver."""
        if connection._prepared_statement_cache is None:  # noqa: SLF001
            cursor = connection.cursor()
            cursor.execute("DEALLOCATE ALL")
            cursor.close()

    def suspect(self, link: Any, cursor: Any) -> None:
        self.cleaning_ends = time.time() + _PAUSE
        self.fresh_since[_driver_of(link)] = moment = time.time()
        _prepare_anew(cursor, moment)


def _send(event_name: str, own: Any, dialect: Dialect, *statement: Any) -> None:
    """Send a statement as SQLAlchemy does, through the listeners of the application that it has not called yet."""
    listeners: list[Any] = list(getattr(dialect.dispatch, event_name))
    for listener in listeners[listeners.index(own) + 1 :]:
        if listener(*statement):
            return
    getattr(dialect, event_name)(*statement)


def _prepare_anew(cursor: Any, moment: float) -> None:
    cursor._invalidate_schema_cache_asof = max(cursor._invalidate_schema_cache_asof, moment)  # noqa: SLF001


class _Sqlite:
    """The executor on SQLite: it enables foreign keys on each connection before the first statement with a model.

    The database deletes the rows that refer to a deleted one, and SQLite enforces foreign keys only on request. A
    session that reads the models may delete rows by a text, which names no model.
    """

    def __init__(self, dialect: Dialect) -> None:
        """Accept the dialect, which is not needed."""

    def execute(self, _cursor: Any, _statement: str, _parameters: Any, context: Any) -> bool:
        """Look at a statement before SQLAlchemy sends it."""
        return self.execute_bare(_cursor, _statement, context)

    executemany = execute

    def execute_bare(self, _cursor: Any, _statement: str, context: Any) -> bool:
        """Look at a statement before SQLAlchemy sends it."""
        _refuse_server_times(context)
        writes = context.isinsert or context.isupdate or context.isdelete
        known = context.root_connection.connection.info.get(_ENFORCED)
        # A read tries it once on each connection, a write until it succeeds.
        if not known and (writes or known is None) and _has_models(context.compiled):
            self._enforce(context)
        return False

    def _enforce(self, context: Any) -> None:
        link = context.root_connection.connection
        cursor = link.cursor()
        try:
            # It has no effect inside a transaction, so the code checks the result.
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute("PRAGMA foreign_keys")
            link.info[_ENFORCED] = bool(cursor.fetchone()[0])
        finally:
            cursor.close()
        if context.isdelete and not link.info[_ENFORCED]:
            raise InvalidRequestError(
                "SQLite does not enforce foreign keys on this connection, so rows that refer to the deleted"
                " one would stay. Nothing was deleted. Call diwa_schema.models.enforce_foreign_keys(engine)"
                " before the engine is used."
            )


def _has_models(compiled: Any) -> bool:
    """Return whether a statement has a table whose metadata asks for foreign keys."""
    if compiled is None or compiled.statement is None:
        return False
    tables = (getattr(each, "table", each) for each in (compiled.statement, *iterate(compiled.statement)))
    return any(getattr(getattr(each, "metadata", None), "keeps_foreign_keys", False) for each in tables)


def _refuse_server_times(context: Any, zone: Callable[[], str] = str) -> None:
    """Refuse a statement in which the server's time is not in UTC where no column converts it.

    Args:
        context: The context of the statement. Each compiled statement is examined once.
        zone: Returns the time zone of the session, which the server reports unasked; empty on SQLite, where the
            server's time is another text than a column's.
    """
    compiled = context.compiled
    if compiled is None:
        return
    if compiled not in _server_times:
        from diwa_schema.models.types.times import column_of_server_time

        _server_times[compiled] = column_of_server_time(compiled.statement)
    column = _server_times[compiled]
    if column is not None and zone() not in _UTC:
        raise ArgumentError(
            f"func.now() is not in UTC here, and {column} is. Nothing was sent. Write datetime.now(UTC) instead; in a"
            " comparison, write the column on the left side."
        )


def _driver_of(link: Any) -> Any:
    """Return the driver's own connection; SQLAlchemy names it no more where it is detached from the pool."""
    connection = link.dbapi_connection
    return getattr(connection, "driver_connection", connection)


def _state(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error; SQLAlchemy's class for a stale asyncpg statement has it in its cause."""
    found = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
    return None if found is None else str(found)


def _refused_by_asyncpg(error: BaseException) -> bool:
    """Return whether asyncpg itself refused a parameter because of the expected column type; then nothing was sent.

    It raises the class for data errors of the server, but without the fields of a server error.
    """
    cause = error.__cause__
    by_asyncpg = type(cause).__module__.startswith("asyncpg.")
    return by_asyncpg and type(cause).__name__ == "DataError" and getattr(cause, "severity", None) is None


_WATCHERS: dict[str, Callable[[Dialect], Any]] = {"postgresql": _Postgresql, "sqlite": _Sqlite}
_DRIVERS: dict[str, Callable[[], _Psycopg | _Asyncpg]] = {
    "psycopg": _Psycopg,
    "psycopg_async": _Psycopg,
    "asyncpg": _Asyncpg,
}
_watched: WeakKeyDictionary[Dialect, Any] = WeakKeyDictionary()
_server_times: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()
_starting = Lock()
