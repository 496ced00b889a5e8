"""What a caller may set about a run, what a run tells while it works, and what it reports at the end."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from diwa_schema.database.spelling import placed
from diwa_schema.errors import UsageError
from diwa_schema.release import NOTES_KEPT

if TYPE_CHECKING:
    from diwa_schema.run.connections import Connections

SECONDS, MILLISECONDS = "s", "ms"
ROWS = "rows"
_PER_UNIT = {SECONDS: 1000, MILLISECONDS: 1}
# The most milliseconds that PostgreSQL takes for a timeout.
_LONGEST = 2**31 - 1
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Bound(NamedTuple):
    """How long something may last, as `Settings`, the command line and its help know it.

    Args:
        name: The name of the setting.
        unit: What its number counts: s or ms.
        default: What holds where nothing is said.
        zero: Whether 0 is allowed, and means "not at all".
        help: What it bounds.
    """

    name: str
    unit: str
    default: float
    zero: bool
    help: str

    def checked(self, value: object) -> float:
        """Return a number as this bound takes it, rounded up to a whole millisecond.

        PostgreSQL counts in whole milliseconds and takes 0 for "no bound at all", so that nothing may be rounded down.

        Raises:
            UsageError: It is no number, negative, without end, or 0 where something has to be waited for.
        """
        try:
            number = float("nan" if isinstance(value, bool) else value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        per = _PER_UNIT[self.unit]
        longest = _LONGEST / per
        if not (0 < number <= longest or (self.zero and number == 0)):
            least = "at least 0" if self.zero else "more than 0"
            raise UsageError(
                f"{self.name} is {value!r:.40}. It has to be {least} and at most {longest:.0f} {self.unit}.",
                next_step=f"Leave it out for {self.default:g} {self.unit}, or name another number.",
            )
        # What a computer's fractions leave behind is not a reason for one millisecond more.
        return math.ceil(round(number * per, 6) or number) / per


def _bound(default: float, unit: str, text: str, *, zero: bool = False) -> Any:
    return field(default=default, metadata={"default": default, "unit": unit, "zero": zero, "help": text})


@dataclass(frozen=True, slots=True)
class Settings:
    """How patient and how careful a run is. Each number is rounded up to a whole millisecond.

    Args:
        lock_wait: How long to wait for another runner, in seconds; 0 does not wait.
        max_stall: The longest the application may be made to wait for a table, in milliseconds.
        lock_budget: How long to keep trying to get a table, in seconds.
        strong_timeout: The longest a statement under a strong lock may run, in seconds.
        build_timeout: The longest an index build or a validation may run, in seconds.
        allow_stall: Whether a revision may hold a strong lock for longer than `max_stall`.
        replay: Whether an empty database gets every revision instead of the snapshot.
        seen_within: How long ago a release that a revision breaks may have started for the run to be refused; at most
            90 days, and 0 asks for connections alone.

    Raises:
        UsageError: A number is none that a run can work with.
    """

    lock_wait: float = _bound(60.0, SECONDS, "longest wait for another run, 0 for none", zero=True)
    max_stall: float = _bound(100.0, MILLISECONDS, "longest wait of the application for a table")
    lock_budget: float = _bound(600.0, SECONDS, "longest time to try for a table")
    strong_timeout: float = _bound(5.0, SECONDS, "longest statement under a strong lock")
    build_timeout: float = _bound(1200.0, SECONDS, "longest index build or validation")
    allow_stall: bool = False
    replay: bool = False
    seen_within: timedelta = timedelta(days=7)

    def __post_init__(self) -> None:
        """Check and round what was given."""
        if not (isinstance(self.seen_within, timedelta) and timedelta(0) <= self.seen_within <= NOTES_KEPT):
            raise UsageError(
                f"seen_within is {self.seen_within!r:.40}. It has to be from 0 to {NOTES_KEPT.days} days.",
                next_step="Leave it out for 7 days, or name another time: timedelta(days=1), or --seen-within 1d",
            )
        for bound in bounds():
            object.__setattr__(self, bound.name, bound.checked(getattr(self, bound.name)))


def duration(text: str) -> timedelta:
    """Return the time that was typed: a whole number with s, m, h or d behind it, or 0.

    Raises:
        UsageError: It is none.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd]?)", text, re.ASCII)
    if found is None or not (found[2] or found[1] == "0"):
        raise UsageError(
            f"{text!r:.40} is not a duration. Write a number and s, m, h or d, such as 7d or 12h, or 0."
        )
    return timedelta(**{_UNITS[found[2] or "s"]: int(found[1])})


def bounds() -> tuple[Bound, ...]:
    """Return the bounds that `Settings` has, in their order."""
    return tuple(Bound(name=one.name, **one.metadata) for one in fields(Settings) if "unit" in one.metadata)


class Progress(Protocol):
    """What a run tells while it works."""

    def say(self, line: str) -> None:
        """Take a line for people."""

    def revision(self, name: str, number: int, total: int) -> None:
        """Hear that a revision begins."""

    def done(self, name: str, milliseconds: int) -> None:
        """Hear that a revision is applied."""

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Hear how far a step of many pieces is; it may be told by another thread of the run.

        Args:
            label: What the step does; another one begins another step.
            done: How many pieces are done.
            total: How many there are, None where nobody knows. The number of rows is about right: it comes from the
                server's statistics, or was counted before others wrote more.
            unit: What the pieces are.
        """


class Silence:
    """A progress that nobody listens to."""

    def say(self, line: str) -> None:
        """Ignore the line."""

    def revision(self, name: str, number: int, total: int) -> None:
        """Ignore it."""

    def done(self, name: str, milliseconds: int) -> None:
        """Ignore it."""

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Ignore it."""


class Applied(NamedTuple):
    """One revision that a run applied or reversed.

    Args:
        revision: Its id.
        slug: Its short name.
        milliseconds: How long it took; in a snapshot, how long all of them took together.
        lock_waits: How often a table lock had to be tried for again.
    """

    revision: str
    slug: str
    milliseconds: int
    lock_waits: int = 0


class Report(NamedTuple):
    """What a run did.

    Args:
        database: The masked URL.
        before: The revision the database was at; None for base.
        after: The revision it is at now; None for base.
        kind: What kind of run it was, as the ledger names it; "nothing" when there was nothing to do.
        applied: The revisions in the order they ran.
        bypass: Where the bypass of the guard came from; None without one.
        run_id: The run's id in the ledger; None when nothing was done.
        connections: Which results have changed their type and who has to reconnect; None where nobody has.
        schema: The schema that was said; None where the search path decided.
        notes: What the change means for values and those who write them, a sentence each.
    """

    database: str
    before: str | None
    after: str | None
    kind: str = "nothing"
    applied: tuple[Applied, ...] = ()
    bypass: str | None = None
    run_id: str | None = None
    connections: Connections | None = None
    schema: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The database as messages name it, and the schema where one was said."""
        return placed(self.database, self.schema)

    @property
    def told(self) -> tuple[str, ...]:
        """What its end says to people about open connections and embeddings, a sentence each."""
        return (*(self.connections.lines(self.after) if self.connections else ()), *self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a document for ``--json``."""
        return {**self._asdict(), "applied": tuple(step._asdict() for step in self.applied)}
