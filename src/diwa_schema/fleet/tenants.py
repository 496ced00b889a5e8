"""Making, copying and dropping one tenant of a fleet: a schema in a database that others share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema import guard
from diwa_schema.api.opening import session_for
from diwa_schema.errors import UsageError
from diwa_schema.fleet.targets import Member, naming

if TYPE_CHECKING:
    from diwa_schema.privileges.existing import RoleNames
    from diwa_schema.run.settings import Progress, Report, Settings
    from diwa_schema.run.verbs.copy import Copied


def create(
    url: str,
    name: str,
    *,
    roles: RoleNames | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make a tenant: a schema at head, from the snapshot, with the rights of the roles, in one transaction.

    Args:
        url: The database.
        name: The schema; it must not be there.
        roles: How owner, application and reader are called. They are made where they are absent, the tables are handed
            over to the owner, and each gets its rights in the schema. None leaves roles and rights alone.
        repo: As for `diwa_schema.migrate`.
        allow_core_migration: As for `diwa_schema.migrate`.
        settings: As for `diwa_schema.migrate`.
        progress: As for `diwa_schema.migrate`.

    Returns:
        What was done.

    Raises:
        Blocked: The guard refused; nothing was connected to.
        UsageError: The schema is there already; nothing was changed.
        DiwaSchemaError: As for `diwa_schema.migrate`; nothing was made.
    """
    from diwa_schema.run.verbs import tenant

    session = session_for(
        guard.Operation.UPGRADE,
        url,
        schema=name,
        repo=repo,
        allow_core_migration=allow_core_migration,
        settings=settings,
        progress=progress,
    )
    with naming(Member(url, name)):
        return tenant.create(session, roles)


def copy(
    source: Member | str,
    target: Member | str,
    *,
    roles: RoleNames | None = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Copied:
    """Copy a tenant to another schema, database or server, in one transaction; a SQLite file becomes a schema.

    Rows are read as they were at one moment, through the types of the models. At the end the copy has as many rows in
    each table, with the same digest, or nothing is there. What the source's database has filled in keeps its value.
    Neither rows nor tables of the source are changed. Its ledger, its notes of releases and its protection stay there,
    and so do tables that are not this schema's: `Copied.left` names them.

    Args:
        source: What to copy: a URL, or with a schema `Member(url, "tenant_1")`.
        target: Where to, in PostgreSQL. The schema is absent, or has nothing of this schema in it.
        roles: As for `create`.
        repo: As for `diwa_schema.migrate`; the guard is asked for the target, before anything is connected to.
        allow_core_migration: As for `diwa_schema.migrate`.
        settings: As for `diwa_schema.migrate`; `build_timeout` is how long the rows of one table may take.
        progress: As for `diwa_schema.migrate`.

    Returns:
        What was copied, with the digest of each table.

    Raises:
        Blocked: The guard refused; nothing was connected to.
        UsageError: The target is SQLite or the source itself, or has something of this schema in it.
        SchemaOutOfDate: The source is behind; one that is ahead is `SchemaTooNew`.
        DriftFound: The source differs from what is at head.
        MigrationFailed: A row of the source cannot be in PostgreSQL; it is named.
        DiwaSchemaError: As for `diwa_schema.migrate`; nothing was copied.
    """
    from diwa_schema.run.copy.source import opened
    from diwa_schema.run.verbs import copy as verb

    of, to = (Member(one) if isinstance(one, str) else one for one in (source, target))
    if to.target.dialect != "postgresql":
        raise UsageError(
            f"{to.shown} is SQLite, and a tenant is copied to PostgreSQL.",
            next_step="Name a database of PostgreSQL as the target; a file is copied with its application at rest.",
        )
    if (of.target.url.driver, of.schema) == (to.target.url.driver, to.schema):
        raise UsageError(
            f"{of.full} is source and target.",
            next_step="Name another schema with --target-schema NAME, or another database.",
        )
    session = session_for(
        guard.Operation.UPGRADE,
        to.url,
        schema=to.schema,
        repo=repo,
        allow_core_migration=allow_core_migration,
        settings=settings,
        progress=progress,
    )
    with naming(of), opened(of.target) as found, naming(to):
        return verb.copy(session, found, roles)


def drop(
    url: str,
    name: str,
    *,
    confirm: str | None = None,
    repo: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Drop a tenant with all its rows, in pieces that each hold the locks of one table. No bypass reaches this.

    A drop that was killed is finished by the same call.

    Args:
        url: The database.
        name: The schema.
        confirm: The schema's name once more; always needed.
        repo: As for `diwa_schema.migrate`.
        settings: As for `diwa_schema.migrate`.
        progress: As for `diwa_schema.migrate`.

    Returns:
        What was done.

    Raises:
        Blocked: The repository is not the owner, bypass or not; nothing was connected to.
        UsageError: `confirm` is not the schema's name; nothing was changed.
        DatabaseRefused: It is protected, or is no tenant, or something in it or on it is not this package's.
        DiwaSchemaError: As for `diwa_schema.migrate`.
    """
    from diwa_schema.run.verbs import tenant

    session = session_for(
        guard.Operation.DROP, url, schema=name, repo=repo, settings=settings, progress=progress
    )
    with naming(Member(url, name)):
        return tenant.drop(session, confirm)
