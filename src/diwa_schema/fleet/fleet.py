"""A fleet, and what can be asked of it or done to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from diwa_schema import guard
from diwa_schema.errors import DiwaSchemaError, UsageError
from diwa_schema.fleet import census
from diwa_schema.fleet.report import FleetReport, Outcome, Result, compared, known, standing
from diwa_schema.fleet.schedule import Schedule
from diwa_schema.fleet.targets import Member, Source, sources_of
from diwa_schema.migrations.manifest import load

if TYPE_CHECKING:
    from diwa_schema.fleet.census import Found
    from diwa_schema.fleet.work import Orders
    from diwa_schema.run.settings import Settings

Ended = Callable[[Outcome, int, int], None]


class Fleet:
    """Many targets. Nothing is connected to before one of its methods is called.

    What changes targets is done in processes of its own, which Python starts anew: a script that calls it needs
    ``if __name__ == "__main__":`` around the call, as with `multiprocessing`.

    Args:
        targets: Where they come from: `Schemas`, `Databases`, `listed(...)`, `Member`s or URLs, in the order in which
            they are worked on. The same target named twice is one target.
        only: Patterns with ``*`` and ``?``: only targets whose name, schema or masked URL matches one of them.
        among: Only these, by masked URL and schema, as `report.unsettled` has read them from an earlier report.
        ended: Called in this process with each outcome, how many targets have one now, and how many there are.
        said: Called with what a run says while it works, its target's name in front.
    """

    def __init__(
        self,
        *targets: Source | Member | str,
        only: Sequence[str] = (),
        among: Collection[tuple[str, str | None]] | None = None,
        ended: Ended | None = None,
        said: Callable[[str], None] | None = None,
    ) -> None:
        self._sources = tuple(sources_of(targets))
        self._only = tuple(only)
        self._among = among
        self.ended = ended or (lambda *_: None)
        self.said = said or (lambda _: None)

    def members(self) -> list[Member]:
        """Return all targets of the sources, each once where it is named twice in the same words.

        Raises:
            UsageError: A pattern matches nothing.
            DatabaseUnreachable: The only server that was to be asked cannot be reached.
        """
        found: dict[tuple[str, str | None], Member] = {}
        for source in self._sources:
            try:
                members = source.find()
            except UsageError:
                raise
            except DiwaSchemaError as error:
                if len(self._sources) == 1:
                    raise
                members = [Member(source.url, error=error)]
            for member in members:
                found.setdefault((member.target.url.driver, member.schema), member)
        return list(found.values())

    def census(self) -> tuple[list[Found], list[str]]:
        """Return where all targets stand, and what is to be said of those that are another one by a second name.

        Raises:
            DiwaSchemaError: As for `members`. What is the matter with one target is told with it.
        """
        notes: list[str] = []
        kept: dict[census.Identity, Found] = {}
        for one in census.take(self.members()):
            first = kept.setdefault(one.identity, one)
            if first is not one:
                notes.append(
                    f"{one.member.full} is the same target as {first.member.full}, which stands for both."
                )
        return list(kept.values()), notes

    def chosen(self, found: Iterable[Found]) -> list[Found]:
        """Return those that `only` and `among` leave.

        Raises:
            UsageError: `only` leaves none.
        """
        found = list(found)
        kept = [one for one in found if not self._only or _matches(one.member, self._only)]
        if self._only and not kept:
            raise UsageError(
                f"None of {len(found)} targets matches {' or '.join(map(repr, self._only))}.",
                next_step="Name targets by their name or schema: --only 'tenant_1*'",
            )
        if self._among is None:
            return kept
        return [one for one in kept if (one.member.shown, one.member.schema) in self._among]

    def status(self) -> FleetReport:
        """Say where every target stands, with a few queries a database; nothing is written.

        Raises:
            DiwaSchemaError: As for `members`. What is the matter with one target is in its outcome.
        """
        clock = time.monotonic()
        everywhere, notes = self.census()
        found = self.chosen(everywhere)
        outcomes = []
        for one in found:
            outcomes.append(standing(one))
            self.ended(outcomes[-1], len(outcomes), len(found))
        return FleetReport("status", tuple(outcomes), tuple(notes), time.monotonic() - clock)

    def plan(self, revision: str = "head", *, schedule: Schedule | None = None) -> FleetReport:
        """Say what an upgrade would do to every target, and what stands in its way; nothing is written.

        Args:
            revision: As for `upgrade`.
            schedule: How many are looked at at once.
        """
        from diwa_schema.run.verbs.migrate import wanted

        def settled(one: Found) -> bool:
            try:
                return one.state is not None and not wanted(one.state, revision, one.member.shown).revisions
            except DiwaSchemaError:
                return False  # the plan says it

        return self._all("plan", schedule, revision=revision, settled=settled)

    def check(self, *, schedule: Schedule | None = None) -> FleetReport:
        """Say which targets differ from what is expected at their revision; nothing is written.

        Args:
            schedule: How many are looked at at once.
        """
        return self._all("check", schedule)

    def digest(self, *, schedule: Schedule | None = None) -> FleetReport:
        """Say the fingerprint of what every target looks like, and which have another one than most.

        Args:
            schedule: How many are looked at at once.
        """
        from diwa_schema.fleet.course import Course
        from diwa_schema.fleet.digest import together

        schedule = schedule or Schedule()
        everywhere, notes = self.census()
        course = Course(self, "digest", schedule, notes)
        with course:
            course.count(self.chosen(everywhere))
            digests = together(course.found, schedule)
            for number, one in enumerate(course.found):
                if digest := digests.get(one.identity):
                    course.end(number, known(one)._replace(result=Result.DONE, digest=digest))
            course.work(_orders("digest"))
        report = course.report()
        outcomes, differences = compared(report.outcomes)
        return report._replace(outcomes=tuple(outcomes), notes=(*report.notes, *differences))

    def upgrade(
        self,
        revision: str = "head",
        *,
        schedule: Schedule | None = None,
        repo: str | None = None,
        allow_core_migration: bool | None = None,
        renew: str | None = None,
        settings: Settings | None = None,
    ) -> FleetReport:
        """Bring every target up to a revision. Each is changed as `diwa_schema.migrate` changes one.

        Where a target stands is told by a few queries a database: what has nothing to do costs no connection. A
        contract revision is begun when every target of the fleet has what comes before it, `only` or not, and nobody
        is connected that it would break. Targets that were made meanwhile are counted, and brought up too.

        Args:
            revision: ``head``, or a revision id or its beginning.
            schedule: The order, how many at once, and when to stop.
            repo: As for `diwa_schema.migrate`; the guard is asked once, before anything is connected to.
            allow_core_migration: As for `diwa_schema.migrate`.
            renew: As for `diwa_schema.migrate`.
            settings: How patient and careful each run is.

        Returns:
            What became of every target. A failed one has kept no other from being done.

        Raises:
            Blocked: The guard refused; nothing was connected to.
            UsageError: A pattern matches nothing, or the revision is not one that all can be brought to.
            Interrupted: Somebody ended the fleet; what was done is in its report.
        """
        from diwa_schema.fleet.upgrade import Upgrade

        if revision.startswith(("+", "-")):
            raise UsageError(
                f"'{revision}' would lead each target to another revision.",
                next_step="Name one revision for all targets, or head.",
            )
        goal = load().resolve(revision, None)
        verdict = guard.ask(guard.Operation.UPGRADE, repo=repo, allow_core_migration=allow_core_migration)
        orders = _orders("upgrade", verdict=verdict, renew=renew, settings=settings)
        return Upgrade(self, orders, goal or "base", schedule or Schedule()).run()

    def adopt(
        self,
        *,
        fix: bool = False,
        schedule: Schedule | None = None,
        repo: str | None = None,
        allow_core_migration: bool | None = None,
        renew: str | None = None,
        settings: Settings | None = None,
    ) -> FleetReport:
        """Take over every target that Ecto migrated, as `diwa_schema.adopt` does one; the others have nothing to do.

        Args:
            fix: As for `diwa_schema.adopt`.
            schedule: As for `upgrade`.
            repo: As for `upgrade`.
            allow_core_migration: As for `upgrade`.
            renew: As for `upgrade`.
            settings: As for `upgrade`.

        Raises:
            DiwaSchemaError: As for `upgrade`.
        """
        verdict = guard.ask(guard.Operation.ADOPT, repo=repo, allow_core_migration=allow_core_migration)
        orders = _orders("adopt", verdict=verdict, renew=renew, settings=settings, fix=fix)

        def settled(one: Found) -> bool:
            return standing(one).result in (Result.CURRENT, Result.BEHIND) and bool(
                one.state and one.state.revision
            )

        return self._all("adopt", schedule, orders=orders, settled=settled)

    def _all(
        self,
        verb: str,
        schedule: Schedule | None,
        *,
        revision: str = "head",
        orders: Orders | None = None,
        settled: Callable[[Found], bool] = lambda _: False,
    ) -> FleetReport:
        """Do one thing with every target that is not settled already."""
        from diwa_schema.fleet.course import Course

        everywhere, notes = self.census()
        course = Course(self, verb, schedule or Schedule(), notes)
        with course:
            course.count(self.chosen(everywhere))
            course.settle(settled)
            course.work(orders or _orders(verb, revision=revision))
        return course.report()


def _orders(verb: str, **more: object) -> Orders:
    from diwa_schema.fleet.work import Orders

    return Orders(verb, **more)  # type: ignore[arg-type]


def _matches(member: Member, patterns: Sequence[str]) -> bool:
    names = [name for name in (member.name, member.schema, member.shown) if name]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
