"""The path of the connection to the server, its encryption, and the targets of its unqualified names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from diwa_schema.database import releases, seen
from diwa_schema.database.state import RELEASES
from diwa_schema.errors import TransactionPooler, command
from diwa_schema.guard import Role
from diwa_schema.health.finding import Finding, Patient, Severity
from diwa_schema.names import qualified, quoted
from diwa_schema.run import pooler as rule

_LATELY = timedelta(days=7)
_SHOWN = 5
_VERIFIED = "verify-full"
_DEFAULT_MODE = "prefer"
_ENCRYPT = "Add ?sslmode=verify-full&sslrootcert=FILE to the URL (sslrootcert=system for a public authority)"


def pooler(patient: Patient) -> Iterator[Finding]:
    """Report a server process that changes between transactions."""
    try:
        with patient.target.connect() as second:
            rule.refuse(patient.link, second, patient.link.shown)
    except TransactionPooler as error:
        severity = Severity.WARNING if patient.role is Role.OWNER else Severity.NOTE
        yield Finding("pooler", severity, error.what, error.next_step)


def connected_releases(patient: Patient) -> Iterator[Finding]:
    """Report the connected releases of this package."""
    found = releases.connected(patient.link)
    if found is None:
        way = "GRANT SELECT ON pg_stat_activity TO CURRENT_USER;"
        yield Finding("releases-not-seen", Severity.NOTE, releases.UNSEEN, way)
    elif found:
        reason = f"Connected releases: {', '.join(f'{one.release}, {one}' for one in found)}."
        yield Finding("releases", Severity.NOTE, reason, f"{command('status')} lists them")


def noted_releases(patient: Patient) -> Iterator[Finding]:
    """Report the recently started releases, and a role whose start would not be noted."""
    found = seen.seen(patient.link, patient.schema, _LATELY)
    if found:
        more = f" and {len(found) - _SHOWN} more" if found[_SHOWN:] else ""
        listed = "; ".join(f"{one.release}, {one}" for one in found[:_SHOWN])
        reason = f"Releases that have started within {_LATELY.days} days: {listed}{more}."
        yield Finding("releases-started", Severity.NOTE, reason, f"{command('status')} lists them")
    if patient.link.dialect == "postgresql" and seen.unwritable(patient.link, patient.schema):
        table = qualified(patient.schema, RELEASES)
        reason = f"This role may not write {RELEASES}: ensure_current notes no start of its release."
        way = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO CURRENT_USER;"
        yield Finding("releases-not-noted", Severity.NOTE, reason, way)


def search_path(patient: Patient) -> Iterator[Finding]:
    """Report unqualified names that do not lead to the schema's own tables."""
    path, first = patient.link.rows("SELECT current_schemas(false)::text[], current_schema()::text")[0]
    fix = f"ALTER ROLE CURRENT_USER SET search_path = {quoted(patient.schema)}, public;"
    if first != patient.schema:
        reason = (
            f"New tables would go to {first or 'no schema at all'}, and the tables of the models are in "
            f"{patient.schema}."
        )
        yield Finding("search-path-elsewhere", Severity.WARNING, f"{reason} The search path is {path}.", fix)
    shadowed = patient.link.rows(
        "SELECT c.relname::text, n.nspname::text FROM unnest(%s::text[]) t (name)"
        " JOIN pg_class c ON c.oid = to_regclass(quote_ident(t.name))"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname <> %s ORDER BY 1",
        (list(patient.tables), patient.schema),
    )
    for table, schema in shadowed:
        reason = f"The name {table} leads to schema {schema}, not to the table in {patient.schema}."
        yield Finding("search-path-shadowed", Severity.ERROR, f"{reason} The search path is {path}.", fix)
    for (schema,) in patient.link.rows(
        "SELECT n.nspname::text FROM pg_namespace n WHERE n.nspname = ANY(%s)"
        " AND has_schema_privilege('public', n.oid, 'CREATE') ORDER BY 1",
        (path,),
    ):
        reason = (
            f"Every role may create objects in schema {schema} of the search path, and so take over a name."
        )
        revoke = f"REVOKE CREATE ON SCHEMA {quoted(schema)} FROM PUBLIC;"
        yield Finding("search-path-writable", Severity.WARNING, reason, revoke)


def encryption(patient: Patient) -> Iterator[Finding]:
    """Report a connection to another machine without encryption, or without a check of the server's identity."""
    raw: Any = patient.link.raw
    if is_local(raw.info.host, raw.info.hostaddr):
        return
    where = raw.info.host or raw.info.hostaddr
    if not raw.pgconn.ssl_in_use:
        reason = f"The connection to {where} is not encrypted: others can read passwords and rows on the way."
        yield Finding("tls-off", Severity.ERROR, reason, _ENCRYPT)
        return
    mode = raw.info.get_parameters().get("sslmode", _DEFAULT_MODE)
    if mode != _VERIFIED:
        reason = (
            f"The connection to {where} is encrypted with sslmode={mode}, which does not prove the identity "
            "of the server."
        )
        yield Finding("tls-not-verified", Severity.NOTE, reason, _ENCRYPT)
    if not patient.link.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"):
        reason = (
            f"Encryption ends before the server: a program between {where} and the server sends plain text "
            "to it."
        )
        yield Finding(
            "tls-ends-early", Severity.NOTE, reason, "Encrypt the way from the pooler to the server as well"
        )


def is_local(host: str, address: str) -> bool:
    """Whether a connection stays on the machine: a socket file, or a loopback address.

    Args:
        host: The host that libpq was given: a name, an address or the directory of a socket.
        address: The connected address, "" for a socket.
    """
    if host.startswith(("/", "@")):
        return True
    try:
        return ip_address(address or host).is_loopback
    except ValueError:
        return not host and not address
