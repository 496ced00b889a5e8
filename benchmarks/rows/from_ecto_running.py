"""The same as `from_ecto`, by a program that is running already: what a run costs beside starting Python."""

from __future__ import annotations

import diwa_schema
from benchmarks.bench import Bench
from benchmarks.measure import Row, timed
from benchmarks.rows.from_ecto import against_psql


def row(bench: Bench) -> Row | None:
    def run(url: str) -> float:
        return timed(lambda: diwa_schema.migrate(url))

    return against_psql(bench, run, None, ", by migrate() in a running program")
