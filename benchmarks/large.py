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

KEY = "lpad(to_hex(n), 32, '0')::uuid"
ORGANIZATIONS = f"""
INSERT INTO organizations (id, name, slug, inserted_at, updated_at)
SELECT {KEY}, 'o' || n, 'o' || n, now(), now() FROM generate_series(1, %s) AS n
"""
CONTEXTS = f"""
INSERT INTO contexts (id, organization_id, name, inserted_at, updated_at)
SELECT {KEY}, lpad(to_hex(1 + (n - 1) %% %s), 32, '0')::uuid, 'c' || n, now(), now() FROM generate_series(1, %s) AS n
"""
# The first contexts have most of them: a third of all is in one of the first 27 of 1,000.
MEMORIES = """
INSERT INTO memories (id, context_id, content, inserted_at, updated_at, tags, actor, metadata)
SELECT gen_random_uuid(), lpad(to_hex(1 + floor(%s * power(random(), 3))::int), 32, '0')::uuid,
       'what was said on day ' || n, now(), now(), ARRAY['a', 'b'], 'actor ' || n %% 100, jsonb_build_object('n', n)
FROM generate_series(1, %s) AS n
"""
IN_AN_ORGANIZATION = 100  # contexts


@contextmanager
def template(bench: Bench, memories: int, contexts: int = 1, *, inserting: str = MEMORIES) -> Iterator[str]:
    """Give the name of such a database, to be copied; it is dropped after the block.

    Args:
        bench: Where it is made.
        memories: How many memories it has.
        contexts: How many contexts they are in, a hundred in each organization.
        inserting: The statement that inserts the memories; its values are both numbers.
    """
    name = f"diwa_bench_{secrets.token_hex(6)}"
    bench.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    url = bench.server.database(name)
    try:
        with OwnDatabase(Target.of(url).identity):
            diwa_schema.migrate(url, LAST)
        with psycopg.connect(url, autocommit=True) as connection:
            organizations = -(-contexts // IN_AN_ORGANIZATION)
            connection.execute(ORGANIZATIONS.encode(), (organizations,))
            connection.execute(CONTEXTS.encode(), (organizations, contexts))
            connection.execute(inserting.encode(), (contexts, memories))
            connection.execute("VACUUM ANALYZE")
        yield name
    finally:
        bench.execute(f"DROP DATABASE {name} WITH (FORCE)")
