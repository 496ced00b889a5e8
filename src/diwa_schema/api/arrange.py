"""The functions that change something beside the revisions of a database. Each asks the guard first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.api.request import reading, runner_for
from diwa_schema.guard import verdict as guard
from diwa_schema.run.settings import Progress, Report, Settings

if TYPE_CHECKING:
    from diwa_schema.database.target import Database
    from diwa_schema.privileges.difference import Roles


def enable_vector(
    database: Database | None = None,
    *,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Turn the embeddings of a PostgreSQL database into vectors, once it has pgvector; no value is lost.

    Args:
        database: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was done.

    Raises:
        DatabaseRefused: It has no pgvector and cannot get it, or is not at head; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.verbs import convert

    operation = guard.Operation.CONVERT
    return convert.enable_vector(
        runner_for(operation, database, None, repo, allow_core_migration, settings, progress)
    )


def enable_index(
    name: str,
    database: Database | None = None,
    *,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Build an optional index while its table is in use.

    Args:
        name: The index; `diwa-schema index list` shows them.
        database: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was done.

    Raises:
        UsageError: There is no optional index of that name.
        PermissionMissing: Its extension is absent, and the role cannot create it; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.verbs import convert

    operation = guard.Operation.CONVERT
    runner = runner_for(operation, database, None, repo, allow_core_migration, settings, progress)
    return convert.enable_index(runner, name)


def disable_index(
    name: str,
    database: Database | None = None,
    *,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Drop an optional index while its table is in use.

    Args:
        name: The index.
        database: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was done.

    Raises:
        UsageError: There is no optional index of that name.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.verbs import convert

    operation = guard.Operation.CONVERT
    runner = runner_for(operation, database, None, repo, allow_core_migration, settings, progress)
    return convert.disable_index(runner, name)


def protect(database: Database | None = None, *, reason: str | None = None, repo: str | None = None) -> None:
    """Mark a database as protected: the bypass of the guard does not work on it from then on.

    Args:
        database: As for `migrate`.
        reason: Why, for whoever finds the mark.
        repo: As for `migrate`.

    Raises:
        Blocked: The repository is not the owner.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.verbs import protection

    protection.protect(runner_for(guard.Operation.PROTECT, database, None, repo, None, None, None), reason)


def unprotect(database: Database | None = None, *, repo: str | None = None) -> None:
    """Take the mark of `protect` away; nothing happens where there is none.

    Args:
        database: As for `migrate`.
        repo: As for `migrate`.

    Raises:
        Blocked: The repository is not the owner.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.run.verbs import protection

    protection.unprotect(runner_for(guard.Operation.UNPROTECT, database, None, repo, None, None, None))


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
    """Compare a PostgreSQL database's roles with the ones it should have, and with `apply` make them so.

    The owner role changes the schema, the application's reads and writes rows, the reader's reads them. They
    are created without login: grant them to the logins that connect. Other roles are left as they are.

    Args:
        database: As for `migrate`.
        apply: Whether to run the statements, in one transaction; without, nothing is written.
        owner: The name of the owner role.
        app: The name of the application's role.
        reader: The name of the reader's role.
        schema: The schema of the tables; by default the one that new tables would go to.
        event_trigger: Whether an event trigger is to refuse changes of the schema by others than members of
            the owner role; only a superuser can create one.
        take_ownership: Whether tables that belong to other roles are handed over to the owner role.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        The statements, each with its reason; those left to a person are never run.

    Raises:
        Blocked: The guard refused `apply`; nothing was connected to.
        UsageError: The names cannot be those of three roles, or the database is SQLite.
        PermissionMissing: The connection may not do all of it; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.privileges.existing import RoleNames
    from diwa_schema.run.verbs import roles as run

    names = RoleNames(owner, app, reader)
    if not apply:
        with reading(database, None) as link:
            return run.difference(
                link, names, schema, event_trigger=event_trigger, take_ownership=take_ownership
            )
    operation = guard.Operation.ROLES
    runner = runner_for(operation, database, None, repo, allow_core_migration, settings, progress)
    return run.apply(runner, names, schema, event_trigger=event_trigger, take_ownership=take_ownership)
