"""Changing the type of an embedding column without losing a value or blocking the table's users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations import characters, pgvector
from diwa_schema.migrations.steps.dialects import create_vector_extension
from diwa_schema.migrations.steps.lookup import column_types, literal, oid, quoted, verbatim
from diwa_schema.migrations.steps.pace import dialect, ground, offline, step
from diwa_schema.migrations.steps.retype.column import Replacement
from diwa_schema.migrations.steps.retype.work import COLUMN, Kind, Retyping, abandon
from diwa_schema.migrations.steps.upstream import made_by_ecto, unless_made_by_ecto


@step
def retype_embedding(table: str, to: Kind, *, unasked: bool = False) -> None:
    """Turn the column `embedding` of a table into a vector(1536), or into bytes; a column of that type stays.

    Nothing happens on SQLite, or for a vector in a database without pgvector. Values are converted in the order of the
    table's key while the table is in use; then the new column replaces the old one in one short transaction. A value
    that cannot be a vector(1536) goes to the archive. The conversion to bytes restores it if the row has no value by
    then, unless it consists of the characters of a vector: a bytes column that was a vector gets a check that refuses
    these, and the check disappears with the column. Indexes on the column are first built on the new one; an index of
    pgvector does not survive the conversion to bytes. After an interruption, a second run resumes the work.

    Printed SQL only replaces a column without values or indexes, because the database cannot convert them. For any
    other column, a conversion to a vector changes nothing, and a conversion to bytes stops the script.

    Args:
        table: A table with a uuid key named id and a column named embedding.
        to: The new type of the column.
        unasked: Whether the conversion happens without a request: then bytes stay bytes in a database that Ecto
            created, because the application's code may bind them.

    Raises:
        MigrationFailed: The column is absent or has a third type, or views or constraints depend on it.
    """
    if dialect() == "sqlite":
        return
    if offline():
        op.execute(_to_vector_later(table, unasked) if to == "vector" else _to_bytes_later(table))
        return
    if unasked and ground().pace.look(lambda connection: _are_ectos_bytes(connection, table)):
        return
    on = ground()
    target = on.pace.look(lambda connection: _target(connection, to))
    if target is None:
        on.pace.short(lambda _: create_vector_extension())  # does nothing in a database of Ecto
        target = on.pace.look(lambda connection: _target(connection, to))
    if target is not None:
        Retyping(on, Replacement(table, COLUMN, target), to).run()


def abandon_retype(table: str) -> None:
    """Remove the remains of an interrupted retype; the table's embeddings stay as they are."""
    if dialect() == "sqlite" or offline():
        return
    ground().pace.short(lambda connection: abandon(connection, table))


def _are_ectos_bytes(connection: sa.Connection, table: str) -> bool:
    return made_by_ecto() and column_types(connection, table).get(COLUMN) == "bytea"


def _target(connection: sa.Connection, to: Kind) -> str | None:
    if to == "bytes":
        return "bytea"
    found: str | None = connection.scalar(sa.text(pgvector.TYPE))
    return found and f"{verbatim(found)}({pgvector.DIMENSIONS})"


def _to_vector_later(table: str, unasked: bool) -> str:
    later = _later(
        table,
        "bytea",
        f"({pgvector.TYPE}) || '({pgvector.DIMENSIONS})'",
        "RAISE NOTICE USING MESSAGE = 'embeddings stay as they are; diwa-schema enable-vector converts them'",
    )
    if not unasked:
        return later
    return f"""DO $guard$
DECLARE
  found boolean := false;
BEGIN
  {unless_made_by_ecto(f"EXECUTE {literal(later)};")}
END
$guard$"""


def _to_bytes_later(table: str) -> str:
    return _later(
        table,
        "vector",
        "'bytea'",
        "RAISE EXCEPTION USING MESSAGE = 'there are embeddings; only diwa-schema downgrade converts them'",
        characters.refusal(table),
    )


def _later(table: str, kind: str, target: str, otherwise: str, refusal: str | None = None) -> str:
    """Return a block that replaces a column without values or indexes, and otherwise runs other statements.

    Args:
        table: The table.
        kind: The type to replace.
        target: The new type, as an expression.
        otherwise: The statements for a column with values or indexes.
        refusal: The clause for the table after the replacement.
    """
    last = "" if refusal is None else f"\n    ALTER TABLE {quoted(table)} {refusal};"
    return f"""DO $do$
DECLARE
  target text := {target};
  place oid := {oid(table)};
  filled boolean;
BEGIN
  IF target IS NULL OR NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
      WHERE a.attrelid = place AND a.attname = '{COLUMN}' AND t.typname = {literal(kind)}) THEN
    RETURN;
  END IF;
  LOCK TABLE {quoted(table)} IN ACCESS EXCLUSIVE MODE;
  SELECT EXISTS (SELECT FROM {quoted(table)} WHERE {COLUMN} IS NOT NULL) OR EXISTS (
      SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      JOIN pg_index i ON i.indexrelid = d.objid WHERE d.refobjid = place AND a.attname = '{COLUMN}')
    INTO filled;
  IF filled THEN
    {otherwise};
  ELSE
    ALTER TABLE {quoted(table)} DROP COLUMN {COLUMN};
    EXECUTE 'ALTER TABLE {quoted(table)} ADD COLUMN {COLUMN} ' || target;{last}
  END IF;
END
$do$"""
