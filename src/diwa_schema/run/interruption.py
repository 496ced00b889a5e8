"""The end of a run by somebody outside: Ctrl-C, or a signal of the system."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diwa_schema.errors import NOTHING_CHANGED, ROLLED_BACK

_SIGNALLED = 128  # plus the number of a signal is the exit code of a process that it ended


class Terminated(KeyboardInterrupt):
    """A signal that asks the process to end. The driver cancels a running statement for it, as it does for Ctrl-C.

    Args:
        number: The signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f" by {signal.Signals(number).name}")
        self.number = number
        self.exit_code = _SIGNALLED + number


def interruption(number: int) -> KeyboardInterrupt:
    """Return the exception for a signal."""
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)


def exit_code(error: BaseException) -> int:
    """Return the exit code of an interrupted command."""
    return int(getattr(error, "exit_code", _SIGNALLED + signal.SIGINT))


def signal_of(error: BaseException) -> int:
    """Return the number of the signal that ends others in the same way: SIGINT for Ctrl-C, and for an error."""
    return error.number if isinstance(error, Terminated) else signal.SIGINT


def cause_of(error: BaseException) -> str:
    """Return the cause of an end as the ledger records it: the name of the signal, or the class of the error."""
    return signal.Signals(error.number).name if isinstance(error, Terminated) else type(error).__name__


@contextmanager
def leaving(untouched: str, next_step: str) -> Iterator[None]:
    """Say what an interruption of the block leaves, and the next step."""
    try:
        yield
    except KeyboardInterrupt as error:
        vars(error).update(untouched=untouched, next_step=next_step)
        raise


def as_dict(error: KeyboardInterrupt, *, changing: bool) -> dict[str, Any]:
    """Return an interruption as a document, with the parts of every other error.

    Args:
        error: The interruption.
        changing: Whether the command may have changed something.
    """
    again = "Run the command again"
    left = vars(error)
    return {
        "error": type(error).__name__,
        "exit_code": exit_code(error),
        "what": f"Interrupted{error}.",
        "untouched": left.get("untouched") or (ROLLED_BACK if changing else NOTHING_CHANGED),
        "next_step": left.get("next_step")
        or (f"{again}; it resumes where this run stopped." if changing else f"{again}."),
    }
