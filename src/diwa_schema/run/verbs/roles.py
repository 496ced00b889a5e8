"""Fixing the roles of a database in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from diwa_schema.database.failures import sqlstate
from diwa_schema.database.state import LEDGER, VERSION, Kind, refuse_unknown
from diwa_schema.errors import PermissionMissing, UsageError
from diwa_schema.migrations.manifest import load
from diwa_schema.privileges import difference as roles, existing as privileges, fence as ddl_fence
from diwa_schema.privileges.existing import RoleNames
from diwa_schema.run.session import Look, Session, Verb, Written

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.privileges.difference import Roles, Statement
    from diwa_schema.run.change import Change


_ATTEMPTS = 10
# A role of that name, its row in the catalog, or a row that another transaction has just changed.
_MEANWHILE = frozenset({"42710", "23505", "XX000"})


def difference(
    link: Link, names: RoleNames, schema: str | None, *, event_trigger: bool, take_ownership: bool
) -> Roles:
    """Return the statements between the roles as they are and as they should be; nothing is written.

    Args:
        link: A connection to a PostgreSQL database.
        names: How the roles are called.
        schema: The schema of the tables; by default the one that new tables would go to.
        event_trigger: Whether an event trigger is to refuse changes by others than the owner role.
        take_ownership: Whether handing the tables over to the owner role is one of the changes.

    Raises:
        UsageError: The names cannot be those of three roles, or the database is SQLite.
    """
    names.refuse_impossible()
    if link.dialect != "postgresql":
        raise UsageError(
            f"{link.shown} is an SQLite database, which has no roles.",
            next_step="Set the rights on its file and its directory.",
        )
    schema = schema or link.value("SELECT current_schema()") or "public"
    existing = privileges.read(link, schema, load().tables, names)
    found = roles.compare(existing, link.database, schema, names, take_ownership=take_ownership)
    fence = ddl_fence.statement(link, schema, names.owner) if event_trigger else None
    if fence is None:
        return found
    what = f"event trigger that lets only {names.owner} change schema {schema}"
    if existing.superuser:
        return replace(found, changes=(*found.changes, roles.Statement("missing", what, fence)))
    left = roles.Statement("by hand", f"{what}: only a superuser can create it", fence)
    return replace(found, by_hand=(*found.by_hand, left))


def apply(session: Session, names: RoleNames, *, event_trigger: bool, take_ownership: bool) -> Roles:
    """Run the statements between the roles as they are and as they should be, in one transaction.

    Raises:
        UsageError: As for `difference`.
        SchemaForeign: The tables are another tool's; nothing was changed.
        PermissionMissing: The connection may not do all of it; nothing was changed.
    """
    found: list[Roles] = []

    def compare(look: Look) -> Roles:
        schema = look.state.schema
        return difference(
            look.link, names, schema, event_trigger=event_trigger, take_ownership=take_ownership
        )

    def decide(look: Look) -> bool | None:
        if look.state.kind is Kind.FOREIGN:
            refuse_unknown(look.state, load(), look.shown)
        compared = compare(look)
        found[:] = [compared]
        _refuse_fence(compared, event_trigger=event_trigger)
        return True if compared.changes else None

    def work(change: Change, _: bool) -> Written:
        def run_all() -> None:
            found[:] = [run_missing(change.link, lambda: compare(change.look))]
            refuse_rest(compare(change.look).changes, change.look.shown)

        recorded = {VERSION, LEDGER} <= change.state.tables
        change.at_once(run_all, after=change.state.revision, record=recorded)
        return Written(change.state.revision, int(recorded))

    session.change(Verb("roles", anywhere=True, tables=False), decide, work)
    return replace(found[0], applied=True)


def run_missing(link: Link, compare: Callable[[], Roles]) -> Roles:
    """Run the statements between the roles as they are and as they should be, in the transaction of a connection.

    Roles belong to the whole server, and rights on a database to all its schemas: the run of another schema or database
    may create or grant the same at the same moment. What it did is then left out.

    Args:
        link: The connection, in a transaction.
        compare: Returns these statements.

    Returns:
        The comparison whose statements were run.

    Raises:
        The driver's error; the transaction cannot go on.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        found = compare()
        link.execute("SAVEPOINT diwa_roles")
        try:
            for one in found.changes:
                link.script(one.sql)
        except Exception as error:
            if attempt == _ATTEMPTS or sqlstate(error) not in _MEANWHILE:
                raise
            link.execute("ROLLBACK TO SAVEPOINT diwa_roles")
        else:
            break
    return found


def _refuse_fence(found: Roles, *, event_trigger: bool) -> None:
    if event_trigger and any(ddl_fence.PLACE in change.sql for change in found.by_hand):
        raise PermissionMissing(
            f"The event trigger cannot be created on {found.database}: only a superuser can.",
            next_step="Connect as a superuser, or leave --event-trigger out.",
        )


def refuse_rest(rest: tuple[Statement, ...], shown: str) -> None:
    """Raise where the server took a statement and did not do what it says, as it does with a warning."""
    if rest:
        raise PermissionMissing(
            f"The roles of {shown} would still differ: {'; '.join(change.what for change in rest[:3])}"
            f"{' ...' if rest[3:] else ''}.",
            next_step="Connect as a superuser, or as the owner of the database and of the tables.",
            remaining=[change.what for change in rest],
        )
