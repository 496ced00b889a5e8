"""The last lines of a terminal, redrawn while a command works. rich is loaded when the first line is drawn."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from diwa_schema.cli.measure import lasting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from diwa_schema.cli.measure import Measure

_A_SECOND = 4
_SHORTEST_BAR, _LONGEST_BAR = 8, 40
_INDENT = 2


def drawable() -> bool:
    """Return whether stderr is a terminal that can redraw lines: a log of CI keeps every line."""
    return (
        sys.stderr.isatty()
        and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
        and os.environ.get("CI", "").lower() in ("", "0", "false")
    )


class Foot:
    """A title with its time and, below it, the progress of a step; other lines are printed above them.

    A bar is drawn only if the total is known.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._title = ""
        self._began = time.monotonic()
        self._measure: Measure | None = None
        self._live = Live(
            console=Console(stderr=True),
            get_renderable=self._drawn,
            refresh_per_second=_A_SECOND,
            transient=True,
        )
        self._live.start()

    def show(self, title: str, measure: Measure | None = None) -> None:
        """Show a title and the progress of its step; the time begins with each new title."""
        if title != self._title:
            self._title, self._began = title, time.monotonic()
        self._measure = measure

    def say(self, line: str) -> None:
        """Print a line above."""
        from diwa_schema.terminal import fitted

        with suppress(OSError, ValueError):
            self._live.console.print(fitted(line, sys.stderr), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the lines."""
        with suppress(OSError, ValueError):
            self._live.stop()

    def _drawn(self) -> RenderableType:
        from rich.console import Group

        # Both are replaced by other threads.
        title, measure = self._title, self._measure
        lines = [_line(f"{title}  {lasting(time.monotonic() - self._began)}")]
        if measure is not None and measure.label:
            lines.append(_line(" " * _INDENT + measure.label))
        if measure is not None:
            lines += _counted(measure, self._live.console.width)
        return Group(*lines)


def _line(text: str) -> RenderableType:
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def _counted(measure: Measure, width: int) -> list[RenderableType]:
    from rich.columns import Columns
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar

    words = str(measure)
    if not words:
        return []
    room = width - _INDENT - len(words) - 2
    if measure.total is None or room < _SHORTEST_BAR:
        return [_line(" " * _INDENT + words)]
    bar = ProgressBar(measure.total, measure.done, width=min(room, _LONGEST_BAR))
    return [Padding(Columns([bar, _line(words)], padding=(0, 1)), (0, 0, 0, _INDENT))]
