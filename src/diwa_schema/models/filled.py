"""The values that the database fills in for writers that omit them, as SQL."""

from __future__ import annotations

from dataclasses import dataclass

from diwa_schema.names import OURS, literal, quoted

RANDOM_ID = "gen_random_uuid()"

# The time of the row, not of its transaction, so that rows of one transaction also have an order.
NOW = "(clock_timestamp() AT TIME ZONE 'UTC'::text)"


def trigger_name(table: str, column: str) -> str:
    """Return the name of the trigger that fills a column."""
    return f"{table}_{column}_filled"


def filling_trigger(table: str, column: str, source: str) -> str:
    """Return the SQL of an SQLite trigger that fills a column from another column of its row.

    Args:
        table: The table.
        column: The column; a value from the writer stays.
        source: The source column of the value.
    """
    return (
        f"CREATE TRIGGER {quoted(trigger_name(table, column))} AFTER INSERT ON {quoted(table)}"
        f" WHEN NEW.{quoted(column)} IS NULL BEGIN UPDATE {quoted(table)} SET {quoted(column)} = NEW.{quoted(source)}"
        f" WHERE rowid = NEW.rowid; END"
    )


# The function's own schema. An unqualified name would depend on the writer's search path. The table's schema would let
# anybody run other code by attaching this function to a table of theirs.
_OWN_SCHEMA = """SELECT quote_ident(n.nspname) INTO own FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME;"""


@dataclass(frozen=True, slots=True)
class Filling:
    """A trigger that fills a column from other rows, with its function on PostgreSQL.

    The function runs with its owner's rights, so that a role with only INSERT can write, and it names no schema. A
    database keeps the code from the revision that created it: a change of the code needs its own revision.

    Args:
        table: The table.
        column: The column.
        fires: The events that fire the trigger on PostgreSQL.
        code: The body of the function in PL/pgSQL; `own` holds the schema, and `taken` is a boolean variable for it. It
            contains no percent signs, so that it can be printed as SQL.
        lite: On SQLite, the statements that fire it, each with the ending of the trigger's name.
        lite_when: On SQLite, the condition for a row.
        lite_value: On SQLite, the value as an expression.
        when: On PostgreSQL, the condition for a row; all rows by default.
    """

    table: str
    column: str
    fires: str
    code: str
    lite: tuple[tuple[str, str], ...]
    lite_when: str
    lite_value: str
    when: str = ""

    @property
    def name(self) -> str:
        """The name of the trigger."""
        return trigger_name(self.table, self.column)

    @property
    def function(self) -> str:
        """The name of its function, needed to transfer or drop the function."""
        return f"{OURS}{self.table}_{self.column}"

    @property
    def lite_names(self) -> tuple[str, ...]:
        """The names of the triggers on SQLite."""
        return tuple(f"{self.name}{ending}" for ending, _ in self.lite)

    def create(self, place: str = "") -> tuple[str, ...]:
        """Return the SQL that creates or replaces the function and the trigger on PostgreSQL.

        Args:
            place: The quoted schema with its dot; by default the search path applies.
        """
        taken = "\n  taken boolean;" if "taken" in self.code else ""
        code = f"\nDECLARE\n  own text;{taken}\nBEGIN\n  {_OWN_SCHEMA}\n  {self.code}\n  RETURN NEW;\nEND\n"
        function = f"{place}{quoted(self.function)}()"
        when = f" WHEN ({self.when})" if self.when else ""
        made = (
            f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
            f" SET search_path = pg_catalog, pg_temp AS {literal(code)}"
        )
        fired = (
            f"CREATE OR REPLACE TRIGGER {quoted(self.name)} {self.fires} ON {place}{quoted(self.table)} FOR EACH ROW"
            f"{when} EXECUTE FUNCTION {function}"
        )
        # A session that applies the changes of a replica, or says that it does, fires no other trigger.
        always = f"ALTER TABLE {place}{quoted(self.table)} ENABLE ALWAYS TRIGGER {quoted(self.name)}"
        return made, fired, always

    def drop(self, place: str = "") -> tuple[str, ...]:
        """Return the SQL that drops trigger and function on PostgreSQL, if they exist."""
        return (
            f"DROP TRIGGER IF EXISTS {quoted(self.name)} ON {place}{quoted(self.table)}",
            self.drop_function(place),
        )

    def drop_function(self, place: str = "") -> str:
        """Return the SQL that drops the function, which survives the drop of its table."""
        return f"DROP FUNCTION IF EXISTS {place}{quoted(self.function)}()"

    def create_on_sqlite(self) -> tuple[str, ...]:
        """Return the SQL that creates absent triggers on SQLite."""
        table, column = quoted(self.table), quoted(self.column)
        return tuple(
            f"CREATE TRIGGER IF NOT EXISTS {quoted(f'{self.name}{ending}')} AFTER {moment} ON {table}"
            f" WHEN {self.lite_when} BEGIN UPDATE {table} SET {column} = {self.lite_value} WHERE rowid = NEW.rowid; END"
            for ending, moment in self.lite
        )

    def drop_on_sqlite(self) -> tuple[str, ...]:
        """Return the SQL that drops the triggers on SQLite, if they exist."""
        return tuple(f"DROP TRIGGER IF EXISTS {quoted(name)}" for name in self.lite_names)


# The holder of a memory's lock numbers its versions. A separate statement after the lock also reads the commits of the
# previous holder; a single statement would read the state from the beginning of the wait.
VERSION_NUMBER = Filling(
    "memory_versions",
    "version_number",
    fires="BEFORE INSERT",
    code="""EXECUTE 'SELECT FROM ' || own || '.memories WHERE id = $1 FOR NO KEY UPDATE' USING NEW.memory_id;
  IF NEW.version_number IS NOT NULL THEN
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || own || '.memory_versions WHERE memory_id = $1 AND version_number = $2)'
      INTO taken USING NEW.memory_id, NEW.version_number;
  END IF;
  IF taken IS DISTINCT FROM false THEN
    EXECUTE 'SELECT coalesce(max(version_number), 0) + 1 FROM ' || own || '.memory_versions WHERE memory_id = $1'
      INTO NEW.version_number USING NEW.memory_id;
  END IF;""",
    lite=(("", "INSERT"),),
    lite_when=(
        "NEW.version_number IS NULL OR EXISTS (SELECT 1 FROM memory_versions WHERE memory_id = NEW.memory_id"
        " AND version_number = NEW.version_number AND rowid <> NEW.rowid)"
    ),
    lite_value=(
        "(SELECT coalesce(max(version_number), 0) + 1 FROM memory_versions WHERE memory_id = NEW.memory_id"
        " AND rowid <> NEW.rowid)"
    ),
)

# The organization of a call stays known after the deletion of its context or of the organization itself.
USAGE_ORGANIZATION = Filling(
    "usage_records",
    "organization_id",
    fires="BEFORE INSERT",
    when="NEW.organization_id IS NULL AND NEW.context_id IS NOT NULL",
    code="""EXECUTE 'SELECT organization_id FROM ' || own || '.contexts WHERE id = $1'
    INTO NEW.organization_id USING NEW.context_id;""",
    lite=(("", "INSERT"),),
    lite_when="NEW.organization_id IS NULL AND NEW.context_id IS NOT NULL",
    lite_value="(SELECT organization_id FROM contexts WHERE id = NEW.context_id)",
)

# Two organizations with the same name take the same lock, whatever their numbers. The lock belongs to the name, not to
# the table, so that writers of other names rarely wait. All names share 256 locks, because the server has room for some
# thousand, and one transaction may write more organizations than that. After a hundred slugs of one name, the id serves
# as the slug: it is never taken.
SLUG = Filling(
    "organizations",
    "slug",
    fires="BEFORE INSERT OR UPDATE OF slug",
    code="""DECLARE
    base text := coalesce(NEW.slug, rtrim(left(ltrim(
      regexp_replace(lower(NEW.name COLLATE "C"), '[^a-z0-9]+', '-', 'g'), '-'), 200), '-'));
  BEGIN
    IF base = '' THEN base := 'organization'; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(
      own || '.organizations.slug ' || (hashtextextended(regexp_replace(base, '(-[0-9]+)+$', ''), 0) & 255), 0));
    IF NEW.slug IS NULL THEN
      FOR n IN 1..101 LOOP
        NEW.slug := base || CASE n WHEN 1 THEN '' WHEN 101 THEN '-' || NEW.id ELSE '-' || n END;
        EXECUTE 'SELECT EXISTS (SELECT FROM ' || own || '.organizations WHERE slug = $1 AND id <> $2)'
          INTO taken USING NEW.slug, NEW.id;
        EXIT WHEN NOT taken;
      END LOOP;
    END IF;
  END;""",
    lite=(("", "INSERT"), ("_again", "UPDATE OF slug")),
    lite_when="NEW.slug IS NULL",
    lite_value="""(WITH RECURSIVE
  spelled(rest, made) AS (
    SELECT lower(NEW.name), ''
    UNION ALL SELECT substr(rest, 2), made || CASE WHEN substr(rest, 1, 1) GLOB '[a-z0-9]' THEN substr(rest, 1, 1)
      WHEN made = '' OR made GLOB '*-' THEN '' ELSE '-' END FROM spelled WHERE rest <> ''),
  base(slug) AS (
    SELECT coalesce(nullif(rtrim(substr(made, 1, 200), '-'), ''), 'organization') FROM spelled WHERE rest = ''),
  tried(n, slug) AS (
    SELECT 1, slug FROM base
    UNION ALL SELECT n + 1, (SELECT slug FROM base) || '-' || CASE n WHEN 100 THEN lower(NEW.id) ELSE n + 1 END
      FROM tried WHERE n <= 100 AND EXISTS (
        SELECT 1 FROM organizations o WHERE o.slug = tried.slug AND o.rowid <> NEW.rowid))
  SELECT slug FROM tried ORDER BY n DESC LIMIT 1)""",
)

FILLINGS = (VERSION_NUMBER, USAGE_ORGANIZATION, SLUG)
"""All of them."""
