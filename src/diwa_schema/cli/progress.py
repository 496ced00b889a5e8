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

# Seconds between two lines about a step: they become rarer, but no log of CI is silent for minutes.
_FIRST, _LAST = 1.0, 60.0


def reported(args: argparse.Namespace, call: Callable[..., T], **more: Any) -> T:
    """Call a function of the API with the typed options, show its progress, and return its result."""
    quiet = args.json or getattr(args, "quiet", False)  # the second is of a task of Ecto
    with progress(quiet=quiet, log_format=args.log_format) as told:
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
    """Yield the display of progress that fits stderr.

    Args:
        quiet: Whether to print only warnings, because a machine reads the result.
        log_format: text, or json for the records of the log instead.
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
    from diwa_schema.terminal import fitted

    with suppress(OSError, ValueError):
        sys.stderr.write(f"{fitted(line, sys.stderr)}\n")
        sys.stderr.flush()


class Lines:
    """One line for each event.

    Args:
        quiet: Whether to leave out the lines of single revisions.
        clock: Returns seconds.
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
        """Remember the running revision."""
        self._end_step()
        self._title = self._above = f"[{number}/{total}] {name}"

    def done(self, name: str, milliseconds: int) -> None:  # noqa: ARG002 - the title has the name
        """Print the applied revision."""
        self._end_step()
        if not self._quiet:
            self.say(f"{self._title}  {_took(milliseconds)}")

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Print the progress of a step from time to time, and the number of rows at its end."""
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
        """Print the end of the last step."""
        self._end_step()

    def _end_step(self) -> None:
        from diwa_schema.cli.measure import took
        from diwa_schema.names import amount

        step, self._step = self._step, None
        # The progress of a build is read on another connection, a moment late, so it has no final count.
        if step is not None and step.moved and step.unit == ROWS:
            self._tell(step, f"{amount(step.moved, 'row')} in {took(round(step.took * 1000))}")

    def _tell(self, step: Measure, counted: str) -> None:
        if self._above:
            self.say(self._above)
            self._above = ""
        self.say(f"  {step.label}: {counted}" if counted else f"  {step.label}")


class Live:
    """Redrawn lines from the first revision on; without a revision, rich is not loaded."""

    def __init__(self) -> None:
        self._foot: Foot | None = None
        self._title = ""
        self._step: Measure | None = None

    def say(self, line: str) -> None:
        """Print a line above the drawn lines."""
        if self._foot is None:
            _write(line)
        else:
            self._foot.say(line)

    def revision(self, name: str, number: int, total: int) -> None:
        """Show the running revision."""
        self._step = None
        self._title = f"[{number}/{total}] {name}"
        self._show()

    def done(self, name: str, milliseconds: int) -> None:  # noqa: ARG002 - the title has the name
        """Print the line of a finished revision."""
        self._step = None
        if self._foot is not None:
            self._show()
            self.say(f"{self._title}  {_took(milliseconds)}")

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Show the progress of a step."""
        self._step = _next(self._step, label, done, unit, time.monotonic)
        self._step.reach(done, total)
        self._show()

    def close(self) -> None:
        """Remove the drawn lines."""
        if self._foot is not None:
            self._foot.close()

    def _show(self) -> None:
        if self._foot is None:
            from diwa_schema.cli.foot import Foot

            self._foot = Foot()
        self._foot.show(self._title, self._step)


def _next(step: Measure | None, label: str, done: int, unit: str, clock: Callable[[], float]) -> Measure:
    """Return the step of a number: the present one if it continues, otherwise a new one."""
    from diwa_schema.cli.measure import Measure

    return step if step is not None and step.goes_on(label, done, unit) else Measure(label, unit, clock)


def _took(milliseconds: int) -> str:
    from diwa_schema.cli.measure import took

    return took(milliseconds)
