"""The checks of a run before its first revision, so that it does not stop in the middle.

They cover rights, dependents of columns whose type changes, applications of a release that a revision breaks, and long
stalls; `plan` shows the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from diwa_schema.database.failures import own_the_tables
from diwa_schema.database.seen import Seen, seen
from diwa_schema.database.state import ECTO, LEDGER, VERSION
from diwa_schema.errors import DatabaseRefused, PermissionMissing, ReleaseConnected, UsageError, command
from diwa_schema.migrations.ecto import is_ours
from diwa_schema.migrations.manifest import load
from diwa_schema.names import OURS, amount, qualified, quoted
from diwa_schema.release import order
from diwa_schema.run import connections
from diwa_schema.run.plan import Obstacle, Outdated, Plan, Size
from diwa_schema.run.settings import Settings

if TYPE_CHECKING:
    from datetime import timedelta

    from diwa_schema.database.link import Link
    from diwa_schema.database.releases import Connected
    from diwa_schema.database.state import State
    from diwa_schema.migrations.steps.dependents import Dependent
    from diwa_schema.run.session import Look

_SHOWN = 5
# The rows that a slow machine rewrites in a millisecond, with their indexes.
_ROWS = 20

OLDEST_SERVER = 15

_RIGHTS = """
SELECT c.relname::text, pg_get_userbyid(c.relowner)::text, pg_has_role(c.relowner, 'USAGE'),
  c.relrowsecurity AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
    AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user AND (r.rolsuper OR r.rolbypassrls)),
  NOT (SELECT bool_and(has_table_privilege(c.oid, p)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p') ORDER BY 1
"""
# A function outlives its table, and an owner that hands tables over by hand forgets it. pg_proc has no index on
# schemas, so beside a thousand other schemas the dependencies find the functions of one faster.
_FUNCTIONS = """
SELECT p.oid::regprocedure::text, pg_get_userbyid(p.proowner)::text,
  format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
FROM pg_namespace n JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
WHERE n.nspname = %s AND starts_with(p.proname::text, %s) AND NOT pg_has_role(p.proowner, 'USAGE') ORDER BY 1
"""
# What anybody may use, unless somebody took that away.
_UNUSABLE = """
SELECT 'LANGUAGE plpgsql' FROM pg_language WHERE lanname = 'plpgsql' AND NOT has_language_privilege(oid, 'USAGE')
UNION ALL SELECT format('TYPE %I.%I', tn.nspname, t.typname) FROM pg_extension e
JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.classid = 'pg_type'::regclass
JOIN pg_type t ON t.oid = d.objid JOIN pg_namespace tn ON tn.oid = t.typnamespace
WHERE e.extname = 'vector' AND t.typname = 'vector' AND NOT has_type_privilege(t.oid, 'USAGE')
"""
_SIZE = "SELECT reltuples, pg_total_relation_size(oid) FROM pg_class WHERE oid = to_regclass(%s)"


def noted(plan: Plan, link: Link, state: State, settings: Settings) -> Plan:
    """Return the plan with its obstacles, and with its effects on open connections.

    Args:
        plan: The plan.
        link: A connection to the database.
        state: The state of the database.
        settings: The limits for the application's waits and for the age of an old release's start.

    Raises:
        DatabaseRefused: The server is too old for the history.
    """
    if link.dialect == "sqlite" or not plan.revisions:
        return plan  # SQLite's one writer waits for every change, and its rights are those of the file
    most = int(settings.max_stall * _ROWS)
    refuse_old_server(link)
    found: dict[str, str] = {}
    for revision in plan.revisions:
        large = [table for table in revision.rewrites if _has_more(link, state, table, most)]
        if large:
            found[revision.revision] = (
                f"it rewrites {' and '.join(large)}, of more than {amount(most, 'row')}"
            )
    return plan._replace(
        stalls=found,
        obstacles=_no_room(plan, link, state)
        if plan.snapshot
        else _with_room(plan, link, state, obstacles(link, state, load().tables, functions=True)),
        dependents=_dependents(plan, link),
        connections=connections.planned(link, plan),
        outdated=outdated(plan, link, state.schema, settings.seen_within),
    )


def to_read(plan: Plan, link: Link, state: State, settings: Settings) -> Plan:
    """Return the plan like `noted`, with further facts for its reader: the values that go to the archive.

    Raises:
        DatabaseRefused: As for `noted`.
    """
    plan = noted(plan, link, state, settings)
    vectors = [
        one.column
        for one in (plan.connections.retypes if plan.connections else ())
        if one.before.startswith("vector(") and one.after.startswith("vector(")
    ]
    counts = {column: _filled(link, state, *column.split(".")) for column in vectors}
    return plan._replace(
        archived={column: count for column, count in counts.items() if count}, sizes=_sizes(plan, link, state)
    )


def _sizes(plan: Plan, link: Link, state: State) -> dict[str, Size]:
    if link.dialect == "sqlite":
        return {}
    named = {table for one in plan.revisions for table in one.rewrites}
    # Where a database has the new type already, the revision changes nothing.
    named |= {one.column.partition(".")[0] for one in (plan.connections.retypes if plan.connections else ())}
    return sizes(link, state.schema, named)


def sizes(link: Link, schema: str, tables: Iterable[str]) -> dict[str, Size]:
    """Return the sizes of a schema's existing tables, from PostgreSQL's statistics."""
    found: dict[str, Size] = {}
    for table in sorted(tables):
        for rows, size in link.rows(_SIZE, (qualified(schema, table),)):
            found[table] = Size(int(rows) if rows >= 0 else None, int(size))
    return found


def _filled(link: Link, state: State, table: str, column: str) -> int:
    return int(link.value(f"SELECT count({quoted(column)}) FROM {qualified(state.schema, table)}"))


def conversion(look: Look, tables: Iterable[str], kind: str | None = None) -> Plan:
    """Return the plan of a change without a revision, with its obstacles.

    Args:
        look: The state of a PostgreSQL database.
        tables: The tables that it changes.
        kind: The new type of the embeddings in these tables; None if they keep theirs.
    """
    from diwa_schema.migrations.steps.dependents import dependents_of, kind_of

    link, state = look
    plan = Plan("upgrade", state.revision, state.revision)
    columns = [
        f"{table}.embedding" for table in tables if kind not in (None, kind_of(link, table, "embedding"))
    ]
    return plan._replace(
        obstacles=_with_room(plan, link, state, obstacles(link, state, tables)),
        dependents=tuple(one for column in columns for one in dependents_of(link, column, None)),
    )


def refuse_without_rights(look: Look, tables: Iterable[str]) -> None:
    """Raise an error if the role does not own tables or our functions, or row security hides their rows from it.

    Raises:
        PermissionMissing: A right is missing; nothing was counted or changed.
    """
    if look.link.dialect == "postgresql":
        revision = look.state.revision
        missing = obstacles(look.link, look.state, tables, functions=True)
        found = Plan("downgrade", revision, None, obstacles=missing)
        refuse(found, look.shown, allow_stall=True)


def refuse(plan: Plan, shown: str, *, allow_stall: bool) -> None:
    """Raise an error if a plan has an obstacle.

    Raises:
        PermissionMissing: A right is missing that some revision of the plan needs.
        DatabaseRefused: An object depends on a column whose type would change.
        ReleaseConnected: A release that a revision would break is connected, or has started lately.
        UsageError: A revision would stall the application without permission.
    """
    if plan.obstacles:
        what = " ".join(f"{one.what}." for one in plan.obstacles[:_SHOWN])
        more = len(plan.obstacles) - _SHOWN
        statements = dict.fromkeys(f"{one.statement};" for one in plan.obstacles if one.statement)
        do = f"As a superuser: {' '.join(statements)}" if statements else own_the_tables()
        raise PermissionMissing(
            f"The database role lacks a right. The run on {shown} would stop in the middle: {what}"
            f"{f' And {more} more.' if more > 0 else ''}",
            next_step=f"{do} To see the rights of each role, run: {command('roles')}",
            obstacles=[one.what for one in plan.obstacles],
        )
    if plan.dependents:
        what = "; ".join(dict.fromkeys(f"{one.what} (on {one.column})" for one in plan.dependents))
        raise DatabaseRefused(
            f"The run on {shown} would stop in the middle. It changes the type of columns, and these depend on them:"
            f" {what}.",
            next_step="Drop them, run the command again, then create them again as they were.",
            dependents=[asdict(one) for one in plan.dependents],
        )
    if plan.outdated:
        needs = max((one.needs for one in plan.outdated), key=lambda release: order(release) or ())
        raise ReleaseConnected(
            f"The run on {shown} would break an application that is connected or that started lately:"
            f" {' '.join(map(str, plan.outdated[:_SHOWN]))}"
            f"{f' And {len(plan.outdated) - _SHOWN} more.' if len(plan.outdated) > _SHOWN else ''}",
            next_step=(
                f"Install diwa-schema {needs} or newer in it and restart it, then run the command"
                f" again{_later(plan)}. To see the applications, run: {command('status')}"
            ),
            outdated=plan.as_dict()["outdated"],
        )
    if allow_stall:
        return
    for revision in plan.revisions:
        if why := plan.stalls.get(revision.revision):
            raise UsageError(
                f"Revision {revision.revision} ({revision.slug}) would make the application wait: {why}.",
                next_step="Choose a quiet hour and add --allow-stall.",
                revision=revision.revision,
            )


def refuse_old_server(link: Link) -> None:
    """Raise an error if the server is too old for the history.

    Raises:
        DatabaseRefused: It is.
    """
    if link.dialect == "sqlite":
        return
    if link.raw.info.server_version // 10000 < OLDEST_SERVER:
        shown = link.value("SELECT current_setting('server_version')")
        raise DatabaseRefused(
            f"The server of {link.shown} is PostgreSQL {shown}; this package needs {OLDEST_SERVER} or newer.",
            next_step=f"Upgrade the server to PostgreSQL {OLDEST_SERVER} or newer.",
            server=shown,
        )


def _later(plan: Plan) -> str:
    """Return the other conditions that let a contract run after a recent start of a release that it breaks."""
    if not any(isinstance(one.sessions, Seen) for one in plan.outdated or ()):
        return ""
    return " when its last start is old enough. If that code is gone for good, add --seen-within 0"


def outdated(plan: Plan, link: Link, schema: str, within: timedelta) -> tuple[Outdated, ...] | None:
    """Return the connected or recently started releases below a floor that the plan raises.

    None if the role may not see connections, and no such start is noted.
    """
    raising = [one for one in plan.revisions if one.floor] if plan.direction == "upgrade" else []
    if plan.snapshot or not raising:
        return ()
    from diwa_schema.database import releases

    sessions = releases.connected(link)
    from diwa_schema import __version__

    # A floor without a release comes with this one.
    needed = [(step, load().get(step.floor).released or __version__) for step in raising if step.floor]
    starts = seen(link, schema, within) or () if within else ()
    there: tuple[Connected | Seen, ...] = (*(sessions or ()), *starts)
    found = tuple(
        Outdated(step.revision, needs, one)
        for one in there
        for step, needs in needed
        if (order(one.release) or ()) < (order(needs) or ())
    )
    return None if sessions is None and not found else found


def _with_room(plan: Plan, link: Link, state: State, found: tuple[Obstacle, ...]) -> tuple[Obstacle, ...]:
    """Return the obstacles with the missing rights to create objects.

    Where all tables belong to another role, a right to create would not help: it would only let an application change
    the schema.
    """
    if found and not any(one.statement for one in found):
        return found
    return (*_no_room(plan, link, state), *found)


def _no_room(plan: Plan, link: Link, state: State) -> tuple[Obstacle, ...]:
    """Return the missing right to create objects: tables, indexes, or the notes of a retype."""
    creates = plan.direction == "upgrade" or any(revision.retypes_back for revision in plan.revisions)
    if not creates:
        return ()
    read_only, may_create, user, unusable = link.rows(
        "SELECT current_setting('transaction_read_only') = 'on',"
        " coalesce(has_schema_privilege(to_regnamespace(%s)::oid, 'CREATE'), true), current_user::text,"
        f" ARRAY({_UNUSABLE})",
        (quoted(state.schema),),
    )[0]
    if read_only:
        return ()  # a read-only database has its own error
    user = quoted(user)
    missing = [] if may_create else [("CREATE", "USAGE, CREATE", f"SCHEMA {quoted(state.schema)}")]
    missing += [("USAGE", "USAGE", what) for what in unusable]
    return tuple(
        Obstacle(
            f"{user} lacks a right: {right} on {what.replace('SCHEMA', 'schema', 1)}",
            f"GRANT {granted} ON {what} TO {user}",
        )
        for right, granted, what in missing
    )


def _dependents(plan: Plan, link: Link) -> tuple[Dependent, ...]:
    if plan.snapshot:
        return ()
    from diwa_schema.migrations.steps.dependents import dependents

    return dependents(link, plan.revisions, back=plan.direction == "downgrade")


def obstacles(
    link: Link, state: State, tables: Iterable[str], *, functions: bool = False
) -> tuple[Obstacle, ...]:
    """Return the tables, and our functions, that the role does not own or cannot read whole.

    Args:
        link: A connection to a PostgreSQL database.
        state: The state of the database.
        tables: The tables that a run changes.
        functions: Whether the run changes functions as well.
    """
    listed = (ECTO,) if is_ours(state.ecto) else ()
    rows = link.rows(_RIGHTS, (state.schema, [*tables, VERSION, LEDGER, *listed]))
    user = str(link.value("SELECT current_user"))
    owners = sorted({owner for _, owner, owned, *_ in rows if not owned})
    if rows and not any(owned for _, _, owned, *_ in rows):
        # A transfer of the whole schema is not a sensible next step: this is the role of another application.
        return (Obstacle(f"the tables belong to {' and '.join(owners)}, not to {user}"),)
    found = [
        # Who runs the statement may have another search path.
        Obstacle(f"function {name} belongs to {owner}", f"ALTER FUNCTION {whole} OWNER TO {quoted(user)}")
        for name, owner, whole in (link.rows(_FUNCTIONS, (state.schema, OURS)) if functions else ())
    ]
    for table, owner, owned, filtered, withheld in rows:
        where = qualified(state.schema, table)
        if not owned:
            found.append(
                Obstacle(f"table {table} belongs to {owner}", f"ALTER TABLE {where} OWNER TO {quoted(user)}")
            )
        elif filtered:
            found.append(
                Obstacle(
                    f"row security on {table} hides rows from {user}, and the run would lose them unseen",
                    f"ALTER ROLE {quoted(user)} BYPASSRLS",
                )
            )
        elif withheld:
            found.append(
                Obstacle(
                    f"{user} owns {table} and may not read and write it",
                    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {where} TO {quoted(user)}",
                )
            )
    return tuple(found)


def _has_more(link: Link, state: State, table: str, most: int) -> bool:
    if table not in state.tables:
        return False
    name = qualified(state.schema, table)
    return bool(link.value(f"SELECT EXISTS (SELECT FROM {name} OFFSET %s)", (most,)))
