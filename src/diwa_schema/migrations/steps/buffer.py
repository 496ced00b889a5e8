"""The buffer of tool operations, which an agent may have created before this history.

The agent's table is never removed, because the agent uses it during the schema change. It is converted in place to this
history's shape: PostgreSQL drops constraints, which touches no row; SQLite cannot drop a constraint, so a copy takes
the name within the transaction. The ids stay uuids, as the agent binds them, and additional columns stay as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

from diwa_schema.migrations.steps.kept_values import KEPT
from diwa_schema.migrations.steps.lookup import column_types, literal, oid, quoted, table_exists, verbatim
from diwa_schema.migrations.steps.pace import dialect, offline
from diwa_schema.migrations.temporary import reshaped

BUFFER = "tala_operations"
IDS = ("session_id", "context_id")

_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
# The columns of the agent's table that this history's table lacks.
_LOOSENED = (
    *(f"ALTER COLUMN {column} DROP NOT NULL" for column in (*IDS, "tool_name", "params")),
    *(f"ALTER COLUMN {column} DROP DEFAULT" for column in ("id", "params", "inserted_at")),
    f"DROP CONSTRAINT IF EXISTS {BUFFER}_context_id_fkey",
)


def create_buffer(*items: SchemaItem) -> None:
    """Create the buffer, or convert the agent's own table to the same shape, with its rows.

    Args:
        items: The columns and the key of the buffer.
    """
    if dialect() == "postgresql":
        op.create_table(BUFFER, *items, if_not_exists=True)
        op.execute(f"ALTER TABLE {BUFFER} {', '.join(_LOOSENED)}")
    elif offline() or not table_exists(op.get_bind(), BUFFER):
        op.create_table(BUFFER, *items)
    else:
        _copy_on_sqlite(op.get_bind(), items)


def add_column_if_absent(table: str, column: sa.Column[object]) -> None:
    """Add a column to a table; an existing column of that name stays."""
    if dialect() == "postgresql":
        op.add_column(table, column, if_not_exists=True)
    elif offline() or column.name not in column_types(op.get_bind(), table):
        op.add_column(table, column)


def make_ids_uuids() -> None:
    """Turn text ids of the buffer into uuids; a text that is not a uuid goes to the kept values.

    SQLite stores both as text. The buffer holds operations until the end of their session, so it is small and is
    rewritten at once; such a revision declares it in `rewrites`.
    """
    if dialect() == "sqlite":
        return
    keep = "\n  ".join(
        f"INSERT INTO {KEPT} SELECT '{BUFFER}', id, {literal(column)}, {column}, 'not a uuid in its usual spelling',"
        f" now() AT TIME ZONE 'utc' FROM {BUFFER} WHERE {column} !~ '{_UUID}' ON CONFLICT DO NOTHING;"
        for column in IDS
    )
    changes = ", ".join(
        f"ALTER {column} TYPE uuid USING CASE WHEN {column} ~* '{_UUID}' THEN CAST({column} AS uuid) END"
        for column in IDS
    )
    op.execute(f"""DO $do$
BEGIN
  IF {_type()} = 'uuid' THEN RETURN; END IF;
  LOCK TABLE {BUFFER} IN ACCESS EXCLUSIVE MODE;
  {keep}
  ALTER TABLE {BUFFER} {changes};
END
$do$""")


def make_ids_texts() -> None:
    """Turn the ids of the buffer back into texts if texts were kept; otherwise they stay uuids.

    A kept value returns only if the column still has the value from `make_ids_uuids`: the uuid that the text was
    another spelling of, or else NULL. If the application has written since, its value stays.
    """
    if dialect() == "sqlite":
        return
    changes = ", ".join(f"ALTER {column} TYPE varchar(255)" for column in IDS)
    back = "\n  ".join(
        f"UPDATE {BUFFER} t SET {column} = k.value FROM {KEPT} k"
        f" WHERE k.table_name = '{BUFFER}' AND k.column_name = {literal(column)} AND k.row_id = t.id"
        f" AND t.{column} IS NOT DISTINCT FROM CASE WHEN k.value ~* '{_UUID}' THEN lower(k.value) END;"
        for column in IDS
    )
    op.execute(f"""DO $do$
BEGIN
  IF NOT EXISTS (SELECT FROM {KEPT} WHERE table_name = '{BUFFER}') THEN RETURN; END IF;
  LOCK TABLE {BUFFER} IN ACCESS EXCLUSIVE MODE;
  ALTER TABLE {BUFFER} {changes};
  {back}
  DELETE FROM {KEPT} WHERE table_name = '{BUFFER}';
END
$do$""")


def _type() -> str:
    return (
        "(SELECT CAST(CAST(atttypid AS regtype) AS text) FROM pg_attribute"
        f" WHERE attrelid = {oid(BUFFER)} AND attname = '{IDS[0]}')"
    )


def _copy_on_sqlite(connection: sa.Connection, items: Sequence[SchemaItem]) -> None:
    """Replace the agent's table by a copy in this history's shape, with all of its columns."""
    new = reshaped(BUFFER)
    op.create_table(new, *items)
    known = column_types(connection, new)
    old = connection.execute(
        sa.text(f"SELECT name, type, dflt_value FROM pragma_table_info({literal(BUFFER)})")
    ).all()
    for name, kind, default in old:
        if name not in known:
            tail = f" DEFAULT {default}" if default is not None else ""
            op.execute(f"ALTER TABLE {new} ADD COLUMN {quoted(name)} {verbatim(kind + tail)}")
    names = ", ".join(quoted(name) for name, _, _ in old)
    op.execute(f"INSERT INTO {new} ({names}) SELECT {names} FROM {BUFFER}")
    op.drop_table(BUFFER)
    # Other objects refer to the table by its name; otherwise SQLite would check every view while the table is absent.
    op.execute("PRAGMA legacy_alter_table = ON")
    op.rename_table(new, BUFFER)
    op.execute("PRAGMA legacy_alter_table = OFF")
