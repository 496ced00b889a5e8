"""The queries that read a PostgreSQL catalog: the first sets the schema, each other reads all its tables.

Those with `{ours}` in them are completed by one of `WHOLE_SCHEMA` and `NAMED`.
"""

from __future__ import annotations

# Extensions are put on the path too, so that their types are written without a schema, wherever they live.
SETTING = """
SELECT n.nspname::text,
  (SELECT pg_get_userbyid(v.relowner)::text FROM pg_class v
    WHERE v.relnamespace = n.oid AND v.relname = ANY(%(version_tables)s) AND v.relkind = 'r'
    ORDER BY array_position(%(version_tables)s, v.relname::text) LIMIT 1),
  EXISTS (SELECT FROM pg_extension WHERE extname = 'vector'),
  set_config('search_path', quote_ident(n.nspname) || coalesce((
    SELECT string_agg(DISTINCT ', ' || quote_ident(e.nspname), '')
    FROM pg_extension x JOIN pg_namespace e ON e.oid = x.extnamespace
    WHERE e.oid <> n.oid AND e.nspname <> 'pg_catalog'), ''), true),
  set_config('quote_all_identifiers', 'off', true)
FROM pg_namespace n WHERE n.nspname = coalesce(%(schema)s, current_schema())
"""

# Which relations the others read: all of the schema, or those named. A form for both (`%(names)s IS NULL OR`)
# gets a plan that is made anew for each check of a connection.
WHOLE_SCHEMA = "c.relnamespace = quote_ident(current_schema())::regnamespace"
NAMED = f"{WHOLE_SCHEMA} AND c.relname = ANY(%(names)s::text[])"

RELATIONS = """
SELECT c.oid, c.relname::text, c.relkind::text, c.relpersistence::text, pg_get_userbyid(c.relowner)::text,
  c.relrowsecurity, c.relforcerowsecurity, c.relreplident::text,
  CASE c.relreplident WHEN 'i' THEN (
    SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    WHERE x.indrelid = c.oid AND x.indisreplident) END
FROM pg_class c
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND {ours}
"""

COLUMNS = """
SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
  CASE WHEN a.atthasdef THEN (
    SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
    WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END,
  a.attidentity::text, a.attgenerated::text,
  CASE WHEN a.attcollation NOT IN (0, 'pg_catalog.default'::regcollation) THEN (
    SELECT l.collname::text FROM pg_collation l WHERE l.oid = a.attcollation) END,
  a.attnum
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
WHERE a.attnum > 0 AND NOT a.attisdropped AND {ours}
"""

# From version 18 on NOT NULL is a constraint too; only one that is not validated says something new.
CONSTRAINTS = """
SELECT k.conrelid, k.conname::text, k.contype::text, pg_get_constraintdef(k.oid), k.convalidated,
  NOT k.connoinherit, {enforced}, k.conkey, k.conindid
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE (k.contype IN ('p', 'u', 'f', 'c', 'x') OR (k.contype = 'n' AND NOT k.convalidated)) AND {ours}
"""

# Those that stand behind a constraint are told by the constraints.
INDEXES = """
SELECT x.indrelid, i.relname::text, pg_get_indexdef(x.indexrelid), x.indisunique,
  x.indisvalid AND x.indisready, x.indexrelid
FROM pg_class c
JOIN pg_index x ON x.indrelid = c.oid
JOIN pg_class i ON i.oid = x.indexrelid
WHERE NOT x.indisprimary AND {ours}
"""

TRIGGERS = """
SELECT g.tgrelid, g.tgname::text, pg_get_triggerdef(g.oid, true), g.tgenabled::text
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
WHERE NOT g.tgisinternal AND {ours}
"""

FUNCTIONS = """
SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc p
WHERE p.pronamespace = quote_ident(current_schema())::regnamespace AND p.prorettype = 'trigger'::regtype
  AND (%(functions)s::text[] IS NULL OR p.proname = ANY(%(functions)s::text[])) AND NOT EXISTS (
  SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
"""

POLICIES = """
SELECT o.polrelid, o.polname::text, o.polcmd::text, o.polpermissive,
  ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END
    FROM unnest(o.polroles) r ORDER BY 1),
  pg_get_expr(o.polqual, o.polrelid), pg_get_expr(o.polwithcheck, o.polrelid)
FROM pg_policy o JOIN pg_class c ON c.oid = o.polrelid
WHERE {ours}
"""

SEQUENCES = """
SELECT c.relname::text, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax,
  s.seqcache, s.seqcycle, t.relname || '.' || a.attname
FROM pg_sequence s
JOIN pg_class c ON c.oid = s.seqrelid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
LEFT JOIN pg_class t ON t.oid = d.refobjid
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
  AND (%(names)s::text[] IS NULL OR t.relname IS NULL OR t.relname = ANY(%(names)s::text[]))
"""

TYPES = """
SELECT t.typname::text,
  ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
  CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, NOT t.typnotnull, t.typdefault,
  l.collname::text,
  ARRAY(SELECT ARRAY[k.conname::text, pg_get_constraintdef(k.oid), k.convalidated::text] FROM pg_constraint k
    WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY 1)
FROM pg_type t
LEFT JOIN pg_type b ON b.oid = t.typbasetype
LEFT JOIN pg_collation l ON l.oid = t.typcollation AND t.typtype = 'd' AND t.typcollation <> b.typcollation
WHERE t.typnamespace = quote_ident(current_schema())::regnamespace AND t.typtype IN ('e', 'd') AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
"""

VIEWS = """
SELECT c.relname::text, pg_get_viewdef(c.oid) FROM pg_class c
WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
  AND c.relkind IN ('v', 'm') AND c.relname = ANY(%(views)s::text[])
"""
