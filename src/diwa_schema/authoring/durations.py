"""The expected duration of a revision's pieces, from their durations in a shadow without rows and with some rows.

The duration without rows is a fixed cost; the rest grows with the rows. Tables of a shadow are temporary: they are read
from memory, and writes to them are not logged. The cost of reading the table is therefore measured on the table itself,
and the cost of logging comes from measured runs (benchmarks/plan_durations.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import log
from statistics import fmean, median
from typing import TYPE_CHECKING

from diwa_schema.authoring.marks import BATCHES, CONCURRENT, Piece
from diwa_schema.run import rhythm
from diwa_schema.run.settings import Settings

if TYPE_CHECKING:
    from diwa_schema.authoring.marks import Trace
    from diwa_schema.authoring.portion import Measured, Portion

# The longest duration of a piece on a live database without large tables, in seconds.
LITTLE = 1.0
# The factors for writing a logged table and for building an index concurrently.
_LOGGED, _CONCURRENT = 1.7, 1.6
_SPREAD = 2.0
# What a run does beside the work: for each transaction, and for each revision.
_COMMIT, _AROUND = 0.002, 0.01


@dataclass(frozen=True, slots=True)
class Duration:
    """An expected duration, in seconds.

    Args:
        expected: The likely duration.
        least: The lower bound of the likely range.
        most: The upper bound of the likely range.
    """

    expected: float
    least: float
    most: float


def expected(bare: Trace, filled: Sequence[Trace], portion: Portion) -> tuple[Duration | None, str | None]:
    """Return the expected duration of a revision, or None and the reason why it is unknown.

    Args:
        bare: Its observation in a shadow with a few rows.
        filled: Its observations in shadows with a portion of the rows, none if no table is large.
        portion: That portion.
    """
    large = bare.busy.union(*(trace.busy for trace in filled)) & set(portion.large)
    if not large:
        return Duration(sum(piece.seconds for piece in bare.pieces), 0.0, LITTLE), None
    for name in sorted(large):
        if name not in portion.measured:
            return None, f"{name}: {portion.failed.get(name, 'no row of it could be read')}"
        if not all(trace.sample.get(name) for trace in filled):
            return None, f"{name}: this revision, or one before it, refuses its rows"
    # The shorter one would be what an idle server takes, and the run meets a server that is as busy as this one.
    likely = [
        _AROUND
        + sum(
            _COMMIT + _piece(without, piece, portion.measured)
            for without, piece in zip_longest(bare.pieces, trace.pieces)
            if piece is not None
        )
        for trace in filled
    ]
    return Duration(fmean(likely), min(likely) / _SPREAD, max(likely) * _SPREAD), None


def _piece(without: Piece | None, piece: Piece, measured: Mapping[str, Measured]) -> float:
    # A few rows are read in another way than many, so both observations count.
    tables = piece.tables | (without.tables if without else set())
    large = [measured[name] for name in tables if name in measured]
    once = without.seconds if without else 0.0
    if not large:
        return piece.seconds
    table = max(large, key=lambda one: one.rows)
    if piece.kind == BATCHES and piece.batches:
        # Without rows there is one batch with a few rows, and one that finds none.
        beside = once / 2
        return rhythm.expected(
            table.rows,
            max(median((took - beside) / rows for rows, took in piece.batches), 0.0) * _LOGGED
            + max(table.read - table.own, 0.0),
            beside + _COMMIT,
            Settings().max_stall,
            share=sum(rows for rows, _ in piece.batches) / len(piece.batches) / rhythm.FIRST,
        )
    work = max(piece.seconds - once, 0.0)
    work *= table.rows / table.taken
    reading = table.rows * (table.read - table.own)
    if piece.kind == CONCURRENT:
        # A longer sort costs more for each row, and such a build reads the table twice.
        work *= log(table.rows + 1) / log(table.taken + 1) * _CONCURRENT
        return once + work + max(2 * reading, 0.0)
    if piece.writes:
        work *= _LOGGED
    return once + max(work + reading, table.rows * table.read)
