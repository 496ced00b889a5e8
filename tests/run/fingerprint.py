"""What a database holds, as text to compare: its whole schema and every row, the ledger aside."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import sql

from diwa_schema.testing import embedded

LEDGER = "diwa_schema_ledger"

# What a run writes a time of its own into.
_CLOCK = ["archived_at", "inserted_at", "kept_at"]
_OF_RUNS = ("schema_migrations", "diwa_schema_embedding_archive", "diwa_schema_kept_values")

# The words of a dump's own, and the moment that Debian's server notes with each column that is made.
_NEW_EVERY_TIME = re.compile(r"^\\(un)?restrict |SET \(pg_attver=\d+\);$")

# pg_dump passes over an index that is not valid; here everything has a line that has a name.
_RELATIONS = """
SELECT n.nspname, c.relkind::text, c.relname, coalesce(i.indisvalid AND i.indisready AND i.indislive, true),
       c.relpersistence::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 3
"""


def fingerprint(url: str) -> str:
    """Return schema and rows of a database as text; rows in the order of their text."""
    return "\n".join(
        _sqlite(Path(url.removeprefix("sqlite:///"))) if url.startswith("sqlite") else _postgresql(url)
    )


def _postgresql(url: str) -> Iterator[str]:
    dumped = subprocess.run(
        [embedded.programs() / "pg_dump", "--schema-only", url], capture_output=True, text=True, check=False
    )
    assert dumped.returncode == 0, dumped.stderr
    yield from (line for line in dumped.stdout.splitlines() if not _NEW_EVERY_TIME.search(line))
    with psycopg.connect(url) as connection:
        relations = connection.execute(_RELATIONS).fetchall()
        yield from ("|".join(map(str, row)) for row in relations)
        yield from _rows(
            connection, [(row[0], row[2]) for row in relations if row[1] == "r" and row[2] != LEDGER]
        )


def _rows(connection: psycopg.Connection, tables: list[tuple[str, str]]) -> Iterator[str]:
    queries = [
        sql.SQL("SELECT {}, (to_jsonb(t) - {}::text[])::text AS row FROM {} t").format(
            table, _CLOCK if table in _OF_RUNS else [], sql.Identifier(schema, table)
        )
        for schema, table in tables
    ]
    if not queries:
        return
    # Long values are compared by their checksum.
    short = "CASE WHEN length(row) > 1000 THEN left(row, 300) || md5(row) ELSE row END"
    every = sql.SQL(f"SELECT * FROM (SELECT name, {short} FROM ({{}}) AS r(name, row)) AS s ORDER BY 1, 2")
    for table, row in connection.execute(every.format(sql.SQL(" UNION ALL ").join(queries))):
        yield f"{table} {row}"


def _sqlite(path: Path) -> Iterator[str]:
    if not path.exists():
        return
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        objects = connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
        ).fetchall()
        for kind, name, table, created in objects:
            yield f"{kind}|{name}|{table}|{created}"
            if kind == "table" and name != LEDGER:
                columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
                shown = [column for column in columns if name not in _OF_RUNS or column not in _CLOCK]
                listed = ", ".join(f'"{column}"' for column in shown)
                rows = connection.execute(f'SELECT {listed} FROM "{name}"').fetchall()
                yield from sorted(f"{name} {row!r}" for row in rows)
