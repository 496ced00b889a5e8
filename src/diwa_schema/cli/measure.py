"""The progress of a step as text: pieces, rate and remaining time, each only if it is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from diwa_schema.names import amount
from diwa_schema.run.settings import ROWS

_WINDOW = 30.0  # seconds: a rate describes the present, not the last hour
_SHORTEST = 1.0  # seconds: a shorter time gives no useful rate
_MINUTE, _HOUR = 60, 3600
_LONG = 10_000  # milliseconds: from here on, people read seconds more easily


class Measure:
    """The progress of a step with many pieces.

    Args:
        label: The name of the step.
        unit: The kind of the pieces.
        clock: Returns seconds.
    """

    def __init__(self, label: str, unit: str = ROWS, clock: Callable[[], float] = time.monotonic) -> None:
        self.label = " ".join(label.split())
        self.unit = unit
        self.done = 0
        self.total: int | None = None
        self._clock = clock
        self._seen: tuple[tuple[float, int], ...] = ()
        self._before = 0
        self.began = clock()

    def reach(self, done: int, total: int | None) -> None:
        """Record the number of finished pieces and their total; the first call gives the start."""
        now = self._clock()
        if not self._seen:
            self._before = done
        # One sample before the window stays; otherwise a piece that takes longer than the window would have no rate.
        old = [at for at, (when, _) in enumerate(self._seen) if now - when >= _WINDOW]
        self._seen = (*self._seen[old[-1] if old else 0 :], (now, done))
        # There are more pieces than the statistics knew, so the total is unknown.
        self.done, self.total = done, total if total and done <= total else None

    def goes_on(self, label: str, done: int, unit: str) -> bool:
        """Return whether a number continues this step, or is the first of another one."""
        return " ".join(label.split()) == self.label and unit == self.unit and done >= self.done

    @property
    def took(self) -> float:
        """The duration of the step so far, in seconds."""
        return self._clock() - self.began

    @property
    def moved(self) -> int:
        """The number of pieces finished since the start of the step."""
        return self.done - self._before

    @property
    def rate(self) -> float | None:
        """The pieces per second in the last seconds; None if it is not known yet."""
        if not self._seen:
            return None
        began, before = self._seen[0]
        span = self._clock() - began
        return (self.done - before) / span if span >= _SHORTEST and self.done > before else None

    @property
    def left(self) -> float | None:
        """The time until all pieces are done, in seconds; None if it is unknown."""
        rate = self.rate
        return None if rate is None or self.total is None else (self.total - self.done) / rate

    def __str__(self) -> str:
        """The progress without the label; empty if nothing is counted."""
        if not self.unit:
            return ""
        about = "about " if self.unit == ROWS else ""
        thing = self.unit.removesuffix("s")
        of = "" if self.total is None else f"{self.done:,} of {about}"
        parts = [of + amount(self.done if self.total is None else self.total, thing)]
        if self.rate is not None:
            parts.append(f"{_rounded(self.rate)}/s")
        if self.left is not None:
            parts.append(f"{lasting(self.left)} left")
        return ", ".join(parts)


def lasting(seconds: float) -> str:
    """Return a time in words, rounded up to a second, a minute or a minute of an hour."""
    whole = math.ceil(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    minutes = math.ceil(whole / _MINUTE)
    if whole < 2 * _HOUR:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def took(milliseconds: int) -> str:
    """Return a measured time: short ones to the millisecond, long ones in words."""
    return f"{milliseconds} ms" if milliseconds < _LONG else lasting(milliseconds / 1000)


def _rounded(rate: float) -> str:
    """Return a rate with two significant digits."""
    if rate >= 10:  # noqa: PLR2004 - below it there is a digit after the point
        places = len(str(int(rate))) - 2
        return f"{round(rate, -places):,.0f}"
    return f"{rate:.1f}"
