"""Bringing the roles of a database to what they should be, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from diwa_schema.database import ledger, version
from diwa_schema.errors import PermissionMissing, UsageError
from diwa_schema.migrations.manifest import load
from diwa_schema.names import quoted
from diwa_schema.privileges import difference as roles
from diwa_schema.privileges import existing as reading
from diwa_schema.privileges import fence as ddl_fence
from diwa_schema.privileges.existing import RoleNames

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.privileges.difference import Change, Roles
    from diwa_schema.run.session import Runner


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
            next_step="Let the rights on its file and on its directory say who may write to it.",
        )
    schema = schema or link.value("SELECT current_schema()") or "public"
    existing = reading.read(link, schema, load().tables, names)
    found = roles.compare(existing, link.shown, schema, names, take_ownership=take_ownership)
    fence = ddl_fence.statement(link, schema, names.owner) if event_trigger else None
    if fence is None:
        return found
    what = f"event trigger that refuses changes of schema {schema} by others than {names.owner}"
    if existing.superuser:
        return replace(found, changes=(*found.changes, roles.Change("missing", what, fence)))
    left = roles.Change("by hand", f"{what}: only a superuser can create it", fence)
    return replace(found, by_hand=(*found.by_hand, left))


def apply(
    runner: Runner, names: RoleNames, schema: str | None, *, event_trigger: bool, take_ownership: bool
) -> Roles:
    """Run the statements between the roles as they are and as they should be, in one transaction.

    Raises:
        UsageError: As for `difference`.
        SchemaForeign: The tables are another tool's; nothing was changed.
        PermissionMissing: The connection may not do all of it; nothing was changed.
    """

    def look(link: Link) -> Roles:
        return difference(link, names, schema, event_trigger=event_trigger, take_ownership=take_ownership)

    with runner.explained(), runner.target.work() as link:
        first = look(link)
        with _within(link, first.schema), runner.locked(link, first.schema) as held:
            state = runner.look(link)
            if state.kind is version.Kind.FOREIGN:
                version.refuse_unknown(state, load(), link.shown)
            found = look(link)
            _refuse_fence(found, event_trigger=event_trigger)
            if not found.changes:
                return replace(found, applied=True)
            run = runner.ledger_run("roles")
            recorded = ledger.LEDGER in state.tables
            began, clock = ledger.now(), time.monotonic()

            def work(_: object) -> None:
                for change in found.changes:
                    link.script(change.sql)
                _refuse_rest(look(link).changes, link.shown)
                if recorded:
                    ledger.record(link, run, [(None, None)], began, round((time.monotonic() - clock) * 1000))

            runner.pace(link, held, first.schema).short(work)
        if recorded and version.VERSION in state.tables:
            runner.prove(link, first.schema, run, state.revision, 1)
        return replace(found, applied=True)


@contextmanager
def _within(link: Link, schema: str) -> Iterator[None]:
    """Make unqualified names those of the schema for the block."""
    before = link.value("SELECT current_setting('search_path')")
    link.value("SELECT set_config('search_path', %s, false)", (quoted(schema),))
    try:
        yield
    finally:
        link.value("SELECT set_config('search_path', %s, false)", (before,))


def _refuse_fence(found: Roles, *, event_trigger: bool) -> None:
    if event_trigger and any(ddl_fence.FUNCTION in change.sql for change in found.by_hand):
        raise PermissionMissing(
            f"The event trigger cannot be created on {found.database}: only a superuser can.",
            next_step="Connect as a superuser, or leave --event-trigger out.",
        )


def _refuse_rest(rest: tuple[Change, ...], shown: str) -> None:
    """Raise where the server took a statement and did not do what it says, as it does with a warning."""
    if rest:
        raise PermissionMissing(
            f"The roles of {shown} would still differ: {'; '.join(change.what for change in rest[:3])}"
            f"{' ...' if rest[3:] else ''}.",
            next_step="Connect as a superuser, or as the owner of the database and of the tables.",
            remaining=[change.what for change in rest],
        )
