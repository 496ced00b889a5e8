"""A signal of the system ends a command like Ctrl-C: a run rolls back, and the ledger records the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from diwa_schema.run.interruption import Terminated

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


def _raise(number: int, _: FrameType | None) -> NoReturn:
    raise Terminated(number)
