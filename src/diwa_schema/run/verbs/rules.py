"""Adding the waiting rules about rows that no row breaks any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.drift.rules import Waiting, named, waiting
from diwa_schema.errors import UsageError, command
from diwa_schema.migrations.steps.rules import keep
from diwa_schema.models.rule import Rule
from diwa_schema.models.rules import KEPT
from diwa_schema.run.session import Look, Session, Verb, Written
from diwa_schema.run.settings import Report
from diwa_schema.run.verbs.convert import refuse_other_than_head

if TYPE_CHECKING:
    from diwa_schema.run.change import Change


class Validation(NamedTuple):
    """The result of `validate`.

    Args:
        report: The report of the run; its kind is "nothing" if no rule could be added.
        added: The names of the rules that the database enforces from now on.
        waiting: All rules that still wait, with the number of rows that break each.
        asked: The names of the rules that the call was about.
    """

    report: Report
    added: tuple[str, ...]
    waiting: tuple[Waiting, ...]
    asked: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether the database enforces each rule that the call was about."""
        return not any(one.rule in self.asked for one in self.waiting)

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document for ``--json``."""
        return {
            **self.report.as_dict(),
            "added": list(self.added),
            "waiting": [one.as_dict() for one in self.waiting],
        }


def validate(session: Session, names: Sequence[str]) -> Validation:
    """Add and validate the rules that no row breaks any more.

    Args:
        session: The session of the run.
        names: The rules; by default all that the database should enforce.

    Raises:
        UsageError: A rule does not exist, or the database is SQLite.
        DatabaseRefused: The database is not at head.
    """
    wanted = named(names, KEPT)
    seen: list[tuple[Waiting, ...]] = []

    def look_at(look: Look) -> tuple[Waiting, ...]:
        seen.append(waiting(look.link, look.state.schema, KEPT))
        return seen[-1]

    def decide(look: Look) -> tuple[Rule, ...] | None:
        if look.link.dialect == "sqlite":
            raise UsageError(
                f"{look.shown} is SQLite, which enforces no rules about rows.",
                next_step=f"To list the rows that break a rule, run: {command('violations')}",
            )
        refuse_other_than_head(look)
        # The step counts the rows that could not be counted quickly; this may take longer.
        free = {one.rule for one in look_at(look) if not one.rows}
        return tuple(rule for rule in wanted if rule.name in free) or (() if look.left("validate") else None)

    def work(change: Change, rules: tuple[Rule, ...]) -> Written:
        with change.begun():
            with change.op(), change.steps():
                keep(rules)
            change.at_once(lambda: None, after=change.state.revision)
        look_at(change.look)
        return Written(change.state.revision, 1)

    report = session.change(Verb("validate"), decide, work)
    before, after = ({one.rule for one in found} for found in (seen[0], seen[-1]))
    added = tuple(rule.name for rule in wanted if rule.name in before - after)
    return Validation(report, added, seen[-1], tuple(rule.name for rule in wanted))
