"""The archive of embeddings that their column cannot hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic.operations import Operations

from diwa_schema.migrations import characters
from diwa_schema.migrations.steps import lookup
from diwa_schema.migrations.steps.dialects import drop_table_if_there
from diwa_schema.migrations.steps.pace import Pace, ground, offline, operations
from diwa_schema.models.types import LongText, ShortText, Timestamp, UniqueId

TABLE = "diwa_schema_embedding_archive"

_COMPARED = 5_000  # values in one look


@dataclass(frozen=True, slots=True)
class Kept:
    """An embedding that was removed from its column.

    Args:
        row: The id of its row.
        kind: The earlier type of its column, such as ``vector(384)``.
        value: Its bytes; the numbers of a vector have the format of a bytes column.
        reason: Why the column cannot hold it.
    """

    row: UUID
    kind: str
    value: bytes
    reason: str


def create_embedding_archive() -> None:
    """Create the archive if it is absent, in one short transaction."""
    from alembic import op

    if offline():
        create(op)  # type: ignore[arg-type]  # the module offers what the class does
    else:
        ground().pace.short(lambda connection: create(operations(connection)))


def drop_embedding_archive() -> None:
    """Drop the archive with its contents, if it exists."""
    drop_table_if_there(TABLE)


def create(to: Operations) -> None:
    """Create the archive if it is absent, on the given operations."""
    key = sa.PrimaryKeyConstraint("table_name", "row_id", "digest", name=f"{TABLE}_pkey")
    to.create_table(TABLE, *columns(), key, if_not_exists=True)


def columns() -> list[sa.Column[Any]]:
    """Return the columns of the archive, new objects for each table."""
    return [
        sa.Column("table_name", ShortText(63), nullable=False),
        sa.Column("row_id", UniqueId(), nullable=False),
        sa.Column("digest", ShortText(64), nullable=False),
        sa.Column("kind", ShortText(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("reason", LongText(), nullable=False),
        sa.Column("archived_at", Timestamp(6), nullable=False),
    ]


def put(connection: sa.Connection, table: str, kept: Sequence[Kept]) -> None:
    """Keep embeddings; an embedding that is already kept is not kept again."""
    if not kept:
        return
    create(operations(connection))
    connection.execute(
        sa.text(
            f"INSERT INTO {TABLE} (table_name, row_id, digest, kind, value, reason, archived_at)"
            " SELECT :table, k.*, CAST(:now AS timestamp) FROM unnest(CAST(:rows AS uuid[]),"
            " CAST(:digests AS text[]), CAST(:kinds AS text[]), CAST(:values AS bytea[]),"
            " CAST(:reasons AS text[])) AS k ON CONFLICT DO NOTHING"
        ),
        {
            "table": table,
            "now": datetime.now(UTC).replace(tzinfo=None),
            "rows": [one.row for one in kept],
            "digests": [sha256(one.value).hexdigest() for one in kept],
            "kinds": [one.kind for one in kept],
            "values": [one.value for one in kept],
            "reasons": [one.reason for one in kept],
        },
    )


def newest(row: str) -> str:
    """Return SQL for the last kept value of a row of table ``:table`` whose id is given as SQL.

    Characters yield NULL: they stay here, because the check on a column of bytes would refuse every UPDATE of their
    row.
    """
    return (
        f"(SELECT CASE WHEN {characters.are_in('a.value')} THEN NULL ELSE a.value END FROM {TABLE} a"
        f" WHERE a.table_name = :table AND a.row_id = {row}"
        " ORDER BY a.archived_at DESC, a.digest LIMIT 1)"
    )


def forget_restored(pace: Pace, table: str, column: str) -> None:
    """Delete the kept values that their bytes column holds again, in batches.

    One look compares many values and serves for many batches: the values that stay would be compared again and again.
    """
    held: list[tuple[UUID, str]] = []

    def batch(connection: sa.Connection, size: int) -> int:
        if not lookup.table_exists(connection, TABLE):
            return 0
        # A batch that was rolled back is repeated: the values leave the list once there is nothing left to delete.
        while held:
            if deleted := _delete(connection, table, held[:size]):
                return deleted
            del held[:size]
        found = connection.execute(
            sa.text(
                f"SELECT a.row_id, a.digest FROM {TABLE} a JOIN {lookup.qualified(connection, table)} t"
                f" ON t.id = a.row_id AND t.{lookup.quoted(column)} = a.value WHERE a.table_name = :table LIMIT :size"
            ),
            {"table": table, "size": max(size, _COMPARED)},
        )
        held.extend((row, digest) for row, digest in found)
        return _delete(connection, table, held[:size]) if held else 0

    pace.batches(batch, None, f"{table}: restored embeddings")


def _delete(connection: sa.Connection, table: str, held: Sequence[tuple[UUID, str]]) -> int:
    given = "unnest(CAST(:rows AS uuid[]), CAST(:digests AS text[])) AS k(row, digest)"
    return connection.execute(
        sa.text(
            f"DELETE FROM {TABLE} a USING {given} WHERE a.table_name = :table AND a.row_id = k.row"
            " AND a.digest = k.digest"
        ),
        {"table": table, "rows": [row for row, _ in held], "digests": [digest for _, digest in held]},
    ).rowcount


def drop_empty(connection: sa.Connection) -> None:
    """Drop the archive if it exists and is empty."""
    if not lookup.table_exists(connection, TABLE):
        return
    connection.execute(sa.text(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE"))
    if not connection.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {TABLE})")):
        connection.execute(sa.text(f"DROP TABLE {TABLE}"))
