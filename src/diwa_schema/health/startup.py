"""The start-up check of an application: one query when the schema is current, and plain words when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diwa_schema.database import version
from diwa_schema.database.failures import PERMISSION, brief, is_driver_error, sqlstate, unreachable
from diwa_schema.database.ledger import LEDGER
from diwa_schema.database.link import Link
from diwa_schema.database.target import Target
from diwa_schema.errors import PermissionMissing, SchemaEmpty, SchemaForeign, SchemaOutOfDate
from diwa_schema.migrations.manifest import Manifest, load
from diwa_schema.names import quoted

if TYPE_CHECKING:
    import sqlalchemy as sa

    from diwa_schema.database.target import Database

_QUERY = f"SELECT version_num, floor FROM {version.VERSION}"


def ensure_current(database: Database | None = None) -> None:
    """Return when the database can be worked with by this version of the package, else raise.

    One query when the schema is current; nothing is written, and a transaction that the caller has open on the
    Connection stays as it is. In an async application: ``await connection.run_sync(ensure_current)``.

    Args:
        database: A URL, an Engine or a Connection; by default what the environment names.

    Raises:
        SchemaOutOfDate: The database is behind; the message names the pending revisions and the command.
        SchemaEmpty: Nothing of the schema is there yet.
        SchemaTooNew: The database no longer works with this version; the message names what to install.
        NotAdopted: Ecto made the database, and it has not been taken over.
        SchemaForeign: The tables are another tool's, or the revision is unknown.
        PermissionMissing: The role may not read where the schema stands.
        DatabaseUnreachable: There is no connection.
    """
    with _reading(database) as link:
        judge(link)


def judge(link: Link) -> None:
    """Return or raise as `ensure_current` does, for the database behind an open connection."""
    history = load()
    rows = _versions(link)
    if len(rows) == 1 and rows[0][0] == history.head:
        return
    try:
        _judge(link, version.read(link), history)
    except Exception as error:
        if sqlstate(error) != PERMISSION:
            raise
        raise PermissionMissing(
            f"The database role may not read where the schema of {link.shown} stands: {brief(error)}",
            next_step="Grant it the application's or the reader's role: diwa-schema roles prints them.",
        ) from error


def _versions(link: Link) -> list[tuple[Any, ...]]:
    try:
        return link.rows(_QUERY)
    except Exception as error:
        if not is_driver_error(error):
            raise
        return []


def _judge(link: Link, state: version.State, history: Manifest) -> None:
    # The rules of what is refused stand with the runner's plan; it is loaded only when something is wrong.
    from diwa_schema.database.version import refuse_unknown

    shown = link.shown
    if state.revision is not None and state.revision > history.head and len(state.versions) == 1:
        _judge_newer(link, state, history)
        return
    refuse_unknown(state, history, shown)
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
        next_step="In the diwa-cloud repository, run: python -m diwa_schema upgrade",
        current=state.revision,
        head=history.head,
        pending=[step.revision for step in pending],
    )


def _judge_newer(link: Link, state: version.State, history: Manifest) -> None:
    from diwa_schema.database.version import unknown_revision

    if LEDGER not in state.tables or not _in_ledger(link, state):
        raise SchemaForeign(
            f"{link.shown} is at revision {state.revision}, which is above {history.head}, the last one this package"
            " knows, and the ledger does not show it as applied.",
            next_step="See what was applied: diwa-schema history --applied",
            current=state.revision,
            head=history.head,
        )
    if state.floor is not None and state.floor > history.head:
        raise unknown_revision(state, history, link.shown)


def _in_ledger(link: Link, state: version.State) -> bool:
    found = link.value(
        f"SELECT 1 FROM {quoted(state.schema)}.{LEDGER}"
        f" WHERE revision = '{_digits(state.revision)}' AND outcome = 'applied'"
    )
    return found is not None


def _digits(revision: str | None) -> str:
    return "".join(character for character in revision or "" if character.isalnum())


@contextmanager
def _reading(database: Any) -> Iterator[Link]:
    """Give a link for reading: of our own for a URL, SQLAlchemy's for an Engine or a Connection."""
    if hasattr(database, "exec_driver_sql"):
        yield AlchemyLink(database, str(database.engine.url))
    elif hasattr(database, "pool"):
        with _connected(database) as connection:
            yield AlchemyLink(connection, str(database.url))
    else:
        with Target.of(database).connect(create=False) as link:
            yield link


def _connected(engine: sa.Engine) -> sa.Connection:
    try:
        return engine.connect()
    except Exception as error:
        if is_driver_error(error):
            raise unreachable(str(engine.url), error) from error
        raise


class AlchemyLink(Link):
    """A link through the caller's SQLAlchemy Connection, for reading.

    Each statement runs in a savepoint where the caller has a transaction open, so that a missing table does not
    abort it, and in a transaction that is ended at once where not.
    """

    def __init__(self, connection: sa.Connection, shown: str) -> None:
        name: Any = connection.dialect.name
        super().__init__(connection, name, shown, close=lambda: None)

    def _run(self, sql: str, params: Any) -> Any:
        connection: sa.Connection = self.raw
        text = sql.replace("%s", "?") if self.dialect == "sqlite" else sql
        given = tuple(params) or None
        if connection.in_transaction():
            with connection.begin_nested():
                return connection.exec_driver_sql(text, given).freeze()()
        try:
            return connection.exec_driver_sql(text, given).freeze()()
        finally:
            connection.rollback()
