"""The functions that change or describe a database. Everything that changes one asks the guard first."""

from __future__ import annotations

from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diwa_schema import guard
from diwa_schema.database import url as urls
from diwa_schema.database.target import Target
from diwa_schema.errors import UsageError
from diwa_schema.runner.settings import Progress, Report, Settings, Silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diwa_schema.catalog.difference import Difference
    from diwa_schema.database.link import Link
    from diwa_schema.database.roles import Roles
    from diwa_schema.database.target import Database
    from diwa_schema.health.finding import Finding
    from diwa_schema.runner.adopt import Adoption
    from diwa_schema.runner.plan import Plan
    from diwa_schema.runner.run import Runner
    from diwa_schema.standing import Status

Embedded = bool | str | PathLike[str] | None


def migrate(
    database: Database | None = None,
    revision: str = "head",
    *,
    embedded: Embedded = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
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
        repo: The name of the repository that asks, one piece of evidence for the guard.
        allow_core_migration: True to use the bypass, as ``ALLOW_CORE_MIGRATION=true`` does.
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
    runner = _runner(
        guard.Operation.UPGRADE, database, embedded, repo, allow_core_migration, settings, progress
    )
    return runner.upgrade(revision)


def downgrade(
    database: Database | None = None,
    revision: str = "-1",
    *,
    confirm: str | None = None,
    embedded: Embedded = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Reverse revisions, by default the last one.

    Args:
        database: As for `migrate`.
        revision: The revision to end at: an id or its beginning, ``-N``, or ``base``.
        confirm: The database's name; needed when rows would be lost.
        embedded: As for `migrate`; it only names the database here.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was done.

    Raises:
        UsageError: Rows would be lost and `confirm` is not the database's name; nothing was changed.
        MigrationFailed: A revision cannot be reversed (nothing was changed), or failed (it was rolled back).
        DiwaSchemaError: As for `migrate`.
    """
    operation = guard.Operation.DOWNGRADE
    runner = _runner(operation, database, embedded, repo, allow_core_migration, settings, progress)
    return runner.downgrade(revision, confirm)


def stamp(
    database: Database | None = None,
    revision: str = "head",
    *,
    force: bool = False,
    embedded: Embedded = None,
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
    from diwa_schema.runner.stamp import stamp as run

    operation = guard.Operation.STAMP
    runner = _runner(operation, database, embedded, repo, allow_core_migration, settings, progress)
    return run(runner, revision, force=force)


def adopt(
    database: Database | None = None,
    *,
    mend: bool = False,
    embedded: Embedded = None,
    repo: str | None = None,
    allow_core_migration: bool | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Take over a database that Ecto migrated: verify it, then record the revision it stands at.

    Args:
        database: As for `migrate`.
        mend: Whether to apply first what is safe on a live table, where it differs from the shape it should have.
        embedded: As for `migrate`.
        repo: As for `migrate`.
        allow_core_migration: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was recorded. Rows of tables that were of another shape are kept beside it.

    Raises:
        DatabaseRefused: The database is not of a shape that Ecto left; the differences are listed and nothing was
            changed but, with `mend`, what was mended.
        SchemaEmpty: There is nothing to take over.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.runner.adopt import adopt as run

    operation = guard.Operation.ADOPT
    runner = _runner(operation, database, embedded, repo, allow_core_migration, settings, progress)
    return run(runner, mend=mend)


def examine(database: Database | None = None, *, embedded: Embedded = None) -> Adoption:
    """Return what `adopt` would find in a database and do to it; nothing is changed.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.

    Raises:
        DatabaseRefused: The database is not one that Ecto's migrations can have made.
        SchemaEmpty: There is nothing to take over.
        DatabaseUnreachable: There is no connection.
    """
    from diwa_schema.database import version
    from diwa_schema.runner.adopt import examine as run

    with _reading(database, embedded) as link:
        return run(link, version.read(link))


def drop(
    database: Database | None = None,
    *,
    confirm: str | None = None,
    embedded: Embedded = None,
    repo: str | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Drop the tables of the models, and nothing else. The bypass does not reach this.

    Args:
        database: As for `migrate`.
        confirm: The database's name; needed when the tables have rows.
        embedded: As for `downgrade`.
        repo: As for `migrate`.
        settings: As for `migrate`.
        progress: As for `migrate`.

    Returns:
        What was done.

    Raises:
        Blocked: The repository is not the owner, bypass or not.
        UsageError: The tables have rows and `confirm` is not the database's name; nothing was changed.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.runner.drop import drop as run

    runner = _runner(guard.Operation.DROP, database, embedded, repo, None, settings, progress)
    return run(runner, confirm)


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
    from diwa_schema.runner import convert

    operation = guard.Operation.CONVERT
    return convert.enable_vector(
        _runner(operation, database, None, repo, allow_core_migration, settings, progress)
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
    from diwa_schema.runner import convert

    operation = guard.Operation.CONVERT
    runner = _runner(operation, database, None, repo, allow_core_migration, settings, progress)
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
    from diwa_schema.runner import convert

    operation = guard.Operation.CONVERT
    runner = _runner(operation, database, None, repo, allow_core_migration, settings, progress)
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
    from diwa_schema.runner import protection

    protection.protect(_runner(guard.Operation.PROTECT, database, None, repo, None, None, None), reason)


def unprotect(database: Database | None = None, *, repo: str | None = None) -> None:
    """Take the mark of `protect` away; nothing happens where there is none.

    Args:
        database: As for `migrate`.
        repo: As for `migrate`.

    Raises:
        Blocked: The repository is not the owner.
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.runner import protection

    protection.unprotect(_runner(guard.Operation.UNPROTECT, database, None, repo, None, None, None))


def status(database: Database | None = None, *, embedded: Embedded = None) -> Status:
    """Return where a database stands; nothing is written.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.

    Raises:
        UsageError: The database cannot be understood.
        DatabaseUnreachable: There is no connection.
    """
    from diwa_schema import standing

    with _reading(database, embedded) as link:
        return standing.read(link)


def check(database: Database | None = None, *, embedded: Embedded = None) -> list[Difference]:
    """Return where a database differs from what is expected at its revision; nothing is written.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.

    Returns:
        The differences, in the order in which they can be mended; empty where there are none.

    Raises:
        DatabaseRefused: The database is not at a revision of the installed history.
        PermissionMissing: It is below head, and the role may not create the schema to compare with.
        DatabaseUnreachable: There is no connection.
    """
    from diwa_schema.catalog.check import check as run

    with _reading(database, embedded) as link:
        return list(run(link))


def plan(
    database: Database | None = None,
    revision: str = "head",
    *,
    embedded: Embedded = None,
    replay: bool = False,
) -> Plan:
    """Return what `migrate` would do to a database; nothing is written.

    Args:
        database: As for `migrate`.
        revision: As for `migrate`.
        embedded: As for `downgrade`.
        replay: Whether an empty database would get every revision instead of the snapshot.

    Raises:
        DiwaSchemaError: As for `migrate`.
    """
    from diwa_schema.database import version
    from diwa_schema.migrations.manifest import load
    from diwa_schema.runner import plan as planning

    with _reading(database, embedded) as link:
        state = version.read(link)
        return planning.upgrade(state, load(), revision, link.shown, replay=replay)


def history(database: Database | None = None, *, embedded: Embedded = None) -> list[dict[str, Any]]:
    """Return the ledger of a database, oldest entry first; empty where it has none.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.

    Raises:
        UsageError: The database cannot be understood.
        DatabaseUnreachable: There is no connection.
    """
    from diwa_schema.database import ledger, version

    with _reading(database, embedded) as link:
        state = version.read(link)
        return ledger.entries(link, state.schema) if ledger.LEDGER in state.tables else []


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
    from diwa_schema.database.role_names import RoleNames
    from diwa_schema.runner import roles as run

    names = RoleNames(owner, app, reader)
    if not apply:
        with _reading(database, None) as link:
            return run.difference(
                link, names, schema, event_trigger=event_trigger, take_ownership=take_ownership
            )
    operation = guard.Operation.ROLES
    runner = _runner(operation, database, None, repo, allow_core_migration, settings, progress)
    return run.apply(runner, names, schema, event_trigger=event_trigger, take_ownership=take_ownership)


def doctor(
    database: Database | None = None, *, embedded: Embedded = None, repo: str | None = None
) -> list[Finding]:
    """Check a database as the application that connects to it sees it; whatever is tried is rolled back.

    Args:
        database: As for `migrate`; name it as the application does. An Engine connects as the application's own
            connections do.
        embedded: As for `downgrade`.
        repo: As for `migrate`; a consumer that can change the schema is a finding.

    Returns:
        What was found; a database is fit when there is nothing but notes.

    Raises:
        UsageError: The database cannot be understood.
        DatabaseUnreachable: There is no connection.
        DatabaseRefused: What is there cannot be read at all.
    """
    from diwa_schema.health.doctor import examine

    verdict = guard.examine(guard.Operation.UPGRADE, repo=repo)
    return examine(target_of(database, embedded), verdict.role, verdict.repository)


def target_of(database: Database | None, embedded: Embedded) -> Target:
    """Return the database that the two arguments name together.

    Raises:
        UsageError: Both are given, or what is given cannot be understood.
    """
    if embedded is None or embedded is False:
        return Target.of(database)
    if database is not None:
        raise UsageError(
            "A database and the embedded one were both named.",
            next_step="Name one of them.",
        )
    path = urls.default_embedded_path() if embedded is True else Path(embedded)
    return Target.of(urls.sqlite_url(path.expanduser().absolute()))


def _runner(
    operation: guard.Operation,
    database: Database | None,
    embedded: Embedded,
    repo: str | None,
    allow_core_migration: bool | None,
    settings: Settings | None,
    progress: Progress | None,
) -> Runner:
    from diwa_schema.runner.run import Runner

    target = target_of(database, embedded)
    verdict = guard.ask(
        operation,
        repo=repo,
        allow_core_migration=allow_core_migration,
        private=guard.IN_MEMORY if target.in_memory else guard.EMBEDDED if embedded else None,
        database=target.identity,
    )
    if embedded and operation is guard.Operation.UPGRADE:
        Path(target.url.driver).parent.mkdir(parents=True, exist_ok=True)
    return Runner(target, verdict, settings or Settings(), progress or Silence())


@contextmanager
def _reading(database: Database | None, embedded: Embedded) -> Iterator[Link]:
    target = target_of(database, embedded)
    if target.connection is not None or (target.in_memory and target.engine is not None):
        with target.work() as link:
            yield link
        return
    with target.connect(create=False) as link:
        yield link
