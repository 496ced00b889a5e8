"""`--version`: the processor's time of the whole process, against 30 ms of it."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, alternate, process

ALLOWED = 30.0  # milliseconds


def rows(bench: Bench) -> Iterator[Row]:
    ours, bare = alternate(
        bench.rounds, lambda: processor("-m", "diwa_schema", "--version"), lambda: processor("-c", "pass")
    )
    yield Row("--version, processor's time", "30 ms", 1.0, ours, Sample((ALLOWED,) * len(ours.values)))
    yield Row("--version, processor's time", "a bare interpreter", None, ours, bare)


def processor(*arguments: str) -> float:
    """Return how long a process keeps a processor busy, in milliseconds."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    process(*arguments)
    return (spent() - before) * 1000
