"""Replacing a column by one of another type, while the table is in use.

A new column exists beside the old one until it is filled; then it takes the name in one short transaction. Triggers
note writes to the old column meanwhile, and these writes are transferred before the swap. No auxiliary object remains.

Three measures ensure that no write is missed. The triggers are ENABLE ALWAYS and fire for every session, even for
replication. They compare the stored values, so they also note a value that another trigger has set. And the swap reads
the notes after it has locked the table, in a transaction that sees the commits made while it waited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from diwa_schema import names
from diwa_schema.errors import MigrationFailed
from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.dependents import hanging
from diwa_schema.migrations.steps.lookup import qualified, quoted, verbatim
from diwa_schema.migrations.steps.retype.carried import Carried, Succession, properties
from diwa_schema.migrations.temporary import NOTE, NOTE_UPDATE
from diwa_schema.names import code, cut, literal


@dataclass(frozen=True, slots=True)
class Replacement(Succession):
    """Adds the new column beside the old one, and replaces the old one by it."""

    @property
    def notes(self) -> str:
        """The name of the table and the function that note the rows written meanwhile."""
        return cut(f"{NOTE}_{self.table}")

    def begun(self, connection: sa.Connection) -> bool:
        """Return whether the new column exists beside the old one."""
        return self.new in lookup.column_types(connection, self.table)

    def left(self, connection: sa.Connection) -> bool:
        """Return whether an interrupted replacement left an object."""
        function = (
            "SELECT EXISTS (SELECT FROM pg_proc"
            " WHERE pronamespace = CAST(quote_ident(current_schema()) AS regnamespace)"
            f" AND proname = {lookup.literal(self.notes)})"
        )
        return (
            self.begun(connection)
            or lookup.table_exists(connection, self.notes)
            or bool(connection.scalar(sa.text(function)))
        )

    def noting(self, connection: sa.Connection) -> bool:
        """Return whether every write to the old column is noted."""
        triggers = connection.scalar(
            sa.text(
                "SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
                f" WHERE t.tgrelid = {lookup.oid(self.table)} AND t.tgname IN ('{NOTE}', '{NOTE_UPDATE}')"
                f" AND t.tgenabled = 'A' AND p.proname = {lookup.literal(self.notes)}"
            )
        )
        return triggers == len((NOTE, NOTE_UPDATE)) and lookup.table_exists(connection, self.notes)

    def refuse_dependents(self, connection: sa.Connection, unfit: Sequence[str] = ()) -> None:
        """Raise an error if a dependent of the old column cannot move to the new one.

        Args:
            connection: The connection for the check.
            unfit: The obstacles found earlier.

        Raises:
            MigrationFailed: A view, a constraint, a policy or a similar object depends on it, or row security hides
                rows.
        """
        found = [*unfit, *connection.scalars(sa.text(verbatim(hanging(self.table, self.column))))]
        if found:
            raise MigrationFailed(
                f"{self.table}.{self.column} cannot be replaced, because these objects depend on it:"
                f" {'; '.join(found)}.",
                untouched="The column and its values were left as they were.",
                next_step="Drop them, run the command again, then create them again.",
                dependents=found,
            )

    def prepare(self, connection: sa.Connection, *, live: bool) -> None:
        """Add the new column, and begin to note writes to the old one, in one transaction.

        The column of an interrupted run is kept only if every write since has been noted: otherwise it starts again.
        """
        if self.begun(connection) and self.noting(connection):
            return
        _refuse_old_snapshot(connection)
        self.abandon(connection)
        table, notes = qualified(connection, self.table), qualified(connection, self.notes)
        statements = [f"ALTER TABLE {table} ADD COLUMN {quoted(self.new)} {self.type}"]
        if live:
            column = quoted(self.column)
            inserted, updated = (
                f"CREATE TRIGGER {NOTE} AFTER INSERT",
                f"CREATE TRIGGER {NOTE_UPDATE} AFTER UPDATE",
            )
            # A row without a value has nothing to transfer: most applications write the embedding after the row.
            given = f"WHEN (NEW.{column} IS NOT NULL)"
            # Bytes are compared, not values: the type's own operators may be in a schema off the search path.
            changed = f"WHEN (CAST(ROW(OLD.{column}) AS record) *<> CAST(ROW(NEW.{column}) AS record))"
            into = names.qualified(lookup.current_schema(connection), self.notes)
            body = f" BEGIN INSERT INTO {into} (row_id) VALUES (NEW.id); RETURN NULL; END "
            # A writer may have no rights on our tables: the function runs with the rights of its owner.
            function = (
                f"CREATE FUNCTION {notes}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
                f" SET search_path = pg_catalog AS {verbatim(code(body))}"
            )
            statements += [
                f"CREATE TABLE {notes} (row_id uuid NOT NULL)",
                f"CREATE INDEX ON {notes} (row_id)",
                # Without it, a publication of all tables would refuse the deletion of notes.
                f"ALTER TABLE {notes} REPLICA IDENTITY FULL",
                function,
                f"{inserted} ON {table} FOR EACH ROW {given} EXECUTE FUNCTION {notes}()",
                f"{updated} ON {table} FOR EACH ROW {changed} EXECUTE FUNCTION {notes}()",
                f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {NOTE}, ENABLE ALWAYS TRIGGER {NOTE_UPDATE}",
            ]
        for statement in statements:
            connection.execute(sa.text(statement))

    def noted(self, connection: sa.Connection, limit: int) -> list[str]:
        """Return the ids of the rows written meanwhile, up to a limit."""
        if not lookup.table_exists(connection, self.notes):
            return []
        rows = connection.scalars(
            sa.text(
                f"SELECT DISTINCT row_id FROM {qualified(connection, self.notes)} ORDER BY 1 LIMIT :limit"
            ),
            {"limit": limit},
        )
        return [str(row) for row in rows]

    def count_noted(self, connection: sa.Connection) -> int:
        """Return the number of rows written meanwhile."""
        if not lookup.table_exists(connection, self.notes):
            return 0
        notes = qualified(connection, self.notes)
        return int(connection.scalar(sa.text(f"SELECT count(DISTINCT row_id) FROM {notes}")) or 0)

    def forget(self, connection: sa.Connection, rows: Sequence[str]) -> None:
        """Delete the notes on rows that this transaction has locked and transferred."""
        connection.execute(
            sa.text(
                f"DELETE FROM {qualified(connection, self.notes)} WHERE row_id = ANY(CAST(:rows AS uuid[]))"
            ),
            {"rows": list(rows)},
        )

    def lock(self, connection: sa.Connection) -> None:
        """Exclude everybody else from the table until the transaction ends."""
        _refuse_old_snapshot(connection)
        connection.execute(
            sa.text(f"LOCK TABLE {qualified(connection, self.table)} IN ACCESS EXCLUSIVE MODE")
        )

    def swap(self, connection: sa.Connection, indexes: Sequence[Carried]) -> None:
        """Drop the old column, and give the new one its name and its attributes."""
        table, column = qualified(connection, self.table), quoted(self.column)
        kept = properties(connection, self)
        self._stop_noting(connection)
        statements = [
            f"ALTER TABLE {table} DROP COLUMN {column}",
            f"ALTER TABLE {table} RENAME COLUMN {quoted(self.new)} TO {column}",
        ]
        for index in indexes:
            statements.append(
                f"ALTER INDEX {qualified(connection, index.built)} RENAME TO {quoted(index.name)}"
            )
            if index.comment is not None:
                comment = verbatim(literal(index.comment))
                statements.append(f"COMMENT ON INDEX {qualified(connection, index.name)} IS {comment}")
        for statement in [*statements, *kept]:
            connection.execute(sa.text(statement))

    def abandon(self, connection: sa.Connection) -> None:
        """Remove the remains of an interrupted replacement."""
        if not self.left(connection):
            return
        self._stop_noting(connection)
        table = qualified(connection, self.table)
        connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN IF EXISTS {quoted(self.new)}"))

    def _stop_noting(self, connection: sa.Connection) -> None:
        notes, table = qualified(connection, self.notes), qualified(connection, self.table)
        for trigger in (NOTE, NOTE_UPDATE):
            connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {trigger} ON {table}"))
        connection.execute(sa.text(f"DROP FUNCTION IF EXISTS {notes}()"))
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {notes}"))


def _refuse_old_snapshot(connection: sa.Connection) -> None:
    """Raise an error if the transaction does not see commits that others make while it waits for a lock."""
    level = connection.scalar(sa.text("SELECT current_setting('transaction_isolation')"))
    if level != "read committed":
        raise MigrationFailed(
            f"The transaction is {str(level).upper()}: it would not see the commits made while it waits for a table.",
            untouched="The column and its values were left as they were.",
            next_step="Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED.",
        )
