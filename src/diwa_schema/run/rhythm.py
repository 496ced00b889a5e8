"""The size of the next batch, the pause after a batch, and the estimated total time."""

from __future__ import annotations

FIRST = 1_000  # rows
_LARGEST = 50_000  # rows
_SHORTEST_REST = 0.02  # seconds


def following(size: int, took: float, max_stall: float) -> int:
    """Return how many rows to ask for next, so that a batch takes half as long as others may be made to wait.

    Args:
        size: How many rows were asked for.
        took: How long that took, in seconds.
        max_stall: The longest the application may be made to wait, in milliseconds.
    """
    factor = min(2.0, max(0.1, max_stall / 1000 / 2 / max(took, 0.001)))
    return int(min(_LARGEST, max(1, size * factor)))


def rest(took: float) -> float:
    """Return how long a run rests after a batch, so that replicas and vacuum keep up, in seconds."""
    return max(_SHORTEST_REST, took / 2)


def expected(rows: float, each: float, once: float, max_stall: float, *, share: float = 1.0) -> float:
    """Return how long batches will take for all rows, rests included, in seconds.

    Args:
        rows: How many rows there are.
        each: How long the work takes for one of them, in seconds.
        once: How long a batch takes beside that, in seconds.
        max_stall: As for `following`.
        share: How many of the rows that a batch is asked for it takes.
    """
    size, total = FIRST, 0.0
    while rows > 0:
        taken = min(rows, max(1.0, size * share))
        took = once + taken * each
        total += took + rest(took)
        rows -= taken
        size = following(size, took, max_stall)
    return total
