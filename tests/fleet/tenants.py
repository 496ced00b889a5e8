"""What the tests of fleets ask a database, or tell it, from outside of a run."""

from __future__ import annotations

import psycopg

from diwa_schema.migrations.manifest import load

HEAD = load().head
BEHIND = load().ids[-3]
TENANTS = ("tenant_1", "tenant_2", "tenant_3")


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def revisions(url: str) -> dict[str, str]:
    """Return the revision of every tenant of a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = 'diwa_schema_version' ORDER BY 1"
        ).fetchall()
        found = {}
        for (name,) in names:
            row = connection.execute(
                f'SELECT version_num FROM "{name}".diwa_schema_version'.encode()
            ).fetchone()
            found[name] = row[0] if row else "base"
    return found


def applied(url: str, schema: str) -> list[str]:
    """Return the revisions that the ledger of a tenant has as applied, in order."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            f"SELECT revision FROM {schema}.diwa_schema_ledger WHERE outcome = 'applied' AND direction = 'upgrade'"
            f" AND revision > '{BEHIND}' AND kind <> 'snapshot' ORDER BY id".encode()
        ).fetchall()
    return [row[0] for row in rows]
