"""The functions that operate a database apart from its revisions. Each asks the guard first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema import guard
from diwa_schema.api.opening import Embedded, reading, session_for
from diwa_schema.api.threads import load_for_threads
from diwa_schema.database.named import naming_its_database
from diwa_schema.run.settings import Progress, Report, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diwa_schema.database.target import Database
    from diwa_schema.privileges.difference import Roles
    from diwa_schema.run.verbs.rules import Validation


@naming_its_database
def enable_vector(
    database: Database | None = None,
    *,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    renew: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Turn the embeddings of a PostgreSQL database with pgvector into vectors; no value is lost.

    Args:
        database: As for `migrate`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        renew: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        DatabaseRefused: The database has no pgvector and cannot install it, or is not at head; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.CONVERT,
        database,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        renew=renew,
        settings=settings,
        progress=progress,
        words="enable-vector",
    )
    from diwa_schema.run.verbs import convert

    return convert.enable_vector(session)


@naming_its_database
def disable_vector(
    database: Database | None = None,
    *,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    renew: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Turn the embeddings of a PostgreSQL database back into bytes, for code that binds bytes; no value is lost.

    Args:
        database: As for `migrate`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        renew: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        DatabaseRefused: The database is not at head; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.CONVERT,
        database,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        renew=renew,
        settings=settings,
        progress=progress,
        words="disable-vector",
    )
    from diwa_schema.run.verbs import convert

    return convert.disable_vector(session)


@naming_its_database
def enable_index(
    name: str,
    database: Database | None = None,
    *,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Build an optional index while its table is in use.

    Args:
        name: The name of the index; `diwa-schema index list` shows all of them.
        database: As for `migrate`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        UsageError: No optional index has that name.
        PermissionMissing: The extension of the index is absent, and the role cannot create it; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.CONVERT,
        database,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        settings=settings,
        progress=progress,
        words=f"index enable {name}",
    )
    from diwa_schema.run.verbs import convert

    return convert.enable_index(session, name)


@naming_its_database
def disable_index(
    name: str,
    database: Database | None = None,
    *,
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Drop an optional index while its table is in use.

    Args:
        name: The name of the index.
        database: As for `migrate`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        UsageError: No optional index has that name.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.CONVERT,
        database,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        settings=settings,
        progress=progress,
        words=f"index disable {name}",
    )
    from diwa_schema.run.verbs import convert

    return convert.disable_index(session, name)


@naming_its_database
def validate(
    database: Database | None = None,
    *,
    rules: Sequence[str] = (),
    schema: str | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Let a PostgreSQL database enforce each waiting rule about rows that no row breaks any more.

    The tables stay in use, and no row is changed. A person fixes the rows that break a rule (`violations`).

    Args:
        database: As for `migrate`.
        rules: The names of the rules; by default all that the database should enforce.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run, the rules that are enforced from now on, and the rules that still wait.

    Raises:
        UsageError: No rule has that name, or the database is SQLite, which enforces none.
        DatabaseRefused: The database is not at head; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.VALIDATE,
        database,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        settings=settings,
        progress=progress,
    )
    from diwa_schema.run.verbs import rules as verb

    return verb.validate(session, rules)


@naming_its_database
def protect(
    database: Database | None = None,
    *,
    reason: str | None = None,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Mark a database as protected: from then on the guard accepts no bypass for it.

    Args:
        database: As for `migrate`.
        reason: The reason, shown to everybody who tries to change the database.
        embedded: As for `downgrade`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        SchemaEmpty: The database has no revision of this schema.
        Blocked: The repository is not the owner.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.PROTECT,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        settings=settings,
        progress=progress,
    )
    from diwa_schema.run.verbs import protection

    return protection.protect(session, reason)


@naming_its_database
def unprotect(
    database: Database | None = None,
    *,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Remove the mark of `protect`; without a mark nothing happens.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.
        schema: As for `migrate`.
        repo: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        A report of the run.

    Raises:
        SchemaEmpty: The database has no revision of this schema.
        Blocked: The repository is not the owner.
        DiwaSchemaError: As for `migrate`.
    """
    session = session_for(
        guard.Operation.UNPROTECT,
        database,
        embedded=embedded,
        schema=schema,
        repo=repo,
        settings=settings,
        progress=progress,
    )
    from diwa_schema.run.verbs import protection

    return protection.unprotect(session)


@naming_its_database
def roles(  # noqa: PLR0913 - all by name
    database: Database | None = None,
    *,
    apply: bool = False,
    owner: str = "diwa_owner",
    app: str = "diwa_app",
    reader: str = "diwa_reader",
    schema: str | None = None,
    event_trigger: bool = False,
    take_ownership: bool = False,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Roles:
    """Compare the roles of a PostgreSQL database with the expected ones, and fix them with `apply`.

    The owner role changes the schema, the application's role reads and writes rows, and the reader's role reads them.
    They are created without login: grant them to the logins that connect. Other roles stay as they are.

    Args:
        database: As for `migrate`.
        apply: Whether to run the statements, in one transaction; otherwise nothing is written.
        owner: The name of the owner role.
        app: The name of the application's role.
        reader: The name of the reader's role.
        event_trigger: Whether an event trigger should refuse schema changes by roles outside the owner role; only a
            superuser can create one.
        take_ownership: Whether to transfer tables of other roles to the owner role.
        schema: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        The statements, each with its reason; statements for a person to run are never run.

    Raises:
        Blocked: The guard refused `apply`; no connection was opened.
        UsageError: The three names are invalid or not distinct, or the database is SQLite.
        PermissionMissing: The connection lacks a right for one of the statements; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    load_for_threads()
    from diwa_schema.privileges.existing import RoleNames
    from diwa_schema.run.verbs import roles as verb

    names = RoleNames(owner, app, reader)
    if not apply:
        with reading(database, None, schema) as link:
            return verb.difference(
                link, names, schema, event_trigger=event_trigger, take_ownership=take_ownership
            )
    session = session_for(
        guard.Operation.ROLES,
        database,
        schema=schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        settings=settings,
        progress=progress,
    )
    return verb.apply(session, names, event_trigger=event_trigger, take_ownership=take_ownership)
