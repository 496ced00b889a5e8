"""The processes of a fleet: each starts once, works on one target after the other, and ends like a single run.

The fleet uses processes because Alembic's `op` is global to a process, and because two processes use two processors.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from diwa_schema.errors import NOTHING_CHANGED, ROLLED_BACK, MigrationFailed, command
from diwa_schema.fleet.report import Outcome
from diwa_schema.fleet.targets import naming
from diwa_schema.fleet.work import MODULES, Task, serve

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess

_PATIENCE = 60.0  # seconds for an interrupted run to roll back
_LOOK = 0.5  # seconds between two checks for a stop during a wait

Said = Callable[[Task, str], None]


class Hand(NamedTuple):
    """One process and its current task.

    Args:
        process: The process.
        link: The connection to it.
        task: Its current task.
        ready: Whether it has started completely.
    """

    process: BaseProcess
    link: Connection
    task: Task | None = None
    ready: bool = False


class Crew:
    """The processes of one run. Entering starts none: each process starts with the first task that needs it.

    Args:
        size: The maximum number of processes.
        said: The receiver of a run's messages.
    """

    def __init__(self, size: int, said: Said) -> None:
        self._size = size
        self._said = said
        self._hands: dict[Connection, Hand] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Release idle processes and stop the others."""
        for hand in self._hands.values():
            hand.link.close()  # a process that waits for a task ends with the connection
        for hand in self._hands.values():
            hand.process.join(_PATIENCE if hand.task is None else 0.1)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
        self._hands.clear()

    @property
    def room(self) -> bool:
        """Whether a process is free for a task."""
        return len(self.busy) < self._size

    @property
    def busy(self) -> list[Task]:
        """The running tasks."""
        return [hand.task for hand in self._hands.values() if hand.task is not None]

    def hand_out(self, task: Task) -> None:
        """Let a free process begin a task; `room` must be true."""
        link = next((link for link, hand in self._hands.items() if hand.task is None), None)
        if link is None:
            link = self._started()
        try:
            link.send(task)
        except OSError:  # it ended while it was idle
            self._forget(link)
            link = self._started()
            link.send(task)
        self._hands[link] = self._hands[link]._replace(task=task)

    def ended(self) -> list[tuple[Task, Outcome]]:
        """Wait until at least one task has ended, and return the ended tasks; after a short time, return none."""
        found = []
        for link in wait([link for link, hand in self._hands.items() if hand.task is not None], _LOOK):
            hand = self._hands[link]  # type: ignore[index]  # only connections are in the list
            assert hand.task is not None  # noqa: S101 - only busy processes are in the list
            try:
                message: tuple[Any, ...] = hand.link.recv()
            except (EOFError, OSError):
                found.append((hand.task, self._lost(hand)))
                self._forget(hand.link)
                continue
            if message[0] == "said":
                self._said(hand.task, message[2])
            elif message[0] == "ended":
                found.append((hand.task, message[2]))
                self._hands[hand.link] = hand._replace(task=None)
            else:
                self._hands[hand.link] = hand._replace(ready=True)
        return found

    def stop(self, number: int) -> list[tuple[Task, Outcome]]:
        """Interrupt the task of every process as in a single run, and return the outcomes.

        A further interruption ends the wait for them; `busy` then has the tasks without an outcome.

        Args:
            number: The signal that a single run would have received.
        """
        for hand in self._hands.values():
            if hand.task is not None and hand.process.pid is not None and hand.process.is_alive():
                _interrupt(hand.process, number)
        found: list[tuple[Task, Outcome]] = []
        deadline = time.monotonic() + _PATIENCE
        with suppress(KeyboardInterrupt):
            while self.busy and time.monotonic() < deadline:
                found += self.ended()
        return found

    def _started(self) -> Connection:
        context = _context()
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs,), daemon=True)  # type: ignore[attr-defined]
        with _without_main():
            process.start()
        theirs.close()
        self._hands[ours] = Hand(process, ours)
        return ours

    def _forget(self, link: Connection) -> None:
        hand = self._hands.pop(link)
        hand.link.close()
        hand.process.join(_PATIENCE)

    def _lost(self, hand: Hand) -> Outcome:
        """Describe a process that ended without a report, for example because the system killed it."""
        hand.process.join(_PATIENCE)
        assert hand.task is not None  # noqa: S101 - it was busy
        code = hand.process.exitcode
        how = f" by signal {-code}" if code and code < 0 else ""
        with naming(hand.task.member):
            return hand.task.known.broken(
                MigrationFailed(
                    f"The process of this target ended{how}{'' if hand.ready else ' before its work began'}.",
                    untouched=ROLLED_BACK if hand.ready else NOTHING_CHANGED,
                    next_step=f"To see its state, run: {command('status')}. Then run the command again.",
                )
            )


_STARTING = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process in the block that does not run the main module of this one again.

    `multiprocessing` repeats the main module in each process, for functions that are defined there. A script that calls
    a fleet without asking for its own name would call it again, and a script from standard input cannot be repeated.
    The work of a fleet needs nothing from it.
    """
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _interrupt(process: BaseProcess, number: int) -> None:
    if process.pid is None:
        return
    try:
        os.kill(process.pid, number)
    except OSError:
        return  # it has just ended


def _context() -> BaseContext:
    """Return the start method of processes: from a process that has loaded everything, if the system supports it."""
    if "forkserver" not in mp.get_all_start_methods():
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(list(MODULES))
    return context
