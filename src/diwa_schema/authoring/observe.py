"""The effects of a plan's revisions on a database's tables, observed in a shadow; the database does not change."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from diwa_schema.api.opening import Embedded, target_of
from diwa_schema.authoring import samples
from diwa_schema.authoring.durations import LITTLE, Duration, expected
from diwa_schema.authoring.marks import LOCKS, Mark, Piece, Trace
from diwa_schema.authoring.portion import Portion, is_large
from diwa_schema.authoring.record import table_of
from diwa_schema.authoring.source import shown
from diwa_schema.authoring.trace import Shadow
from diwa_schema.database import bookkeeping
from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.failures import (
    LOCK_TIMEOUT,
    brief,
    connection_lost,
    explain,
    is_driver_error,
    sqlstate,
    unreachable,
)
from diwa_schema.database.link import Link
from diwa_schema.drift.read import read
from diwa_schema.drift.shadow import astray, build
from diwa_schema.errors import NOTHING_CHANGED, DiwaSchemaError, MigrationFailed
from diwa_schema.migrations.manifest import load
from diwa_schema.models import searched
from diwa_schema.names import quoted
from diwa_schema.run import preflight
from diwa_schema.run.plan import Size
from diwa_schema.run.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diwa_schema.database.target import Database
    from diwa_schema.migrations.manifest import Revision
    from diwa_schema.run.connections import Retype
    from diwa_schema.run.plan import Plan

EVERYBODY, WRITERS, NOBODY = "reads and writes", "writes", "nobody"
# From this lock on, writes are blocked; the last lock blocks everybody.
_STOPS_WRITES = LOCKS.index("ShareLock")


@dataclass(frozen=True, slots=True)
class Touched:
    """An existing table that a revision affects.

    Args:
        table: Its name.
        rows: The number of its rows in the database: from PostgreSQL's statistics, counted on SQLite; None if unknown.
        size: Its size in bytes with its indexes; None on SQLite.
        lock: The strongest lock on it, as named in pg_locks; None on SQLite, which locks the whole file.
        waits: The operations that wait for that lock: reads and writes, writes, or none.
        known: Facts from the kind of step that a shadow cannot show.
        rewritten: Whether it gets a new file.
        scanned: Whether all its rows are read; None if that was not observed.
        scan_waits: The operations that wait meanwhile; None if it is not scanned.
        written: The number of writes to the rows of the shadow; None if they were not counted.
        sample: The number of rows in the shadow.
        dropped: Whether the revision drops it.
        unvalidated: The constraints that are not validated for old rows yet.
    """

    table: str
    rows: int | None
    size: int | None
    lock: str | None
    waits: str
    known: tuple[str, ...]
    rewritten: bool
    scanned: bool | None
    scan_waits: str | None
    written: int | None
    sample: int
    dropped: bool
    unvalidated: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """The observed effects of one revision.

    Args:
        revision: Its id.
        slug: Its short name.
        phase: expand or contract.
        transactional: Whether all of it runs in one transaction.
        sql: Its statements, in order.
        creates: The tables that it creates.
        tables: Its effects on existing tables.
        retypes: The columns whose type changes; prepared statements with them fail on open connections.
        longest_wait: The longest wait of a request, in milliseconds, with the default settings; 0 if no request waits,
            None if there is no limit.
        duration: The expected duration; None if it could not be measured.
        unmeasured: The reason why it could not be measured.
    """

    revision: str
    slug: str
    phase: str
    transactional: bool
    sql: tuple[str, ...]
    creates: tuple[str, ...]
    tables: tuple[Touched, ...]
    retypes: tuple[Retype, ...]
    longest_wait: float | None
    duration: Duration | None
    unmeasured: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a document for ``--json``."""
        return asdict(self)


def observe(
    plan: Plan, database: Database | None = None, *, embedded: Embedded = None, schema: str | None = None
) -> tuple[Observed, ...]:
    """Run the revisions of a plan in a shadow of its database, and return what each does.

    The database is only read. The shadow consists of temporary tables on PostgreSQL, and is a database in memory for
    SQLite.

    Args:
        plan: The result of `diwa_schema.plan` for that database.
        database: As for `migrate`.
        embedded: As for `downgrade`.
        schema: As for `migrate`.

    Raises:
        PermissionMissing: The role may not create temporary tables.
        TransactionPooler: The connection does not keep its server process.
        DatabaseUnreachable: The database did not accept a connection.
        DiwaSchemaError: A revision fails in the shadow, or reaches tables outside it.
    """
    if plan.snapshot or not plan.revisions:
        return ()
    target = target_of(database, embedded, schema)
    work = _on_postgresql if target.dialect == "postgresql" else _on_sqlite
    try:
        with target.connect("diwa-schema plan", create=False, filtered=True) as link:
            return work(plan, link)
    except Exception as error:
        if not is_driver_error(error):
            raise
        if sqlstate(error) == LOCK_TIMEOUT:
            # Nobody else knows the temporary tables, so nobody can hold one.
            raise astray("a table of another session") from error
        if connection_lost(error):
            raise unreachable(target.shown, error) from error
        raise explain(error, target.shown, "observing", NOTHING_CHANGED) from error


def _on_postgresql(plan: Plan, link: Link) -> tuple[Observed, ...]:
    schema = bookkeeping.look(link).schema
    sizes = preflight.sizes(link, schema, load().tables)
    shadow, known, types = Shadow(link, schema), load().until(plan.before), _types(plan)

    def tried() -> list[Trace]:
        with shadow.built(known, types):
            return [attempted(shadow.observe, one) for one in plan.revisions]

    bare = tried()
    touched = {name for trace in bare for name in trace.busy} & set(sizes)
    portion = Portion(schema, {name: sizes[name] for name in sorted(touched) if is_large(sizes[name])})
    # Without a large table there is nothing to measure. With one, a session that has just begun is no measure either:
    # it has yet to read the server's catalogs, and what that takes would hide what a portion of the rows takes.
    if portion.large:
        for trace, again in zip(bare, tried(), strict=True):
            trace.settle(again)
    filled = []
    for _ in range(2 if portion.large else 0):
        with shadow.built(known, types, portion.fill):
            filled.append(list(_while_it_works(shadow, plan)))
    return tuple(
        _told(plan, one, trace, sizes, *expected(trace, others, portion))
        for one, trace, *others in zip(plan.revisions, bare, *filled, strict=True)
    )


def _while_it_works(shadow: Shadow, plan: Plan) -> Iterator[Trace]:
    """Yield the effects of revisions on rows of the database, up to the first revision that these rows let fail."""
    failed = False
    for one in plan.revisions:
        trace = Trace()
        if not failed:
            try:
                trace = shadow.observe(one)
            except Exception as error:
                if not isinstance(error, DiwaSchemaError) and (
                    not is_driver_error(error) or connection_lost(error)
                ):
                    raise
                failed = True
        yield trace


def attempted(work: Callable[[Revision], Trace], revision: Revision) -> Trace:
    """Run a revision in a shadow.

    Raises:
        MigrationFailed: It fails, or cannot be imported.
    """
    try:
        return work(revision)
    except Exception as error:
        ours = is_driver_error(error) and (connection_lost(error) or sqlstate(error) == LOCK_TIMEOUT)
        if ours or isinstance(error, DiwaSchemaError):
            raise
        said = brief(error) if is_driver_error(error) else f"{type(error).__name__}: {error}"
        raise MigrationFailed(
            f"Revision {revision.revision} ({revision.slug}) fails in the trial: {said}",
            untouched=NOTHING_CHANGED,
            next_step=f"To examine it, run: diwa-schema lint {shown(revision.path)}",
            revision=revision.revision,
        ) from error


def _types(plan: Plan) -> dict[tuple[str, str], str]:
    """Return the types of columns in the database that decide the work of a revision."""
    retypes = plan.connections.retypes if plan.connections else ()
    # A column may change its type twice: the first change begins with the present type.
    return {
        (table, column): kind
        for table, column, kind in reversed([(*one.column.split("."), one.before) for one in retypes])
    }


def _on_sqlite(plan: Plan, link: Link) -> tuple[Observed, ...]:
    there = bookkeeping.look(link).schema_tables
    sizes = {name: Size(int(link.value(f"SELECT count(*) FROM {quoted(name)}")), 0) for name in there}
    with (
        Link(sqlite3.connect(":memory:", isolation_level=None), "sqlite", "memory") as memory,
        connection_over(memory) as connection,
    ):
        build(connection, load().until(plan.before))
        samples.fill(memory, read(memory))
        return tuple(
            _told(plan, one, trace, sizes, *_lasting(trace, sizes))
            for one in plan.revisions
            for trace in [attempted(partial(_followed, memory=memory, connection=connection), one)]
        )


def _lasting(trace: Trace, sizes: dict[str, Size]) -> tuple[Duration | None, str | None]:
    large = sorted(name for name in trace.marks if name in sizes and is_large(sizes[name]))
    if large:
        return None, f"rows of SQLite are not measured, and {large[0]} has {sizes[large[0]].rows:,}"
    return Duration(sum(piece.seconds for piece in trace.pieces), 0.0, LITTLE), None


def _followed(revision: Revision, memory: Link, connection: sa.Connection) -> Trace:
    """Run a revision in memory. SQLite counts nothing by table, so its files and the statements show the effects."""
    before = _roots(memory)
    trace = Trace(sample={name: int(memory.value(f"SELECT count(*) FROM {quoted(name)}")) for name in before})
    began = time.perf_counter()
    with _recorded(connection, trace.sql):
        build(connection, [revision])
    trace.pieces = [Piece(None, time.perf_counter() - began)]
    after = _roots(memory)
    trace.creates = tuple(sorted(set(after) - set(before)))
    named = {table_of(one) for one in trace.sql}
    for name in sorted(before):
        rewritten, dropped = name in after and after[name] != before[name], name not in after
        if rewritten or dropped or name in named:
            trace.marks[name] = Mark(rewritten=rewritten, dropped=dropped)
    return trace


@contextmanager
def _recorded(connection: sa.Connection, sql: list[str]) -> Iterator[None]:
    def sent(_connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            sql.append(statement.strip())

    sa.event.listen(connection, "before_cursor_execute", sent)
    try:
        yield
    finally:
        sa.event.remove(connection, "before_cursor_execute", sent)


def _roots(link: Link) -> dict[str, int]:
    found = link.rows(
        "SELECT name, rootpage FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    return {name: root for name, root in found if not searched.is_shadow(name)}


def _told(
    plan: Plan,
    revision: Revision,
    trace: Trace,
    sizes: dict[str, Size],
    duration: Duration | None,
    unmeasured: str | None,
) -> Observed:
    retypes = plan.connections.retypes if plan.connections else ()
    tables = tuple(_touched(name, mark, trace, sizes.get(name)) for name, mark in sorted(trace.marks.items()))
    return Observed(
        revision.revision,
        revision.slug,
        revision.phase,
        revision.transactional,
        tuple(trace.sql),
        trace.creates,
        tables,
        tuple(one for one in retypes if one.revision == revision.revision),
        longest_wait=_longest_wait(plan, revision, tables),
        duration=duration,
        unmeasured=unmeasured,
    )


def _longest_wait(plan: Plan, revision: Revision, tables: tuple[Touched, ...]) -> float | None:
    # A written row is also locked, until its batch ends.
    if not any(one.waits != NOBODY or one.written for one in tables):
        return 0.0
    unbounded = revision.revision in plan.stalls or any(one.lock is None for one in tables)
    return None if unbounded else Settings().max_stall


def _touched(name: str, mark: Mark, trace: Trace, size: Size | None) -> Touched:
    lite = mark.lock is None
    return Touched(
        table=name,
        rows=size.rows if size else None,
        size=size.size if size and not lite else None,
        lock=mark.lock,
        waits=WRITERS if mark.lock is None else waiting(mark.lock),
        known=tuple(mark.known),
        rewritten=mark.rewritten,
        scanned=None if lite else mark.scanned is not None,
        scan_waits=waiting(mark.scanned) if mark.scanned else None,
        written=None if lite else mark.written,
        sample=trace.sample.get(name, 0),
        dropped=mark.dropped,
        unvalidated=mark.unvalidated,
    )


def waiting(lock: str) -> str:
    """Return the operations that wait for a lock."""
    if lock == LOCKS[-1]:
        return EVERYBODY
    return WRITERS if LOCKS.index(lock) >= _STOPS_WRITES else NOBODY
