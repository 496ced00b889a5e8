"""What a caller may set about a run, what a run tells while it works, and what it reports at the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Settings:
    """How patient and how careful a run is.

    Args:
        lock_wait: How long to wait for another runner, in seconds; 0 does not wait.
        max_stall: The longest the application may be made to wait for a table, in milliseconds.
        lock_budget: How long to keep trying to get a table, in seconds.
        strong_timeout: The longest a statement under a strong lock may run, in seconds.
        build_timeout: The longest an index build or a validation may run, in seconds.
        allow_stall: Whether a revision may hold a strong lock for longer than `max_stall`.
        replay: Whether an empty database gets every revision instead of the snapshot.
    """

    lock_wait: float = 60.0
    max_stall: float = 100.0
    lock_budget: float = 600.0
    strong_timeout: float = 5.0
    build_timeout: float = 1200.0
    allow_stall: bool = False
    replay: bool = False


class Progress(Protocol):
    """What a run tells while it works."""

    def say(self, line: str) -> None:
        """Take a line for people."""

    def revision(self, name: str, number: int, total: int) -> None:
        """Hear that a revision begins."""

    def done(self, name: str, milliseconds: int) -> None:
        """Hear that a revision is applied."""

    def step(self, label: str, done: int, total: int) -> None:
        """Hear how far a step of many rows is."""


class Silence:
    """A progress that nobody listens to."""

    def say(self, line: str) -> None:
        """Ignore the line."""

    def revision(self, name: str, number: int, total: int) -> None:
        """Ignore it."""

    def done(self, name: str, milliseconds: int) -> None:
        """Ignore it."""

    def step(self, label: str, done: int, total: int) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Applied:
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


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did.

    Args:
        database: The masked URL.
        before: The revision the database was at; None for base.
        after: The revision it is at now; None for base.
        kind: migrate, snapshot, stamp or drop; "nothing" when there was nothing to do.
        applied: The revisions in the order they ran.
        bypass: Where the bypass of the guard came from; None without one.
        run_id: The run's id in the ledger; None when nothing was done.
    """

    database: str
    before: str | None
    after: str | None
    kind: str = "nothing"
    applied: tuple[Applied, ...] = ()
    bypass: str | None = None
    run_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a document for ``--json``."""
        return asdict(self)
