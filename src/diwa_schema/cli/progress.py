"""The display of a run's progress: redrawn lines on a terminal, plain lines otherwise, always on stderr.

A run continues if nobody can read its output: a closed pipe, a full disk or a lost terminal never ends it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from diwa_schema.cli import options
from diwa_schema.run.settings import ROWS

if TYPE_CHECKING:
    from diwa_schema.cli.foot import Foot
    from diwa_schema.cli.measure import Measure
    from diwa_schema.run.settings import Progress

T = TypeVar("T")

# Seconds between two lines about a step: as it goes on there are fewer, but no log of CI is silent for minutes.
_FIRST, _LAST = 1.0, 60.0


def reported(args: argparse.Namespace, call: Callable[..., T], **more: Any) -> T:
    """Call a function of the API with what was typed, while its progress is shown; return what it returns."""
    with progress(quiet=args.json, log_format=args.log_format) as told:
        return call(
            repo=args.repo,
            settings=options.settings_of(args),
            progress=told,
            **({"renew": args.renew} if hasattr(args, "renew") else {}),
            **options.database_of(args),
            **more,
        )


@contextmanager
def progress(*, quiet: bool = False, log_format: str = "text") -> Iterator[Progress]:
    """Give the progress that fits where stderr goes.

    Args:
        quiet: Whether only warnings are told, because a machine reads the result.
        log_format: text, or json for the records of the log in its place.
    """
    if log_format == "json":
        from diwa_schema.cli.lines import json_lines
        from diwa_schema.run.settings import Silence

        with json_lines():
            yield Silence()
        return
    from diwa_schema.cli.foot import drawable

    told = Live() if not quiet and drawable() else Lines(quiet=quiet)
    try:
        yield told
    finally:
        told.close()


def _write(line: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class Lines:
    """One line for each event.

    Args:
        quiet: Whether the lines of single revisions are left out.
        clock: Tells seconds.
    """

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._title = ""
        self._above = ""
        self._step: Measure | None = None
        self._next_line = 0.0

    def say(self, line: str) -> None:
        """Print a line."""
        _write(line)

    def revision(self, name: str, number: int, total: int) -> None:
        """Remember which revision runs."""
        self._end_step()
        self._title = self._above = f"[{number}/{total}] {name}"

    def done(self, name: str, milliseconds: int) -> None:  # noqa: ARG002 - the title has the name
        """Print the revision that is applied."""
        self._end_step()
        if not self._quiet:
            self.say(f"{self._title}  {_took(milliseconds)}")

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Print how far a step is, from time to time; at its end, how many rows it was."""
        if self._quiet:
            return
        step = _next(self._step, label, done, unit, self._clock)
        if step is not self._step:
            self._end_step()
            self._step, self._next_line = step, _FIRST
        step.reach(done, total)
        if (took := step.took) >= self._next_line:
            self._next_line = took + min(_LAST, max(_FIRST, took / 2))
            self._tell(step, str(step))

    def close(self) -> None:
        """Print how far the last step came."""
        self._end_step()

    def _end_step(self) -> None:
        from diwa_schema.cli.measure import lasting

        step, self._step = self._step, None
        # What another connection reads of a build is late by a moment, and no count at its end.
        if step is not None and step.moved and step.unit == ROWS:
            self._tell(step, f"{step.moved:,} rows in {lasting(step.took)}")

    def _tell(self, step: Measure, counted: str) -> None:
        if self._above:
            self.say(self._above)
            self._above = ""
        self.say(f"  {step.label}: {counted}" if counted else f"  {step.label}")


class Live:
    """Lines that are drawn from the first revision on; without one, rich is not loaded."""

    def __init__(self) -> None:
        self._foot: Foot | None = None
        self._title = ""
        self._step: Measure | None = None

    def say(self, line: str) -> None:
        """Print a line above what is drawn."""
        if self._foot is None:
            _write(line)
        else:
            self._foot.say(line)

    def revision(self, name: str, number: int, total: int) -> None:
        """Show which revision runs."""
        self._step = None
        self._title = f"[{number}/{total}] {name}"
        self._show()

    def done(self, name: str, milliseconds: int) -> None:  # noqa: ARG002 - the title has the name
        """Leave a line behind."""
        self._step = None
        if self._foot is not None:
            self._show()
            self.say(f"{self._title}  {_took(milliseconds)}")

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Show how far a step is."""
        self._step = _next(self._step, label, done, unit, time.monotonic)
        self._step.reach(done, total)
        self._show()

    def close(self) -> None:
        """Remove what is drawn."""
        if self._foot is not None:
            self._foot.close()

    def _show(self) -> None:
        if self._foot is None:
            from diwa_schema.cli.foot import Foot

            self._foot = Foot()
        self._foot.show(self._title, self._step)


def _next(step: Measure | None, label: str, done: int, unit: str, clock: Callable[[], float]) -> Measure:
    """Return the step that a number belongs to: the one that goes on, or another one that begins with it."""
    from diwa_schema.cli.measure import Measure

    return step if step is not None and step.goes_on(label, done, unit) else Measure(label, unit, clock)


def _took(milliseconds: int) -> str:
    from diwa_schema.cli.measure import took

    return took(milliseconds)
