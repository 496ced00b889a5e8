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
_OPERATIONS = "diwa_schema_operations"

_inside: ContextVar[bool] = ContextVar("diwa_schema_inside_a_step", default=False)


class Pace(Protocol):
    """The pace of a step: it runs the pieces so that nobody else has to wait for them."""

    @property
    def first_batch(self) -> int:
        """The number of rows of the first batch of a step."""
        ...

    def short(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work in one short transaction under a lock_timeout; repeat all of it after a timeout."""
        ...

    def long(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work outside a transaction and without a lock_timeout: index builds, validations, counts of rows."""
        ...

    def look(self, work: Callable[[sa.Connection], T]) -> T:
        """Read facts that a step needs before it changes anything."""
        ...

    def wait(self, reason: Callable[[sa.Connection], str | None]) -> None:
        """Repeat a check until there is no reason to wait, within the time limit of an index build."""
        ...

    def batches(
        self, work: Callable[[sa.Connection, int], int], total: int | None, label: str, *, before: int = 0
    ) -> int:
        """Run work in short transactions of limited size until no rows are left; return the number of rows."""
        ...

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Report the progress of a step."""
        ...

    def say(self, line: str) -> None:
        """Report a message to people."""
        ...


class Plain:
    """The pace without a runner: everything at once, in the open transaction.

    Args:
        connection: The connection whose transaction it is.
    """

    first_batch = _PLAIN_BATCH

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def short(self, work: Callable[[sa.Connection], T]) -> T:
        """Run the work now."""
        return work(self._connection)

    def long(self, work: Callable[[sa.Connection], T]) -> T:
        """Run the work now."""
        return work(self._connection)

    def look(self, work: Callable[[sa.Connection], T]) -> T:
        """Read now."""
        return work(self._connection)

    def wait(self, reason: Callable[[sa.Connection], str | None]) -> None:
        """Continue: the open transaction excludes everybody else."""

    def batches(
        self,
        work: Callable[[sa.Connection, int], int],
        total: int | None,  # noqa: ARG002 - nobody is told
        label: str,  # noqa: ARG002
        *,
        before: int = 0,  # noqa: ARG002
    ) -> int:
        """Run the work until no rows are left."""
        done = 0
        while taken := work(self._connection, self.first_batch):
            done += taken
        return done

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Report nothing."""

    def say(self, line: str) -> None:
        """Report nothing."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The environment of a step.

    Args:
        pace: Its access to the database.
        live: Whether others may use the tables between two pieces of the step, so that an index must be built
            concurrently; in the plain form the open transaction excludes them.
    """

    pace: Pace
    live: bool


def offline() -> bool:
    """Return whether SQL is printed instead of run, so that nothing can be looked up."""
    return op.get_context().as_sql


def dialect() -> str:
    """Return the name of the dialect for the revisions."""
    return op.get_context().dialect.name


def ground() -> Ground:
    """Return the environment of the current step; not for printed SQL."""
    pace: Pace | None = op.get_context().opts.get(PACE)
    if pace is None:
        return Ground(Plain(op.get_bind()), live=False)
    return Ground(pace, live=True)


def operations(connection: sa.Connection) -> Operations:
    """Return Alembic's operations on a connection, with no naming convention of any application."""
    known: Operations | None = connection.info.get(_OPERATIONS)
    if known is None or known.get_bind() is not connection:
        known = connection.info[_OPERATIONS] = Operations(MigrationContext.configure(connection=connection))
    return known


def step(function: Callable[P, T]) -> Callable[P, T]:
    """Declare a safe step: a piece of work that a second run can finish after an interruption.

    A runner that passes a list as the option `steps` receives the names of the executed steps: it allows exactly one in
    a revision that is not transactional. Steps inside a step do not count.
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
