"""pgvector as a capability of one database: its detection, its permitted schemas, and its creation.

A database has the extension once, in one schema. Dropping that schema drops the extension, and with it the embeddings
of every other schema. The extension is therefore never created next to this package's tables, unless their schema is
`public` and the only one. It goes to a schema for extensions if there is one, else to `public`, else it is not created.

The history and the runner share these statements, so this module uses neither SQLAlchemy nor Alembic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.names import literal, quoted

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

DIMENSIONS = 1536

SHARED = "extensions"
"""The usual name of a schema for extensions; if it exists, the extension goes there."""

BYTES = "embeddings are kept as bytes"
"""A part of the server's message if the extension cannot be created."""

# A schema with one of these tables is one of ours, taken over or not.
_OURS = (
    "SELECT FROM pg_class c WHERE c.relname IN ('diwa_schema_version', 'memories')"
    " AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.relnamespace"
)

# The schema for the creation of the extension; NULL if there is none. The current schema has or will get our tables.
PLACE = (
    "SELECT n.nspname::text FROM pg_namespace n WHERE has_schema_privilege(n.oid, 'USAGE') AND ("
    f"n.nspname IN ('{SHARED}', 'public') AND n.nspname IS DISTINCT FROM current_schema()"
    f" AND NOT EXISTS ({_OURS} = n.oid)"
    f" OR n.nspname = 'public' AND current_schema() = 'public' AND NOT EXISTS ({_OURS} <> n.oid))"
    " ORDER BY n.nspname LIMIT 1"
)

AVAILABLE = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')"
"""Whether the server offers it."""

_NOWHERE = (
    f"pgvector is not usable here, {BYTES}: each schema that it could go to has tables that somebody may drop, and it"
    f" would be dropped with them. As a superuser: CREATE SCHEMA {SHARED}; CREATE EXTENSION vector SCHEMA {SHARED}"
)

# This block contains no percent sign, because some dialects would double it in printed SQL.
# An error inside rolls back only the block, so the transaction around it continues. The server decides whether the role
# may create the extension: a managed server permits some roles that are not superusers. If another run creates it at
# the same moment, the server makes this run wait for the end of that one; the name is then taken, and the extension
# exists.
# Every client receives INFO, regardless of its settings.
CREATE = f"""DO $do$
DECLARE
  place text := ({PLACE});
BEGIN
  IF EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') OR NOT ({AVAILABLE}) THEN
    NULL;
  ELSIF place IS NULL THEN
    RAISE INFO USING MESSAGE = {literal(_NOWHERE)};
  ELSE
    EXECUTE 'CREATE EXTENSION IF NOT EXISTS vector SCHEMA ' || quote_ident(place);
  END IF;
EXCEPTION
  WHEN unique_violation OR duplicate_object THEN
    NULL;
  WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
    RAISE INFO USING MESSAGE = 'pgvector is not usable here, {BYTES}: ' || SQLERRM;
END
$do$"""

# Whether it exists or the server could create it; the server decides whether the role may create it.
POSSIBLE = (
    "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
    f" OR (({AVAILABLE}) AND ({PLACE}) IS NOT NULL)"
)

# The type with its schema, so that any search path finds it; NULL without pgvector.
TYPE = (
    "SELECT quote_ident(n.nspname) || '.vector' FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
    " WHERE e.extname = 'vector'"
)

# The schema of the extension if it also has tables of ours, so that a drop of the schema would drop both.
LODGES = (
    "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
    f" WHERE e.extname = 'vector' AND EXISTS ({_OURS} = n.oid)"
    f" AND (n.nspname <> 'public' OR EXISTS ({_OURS} <> n.oid))"
)
# The other schemas with a column of one of its types, or of an array of them.
_USERS = (
    "SELECT DISTINCT c.relnamespace::regnamespace::text FROM pg_extension e"
    " JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass"
    " AND d.refobjid = e.oid AND d.deptype = 'e' AND d.classid = 'pg_type'::regclass"
    " JOIN pg_type t ON t.oid = d.objid JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray)"
    " JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'm')"
    " WHERE e.extname = 'vector' AND NOT a.attisdropped AND c.relnamespace <> e.extnamespace ORDER BY 1"
)


def embedding_type(link: Link) -> str:
    """Return the type of embedding columns in a PostgreSQL database."""
    vector = link.value(TYPE)
    return f"{vector}({DIMENSIONS})" if vector else "bytea"


def creation(link: Link, extension: str = "vector") -> str:
    """Return the SQL for a superuser that creates an extension in a permitted schema."""
    place = link.value(PLACE)
    if place is not None:
        return f"CREATE EXTENSION {extension} SCHEMA {place};"
    return _shared(link) + f"CREATE EXTENSION {extension} SCHEMA {SHARED};"


def lodging(link: Link) -> tuple[str, str] | None:
    """Return the schema whose drop as a tenant would drop the extension, and the SQL that moves it; else None.

    Args:
        link: A connection to a PostgreSQL database.
    """
    schema = link.value(LODGES)
    return None if schema is None else (schema, _move(link))


def lodged(schema: str) -> str:
    """Describe an extension that would be dropped with a tenant, in a sentence without its full stop."""
    return (
        f"extension vector is in schema {schema}, which has tables of this schema: dropping that schema drops the"
        " embeddings of every other one"
    )


def warning(link: Link) -> str | None:
    """Return the same in one line, with the schemas of the endangered embeddings; None without a danger."""
    found = lodging(link)
    if found is None:
        return None
    schema, way = found
    users = in_use(link)
    named = f" ({', '.join(users)})" if users else ""
    return f"{lodged(schema)}{named}. As the owner of the extension, move it: {way}"


def in_use(link: Link) -> tuple[str, ...]:
    """Return the schemas, except the extension's own, whose columns have its types."""
    return tuple(str(row[0]) for row in link.rows(_USERS))


def out_of(link: Link, schema: str) -> str | None:
    """Return the SQL that moves the extension out of a schema before its drop; None if it is in another schema.

    The columns of other schemas, their values and their indexes stay unchanged.
    """
    mine = "SELECT 1 FROM pg_extension WHERE extname = 'vector' AND extnamespace = to_regnamespace(%s)"
    return _move(link, schema) if link.value(mine, (quoted(schema),)) else None


def move_out(link: Link, schema: str) -> None:
    """Move the extension out of a schema before its drop, if columns of another schema use it.

    If it is in another schema, or no other schema uses it, nothing happens.

    Args:
        link: A connection to a PostgreSQL database, as the owner of the extension.
        schema: The schema to be dropped.

    Raises:
        The driver's error, if the role may not move it; nothing was changed.
    """
    way = out_of(link, schema)
    if way and in_use(link):
        link.script(way)


def _move(link: Link, leaving: str = "") -> str:
    """Return the SQL that moves the extension to a shared schema, which is not the one that it leaves."""
    free = (
        f"SELECT to_regnamespace('public') IS NOT NULL AND NOT EXISTS ({_OURS} = to_regnamespace('public'))"
    )
    if leaving != "public" and link.value(free):
        return "ALTER EXTENSION vector SET SCHEMA public;"
    return _shared(link) + f"ALTER EXTENSION vector SET SCHEMA {SHARED};"


def _shared(link: Link) -> str:
    if link.value("SELECT to_regnamespace(%s) IS NOT NULL", (SHARED,)):
        return ""
    return f"CREATE SCHEMA {SHARED}; GRANT USAGE ON SCHEMA {SHARED} TO PUBLIC; "
