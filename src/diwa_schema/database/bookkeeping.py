"""The package's own tables in one schema: version and protection, next to ledger, notes and Ecto's list.

Every statement names the schema. The search path belongs to the session, and a caller may change it between two
statements; a run must read, write and verify the same table each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from diwa_schema.database.failures import PERMISSION, sqlstate
from diwa_schema.database.ledger import Ledger, create_statement as ledger_statement, now
from diwa_schema.database.link import Link
from diwa_schema.database.presence import hidden
from diwa_schema.database.search_path import passed_over
from diwa_schema.database.state import BOOKKEEPING, ECTO, LEDGER, PROTECTION, RELEASES, VERSION, State
from diwa_schema.migrations.manifest import load
from diwa_schema.names import code, literal, qualified

# The tables that every change of the schema needs.
_OWN = (LEDGER, VERSION, RELEASES)

# The SQL contains no percent sign, because some dialects would double it in a script.
_ONLY_OWNER_WRITES = """
DECLARE
  who text;
BEGIN
  FOR who IN
    SELECT DISTINCT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END
      FROM pg_class c, aclexplode(c.relacl) x
     WHERE c.oid = {table}::regclass AND x.grantee <> c.relowner AND x.privilege_type <> 'SELECT'
  LOOP
    EXECUTE 'REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON TABLE ' || {table} || ' FROM ' || who;
  END LOOP;
END
"""


class Bookkeeping:
    """The package's own tables, on one connection and in one schema.

    Args:
        link: The connection.
        schema: The schema ("main" on SQLite).
    """

    def __init__(self, link: Link, schema: str) -> None:
        self.link = link
        self.schema = schema

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger in the same schema, on the same connection."""
        return Ledger(self.link, qualified(self.schema, LEDGER))

    @cached_property
    def version(self) -> str:
        """The version table's name, as SQL."""
        return qualified(self.schema, VERSION)

    def on(self, link: Link) -> Bookkeeping:
        """Return the same tables on another connection."""
        return Bookkeeping(link, self.schema)

    def create(self, state: State, only: Sequence[str] = ()) -> None:
        """Create the absent ones of the version table, the ledger and the notes of releases, or only some of them."""
        named = {name: qualified(self.schema, name) for name in _OWN}
        wanted = self.missing(state, only)
        for name, statement in create_statements(self.link.dialect, named).items():
            if name in wanted:
                self.link.script(statement)

    def missing(self, state: State, only: Sequence[str] = ()) -> list[str]:
        """Return the absent ones of the version table, the ledger and the notes of releases, or only some of them."""
        return [name for name in only or _OWN if name not in state.tables]

    def advance(self, before: str | None, after: str | None) -> bool:
        """Move the version row from one revision to another inside the caller's transaction.

        The floor of the revision is written with it.

        Args:
            before: The required current revision; None if there must be no row.
            after: The new revision; None to remove the row.

        Returns:
            False if the row did not show `before`: another process has moved it.
        """
        return bool(self.link.execute(advance_statement(self.version, before, after)))

    def set_version(self, revision: str | None) -> None:
        """Make the version table show one revision, regardless of its rows; None leaves it empty."""
        self.link.execute(f"DELETE FROM {self.version}")
        if revision is not None:
            self.advance(None, revision)

    def protect(self, by: str | None, reason: str | None) -> None:
        """Mark the database as protected: the guard then accepts no bypass for it."""
        table = qualified(self.schema, PROTECTION)
        columns = "(protected_at TEXT NOT NULL, protected_by TEXT, reason TEXT)"
        self.link.execute(f"CREATE TABLE IF NOT EXISTS {table} {columns}")
        if self.link.dialect == "postgresql":
            self.link.execute(only_owner_writes(table))
        self.link.execute(f"DELETE FROM {table}")
        self.link.execute(f"INSERT INTO {table} VALUES (%s, %s, %s)", (now(), by, reason))

    def unprotect(self) -> None:
        """Remove the mark; without a mark nothing happens."""
        self.link.execute(f"DROP TABLE IF EXISTS {qualified(self.schema, PROTECTION)}")

    def record_in_ecto(self, revision: str, *, applied: bool) -> None:
        """Write Ecto's own entry for a revision to Ecto's list, inside the caller's transaction."""
        table, number = qualified(self.schema, ECTO), int(revision)
        self.link.execute(f"DELETE FROM {table} WHERE version = %s", (number,))
        if applied:
            moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self.link.execute(f"INSERT INTO {table} (version, inserted_at) VALUES (%s, %s)", (number, moment))


def look(link: Link) -> State:
    """Read the state of a database, in the connection's schema; nothing is written.

    Raises:
        PermissionMissing: Row security hides it from the connection's role.
    """
    history = load()
    names = [*history.tables, *history.leftovers - set(history.tables), *BOOKKEEPING]
    schema, present, elsewhere, meant = _present(link, names)
    if schema is None or meant is not None:
        return State(meant or link.schema or "", frozenset(), nowhere=True)
    books = Bookkeeping(link, schema)
    versions = _versions(books) if VERSION in present else []
    due = {table for version, _ in versions if version in history for table in history.tables_at(version)}
    if not present.issuperset(due):
        # Another run may have moved on since the list of tables; it creates the tables of a revision before it writes
        # its version.
        _, present, elsewhere, _ = _present(link, names)
    ecto = None
    if ECTO in present:
        rows = link.rows(f"SELECT version FROM {qualified(schema, ECTO)} ORDER BY version")
        ecto = tuple(int(row[0]) for row in rows)
    protected = PROTECTION in present and bool(
        link.value(f"SELECT count(*) FROM {qualified(schema, PROTECTION)}")
    )
    return State(schema, present, tuple(versions), ecto, protected, elsewhere)


def _versions(books: Bookkeeping) -> list[tuple[str, str | None]]:
    """Read the version rows; an empty result is distinguished from hidden rows and from a refusal by the server."""
    try:
        rows = books.link.rows(f"SELECT version_num, floor FROM {books.version}")
    except Exception as error:
        found = sqlstate(error) == PERMISSION and hidden(books.link, books.schema)
        if not found:
            raise
        raise found from error
    if not rows and books.link.filtered and (found := hidden(books.link, books.schema)):
        raise found
    return [(row[0], row[1]) for row in rows]


def entries(link: Link, state: State) -> list[dict[str, Any]]:
    """Return the ledger of a database, oldest entry first; empty without a ledger.

    Raises:
        PermissionMissing: Row security hides it from the connection's role.
    """
    if LEDGER not in state.tables:
        return []
    found = Bookkeeping(link, state.schema).ledger.entries()
    if not found and (error := hidden(link, state.schema, LEDGER)):
        raise error
    return found


def latest(link: Link, state: State, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the last entry of each kind in the ledger of a database, as `Ledger.latest` does; empty without a ledger.

    Raises:
        PermissionMissing: Row security hides it from the connection's role.
    """
    if LEDGER not in state.tables:
        return {}
    found = Bookkeeping(link, state.schema).ledger.latest(kinds)
    if not found and (error := hidden(link, state.schema, LEDGER)):
        raise error
    return found


def create_statements(dialect: str, named: Mapping[str, str]) -> dict[str, str]:
    """Return the SQL that creates the ledger, the version table and the notes of releases, by their plain names.

    Only their owner writes the first two. The notes have the same writers as the schema's tables.

    Args:
        dialect: postgresql or sqlite.
        named: The name of each as SQL, by its plain name.
    """
    from diwa_schema.database.seen import create_statement as notes_statement

    creates = {
        LEDGER: ledger_statement(dialect, named[LEDGER]),
        VERSION: f"CREATE TABLE {named[VERSION]} (version_num VARCHAR(32) NOT NULL PRIMARY KEY, floor VARCHAR(32))",
        RELEASES: notes_statement(dialect, named[RELEASES]),
    }
    if dialect == "postgresql":
        for name in (LEDGER, VERSION):
            creates[name] += f";\n{only_owner_writes(named[name])}"
    return creates


def advance_statement(table: str, before: str | None, after: str | None) -> str:
    """Return the SQL that moves the version row between two revisions; without the expected row it changes nothing.

    Args:
        table: The version table's name, as SQL.
        before: The required current revision; None if there must be no row.
        after: The new revision; None to remove the row.
    """
    floor = literal(load().floor(after))
    if before is None:
        new = f"INSERT INTO {table} (version_num, floor) SELECT {literal(after)}, {floor}"
        return f"{new} WHERE NOT EXISTS (SELECT 1 FROM {table})"
    if after is None:
        return f"DELETE FROM {table} WHERE version_num = {literal(before)}"
    return f"UPDATE {table} SET version_num = {literal(after)}, floor = {floor} WHERE version_num = {literal(before)}"


def only_owner_writes(table: str) -> str:
    """Return the SQL that revokes the right to write a new table from all roles that default privileges gave it to.

    Otherwise an application with the right to write new tables could state that the schema is current, or remove a
    protection.

    Args:
        table: The table's name, as SQL.
    """
    return f"DO {code(_ONLY_OWNER_WRITES.format(table=literal(table)))}"


def _present(link: Link, names: Sequence[str]) -> tuple[str | None, frozenset[str], str | None, str | None]:
    """Return the schema, its tables, another schema on the path with a version table, and the intended schema."""
    if link.dialect == "sqlite":
        marks = ", ".join(["%s"] * len(names))
        rows = link.rows(f"SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ({marks})", names)
        return "main", frozenset(row[0] for row in rows), None, None
    rows = link.rows(
        "SELECT s.nspname::text,"
        " ARRAY(SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = s.oid"
        "  AND c.relname = ANY(%s::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')),"
        " (SELECT n.nspname::text FROM pg_class v JOIN pg_namespace n ON n.oid = v.relnamespace"
        "  WHERE v.oid = to_regclass(%s) AND n.oid <> s.oid AND %s),"
        " current_setting('search_path'), current_user::text"
        " FROM pg_namespace s"
        " WHERE s.nspname = coalesce(%s, current_schema()) AND has_schema_privilege(s.oid, 'USAGE')",
        (list(names), VERSION, link.schema is None, link.schema),
    )
    if not rows:
        return None, frozenset(), None, None
    schema, present, elsewhere, path, role = rows[0]
    meant = None if link.schema is not None else passed_over(path, role, schema)
    return schema, frozenset(present), elsewhere, meant
