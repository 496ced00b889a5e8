"""Event triggers that let only the migrator change a schema, even if an application owns tables.

Each database has one set of them, in a separate schema of a superuser. A list there holds the protected schemas and,
for each, the role whose members may change it. Separate triggers for each schema would slow down every change of every
other schema, and a drop of a tenant's schema would drop its own triggers too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.errors import SchemaForeign
from diwa_schema.names import literal, qualified, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diwa_schema.database.link import Link

PLACE = "diwa_schema_fence"
FUNCTION = "diwa_schema_refuse_ddl"
_GUARDED = f"{PLACE}.guarded"
_TRIGGERS = {"diwa_schema_commands": "ddl_command_end", "diwa_schema_drops": "sql_drop"}
_LOCK = 5123764409126817  # for nothing else; two runs for two schemas may create the triggers at once

# The check uses session_user: unlike a setting or the current role, no session can change it for itself.
_BODY = f"""
DECLARE
  refused record;
BEGIN
  IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = session_user AND r.rolsuper) THEN
    RETURN;
  END IF;
  IF TG_EVENT = 'sql_drop' THEN
    SELECT g.* INTO refused FROM {_GUARDED} g
     WHERE g.schema_name IN (SELECT d.schema_name FROM pg_event_trigger_dropped_objects() d)
       AND NOT EXISTS (SELECT FROM pg_roles o
            WHERE o.rolname = g.owner AND pg_has_role(session_user, o.oid, 'MEMBER')) LIMIT 1;
  ELSE
    SELECT g.* INTO refused FROM {_GUARDED} g
     WHERE g.schema_name IN (SELECT c.schema_name FROM pg_event_trigger_ddl_commands() c)
       AND NOT EXISTS (SELECT FROM pg_roles o
            WHERE o.rolname = g.owner AND pg_has_role(session_user, o.oid, 'MEMBER')) LIMIT 1;
  END IF;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
    MESSAGE = TG_TAG || ' is refused: schema ' || refused.schema_name || ' is changed by ' || refused.owner || ' only',
    HINT = 'Changes to it are revisions of diwa-schema, run in the repository that owns it.';
END
"""

_HOW = "RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog"
_MAKE = (
    f"SELECT pg_advisory_xact_lock({_LOCK})",
    f"CREATE SCHEMA IF NOT EXISTS {PLACE}",
    f"GRANT USAGE ON SCHEMA {PLACE} TO PUBLIC",
    f"CREATE TABLE IF NOT EXISTS {_GUARDED} (schema_name name PRIMARY KEY, owner name NOT NULL)",
    f"GRANT SELECT ON TABLE {_GUARDED} TO PUBLIC",
    f"CREATE OR REPLACE FUNCTION {PLACE}.{FUNCTION}() {_HOW} AS {literal(_BODY)}",
)


def statement(link: Link, schema: str, owner: str) -> str | None:
    """Return the SQL that makes the guard of a schema complete, or None if it is complete.

    Args:
        link: A connection to a PostgreSQL database.
        schema: The schema to guard.
        owner: The role whose members may change it.

    Raises:
        SchemaForeign: The schema for the triggers belongs to a role that is not a superuser.
    """
    made = [
        *_missing_triggers(link),
        *_missing_entry(link, schema, owner),
        *_of_this_schema_alone(link, schema),
    ]
    return ";\n".join(made) or None


def _missing_triggers(link: Link) -> Iterator[str]:
    place = link.row(
        "SELECT r.rolname::text, r.rolsuper, EXISTS (SELECT FROM aclexplode(n.nspacl) x"
        "  WHERE x.grantee <> n.nspowner AND x.privilege_type = 'CREATE')"
        " FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner WHERE n.nspname = %s",
        (PLACE,),
    )
    if place is not None and (not place[1] or place[2]):
        raise SchemaForeign(
            f"Schema {PLACE} of {link.database} belongs to {place[0]}, or other roles may create objects in it:"
            " such a role could disable the event trigger.",
            next_step=f"Inspect the schema. Then, as a superuser: DROP SCHEMA {PLACE} CASCADE;",
        )
    found = link.rows(
        "SELECT e.evtname::text, e.evtevent::text FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid"
        " JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE e.evtenabled IN ('O', 'A') AND n.nspname = %s AND p.proname = %s AND p.prosrc = %s",
        (PLACE, FUNCTION, _BODY),
    )
    if _TRIGGERS.items() <= dict(found).items() and link.value("SELECT to_regclass(%s)", (_GUARDED,)):
        return
    yield from _MAKE
    for name, event in _TRIGGERS.items():
        yield f"DROP EVENT TRIGGER IF EXISTS {name}"
        yield f"CREATE EVENT TRIGGER {name} ON {event} EXECUTE FUNCTION {PLACE}.{FUNCTION}()"


def _missing_entry(link: Link, schema: str, owner: str) -> Iterator[str]:
    there = link.value("SELECT to_regclass(%s)", (_GUARDED,))
    entry = f"SELECT 1 FROM {_GUARDED} WHERE schema_name = %s AND owner = %s"
    if there and link.value(entry, (schema, owner)):
        return
    yield (
        f"INSERT INTO {_GUARDED} (schema_name, owner) VALUES ({literal(schema)}, {literal(owner)})"
        " ON CONFLICT (schema_name) DO UPDATE SET owner = excluded.owner"
    )


def _of_this_schema_alone(link: Link, schema: str) -> Iterator[str]:
    """Yield the SQL that drops the former triggers for this schema alone."""
    found = link.rows(
        "SELECT e.evtname::text FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid"
        " JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %s AND p.proname = %s ORDER BY 1",
        (schema, FUNCTION),
    )
    yield from (f"DROP EVENT TRIGGER {quoted(name)}" for (name,) in found)
    if found:
        yield f"DROP FUNCTION {qualified(schema, FUNCTION)}()"
