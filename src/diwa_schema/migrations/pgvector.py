"""pgvector as a capability of one database: how it is found there, and how it is created.

The history runs these statements as well as the runner, so they stand below both, without SQLAlchemy or Alembic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

DIMENSIONS = 1536

# No percent sign stands in this block: rendered for later, some dialects would double it.
# An error inside is undone alone, so the transaction around it goes on. Whether the role may create the extension is
# left to the server: a managed one lets some roles that are no superusers. Where another run creates it at the same
# moment, the server makes this one wait for its end, and then finds the name taken: the extension is there.
CREATE = """DO $do$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')
     AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
    CREATE EXTENSION IF NOT EXISTS vector;
  END IF;
EXCEPTION
  WHEN unique_violation OR duplicate_object THEN
    NULL;
  WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
    RAISE NOTICE USING MESSAGE = 'pgvector is not usable here, embeddings are kept as bytes: ' || SQLERRM;
END
$do$"""

# Whether it is there or the server could create it; whether the role may is left to the server.
POSSIBLE = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')"

# The type with its schema, so that it is found whatever the search path is; NULL where pgvector is not installed.
TYPE = (
    "SELECT quote_ident(n.nspname) || '.vector' FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
    " WHERE e.extname = 'vector'"
)


def embedding_type(link: Link) -> str:
    """Return the type that a column of embeddings has in a PostgreSQL database."""
    vector = link.value(TYPE)
    return f"{vector}({DIMENSIONS})" if vector else "bytea"
