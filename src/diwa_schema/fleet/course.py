"""A run of a fleet in progress: open targets, outcomes of the others, and the next target."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Self

from diwa_schema.errors import MigrationFailed
from diwa_schema.fleet.crew import Crew
from diwa_schema.fleet.report import FleetReport, Interrupted, Outcome, Result, known
from diwa_schema.fleet.work import Task
from diwa_schema.names import on_one_line
from diwa_schema.run import interruption
from diwa_schema.run.interruption import exit_code, signal_of

if TYPE_CHECKING:
    from types import TracebackType

    from diwa_schema.fleet.census import Found
    from diwa_schema.fleet.fleet import Fleet
    from diwa_schema.fleet.schedule import Schedule
    from diwa_schema.fleet.work import Orders

_UNTOLD = "Its process was ended before it reported; the server rolls the unfinished step back."


class Course:
    """A run of a fleet. An interruption ends every process like a single run, and raises `Interrupted`.

    Args:
        fleet: The fleet, which receives the outcome of each target.
        verb: The operation, for the report.
        schedule: The order and the limits of the run.
        notes: Notes for the report that are already known.
    """

    def __init__(self, fleet: Fleet, verb: str, schedule: Schedule, notes: Iterable[str] = ()) -> None:
        schedule.refuse_impossible()
        self._fleet = fleet
        self._verb = verb
        self._schedule = schedule
        self._clock = time.monotonic()
        self.notes = list(notes)
        self.found: list[Found] = []
        self.outcomes: dict[int, Outcome] = {}
        self.partial: dict[int, Outcome] = {}
        self.stopped = False
        self._waves: list[list[int]] = []
        self._planned = 1
        self._prepared: set[tuple[str, ...]] = set()
        self._crew = Crew(schedule.processes, self._say)

    def __enter__(self) -> Self:
        interruption.at("during the work on the targets", "The finished targets stay as they are.")
        self._crew.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            stopped = self._crew.stop(signal_of(error)) if error is not None else []
            if isinstance(error, KeyboardInterrupt):
                for task, outcome in stopped:
                    self.end(task.number, outcome)
                for task in self._crew.busy:
                    self.end(
                        task.number,
                        task.known._replace(
                            result=Result.INTERRUPTED, exit_code=exit_code(error), detail=_UNTOLD
                        ),
                    )
        finally:
            self._crew.__exit__(kind, error, trace)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(self.report(), exit_code(error)) from error

    def count(self, found: Collection[Found]) -> None:
        """Add targets; targets of a later call follow those of an earlier one."""
        first = len(self.found)
        self.found += found
        if not self._waves:
            self._planned = max(1, len(self._schedule.cut([one.member for one in found])))
        cut = self._schedule.cut([one.member for one in found])
        self._waves += [[first + at for at in wave] for wave in cut]

    @property
    def open(self) -> list[int]:
        """The targets without an outcome, by their numbers."""
        return [number for number in range(len(self.found)) if number not in self.outcomes]

    def settle(self, settled: Callable[[Found], bool]) -> None:
        """Record the outcome of targets without pending work."""
        for number in self.open:
            if settled(self.found[number]):
                self.end(number, known(self.found[number])._replace(result=Result.NOTHING))

    def end(self, number: int, outcome: Outcome) -> None:
        """Record the outcome of a target and report it."""
        if (earlier := self.partial.pop(number, None)) is not None:
            both = earlier.revisions + outcome.revisions
            result = Result.DONE if outcome.result is Result.NOTHING else outcome.result
            after = outcome.after if outcome.revisions else earlier.after
            outcome = outcome._replace(before=earlier.before, after=after, revisions=both, result=result)
        self.outcomes[number] = outcome
        self._fleet.ended(outcome, len(self.outcomes), len(self.found))

    def work(
        self,
        orders: Orders,
        wanted: Callable[[int], bool] = lambda _: True,
        *,
        more: bool = False,
    ) -> None:
        """Run an operation on the open targets, wave by wave.

        Args:
            orders: The operation.
            wanted: The open targets to work on.
            more: Whether finished targets stay open for further work.
        """
        for number, wave in enumerate(self._waves):
            if self.stopped:
                return
            queue = [at for at in wave if at not in self.outcomes and wanted(at)]
            self._wave(queue, number, orders, more=more)
            failed = self._failed(number)
            self.stopped = failed > 0 and self._schedule.stops(number, self._planned, failed)

    def _failed(self, wave: int) -> int:
        """Return the number of failed targets in the waves up to this one."""
        begun = (at for one in self._waves[: wave + 1] for at in one)
        return sum(at in self.outcomes and self.outcomes[at].result is Result.FAILED for at in begun)

    def _wave(self, queue: list[int], wave: int, orders: Orders, *, more: bool) -> None:
        while queue or self._crew.busy:
            while self._crew.room and not self._schedule.at_once(self._failed(wave)):
                at = next((at for at in queue if self._may_begin(at)), None)
                if at is None:
                    break
                queue.remove(at)
                self._begin(at, wave, orders)
            if not self._crew.busy:
                break  # all targets are finished, or no further one may begin
            for task, outcome in self._crew.ended():
                place = self.found[task.number].place
                if place is not None and outcome.result.settled:
                    self._prepared.add(place.identity)
                if more and outcome.result.settled:
                    self.partial[task.number] = outcome
                else:
                    self.end(task.number, outcome)

    def _begin(self, number: int, wave: int, orders: Orders) -> None:
        found = self.found[number]
        base = known(found)._replace(wave=wave + 1 if self._planned > 1 else None)
        if found.error is not None:
            self.end(number, base.broken(found.error))  # a second attempt would only cost time
        else:
            self._crew.hand_out(Task(number, found.member, orders, base))

    def _may_begin(self, number: int) -> bool:
        place = self.found[number].place
        if place is None:
            return True
        busy = [self.found[task.number].place for task in self._crew.busy]
        hosts = [one.host for one in busy if one is not None]
        if self._schedule.per_host is not None and hosts.count(place.host) >= self._schedule.per_host:
            return False
        # The first change of a database creates its extension: the other targets wait for that change, not for a lock
        # inside the database.
        due = place.extension_due and place.identity not in self._prepared
        return not (due and any(one is not None and one.identity == place.identity for one in busy))

    def report(self) -> FleetReport:
        """Return the outcomes of all targets; a target without an outcome was not begun or not continued."""
        waiting = [
            (self.partial.get(number) or known(one))._replace(
                result=Result.WAITING, exit_code=MigrationFailed.exit_code
            )
            for number, one in enumerate(self.found)
        ]
        outcomes = tuple(self.outcomes.get(number, one) for number, one in enumerate(waiting))
        return FleetReport(self._verb, outcomes, tuple(self.notes), time.monotonic() - self._clock)

    def _say(self, task: Task, line: str) -> None:
        self._fleet.said(f"{on_one_line(task.known.name)}: {line}")
