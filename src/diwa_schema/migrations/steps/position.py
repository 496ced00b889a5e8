"""How far a batched step has come, kept in the database so that a killed run is taken up where it stopped.

The table exists only while such a step is under way.
"""

from __future__ import annotations

import sqlalchemy as sa

from diwa_schema.migrations.steps import lookup

TABLE = "diwa_schema_position"


def begin(connection: sa.Connection, step: str) -> None:
    """Note that a step is under way; the place that an earlier run of it reached stays."""
    connection.execute(sa.text(f"CREATE TABLE IF NOT EXISTS {TABLE} (step text PRIMARY KEY, reached text)"))
    connection.execute(
        sa.text(f"INSERT INTO {TABLE} (step) VALUES (:step) ON CONFLICT DO NOTHING"), {"step": step}
    )


def read(connection: sa.Connection, step: str) -> str | None:
    """Return the last key that is done, or None at the beginning."""
    reached: str | None = connection.scalar(
        sa.text(f"SELECT reached FROM {TABLE} WHERE step = :step"), {"step": step}
    )
    return reached


def move(connection: sa.Connection, step: str, reached: str) -> None:
    """Note the last key that is done."""
    connection.execute(
        sa.text(f"UPDATE {TABLE} SET reached = :reached WHERE step = :step"),
        {"step": step, "reached": reached},
    )


def end(connection: sa.Connection, step: str) -> None:
    """Forget a step; the table goes with the last one."""
    if not lookup.table_exists(connection, TABLE):
        return
    connection.execute(sa.text(f"DELETE FROM {TABLE} WHERE step = :step"), {"step": step})
    if not connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {TABLE})")):
        connection.execute(sa.text(f"DROP TABLE {TABLE}"))


def next_keys(
    connection: sa.Connection, table: str, key: str, reached: str | None, size: int
) -> tuple[str, int]:
    """Return the last of the next keys, as text, and how many keys there are up to it: at most `size`."""
    column = lookup.quoted(connection, key)
    after = f"WHERE {column} > {_cast(connection, table, key, 'reached')}" if reached is not None else ""
    found = connection.execute(
        sa.text(
            f"SELECT (array_agg(k ORDER BY k DESC))[1]::text, count(*) FROM (SELECT {column} AS k"
            f" FROM {lookup.quoted(connection, table)} {after} ORDER BY {column} LIMIT :size) AS n"
        ),
        {"size": size, **({"reached": reached} if reached is not None else {})},
    ).one()
    return found[0], found[1]


def between(connection: sa.Connection, table: str, key: str, reached: str | None) -> str:
    """Return SQL for the keys after ``:reached`` up to ``:last``."""
    column = lookup.quoted(connection, key)
    upper = f"{column} <= {_cast(connection, table, key, 'last')}"
    if reached is None:
        return upper
    return f"{column} > {_cast(connection, table, key, 'reached')} AND {upper}"


def _cast(connection: sa.Connection, table: str, key: str, parameter: str) -> str:
    return f"CAST(CAST(:{parameter} AS text) AS {lookup.column_types(connection, table)[key]})"
