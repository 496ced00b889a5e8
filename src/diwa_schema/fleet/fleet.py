"""A fleet and its operations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from diwa_schema import guard
from diwa_schema.errors import DiwaSchemaError, UsageError, command
from diwa_schema.fleet import census
from diwa_schema.fleet.report import FleetReport, Outcome, Result, compared, known, standing
from diwa_schema.fleet.schedule import Schedule
from diwa_schema.fleet.targets import Member, Source, naming, sources_of
from diwa_schema.migrations import pgvector
from diwa_schema.migrations.manifest import load
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.fleet.census import Found
    from diwa_schema.fleet.unfinished import Unfinished
    from diwa_schema.fleet.work import Orders
    from diwa_schema.run.settings import Settings

Ended = Callable[[Outcome, int, int], None]


class Fleet:
    """A set of targets; no connection is opened before a method is called.

    Methods that change or compare targets work in separate processes, which do not run the calling script again.

    Args:
        targets: The sources of targets: `Schemas`, `Databases`, `listed(...)`, `Member`s or URLs, in the order of the
            work. A target that is named twice counts once, with the first name and the first wave that it has.
        only: Patterns with ``*`` and ``?``: a target is included only if its name, schema or masked URL matches one of
            them.
        among: The unfinished targets of an earlier run, as `unfinished.unfinished` reads them from its report.
        ended: A callback in this process for each outcome, with the number of finished targets and the number of all
            targets.
        said: A callback for the messages of a run, prefixed with the name of the target.
    """

    def __init__(
        self,
        *targets: Source | Member | str,
        only: Sequence[str] = (),
        among: Unfinished | None = None,
        ended: Ended | None = None,
        said: Callable[[str], None] | None = None,
    ) -> None:
        self._sources = tuple(sources_of(targets))
        self._only = tuple(only)
        self._among = among
        self.ended = ended or (lambda *_: None)
        self.said = said or (lambda _: None)

    def members(self, *, again: bool = False) -> list[Member]:
        """Return all targets of the sources; a target that is named twice in the same words appears once.

        Args:
            again: Whether the sources were searched before. A source without targets then has none any more, and one
                that cannot be searched becomes a member with this error.

        Raises:
            UsageError: A pattern matches nothing.
            DatabaseUnreachable: The only server to search cannot be reached.
        """
        found: dict[tuple[str, str], Member] = {}
        for source in self._sources:
            try:
                members = source.find()
            except UsageError:
                if not again:
                    raise
                members = []
            except DiwaSchemaError as error:
                if len(self._sources) == 1 and not again:
                    raise
                members = [Member(source.url, error=error)]
            for member in members:
                found[member.key] = found[member.key].joined(member) if member.key in found else member
        return list(found.values())

    def census(self, *, again: bool = False) -> tuple[list[Found], list[str]]:
        """Return the state of all targets, and notes on second names, missing counterparts and endangered embeddings.

        Args:
            again: As for `members`.

        Raises:
            DiwaSchemaError: As for `members`. A problem with one target is part of its result.
        """
        notes: list[str] = []
        kept: dict[census.Identity, Found] = {}
        for one in census.take(self.members(again=again)):
            first = kept.setdefault(one.identity, one)
            if first is not one:
                kept[one.identity] = first._replace(member=first.member.joined(one.member))
                notes.append(
                    f"{one.member.shown} is the same target as {first.member.shown}, which stands for both."
                )
        found = list(kept.values())
        return found, [*notes, *(self._among.notes(found) if self._among else ()), *_endangered(found)]

    def chosen(self, found: Iterable[Found]) -> list[Found]:
        """Return the targets that `only` and `among` select.

        Raises:
            UsageError: `only` selects none.
        """
        found = list(found)
        kept = [one for one in found if not self._only or _matches(one.member, self._only)]
        if self._only and not kept:
            raise UsageError(
                f"None of {amount(len(found), 'target')} matches {' or '.join(map(repr, self._only))}.",
                next_step="Name targets by their name or schema: --only 'tenant_1*'",
            )
        return kept if self._among is None else self._among.of(kept)

    def status(self) -> FleetReport:
        """Report the state of every target, with a few queries for each database; nothing is written.

        Raises:
            DiwaSchemaError: As for `members`. A problem with one target is part of its outcome.
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
        """Report the effects of an upgrade on every target, and any obstacles; nothing is written.

        Args:
            revision: As for `upgrade`.
            schedule: The number of simultaneous targets.
        """
        from diwa_schema.run.verbs.migrate import wanted

        def settled(one: Found) -> bool:
            try:
                return one.state is not None and not wanted(one.state, revision, one.member.shown).revisions
            except DiwaSchemaError:
                return False  # the plan reports it

        return self._all("plan", schedule, revision=revision, settled=settled)

    def check(self, *, schedule: Schedule | None = None) -> FleetReport:
        """Report the targets that differ from the expected schema at their revision; nothing is written.

        Args:
            schedule: The number of simultaneous targets.
        """
        return self._all("check", schedule)

    def digest(self, *, schedule: Schedule | None = None) -> FleetReport:
        """Report the schema fingerprint of every target, and the targets that differ from the majority.

        Args:
            schedule: The number of simultaneous targets.
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
        """Upgrade every target to a revision; each is changed as by `diwa_schema.migrate`.

        A few queries for each database read the state of its targets, so a target without pending work costs no
        connection. A contract revision begins only when every target of the fleet, regardless of `only`, has all
        earlier revisions, and no connected application would break. Targets that are created meanwhile are also counted
        and upgraded.

        Args:
            revision: ``head``, or a revision id or its beginning.
            schedule: The order, the number of simultaneous targets, and the stop condition.
            repo: As for `diwa_schema.migrate`; the guard is asked once, before any connection.
            allow_core_migration: As for `diwa_schema.migrate`.
            renew: As for `diwa_schema.migrate`.
            settings: The timeouts and safety limits of each run.

        Returns:
            The outcome of every target. A failure does not prevent the work on other targets.

        Raises:
            Blocked: The guard refused; no connection was opened.
            UsageError: A pattern matches nothing, or the revision cannot be reached by all targets.
            Interrupted: Somebody interrupted the fleet; its report contains the finished work.
        """
        from diwa_schema.fleet.upgrade import Upgrade

        if revision.startswith(("+", "-")):
            raise UsageError(
                f"'{revision}' would lead each target to another revision.",
                next_step="Name one revision for all targets, or head.",
            )
        goal = load().resolve(revision, None)
        if goal is None:
            raise UsageError(
                f"An upgrade leads upward only, and '{revision}' is below every revision.",
                next_step="Name a revision, or head. To go back, run diwa-schema downgrade for each target.",
            )
        verdict = guard.ask(guard.Operation.UPGRADE, repo=repo, allow_core_migration=allow_core_migration)
        orders = _orders("upgrade", verdict=verdict, renew=renew, settings=settings)
        return Upgrade(self, orders, goal, schedule or Schedule()).run()

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
        """Take over every target that Ecto migrated, as `diwa_schema.adopt` does; other targets need no work.

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
        """Run an operation on every target that is not yet settled."""
        from diwa_schema.fleet.course import Course

        everywhere, notes = self.census()
        course = Course(self, verb, schedule or Schedule(), notes)
        with course:
            course.count(self.chosen(everywhere))
            course.settle(settled)
            course.work(orders or _orders(verb, revision=revision))
        return course.report()


def _endangered(found: Iterable[Found]) -> Iterator[str]:
    """Yield a note for each database in which the drop of one target would drop the embeddings of others."""
    places = {one.place.identity: (one.member, one.place.lodging) for one in found if one.place}
    for member, schema in places.values():
        if schema is not None:
            with naming(member):
                yield (
                    f"{member.target.url.shown}: {pgvector.lodged(schema)}. For the statements that move it, run:"
                    f" {command('check')}"
                )


def _orders(verb: str, **more: object) -> Orders:
    from diwa_schema.fleet.work import Orders

    return Orders(verb, **more)  # type: ignore[arg-type]


def _matches(member: Member, patterns: Sequence[str]) -> bool:
    names = [name for name in (member.name, member.schema, member.shown) if name]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
