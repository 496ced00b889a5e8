"""Making and dropping one tenant of a fleet: a schema in a database that others share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema import guard
from diwa_schema.api.opening import session_for
from diwa_schema.fleet.targets import Member, naming

if TYPE_CHECKING:
    from diwa_schema.privileges.existing import RoleNames
    from diwa_schema.run.settings import Progress, Report, Settings


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
