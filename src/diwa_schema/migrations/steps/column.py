"""Putting a column of another type in the place of one, while the table is in use.

A new column stands beside the old one until it is filled; then, in one short transaction, it takes the name.
What is written to the old column meanwhile is noted by a trigger and taken over before that. Nothing is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.lookup import IN_SCHEMA, qualified, quoted

_TRIGGER = "diwa_schema_note"
_ONLY_VECTORS = ("hnsw", "ivfflat")


@dataclass(frozen=True, slots=True)
class Carried:
    """An index on the old column that the new one gets as well.

    Args:
        name: Its name.
        built: The name under which it is built before the swap.
        definition: What follows ``CREATE [UNIQUE] INDEX [CONCURRENTLY] name``, on the new column.
        unique: Whether it is unique.
    """

    name: str
    built: str
    definition: str
    unique: bool


@dataclass(frozen=True, slots=True)
class Replacement:
    """A column and the one that is to take its place.

    Args:
        table: The table; its primary key is a uuid named id.
        column: The column.
        type: The new column's type, as SQL.
    """

    table: str
    column: str
    type: str

    @property
    def new(self) -> str:
        """The name of the new column before the swap."""
        return f"{self.column}_retyped"

    @property
    def notes(self) -> str:
        """The table and the function that note which rows were written meanwhile."""
        return f"diwa_schema_note_{self.table}"

    def begun(self, connection: sa.Connection) -> bool:
        """Tell whether the new column stands beside the old one."""
        return self.new in lookup.column_types(connection, self.table)

    def prepare(self, connection: sa.Connection, *, live: bool) -> None:
        """Add the new column, and begin to note what is written to the old one, in one transaction."""
        if self.begun(connection):
            return
        table = qualified(connection, self.table)
        connection.execute(
            sa.text(f"ALTER TABLE {table} ADD COLUMN {quoted(connection, self.new)} {self.type}")
        )
        if live:
            self._note_writes(connection, table)

    def _note_writes(self, connection: sa.Connection, table: str) -> None:
        notes = qualified(connection, self.notes)
        connection.execute(sa.text(f"CREATE TABLE {notes} (row_id uuid NOT NULL)"))
        # Who writes may have no right on our tables: the function runs with its owner's.
        connection.execute(
            sa.text(
                f"CREATE FUNCTION {notes}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
                " SET search_path = pg_catalog AS $note$ BEGIN"
                f" INSERT INTO {notes} (row_id) VALUES (NEW.id); RETURN NULL; END $note$"
            )
        )
        connection.execute(
            sa.text(
                f"CREATE TRIGGER {_TRIGGER} AFTER INSERT OR UPDATE OF {quoted(connection, self.column)}"
                f" ON {table} FOR EACH ROW EXECUTE FUNCTION {notes}()"
            )
        )

    def noted(self, connection: sa.Connection, limit: int) -> list[str]:
        """Return the ids of at most so many rows that were written meanwhile."""
        if not lookup.table_exists(connection, self.notes):
            return []
        rows = connection.execute(
            sa.text(
                f"SELECT DISTINCT row_id FROM {qualified(connection, self.notes)} ORDER BY 1 LIMIT :limit"
            ),
            {"limit": limit},
        )
        return [str(row) for (row,) in rows]

    def count_noted(self, connection: sa.Connection) -> int:
        """Return how many rows were written meanwhile."""
        if not lookup.table_exists(connection, self.notes):
            return 0
        notes = qualified(connection, self.notes)
        return int(connection.scalar(sa.text(f"SELECT count(DISTINCT row_id) FROM {notes}")) or 0)

    def forget(self, connection: sa.Connection, rows: Sequence[str]) -> None:
        """Delete the notes on rows that this transaction has locked and taken over."""
        connection.execute(
            sa.text(
                f"DELETE FROM {qualified(connection, self.notes)} WHERE row_id = ANY(CAST(:rows AS uuid[]))"
            ),
            {"rows": list(rows)},
        )

    def lock(self, connection: sa.Connection) -> None:
        """Keep everybody else out of the table until the transaction ends."""
        connection.execute(
            sa.text(f"LOCK TABLE {qualified(connection, self.table)} IN ACCESS EXCLUSIVE MODE")
        )

    def swap(self, connection: sa.Connection, indexes: Sequence[Carried]) -> None:
        """Give the new column the place, the indexes and the rights of the old one, which is dropped."""
        table, column = qualified(connection, self.table), quoted(connection, self.column)
        rights = self._rights(connection)
        self._stop_noting(connection)
        connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        connection.execute(
            sa.text(f"ALTER TABLE {table} RENAME COLUMN {quoted(connection, self.new)} TO {column}")
        )
        for index in indexes:
            built, name = qualified(connection, index.built), quoted(connection, index.name)
            connection.execute(sa.text(f"ALTER INDEX {built} RENAME TO {name}"))
        for right in rights:
            connection.execute(sa.text(right))

    def abandon(self, connection: sa.Connection) -> None:
        """Take away what an interrupted replacement left beside the column."""
        if not self.begun(connection):
            return
        self._stop_noting(connection)
        connection.execute(
            sa.text(
                f"ALTER TABLE {qualified(connection, self.table)} DROP COLUMN {quoted(connection, self.new)}"
            )
        )

    def _stop_noting(self, connection: sa.Connection) -> None:
        notes = qualified(connection, self.notes)
        connection.execute(
            sa.text(f"DROP TRIGGER IF EXISTS {_TRIGGER} ON {qualified(connection, self.table)}")
        )
        connection.execute(sa.text(f"DROP FUNCTION IF EXISTS {notes}()"))
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {notes}"))

    def indexes(self, connection: sa.Connection) -> tuple[Carried, ...]:
        """Return the usable indexes that name the old column and that a column of the new type can have."""
        found = connection.execute(
            sa.text(
                "SELECT c.relname, i.indisunique, m.amname, pg_get_indexdef(c.oid) FROM pg_index i"
                " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam"
                f" WHERE i.indrelid = {IN_SCHEMA} AND i.indisvalid AND EXISTS (SELECT FROM pg_depend d"
                "   JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
                "   WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = c.oid"
                "   AND d.refclassid = CAST('pg_class' AS regclass) AND d.refobjid = i.indrelid"
                "   AND a.attname = :column) ORDER BY c.relname"
            ),
            {"name": self.table, "column": self.column},
        )
        return tuple(
            Carried(name, f"{name[:54]}_retyped", self._on_new(definition), unique)
            for name, unique, method, definition in found
            if self.type != "bytea" or method not in _ONLY_VECTORS
        )

    def refuse_dependents(self, connection: sa.Connection) -> None:
        """Raise when something hangs on the old column that the new one could not take over.

        Raises:
            MigrationFailed: A view, a constraint, a policy or the like does.
        """
        found = connection.execute(
            sa.text(
                "SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend d"
                " JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
                " LEFT JOIN pg_index i ON d.classid = CAST('pg_class' AS regclass) AND i.indexrelid = d.objid"
                " LEFT JOIN pg_trigger t ON d.classid = CAST('pg_trigger' AS regclass) AND t.oid = d.objid"
                f" WHERE d.refclassid = CAST('pg_class' AS regclass) AND d.refobjid = {IN_SCHEMA}"
                " AND a.attname = :column AND i.indexrelid IS NULL AND t.tgname IS DISTINCT FROM :trigger"
                " ORDER BY 1"
            ),
            {"name": self.table, "column": self.column, "trigger": _TRIGGER},
        )
        dependents = [described for (described,) in found]
        if dependents:
            raise MigrationFailed(
                f"{self.table}.{self.column} cannot be replaced,"
                f" because these hang on it: {'; '.join(dependents)}.",
                untouched="The column and its values were left as they were.",
                next_step="Drop them, run the same command again, then create them anew.",
                dependents=dependents,
            )

    def _on_new(self, definition: str) -> str:
        """Return an index definition from ON on, with the new column for the old; string literals stay."""
        tail = definition[definition.index(" ON ") + 1 :]
        word = re.compile(rf"'(?:[^']|'')*'|(?<![\w.])\"?{re.escape(self.column)}\"?(?![\w(])")
        return word.sub(lambda found: found[0] if found[0].startswith("'") else self.new, tail)

    def _rights(self, connection: sa.Connection) -> list[str]:
        """Return GRANTs for the rights that were given on the old column alone."""
        found = connection.execute(
            sa.text(
                "SELECT r.privilege_type, CASE WHEN r.grantee = 0 THEN 'PUBLIC'"
                " ELSE quote_ident(pg_get_userbyid(r.grantee)) END, r.is_grantable"
                " FROM pg_attribute a, aclexplode(a.attacl) r"
                f" WHERE a.attrelid = {IN_SCHEMA} AND a.attname = :column"
            ),
            {"name": self.table, "column": self.column},
        )
        table, column = qualified(connection, self.table), quoted(connection, self.column)
        return [
            f"GRANT {right} ({column}) ON {table} TO {role}{' WITH GRANT OPTION' if grantable else ''}"
            for right, role, grantable in found
        ]
