"""The contents of the database: its revision, differences from it, pgvector, and unfinished work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diwa_schema.database import bookkeeping
from diwa_schema.database.failures import LOCK_TIMEOUT, brief, is_driver_error, sqlstate
from diwa_schema.drift import unfinished
from diwa_schema.drift.check import check
from diwa_schema.errors import DatabaseRefused, DiwaSchemaError, PermissionMissing, command
from diwa_schema.guard import Role
from diwa_schema.health import startup, status
from diwa_schema.health.finding import Finding, Patient, Severity
from diwa_schema.migrations import characters, pgvector as vector
from diwa_schema.names import qualified, quoted
from diwa_schema.run.preflight import refuse_old_server


def startup_check(patient: Patient) -> Iterator[Finding]:
    """Report the refusals of the start-up check."""
    try:
        startup.judge(patient.link)
    except DiwaSchemaError as error:
        code = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
        yield Finding(code, Severity.ERROR, error.what, error.next_step)


def bypassed(patient: Patient) -> Iterator[Finding]:
    """Report to the owner the runs with the bypass since the last regular run."""
    for run in status.bypassed(patient.link):
        reason = f", because: {run['bypass_reason']}" if run["bypass_reason"] else ", without a reason"
        yield Finding(
            "bypassed-run",
            Severity.WARNING if patient.role is Role.OWNER else Severity.NOTE,
            f"'{run['kind']}' ran through the bypass ({run['bypass']}) at {run['started_at']}, from "
            f"{run['repository'] or 'an unknown repository'} by {run['os_user']} on {run['host']}{reason}.",
            f"{command('history --applied')}, then {command('check')}",
        )


def differences(patient: Patient) -> Iterator[Finding]:
    """Report the differences from the expected schema at the database's revision, as the command `check` does."""
    if bookkeeping.look(patient.link).revision is None:
        return
    try:
        with _patience(patient):
            found = check(patient.link)
    except PermissionMissing as error:
        # Below head the expected schema is built and rolled back; an application has no right to do that.
        yield Finding("not-compared", Severity.NOTE, error.what, error.next_step)
        return
    except DatabaseRefused:
        return  # the start-up check reports this
    except Exception as error:
        if sqlstate(error) != LOCK_TIMEOUT:
            raise
        reason = (
            "The check did not compare the schema with the expected one: another session is changing a table."
        )
        yield Finding("not-compared", Severity.NOTE, reason, command("check"))
        return
    told = _left_undone(patient)
    for one in found:
        if one.kind == "revision":
            reason = f"{one.text[:1].upper()}{one.text[1:]}."
            yield Finding("revision-unfinished", Severity.WARNING, reason, one.fix.caution)
        elif one.severity == "drift" and one.object not in told:
            reason = one.text if one.text.endswith(".") else f"{one.text}."
            yield Finding("drift", Severity.ERROR, reason, command("check"))


@contextmanager
def _patience(patient: Patient) -> Iterator[None]:
    """Abort a read that would wait for a change of a table: the server locks a table to write its definition."""
    if patient.link.dialect == "sqlite":
        yield
        return
    patient.link.value("SELECT set_config('lock_timeout', '50ms', false)")
    try:
        yield
    finally:
        patient.link.abandon()
        patient.link.execute("RESET lock_timeout")


def _left_undone(patient: Patient) -> set[str]:
    """Return the constraints and indexes that are reported separately, with the command that finishes each."""
    if patient.link.dialect == "sqlite":
        return set()
    return {name for _, name in (*_undone(patient, _UNVALIDATED), *_undone(patient, _INVALID))}


def server_version(patient: Patient) -> Iterator[Finding]:
    """Report a server that is older than the tested ones."""
    try:
        refuse_old_server(patient.link)
    except DatabaseRefused as error:
        yield Finding("server-too-old", Severity.ERROR, error.what, error.next_step)


def pgvector(patient: Patient) -> Iterator[Finding]:
    """Report whether embeddings can be vectors, whether they are, and whether they can be compared."""
    schema, visible, available = patient.link.rows(
        "SELECT n.nspname::text, pg_type_is_visible(t.oid),"
        " EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')"
        " FROM (SELECT 1) one LEFT JOIN pg_extension e ON e.extname = 'vector'"
        " LEFT JOIN pg_namespace n ON n.oid = e.extnamespace"
        " LEFT JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector'"
    )[0]
    if schema is None:
        yield _without_vector(patient, available=available)
        return
    yield from _lodging(patient)
    yield from _compares(patient, schema)
    if not visible:
        yield Finding(
            "pgvector-hidden",
            Severity.WARNING,
            f"pgvector is in schema {schema}, which is not on the connection's search path: comparisons of "
            "embeddings fail there.",
            f"ALTER ROLE CURRENT_USER SET search_path = {quoted(patient.schema)}, {quoted(schema)};",
        )
    kept = patient.link.rows(
        "SELECT c.relname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = ANY(%s)"
        " AND a.attname = %s AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped ORDER BY 1",
        (patient.schema, list(patient.tables), "embedding"),
    )
    if kept:
        names = ", ".join(row[0] for row in kept)
        reason = f"pgvector is installed, and the embeddings of {names} are still bytes."
        yield Finding("embeddings-as-bytes", Severity.WARNING, reason, command("enable-vector"))


def unvalidated_constraints(patient: Patient) -> Iterator[Finding]:
    """Report the constraints that apply to new rows only."""
    found = _undone(patient, _UNVALIDATED)
    way = _unfinished(patient) if found else ""
    for table, name in found:
        if name == characters.check_on(table):
            continue  # it refuses new texts only, on purpose
        yield Finding(
            "constraint-not-validated",
            Severity.WARNING,
            f"Constraint {name} of {table} was never checked against the rows that are older than it.",
            way or f"ALTER TABLE {qualified(patient.schema, table)} VALIDATE CONSTRAINT {quoted(name)};",
        )


def waiting_rules(patient: Patient) -> Iterator[Finding]:
    """Report the rules about rows that wait because rows break them or broke them."""
    for one in status.waiting_rules(patient.link, bookkeeping.look(patient.link)):
        if one.state == "absent":
            yield Finding(
                "rule-waits", Severity.NOTE, f"{one.text[:1].upper()}{one.text[1:]}.", one.next_step
            )


def invalid_indexes(patient: Patient) -> Iterator[Finding]:
    """Report the indexes that no query uses; every write still maintains them."""
    found = _undone(patient, _INVALID)
    way = _unfinished(patient) if found else ""
    for table, name in found:
        yield Finding(
            "index-invalid",
            Severity.WARNING,
            f"Index {name} of {table} is not valid: its build was interrupted, or still runs.",
            way or f"REINDEX INDEX CONCURRENTLY {qualified(patient.schema, name)};",
        )


_UNVALIDATED = (
    "SELECT t.relname::text, c.conname::text FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
    " WHERE NOT c.convalidated"
)
_INVALID = (
    "SELECT t.relname::text, i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
    " JOIN pg_class t ON t.oid = x.indrelid WHERE NOT (x.indisvalid AND x.indisready)"
)


def _unfinished(patient: Patient) -> str:
    """Return the command that finishes an unfinished revision, whose objects need no other; empty without one."""
    one = unfinished.look(patient.link, bookkeeping.look(patient.link))
    return one.next_step if one else ""


def _undone(patient: Patient, query: str) -> list[tuple[Any, ...]]:
    """Return table and name of each result of a query on the existing tables."""
    here = " AND t.relnamespace = to_regnamespace(quote_ident(%s)) AND t.relname = ANY(%s) ORDER BY 1, 2"
    return patient.link.rows(query + here, (patient.schema, list(patient.tables)))


def _lodging(patient: Patient) -> Iterator[Finding]:
    if (found := vector.lodging(patient.link)) is not None:
        schema, way = found
        told = vector.lodged(schema)
        yield Finding("pgvector-in-tenant", Severity.WARNING, f"{told[:1].upper()}{told[1:]}.", way)


def _without_vector(patient: Patient, *, available: bool) -> Finding:
    if available:
        reason = "The server offers pgvector, and this database has not installed it; embeddings are kept as bytes."
        return Finding(
            "pgvector-not-installed",
            Severity.NOTE,
            reason,
            f"{vector.creation(patient.link)} then: {command('enable-vector')}",
        )
    reason = "The server has no pgvector; embeddings are kept as bytes, and everything else works."
    return Finding(
        "pgvector-absent",
        Severity.NOTE,
        reason,
        f"Install pgvector on the server, then: {command('enable-vector')}",
    )


def _compares(patient: Patient, schema: str) -> Iterator[Finding]:
    vector = f"{quoted(schema)}.vector"
    try:
        patient.link.value(f"SELECT '[1,2]'::{vector} OPERATOR({quoted(schema)}.<=>) '[2,1]'::{vector}")
    except Exception as error:
        if not is_driver_error(error):
            raise
        reason = f"pgvector is installed in schema {schema}, and the connection cannot use it: {brief(error)}"
        grant = f"GRANT USAGE ON SCHEMA {quoted(schema)} TO diwa_app;"
        yield Finding("pgvector-not-usable", Severity.ERROR, reason, grant)
