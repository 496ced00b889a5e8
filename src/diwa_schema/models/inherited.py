"""The organization that a row has from its context, as SQL: who leaves it out gets it, who contradicts is refused.

PostgreSQL keeps the two equal by a foreign key over both columns, and fills in what a writer leaves out by a trigger.
SQLite gets a key only with a new table, so triggers refuse there what the key refuses here.
"""

from __future__ import annotations

from diwa_schema.models.filled import trigger_name
from diwa_schema.names import OURS, literal, quoted

COLUMN, CONTEXT, CONTEXTS = "organization_id", "context_id", "contexts"

FUNCTION = f"{OURS}organization"

# Whose path it is called with is not known, so each name says its schema, which costs nothing: `SET search_path` costs
# an eighth of the inserts. A schema that was renamed since is no reason to refuse a row. Who writes may have no right
# on contexts. The lock keeps the context where it is until the key has looked at the row.
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

# The schema that statements make things in, where they are run.
_SCHEMA = """'"' || replace(current_schema(), '"', '""') || '"'"""
_FITTED = (
    f"replace(replace({literal(BODY)}, '{{schema}}', {_SCHEMA}), '{{name}}', quote_literal(current_schema()))"
)


def with_schema(code: str, schema: str) -> str:
    """Return the code of a function in a schema, named where the code has marks for it."""
    return code.replace("{schema}", quoted(schema)).replace("{name}", literal(schema).strip())


def without_schema(code: str, schema: str) -> str:
    """Return SQL that yields a function's code with marks where it names its schema: the opposite of `with_schema`.

    Args:
        code: What yields the code, as SQL.
        schema: What yields the schema's name.
    """
    named = f"""'"' || replace({schema}, '"', '""') || '".'"""
    return f"replace(replace({code}, {named}, '{{schema}}.'), quote_literal({schema}), '{{name}}')"


def function() -> str:
    """Return what creates the function in the current schema of PostgreSQL, wherever it is run."""
    named = f"{_SCHEMA} || '.{FUNCTION}()"
    return f"""DO $do$
BEGIN
  EXECUTE 'CREATE OR REPLACE FUNCTION ' || {named} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS '
    || quote_literal({_FITTED});
  EXECUTE 'REVOKE ALL ON FUNCTION ' || {named} FROM PUBLIC';
END
$do$"""


def no_function() -> str:
    """Return what drops the function from the current schema, where it is there."""
    return f"""DO $do$
BEGIN
  EXECUTE 'DROP FUNCTION IF EXISTS ' || {_SCHEMA} || '.{FUNCTION}()';
END
$do$"""


def names(table: str) -> tuple[str, str]:
    """Return the names of PostgreSQL's triggers on a table, which SQLite has as well."""
    return trigger_name(table, COLUMN), f"{table}_{COLUMN}_moved"


def triggers(table: str) -> str:
    """Return what lets the function fill the column of a table, whoever writes, in PostgreSQL's current schema.

    The second is for code that moves a row to a context of another organization and does not know the column.
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
    """Return the condition under which a row's organization is missing or not that of its context.

    A row whose context is not there is no such row: nobody knows its organization.
    """
    row = quoted(table)
    return (
        f"EXISTS (SELECT 1 FROM {CONTEXTS} WHERE {CONTEXTS}.id = {row}.{CONTEXT}"
        f" AND ({row}.{COLUMN} IS NULL OR {row}.{COLUMN} <> {CONTEXTS}.{COLUMN}))"
    )


def right(table: str, *, locked: bool) -> str:
    """Return what sets the organization of a row to that of its context.

    It is half the work of letting the trigger do it.

    Args:
        table: The table.
        locked: Whether the context is kept where it is meanwhile, on PostgreSQL.
    """
    lock = " FOR KEY SHARE" if locked else ""
    return f"{COLUMN} = (SELECT {COLUMN} FROM {CONTEXTS} WHERE id = {quoted(table)}.{CONTEXT}{lock})"


def on_sqlite(table: str) -> dict[str, str]:
    """Return what creates the triggers of SQLite, by their names."""
    filled, moved = names(table)
    refused, kept, followed = (f"{table}_{COLUMN}_{what}" for what in ("refused", "kept", "followed"))
    name = quoted(table)
    fill = (
        f"UPDATE {name} SET {COLUMN} = (SELECT {COLUMN} FROM {CONTEXTS} WHERE id = NEW.{CONTEXT})"
        " WHERE rowid = NEW.rowid"
    )
    # Where the context is not there the value stays NULL, and the trigger would call itself on a connection that lets
    # triggers do so (PRAGMA recursive_triggers).
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
