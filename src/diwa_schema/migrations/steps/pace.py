"""The access of a step to a database: paced by a runner on a live one, or directly in an open transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

P = ParamSpec("P")
T = TypeVar("T")

PACE = "pace"
STEPS = "steps"

_PLAIN_BATCH = 1_000

_inside: ContextVar[bool] = ContextVar("diwa_schema_inside_a_step", default=False)


class Pace(Protocol):
    """Runs the pieces of a step so that nobody else has to wait for them."""

    def short(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work in one short transaction under a lock_timeout, all of it again if that was too short."""
        ...

    def long(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work outside a transaction and without a lock_timeout: index builds, validations, counts of rows."""
        ...

    def look(self, work: Callable[[sa.Connection], T]) -> T:
        """Read what a step has to know before it changes anything."""
        ...

    def wait(self, reason: Callable[[sa.Connection], str | None]) -> None:
        """Look again and again until there is no reason to wait any more, no longer than an index may be built."""
        ...

    def batches(
        self, work: Callable[[sa.Connection, int], int], total: int | None, label: str, *, before: int = 0
    ) -> int:
        """Run work in short transactions of so many rows until it takes none; return the rows taken."""
        ...

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Tell how far a step is."""
        ...

    def say(self, line: str) -> None:
        """Tell people something that they should know."""
        ...


class Plain:
    """The pace where there is none to keep: everything at once, in the transaction that is already open.

    Args:
        connection: The connection whose transaction it is.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def short(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work now."""
        return work(self._connection)

    def long(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work now."""
        return work(self._connection)

    def look(self, work: Callable[[sa.Connection], T]) -> T:
        """Read now."""
        return work(self._connection)

    def wait(self, reason: Callable[[sa.Connection], str | None]) -> None:
        """Go on: the open transaction keeps everybody out."""

    def batches(
        self,
        work: Callable[[sa.Connection, int], int],
        total: int | None,  # noqa: ARG002 - nobody is told
        label: str,  # noqa: ARG002
        *,
        before: int = 0,  # noqa: ARG002
    ) -> int:
        """Run work until it takes no rows."""
        done = 0
        while taken := work(self._connection, _PLAIN_BATCH):
            done += taken
        return done

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Tell nobody."""

    def say(self, line: str) -> None:
        """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a step stands on.

    Args:
        pace: How it gets at the database.
        live: Whether others may use the tables between two pieces of the step, so that an index has to be
            built concurrently; in the plain form the open transaction keeps them out.
    """

    pace: Pace
    live: bool


def offline() -> bool:
    """Tell whether SQL is written to be run later, so that nothing can be looked up now."""
    return op.get_context().as_sql


def dialect() -> str:
    """Return the name of the dialect that revisions are run on."""
    return op.get_context().dialect.name


def ground() -> Ground:
    """Return what the current step stands on; not for SQL that is written to be run later."""
    pace: Pace | None = op.get_context().opts.get(PACE)
    if pace is None:
        return Ground(Plain(op.get_bind()), live=False)
    return Ground(pace, live=True)


def operations(connection: sa.Connection) -> Operations:
    """Return Alembic's operations on a connection, with no naming convention of any application."""
    return Operations(MigrationContext.configure(connection=connection))


def step(function: Callable[P, T]) -> Callable[P, T]:
    """Declare a safe step: a piece of work that can be run again to finish what an interrupted run left.

    A runner that hands a list as the option `steps` finds the names of the steps that ran in it: it lets a
    revision that is not transactional have exactly one. Steps that a step is made of are not counted.
    """

    @wraps(function)
    def counted(*args: P.args, **kwargs: P.kwargs) -> T:
        names: list[str] | None = op.get_context().opts.get(STEPS)
        if names is not None and not _inside.get():
            names.append(function.__name__)
        token = _inside.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _inside.reset(token)

    return counted
