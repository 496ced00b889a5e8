"""The size of the next batch, the pause after a batch, and the estimated total time."""

from __future__ import annotations

FIRST = 1_000  # rows
_LARGEST = 50_000  # rows
_SHORTEST_REST = 0.02  # seconds


def following(size: int, took: float, max_stall: float) -> int:
    """Return the size of the next batch, so that it takes half of the longest allowed wait.

    Args:
        size: The size of the last batch.
        took: Its duration, in seconds.
        max_stall: The longest allowed wait of the application, in milliseconds.
    """
    factor = min(2.0, max(0.1, max_stall / 1000 / 2 / max(took, 0.001)))
    return int(min(_LARGEST, max(1, size * factor)))


def rest(took: float) -> float:
    """Return the pause after a batch, in seconds, so that replicas and vacuum keep up."""
    return max(_SHORTEST_REST, took / 2)


def expected(rows: float, each: float, once: float, max_stall: float, *, share: float = 1.0) -> float:
    """Return the expected duration of all batches, with pauses, in seconds.

    Args:
        rows: The number of rows.
        each: The time for one row, in seconds.
        once: The additional time of a batch, in seconds.
        max_stall: As for `following`.
        share: The share of a batch's rows that it processes.
    """
    size, total = FIRST, 0.0
    while rows > 0:
        taken = min(rows, max(1.0, size * share))
        took = once + taken * each
        total += took + rest(took)
        rows -= taken
        size = following(size, took, max_stall)
    return total
