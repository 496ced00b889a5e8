"""Filling a column of many rows in the order of their key, a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps import lookup, position
from diwa_schema.migrations.steps.pace import dialect, ground, offline, step


@step
def backfill(table: str, assignment: str, where: str = "true", *, key: str = "id") -> None:
    """Update rows batch by batch in the order of a key, going on where an interrupted run stopped.

    Rows that are written behind the batch, by code that does not fill the column yet, are not seen: a default
    or a trigger has to be there first. On SQLite and in the plain form it is one UPDATE.

    Args:
        table: The table.
        assignment: SQL for SET, such as ``slug = lower(name)``.
        where: SQL that tells the rows to update; it should be false for rows that were updated already.
        key: The column whose order is followed: the primary key, of any type that can be cast from text.
    """
    if offline() or dialect() == "sqlite" or not ground().live:
        op.execute(f"UPDATE {_quoted(table)} SET {assignment} WHERE {where}")
        return
    pace = ground().pace
    job = _Job(f"backfill {table} {assignment}", table, assignment, where, key)
    pace.short(lambda connection: position.begin(connection, job.name))
    total = pace.short(lambda connection: lookup.estimated_rows(connection, table))
    pace.batches(job.batch, total, f"{table}: {assignment}")
    pace.short(lambda connection: position.end(connection, job.name))


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    table: str
    assignment: str
    where: str
    key: str

    def batch(self, connection: sa.Connection, size: int) -> int:
        """Update the rows of the next keys; the place reached is kept in the same transaction."""
        reached = position.read(connection, self.name)
        last, taken = position.next_keys(connection, self.table, self.key, reached, size)
        if not taken:
            return 0
        table = lookup.quoted(connection, self.table)
        within = position.between(connection, self.table, self.key, reached)
        connection.execute(
            sa.text(f"UPDATE {table} SET {self.assignment} WHERE {within} AND ({self.where})"),
            {"reached": reached, "last": last},
        )
        position.move(connection, self.name, last)
        return taken


def _quoted(name: str) -> str:
    return str(op.get_context().dialect.identifier_preparer.quote(name))
