"""The start-up check of an application: one query if the schema is current, a clear message if not."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from os import PathLike
from typing import TYPE_CHECKING, Any

from diwa_schema.database import bookkeeping, presence, seen
from diwa_schema.database.ecto_list import refuse_changed_list
from diwa_schema.database.failures import (
    PERMISSION,
    brief,
    cause,
    explain,
    is_driver_error,
    sqlstate,
    unreachable,
)
from diwa_schema.database.link import Link
from diwa_schema.database.named import naming_its_database
from diwa_schema.database.spelling import mask
from diwa_schema.database.state import LEDGER, State, refuse_unknown, unknown_revision
from diwa_schema.database.target import Target
from diwa_schema.database.url import default_embedded_path, embedded_url, from_environment, parse
from diwa_schema.errors import (
    DiwaSchemaError,
    PermissionMissing,
    SchemaEmpty,
    SchemaForeign,
    SchemaOutOfDate,
    UsageError,
    command,
    module_command,
)
from diwa_schema.migrations.manifest import Manifest, load
from diwa_schema.names import qualified
from diwa_schema.release import UNNAMED

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

    from diwa_schema.database.target import Database

_OPENED = "diwa_schema_opened"


@naming_its_database
def ensure_current(
    database: Database | None = None,
    *,
    embedded: bool | str | PathLike[str] | None = None,
    schema: str | None = None,
    note: bool | None = None,
) -> None:
    """Return if this version of the package works with the database; raise otherwise.

    If the schema is current, the check takes one query, and one more while Ecto's list of versions is there. It then
    notes in the database that this release has started. It omits the note if writing would have to wait, if the role
    may not write it, or if the caller has an open transaction on the Connection, which stays untouched. Nothing else is
    written, and a check that raises writes nothing. A connection that was opened for the check is closed and does not
    stay in the Engine's pool, because worker processes that are forked later would share it. Async applications call
    `aensure_current`. A checked engine recovers from later schema changes automatically (`diwa_schema.models.heal`).

    Args:
        database: A URL, an Engine or a Connection; by default the URL from the environment.
        embedded: The private SQLite database of this installation: True for its default path, or another path.
        schema: The schema of the tables; by default the first of the connection's search path.
        note: Whether to note the start; by default yes, unless ``DIWA_NOTE_RELEASE`` is ``false``.

    Raises:
        SchemaOutOfDate: The database is behind; the message names the pending revisions and the command.
        SchemaEmpty: The database contains no part of the schema yet.
        DriftFound: The database is recorded as current but lacks tables, for example after an incomplete restore.
        SchemaTooNew: The database no longer works with this version; the message names the version to install.
        NotAdopted: Ecto created the database, and it has not been taken over yet.
        SchemaForeign: The tables belong to another tool, or the revision is unknown.
        DatabaseRefused: Ecto's list of versions was changed after the takeover, as `mix ecto.rollback` does, or the
            file is damaged or no SQLite database.
        PermissionMissing: The role may not read the schema's revision, or row security hides it.
        DatabaseUnreachable: The database did not accept a connection.
        UsageError: The argument is an AsyncEngine or an AsyncConnection, names two databases or a schema of SQLite, or
            is an engine or a URL whose driver does not support the types of the schema.
    """
    if hasattr(database, "sync_engine"):
        raise UsageError(
            f"ensure_current cannot wait for an {type(database).__name__}.",
            next_step="Call: await diwa_schema.aensure_current(engine)",
        )
    if embedded is not None and embedded is not False:
        if database is not None:
            raise UsageError("The call names a database and the embedded one.", next_step="Name one of them.")
        database = embedded_url(embedded)
    if (dialect := getattr(database, "dialect", None)) is not None:
        from diwa_schema.models.engines import watch

        watch(dialect)
    elif database is None or isinstance(database, str) or hasattr(database, "drivername"):
        database = from_environment() if database is None else database
        _refuse_driver(getattr(database, "drivername", None) or str(database).partition("://")[0])
    with _reading(database) as link:
        if schema is not None and link.dialect == "sqlite":
            raise UsageError(
                f"{link.shown} is an SQLite database, which has no schemas.",
                next_step="Leave the schema out.",
            )
        link.schema = schema
        judge(link)
        if seen.wanted(note):
            _note(link)


def _refuse_driver(scheme: str) -> None:
    """Refuse a URL with whose driver the models do not work; this check itself would, over its own driver."""
    family, named, driver = scheme.strip().lower().partition("+")
    if named and family in ("postgresql", "postgres"):
        from diwa_schema.models.engines import refuse_driver

        refuse_driver(driver)


async def aensure_current(
    database: AsyncEngine | AsyncConnection, *, schema: str | None = None, note: bool | None = None
) -> None:
    """Return if this version of the package works with the database; raise otherwise.

    Args:
        database: An AsyncEngine or an AsyncConnection with any of SQLAlchemy's drivers for the two databases.
        schema: As for `ensure_current`.
        note: As for `ensure_current`.

    Raises:
        DiwaSchemaError: As for `ensure_current`; nothing was written.
        UsageError: The argument is neither an AsyncEngine nor an AsyncConnection.
    """
    if hasattr(database, "run_sync"):
        await database.run_sync(ensure_current, schema=schema, note=note)
        return
    if not hasattr(database, "sync_engine"):
        raise UsageError(
            f"A {type(database).__name__} is neither an AsyncEngine nor an AsyncConnection.",
            next_step="Pass one of these, or call: diwa_schema.ensure_current(...)",
        )
    from sqlalchemy.util import greenlet_spawn

    # The sync Engine waits for its async driver inside a greenlet, as it does for SQLAlchemy itself.
    await greenlet_spawn(ensure_current, database.sync_engine, schema=schema, note=note)


def judge(link: Link, history: Manifest | None = None) -> None:
    """Return or raise as `ensure_current` does, for the database behind an open connection.

    Args:
        link: The connection.
        history: The history of the calling release; by default the installed one.
    """
    history = history or load()
    rows = _versions(link)
    if len(rows) == 1 and rows[0][0] == history.head and rows[0][2]:
        _refuse_changed_list(link, rows[0])
        return
    try:
        _judge(link, bookkeeping.look(link), history)
    except Exception as error:
        if isinstance(error, DiwaSchemaError) or not _is_refusal(error):
            raise
        if sqlstate(error) != PERMISSION:
            raise explain(error, link.shown, "reading") from error
        raise PermissionMissing(
            f"The database role may not read the revision of {link.shown}: {brief(error)}",
            next_step=f"Grant it the role of the application or of the reader. To see both, run: {command('roles')}",
        ) from error


def _refuse_changed_list(link: Link, row: tuple[Any, ...]) -> None:
    revision, floor, _, name = row
    if name is not None and (listed := presence.listed(link, name)) is not None:
        refuse_changed_list(State("", frozenset(), ((revision, floor),), listed), link.shown)


def _versions(link: Link) -> list[tuple[Any, ...]]:
    try:
        return presence.versions(link)
    except Exception as error:
        if not _is_refusal(error):
            raise
        return []


def _is_refusal(error: Exception) -> bool:
    """Return whether the database refused a statement; asyncpg's errors show this only by their SQLSTATE."""
    return is_driver_error(error) or sqlstate(error) is not None


def _judge(link: Link, state: State, history: Manifest) -> None:
    shown = link.shown
    if state.revision is not None and state.revision > history.head and len(state.versions) == 1:
        _judge_newer(link, state, history)
        return
    refuse_unknown(state, history, shown)
    presence.refuse_missing(state, shown)
    pending = history.between(state.revision, history.head)
    if not pending:
        return
    names = ", ".join(f"{step.revision} {step.slug}" for step in pending[:3])
    more = f" and {len(pending) - 3} more" if len(pending) > 3 else ""  # noqa: PLR2004 - as many as fit a line
    kind = SchemaEmpty if state.revision is None else SchemaOutOfDate
    where = "empty" if state.revision is None else f"at revision {state.revision}"
    raise kind(
        f"The schema of {shown} is out of date: it is {where}, and this application needs {history.head}."
        f" Pending: {names}{more}.",
        next_step=(state.revision is None and presence.meant(presence.elsewhere(link, state.schema)))
        or _another_way(shown)
        or f"In the diwa-cloud repository, run: {module_command('upgrade')}",
        current=state.revision,
        head=history.head,
        pending=[step.revision for step in pending],
    )


def _another_way(shown: str) -> str:
    """Return the next step for pending revisions where it is not simply the owner's; empty if it is."""
    again = module_command("upgrade")
    if "--embedded" in again:
        return f"Run: {again}"
    if not shown.startswith("sqlite"):
        return ""
    named = parse(shown)
    if named.in_memory:
        return "A database in memory begins empty. Call diwa_schema.migrate(engine) first, or name a file."
    if named.file == str(default_embedded_path()):
        return "Run: python -m diwa_schema upgrade --embedded"
    return ""


def _judge_newer(link: Link, state: State, history: Manifest) -> None:
    applied = f"SELECT 1 FROM {qualified(state.schema, LEDGER)} WHERE revision = %s AND outcome = 'applied'"
    if LEDGER not in state.tables or link.value(applied, (state.revision,)) is None:
        raise SchemaForeign(
            f"{link.shown} is at revision {state.revision}, which is above {history.head}, the last one this package"
            " knows, and the ledger does not list it as applied.",
            next_step=f"Read the ledger: {command('history --applied')}",
            current=state.revision,
            head=history.head,
        )
    if state.floor is not None and state.floor > history.head:
        raise unknown_revision(state, history, link.shown)


def _note(link: Link) -> None:
    """Note the start on the driver's connection behind a link, unless its caller has an open transaction."""
    if not isinstance(link, AlchemyLink):
        seen.note(link.raw, link.dialect, link.schema, commit=False)
    elif link.autocommit or not link.raw.in_transaction():
        connection = link.raw.connection.dbapi_connection
        seen.note(connection, link.dialect, link.schema, commit=not link.autocommit)


@contextmanager
def _reading(database: Any) -> Iterator[Link]:
    """Yield a link for reading: a new one for a URL, SQLAlchemy's for an Engine or a Connection."""
    if hasattr(database, "exec_driver_sql"):
        yield AlchemyLink(database)
    elif hasattr(database, "pool"):
        if (absent := _absent(database)) is not None:  # a connection of the engine would create the file
            with absent.connect(create=False, filtered=True) as link:
                yield link
            return
        with _connected(database) as connection:
            yield AlchemyLink(connection)
    else:
        with Target.of(database).connect(create=False, filtered=True) as link:
            yield link


def _absent(engine: sa.Engine) -> Target | None:
    """Return the target of an engine for an SQLite file that does not exist yet; None for any other engine."""
    target = _of_file(engine)
    return target if target is not None and target.absent else None


def _of_file(engine: sa.Engine) -> Target | None:
    """Return the target of an engine for an SQLite file; None for any other engine."""
    file = engine.url.database
    if engine.dialect.driver not in ("pysqlite", "aiosqlite") or not file or file == ":memory:":
        return None
    from diwa_schema.database import engines

    return Target(engines.of_async_engine(engine) if engine.dialect.is_async else engines.of_engine(engine))


@contextmanager
def _connected(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Connect as the engine does, without adding a connection to its pool.

    A process that runs the check and then forks its workers, such as gunicorn with a preloaded application, would pass
    the same connection to all of them, and their answers would be mixed up.
    """
    from sqlalchemy import event
    from sqlalchemy.pool import QueuePool

    if not event.contains(engine.pool, "connect", _note_when_opened):
        event.listen(engine.pool, "connect", _note_when_opened)
    began = time.monotonic()
    try:
        connection = engine.connect()
    except Exception as error:
        if _is_refusal(error) or isinstance(cause(error), OSError):
            if (target := _of_file(engine)) is not None and target.url.file is not None:
                target.refuse_directory()
                raise target.unopened(target.url.file, error) from error
            raise unreachable(mask(str(engine.url)), error) from error
        raise
    with connection:
        try:
            yield connection
        finally:
            # Other pools keep no connection, or one that all their users share, such as a database in memory.
            if isinstance(engine.pool, QueuePool) and connection.info.get(_OPENED, 0) >= began:
                connection.invalidate()


def _note_when_opened(_: object, record: ConnectionPoolEntry) -> None:
    record.info[_OPENED] = time.monotonic()


class AlchemyLink(Link):
    """A link through the caller's SQLAlchemy Connection, for reading.

    If the caller has an open transaction, each statement runs in a savepoint, so that a missing table does not abort
    it. Otherwise each statement runs in a transaction that ends immediately.
    """

    def __init__(self, connection: sa.Connection) -> None:
        name: Any = connection.dialect.name
        super().__init__(connection, name, "", close=lambda: None, filtered=True)

    @property
    def database(self) -> str:
        """The masked URL; it is not needed if the schema is current."""
        return mask(str(self.raw.engine.url))

    @database.setter
    def database(self, _: str) -> None: ...

    @property
    def autocommit(self) -> bool:
        """Whether the driver has no open transaction, whatever state SQLAlchemy reports."""
        connection: sa.Connection = self.raw
        dbapi_connection: Any = connection.connection.dbapi_connection
        return bool(connection.dialect.detect_autocommit_setting(dbapi_connection))

    def _run(self, sql: str, params: Any) -> Any:
        connection: sa.Connection = self.raw
        # The connection may be closed after the check, so it does not state its release.
        text, options = sql, {UNNAMED: True}
        if not params:
            # Otherwise a percent sign in a schema's name would begin a placeholder.
            options["no_parameters"] = True
        elif connection.dialect.paramstyle == "numeric_dollar":
            numbers = count(1)
            text = re.sub("%s", lambda _: f"${next(numbers)}", sql)
        elif self.dialect == "sqlite":
            text = sql.replace("%s", "?")

        def send() -> Any:
            # Fetch all rows now: their savepoint or transaction ends before the caller reads them.
            return connection.exec_driver_sql(text, tuple(params) or None, options).freeze()()

        if self.autocommit:
            return send()
        if connection.in_transaction():
            with connection.begin_nested():
                return send()
        try:
            return send()
        finally:
            connection.rollback()
