"""Upgrading a fleet to a revision: the pending work, its stages, and a check for remaining targets.

A contract revision breaks code that works with the schema before it. The upgrade therefore has a stage before each
contract revision: all targets reach that stage first. The contract revision begins only when the whole fleet is there
and no connected application would break.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from diwa_schema.errors import DatabaseRefused, DiwaSchemaError
from diwa_schema.fleet import census
from diwa_schema.fleet.course import Course
from diwa_schema.fleet.digest import every
from diwa_schema.fleet.report import FleetReport, Result, compared, known
from diwa_schema.migrations.manifest import load
from diwa_schema.run import integrity
from diwa_schema.run.verbs.migrate import wanted

if TYPE_CHECKING:
    from diwa_schema.fleet.census import Found
    from diwa_schema.fleet.fleet import Fleet
    from diwa_schema.fleet.schedule import Schedule
    from diwa_schema.fleet.work import Orders

_ROUNDS = 20  # for tenants that are created during the last upgrades
_SHOWN = 5


class Upgrade:
    """One upgrade of a fleet.

    Args:
        fleet: The fleet.
        orders: The operation for each target, without the revision.
        goal: The target revision.
        schedule: The order and the limits of the work.
    """

    def __init__(self, fleet: Fleet, orders: Orders, goal: str, schedule: Schedule) -> None:
        self._fleet = fleet
        self._orders = orders
        self._goal = goal
        self._schedule = schedule
        self._history = load()

    def run(self) -> FleetReport:
        """Upgrade all targets, including those created meanwhile, and compare their shapes."""
        everywhere, notes = self._fleet.census()
        course = Course(self._fleet, "upgrade", self._schedule, notes)
        with course:
            course.count(self._fleet.chosen(everywhere))
            for number in range(_ROUNDS):
                before = len(course.open)
                course.settle(self._settled(course))
                if not course.open:
                    break
                self._stages(course, everywhere)
                if course.stopped or (number and before == len(course.open)):
                    break
                everywhere, _ = self._fleet.census(again=True)
                _forget_dropped(course, everywhere)
                seen = _keys(course.found)
                course.count([one for one in self._fleet.chosen(everywhere) if seen.isdisjoint(one.keys)])
            self._verify(course)
        report = course.report()
        outcomes, differences = compared(report.outcomes)
        return report._replace(outcomes=tuple(outcomes), notes=(*report.notes, *differences))

    def _verify(self, course: Course) -> None:
        """Add the fingerprints of the changed targets to their outcomes; read together, each costs a fifth."""
        changed = {
            number: found
            for number, found in enumerate(course.found)
            if (outcome := course.outcomes.get(number)) is not None
            and outcome.result is Result.DONE
            and outcome.after == self._history.head
        }
        digests = every(changed.values(), self._schedule)
        for number, found in changed.items():
            outcome, read = course.outcomes[number], digests[found.identity]
            course.outcomes[number] = (
                outcome._replace(digest=read)
                if isinstance(read, str)
                else outcome._replace(detail=f"The catalog could not be read after the run: {read.what}")
            )

    def _settled(self, course: Course) -> _Settled:
        open_ = [course.found[number] for number in course.open]
        return _Settled(
            open_, self._goal, bypassed=bool(self._orders.verdict and self._orders.verdict.bypass)
        )

    def _stages(self, course: Course, everywhere: list[Found]) -> None:
        stages = list(self._cuts(course))
        for number, stage in enumerate(stages):
            if number and (why := self._held(course, everywhere, stages[number - 1], stage)):
                for at in course.open:
                    held = course.partial.get(at) or known(course.found[at])
                    course.end(
                        at,
                        held._replace(
                            result=Result.HELD, exit_code=DatabaseRefused.exit_code, detail=why, revisions=()
                        ),
                    )
                return
            last = number == len(stages) - 1

            def due(at: int, stage: str = stage, *, last: bool = last) -> bool:
                state = course.found[at].state
                # An empty target gets the goal directly: nobody works with it yet.
                return last or state is None or not (state.untouched or self._there(course, at, stage))

            course.work(self._orders._replace(revision=stage), due, more=not last)
            if course.stopped:
                return

    def _cuts(self, course: Course) -> Iterator[str]:
        """Yield the stages in order: the revision before each contract revision, and the goal."""
        states = [course.found[number].state for number in course.open]
        known_ = [
            self._history.position(state.revision)
            for state in states
            if state is not None
            and not state.untouched
            and (state.revision is None or state.revision in self._history)
        ]
        goal = self._history.position(self._goal if self._goal in self._history else None)
        for position in range(min(known_, default=goal), goal):
            step = self._history.revisions[position]
            if step.phase == "contract" and step.down_revision is not None:
                yield step.down_revision
        yield self._goal

    def _there(self, course: Course, number: int, stage: str) -> bool:
        """Return whether a target is at a revision or beyond it."""
        outcome = course.outcomes.get(number) or course.partial.get(number) or known(course.found[number])
        return _position(outcome.after) >= self._history.position(stage)

    def _held(self, course: Course, everywhere: list[Found], before: str, after: str) -> str:
        """Return the reason why a contract revision cannot begin; empty if it can."""
        worked = {key: number for number, one in enumerate(course.found) for key in one.keys}
        behind = [
            one.member.label
            for one in everywhere
            if not (one.state is not None and one.state.untouched)
            and not (
                self._there(course, number, before)
                if (number := next((worked[key] for key in one.keys if key in worked), None)) is not None
                else _position(known(one).after) >= self._history.position(before)
            )
        ]
        step = self._history.between(before, after)[0]
        if behind:
            more = f" and {len(behind) - _SHOWN} more" if len(behind) > _SHOWN else ""
            return (
                f"Revision {step.revision} ({step.slug}) breaks code of earlier revisions, and waits for"
                f" {', '.join(behind[:_SHOWN])}{more} to be at {before}."
            )
        return self._outdated(course, everywhere, before, after)

    def _outdated(self, course: Course, everywhere: list[Found], before: str, after: str) -> str:
        from diwa_schema.api.opening import reading
        from diwa_schema.database.releases import UNSEEN
        from diwa_schema.run.plan import Plan
        from diwa_schema.run.preflight import outdated

        plan = Plan("upgrade", before, after, self._history.between(before, after))
        for one in {one.place.identity: one for one in everywhere if one.place is not None}.values():
            try:
                with reading(one.member.url, None) as link:
                    # Starts are noted in each schema, and the schema's own run checks them.
                    found = outdated(plan, link, "", timedelta(0))
            except DiwaSchemaError as error:
                return f"The connections of {one.member.shown} could not be read: {error.what}"
            if found is None:
                course.notes.append(f"{one.member.shown}: {UNSEEN}")
            elif found:
                return f"{one.member.shown}: {found[0]}"
        return ""


class _Settled:
    """The check whether a target needs no work, by the rules of a single run.

    If one of these rules would refuse the target, a run handles it and raises the exact error.
    """

    def __init__(self, found: list[Found], goal: str, *, bypassed: bool) -> None:
        self._goal = goal
        self._bypassed = bypassed
        self._suspect: set[census.Identity] = set()
        checksums = integrity.installed(load())
        by_database: dict[census.Identity, list[Found]] = defaultdict(list)
        for one in found:
            if one.place is not None and self._nothing(one):
                by_database[one.place.identity].append(one)
        for group in by_database.values():
            try:
                self._suspect |= census.tampered(group, checksums)
            except DiwaSchemaError:
                self._suspect |= {one.identity for one in group}

    def __call__(self, found: Found) -> bool:
        return self._nothing(found) and found.identity not in self._suspect

    def _nothing(self, found: Found) -> bool:
        state, target = found.state, found.member.target
        if state is None or target.dialect == "sqlite" or (state.protected and self._bypassed):
            return False
        try:
            return not wanted(state, self._goal, target.shown).revisions
        except DiwaSchemaError:
            return False


def _keys(found: list[Found]) -> set[census.Identity]:
    return {key for one in found for key in one.keys}


def _forget_dropped(course: Course, everywhere: list[Found]) -> None:
    """Count a failed target as finished if a complete search does not find it any more."""
    if any(one.member.error for one in everywhere):
        return
    there = _keys(everywhere)
    for number, outcome in course.outcomes.items():
        found = course.found[number]
        if outcome.result is Result.FAILED and found.place is not None and there.isdisjoint(found.keys):
            detail = "It was dropped during the run."
            course.outcomes[number] = outcome._replace(
                result=Result.NOTHING, exit_code=0, detail=detail, error=None
            )


def _position(revision: str | None) -> int:
    history = load()
    # An unknown revision is ahead of all known ones, or belongs to another tool; no stage waits for it.
    return history.position(revision) if revision is None or revision in history else len(history.ids)
