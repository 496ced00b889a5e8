"""A database as Ecto left it at its last version, with many memories."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

import diwa_schema
from benchmarks.bench import Bench
from diwa_schema.database.target import Target
from diwa_schema.guard import OwnDatabase
from diwa_schema.migrations.ecto import LAST

ORGANIZATION = (
    "INSERT INTO organizations (id, name, slug, inserted_at, updated_at) VALUES (%s, 'o', 'o', now(), now())"
)
CONTEXT = "INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at) VALUES (%s, %s, 'c', now(), now())"
MEMORIES = """
INSERT INTO memories (id, context_id, content, inserted_at, updated_at, tags, actor, metadata)
SELECT gen_random_uuid(), %s, 'what was said on day ' || n, now(), now(), ARRAY['a', 'b'], 'actor ' || n %% 100,
       jsonb_build_object('n', n)
FROM generate_series(1, %s) AS n
"""
ID = "00000000-0000-0000-0000-000000000001"


@contextmanager
def template(bench: Bench, memories: int) -> Iterator[str]:
    """Give the name of such a database, to be copied; it is dropped after the block.

    Args:
        bench: Where it is made.
        memories: How many memories it has.
    """
    name = f"diwa_bench_{secrets.token_hex(6)}"
    bench.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    url = bench.server.database(name)
    try:
        with OwnDatabase(Target.of(url).identity):
            diwa_schema.migrate(url, LAST)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(ORGANIZATION, (ID,))
            connection.execute(CONTEXT, (ID, ID))
            connection.execute(MEMORIES, (ID, memories))
            connection.execute("VACUUM ANALYZE")
        yield name
    finally:
        bench.execute(f"DROP DATABASE {name} WITH (FORCE)")
