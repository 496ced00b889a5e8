"""Measuring two things in turn, so that what else the machine does falls on both."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

FEWEST_ROUNDS = 7

Measured = Callable[[], float]  # milliseconds


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured of one thing, in milliseconds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def middle_half(self) -> tuple[float, float]:
        """Between which values the middle half lies."""
        low, _, high = quantiles(self.values, n=4)
        return low, high


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ours and what it is held against.

    Args:
        what: What was measured.
        against: What it is compared with.
        at_most: The ratio of the medians that must not be passed; None where there is no target.
        ours: Its sample.
        theirs: The sample of the other.
    """

    what: str
    against: str
    at_most: float | None
    ours: Sample
    theirs: Sample

    @property
    def ratio(self) -> float:
        return self.ours.median / self.theirs.median

    @property
    def holds(self) -> bool:
        return self.at_most is None or self.ratio <= self.at_most


def alternate(rounds: int, ours: Measured, theirs: Measured) -> tuple[Sample, Sample]:
    """Measure two things in turn, each first in every other round, after one round that does not count."""
    ours(), theirs()
    found: dict[Measured, list[float]] = {ours: [], theirs: []}
    for number in range(max(rounds, FEWEST_ROUNDS)):
        for measured in (ours, theirs) if number % 2 else (theirs, ours):
            found[measured].append(measured())
    return Sample(tuple(found[ours])), Sample(tuple(found[theirs]))


def timed(work: Callable[[], object]) -> float:
    """Return how long a call takes, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def process(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    program: str = sys.executable,
) -> float:
    """Return how long a process takes from its start to its end, in milliseconds; it must succeed."""

    def run() -> None:
        command: Sequence[str] = [program, *arguments]
        done = subprocess.run(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")

    return timed(run)
