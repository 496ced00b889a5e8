"""An empty PostgreSQL database to head, whole process, against a process that only sends the snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, process
from benchmarks.rows.fresh import upgrade
from diwa_schema.database.target import Target
from diwa_schema.run import snapshot

SENDS = "import sys, psycopg; psycopg.connect(sys.argv[1], autocommit=True).execute(open(sys.argv[2]).read())"


def rows(bench: Bench) -> Iterator[Row]:
    script = bench.folder / "snapshot.sql"

    def ours() -> float:
        with bench.database() as url:
            return upgrade(url)

    def theirs() -> float:
        with bench.database() as url:
            write(url, script)
            return process("-c", SENDS, url, str(script))

    yield Row(
        "upgrade of an empty database",
        "psycopg sends the snapshot in one execute()",
        1.2,
        *alternate(bench.rounds, ours, theirs),
    )


def write(url: str, script: Path) -> None:
    """Write what the process sends, with embeddings as this server can have them."""
    if script.exists():
        return
    create = "CREATE EXTENSION IF NOT EXISTS vector;\n"
    with Target.of(url).connect() as link:
        has_vector = link.value("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')")
        if has_vector:
            link.execute(create)
        script.write_text(f"BEGIN;\n{create if has_vector else ''}{snapshot.script(link)}\nCOMMIT;\n")
        if has_vector:
            link.execute("DROP EXTENSION vector")
