"""Ecto's records in the database of a step.

Ecto's list of versions shows whether Ecto created the database, and whether diwa-agent's own migration ran there. A
shadow or a new database has no such list, so the step takes its default path.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.ecto import AGENT, AGENT_V1, LIST, shared
from diwa_schema.migrations.steps.lookup import oid, quoted, table_exists
from diwa_schema.migrations.steps.pace import dialect, offline


def made_by_ecto() -> bool:
    """Return whether Ecto created the database; not for printed SQL."""
    return _recorded(_all())


def ran_agents_migration() -> bool:
    """Return whether the agent's own migration is on record; not for printed SQL."""
    return _recorded([AGENT])


def of_ecto(versions: list[int] | None = None) -> str:
    """Return a condition that is true if versions are on record, by default any of Ecto's; it needs the list."""
    listed = ", ".join(map(str, versions or _all()))
    return f"EXISTS (SELECT 1 FROM {LIST} WHERE version IN ({listed}))"


def unless_made_by_ecto(statements: str) -> str:
    """Return the body of a PL/pgSQL block that acts only if Ecto did not create the database."""
    return _unless(_all(), statements)


def drop_table_unless_agents(table: str, *, filled: bool = True) -> None:
    """Drop a table unless the agent's own migration is on record: then the agent owns the table.

    On SQLite, printed SQL keeps the table.

    Args:
        table: The table; if it is absent, nothing happens.
        filled: Whether to drop it even if it has rows.
    """
    there = "" if filled else f" AND NOT EXISTS (SELECT FROM {quoted(table)})"
    if dialect() == "postgresql":
        lock = f"LOCK TABLE {quoted(table)} IN ACCESS EXCLUSIVE MODE;\n  "
        drop = f"{lock}IF true{there} THEN DROP TABLE {quoted(table)}; END IF;"
        op.execute(f"""DO $do$
DECLARE
  found boolean := false;
BEGIN
  IF {oid(table)} IS NULL THEN RETURN; END IF;
  {_unless([AGENT], drop)}
END
$do$""")
    elif not offline() and table_exists(op.get_bind(), table) and not ran_agents_migration():
        rows = op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT 1 FROM {quoted(table)})"))
        if filled or not rows:
            op.drop_table(table)


def _all() -> list[int]:
    return sorted({*AGENT_V1, AGENT, *shared()})


def _recorded(versions: list[int]) -> bool:
    connection = op.get_bind()
    if not table_exists(connection, LIST):
        return False
    return bool(connection.scalar(sa.text(f"SELECT {of_ecto(versions)}")))


def _unless(versions: list[int], statements: str) -> str:
    # The server never plans a statement in a branch that is not taken, so the list may be absent.
    return f"""IF {oid(LIST)} IS NOT NULL THEN
    SELECT {of_ecto(versions)} INTO found;
  END IF;
  IF NOT found THEN
    {statements}
  END IF;"""
