"""A tenant's schema: created at head in one transaction, and dropped in pieces with few locks each.

Dropping a whole tenant at once takes some 700 locks, out of some 6,400 that a usual server has for all its transactions
together. Its tables are therefore dropped one at a time, each in its own transaction, and the version row last, with
the schema. The same command finishes a killed drop; until then the schema reports missing tables.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from diwa_schema.database.failures import PERMISSION, brief, sqlstate
from diwa_schema.database.state import BOOKKEEPING, LEDGER, VERSION, refuse_unknown
from diwa_schema.errors import (
    ROLLED_BACK,
    DatabaseProtected,
    NotPersisted,
    PermissionMissing,
    SchemaEmpty,
    SchemaForeign,
    UsageError,
    command,
    option,
)
from diwa_schema.migrations import pgvector
from diwa_schema.migrations.manifest import KEPT, load
from diwa_schema.names import OURS, amount, qualified, quoted
from diwa_schema.run import losses, preflight, snapshot
from diwa_schema.run.plan import Plan
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Report
from diwa_schema.run.verbs import roles as of_roles
from diwa_schema.run.verbs.drop import refuse_references

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.privileges.difference import Roles
    from diwa_schema.privileges.existing import RoleNames
    from diwa_schema.run.change import Change

_SHOWN = 5

_EXISTS = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
_MAY_CREATE = """
SELECT has_database_privilege(current_database(), 'CREATE'),
  format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
"""
_KEYS = """
SELECT t.relname::text, k.conname::text FROM pg_constraint k
JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE n.nspname = %s AND k.contype = 'f' AND t.relname = ANY(%s) AND k.confrelid <> k.conrelid AND k.conparentid = 0
ORDER BY 1, 2
"""
# Foreign objects that a drop of the schema would drop, or that would block it.
_FOREIGN = """
WITH n AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = %s)
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'table' END
  || ' ' || c.relname FROM pg_class c JOIN n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relname <> ALL(%s) AND NOT starts_with(c.relname, %s)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
UNION ALL SELECT 'function ' || p.proname FROM pg_proc p JOIN n ON n.oid = p.pronamespace
WHERE NOT starts_with(p.proname, %s)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
UNION ALL SELECT 'type ' || t.typname FROM pg_type t JOIN n ON n.oid = t.typnamespace
WHERE t.typrelid = 0 AND t.typelem = 0 AND t.typtype IN ('b', 'd', 'e', 'r')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.classid = 'pg_type'::regclass AND d.deptype = 'e')
UNION ALL SELECT 'extension ' || e.extname FROM pg_extension e JOIN n ON n.oid = e.extnamespace
UNION ALL SELECT DISTINCT 'view ' || v.oid::regclass::text FROM n JOIN pg_class c ON c.relnamespace = n.oid
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
WHERE c.relname = ANY(%s) AND v.relnamespace <> n.oid
ORDER BY 1
"""
_FUNCTIONS = """
SELECT p.oid::regprocedure::text, e.evtname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_event_trigger e ON e.evtfoid = p.oid WHERE n.nspname = %s AND starts_with(p.proname, %s)
"""


class Parts(NamedTuple):
    """What a tenant is made of, in the order in which it goes.

    Args:
        keys: Its foreign keys between two tables, each as table and name: they would join the tables to one piece.
        tables: Its tables, but for those that say where it stands.
        books: These.
    """

    keys: tuple[tuple[str, str], ...]
    tables: tuple[str, ...]
    books: tuple[str, ...]


def create(session: Session, names: RoleNames | None) -> Report:
    """Make the schema that the session's target names, at head, with the rights of the roles in it.

    Args:
        session: What the run works with.
        names: How the roles are called, which are made where they are absent; None leaves roles and rights alone.

    Raises:
        UsageError: The schema already exists.
        PermissionMissing: The role may not make a schema, or not all of the roles; nothing was made.
    """
    if names is not None:
        names.refuse_impossible()

    def decide(look: Look) -> Plan:
        schema = look.state.schema
        if exists(look):
            raise UsageError(
                f"Schema '{schema}' of {look.link.database} already exists.",
                next_step=f"Name another one. If it is to be a tenant, run: {command('upgrade')}",
            )
        refuse_no_room(look)
        history = load()
        return Plan("upgrade", None, history.head, history.revisions, snapshot=True)

    def work(change: Change, plan: Plan) -> Written:
        link, schema = change.link, change.state.schema
        return snapshot.apply(
            change,
            plan,
            first=lambda: link.execute(f"CREATE SCHEMA {quoted(schema)}"),
            last=lambda: grant(change, names),
        )

    return session.change(Verb("snapshot", anywhere=True, tables=False), decide, work)


def exists(look: Look) -> bool:
    """Whether the schema that was looked for is there, whoever may use it."""
    return bool(look.link.value(_EXISTS, (look.state.schema,)))


def refuse_no_room(look: Look) -> None:
    """Raise where no schema can be made in a database.

    Raises:
        DatabaseRefused: The server is too old.
        PermissionMissing: The role may not make one.
    """
    preflight.refuse_old_server(look.link)
    may, statement = look.link.rows(_MAY_CREATE)[0]
    if not may:
        raise PermissionMissing(
            f"The database role may not create a schema in {look.shown}.",
            next_step=f"As the owner of the database: {statement};",
        )


def grant(change: Change, names: RoleNames | None) -> None:
    """Give the roles their rights in the schema of a change, and hand the tables over to their owner.

    Args:
        change: The change under way, in its transaction.
        names: How the roles are called; None leaves roles and rights alone.

    Raises:
        PermissionMissing: This role may not do all of it.
    """
    if names is None:
        return
    roles, link, schema, shown = names, change.link, change.state.schema, change.look.shown

    def missing() -> Roles:
        return of_roles.difference(link, roles, schema, event_trigger=False, take_ownership=True)

    try:
        of_roles.run_missing(link, missing)
    except Exception as error:
        if sqlstate(error) != PERMISSION:
            raise
        raise PermissionMissing(
            f"The database role may not give the roles {', '.join(roles)} their rights in {shown}: {brief(error)}",
            untouched=ROLLED_BACK,
            next_step="Run the command as a superuser, or as a role that may grant these roles. To leave roles and"
            " rights alone, add --no-roles.",
            sqlstate=PERMISSION,
        ) from error
    of_roles.refuse_rest(missing().changes, shown)


def drop(session: Session, confirm: str | None) -> Report:
    """Drop the schema that the session's target names, with all of the tables of the models in it.

    Raises:
        UsageError: `confirm` is not its name.
        DatabaseProtected: It is protected, whoever asks.
        DatabaseRefused: It is no tenant, or something in it or that hangs on it is not this package's.
    """

    def decide(look: Look) -> Parts:
        return _parts(look, confirm)

    def work(change: Change, parts: Parts) -> Written:
        schema, link = change.state.schema, change.link
        total = len(parts.tables) or None
        pieces = [
            f"ALTER TABLE {qualified(schema, table)} DROP CONSTRAINT {quoted(name)}"
            for table, name in parts.keys
        ]
        pieces += [f"DROP TABLE {qualified(schema, table)}" for table in parts.tables]
        with change.begun():  # the last piece drops the ledger
            for number, piece in enumerate(pieces):
                change.paced.short(partial(_execute, link, piece))
                change.session.progress.step(
                    "dropping", max(0, number + 1 - len(parts.keys)), total, "tables"
                )
            change.paced.short(lambda _: _finish(link, schema, parts.books))
        return Written(None, 0)

    report = session.change(Verb("drop", "downgrade", anywhere=True, tables=False), decide, work)
    with session.target.connect() as fresh:
        if fresh.value(_EXISTS, (session.target.schema,)):
            raise NotPersisted(
                f"A fresh connection to {session.target.shown} still sees schema '{session.target.schema}'.",
                untouched="The state of the database is unknown.",
                next_step=f"Run: {command('status')}",
            )
    return report


def _parts(look: Look, confirm: str | None) -> Parts:
    state, history = look.state, load()
    schema = state.schema
    if not exists(look):
        raise UsageError(
            f"Schema '{schema}' of {look.link.database} does not exist.", next_step="Name another tenant."
        )
    refuse_unknown(state, history, look.shown)
    if state.revision is None:
        raise SchemaEmpty(
            f"Schema '{schema}' of {look.link.database} has no revision of this schema, so it is not a tenant.",
            next_step=f"To drop it anyway, as its owner: {_emptied(look)}",
        )
    if state.protected:
        raise DatabaseProtected(
            f"Schema '{schema}' of {look.link.database} is protected.",
            next_step=f"To drop it anyway, run: {command('unprotect')}",
        )
    there = losses.tables(look)
    ours = {*history.tables, *history.leftovers, *BOOKKEEPING}
    tables = [name for name in sorted(there) if name.startswith(KEPT) or name in history.leftovers]
    tables += [name for name in reversed(history.tables) if name in there and name not in tables]
    books = tuple(
        name for name in sorted(there) if name not in tables and (name in ours or name.startswith(OURS))
    )
    preflight.refuse_without_rights(look, tables)
    if confirm != schema:
        raise UsageError(
            f"Schema '{schema}' of {look.link.database} and all rows of its {amount(len(tables), 'table')} would be"
            f" lost{'' if confirm is None else f', and {confirm!r} is not its name'}.",
            next_step=f"To accept the loss, add {option('--confirm', schema)}",
            confirm=schema,
        )
    _refuse_extension(look)
    _refuse_foreign(look, sorted(ours), [*tables, *books])
    refuse_references(look, tuple(tables))
    keys = look.link.rows(_KEYS, (schema, tables))
    return Parts(tuple((str(table), str(name)) for table, name in keys), tuple(tables), books)


def _emptied(look: Look) -> str:
    """Return what drops a schema in which nothing of ours is left but our own tables, and nothing beside it."""
    schema = look.state.schema
    moved = pgvector.out_of(look.link, schema)
    books = sorted(name for name in losses.tables(look) if name in BOOKKEEPING or name.startswith(OURS))
    statements = [f"DROP TABLE {qualified(schema, name)};" for name in books]
    return " ".join([*([moved] if moved else []), *statements, f"DROP SCHEMA {quoted(schema)};"])


def _refuse_extension(look: Look) -> None:
    """Raise where the extension that embeddings need would go with the schema."""
    schema = look.state.schema
    way = pgvector.out_of(look.link, schema)
    if way is None:
        return
    users = pgvector.in_use(look.link)
    theirs = f", and a drop would take the embeddings of {', '.join(users)} with it" if users else ""
    raise SchemaForeign(
        f"Schema '{schema}' of {look.link.database} cannot be dropped: extension vector is in it{theirs}.",
        next_step=f"As the owner of the extension: {way} Then run the command again.",
        foreign=["extension vector"],
    )


def _refuse_foreign(look: Look, ours: list[str], there: list[str]) -> None:
    found = [row[0] for row in look.link.rows(_FOREIGN, (look.state.schema, ours, OURS, OURS, there))]
    if found:
        more = f" and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
        raise SchemaForeign(
            f"Schema '{look.state.schema}' of {look.link.database} cannot be dropped: it contains objects of other"
            f" applications: {', '.join(found[:_SHOWN])}{more}.",
            next_step="Drop them first, or move them to another schema: ALTER ... SET SCHEMA NAME;",
            foreign=found,
        )
    triggers = [row[1] for row in look.link.rows(_FUNCTIONS, (look.state.schema, OURS)) if row[1]]
    if triggers and not look.link.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        raise PermissionMissing(
            f"Only a superuser can drop the event trigger that fences schema '{look.state.schema}'.",
            next_step=f"As a superuser: {' '.join(f'DROP EVENT TRIGGER {quoted(name)};' for name in triggers)}",
        )


def _execute(link: Link, statement: str, _: object) -> None:
    link.execute(statement)


def _finish(link: Link, schema: str, books: tuple[str, ...]) -> None:
    """Drop what is left in one transaction; the server refuses where somebody has put something of his there."""
    functions = link.rows(_FUNCTIONS, (schema, OURS))
    statements = [f"DROP EVENT TRIGGER {quoted(name)}" for _, name in functions if name]
    order = sorted(books, key=lambda name: (name in (VERSION, LEDGER), name))
    statements += [f"DROP TABLE {qualified(schema, name)}" for name in order]
    statements += [f"DROP FUNCTION {function}" for function in dict.fromkeys(one for one, _ in functions)]
    statements.append(f"DROP SCHEMA {quoted(schema)}")
    link.script(";\n".join(statements))
