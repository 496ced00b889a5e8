"""The role of the connection, and its rights on the schema and the rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from diwa_schema.database import bookkeeping
from diwa_schema.database.failures import PERMISSION, READ_ONLY, is_driver_error, sqlstate
from diwa_schema.errors import command
from diwa_schema.guard import Role
from diwa_schema.health.finding import Finding, Patient, Severity
from diwa_schema.names import amount, quoted
from diwa_schema.privileges import existing
from diwa_schema.run import preflight

_ROWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_SHOWN = 3
_LOCK_TIMEOUT = "50ms"
_NO_SCHEMA = "3F000"


def who(patient: Patient) -> Iterator[Finding]:
    """Report the role of the application's connection."""
    session, current, groups = patient.link.rows(
        "SELECT session_user::text, current_user::text, ARRAY(SELECT g.rolname::text FROM pg_auth_members m"
        " JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member"
        " WHERE r.rolname = current_user ORDER BY 1)"
    )[0]
    acting = f", acting as {current}" if current != session else ""
    member = f", a member of {', '.join(groups)}" if groups else ", a member of no other role"
    asks = f"{patient.repository} ({patient.role})" if patient.repository else "an unknown repository"
    yield Finding(
        "role",
        Severity.NOTE,
        f"Connected as {session}{acting}{member}; the schema is {patient.schema}; the calling repository is {asks}.",
        f"diwa-schema guard shows the evidence about the repository; {command('roles')} shows the expected roles",
    )


def changes(patient: Patient) -> Iterator[Finding]:
    """Test whether the connection can change the schema; only the owner's connection should."""
    ways = list(_ways(patient))
    if patient.role is Role.OWNER:
        code, way = ways[0] if ways else ("cannot-change", "cannot change the schema")
        reason = f"The connection {way}; this repository owns the schema."
        yield Finding(code, Severity.NOTE, reason, f"{command('roles')} shows the expected roles")
        yield from _owned_by_others(patient)
        yield from _in_the_way(patient)
        return
    asks = "a consumer" if patient.role is Role.CONSUMER else "an unknown repository"
    for code, way in ways:
        reason = f"The connection {way}; {asks} must not change the schema."
        yield Finding(code, Severity.ERROR, reason, _application_role())


def rows(patient: Patient) -> Iterator[Finding]:
    """Report the tables that the application cannot read or write."""
    held = {
        row[0]: dict(zip(_ROWS, row[1:], strict=True))
        for row in patient.link.rows(
            "SELECT c.relname::text, "
            + ", ".join(f"has_table_privilege(c.oid, '{privilege}')" for privilege in _ROWS)
            + " FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(%s))"
            " AND c.relname = ANY(%s)",
            (patient.schema, list(patient.tables)),
        )
    }
    unread = sorted(table for table, rights in held.items() if not rights["SELECT"])
    unwritten = sorted(table for table, rights in held.items() if not all(rights.values()))
    if unread:
        reason = f"The connection cannot read {_listed(unread)}."
        yield Finding("rows-not-readable", Severity.ERROR, reason, _application_role())
    elif unwritten and not any(rights[name] for rights in held.values() for name in _ROWS[1:]):
        reason = "The connection reads rows and writes none, as the reader's role does."
        yield Finding("read-only", Severity.NOTE, reason, _application_role())
    elif unwritten:
        reason = f"The connection cannot write all rows of {_listed(unwritten)}."
        yield Finding("rows-not-writable", Severity.ERROR, reason, _application_role())


def _application_role() -> str:
    return f"{command('roles --apply')}, then connect as a login that is a member of diwa_app only"


def _ways(patient: Patient) -> Iterator[tuple[str, str]]:
    """Yield each ability of the connection to change the schema: a code, and its description."""
    if patient.link.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        yield "superuser", "belongs to a superuser, whom no privilege limits"
        return
    if creates(patient):
        yield "can-create", f"can create tables in schema {patient.schema} (tried, and rolled back)"
    if owned := _tables(patient, "pg_has_role(c.relowner, 'MEMBER')", patient.tables):
        yield (
            "can-alter",
            f"can alter and drop {_listed(owned)}: its role owns them or is a member of their owner",
        )
    if _owns_schema(patient):
        yield (
            "can-drop",
            f"can drop every table of schema {patient.schema}: its role owns the schema or is a member of its owner",
        )
    more = "has_table_privilege(c.oid, 'TRUNCATE, REFERENCES, TRIGGER')"
    if beyond := _tables(patient, f"{more} AND NOT pg_has_role(c.relowner, 'MEMBER')", patient.tables):
        yield "can-truncate", f"can truncate, refer to or put triggers on {_listed(beyond)}"
    written = "has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE')"
    if kept := _tables(patient, written, existing.READ_ONLY):
        yield "can-forge", f"can write {_listed(kept)}, which hold the state of the schema"


def creates(patient: Patient) -> bool:
    """Try to create a table in a transaction that is rolled back; nothing remains, and nobody waits for it."""
    link, name = patient.link, f"diwa_schema_doctor_{uuid.uuid4().hex}"
    link.execute("BEGIN")
    try:
        link.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        link.execute(f"CREATE TABLE {quoted(patient.schema)}.{name} ()")
    except Exception as error:
        if is_driver_error(error) and sqlstate(error) in (PERMISSION, READ_ONLY, _NO_SCHEMA):
            return False
        raise
    else:
        return True
    finally:
        link.abandon()


def _owns_schema(patient: Patient) -> bool:
    return bool(
        patient.link.value(
            "SELECT pg_has_role(nspowner, 'MEMBER') FROM pg_namespace WHERE nspname = %s", (patient.schema,)
        )
    )


def _owned_by_others(patient: Patient) -> Iterator[Finding]:
    """Report to the owner if its new tables would not belong to the owner role of the other tables."""
    others = patient.link.rows(
        "SELECT pg_get_userbyid(c.relowner)::text, count(*) FROM pg_class c"
        " WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = ANY(%s)"
        " AND pg_get_userbyid(c.relowner) <> current_user AND pg_has_role(c.relowner, 'MEMBER')"
        " GROUP BY 1 ORDER BY 2 DESC",
        (patient.schema, list(patient.tables)),
    )
    if others and creates(patient):
        owner = others[0][0]
        user = patient.link.value("SELECT current_user::text")
        yield Finding(
            "creates-as-itself",
            Severity.WARNING,
            f"Tables that a revision creates would belong to {user}, while {owner} owns the others:"
            f" the privileges that {owner} gives on future tables would not reach them.",
            f"Add ?options=-crole%3D{quote(owner)} to the URL that migrates",
        )


def _in_the_way(patient: Patient) -> Iterator[Finding]:
    """Report to the owner what a run would stop at: tables and functions of another role."""
    state = bookkeeping.look(patient.link)
    if state.revision is None:
        return
    found = preflight.obstacles(patient.link, state, patient.tables, functions=True)
    # A connection that owns no table is not the one that migrates.
    if found and all(one.statement for one in found):
        what = "; ".join(one.what for one in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield Finding(
            "not-owned",
            Severity.WARNING,
            f"An upgrade over this connection would be refused: {what}{more}.",
            f"As a superuser: {command('roles --take-ownership --apply')}",
        )


def _tables(patient: Patient, condition: str, names: Sequence[str]) -> list[str]:
    found = patient.link.rows(
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(%s))"
        f" AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p') AND {condition} ORDER BY 1",
        (patient.schema, list(names)),
    )
    return [row[0] for row in found]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {amount(len(names) - _SHOWN, 'more table')}" if len(names) > _SHOWN else shown
