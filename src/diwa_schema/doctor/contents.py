"""What the server is and what the schema holds: pgvector, constraints and indexes."""

from __future__ import annotations

from collections.abc import Iterator

from diwa_schema.database.failures import brief, is_driver_error
from diwa_schema.doctor.finding import Finding, Patient, Severity
from diwa_schema.errors import command
from diwa_schema.names import quoted
from diwa_schema.run.preflight import OLDEST_SERVER

_EMBEDDING = "embedding"
_CONVERT = f"{command('enable-vector')}"


def server_version(patient: Patient) -> Iterator[Finding]:
    """Tell when the server is older than what the package is tested on."""
    number, shown = patient.link.rows(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version')"
    )[0]
    if number < OLDEST_SERVER:
        reason = f"The server is PostgreSQL {shown}; this package supports {OLDEST_SERVER} and newer."
        yield Finding(
            "server-too-old", Severity.ERROR, reason, f"Upgrade to PostgreSQL {OLDEST_SERVER} or newer"
        )


def pgvector(patient: Patient) -> Iterator[Finding]:
    """Tell whether embeddings can be vectors, whether they are, and whether they can be compared."""
    schema, visible, available = patient.link.rows(
        "SELECT n.nspname::text, pg_type_is_visible(t.oid),"
        " EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')"
        " FROM (SELECT 1) one LEFT JOIN pg_extension e ON e.extname = 'vector'"
        " LEFT JOIN pg_namespace n ON n.oid = e.extnamespace"
        " LEFT JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector'"
    )[0]
    if schema is None:
        yield _without_vector(available=available)
        return
    yield from _compares(patient, schema)
    if not visible:
        yield Finding(
            "pgvector-hidden",
            Severity.WARNING,
            f"pgvector is in schema {schema}, which is not on the connection's search path:"
            " comparing embeddings fails there.",
            f"ALTER ROLE CURRENT_USER SET search_path = {quoted(patient.schema)}, {quoted(schema)};",
        )
    kept = patient.link.rows(
        "SELECT c.relname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relname = ANY(%s)"
        " AND a.attname = %s AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped ORDER BY 1",
        (patient.schema, list(patient.tables), _EMBEDDING),
    )
    if kept:
        names = ", ".join(row[0] for row in kept)
        reason = f"pgvector is here, and the embeddings of {names} are still bytes."
        yield Finding("embeddings-as-bytes", Severity.WARNING, reason, _CONVERT)


def unvalidated_constraints(patient: Patient) -> Iterator[Finding]:
    """Tell which constraints hold for new rows only."""
    for table, name in patient.link.rows(
        "SELECT t.relname::text, c.conname::text FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
        " WHERE NOT c.convalidated AND t.relnamespace = to_regnamespace(quote_ident(%s))"
        " AND t.relname = ANY(%s) ORDER BY 1, 2",
        (patient.schema, list(patient.tables)),
    ):
        yield Finding(
            "constraint-not-validated",
            Severity.WARNING,
            f"Constraint {name} of {table} was never checked against the rows that were there before it.",
            f"ALTER TABLE {quoted(patient.schema)}.{quoted(table)} VALIDATE CONSTRAINT {quoted(name)};",
        )


def invalid_indexes(patient: Patient) -> Iterator[Finding]:
    """Tell which indexes no query uses although every write maintains them."""
    for table, name in patient.link.rows(
        "SELECT t.relname::text, i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
        " JOIN pg_class t ON t.oid = x.indrelid WHERE NOT (x.indisvalid AND x.indisready)"
        " AND t.relnamespace = to_regnamespace(quote_ident(%s)) AND t.relname = ANY(%s) ORDER BY 1, 2",
        (patient.schema, list(patient.tables)),
    ):
        yield Finding(
            "index-invalid",
            Severity.WARNING,
            f"Index {name} of {table} is not valid: its build was interrupted, or is still under way.",
            f"REINDEX INDEX CONCURRENTLY {quoted(patient.schema)}.{quoted(name)};",
        )


def _without_vector(*, available: bool) -> Finding:
    if available:
        reason = "pgvector can be installed in this database and is not; embeddings are kept as bytes."
        return Finding(
            "pgvector-not-installed", Severity.NOTE, reason, f"CREATE EXTENSION vector; then: {_CONVERT}"
        )
    reason = "The server has no pgvector; embeddings are kept as bytes, and everything else works."
    return Finding(
        "pgvector-absent", Severity.NOTE, reason, f"Install pgvector on the server, then: {_CONVERT}"
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
