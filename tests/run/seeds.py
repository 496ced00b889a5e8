"""Rows for every table of a database, made from its catalog alone: each column has a value of its type."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import psycopg
from psycopg import sql

from diwa_schema.models.types.embeddings import DIMENSIONS
from diwa_schema.models.types.erlang import encode_floats

BOOKKEEPING = "diwa_schema_"
# Left out, as Ecto's writers do: the database fills it.
FILLED = ("memories", "organization_id")

_POSTGRESQL = """
SELECT c.relname, a.attname, format_type(a.atttypid, NULL), a.attnotnull,
       (SELECT f.confrelid::regclass::text FROM pg_constraint f
        WHERE f.contype = 'f' AND f.conrelid = c.oid AND f.conkey[1] = a.attnum),
       a.atttypmod
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY c.relname, a.attnum
"""
_SQLITE = """
SELECT t.name, c.name, c.type, c."notnull", (SELECT f."table" FROM pragma_foreign_key_list(t.name) f
       WHERE f."from" = c.name), 0
FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'diwa_schema_word%'
ORDER BY t.rowid, c.cid
"""

Column = tuple[
    str, str, bool, str | None, int
]  # name, type, whether NULL is refused, table it refers to, size


def fill(url: str, rows: int = 3) -> int:
    """Give every table of the schema rows, and return how many tables got some.

    Embeddings are of every kind there is: a vector's, one of another length, and bytes that are none.
    """
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite, lite:
            return _fill(lite, _SQLITE, rows, "?")
    with psycopg.connect(url) as connection:
        return _fill(connection, _POSTGRESQL, rows, "%s")


def multiply(url: str, memories: int, embeddings: int = 0) -> None:
    """Make so many memories of a PostgreSQL database's first one, some of them with its embedding."""
    with psycopg.connect(url, autocommit=True) as connection:
        columns = connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = 'memories'::regclass AND attnum > 0 AND NOT attisdropped"
        ).fetchall()
        values = {name: f'm."{name}"' for name, _ in columns} | {"id": "gen_random_uuid()"}
        if ("embedding", "bytea") in columns:
            values["embedding"] = f"CASE WHEN n <= {embeddings} THEN m.embedding END"
        connection.execute(
            f"INSERT INTO memories ({', '.join(values)}) SELECT {', '.join(values.values())}"
            f" FROM (SELECT * FROM memories WHERE id = '{key('memories', 0)}') AS m,"
            f" generate_series(1, {memories}) AS n".encode()
        )
        connection.execute("VACUUM ANALYZE")


def _fill(connection: Any, catalog: str, rows: int, mark: str) -> int:
    tables: dict[str, list[Column]] = {}
    for table, *column in connection.execute(catalog).fetchall():
        if not table.startswith((BOOKKEEPING, "sqlite_")) and (table, column[0]) != FILLED:
            tables.setdefault(table, []).append(tuple(column))
    filled: set[str] = set()
    while waiting := [table for table in tables if table not in filled]:
        for table in waiting:
            wanted = {str(column[3]).strip('"') for column in tables[table] if column[3]} - {table}
            if wanted <= filled:
                _fill_table(connection, table, tables[table], rows, mark)
                filled.add(table)
    return len(filled)


def _fill_table(connection: Any, table: str, columns: list[Column], rows: int, mark: str) -> None:
    names = ", ".join(f'"{name}"' for name, *_ in columns)
    statement = f'INSERT INTO "{table}" ({names}) VALUES ({", ".join([mark] * len(columns))})'
    for number in range(rows):
        values = [_value(table, column, number, postgresql=mark == "%s") for column in columns]
        connection.execute(sql.SQL(statement) if mark == "%s" else statement, values)


def key(table: str, number: int) -> str:
    """Return the id of a row."""
    return str(uuid5(NAMESPACE_OID, f"{table} {number}"))


def _value(table: str, column: Column, number: int, *, postgresql: bool) -> Any:
    name, kind, _, referent, size = column
    if (kept := _keeps_a_rule(table, name, number)) is not None:
        return kept
    if name == "id" or referent:
        return _key(table, name, referent, number)
    if kind == "uuid" or (not postgresql and name.endswith("_id")):
        return key(name, number)
    if kind in ("bytea", "BLOB"):
        return embedding(number) if name == "embedding" else f"{name} {number}".encode()
    if name.endswith("_at") or kind.startswith("timestamp"):
        return f"2026-01-0{number % 9 + 1} 00:00:00"
    return _plain(name, kind, size, number)


def _keeps_a_rule(table: str, name: str, number: int) -> Any:
    """Return a value of a column that a rule is about: the rows break none."""
    return {
        "context_relationships.target_context_id": key("contexts", 0 if number else 1),
        "hitl_escalations.status": "pending",
        "organizations.slug": f"slug-{number}",
        "tasks.priority": "High",
        "tasks.status": "pending",
        "usage_records.total_tokens": 2 * number,
    }.get(f"{table}.{name}")


def _plain(name: str, kind: str, size: int, number: int) -> Any:
    if kind in ("text", "character varying", "TEXT"):
        return f"{name} {number}"[: size - 4 if size > 4 else None]
    if kind.endswith("[]"):
        return [f"tag {number}"]
    return {
        "jsonb": f'{{"n": {number}}}',
        "JSONB": f'{{"n": {number}}}',
        "boolean": number % 2 == 1,
        "tsvector": None,
        "vector": None,
    }.get(kind, number)


def _key(table: str, name: str, referent: str | None, number: int) -> str | int | None:
    if referent is None or name == "id":
        return key(table, number)
    # The first row of a table that refers to itself has nobody to refer to.
    if referent.strip('"') == table:
        return key(table, number - 1) if number else None
    return key(referent.strip('"'), number)


def embedding(number: int) -> bytes:
    """Return an embedding as bytes: of the right length, of another, or none at all."""
    if number % 3 == 2:
        return b"\x00not a list of numbers"
    return encode_floats(
        [number + position / 7 for position in range(DIMENSIONS if number % 3 == 0 else 384)]
    )
