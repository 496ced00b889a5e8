"""The kit's databases of Ecto's: as many things as the real ones have, and the odd values in them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest

from diwa_schema.database.target import Target
from diwa_schema.drift.read import read
from diwa_schema.models.types.erlang import decode_floats
from tests.kit import shapes
from tests.kit.rows import term


# Tables, columns, foreign keys, indexes, unique ones, triggers at Ecto's newest version.
@pytest.mark.parametrize(
    ("lite", "counts"), [(False, [30, 274, 28, 69, 11, 1]), (True, [30, 273, 28, 67, 11, 0])]
)
def test_head_has_what_ectos_has(legacy, lite, counts):
    with Target.of(legacy("head_disabled", lite=lite)).connect() as link:
        tables = [table for table in read(link).tables if table.name != "schema_migrations"]
    indexes = [index for table in tables for index in table.indexes]
    assert counts == [
        len(tables),
        sum(len(table.columns) for table in tables),
        sum(len(table.foreign_keys) for table in tables),
        len(indexes),
        sum(index.unique for index in indexes),
        sum(len(table.triggers) for table in tables),
    ]


# The agent's release on its own is left out: its foreign keys refer to a table that is not there.
@pytest.mark.parametrize("name", [name for name in shapes.SHAPES if name != "agent_release"])
def test_a_shape_on_sqlite_has_rows_that_keep_its_rules(legacy, name):
    shape = shapes.SHAPES[name]
    with closing(sqlite3.connect(legacy(name, lite=True).removeprefix("sqlite:///"))) as lite:
        assert lite.execute("PRAGMA foreign_key_check").fetchall() == []
        for table in shapes.columns_of(shape, "sqlite"):
            assert lite.execute(f"SELECT count(*) FROM {table}").fetchone()[0] >= 3
        versions = [row[0] for row in lite.execute("SELECT version FROM schema_migrations ORDER BY 1")]
    assert versions == sorted(shape.versions)


def test_memories_of_some_organizations(legacy):
    with psycopg.connect(legacy("head_organization_bytes")) as connection:
        found = connection.execute(
            "SELECT count(*) FROM memories GROUP BY organization_id IS NULL"
        ).fetchall()
    assert len(found) == 2
    assert min(found)[0] > 2


def test_the_agents_buffer_with_audit_columns_has_values_in_them(legacy):
    with psycopg.connect(legacy("both_marked_bytes")) as connection:
        row = connection.execute(
            "SELECT pg_typeof(session_id)::text, pg_typeof(id)::text FROM tala_operations"
            " WHERE phi_flag AND num_nonnulls(capability_token, merkle_root, audit_hash, degradation_tier) = 4"
        ).fetchone()
    assert row == ("uuid", "uuid")


def test_embeddings_are_erlang_terms():
    assert term([0.5, -2.0]).hex() == "836c00000002463fe000000000000046c0000000000000006a"
    assert decode_floats(term([0.1, 1e300, -0.0])) == [0.1, 1e300, -0.0]
