"""The end of a run by somebody outside: Ctrl-C, or a signal of the system.

A run says where it is (`at`), so that the message of an interruption tells what has really happened: nothing, a step
that was rolled back, or a complete change.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from diwa_schema.errors import NOTHING_CHANGED, RESUMES, ROLLED_BACK, command

_LEFT = "diwa_schema_left"
_SIGNALLED = 128  # plus the number of a signal is the exit code of a process that it ended

AGAIN = "Run the command again."
PARTS_STAY = "The finished parts stay, and the same command finishes the work."


class Moment(NamedTuple):
    """A point of a run at which an interruption may come.

    Args:
        during: The activity, as a phrase of time; it follows "Interrupted".
        untouched: The effect of an interruption at that point.
        next_step: The next step after it.
    """

    during: str
    untouched: str
    next_step: str


# The present point of the last run in this context; None before the first one.
MOMENT: ContextVar[Moment | None] = ContextVar("diwa_schema_moment", default=None)


def at(during: str, untouched: str = NOTHING_CHANGED, next_step: str = AGAIN) -> None:
    """Say where a run is from now on; see `Moment`."""
    MOMENT.set(Moment(during, untouched, next_step))


def at_waiting(line: str) -> None:
    """Say that a run waits for another one, in the words of its progress: ``waiting for the migration lock, …``."""
    at(
        f"while {line}",
        next_step=f"Let that run end, then run the command again. To see it, run: {command('status')}",
    )


def at_work(during: str = "in its work") -> None:
    """Say that a run works in pieces."""
    at(during, ROLLED_BACK, RESUMES)


def at_commit(what: str) -> None:
    """Say that a run commits something, named with its verb: only the database knows the result of an interruption."""
    at(
        f"during a commit; {what} either complete or rolled back as a whole",
        "Only the database knows which.",
        f"Run: {command('status')}",
    )


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
    """Say what an interruption of the block leaves, and the next step, whatever runs inside the block say."""
    try:
        yield
    except KeyboardInterrupt as error:
        vars(error)[_LEFT] = Moment("", untouched, next_step)
        raise


def as_dict(error: KeyboardInterrupt, *, changing: bool) -> dict[str, Any]:
    """Return an interruption as a document, with the parts of every other error.

    Args:
        error: The interruption.
        changing: Whether the command changes a database; otherwise its runs are on databases of its own.
    """
    run = MOMENT.get() if changing else None
    # A command without a run has changed no database, whatever else it writes.
    moment = vars(error).get(_LEFT) or run or Moment("", "No database was changed.", AGAIN)
    return {
        "error": type(error).__name__,
        "exit_code": exit_code(error),
        "what": f"Interrupted{error}{f' {moment.during}' if moment.during else ''}.",
        "untouched": moment.untouched,
        "next_step": moment.next_step,
    }
