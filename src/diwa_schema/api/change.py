"""The functions that change where a database stands. Each asks the guard first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema import guard
from diwa_schema.api.opening import Embedded, session_for
from diwa_schema.run.settings import Progress, Report, Settings

if TYPE_CHECKING:
    from diwa_schema.database.target import Database


def migrate(
    database: Database | None = None,
    revision: str = "head",
    *,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    renew: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Bring a database up to a revision.

    An empty database gets the snapshot in one transaction; any other gets the pending revisions, each in its own.

    Args:
        database: A URL, an Engine or a Connection that is in no transaction; by default what
            ``DIWA_MIGRATION_DATABASE_URL`` or ``DATABASE_URL`` names.
        revision: ``head``, a revision id or its beginning, or ``+N``.
        embedded: The private SQLite database of this installation: True for its default place, or its path.
            It is not guarded, because nobody else can see it.
        schema: The schema of the tables on PostgreSQL; by default the one in which the connection creates tables.
        repo: The name of the repository that asks, one piece of evidence for the guard.
        allow_core_migration: True to use the bypass, as ``ALLOW_CORE_MIGRATION=true`` does.
        renew: The role of the application: after the change its idle sessions are ended, one by one, so that it
            connects anew. Sessions that are at work or in a transaction are left alone.
        settings: How patient and careful the run is.
        progress: Who is told what happens.

    Returns:
        What was done; its kind is "nothing" when the database was there already.

    Raises:
        Blocked: The guard refused; nothing was connected to.
        UsageError: The revision or the database cannot be understood.
        DatabaseUnreachable: There is no connection.
        LockNotObtained: Another runner or the application kept a lock.
        MigrationFailed: A revision failed; it was rolled back, those before it stay applied.
        DatabaseRefused: The database is not one to work on; nothing was changed.
    """
    from diwa_schema.run.verbs import migrate as verb

    session = session_for(
        guard.Operation.UPGRADE,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        renew=renew,
        settings=settings,
        progress=progress,
    )
    return verb.upgrade(session, revision)


def downgrade(  # noqa: PLR0913 - all by name
    database: Database | None = None,
    revision: str = "-1",
    *,
    confirm: str | None = None,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    renew: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Reverse revisions, by default the last one.

    Args:
        database: As for `migrate`.
        revision: The revision to end at: an id or its beginning, ``-N``, or ``base``.
        confirm: The name of the database, or of the schema where one is given; needed when rows would be lost.
        embedded: As for `migrate`; it only names the database here.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        renew: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was done.

    Raises:
        UsageError: Rows would be lost and `confirm` is not that name; nothing was changed.
        MigrationFailed: A revision cannot be reversed (nothing was changed), or failed (it was rolled back).
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.verbs import migrate as verb

    session = session_for(
        guard.Operation.DOWNGRADE,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        renew=renew,
        settings=settings,
        progress=progress,
    )
    return verb.downgrade(session, revision, confirm)


def stamp(
    database: Database | None = None,
    revision: str = "head",
    *,
    force: bool = False,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Record that a database is at a revision, after looking whether it can be.

    Args:
        database: As for `migrate`.
        revision: The revision to record.
        force: Record it even when tables or columns of it are missing; the ledger shows that.
        embedded: As for `downgrade`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was recorded.

    Raises:
        DatabaseRefused: The database is empty, or lacks tables or columns of the revision; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.verbs import stamp as verb

    session = session_for(
        guard.Operation.STAMP,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        settings=settings,
        progress=progress,
    )
    return verb.stamp(session, revision, force=force)


def adopt(
    database: Database | None = None,
    *,
    fix: bool = False,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    renew: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Take over a database that Ecto migrated: verify it, then record the revision it stands at.

    Args:
        database: As for `migrate`.
        fix: Whether to apply first what is safe on a live table, where it differs from the shape it should have.
        embedded: As for `migrate`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        renew: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was recorded. Rows of tables that were of another shape are kept beside it.

    Raises:
        DatabaseRefused: The database is not of a shape that Ecto left; the differences are listed and nothing was
            changed but, with `fix`, what was fixed.
        SchemaEmpty: There is nothing to take over.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.adopt import takeover

    session = session_for(
        guard.Operation.ADOPT,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        renew=renew,
        settings=settings,
        progress=progress,
    )
    return takeover.adopt(session, fix=fix)


def drop(
    database: Database | None = None,
    *,
    confirm: str | None = None,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Drop the tables of the models and what is kept beside them. The bypass does not reach this.

    The ledger stays and records it.

    Args:
        database: As for `migrate`.
        confirm: The name of the database, or of the schema where one is given; needed when the tables have rows.
        embedded: As for `downgrade`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was done.

    Raises:
        Blocked: The repository is not the owner, bypass or not.
        UsageError: The tables have rows and `confirm` is not that name; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.verbs import drop as verb

    session = session_for(
        guard.Operation.DROP,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        settings=settings,
        progress=progress,
    )
    return verb.drop(session, confirm)
