"""How a run's progress is shown: a live bar on a terminal, plain lines otherwise, always on stderr.

A run goes on where nobody can read about it: a closed pipe, a full disk or a terminal that is gone never ends one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from diwa_schema.cli import options

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from diwa_schema.run.settings import Progress

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 1.0


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
    if quiet or not sys.stderr.isatty():
        yield Lines(quiet=quiet)
        return
    live = Live()
    try:
        yield live
    finally:
        live.close()


def _write(line: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class Lines:
    """One line for each event.

    Args:
        quiet: Whether the lines of single revisions are left out.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._position = ""
        self._next_step = 0.0

    def say(self, line: str) -> None:
        """Print a line."""
        _write(line)

    def revision(self, name: str, number: int, total: int) -> None:
        """Remember which revision runs."""
        self._position = f"[{number}/{total}] {name}"

    def done(self, name: str, milliseconds: int) -> None:  # noqa: ARG002 - the position has the name
        """Print the revision that is applied."""
        if not self._quiet:
            self.say(f"{self._position}  {milliseconds} ms")

    def step(self, label: str, done: int, total: int) -> None:
        """Print how far a step is, at most once a second."""
        if not self._quiet and (time.monotonic() >= self._next_step or done >= total):
            self._next_step = time.monotonic() + _SECONDS_BETWEEN_LINES
            self.say(f"{self._position}  {label}: {done} of {total}")


class Live:
    """A bar that is drawn from the first revision on; without one, rich is not loaded."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._revisions: int = 0
        self._rows: int | None = None

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            _write(line)
        else:
            with suppress(OSError, ValueError):
                self._bar.console.print(line, markup=False, highlight=False)

    def revision(self, name: str, number: int, total: int) -> None:
        """Move the bar to a revision."""
        bar = self._started(total)
        bar.update(bar.task_ids[0], completed=number - 1, description=name)

    def done(self, name: str, milliseconds: int) -> None:
        """Advance the bar and leave a line behind."""
        if self._bar is None:
            return
        self.say(f"{name}  {milliseconds} ms")
        self._bar.advance(self._bar.task_ids[0])
        if self._rows is not None:
            self._bar.remove_task(self._bar.task_ids[-1])
            self._rows = None

    def step(self, label: str, done: int, total: int) -> None:
        """Show how far a step is on a bar of its own."""
        bar = self._started(1)
        if self._rows is None:
            self._rows = bar.add_task(label, total=total)
        bar.update(bar.task_ids[-1], completed=done, total=total, description=label)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.stop()

    def _started(self, total: int) -> Bar:
        if self._bar is None:
            self._bar = bar()
            self._bar.add_task("", total=total)
            self._bar.start()
        return self._bar


def bar() -> Bar:
    """Return a bar on stderr that is not drawn yet."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
