"""The outcome of each target of a fleet, and the summary of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from diwa_schema.database import presence
from diwa_schema.database.ecto_list import refuse_changed_list
from diwa_schema.database.state import refuse_unknown
from diwa_schema.errors import CheckFailed, DiwaSchemaError, MigrationFailed
from diwa_schema.fleet.targets import naming
from diwa_schema.migrations.manifest import load
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.fleet.census import Found

_SHOWN = 5


class Result(StrEnum):
    """The result of a target; the value is the text for people."""

    DONE = "done"
    NOTHING = "nothing to do"
    CURRENT = "at head"
    PLANNED = "to do"
    BEHIND = "behind"
    DIFFERS = "differs"
    HELD = "held back"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    WAITING = "not begun"

    @property
    def settled(self) -> bool:
        """Whether a target with this result needs no further work."""
        return self in (Result.DONE, Result.NOTHING, Result.CURRENT, Result.PLANNED)


class Outcome(NamedTuple):
    """The outcome of one target.

    Args:
        name: The name of the target.
        database: The masked URL.
        schema: The given schema in the database.
        result: Its result.
        exit_code: The exit code of a single command for this target.
        before: The revision before the run; None for base or if it is unknown.
        after: The revision after the run.
        wave: The number of its wave, starting at 1; None without waves.
        revisions: The applied revisions; for status and plan the pending ones.
        milliseconds: The duration of the work.
        digest: The fingerprint of its catalog, if it was read.
        detail: Further information, in one line.
        error: The error, as from `DiwaSchemaError.as_dict`; its next step names this target.
    """

    name: str
    database: str
    schema: str | None
    result: Result
    exit_code: int = 0
    before: str | None = None
    after: str | None = None
    wave: int | None = None
    revisions: tuple[str, ...] = ()
    milliseconds: int | None = None
    digest: str | None = None
    detail: str = ""
    error: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document for ``--json``."""
        return {**self._asdict(), "result": str(self.result), "revisions": list(self.revisions)}

    def broken(self, error: DiwaSchemaError | dict[str, Any]) -> Outcome:
        """Return the outcome as failed, with the error."""
        told = error if isinstance(error, dict) else error.as_dict()
        return self._replace(
            result=Result.FAILED, exit_code=int(told["exit_code"]), error=told, detail=str(told["what"])
        )


class FleetReport(NamedTuple):
    """The outcome of a fleet.

    Args:
        verb: status, plan, upgrade, check, adopt or digest.
        outcomes: The outcome of each target, in the order of the targets.
        notes: Further notes, each a sentence.
        seconds: The total duration.
    """

    verb: str
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 if all are finished, 1 if some are behind or differ, 6 if some failed or were not begun."""
        open_ = {one.result for one in self.outcomes if not one.result.settled}
        if open_ - {Result.BEHIND, Result.DIFFERS}:
            return MigrationFailed.exit_code
        return CheckFailed.exit_code if open_ else 0

    @property
    def counts(self) -> dict[str, int]:
        """The number of targets with each result."""
        found = Counter(one.result for one in self.outcomes)
        return {str(result): found[result] for result in Result if found[result]}

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as a document, without the targets, which report separately."""
        return {
            "fleet": self.verb,
            "targets": len(self.outcomes),
            "counts": self.counts,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
        }


class Interrupted(KeyboardInterrupt):
    """A fleet was interrupted: running work was rolled back to a boundary, and the rest was not begun.

    Args:
        report: The report of the finished work.
        exit_code: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, report: FleetReport, exit_code: int) -> None:
        super().__init__()
        self.report = report
        self.exit_code = exit_code


def known(found: Found) -> Outcome:
    """Return an outcome with the facts of a census, for completion by the caller."""
    member = found.member
    revision = found.state.revision if found.state else None
    return Outcome(
        member.label, member.address, member.schema, Result.CURRENT, before=revision, after=revision
    )


def standing(found: Found) -> Outcome:
    """Return the outcome of a target for a status report."""
    history, member = load(), found.member
    outcome = known(found)
    with naming(member):
        if found.state is None:
            return outcome.broken(found.error or DiwaSchemaError(f"{member.shown} could not be read."))
        try:
            refuse_unknown(found.state, history, member.shown)
            refuse_changed_list(found.state, member.shown)
            presence.refuse_missing(found.state, member.shown)
        except DiwaSchemaError as error:
            return outcome.broken(error)._replace(result=Result.DIFFERS, exit_code=CheckFailed.exit_code)
    pending = tuple(step.revision for step in history.between(found.state.revision, history.head))
    if not pending:
        return outcome
    return outcome._replace(result=Result.BEHIND, exit_code=CheckFailed.exit_code, revisions=pending)


def compared(outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[str]]:
    """Return the outcomes, marking targets that differ from the majority's catalog, and notes on them.

    PostgreSQL is compared with PostgreSQL, and SQLite with SQLite.
    """
    usual: dict[bool, str] = {}
    notes = []
    for lite in (False, True):
        digests = Counter(one.digest for one in outcomes if one.digest and _lite(one) is lite)
        if len(digests) < 2:  # noqa: PLR2004 - nothing to compare
            continue
        ((usual[lite], count),) = digests.most_common(1)
        others = [
            one.name for one in outcomes if one.digest not in (None, usual[lite]) and _lite(one) is lite
        ]
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        named = f"{', '.join(others[:_SHOWN])}{more}"
        notes.append(
            f"the catalog of {amount(count, 'target')} is {usual[lite]}; these have another one: {named}."
            " An optional index, a rule that waits and the kind of the embeddings count as well; fleet check"
            " reports only drift."
        )
    return [_differing(one, usual.get(_lite(one))) for one in outcomes], notes


def _lite(outcome: Outcome) -> bool:
    return outcome.database.startswith("sqlite")


def _differing(outcome: Outcome, usual: str | None) -> Outcome:
    if usual is None or outcome.digest in (None, usual) or not outcome.result.settled:
        return outcome
    return outcome._replace(
        result=Result.DIFFERS,
        exit_code=CheckFailed.exit_code,
        detail=f"catalog {outcome.digest}, not {usual}",
    )
