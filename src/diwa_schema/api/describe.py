"""The functions that describe a database; they write nothing and do not ask the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diwa_schema import guard
from diwa_schema.api.opening import Embedded, reading, target_of
from diwa_schema.api.threads import load_for_threads
from diwa_schema.database.named import naming_its_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from diwa_schema.database.target import Database
    from diwa_schema.drift.check import Comparison
    from diwa_schema.drift.rules import BrokenRule
    from diwa_schema.health.finding import Finding
    from diwa_schema.health.status import Status
    from diwa_schema.run.adopt.takeover import Adoption
    from diwa_schema.run.plan import Plan


@naming_its_database
def status(
    database: Database | None = None, *, embedded: Embedded = None, schema: str | None = None
) -> Status:
    """Return the state of a database; nothing is written.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.
        schema: As for `migrate`.

    Raises:
        UsageError: The database argument is invalid.
        DatabaseUnreachable: The database did not accept a connection.
    """
    load_for_threads()
    from diwa_schema.health import status as standing

    with reading(database, embedded, schema) as link:
        return standing.read(link)


@naming_its_database
def check(
    database: Database | None = None, *, embedded: Embedded = None, schema: str | None = None
) -> Comparison:
    """Return the differences between a database and its revision; nothing is written.

    With an Engine, the check uses an idle connection of its pool if that connection is in its original state; otherwise
    it opens a new one and closes it.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.
        schema: As for `migrate`.

    Returns:
        The differences as a list, in the order in which they can be fixed; empty if there are none. For an empty
        database, a note that nothing was compared. Its `revision` is that of the database, and `pending` has the
        revisions up to the head of the installed package.

    Raises:
        DatabaseRefused: The database is not at a revision of the installed history.
        PermissionMissing: The database is below head, and the role may not create the schema for the comparison.
        DatabaseUnreachable: The database did not accept a connection.
    """
    load_for_threads()
    from diwa_schema.drift.check import check as run

    with reading(database, embedded, schema) as link:
        return run(link)


@naming_its_database
def optional_indexes(
    database: Database | None = None, *, embedded: Embedded = None, schema: str | None = None
) -> dict[str, str]:
    """Return the state of each optional index: ``there``, ``not valid`` or ``absent``; nothing is written.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.
        schema: As for `migrate`.

    Raises:
        NoDatabase: No database was named.
        DatabaseUnreachable: The database did not accept a connection.
    """
    load_for_threads()
    from diwa_schema.database import bookkeeping
    from diwa_schema.drift.optional import states

    with reading(database, embedded, schema) as link:
        return states(link, bookkeeping.look(link).schema)


@naming_its_database
def violations(
    database: Database | None = None,
    *,
    rules: Sequence[str] = (),
    limit: int = 20,
    embedded: Embedded = None,
    schema: str | None = None,
) -> list[BrokenRule]:
    """Return the rules that rows break, with these rows; rules that the database should enforce come first.

    Nothing is written. Each rule reads its table once. If two rows break a rule together, the later one is returned.

    Args:
        database: As for `migrate`.
        rules: The names of the rules to check; all by default.
        limit: The maximum number of rows for each rule; the total counts all of them.
        embedded: As for `downgrade`.
        schema: As for `migrate`.

    Returns:
        The broken rules; empty if there are none.

    Raises:
        UsageError: No rule has that name, or the limit is below 1.
        DatabaseRefused: The database is not at a revision of the installed history.
        PermissionMissing: The role may not read the rows, or row security hides some of them.
        DatabaseUnreachable: The database did not accept a connection.
    """
    load_for_threads()
    from diwa_schema.database import bookkeeping
    from diwa_schema.database.state import refuse_unknown
    from diwa_schema.drift import rules as of_rows
    from diwa_schema.errors import UsageError
    from diwa_schema.migrations.manifest import load

    wanted = of_rows.named(rules)
    if limit < 1:
        raise UsageError(f"The limit of rows is {limit}. It has to be 1 or more.")
    with reading(database, embedded, schema) as link:
        state = bookkeeping.look(link)
        refuse_unknown(state, load(), link.shown)
        return list(of_rows.violations(link, state.schema, wanted, limit))


@naming_its_database
def plan(
    database: Database | None = None,
    revision: str = "head",
    *,
    embedded: Embedded = None,
    schema: str | None = None,
    replay: bool = False,
    seen_within: timedelta | None = None,
) -> Plan:
    """Return the plan of `migrate` for a database; nothing is written.

    Args:
        database: As for `migrate`.
        revision: As for `migrate`.
        embedded: As for `downgrade`.
        schema: As for `migrate`.
        replay: Whether an empty database would get every revision instead of the snapshot.
        seen_within: As in `Settings`.

    Raises:
        DiwaSchemaError: As for `migrate`.
    """
    load_for_threads()
    from diwa_schema.database import bookkeeping
    from diwa_schema.run import preflight
    from diwa_schema.run.settings import Settings
    from diwa_schema.run.verbs.migrate import wanted

    settings = Settings() if seen_within is None else Settings(seen_within=seen_within)
    with reading(database, embedded, schema) as link:
        state = bookkeeping.look(link)
        found = wanted(state, revision, link.shown, replay=replay)
        return preflight.to_read(found, link, state, settings)


@naming_its_database
def history(
    database: Database | None = None, *, embedded: Embedded = None, schema: str | None = None
) -> list[dict[str, Any]]:
    """Return the ledger of a database, oldest entry first, each entry with its schema; empty without one.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.
        schema: As for `migrate`.

    Raises:
        UsageError: The database argument is invalid.
        PermissionMissing: The schema does not exist, or the role may not use it.
        SchemaForeign: No schema was given, and another one on the search path has the version table.
        DatabaseUnreachable: The database did not accept a connection.
    """
    load_for_threads()
    from diwa_schema.database import bookkeeping
    from diwa_schema.database.state import refuse_elsewhere

    with reading(database, embedded, schema) as link:
        state = bookkeeping.look(link)
        refuse_elsewhere(state, link.shown)
        return [{"schema": state.schema, **entry} for entry in bookkeeping.entries(link, state)]


@naming_its_database
def examine(
    database: Database | None = None, *, embedded: Embedded = None, schema: str | None = None
) -> Adoption:
    """Preview `adopt`: return its findings and its steps; nothing is changed.

    Args:
        database: As for `migrate`.
        embedded: As for `downgrade`.
        schema: As for `migrate`.

    Raises:
        DatabaseRefused: Ecto's migrations cannot have created this database.
        SchemaEmpty: The database contains nothing to take over.
        DatabaseUnreachable: The database did not accept a connection.
    """
    load_for_threads()
    from diwa_schema.database import bookkeeping
    from diwa_schema.run.adopt.takeover import examine as run
    from diwa_schema.run.session import Look

    with reading(database, embedded, schema) as link:
        return run(Look(link, bookkeeping.look(link)))


@naming_its_database
def doctor(
    database: Database | None = None,
    *,
    embedded: Embedded = None,
    schema: str | None = None,
    repo: str | None = None,
) -> list[Finding]:
    """Check a database from the application's point of view; every attempt is rolled back.

    Args:
        database: As for `migrate`; pass the application's own URL or Engine. An Engine connects in the same way as the
            application.
        embedded: As for `downgrade`.
        schema: As for `migrate`.
        repo: As for `migrate`; a consumer that can change the schema is a finding.

    Returns:
        The findings; a database is fit if all of them are notes.

    Raises:
        UsageError: The database argument is invalid.
        DatabaseUnreachable: The database did not accept a connection.
        DatabaseRefused: The database cannot be read at all.
    """
    load_for_threads()
    from diwa_schema.health.checks import examine

    verdict = guard.judge(guard.Operation.UPGRADE, repo=repo)
    return examine(target_of(database, embedded, schema), verdict.role, verdict.repository)
