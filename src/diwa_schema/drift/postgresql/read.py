"""Reading the catalog of a PostgreSQL schema: seven queries in one round trip, with one snapshot.

The first query sets the schema, and each other query reads all its tables. Queries with `{ours}` are completed by
`_WHOLE_SCHEMA` or `_NAMED`. Rare objects are read in a second round trip, and only if the first query shows that there
may be some: planning these queries would take a quarter of the time of a check. No row contains an internal number of
the server, so that two schemas of one shape yield the same rows (`drift/postgresql/shapes.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from operator import attrgetter, itemgetter
from typing import Any

from diwa_schema.database.link import Link
from diwa_schema.database.relations import in_schema
from diwa_schema.database.state import ECTO, VERSION
from diwa_schema.drift.model import Catalog, Column, Follower, Origin, Other, Table
from diwa_schema.drift.postgresql import parse
from diwa_schema.drift.scan import canonical, default
from diwa_schema.migrations.manifest import KEPT
from diwa_schema.models.inherited import FUNCTION, without_schema
from diwa_schema.names import literal

# Extensions are also put on the path, so that their types are written without a schema.
_SETTING = """
SELECT n.nspname::text,
  (SELECT pg_get_userbyid(v.relowner)::text FROM pg_class v
    WHERE v.relnamespace = n.oid AND v.relname = ANY(%(version_tables)s) AND v.relkind = 'r'
    ORDER BY array_position(%(version_tables)s, v.relname::text) LIMIT 1),
  EXISTS (SELECT FROM pg_extension WHERE extname = 'vector'),
  set_config('search_path', quote_ident(n.nspname) || coalesce((
    SELECT string_agg(DISTINCT ', ' || quote_ident(e.nspname), '')
    FROM pg_extension x JOIN pg_namespace e ON e.oid = x.extnamespace
    WHERE e.oid <> n.oid AND e.nspname <> 'pg_catalog'), ''), true),
  set_config('quote_all_identifiers', 'off', true),
  EXISTS (SELECT FROM pg_class k WHERE k.relnamespace = n.oid AND k.relname >= %(kept)s AND k.relname < %(after_kept)s
    AND k.relkind = 'r' AND k.relname <> ALL(%(names)s::text[]))
FROM pg_namespace n WHERE n.nspname = coalesce(%(schema)s, current_schema())
"""

# The relations of the other queries: all of the schema, or the named ones. A form for both (`%(names)s IS NULL OR`)
# would be planned again for each check on a connection.
_SCHEMA = "quote_ident(current_schema())::regnamespace"
_WHOLE_SCHEMA = in_schema(_SCHEMA)
_NAMED = f"c.relnamespace = {_SCHEMA} AND c.relname = ANY(%(names)s::text[])"

_RELATIONS = """
SELECT {lead}c.relname::text, c.relkind::text, c.relpersistence::text, {owner},
  c.relrowsecurity, c.relforcerowsecurity, c.relreplident::text,
  CASE c.relreplident WHEN 'i' THEN (
    SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    WHERE x.indrelid = c.oid AND x.indisreplident) END,
  c.relkind IN ('r', 'p') AND (c.relhasrules OR c.relhassubclass OR c.relispartition)
FROM pg_class c
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND {ours}
"""

_COLUMNS = """
SELECT {lead}c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
  CASE WHEN a.atthasdef THEN (
    SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
    WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END,
  a.attidentity::text, a.attgenerated::text,
  CASE WHEN a.attcollation NOT IN (0, 'pg_catalog.default'::regcollation) THEN (
    SELECT l.collname::text FROM pg_collation l WHERE l.oid = a.attcollation) END,
  (SELECT o.description FROM pg_description o
    WHERE o.objoid = a.attrelid AND o.classoid = 'pg_class'::regclass AND o.objsubid = a.attnum),
  a.attnum
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
WHERE a.attnum > 0 AND NOT a.attisdropped AND {ours}
"""

# From version 18 on, NOT NULL is also a constraint; only an unvalidated one is news.
_CONSTRAINTS = """
SELECT {lead}c.relname::text, k.conname::text, k.contype::text, pg_get_constraintdef(k.oid), k.convalidated,
  {enforced}, k.conkey,
  CASE WHEN k.contype IN ('u', 'x') THEN (SELECT i.relname::text FROM pg_class i WHERE i.oid = k.conindid) END
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE (k.contype IN ('p', 'u', 'f', 'c', 'x') OR (k.contype = 'n' AND NOT k.convalidated)) AND {ours}
"""

# The constraints already describe their own indexes.
_INDEXES = """
SELECT {lead}c.relname::text, i.relname::text, pg_get_indexdef(x.indexrelid), x.indisunique,
  x.indisvalid AND x.indisready
FROM pg_class c
JOIN pg_index x ON x.indrelid = c.oid
JOIN pg_class i ON i.oid = x.indexrelid
WHERE NOT x.indisprimary AND {ours}
"""

_CODE = without_schema(
    "p.prosrc", "(SELECT n.nspname::text FROM pg_namespace n WHERE n.oid = c.relnamespace)"
)
_CODE = _CODE.replace("{", "{{").replace("}", "}}")  # it is completed with the others

# Internal triggers of the server enforce a foreign key. Somebody may have disabled them.
_TRIGGERS = f"""
SELECT {{lead}}c.relname::text, g.tgname::text, pg_get_triggerdef(g.oid, true), g.tgenabled::text, g.tgisinternal,
  CASE WHEN g.tgisinternal THEN (
    SELECT ARRAY[r.relname::text, k.conname::text] FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid
    WHERE k.oid = g.tgconstraint AND r.relnamespace = c.relnamespace) END,
  CASE WHEN p.pronamespace = c.relnamespace AND p.proname = {literal(FUNCTION)}
    THEN CASE WHEN p.prosecdef AND p.proconfig IS NULL THEN '' ELSE '-- not as it is made: ' END || {_CODE} END
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
WHERE (NOT g.tgisinternal OR g.tgenabled IN ('D', 'R')) AND {{ours}}
"""

_POLICIES = """
SELECT {lead}c.relname::text, o.polname::text, 'policy',
  concat_ws(' ', CASE WHEN NOT o.polpermissive THEN 'restrictive' END, 'for', CASE o.polcmd WHEN 'r' THEN 'select'
    WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END,
    'using (' || pg_get_expr(o.polqual, o.polrelid) || ')',
    'with check (' || pg_get_expr(o.polwithcheck, o.polrelid) || ')')
FROM pg_policy o JOIN pg_class c ON c.oid = o.polrelid WHERE {ours}
"""

# Objects that rewrite the statements on a table, or add the rows of another table.
_RULES = """
SELECT c.relname::text, r.rulename::text, 'rule', pg_get_ruledef(r.oid)
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('r', 'p') WHERE {ours}
UNION ALL
SELECT c.relname::text, h.inhrelid::regclass::text, 'inheriting table', 'adds its rows to what is read'
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhparent WHERE c.relkind = 'r' AND {ours}
UNION ALL
SELECT c.relname::text, h.inhparent::regclass::text, 'parent table', 'shows the rows as its own'
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE c.relkind IN ('r', 'p') AND {ours}
"""

_FOLLOWERS = f"""
SELECT format('%%I.%%I', s.nspname, t.relname), k.conname::text, pg_get_constraintdef(k.oid), k.convalidated
FROM pg_class c
JOIN pg_constraint k ON k.confrelid = c.oid AND k.contype = 'f'
JOIN pg_class t ON t.oid = k.conrelid
JOIN pg_namespace s ON s.oid = t.relnamespace
WHERE c.relnamespace = {_SCHEMA} AND c.relname >= %(kept)s AND c.relname < %(after_kept)s
  AND c.relname <> ALL(%(names)s::text[]) AND NOT (t.relnamespace = c.relnamespace AND (
    starts_with(t.relname::text, %(kept)s) OR t.relname = ANY(%(names)s::text[])))
"""

OWNER = "pg_get_userbyid(c.relowner)::text"

_KINDS = {"r": "table", "p": "partitioned table", "f": "foreign table", "v": "view", "m": "materialized view"}
_PERSISTENCE = {"p": "permanent", "u": "unlogged", "t": "temporary"}
_IDENTITY = {"a": "GENERATED ALWAYS AS IDENTITY", "d": "GENERATED BY DEFAULT AS IDENTITY"}
_GENERATED = {"s": "STORED", "v": "VIRTUAL"}
_REPLICA = {"d": "DEFAULT", "n": "NOTHING", "f": "FULL"}
_OTHER_CONSTRAINTS = {"u": "unique constraint", "c": "check", "x": "exclusion constraint"}
_HAS_ENFORCED = 180000

Rows = list[tuple[Any, ...]]
Parts = dict[str, dict[str, list[Any]]]


def read(link: Link, schema: str | None, tables: Collection[str] | None) -> Catalog:
    """Read the catalog of one schema; see `diwa_schema.drift.read.read`."""
    ours = _WHOLE_SCHEMA if tables is None else _NAMED
    held = {"schema": schema, **values(tables)}
    rows = _all(link, {"setting": _SETTING, **queries(link, ours)}, held)
    if not rows["setting"]:
        return Catalog("postgresql", origin=Origin(schema or ""))
    name, owner, vector, _, _, has_kept = rows["setting"][0]
    seldom = {"rules": _RULES.format(ours=ours)} if any(row[-1] for row in rows["relations"]) else {}
    # The tables of the schema have to be known to recognise other ones.
    seldom |= {"followers": _FOLLOWERS} if has_kept and tables is not None else {}
    rows |= _all(link, {"setting": _SETTING, **seldom}, held) if seldom else {}
    parts = _parts(rows)
    return Catalog(
        "postgresql",
        tables=_sorted(
            _table(row, parts[row[0]], owner)
            for row in rows["relations"]
            if tables is not None or row[1] not in ("v", "m")
        ),
        followers=tuple(
            Follower(table, parse.foreign_key(key, text, validated=validated, enforced=True))
            for table, key, text, validated in sorted(rows.get("followers", ()))
        ),
        origin=Origin(name, owner, vector, citus=link.citus),
    )


def queries(link: Link, ours: str, *, lead: str = "", owner: str = OWNER) -> dict[str, str]:
    """Return the queries of every reading, by their subject.

    Args:
        link: A connection to the database, because servers differ.
        ours: The relations to read: a condition on `c`, a row of pg_class.
        lead: The beginning of each row, and a comma.
        owner: The expression for a relation's owner.
    """
    enforced = "k.conenforced" if link.raw.info.server_version >= _HAS_ENFORCED else "true"
    return {
        "relations": _RELATIONS.format(ours=ours, lead=lead, owner=owner),
        "columns": _COLUMNS.format(ours=ours, lead=lead),
        "constraints": _CONSTRAINTS.format(ours=ours, lead=lead, enforced=enforced),
        "indexes": _INDEXES.format(ours=ours, lead=lead),
        "triggers": _TRIGGERS.format(ours=ours, lead=lead),
        "policies": _POLICIES.format(ours=ours, lead=lead),
    }


def values(tables: Collection[str] | None) -> dict[str, Any]:
    """Return the parameters of the queries, except the schema."""
    return {
        "version_tables": [VERSION, ECTO],
        "names": _array(tables),
        "kept": KEPT,
        "after_kept": KEPT[:-1]
        + chr(ord(KEPT[-1]) + 1),  # so that the index on names finds the few that begin so
    }


def _all(link: Link, queries: dict[str, str], held: dict[str, Any]) -> dict[str, Rows]:
    """Run all queries in one round trip, on one snapshot; the connection's search path is restored."""
    idle = link.raw.info.transaction_status == 0
    begin = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"] if idle else ["SAVEPOINT diwa_schema_read"]
    # After a ROLLBACK the driver forgets its prepared statements.
    end = ["COMMIT"] if idle else ["ROLLBACK TO diwa_schema_read", "RELEASE diwa_schema_read"]
    with link.raw.pipeline():
        for statement in begin:
            link.raw.execute(statement)
        cursors = {name: link.raw.execute(text, held) for name, text in queries.items()}
        for statement in end:
            link.raw.execute(statement)
        return {name: cursor.fetchall() for name, cursor in cursors.items()}


def _array(names: Collection[str] | None) -> str | None:
    """Return an array in the server's notation: the driver would convert a list again for every query."""
    if names is None:
        return None
    escaped = (name.replace("\\", r"\\").replace('"', r"\"") for name in names)
    return "{" + ",".join(f'"{name}"' for name in escaped) + "}"


def _sorted(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(items, key=attrgetter("name")))


def _table(row: tuple[Any, ...], parts: dict[str, list[Any]], owner: str | None) -> Table:
    name, kind, persistence, held_by, secured, forced, identity, identity_index, _ = row
    keys = parts.pop("primary_key", [])
    return Table(
        name,
        primary_key=keys[0] if keys else None,
        kind=_KINDS[kind],
        persistence=_PERSISTENCE[persistence],
        row_security="forced" if secured and forced else "on" if secured else "off",
        replica_identity=_REPLICA.get(identity) or f"USING INDEX {identity_index}",
        owner=held_by if owner is not None and held_by != owner else None,
        **{collection: _sorted(items) for collection, items in parts.items()},
    )


def _parts(rows: dict[str, Rows]) -> Parts:
    """Return the objects of each table, by its name and their collection."""
    parts: Parts = defaultdict(lambda: defaultdict(list))
    unvalidated = {(row[0], row[6][0]) for row in rows["constraints"] if row[2] == "n"}
    for row in sorted(rows["columns"], key=itemgetter(-1)):
        held = parts[row[0]]["columns"]
        held.append(_column(row, len(held) + 1, validated=(row[0], row[-1]) not in unvalidated))
    unwatched = {tuple(row[5]) for row in rows["triggers"] if row[5]}
    for table, name, kind, text, validated, enforced, *_ in rows["constraints"]:
        if kind == "p":
            parts[table]["primary_key"].append(parse.primary_key(name, text))
        elif kind == "f":
            watched = enforced and (table, name) not in unwatched
            parts[table]["foreign_keys"].append(
                parse.foreign_key(name, text, validated=validated, enforced=watched)
            )
        elif kind in _OTHER_CONSTRAINTS:
            parts[table]["others"].append(Other(name, _OTHER_CONSTRAINTS[kind], canonical(text) or ""))
    of_constraints = {row[7] for row in rows["constraints"]}
    for table, name, text, unique, valid in (row for row in rows["indexes"] if row[1] not in of_constraints):
        parts[table]["indexes"].append(parse.index(name, text, unique=unique, valid=valid))
    for table, name, text, enabled, *_, code in (row for row in rows["triggers"] if not row[4]):
        parts[table]["triggers"].append(parse.trigger(name, text, enabled, code))
    for table, *other in rows["policies"] + rows.get("rules", []):
        parts[table]["others"].append(Other(*other))
    return parts


def _column(row: tuple[Any, ...], position: int, *, validated: bool) -> Column:
    _, name, type_, nullable, expression, identity, generated, collation, comment, _ = row
    made = f"GENERATED ALWAYS AS ({canonical(expression)}) {_GENERATED[generated]}" if generated else None
    return Column(
        name,
        type_,
        nullable=nullable or not validated,
        default=None if generated else default(expression),
        generated=made or _IDENTITY.get(identity),
        collation=collation,
        comment=comment,
        position=position,
    )
