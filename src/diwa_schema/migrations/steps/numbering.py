"""Numbering the versions of each memory by time, during concurrent writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from diwa_schema.migrations.steps import batches, filling, kept_values, lookup
from diwa_schema.migrations.steps.indexes import NewIndex, exchange_indexes
from diwa_schema.migrations.steps.pace import dialect, ground, offline, step
from diwa_schema.models.filled import VERSION_NUMBER

TABLE, COLUMN = VERSION_NUMBER.table, VERSION_NUMBER.column
REASON = "versions of one memory had one number, or none"

NUMBERED = NewIndex(
    "memory_versions_memory_id_version_number_index",
    TABLE,
    ["memory_id", COLUMN],
    unique=True,
    only="postgresql",
)
# The unique one begins with the same column.
PLAIN = NewIndex("memory_versions_memory_id_index", TABLE, ["memory_id"], only="postgresql")

# On SQLite a time can have one of four spellings, and rows of the same second are in the order of their arrival.
_ORDER = {"postgresql": "inserted_at, id", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', inserted_at), rowid"}


@step
def number_versions() -> None:
    """Number the versions of each memory from 1, and let the database number new ones.

    The trigger comes first; it numbers new versions after all others of their memory. The old versions then get their
    numbers, memory by memory, and differing old numbers are kept as values. During its numbering a memory is locked in
    the same way as by the trigger. On PostgreSQL a unique index comes last and replaces the index on the memory alone.
    """
    filling.place(VERSION_NUMBER)
    if offline():
        for statement in _renumbering(dialect(), TABLE, kept_values.KEPT):
            op.execute(statement)
    elif dialect() == "sqlite":
        ground().pace.short(
            lambda connection: _send(connection, _renumbering("sqlite", TABLE, kept_values.KEPT))
        )
    elif not ground().pace.look(_are_numbered):
        _renumber()
    exchange_indexes((NUMBERED,), (PLAIN,))


@step
def forget_numbers() -> None:
    """Restore the old numbers of the versions, and leave the numbering to the writers.

    Newer versions keep their numbers.
    """
    exchange_indexes((PLAIN,), (NUMBERED,))
    filling.take_away(VERSION_NUMBER)
    kept_values.give_back(TABLE, COLUMN, f"CAST(nullif(kept, '{kept_values.NONE}') AS integer)")


def _are_numbered(connection: sa.Connection) -> bool:
    """Return whether an interrupted run had already numbered all versions.

    The unique index comes after the numbers. Later versions have the numbers that their writers received. A second
    numbering under that index would fail if the order of times differs.
    """
    found = lookup.index_state(connection, NUMBERED.name)
    return found is not None and found.valid


def _renumber() -> None:
    pace, name = ground().pace, f"number {TABLE}"

    def batch(connection: sa.Connection, size: int) -> int:
        reached = batches.read(connection, name)
        last, taken = batches.next_keys(connection, "memories", "id", reached, size)
        if not taken:
            return 0
        _renumber_memories(connection, reached, last)
        batches.move(connection, name, last)
        return taken

    pace.short(lambda connection: batches.begin(connection, name, "memories", TABLE))
    before, total = batches.extent(pace, "memories", name)
    pace.batches(batch, total, f"{TABLE}: numbered by memory", before=before)
    pace.short(lambda connection: batches.end(connection, name))


def _renumber_memories(connection: sa.Connection, reached: str | None, last: str) -> None:
    """Number the versions of memories while others write to them: the work sees all writes before the lock."""
    versions, memories, kept = (
        lookup.qualified(connection, name) for name in (TABLE, "memories", kept_values.KEPT)
    )
    within = batches.between(connection, "memories", "id", reached).replace('"id"', "memory_id")
    wrong = connection.scalars(
        sa.text(f"SELECT DISTINCT memory_id FROM ({_wrong('postgresql', versions, within)}) AS w"),
        {"reached": reached, "last": last},
    ).all()
    if not wrong:
        return
    held = {"memories": wrong}
    connection.execute(
        sa.text(f"SELECT id FROM {memories} WHERE id = ANY(:memories) ORDER BY id FOR NO KEY UPDATE"), held
    )
    _send(connection, _renumbering("postgresql", versions, kept, "memory_id = ANY(:memories)"), held)


def _send(connection: sa.Connection, statements: Iterable[str], held: dict[str, Any] | None = None) -> None:
    for statement in statements:
        connection.execute(sa.text(statement), held or {})


def _wrong(dialect: str, versions: str, within: str) -> str:
    """Return SQL for the versions whose number differs from their position within their memory."""
    return (
        f"SELECT * FROM (SELECT id AS row_id, memory_id, {COLUMN} AS old, row_number()"
        f" OVER (PARTITION BY memory_id ORDER BY {_ORDER[dialect]}) AS number FROM {versions} WHERE {within}) AS n"
        " WHERE old IS DISTINCT FROM number"
    )


def _renumbering(dialect: str, versions: str, kept: str, within: str = "true") -> Iterator[str]:
    wrong = _wrong(dialect, versions, within)
    found = "wrong" if dialect == "postgresql" else f"({wrong.replace('IS DISTINCT FROM', 'IS NOT')})"
    keep = kept_values.keep(kept, dialect, TABLE, COLUMN, REASON, found=found)
    update = f"UPDATE {versions} SET {COLUMN} = number FROM {found} WHERE {versions}.id = row_id"
    if dialect == "postgresql":
        yield f"WITH wrong AS ({wrong}), kept AS ({keep}) {update}"
    else:
        yield keep
        yield update
