"""Creating, copying and dropping one tenant of a fleet: a schema in a shared database."""

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
    """Create a tenant in one transaction: a schema at head, from the snapshot, with the roles' rights.

    Args:
        url: The database.
        name: The schema; it must not exist.
        roles: The names of the owner, application and reader roles. Absent roles are created, the owner receives the
            tables, and each role receives its rights in the schema. None leaves roles and rights unchanged.
        repo: As for `diwa_schema.migrate`.
        allow_core_migration: As for `diwa_schema.migrate`.
        settings: As for `diwa_schema.migrate`.
        progress: As for `diwa_schema.migrate`.

    Returns:
        A report of the run.

    Raises:
        Blocked: The guard refused; no connection was opened.
        UsageError: The schema already exists; nothing was changed.
        DiwaSchemaError: As for `diwa_schema.migrate`; nothing was created.
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

    Rows are read in one consistent snapshot, through the types of the models. Either each table of the copy has the
    same number of rows with the same digest, or no copy exists. Values that the source's database filled in stay the
    same. Rows and tables of the source are not changed. The copy does not include the source's ledger, release notes
    and protection, or tables outside this package's schema: `Copied.left` names these.

    Args:
        source: The source: a URL, or `Member(url, "tenant_1")` to name a schema.
        target: The target in PostgreSQL. Its schema must be absent or contain none of this package's tables.
        roles: As for `create`.
        repo: As for `diwa_schema.migrate`; the guard is asked for the target, before any connection.
        allow_core_migration: As for `diwa_schema.migrate`.
        settings: As for `diwa_schema.migrate`; `build_timeout` limits the time for the rows of one table.
        progress: As for `diwa_schema.migrate`.

    Returns:
        The copied rows, with the digest of each table.

    Raises:
        Blocked: The guard refused; no connection was opened.
        UsageError: The target is SQLite or the source itself, or already contains tables of this package.
        SchemaOutOfDate: The source is behind; a source that is ahead raises `SchemaTooNew`.
        DriftFound: The source differs from the schema at head.
        MigrationFailed: PostgreSQL cannot hold a row of the source; the message names the row.
        DiwaSchemaError: As for `diwa_schema.migrate`; nothing was copied.
    """
    from diwa_schema.run.copy.source import opened
    from diwa_schema.run.verbs import copy as verb

    of, to = (Member(one) if isinstance(one, str) else one for one in (source, target))
    if to.target.dialect != "postgresql":
        raise UsageError(
            f"{to.shown} is SQLite, and a copy of a tenant needs PostgreSQL.",
            next_step=(
                "Name a PostgreSQL database as the target. To copy a file to a file, stop its application"
                " and copy the file."
            ),
        )
    if (of.target.url.driver, of.schema) == (to.target.url.driver, to.schema):
        raise UsageError(
            f"{of.shown} is both source and target.",
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
    """Drop a tenant with all its rows, one table at a time; the guard accepts no bypass here.

    The same call finishes a drop that was killed.

    Args:
        url: The database.
        name: The schema.
        confirm: The schema's name again; always required.
        repo: As for `diwa_schema.migrate`.
        settings: As for `diwa_schema.migrate`.
        progress: As for `diwa_schema.migrate`.

    Returns:
        A report of the run.

    Raises:
        Blocked: The repository is not the owner, even with the bypass; no connection was opened.
        UsageError: `confirm` is not the schema's name; nothing was changed.
        DatabaseRefused: The database is protected, the schema is not a tenant, or objects outside this package are in
            it or depend on it.
        DiwaSchemaError: As for `diwa_schema.migrate`.
    """
    from diwa_schema.run.verbs import tenant

    session = session_for(
        guard.Operation.DROP, url, schema=name, repo=repo, settings=settings, progress=progress
    )
    with naming(Member(url, name)):
        return tenant.drop(session, confirm)
