"""An event trigger that lets only the migrator change a schema, also where an application owns tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diwa_schema.names import cut, literal, qualified, quoted

if TYPE_CHECKING:
    from diwa_schema.database.link import Link

FUNCTION = "diwa_schema_refuse_ddl"
_EVENTS = {"ddl_command_end": "commands", "sql_drop": "drops"}

# Asked of session_user, which no session can change for itself as it could a setting or its current role.
_BODY = """
BEGIN
  IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = session_user AND (r.rolsuper OR EXISTS (
       SELECT FROM pg_roles o WHERE o.rolname = {owner} AND pg_has_role(r.oid, o.oid, 'MEMBER')))) THEN
    RETURN;
  END IF;
  IF TG_EVENT = 'sql_drop' THEN
    IF NOT EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d WHERE d.schema_name = {schema}) THEN
      RETURN;
    END IF;
  ELSIF NOT EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c WHERE c.schema_name = {schema}) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
    MESSAGE = TG_TAG || ' is refused: schema ' || {schema} || ' is changed by ' || {owner} || ' only',
    HINT = 'Changes to it are revisions of diwa-schema, run in the repository that owns it.';
END
"""


def statement(link: Link, schema: str, owner: str) -> str | None:
    """Return the SQL that puts the trigger in place as it should be, or None where it is.

    Args:
        link: A connection to a PostgreSQL database.
        schema: The schema to guard.
        owner: The role whose members may change it.
    """
    body = _BODY.format(schema=literal(schema), owner=literal(owner))
    # Event triggers have no schema, so the name of theirs is part of their own.
    names = {event: cut(f"diwa_schema_{part}_{schema}") for event, part in _EVENTS.items()}
    found = link.rows(
        "SELECT e.evtname::text, e.evtevent::text FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid"
        " JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE e.evtname = ANY(%s) AND e.evtenabled IN ('O', 'A') AND n.nspname = %s"
        " AND p.proname = %s AND p.prosrc = %s",
        (list(names.values()), schema, FUNCTION, body),
    )
    if {event: name for name, event in found} == names:
        return None
    function = f"{qualified(schema, FUNCTION)}()"
    how = "RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog"
    # As a literal, which no name in it can end; dollar signs around it would end at the same ones in a name.
    made = [f"CREATE OR REPLACE FUNCTION {function} {how} AS {literal(body)}"]
    for event, name in names.items():
        made.append(f"DROP EVENT TRIGGER IF EXISTS {quoted(name)}")
        made.append(f"CREATE EVENT TRIGGER {quoted(name)} ON {event} EXECUTE FUNCTION {function}")
    return ";\n".join(made)
