"""Column descriptions in the database itself, where psql and other tools show them; SQLite stores none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.pace import dialect, ground, offline, step
from diwa_schema.names import code, literal

Texts = Mapping[str, Mapping[str, str | None]]
"""The descriptions by table and column; None is no text."""

# COMMENT accepts no parameters and only one column for each statement. The SQL contains no percent sign, because a
# driver may interpret it.
_CODE = """
DECLARE one record;
BEGIN
  FOR one IN
    SELECT 'COMMENT ON COLUMN ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || '.'
      || quote_ident(a.attname) || ' IS ' || quote_nullable(v.after) AS statement
    FROM (VALUES
{values}) v(of, name, before, after)
    JOIN pg_namespace n ON n.nspname = current_schema()
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.of AND c.relkind = 'r'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = v.name AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = a.attnum
    WHERE d.description IS NOT DISTINCT FROM v.before::text
    ORDER BY c.relname, a.attnum
  LOOP EXECUTE one.statement; END LOOP;
END
"""


@step
def describe(texts: Texts, *, instead_of: Texts | None = None) -> None:
    """Write descriptions of columns as their comments; a comment that somebody else wrote stays.

    No row is read, and no reader or writer of rows waits: only VACUUM and changes of the same tables do.

    Args:
        texts: The descriptions by table and column.
        instead_of: The earlier texts. A column with any other text stays as it is, and so does an unnamed column that
            has a text.
    """
    if dialect() == "sqlite":
        return
    before = instead_of or {}
    rows = tuple(
        (table, column, before.get(table, {}).get(column), text)
        for table, columns in sorted(texts.items())
        for column, text in columns.items()
    )
    if offline():
        op.execute(lookup.verbatim(_block(rows)))
        return
    on = ground()

    def work(connection: sa.Connection) -> None:
        if on.live:
            # With some hundred schemas beside this one, the planner would read the whole of pg_class for its 31 tables.
            connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        # As it is: SQLAlchemy would search 40 kB for parameters, which takes longer than the statement.
        connection.exec_driver_sql(_block(rows).replace("%", "%%"))

    on.pace.short(work)


@lru_cache(maxsize=8)  # a fleet writes the same texts in every target
def _block(rows: tuple[tuple[str, str, str | None, str | None], ...]) -> str:
    """Return the statement that writes texts. Its conditions are evaluated when it runs, so it can also be printed."""
    values = ",\n".join(f"    ({', '.join(map(literal, row))})" for row in rows)
    return f"DO {code(_CODE.format(values=values))}"
