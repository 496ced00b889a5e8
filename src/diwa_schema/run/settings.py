"""The settings of a run, its progress reports, and its final report."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field, fields
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
# The greatest timeout that PostgreSQL accepts, in milliseconds.
_LONGEST = 2**31 - 1
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Bound(NamedTuple):
    """A time limit, shared by `Settings`, the command line and its help.

    Args:
        name: The name of the setting.
        unit: The unit of its number: s or ms.
        default: The value that applies by default.
        zero: Whether 0 is allowed, and means "not at all".
        help: A description of the limit.
    """

    name: str
    unit: str
    default: float
    zero: bool
    help: str

    def checked(self, value: object) -> float:
        """Return a number as a value of this bound, rounded up to a whole millisecond.

        PostgreSQL counts in whole milliseconds, and 0 means "no limit" to it, so a number is never rounded down.

        Raises:
            UsageError: The value is not a number, is negative or infinite, or is 0 although this bound requires a wait.
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
                f"{self.name} is {value!r:.40}. The value has to be {least} and at most {longest:.0f} {self.unit}.",
                next_step=f"Leave it out for {self.default:g} {self.unit}, or name another number.",
            )
        # A floating-point remainder must not add a millisecond.
        return math.ceil(round(number * per, 6) or number) / per


def _bound(default: float, unit: str, text: str, *, zero: bool = False) -> Any:
    return field(default=default, metadata={"default": default, "unit": unit, "zero": zero, "help": text})


@dataclass(frozen=True, slots=True)
class Settings:
    """The timeouts and safety limits of a run. Each number is rounded up to a whole millisecond.

    Args:
        lock_wait: How long to wait for another runner, in seconds; 0 does not wait.
        max_stall: The longest the application may be made to wait for a table, in milliseconds.
        lock_budget: How long to keep trying to get a table, in seconds.
        strong_timeout: The longest a statement under a strong lock may run, in seconds.
        build_timeout: The longest an index build or a validation may run, in seconds.
        allow_stall: Whether a revision may hold a strong lock for longer than `max_stall`.
        replay: Whether an empty database gets every revision instead of the snapshot.
        seen_within: The run is refused if a release that a revision breaks has started within this time; at most 90
            days. With 0 only open connections count.

    Raises:
        UsageError: A run cannot work with one of the numbers.
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
                f"seen_within is {str(self.seen_within)!r:.40}. The value has to be from 0 to {NOTES_KEPT.days} days.",
                next_step="Leave it out for 7 days, or name another time: timedelta(days=1), or --seen-within 1d",
            )
        for bound in bounds():
            object.__setattr__(self, bound.name, bound.checked(getattr(self, bound.name)))


def duration(text: str) -> timedelta:
    """Return the time that a text names: a whole number followed by s, m, h or d, or 0.

    Raises:
        UsageError: The text does not name a time.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd]?)", text, re.ASCII)
    if found is None or not (found[2] or found[1] == "0"):
        raise UsageError(
            f"{text!r:.40} is not a duration. Write a number and s, m, h or d, such as 7d or 12h, or 0."
        )
    return timedelta(**{_UNITS[found[2] or "s"]: int(found[1])})


def bounds() -> tuple[Bound, ...]:
    """Return the bounds of `Settings`, in their order."""
    return tuple(Bound(name=one.name, **one.metadata) for one in fields(Settings) if "unit" in one.metadata)


class Progress(Protocol):
    """The receiver of a run's progress reports."""

    def say(self, line: str) -> None:
        """Receive a line of text for people."""

    def revision(self, name: str, number: int, total: int) -> None:
        """Receive the start of a revision."""

    def done(self, name: str, milliseconds: int) -> None:
        """Receive the end of a revision."""

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Receive the progress of a step of many pieces; another thread of the run may call this.

        Args:
            label: The name of the step; a new label begins a new step.
            done: The number of finished pieces.
            total: The number of all pieces, None if it is unknown. A number of rows is approximate: it comes from the
                server's statistics, or it was counted before others wrote more rows.
            unit: The kind of the pieces.
        """


class Silence:
    """A receiver that ignores all progress reports."""

    def say(self, line: str) -> None:
        """Ignore the line."""

    def revision(self, name: str, number: int, total: int) -> None:
        """Ignore it."""

    def done(self, name: str, milliseconds: int) -> None:
        """Ignore it."""

    def step(self, label: str, done: int, total: int | None, unit: str = ROWS) -> None:
        """Ignore it."""


class Applied(NamedTuple):
    """A revision that a run applied or reversed.

    Args:
        revision: Its id.
        slug: Its short name.
        milliseconds: Its duration; in a snapshot, the duration of all revisions together.
        lock_waits: The number of repeated attempts to lock a table.
    """

    revision: str
    slug: str
    milliseconds: int
    lock_waits: int = 0


class Report(NamedTuple):
    """The report of a run.

    Args:
        database: The masked URL.
        before: The revision of the database before the run; None for base.
        after: The revision of the database after the run; None for base.
        kind: The kind of the run, as in the ledger; "nothing" if there was nothing to do.
        applied: The revisions in the order of the run.
        bypass: The source of the guard's bypass; None without one.
        run_id: The run's id in the ledger; None if nothing was done.
        connections: The results with a changed type and the applications that must reconnect; None if there are none.
        schema: The given schema; None if the search path decided.
        notes: The consequences of the change for values and their writers, a sentence each.
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
        """The database as messages name it, with the schema if one was given."""
        return placed(self.database, self.schema)

    @property
    def told(self) -> tuple[str, ...]:
        """The sentences about open connections and embeddings at the end of the run."""
        return (*(self.connections.lines(self.after) if self.connections else ()), *self.notes)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a document for ``--json``."""
        return {
            **self._asdict(),
            "applied": tuple(step._asdict() for step in self.applied),
            "connections": asdict(self.connections) if self.connections else None,
        }
