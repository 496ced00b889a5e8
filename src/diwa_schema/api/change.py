"""The functions that change the revision of a database. Each asks the guard first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema import guard
from diwa_schema.api.opening import Embedded, session_for
from diwa_schema.database.named import naming_its_database
from diwa_schema.run.settings import Progress, Report, Settings

if TYPE_CHECKING:
    from diwa_schema.database.target import Database


@naming_its_database
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

    An empty database gets the snapshot in one transaction; any other gets the pending revisions, each in its own
    transaction.

    Args:
        database: A URL, an Engine or a Connection without an open transaction; by default the value of
            ``DIWA_MIGRATION_DATABASE_URL`` or ``DATABASE_URL``.
        revision: ``head``, a revision id or its beginning, or ``+N``.
        embedded: The private SQLite database of this installation: True for its default path, or another path. The
            guard does not apply to it, because nobody else can see it.
        schema: The schema of the tables on PostgreSQL; by default the one in which the connection creates tables.
        repo: The name of the calling repository, one piece of evidence for the guard.
        allow_core_migration: True to use the bypass, as ``ALLOW_CORE_MIGRATION=true`` does.
        renew: The role of the application. After the change, its idle sessions are ended one by one, so that the
            application reconnects. Sessions that are active or in a transaction continue.
        settings: The timeouts and safety limits of the run.
        progress: The receiver of progress reports.

    Returns:
        A report of the run; its kind is "nothing" if the database was already at the revision.

    Raises:
        Blocked: The guard refused; no connection was opened.
        UsageError: The revision or the database argument is invalid.
        DatabaseUnreachable: The database did not accept a connection.
        LockNotObtained: Another runner or the application held a lock for too long.
        MigrationFailed: A revision failed and was rolled back; the revisions before it stay applied.
        DatabaseRefused: The database is not in a state that allows the run; nothing was changed.
    """
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
        words=f"upgrade {revision}".removesuffix(" head"),
    )
    from diwa_schema.run.verbs import migrate as verb

    return verb.upgrade(session, revision)


@naming_its_database
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
        confirm: The name of the database, or of the schema if `schema` is given; required if rows would be lost.
        embedded: As for `migrate`, but the guard applies to it.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        renew: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        UsageError: Rows would be lost and `confirm` does not match; nothing was changed.
        MigrationFailed: A revision cannot be reversed (nothing was changed), or failed (it was rolled back).
        DiwaSchemaError: As for `migrate`.
    """
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
        words=f"downgrade {revision}",
    )
    from diwa_schema.run.verbs import migrate as verb

    return verb.downgrade(session, revision, confirm)


@naming_its_database
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
    """Record that a database is at a revision, after a check that its tables allow it.

    Args:
        database: As for `migrate`.
        revision: The revision to record.
        force: Record the revision even if its tables or columns are missing; the ledger notes this.
        embedded: As for `downgrade`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        DatabaseRefused: The database is empty, or lacks tables or columns of the revision; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.STAMP,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        settings=settings,
        progress=progress,
        words=f"stamp {revision}",
    )
    from diwa_schema.run.verbs import stamp as verb

    return verb.stamp(session, revision, force=force)


@naming_its_database
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
    """Take over a database that Ecto migrated: verify it, then record its revision.

    Args:
        database: As for `migrate`.
        fix: Whether to first apply the fixes that are safe on a live table, if the database differs from the expected
            shape.
        embedded: As for `migrate`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        renew: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the takeover. Rows of tables with another shape are kept in separate tables.

    Raises:
        DatabaseRefused: No state of Ecto's history matches the database. The message lists the differences; nothing was
            changed except, with `fix`, the fixes.
        SchemaEmpty: The database contains nothing to take over.
        DiwaSchemaError: As for `migrate`.
    """
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
    from diwa_schema.run.adopt import takeover

    return takeover.adopt(session, fix=fix)


@naming_its_database
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
    """Drop the tables of the models and the tables of kept values; the guard accepts no bypass here.

    The ledger stays and records the operation.

    Args:
        database: As for `migrate`.
        confirm: The name of the database, or of the schema if `schema` is given; required if the tables have rows.
        embedded: As for `downgrade`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        Blocked: The repository is not the owner, even with the bypass.
        UsageError: The tables have rows and `confirm` does not match; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.DROP,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        settings=settings,
        progress=progress,
    )
    from diwa_schema.run.verbs import drop as verb

    return verb.drop(session, confirm)
