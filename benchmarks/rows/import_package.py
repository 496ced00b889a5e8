"""`import diwa_schema`, against a bare interpreter and 15 ms."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, process

ALLOWED = 15.0  # milliseconds


def rows(bench: Bench) -> Iterator[Row]:
    samples = alternate(
        bench.rounds, lambda: process("-c", "import diwa_schema"), lambda: process("-c", "pass") + ALLOWED
    )
    yield Row("import diwa_schema", "a bare interpreter and 15 ms", 1.0, *samples)
