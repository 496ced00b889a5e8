"""All checks of a database, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from diwa_schema.database.failures import (
    PERMISSION,
    brief,
    explain,
    is_driver_error,
    own_the_tables,
    sqlstate,
)
from diwa_schema.database.state import VERSION
from diwa_schema.errors import PermissionMissing, command
from diwa_schema.guard import Role
from diwa_schema.health import access, connection, contents, embedded
from diwa_schema.health.finding import Check, Finding, Patient, Severity
from diwa_schema.migrations.manifest import load

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.database.target import Target

CHECKS: dict[str, tuple[Check, ...]] = {
    "postgresql": (
        access.who,
        access.changes,
        access.rows,
        contents.startup_check,
        contents.bypassed,
        contents.differences,
        contents.server_version,
        contents.pgvector,
        contents.unvalidated_constraints,
        contents.waiting_rules,
        contents.invalid_indexes,
        connection.pooler,
        connection.connected_releases,
        connection.noted_releases,
        connection.search_path,
        connection.encryption,
    ),
    "sqlite": (
        contents.startup_check,
        contents.bypassed,
        contents.differences,
        connection.noted_releases,
        embedded.quick_check,
        embedded.foreign_keys,
        embedded.journal,
        embedded.writable,
    ),
}


def examine(target: Target, role: Role, repository: str | None) -> list[Finding]:
    """Run every check on a database; the writes of a check are rolled back.

    Args:
        target: The database.
        role: The rights of the calling repository over the schema.
        repository: Its name.

    Raises:
        DatabaseUnreachable: The database did not accept a connection.
        DatabaseRefused: The database cannot be read at all.
    """
    with _connected(target) as link:
        try:
            patient = _patient(target, link, role, repository)
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise explain(error, link.shown, "looking for the schema") from error
        return [finding for check in CHECKS[link.dialect] for finding in _run(check, patient)]


def _connected(target: Target) -> AbstractContextManager[Link]:
    # Filtered: row security applies to the application's reads too.
    if target.in_memory and target.engine is not None:
        return target.work()
    return target.connect(create=False, filtered=True)


def _patient(target: Target, link: Link, role: Role, repository: str | None) -> Patient:
    if link.dialect == "sqlite":
        rows = link.rows("SELECT 'main', name FROM sqlite_master WHERE type = 'table'")
    else:
        rows = link.rows(
            "SELECT n.nspname::text, c.relname::text FROM pg_namespace n"
            " LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')"
            " AND c.relname = ANY(%s::name[])"
            " WHERE CASE WHEN %s::text IS NULL THEN"
            "  n.oid = coalesce((SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%s)),"
            "  to_regnamespace(quote_ident(current_schema()))) ELSE n.nspname = %s END",
            (list(load().tables), link.schema, VERSION, link.schema),
        )
    present = {name for _, name in rows}
    schema = rows[0][0] if rows else "main" if link.dialect == "sqlite" else link.schema or "public"
    return Patient(
        target, link, role, repository, schema, tuple(name for name in load().tables if name in present)
    )


def _run(check: Check, patient: Patient) -> Iterator[Finding]:
    try:
        yield from check(patient)
    except Exception as error:
        if isinstance(error, PermissionMissing):
            reason, way = error.what, error.next_step
        elif is_driver_error(error):
            reason = brief(error)
            way = f"Connect with a role that may read the schema, then run: {command('doctor')}"
            if patient.role is Role.OWNER and sqlstate(error) == PERMISSION:
                way = own_the_tables()
        else:
            raise
        name = check.__name__.replace("_", "-")
        yield Finding(
            f"{name}-not-checked", Severity.WARNING, f"The check '{name}' could not be made: {reason}", way
        )
