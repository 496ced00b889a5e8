"""How the connection reaches the server, and where its unqualified names lead."""

from __future__ import annotations

from collections.abc import Iterator

from diwa_schema.health.finding import Finding, Patient, Severity
from diwa_schema.errors import TransactionPooler
from diwa_schema.guard.role import Role
from diwa_schema.names import quoted
from diwa_schema.run import pooler as rule


def pooler(patient: Patient) -> Iterator[Finding]:
    """Tell when the server process changes between transactions."""
    try:
        with patient.target.connect() as second:
            rule.refuse(patient.link, second, patient.link.shown)
    except TransactionPooler as error:
        severity = Severity.WARNING if patient.role is Role.OWNER else Severity.NOTE
        yield Finding("pooler", severity, error.what, error.next_step)


def search_path(patient: Patient) -> Iterator[Finding]:
    """Tell when unqualified names lead elsewhere than to the schema's own tables."""
    path, first = patient.link.rows("SELECT current_schemas(false)::text[], current_schema()::text")[0]
    mend = f"ALTER ROLE CURRENT_USER SET search_path = {quoted(patient.schema)}, public;"
    if first != patient.schema:
        reason = (
            f"New tables would go to {first or 'no schema at all'}, and the schema's are in {patient.schema}."
        )
        yield Finding("search-path-elsewhere", Severity.WARNING, f"{reason} The search path is {path}.", mend)
    shadowed = patient.link.rows(
        "SELECT c.relname::text, n.nspname::text FROM unnest(%s::text[]) t (name)"
        " JOIN pg_class c ON c.oid = to_regclass(quote_ident(t.name))"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname <> %s ORDER BY 1",
        (list(patient.tables), patient.schema),
    )
    for table, schema in shadowed:
        reason = f"The name {table} leads to schema {schema}, not to the table in {patient.schema}."
        yield Finding("search-path-shadowed", Severity.ERROR, f"{reason} The search path is {path}.", mend)
    for (schema,) in patient.link.rows(
        "SELECT n.nspname::text FROM pg_namespace n WHERE n.nspname = ANY(%s)"
        " AND has_schema_privilege('public', n.oid, 'CREATE') ORDER BY 1",
        (path,),
    ):
        reason = f"Everybody may create in schema {schema} of the search path, and so take a name over."
        revoke = f"REVOKE CREATE ON SCHEMA {quoted(schema)} FROM PUBLIC;"
        yield Finding("search-path-writable", Severity.WARNING, reason, revoke)
