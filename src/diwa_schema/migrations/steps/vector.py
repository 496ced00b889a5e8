"""pgvector as a capability of one database: installed in it, or not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps.pace import dialect
from diwa_schema.models.types.embeddings import DIMENSIONS

# An error inside the block is undone alone, so the transaction around it goes on. Whether the role may create
# the extension is left to the server: a managed one lets some roles that are no superusers.
# There is no percent sign in these blocks: rendered for later, some dialects would double it.
CREATE = """DO $do$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')
     AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
    CREATE EXTENSION IF NOT EXISTS vector;
  END IF;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
  RAISE NOTICE USING MESSAGE = 'pgvector is not usable here, embeddings are kept as bytes: ' || SQLERRM;
END
$do$"""

# The type with its schema, so that it is found whatever the search path is; NULL without pgvector.
TYPE = (
    "SELECT quote_ident(n.nspname) || '.vector' FROM pg_extension e"
    " JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"
)

SHADOW = "shadow"


def create_vector_extension() -> None:
    """Install pgvector in this database where the server has it and the role may; otherwise nothing happens.

    On SQLite, and in a shadow, which must leave nothing behind, nothing happens either.
    """
    if dialect() == "postgresql" and not op.get_context().opts.get(SHADOW):
        op.execute(CREATE)


def vector_type(connection: sa.Connection) -> str | None:
    """Return how pgvector's type is written in this database, without its size; None where it is absent."""
    found: str | None = connection.scalar(sa.text(TYPE))
    return found


def add_embedding(table: str) -> None:
    """Add the column `embedding` to a table that has no rows: a vector where pgvector is there, else bytes.

    The database itself decides when the statement runs, so SQL that is written to be run later is right too.
    """
    if dialect() == "sqlite":
        op.add_column(table, sa.Column("embedding", sa.LargeBinary()))
        return
    op.execute(f"""DO $do$
BEGIN
  EXECUTE 'ALTER TABLE {table} ADD COLUMN embedding ' || coalesce(({TYPE}) || '({DIMENSIONS})', 'bytea');
END
$do$""")
