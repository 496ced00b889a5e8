"""A signal of the system ends a command like Ctrl-C: a run rolls back, and the ledger records the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from diwa_schema.run.interruption import Terminated

# Seconds between two looks at the parent, of which no system tells a child.
_LOOKS = 0.2
_SIGNALS = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Terminated` in the block when a signal would otherwise end the process silently.

    Only the main thread may set the effect of a signal, so other threads change nothing. A signal that the process
    ignores from its start, as under nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler == signal.SIG_DFL:
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_with_its_parent() -> Iterator[None]:
    """End the process like SIGTERM when the program that started it ends in the block.

    mix starts a command in a session of its own, so neither Ctrl-C nor the signal that ends mix reaches it: the run
    would go on, and nobody would see it.
    """
    parent, over = os.getppid(), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOKS):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, name="diwa-schema parent", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _raise(number: int, _: FrameType | None) -> NoReturn:
    raise Terminated(number)
