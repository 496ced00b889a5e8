"""Processing the rows of a table in batches in the order of their key, to fill a column or another table.

The progress of a step is stored in the database, so that the next run resumes a killed one. Its table exists only
during such a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.pace import Pace, dialect, ground, offline, step
from diwa_schema.migrations.temporary import POSITION


@step
def backfill(table: str, assignment: str, where: str = "true", *, key: str = "id") -> None:
    """Update rows batch by batch in the order of a key, resuming where an interrupted run stopped.

    The step does not see rows that are written behind the batch by code that does not fill the column yet: create a
    default or a trigger first. On SQLite and in the plain form it is one UPDATE.

    Args:
        table: The table.
        assignment: SQL for SET, such as ``slug = lower(name)``.
        where: The SQL condition for the rows to update; it should be false for updated rows.
        key: The column whose order is followed: the primary key, of any type that can be cast from text.
    """
    if offline() or dialect() == "sqlite" or not ground().live:
        op.execute(f"UPDATE {lookup.quoted(table)} SET {assignment} WHERE {where}")
        return

    def update(connection: sa.Connection, within: str) -> str:
        return f"UPDATE {lookup.qualified(connection, table)} SET {assignment} WHERE {within} AND ({where})"

    filled = assignment.partition("=")[0].strip(' "')
    _in_batches(table, key, f"backfill {table} {assignment}", f"{table}.{filled}", update)


@step
def copy_rows(
    source: str, target: str, values: Mapping[str, str], where: str = "true", *, key: str = "id"
) -> None:
    """Copy rows into another table batch by batch in the order of a key, resuming where an interrupted run stopped.

    An existing row of the target with the same key gets the values of the source. Copied rows are locked until their
    batch ends, so that no old value overwrites a change by a writer of both tables. The step does not see rows that are
    written behind the batch: by then every writer must write both tables. On SQLite and in the plain form it is one
    INSERT.

    Args:
        source: The table whose rows are copied.
        target: The table that receives them.
        values: The values of its columns, as SQL over the columns of the source; the first is its primary key.
        where: The SQL condition for the rows to copy.
        key: The primary key of the source, of any type that can be cast from text.
    """
    first, *others = map(lookup.quoted, values)
    kept = f"UPDATE SET {', '.join(f'{one} = excluded.{one}' for one in others)}" if others else "NOTHING"
    locked = " FOR NO KEY UPDATE" if dialect() == "postgresql" else ""

    def insert(into: str, rows: str, condition: str) -> str:
        return (
            f"INSERT INTO {into} ({', '.join((first, *others))}) SELECT {', '.join(values.values())} FROM {rows}"
            f" WHERE {condition} ORDER BY {lookup.quoted(key)}{locked} ON CONFLICT ({first}) DO {kept}"
        )

    if offline() or dialect() == "sqlite" or not ground().live:
        op.execute(insert(lookup.quoted(target), lookup.quoted(source), f"({where})"))
        return

    def copy(connection: sa.Connection, within: str) -> str:
        into, rows = (lookup.qualified(connection, one) for one in (target, source))
        return insert(into, rows, f"{within} AND ({where})")

    _in_batches(source, key, f"copy {source} {target}", target, copy, target)


def _in_batches(
    table: str,
    key: str,
    name: str,
    label: str,
    statement: Callable[[sa.Connection, str], str],
    also: str | None = None,
) -> None:
    """Run a statement for the rows of a table, a few at a time.

    Args:
        table: The table.
        also: Another table that the statement fills.
        key: The column whose order is followed.
        name: The key under which the progress is stored.
        label: The subject of the work, for people.
        statement: A function that returns the statement for the rows of a condition.
    """
    pace = ground().pace

    def rows(connection: sa.Connection, reached: str | None, last: str) -> None:
        within = between(connection, table, key, reached)
        connection.execute(sa.text(statement(connection, within)), {"reached": reached, "last": last})

    def all_at_once(connection: sa.Connection) -> int | None:
        if lookup.table_exists(connection, POSITION):
            return None
        last, taken = next_keys(connection, table, key, None, pace.first_batch)
        if taken == pace.first_batch:
            return None
        if taken:
            rows(connection, None, last)
        return taken

    def batch(connection: sa.Connection, size: int) -> int:
        reached = read(connection, name)
        last, taken = next_keys(connection, table, key, reached, size)
        if not taken:
            return 0
        rows(connection, reached, last)
        move(connection, name, last)
        return taken

    # A small table has no progress to store: an interrupted run has done all of it or nothing.
    if (small := pace.short(all_at_once)) is not None:
        pace.progress(label, small, small)
        return
    pace.short(lambda connection: begin(connection, name, table, *([also] if also else [])))
    before, total = extent(pace, table, name, key)
    pace.batches(batch, total, label, before=before)
    pace.short(lambda connection: end(connection, name))


def begin(connection: sa.Connection, name: str, *tables: str) -> None:
    """Record the start of a step; the progress of an earlier run of it stays as long as it can be trusted.

    The rows behind a batch are right because a column, a default or a trigger of the step is there since. If the tables
    have other columns or triggers than at the start, some rows may have been written without them, and the step starts
    again at the first row.

    Args:
        connection: In a transaction, after the step has created its columns and triggers.
        name: The key of the progress.
        tables: The tables that the step reads or fills.
    """
    # The table is created in the current schema before any statement names it, so its plain name finds it there.
    connection.execute(
        sa.text(f"CREATE TABLE IF NOT EXISTS {POSITION} (step text PRIMARY KEY, reached text, guards text)")
    )
    if "guards" not in lookup.column_types(connection, POSITION):
        # An interrupted run of an earlier release left the table.
        connection.execute(sa.text(f"ALTER TABLE {POSITION} ADD COLUMN guards text"))
    connection.execute(
        sa.text(
            f"INSERT INTO {POSITION} AS p (step, guards) VALUES (:step, :guards) ON CONFLICT (step) DO UPDATE"
            " SET reached = CASE WHEN p.guards = excluded.guards THEN p.reached END, guards = excluded.guards"
        ),
        {"step": name, "guards": "; ".join(_guards(connection, table) for table in tables)},
    )


def _guards(connection: sa.Connection, table: str) -> str:
    """Return text that changes if the table, a column or a trigger is dropped, even if it is created again."""
    place = lookup.oid(table)
    return str(
        connection.scalar(
            sa.text(
                f"SELECT concat_ws(' ', CAST({place} AS oid), (SELECT string_agg(concat(attnum), ',' ORDER BY attnum)"
                f" FROM pg_attribute WHERE attrelid = {place} AND attnum > 0 AND NOT attisdropped),"
                " (SELECT string_agg(concat(oid, tgenabled), ',' ORDER BY oid) FROM pg_trigger"
                f" WHERE tgrelid = {place} AND NOT tgisinternal))"
            )
        )
    )


def read(connection: sa.Connection, name: str) -> str | None:
    """Return the last finished key, or None at the beginning."""
    reached: str | None = connection.scalar(
        sa.text(f"SELECT reached FROM {POSITION} WHERE step = :step"), {"step": name}
    )
    return reached


def extent(pace: Pace, table: str, name: str, key: str = "id") -> tuple[int, int | None]:
    """Return the number of rows that an earlier run of a step finished, and the approximate total, if known."""
    total = pace.look(lambda connection: lookup.estimated_rows(connection, table))
    reached = pace.look(lambda connection: read(connection, name))
    if reached is None:
        return 0, total

    def done(connection: sa.Connection) -> int:
        within = between(connection, table, key, None)
        rows = f"SELECT count(*) FROM {lookup.qualified(connection, table)} WHERE {within}"
        return int(connection.scalar(sa.text(rows), {"last": reached}) or 0)

    return pace.long(done), total


def move(connection: sa.Connection, name: str, reached: str) -> None:
    """Record the last finished key, in the transaction of its work."""
    connection.execute(
        sa.text(f"UPDATE {POSITION} SET reached = :reached WHERE step = :step"),
        {"step": name, "reached": reached},
    )


def end(connection: sa.Connection, name: str) -> None:
    """Remove the record of a step; the last step also drops the table."""
    if not lookup.table_exists(connection, POSITION):
        return
    connection.execute(sa.text(f"DELETE FROM {POSITION} WHERE step = :step"), {"step": name})
    if not connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {POSITION})")):
        connection.execute(sa.text(f"DROP TABLE {POSITION}"))


def between(connection: sa.Connection, table: str, key: str, reached: str | None) -> str:
    """Return SQL for the keys after ``:reached`` up to ``:last``, two texts."""
    column, kind = lookup.quoted(key), lookup.column_types(connection, table)[key]
    upper = f"{column} <= CAST(CAST(:last AS text) AS {kind})"
    return upper if reached is None else f"{column} > CAST(CAST(:reached AS text) AS {kind}) AND {upper}"


def next_keys(
    connection: sa.Connection, table: str, key: str, reached: str | None, size: int
) -> tuple[str, int]:
    """Return the last of the next keys, as text, and the number of keys up to it: at most `size`."""
    column, kind = lookup.quoted(key), lookup.column_types(connection, table)[key]
    after = "" if reached is None else f"WHERE {column} > CAST(CAST(:reached AS text) AS {kind})"
    last, taken = connection.execute(
        sa.text(
            f"SELECT (array_agg(k ORDER BY k DESC))[1]::text, count(*) FROM (SELECT {column} AS k"
            f" FROM {lookup.qualified(connection, table)} {after} ORDER BY {column} LIMIT :size) AS n"
        ),
        {"size": size, "reached": reached},
    ).one()
    return last, taken
