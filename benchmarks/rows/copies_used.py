"""The same, when the test connects: a bare drop comes while the server still ends the connection's process."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.measure import Row
from benchmarks.rows.copies import NAME, connect, measured


def row(bench: Bench) -> Row:
    samples = measured(bench, connect, f"DROP DATABASE {NAME} WITH (FORCE)")
    return Row(
        "a database for a test that connects", "CREATE … TEMPLATE, connect, drop WITH (FORCE)", None, *samples
    )
