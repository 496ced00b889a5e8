"""The shapes in which databases were left by Ecto, each with a name, and the writer that makes one with its rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from tests.kit import facts
from tests.kit.rows import rows_of, term
from tests.kit.writer import Column, Dialect, parse, statements

VERSIONS = tuple(facts.HISTORY)
HEAD = VERSIONS[-1]
JANUARY = 20260107203000  # the newest version of the library that the agent locks
FIRST_RELEASE = 20260107000000  # the newest of library 0.1.0
HNSW = (
    "CREATE INDEX memories_embedding_idx ON memories USING hnsw (embedding vector_cosine_ops)"
    " WITH (m = 16, ef_construction = 64)"
)


@dataclass(frozen=True)
class Shape:
    """A shape: the changes that made it, and the versions that Ecto has on record for it.

    `memories` and `cache` are the types of the two embedding columns on PostgreSQL; on SQLite both are BLOB.
    """

    versions: tuple[int, ...]
    changes: tuple[str, ...]
    memories: str = "vector(1536)"
    cache: str = "vector(1536)"
    hnsw: bool = False
    dirty: bool = False

    @property
    def needs_vector(self) -> bool:
        """Whether PostgreSQL must have pgvector for it."""
        return "vector" in self.memories + self.cache


def shared(until: int = HEAD, **options: Any) -> Shape:
    """Return the shape of the shared history at a version."""
    versions = tuple(version for version in VERSIONS if version <= until)
    return Shape(versions, tuple(facts.HISTORY[version] for version in versions), **options)


def with_agent(shape: Shape) -> Shape:
    """Return the shape with the agent's own tables, instead of the shared one of the same name."""
    kept = [text for text in shape.changes if text != facts.HISTORY[20260117075000]]
    at = sum(version < facts.AGENT for version in shape.versions)
    return replace(
        shape,
        versions=tuple(sorted((*shape.versions, facts.AGENT))),
        changes=(*kept[:at], facts.AGENT_TABLES, *kept[at:]),
    )


def with_organizations(shape: Shape) -> Shape:
    """Return the shape with the column that the newest library reads in `memories`."""
    return replace(shape, changes=(*shape.changes, facts.ORGANIZATION_OF_MEMORIES))


BYTES: dict[str, Any] = {"memories": "bytea", "cache": "bytea"}
SHAPES: dict[str, Shape] = {
    "head_fresh": shared(),
    "head_dirty": shared(dirty=True),
    "head_upgraded": shared(hnsw=True),
    "head_disabled": shared(**BYTES),
    "head_skipped": shared(cache="bytea"),
    "stuck_31": shared(20260228000500, **BYTES),
    "mid_head_code": shared(JANUARY, memories="bytea"),
    "mid_january_code": shared(JANUARY, memories="vector(384)", hnsw=True),
    "agent_local": with_agent(shared(JANUARY, memories="vector(384)", hnsw=True)),
    "both_marked": with_agent(shared(hnsw=True)),
    "both_marked_bytes": with_agent(shared(**BYTES)),
    "v0_1_0_community": shared(FIRST_RELEASE, **BYTES),
    "v0_1_0_enterprise": shared(FIRST_RELEASE, memories="vector(384)", hnsw=True),
    "seven_rows": replace(shared(), versions=(*facts.FIRST_LINEAGE[:7], *VERSIONS)),
    "head_organization": with_organizations(shared()),
    "head_organization_bytes": with_organizations(shared(**BYTES)),
    "agent_v1": Shape(
        facts.FIRST_LINEAGE,
        (facts.FIRST_LINEAGE_TABLES, facts.HISTORY[FIRST_RELEASE], facts.HISTORY[20251231080526]),
        **BYTES,
    ),
    "agent_release": Shape((facts.AGENT,), (facts.AGENT_TABLES,), **BYTES),
}
# The shapes of which the folder of facts has a database, by the name of its file.
FILES = {
    "ecto_cloud_head": "head_fresh",
    "ecto_dirty_data": "head_dirty",
    "ecto_no_vector": "head_disabled",
    "ecto_mid_v384": "mid_january_code",
    "ecto_agent_local_tala": "agent_local",
    "sqlite_head": "head_fresh",
}
LITE_FILE = "sqlite_head"


def columns_of(shape: Shape, dialect: Dialect) -> dict[str, list[Column]]:
    """Return the columns of each table of a shape."""
    return _made(shape, dialect)[1]


def write(url: str, shape: Shape, *, rows: bool = True) -> None:
    """Make a shape in an empty database, with rows in all tables unless they are not wanted."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite, lite:
            _write(lite, "sqlite", shape, rows=rows)
    else:
        with psycopg.connect(url) as connection:
            _extend(connection, shape)
            _write(connection, "postgresql", shape, rows=rows)


def _extend(connection: psycopg.Connection[Any], shape: Shape) -> None:
    """Make what the tables call: a server without uuid-ossp gets a function of the same name."""
    offered = {name for (name,) in connection.execute("SELECT name FROM pg_available_extensions")}
    if "uuid-ossp" in offered:
        connection.execute('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
    else:
        connection.execute(
            "CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
        )
    if shape.needs_vector:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


def _made(shape: Shape, dialect: Dialect) -> tuple[list[str], dict[str, list[Column]]]:
    changes = [change for text in shape.changes for change in parse(text)]
    return statements(changes, dialect, _embeddings(shape))


def _embeddings(shape: Shape) -> dict[str, str]:
    return {"memories": shape.memories, "embedding_cache": shape.cache}


def _write(connection: Any, dialect: Dialect, shape: Shape, *, rows: bool) -> None:
    made, tables = _made(shape, dialect)
    if dialect == "postgresql":
        made += [HNSW] * shape.hnsw
        if any(column.name == "tsv_content" for column in tables.get("memories", [])):
            made.append(
                "CREATE TRIGGER tsvectorupdate BEFORE INSERT OR UPDATE ON memories FOR EACH ROW EXECUTE FUNCTION"
                " tsvector_update_trigger(tsv_content, 'pg_catalog.english', content)"
            )
    made.append(
        "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, inserted_at TEXT)"
        if dialect == "sqlite"
        else "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, inserted_at timestamp(0))"
    )
    made += [
        f"INSERT INTO schema_migrations VALUES ({v}, '2026-03-26T09:00:00')" for v in sorted(shape.versions)
    ]
    for statement in made:
        connection.execute(statement)
    if rows:
        for table in _parents_first(tables):
            _fill(connection, table, tables[table], dialect, shape, _embeddings(shape).get(table, ""))


def _parents_first(tables: dict[str, list[Column]]) -> list[str]:
    """Return the tables so that each comes after those that its rows refer to."""
    order: list[str] = []
    while len(order) < len(tables):
        order += [
            table
            for table, columns in tables.items()
            if table not in order and {one.refers for one in columns if one.refers} - {table} <= {*order}
        ]
    return order


def _fill(
    connection: Any, table: str, columns: list[Column], dialect: Dialect, shape: Shape, embedding: str
) -> None:
    for row in rows_of(table, columns, dialect, dirty=shape.dirty):
        if isinstance(numbers := row.get("embedding"), list):
            row["embedding"] = _embedding(numbers, "bytea" if dialect == "sqlite" else embedding)
        mark = "?" if dialect == "sqlite" else "%s"
        marks = ", ".join([mark] * len(row))
        connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def _embedding(numbers: list[float], kind: str) -> str | bytes:
    if kind == "bytea":
        return term(numbers)
    length = int(kind.removeprefix("vector(").removesuffix(")"))
    return str(numbers[:length])
