"""The start-up check of an application: one query when the schema is current, and plain words when it is not."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from os import PathLike
from typing import TYPE_CHECKING, Any

from diwa_schema.database import bookkeeping, presence, seen
from diwa_schema.database.failures import PERMISSION, brief, cause, is_driver_error, sqlstate, unreachable
from diwa_schema.database.link import Link
from diwa_schema.database.spelling import mask
from diwa_schema.database.state import LEDGER, State, refuse_unknown, unknown_revision
from diwa_schema.database.target import Target
from diwa_schema.database.url import embedded_url
from diwa_schema.errors import (
    PermissionMissing,
    SchemaEmpty,
    SchemaForeign,
    SchemaOutOfDate,
    UsageError,
    command,
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


def ensure_current(
    database: Database | None = None,
    *,
    embedded: bool | str | PathLike[str] | None = None,
    schema: str | None = None,
    note: bool | None = None,
) -> None:
    """Return when the database can be worked with by this version of the package, else raise.

    One query when the schema is current. Then it is noted in the database that this release has started, unless that
    has to wait, the role may not write it, or the caller has a transaction open on the Connection, which stays as it
    is. Nothing else is written, and where this raises nothing is. A connection that was opened for the check is closed
    and not left in the Engine's pool: worker processes that are forked afterwards would share it. In an async
    application call `aensure_current`. An engine that was checked recovers by itself from later changes
    (`diwa_schema.models.heal`).

    Args:
        database: A URL, an Engine or a Connection; by default what the environment names.
        embedded: The private SQLite database of this installation: True for its default place, or its path.
        schema: The schema of the tables; by default the first of the connection's search path.
        note: Whether to note the start. By default it is, unless ``DIWA_NOTE_RELEASE`` is ``false``.

    Raises:
        SchemaOutOfDate: The database is behind; the message names the pending revisions and the command.
        SchemaEmpty: Nothing of the schema is there yet.
        DriftFound: It says that it is current and lacks tables, as after a restore that left some out.
        SchemaTooNew: The database no longer works with this version; the message names what to install.
        NotAdopted: Ecto made the database, and it has not been taken over.
        SchemaForeign: The tables are another tool's, or the revision is unknown.
        PermissionMissing: The role may not read where the schema stands, or row security hides it.
        DatabaseUnreachable: There is no connection.
        UsageError: An AsyncEngine or an AsyncConnection was given, two databases, a schema of SQLite, or an engine
            whose driver cannot carry the types of the schema.
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


async def aensure_current(
    database: AsyncEngine | AsyncConnection, *, schema: str | None = None, note: bool | None = None
) -> None:
    """Return when the database can be worked with by this version of the package, else raise.

    Args:
        database: An AsyncEngine or an AsyncConnection of any driver that SQLAlchemy has for the two databases.
        schema: As for `ensure_current`.
        note: As for `ensure_current`.

    Raises:
        DiwaSchemaError: As for `ensure_current`; nothing was written.
        UsageError: What was given is not SQLAlchemy's for async.
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

    # The Engine behind it waits for its driver wherever it runs in a greenlet, as it does for SQLAlchemy itself.
    await greenlet_spawn(ensure_current, database.sync_engine, schema=schema, note=note)


def judge(link: Link, history: Manifest | None = None) -> None:
    """Return or raise as `ensure_current` does, for the database behind an open connection.

    Args:
        link: The connection.
        history: The history of the release that asks; the installed one by default.
    """
    history = history or load()
    rows = _versions(link)
    if len(rows) == 1 and rows[0][0] == history.head and rows[0][2]:
        return
    try:
        _judge(link, bookkeeping.look(link), history)
    except Exception as error:
        if sqlstate(error) != PERMISSION:
            raise
        raise PermissionMissing(
            f"The database role may not read the revision of {link.shown} stands: {brief(error)}",
            next_step=f"Grant it the application's or the reader's role: {command('roles')} prints them.",
        ) from error


def _versions(link: Link) -> list[tuple[Any, ...]]:
    try:
        return presence.versions(link)
    except Exception as error:
        if not _is_refusal(error):
            raise
        return []


def _is_refusal(error: Exception) -> bool:
    """Whether a driver says that the database refused a statement; asyncpg's errors tell it by their SQLSTATE alone."""
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
        or "In the diwa-cloud repository, run: python -m diwa_schema upgrade",
        current=state.revision,
        head=history.head,
        pending=[step.revision for step in pending],
    )


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
    """Note the start on the driver's connection behind a link, unless its caller has a transaction open."""
    if not isinstance(link, AlchemyLink):
        seen.note(link.raw, link.dialect, link.schema, commit=False)
    elif link.autocommit or not link.raw.in_transaction():
        connection = link.raw.connection.dbapi_connection
        seen.note(connection, link.dialect, link.schema, commit=not link.autocommit)


@contextmanager
def _reading(database: Any) -> Iterator[Link]:
    """Give a link for reading: of our own for a URL, SQLAlchemy's for an Engine or a Connection."""
    if hasattr(database, "exec_driver_sql"):
        yield AlchemyLink(database)
    elif hasattr(database, "pool"):
        with _connected(database) as connection:
            yield AlchemyLink(connection)
    else:
        with Target.of(database).connect(create=False, filtered=True) as link:
            yield link


@contextmanager
def _connected(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Connect as the engine does, and leave its pool no connection that was not there before.

    A process that checks at its start and then forks its workers, as gunicorn does with an application that is loaded
    before, would hand the same connection to all of them, and their answers would be mixed up.
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
            raise unreachable(mask(str(engine.url)), error) from error
        raise
    with connection:
        try:
            yield connection
        finally:
            # Other pools keep nothing, or the one connection that all their users have, such as a database in memory.
            if isinstance(engine.pool, QueuePool) and connection.info.get(_OPENED, 0) >= began:
                connection.invalidate()


def _note_when_opened(_: object, record: ConnectionPoolEntry) -> None:
    record.info[_OPENED] = time.monotonic()


class AlchemyLink(Link):
    """A link through the caller's SQLAlchemy Connection, for reading.

    Each statement runs in a savepoint where the caller has a transaction open, so that a missing table does not
    abort it, and in a transaction that is ended at once where not.
    """

    def __init__(self, connection: sa.Connection) -> None:
        name: Any = connection.dialect.name
        super().__init__(connection, name, "", close=lambda: None, filtered=True)

    @property
    def database(self) -> str:
        """The masked URL; nobody asks for it where the schema is current."""
        return mask(str(self.raw.engine.url))

    @database.setter
    def database(self, _: str) -> None: ...

    @property
    def autocommit(self) -> bool:
        """Whether the driver is in no transaction, whatever SQLAlchemy says of its own."""
        connection: sa.Connection = self.raw
        dbapi_connection: Any = connection.connection.dbapi_connection
        return bool(connection.dialect.detect_autocommit_setting(dbapi_connection))

    def _run(self, sql: str, params: Any) -> Any:
        connection: sa.Connection = self.raw
        # The connection of a check may be closed after it, and says nothing of itself.
        text, options = sql, {UNNAMED: True}
        if not params:
            # Without it, a percent sign in a schema's name would be read as the beginning of a placeholder.
            options["no_parameters"] = True
        elif connection.dialect.paramstyle == "numeric_dollar":
            numbers = count(1)
            text = re.sub("%s", lambda _: f"${next(numbers)}", sql)
        elif self.dialect == "sqlite":
            text = sql.replace("%s", "?")

        def send() -> Any:
            # All rows now: the savepoint or the transaction that they are read in ends before they are looked at.
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
