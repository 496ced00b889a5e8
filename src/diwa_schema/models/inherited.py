"""The organization of a row from its context, as SQL: an omitted value is filled, a contradicting one refused.

PostgreSQL keeps the two equal with a foreign key over both columns, and a trigger fills in omitted values. SQLite
accepts a foreign key only with a new table, so triggers do the work of the key there.
"""

from __future__ import annotations

from diwa_schema.models.filled import trigger_name
from diwa_schema.names import OURS, literal, quoted

COLUMN, CONTEXT, CONTEXTS = "organization_id", "context_id", "contexts"

FUNCTION = f"{OURS}organization"

# The caller's search path is unknown, so each name is qualified, which costs nothing: `SET search_path` makes inserts
# an eighth slower. A schema that has been renamed is no reason to refuse a row. The writer may have no right on
# contexts. The lock keeps the context in its organization until the foreign key has checked the row.
BODY = f"""
BEGIN
  IF TG_TABLE_SCHEMA OPERATOR(pg_catalog.=) {{name}} THEN
    SELECT {COLUMN} INTO NEW.{COLUMN} FROM {{schema}}.{CONTEXTS}
      WHERE id OPERATOR(pg_catalog.=) NEW.{CONTEXT} FOR KEY SHARE;
  ELSE
    EXECUTE pg_catalog.concat('SELECT {COLUMN} FROM ', pg_catalog.quote_ident(TG_TABLE_SCHEMA),
      '.{CONTEXTS} WHERE id OPERATOR(pg_catalog.=) ', pg_catalog.quote_nullable(NEW.{CONTEXT}), ' FOR KEY SHARE')
      INTO NEW.{COLUMN};
  END IF;
  RETURN NEW;
END
"""

# The schema in which statements create objects when they run.
_SCHEMA = """'"' || replace(current_schema(), '"', '""') || '"'"""
_FITTED = (
    f"replace(replace({literal(BODY)}, '{{schema}}', {_SCHEMA}), '{{name}}', quote_literal(current_schema()))"
)


def with_schema(code: str, schema: str) -> str:
    """Return the code of a function with a schema in the place of its marks."""
    return code.replace("{schema}", quoted(schema)).replace("{name}", literal(schema).strip())


def without_schema(code: str, schema: str) -> str:
    """Return SQL that yields a function's code with marks in place of its schema: the inverse of `with_schema`.

    Args:
        code: An SQL expression for the code.
        schema: An SQL expression for the schema's name.
    """
    named = f"""'"' || replace({schema}, '"', '""') || '".'"""
    return f"replace(replace({code}, {named}, '{{schema}}.'), quote_literal({schema}), '{{name}}')"


def function() -> str:
    """Return the SQL that creates the function in PostgreSQL's current schema."""
    named = f"{_SCHEMA} || '.{FUNCTION}()"
    return f"""DO $do$
BEGIN
  EXECUTE 'CREATE OR REPLACE FUNCTION ' || {named} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS '
    || quote_literal({_FITTED});
  EXECUTE 'REVOKE ALL ON FUNCTION ' || {named} FROM PUBLIC';
END
$do$"""


def no_function() -> str:
    """Return the SQL that drops the function from the current schema, if it exists."""
    return f"""DO $do$
BEGIN
  EXECUTE 'DROP FUNCTION IF EXISTS ' || {_SCHEMA} || '.{FUNCTION}()';
END
$do$"""


def names(table: str) -> tuple[str, str]:
    """Return the names of PostgreSQL's triggers on a table; SQLite has the same."""
    return trigger_name(table, COLUMN), f"{table}_{COLUMN}_moved"


def triggers(table: str) -> str:
    """Return the SQL of the triggers that fill a table's column for every writer, in PostgreSQL's current schema.

    The second trigger serves code that moves a row to a context of another organization without knowing the column.
    """
    filled, moved = names(table)
    left = f"OLD.{CONTEXT} IS DISTINCT FROM NEW.{CONTEXT} AND OLD.{COLUMN} IS NOT DISTINCT FROM NEW.{COLUMN}"
    on = f"' ON ' || {_SCHEMA} || '.{quoted(table)} FOR EACH ROW WHEN ("
    call = f") EXECUTE FUNCTION ' || {_SCHEMA} || '.{FUNCTION}()'"
    return f"""DO $do$
BEGIN
  EXECUTE 'CREATE TRIGGER {filled} BEFORE INSERT OR UPDATE' || {on}NEW.{COLUMN} IS NULL{call};
  EXECUTE 'CREATE TRIGGER {moved} BEFORE UPDATE OF {CONTEXT}' || {on}{left}{call};
  EXECUTE 'ALTER TABLE ' || {_SCHEMA} || '.{quoted(table)} ENABLE ALWAYS TRIGGER {filled},'
    || ' ENABLE ALWAYS TRIGGER {moved}';
END
$do$"""


def wrong(table: str) -> str:
    """Return the condition for a row whose organization is missing or differs from that of its context.

    A row with an absent context does not match: its organization is unknown.
    """
    row = quoted(table)
    return (
        f"EXISTS (SELECT 1 FROM {CONTEXTS} WHERE {CONTEXTS}.id = {row}.{CONTEXT}"
        f" AND ({row}.{COLUMN} IS NULL OR {row}.{COLUMN} <> {CONTEXTS}.{COLUMN}))"
    )


def right(table: str, *, locked: bool) -> str:
    """Return the SQL that sets the organization of a row to that of its context.

    It takes half the work of the trigger.

    Args:
        table: The table.
        locked: Whether to lock the context meanwhile, on PostgreSQL.
    """
    lock = " FOR KEY SHARE" if locked else ""
    return f"{COLUMN} = (SELECT {COLUMN} FROM {CONTEXTS} WHERE id = {quoted(table)}.{CONTEXT}{lock})"


def on_sqlite(table: str) -> dict[str, str]:
    """Return the SQL that creates the triggers of SQLite, by their names."""
    filled, moved = names(table)
    refused, kept, followed = (f"{table}_{COLUMN}_{what}" for what in ("refused", "kept", "followed"))
    name = quoted(table)
    fill = (
        f"UPDATE {name} SET {COLUMN} = (SELECT {COLUMN} FROM {CONTEXTS} WHERE id = NEW.{CONTEXT})"
        " WHERE rowid = NEW.rowid"
    )
    # If the context is absent, the value stays NULL, and the trigger would call itself on a connection with PRAGMA
    # recursive_triggers.
    known = f"EXISTS (SELECT 1 FROM {CONTEXTS} WHERE id = NEW.{CONTEXT} AND {COLUMN} IS NOT NULL)"
    left = f"OLD.{CONTEXT} IS NOT NEW.{CONTEXT} AND OLD.{COLUMN} IS NEW.{COLUMN}"
    contradicts = (
        f"NEW.{COLUMN} IS NOT NULL AND NOT EXISTS"
        f" (SELECT 1 FROM {CONTEXTS} WHERE id = NEW.{CONTEXT} AND {COLUMN} = NEW.{COLUMN})"
    )
    refuse = f"SELECT RAISE(ABORT, '{COLUMN} of {table} is not that of the context')"
    written = f"UPDATE OF {CONTEXT}, {COLUMN} ON {name}"
    return {
        filled: f"CREATE TRIGGER {filled} AFTER INSERT ON {name} WHEN NEW.{COLUMN} IS NULL BEGIN {fill}; END",
        moved: f"CREATE TRIGGER {moved} AFTER {written} WHEN (NEW.{COLUMN} IS NULL AND {known}) OR ({left})"
        f" BEGIN {fill}; END",
        refused: f"CREATE TRIGGER {refused} BEFORE INSERT ON {name} WHEN {contradicts} BEGIN {refuse}; END",
        kept: f"CREATE TRIGGER {kept} BEFORE {written} WHEN NOT ({left}) AND {contradicts} BEGIN {refuse}; END",
        followed: f"CREATE TRIGGER {followed} AFTER UPDATE OF {COLUMN} ON {CONTEXTS} BEGIN"
        f" UPDATE {name} SET {COLUMN} = NEW.{COLUMN} WHERE {CONTEXT} = NEW.id; END",
    }
