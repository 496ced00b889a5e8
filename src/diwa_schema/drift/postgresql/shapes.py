"""The shapes of many schemas of one database as marks: schemas with the same mark have equal catalogs.

The server runs the queries of `drift/postgresql/read.py` for all schemas and returns a checksum of each schema's rows
instead of the rows. One schema of each mark is then read completely, and its result holds for all others with that
mark.

The search path contains none of the schemas, so that the server qualifies each name: `tenant_7.contexts`. The schema's
name is then replaced by the same placeholder everywhere. Two marks are therefore equal if two schemas have the same
definitions of themselves and of other schemas.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from hashlib import sha256

from diwa_schema.database.link import Link
from diwa_schema.drift.postgresql.read import queries, values

_PATH = """
SELECT set_config('quote_all_identifiers', 'off', true), set_config('search_path', coalesce((
  SELECT string_agg(DISTINCT quote_ident(e.nspname), ', ')
  FROM pg_extension x JOIN pg_namespace e ON e.oid = x.extnamespace WHERE e.nspname <> 'pg_catalog'), ''), true)
"""

# The schemas whose tables have rare objects, which only a full reading of one schema sees.
_SELDOM = """
SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%(schemas)s::name[]) AND c.relname = ANY(%(names)s::name[]) AND c.relkind IN ('r', 'p')
  AND (c.relhasrules OR c.relhassubclass OR c.relispartition)
UNION
SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%(schemas)s::name[]) AND c.relname >= %(kept)s AND c.relname < %(after_kept)s
  AND c.relkind = 'r' AND c.relname <> ALL(%(names)s::name[])
"""

_OURS = (
    "c.relname = ANY(%(names)s::name[]) AND c.relnamespace = ANY(ARRAY("
    "SELECT oid FROM pg_namespace WHERE nspname = ANY(%(schemas)s::name[])))"
)
# Each row begins with its schema, as written before names. A space comes first: the server quotes texts with a space,
# and would otherwise quote only some schemas.
_LEAD = "' ' || c.relnamespace::regnamespace::text || '.' AS schema, "
# An owner is included if it is not the owner of the version table, as in a catalog.
_OWNER = """(
  SELECT CASE WHEN v.relowner <> c.relowner THEN pg_get_userbyid(c.relowner)::text END FROM pg_class v
  WHERE v.relnamespace = c.relnamespace AND v.relname = ANY(%(version_tables)s) AND v.relkind = 'r'
  ORDER BY array_position(%(version_tables)s, v.relname::text) LIMIT 1)"""

# The rows of a schema in an order independent of its name: the names in it come first.
_MARKS = """
SELECT n.nspname::text, encode(sha256(convert_to(
    replace(g.text, replace(quote_ident(n.nspname), '"', '""') || '.', E'\\x01'), 'UTF8')), 'hex')
FROM (
  SELECT x.schema, string_agg(x::text COLLATE "C", E'\\n' ORDER BY x::text COLLATE "C") AS text
  FROM ({query}) x GROUP BY 1) g
JOIN pg_namespace n ON ' ' || quote_ident(n.nspname) || '.' = g.schema
WHERE n.nspname = ANY(%(schemas)s::name[])
"""


def marks(link: Link, schemas: Sequence[str], tables: Collection[str]) -> dict[str, str]:
    """Return the marks of schemas by their names; without those that can only be read alone, or have no tables of ours.

    Args:
        link: A connection to the database, in a transaction.
        schemas: The schemas.
        tables: The tables that are read.
    """
    held = {**values(tables), "schemas": list(schemas)}
    link.raw.execute(_PATH)
    asked = queries(link, _OURS, lead=_LEAD, owner=_OWNER)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for kind, query in asked.items():
        for schema, mark in link.raw.execute(_MARKS.format(query=query), held).fetchall():
            found[schema][kind] = mark
    seldom = {schema for (schema,) in link.raw.execute(_SELDOM, held).fetchall()}
    return {
        schema: sha256(repr(sorted(kinds.items())).encode()).hexdigest()
        for schema, kinds in found.items()
        if schema not in seldom
    }
