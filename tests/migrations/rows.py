"""Rows to change the schema under: memories with embeddings of every kind that is found in the field."""

from __future__ import annotations

import random
from functools import cache
from uuid import UUID

import sqlalchemy as sa

from diwa_schema.models.types.erlang import encode_floats

ORGANIZATION = "00000000-0000-4000-8000-000000000001"
CONTEXT = "00000000-0000-4000-8000-000000000002"


@cache
def _floats(count: int, seed: int) -> tuple[float, ...]:
    chance = random.Random(seed)
    return tuple(chance.randint(-9999, 9999) / 10_000 for _ in range(count))


def floats(count: int, seed: int) -> list[float]:
    """Return numbers with few digits, which single precision keeps."""
    return list(_floats(count, seed))


def memory(number: int) -> UUID:
    """Return the id of a memory; ids in the order of the numbers are not in the order of the key."""
    return UUID(int=random.Random(number).getrandbits(128), version=4)


def found_bytes() -> dict[UUID, bytes | None]:
    """Return what bytes columns hold in the field, by memory."""
    odd: list[bytes | None] = [
        None,
        b"",
        b"garbage",
        b"[0.1,0.2]",
        encode_floats([]),
        encode_floats(floats(384, 7)),
        encode_floats(floats(1535, 8)),
        encode_floats(floats(1536, 9))[:-1],
        encode_floats([*floats(1535, 10), 1e39]),
        bytes([131, 107]) + (1536).to_bytes(2, "big") + bytes(range(256)) * 6,
    ]
    whole: list[bytes | None] = [encode_floats(floats(1536, seed)) for seed in range(20, 60)]
    return {memory(number): value for number, value in enumerate([*odd, *whole, None, None])}


def insert_memories(connection: sa.Connection, embeddings: dict[UUID, object], cast: str = "bytea") -> None:
    """Insert memories with embeddings into a database that has none."""
    now = "'2026-01-01 00:00:00', '2026-01-01 00:00:00'"
    connection.exec_driver_sql(f"INSERT INTO organizations VALUES ('{ORGANIZATION}', 'o', 'free', {now})")
    connection.exec_driver_sql(
        "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)"
        f" VALUES ('{CONTEXT}', '{ORGANIZATION}', 'c', {now})"
    )
    for row, value in embeddings.items():
        insert_memory(connection, row, value, cast)


def insert_memory(connection: sa.Connection, row: UUID, value: object, cast: str = "bytea") -> None:
    connection.execute(
        sa.text(
            "INSERT INTO memories (id, context_id, content, embedding, inserted_at, updated_at)"
            f" VALUES (:id, '{CONTEXT}', 'some words', CAST(:value AS {cast}), '2026-01-01', '2026-01-01')"
        ),
        {"id": row, "value": value},
    )


def embeddings(connection: sa.Connection) -> dict[UUID, object]:
    """Return the embeddings as the driver gives them: bytes, or the text of a vector."""
    found = connection.exec_driver_sql("SELECT id, embedding FROM memories")
    return {row: value for row, value in found}  # noqa: C416 - a Row is no pair to the type checker


def archive(connection: sa.Connection) -> dict[UUID, tuple[str, bytes]]:
    """Return kind and value of what the archive keeps of memories; empty where there is none."""
    if connection.exec_driver_sql("SELECT to_regclass('diwa_schema_embedding_archive')").scalar() is None:
        return {}
    found = connection.exec_driver_sql(
        "SELECT row_id, kind, value FROM diwa_schema_embedding_archive WHERE table_name = 'memories'"
    ).all()
    assert len({row for row, _, _ in found}) == len(found)
    return {row: (kind, value) for row, kind, value in found}
