"""The way from a caller's arguments to the target, the guard's verdict and the session."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from os import PathLike
from typing import TYPE_CHECKING

from diwa_schema import guard
from diwa_schema.api.threads import load_for_threads
from diwa_schema.database import url as urls
from diwa_schema.database.failures import explain, is_driver_error
from diwa_schema.database.target import Target
from diwa_schema.errors import UsageError
from diwa_schema.run.settings import Progress, Settings, Silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diwa_schema.database.link import Link
    from diwa_schema.database.target import Database
    from diwa_schema.run.session import Session

Embedded = bool | str | PathLike[str] | None


def target_of(database: Database | None, embedded: Embedded, schema: str | None = None) -> Target:
    """Return the target that the arguments name together.

    Raises:
        UsageError: Both are given, or the given one is invalid.
    """
    if embedded is None or embedded is False:
        return Target.of(database).in_schema(schema)
    if database is not None:
        raise UsageError(
            "The call names a database and the embedded one.",
            next_step="Name one of them.",
        )
    return Target.of(urls.embedded_url(embedded)).in_schema(schema)


def session_for(  # noqa: PLR0913 - the arguments of the public functions
    operation: guard.Operation,
    database: Database | None,
    *,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    renew: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    words: str = "",
) -> Session:
    """Ask the guard, and return the session for the operation; no connection is opened.

    Raises:
        Blocked: The guard refused.
        UsageError: The database argument is invalid.
    """
    load_for_threads()
    from diwa_schema.run.log import Logged
    from diwa_schema.run.session import Session

    target = target_of(database, embedded, schema)
    verdict = guard.ask(
        operation,
        repo=repo,
        allow_core_migration=allow_core_migration,
        private=guard.IN_MEMORY if target.in_memory else guard.EMBEDDED if embedded else None,
        database=target.identity,
        words=words,
    )
    if embedded and operation is guard.Operation.UPGRADE:
        target.make_folder()
    told = Logged(progress or Silence(), target.shown)
    return Session(target, verdict, settings or Settings(), told, renew)


@contextmanager
def reading(database: Database | None, embedded: Embedded, schema: str | None = None) -> Iterator[Link]:
    """Yield a connection for reading; a file that does not exist is not created."""
    target = target_of(database, embedded, schema)
    with target.read() as link:
        try:
            with nullcontext() if link.direct else link.settled():
                yield link
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise explain(error, target.shown, "reading") from error
