"""Work beside a piece of work that lasts longer than most: it begins after a delay, on a thread of its own.

Nearly all pieces of a run end before the delay. A thread for each of them, which only waits for that end, would cost
more than the piece itself. One thread of the process therefore waits for all of them. It wakes only at a delay, never
at an end, and starts a thread only for a piece that is still running.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Self


class Overtime:
    """The work beside a piece of work, which is the block.

    Args:
        delay: The time after which it begins, in seconds.
        work: The work; it ends soon after `over`.
        name: The name of its thread.
    """

    def __init__(self, delay: float, work: Callable[[], None], name: str) -> None:
        self.over = threading.Event()
        self._delay = delay
        self._work = work
        self._name = name
        self._thread: threading.Thread | None = None
        self.due = inf

    def __enter__(self) -> Self:
        self.due = time.monotonic() + self._delay
        _clock.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Start the work; only the clock calls this."""
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Prevent the work, or tell it to end and wait for that; a second call does nothing."""
        self.over.set()
        if not _clock.remove(self) and self._thread is not None:
            self._thread.join()


class _Clock:
    """The thread that begins the work of all blocks that are still running."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: set[Overtime] = set()
        self._wakes = inf
        self._thread: threading.Thread | None = None

    def add(self, one: Overtime) -> None:
        with self._changed:
            self._waiting.add(one)
            if self._thread is None or not self._thread.is_alive():
                self._wakes = inf
                self._thread = threading.Thread(target=self._run, name="diwa-schema-clock", daemon=True)
                self._thread.start()
            elif one.due < self._wakes:
                self._changed.notify()

    def remove(self, one: Overtime) -> bool:
        """Return whether it had not begun."""
        with self._changed:
            if one in self._waiting:
                self._waiting.remove(one)
                return True
        return False

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for one in [one for one in self._waiting if one.due <= now]:
                    self._waiting.remove(one)
                    one.begin()
                self._wakes = min((one.due for one in self._waiting), default=inf)
                self._changed.wait(None if self._wakes == inf else self._wakes - time.monotonic())


_clock = _Clock()


def _afresh() -> None:
    global _clock  # noqa: PLW0603 - a forked process has the memory of this thread, and not the thread
    _clock = _Clock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_afresh)
