"""The same, when the test connects: a bare drop comes while the server still ends the connection's process."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measure import Row
from benchmarks.rows.copies import NAME, connect, measured


def rows(bench: Bench) -> Iterator[Row]:
    samples = measured(bench, connect, f"DROP DATABASE {NAME} WITH (FORCE)")
    yield Row(
        "a database for a test that connects", "CREATE … TEMPLATE, connect, drop WITH (FORCE)", None, *samples
    )
