"""Running revisions by themselves: plainly in one transaction each, or with a pace that a test can stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from diwa_schema.migrations import manifest

T = TypeVar("T")

SCRIPTS = ScriptDirectory(str(manifest.DIRECTORY))
HISTORY: tuple[ModuleType, ...] = tuple(script.module for script in reversed(list(SCRIPTS.walk_revisions())))
IDS = tuple(module.revision for module in HISTORY)


class Stopped(BaseException):
    """The run ends here, as a killed process does: nothing catches it."""


class TestPace:
    """Runs the pieces of a step one by one on an autocommit connection.

    Args:
        connection: An autocommit connection.
        size: The rows of a batch.
        between: Called before each piece, as live traffic would come in.
        stop_at: The number of the piece at whose beginning, or with `late` at whose end, the run is killed.
        late: Whether a piece is killed just before its commit.
    """

    __test__ = False

    def __init__(
        self,
        connection: sa.Connection,
        *,
        size: int = 1_000,
        between: Callable[[], None] = lambda: None,
        stop_at: int | None = None,
        late: bool = False,
    ) -> None:
        self.connection = connection
        self.size = self.first_batch = size
        self.between = between
        self.stop_at = stop_at
        self.late = late
        self.pieces = 0
        self.told: list[str] = []

    def short(self, work: Callable[[sa.Connection], T]) -> T:
        stops = self._begin()
        self.connection.exec_driver_sql("BEGIN")
        try:
            done = work(self.connection)
        except BaseException:
            self.connection.exec_driver_sql("ROLLBACK")
            raise
        self.connection.exec_driver_sql("ROLLBACK" if stops else "COMMIT")
        if stops:
            raise Stopped
        return done

    def long(self, work: Callable[[sa.Connection], T]) -> T:
        if self._begin():
            raise Stopped
        return work(self.connection)

    def look(self, work: Callable[[sa.Connection], T]) -> T:
        return TestPace.long(self, work)

    def wait(self, reason: Callable[[sa.Connection], str | None]) -> None:
        while (said := reason(self.connection)) is not None:
            self.told.append(said)
            time.sleep(0.05)

    def batches(
        self, work: Callable[[sa.Connection, int], int], total: int | None, label: str, *, before: int = 0
    ) -> int:
        done = 0
        while taken := self.short(lambda connection: work(connection, self.size)):
            assert taken <= self.size
            done += taken
            self.progress(label, before + done, total)
        return done

    def progress(self, label: str, done: int, total: int | None) -> None:  # noqa: ARG002 - as the protocol has it
        self.told.append(label)

    def say(self, line: str) -> None:
        self.told.append(line)

    def _begin(self) -> bool:
        self.between()
        self.pieces += 1
        if self.pieces != self.stop_at:
            return False
        if not self.late:
            raise Stopped
        return True


def engine_of(url: str) -> sa.Engine:
    """Return an engine whose connections are in autocommit mode, so that transactions are said out loud."""
    url = url.replace("postgresql://", "postgresql+psycopg://")
    return sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


@contextmanager
def bound(connection: sa.Connection, **options: Any) -> Iterator[MigrationContext]:
    """Bind Alembic's `op` to a connection."""
    context = MigrationContext.configure(connection=connection, opts=options)
    with Operations.context(context):
        yield context


@contextmanager
def transaction(connection: sa.Connection) -> Iterator[None]:
    """Run the block in one transaction of an autocommit connection."""
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def position(revision: str | None) -> int:
    """Return how many revisions lie up to and including one; None is base."""
    return IDS.index(revision) + 1 if revision else 0


def up(connection: sa.Connection, to: str | None = None, since: str | None = None, **options: Any) -> None:
    """Apply revisions, one transaction each, from after `since` (base) to `to` (head)."""
    for module in HISTORY[position(since) : position(to) if to else None]:
        with bound(connection, **options), transaction(connection):
            module.upgrade()


def down(connection: sa.Connection, to: str | None = None, since: str | None = None, **options: Any) -> None:
    """Reverse revisions, one transaction each, from `since` (head) down to `to` (base)."""
    for module in reversed(HISTORY[position(to) : position(since) if since else None]):
        with bound(connection, **options), transaction(connection):
            module.downgrade()


def paced(connection: sa.Connection, work: Callable[[], None], **settings: Any) -> TestPace:
    """Run a step, or a revision that is one, with a pace; return the pace."""
    pace = TestPace(connection, **settings)
    with bound(connection, pace=pace):
        work()
    return pace


def kill_everywhere(attempt: Callable[[int, bool], bool]) -> int:
    """Call `attempt(piece, late)` for each piece until one was not killed any more; return the tries."""
    tries = 0
    for piece in range(1, 200):
        stopped = False
        for late in (False, True):
            tries += 1
            stopped |= attempt(piece, late)
        if not stopped:
            return tries
    raise AssertionError("no end to it")


def shape(connection: sa.Connection) -> dict[str, list[str]]:
    """Return what the schema consists of, as lines per kind of object."""
    queries = _LITE if connection.dialect.name == "sqlite" else _POSTGRES
    return {
        kind: sorted(" ".join(" ".join(map(str, row)).split()) for row in connection.exec_driver_sql(query))
        for kind, query in queries.items()
    }


# A table that SQLite has copied has its name in quotes.
_LITE = {
    "objects": "SELECT replace(sql, 'CREATE TABLE \"' || name || '\"', 'CREATE TABLE ' || name) FROM sqlite_master"
    " WHERE sql IS NOT NULL"
}
_POSTGRES = {
    "columns": "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
    " pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
    " AND NOT a.attisdropped",
    "constraints": "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated"
    " FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
    "indexes": "SELECT pg_get_indexdef(i.indexrelid), i.indisvalid FROM pg_index i JOIN pg_class c"
    " ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace",
    "triggers": "SELECT pg_get_triggerdef(t.oid), t.tgenabled FROM pg_trigger t JOIN pg_class c"
    " ON c.oid = t.tgrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal",
    "functions": "SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')",
}
