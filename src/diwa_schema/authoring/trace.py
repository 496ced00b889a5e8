"""The effects of revisions on tables, observed in a shadow of a PostgreSQL database.

The shadow consists of temporary tables of one session. No other session sees them, and the server drops them at the end
of the session, however it ends. The temporary tables are committed: a table created by the open transaction is already
locked, and a revision's own lock could not be distinguished from that.

A revision works in the same pieces as on a live database. Each piece is a transaction whose locks and counts are read
before its commit. PostgreSQL cannot build an index on a temporary table concurrently, so the locks of such a build are
derived from its kind.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import sqlalchemy as sa

from diwa_schema.authoring import samples
from diwa_schema.authoring.marks import BATCHES, CONCURRENT, LOCKS, Mark, Piece, Trace
from diwa_schema.database.alchemy import connection_over
from diwa_schema.database.failures import PERMISSION, READ_ONLY, is_driver_error, sqlstate
from diwa_schema.drift.read import read
from diwa_schema.drift.shadow import OPTIONS, build, prove_harmless
from diwa_schema.errors import PermissionMissing, TransactionPooler
from diwa_schema.migrations.revisions import load
from diwa_schema.migrations.steps.pace import PACE
from diwa_schema.names import literal, qualified, quoted

if TYPE_CHECKING:
    from diwa_schema.database.link import Link
    from diwa_schema.drift.model import Catalog
    from diwa_schema.migrations.manifest import Revision

T = TypeVar("T")

_OF_CONCURRENT = "ShareUpdateExclusiveLock"
_BATCH = 1_000

_CONCURRENTLY = re.compile(
    r"^(\s*(?:CREATE|DROP|REINDEX)\b.*?\bINDEX\s+)CONCURRENTLY\s+", re.IGNORECASE | re.DOTALL
)
_ASKS = re.compile(r"\s*(?:SELECT|SHOW)\b", re.IGNORECASE)

_ENTER = """
SELECT set_config('search_path', concat_ws(', ', 'pg_temp', (
    SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'vector')), false),
  set_config('lock_timeout', '50ms', false), set_config('statement_timeout', '30s', false)
"""
_NOT_NOW = "22023"  # invalid_parameter_value
_GRANT = "SELECT format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), current_user)"
_TABLES = """
SELECT c.oid::bigint, c.relname::text, pg_relation_filenode(c.oid)::bigint,
  coalesce(s.n_tup_ins + s.n_tup_upd + s.n_tup_del, 0), coalesce(s.seq_tup_read, 0)
FROM pg_class c LEFT JOIN pg_stat_xact_user_tables s ON s.relid = c.oid
WHERE c.relnamespace = pg_my_temp_schema() AND c.relkind = 'r'
"""
_TYPE = """
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped
"""
_TYPES = """
SELECT c.oid::bigint, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = pg_my_temp_schema() AND c.relkind = 'r' ORDER BY 2, 3
"""
_HELD = """
SELECT relation::bigint, mode FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_UNVALIDATED = """
SELECT conrelid::bigint, conname::text FROM pg_constraint
WHERE connamespace = pg_my_temp_schema() AND NOT convalidated ORDER BY 2
"""


class Seen(NamedTuple):
    """A table at one moment of a transaction."""

    name: str
    file: int
    written: int
    read: int


class Shadow:
    """Temporary tables in which revisions run, one after the other.

    Args:
        link: A separate connection, whose settings and temporary tables nobody else needs.
        schema: The name in the statements for the shadow's schema.
    """

    def __init__(self, link: Link, schema: str) -> None:
        self._link, self._schema = link, schema
        self._trace = Trace()
        self._there: dict[int, str] = {}
        self._concurrent = False
        self._recording = False
        self._lasted = 0.0

    @contextmanager
    def built(
        self,
        revisions: tuple[Revision, ...],
        types: Mapping[tuple[str, str], str],
        fill: Callable[[Link, Catalog], object] = samples.fill,
    ) -> Iterator[None]:
        """Create the tables of these revisions, each with rows, and drop them after the block.

        Args:
            revisions: The revisions that the database has.
            types: The types of columns that may differ in the database from the types that these revisions create.
            fill: The function that inserts rows into the tables.

        Raises:
            TransactionPooler: The connection does not keep its server process, so it would lose its temporary tables.
            PermissionMissing: The role may not create temporary tables.
        """
        if not self._link.direct:
            raise TransactionPooler(
                f"A pooler before {self._link.shown} changes the server process between transactions, and"
                " the shadow needs one process.",
                next_step="Name the server itself in --url.",
            )
        self._enter()
        try:
            with connection_over(self._link) as connection:
                sa.event.listen(connection, "before_cursor_execute", self._sent, retval=True)
                self._connection = connection
                with self._transaction():
                    build(connection, revisions)
                    self._retype(types)
                fill(self._link, read(self._link, self._name))
                yield
        finally:
            # The session ends after this; an immediate look at the database has to find nothing.
            self._link.abandon()
            self._link.execute("DISCARD TEMP")

    def observe(self, revision: Revision) -> Trace:
        """Run a revision, and return its effects."""
        trace = self._run(revision)
        if trace is None:
            # A new rule may refuse rows with unusual values.
            self._link.execute(f"TRUNCATE {', '.join(quoted(name) for name in self._there.values())}")
            trace = self._run(revision)
        assert trace is not None  # noqa: S101 - the second time there is no row to refuse
        return trace

    def _run(self, revision: Revision) -> Trace | None:
        before = self._tables()
        self._there = {oid: seen.name for oid, seen in before.items()}
        waiting = set(self._link.rows(_UNVALIDATED))
        types = {(oid, column): kind for oid, _, column, kind in self._link.rows(_TYPES)}
        self._trace = trace = Trace(sample=self._sample())
        load(revision)  # the time of its import is not part of its work
        self._recording = True
        try:
            if revision.transactional:
                with self._piece():
                    build(self._connection, [revision])
            else:
                build(self._connection, [revision], {**OPTIONS, PACE: _Pace(self, self._connection)})
        except Exception as error:
            if (
                not is_driver_error(error)
                or not (sqlstate(error) or "").startswith("23")
                or not any(trace.sample.values())
            ):
                raise
            return None
        finally:
            self._recording = False
        after = self._tables()
        trace.retyped = tuple(
            (name, column)
            for oid, name, column, kind in self._link.rows(_TYPES)
            if types.get((oid, column), kind) != kind
        )
        trace.creates = tuple(sorted(seen.name for oid, seen in after.items() if oid not in before))
        for oid, name in self._there.items():
            if oid not in after:
                self._mark(name).dropped = True
        for oid, name in self._link.rows(_UNVALIDATED):
            if (oid, name) not in waiting and oid in self._there:
                mark = self._mark(self._there[oid])
                mark.unvalidated = (*mark.unvalidated, name)
        return trace

    def _retype(self, types: Mapping[tuple[str, str], str]) -> None:
        for (table, column), kind in types.items():
            if self._link.value(_TYPE, (qualified(self._name, table), column)) not in (None, kind):
                self._link.execute(
                    f"ALTER TABLE {quoted(table)} ALTER COLUMN {quoted(column)} TYPE {kind} USING NULL"
                )

    def _enter(self) -> None:
        try:
            # Temporary tables would use a buffer of 8 MB, which a session cannot change after its first use.
            self._link.set({"temp_buffers": "128MB"})
        except Exception as error:
            if sqlstate(error) != _NOT_NOW:
                raise
        try:
            self._link.row(_ENTER)
            self._name = str(self._link.value("SELECT current_schema()"))
        except Exception as error:
            if not is_driver_error(error) or sqlstate(error) not in (PERMISSION, READ_ONLY):
                raise
            grant = self._link.value(_GRANT)
            raise PermissionMissing(
                f"The role may not create temporary tables in {self._link.shown}, and an observed revision"
                " needs them."
                if sqlstate(error) == PERMISSION
                else f"Nothing can be written to {self._link.shown}, temporary tables included.",
                next_step=f"Let its owner run `{grant}`."
                if sqlstate(error) == PERMISSION
                else "Name the primary server in --url.",
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run the block in a transaction, and roll it back if it has reached a table outside the shadow."""
        with self._link.transaction():
            yield
            prove_harmless(self._link, self._name)

    @contextmanager
    def _piece(self, kind: str | None = None) -> Iterator[None]:
        """Run a piece of a revision in a transaction, and record its effects on existing tables."""
        self._concurrent = False
        with self._transaction():
            before = self._tables()
            began = time.perf_counter()
            yield
            took = time.perf_counter() - began
            # Read before a statement of this package could lock a table.
            held = [one for one in self._link.rows(_HELD) if one[0] in self._there]
            after = self._tables()
            known = [CONCURRENT] if self._concurrent else [kind] if kind else []
            piece = self._measured(known[0] if known else None, took)
            for oid in {oid for oid, mode in held if mode in LOCKS[1:]}:
                mode = max((mode for one, mode in held if one == oid and mode in LOCKS), key=LOCKS.index)
                if self._concurrent:
                    mode = min(mode, _OF_CONCURRENT, key=LOCKS.index)
                mark = self._mark(self._there[oid])
                mark.lock = _stronger(mark.lock, mode)
                mark.known += [one for one in known if one not in mark.known]
                if oid in after:
                    self._compared(mark, piece, before[oid], after[oid], mode)

    def _measured(self, kind: str | None, took: float) -> Piece:
        """Return the finished piece; a batch belongs to the piece before it."""
        pieces = self._trace.pieces
        if kind != BATCHES or not pieces or pieces[-1].kind != BATCHES:
            pieces.append(Piece(kind))
        pieces[-1].seconds += took
        self._lasted = took
        return pieces[-1]

    def _compared(self, mark: Mark, piece: Piece, before: Seen, now: Seen, lock: str) -> None:
        rewritten = now.file != before.file
        written = max(now.written - before.written, 0)  # TRUNCATE resets the counts
        mark.rewritten |= rewritten
        mark.written += written
        if now.read > before.read:
            mark.scanned = _stronger(mark.scanned, lock)
        if rewritten or written or now.read > before.read:
            piece.tables.add(now.name)
            piece.writes |= rewritten or written > 0

    def took(self, rows: int) -> None:
        """Record the number of rows of the last batch."""
        self._trace.pieces[-1].batches.append((rows, self._lasted))

    def _mark(self, name: str) -> Mark:
        return self._trace.marks.setdefault(name, Mark())

    def _tables(self) -> dict[int, Seen]:
        return {oid: Seen(*rest) for oid, *rest in self._link.rows(_TABLES)}

    def _sample(self) -> dict[str, int]:
        counts = " UNION ALL ".join(
            f"SELECT {literal(name)}, count(*) FROM {qualified(self._name, name)}"
            for name in self._there.values()
        )
        return dict(self._link.rows(counts)) if counts else {}

    def _sent(
        self,
        _connection: sa.Connection,
        _cursor: Any,
        statement: str,
        parameters: Any,
        _context: Any,
        _many: bool,
    ) -> tuple[str, Any]:
        if not self._recording:
            return statement, parameters
        plain, self._concurrent = (
            _CONCURRENTLY.sub(r"\1", statement),
            self._concurrent or bool(_CONCURRENTLY.match(statement)),
        )
        if not _ASKS.match(statement):
            shown = statement.replace("%%", "%").strip()
            for name in (quoted(self._name), self._name):
                shown = shown.replace(f"{name}.", f"{quoted(self._schema)}.")
            if shown not in self._trace.sql:
                self._trace.sql.append(shown)
        return plain, parameters


def _stronger(lock: str | None, other: str) -> str:
    return other if lock is None else max(lock, other, key=LOCKS.index)


class _Pace:
    """The pace of a step in a shadow: it has the pieces of a live database, and each is observed."""

    first_batch = 0  # a large table has more rows than the shadow

    def __init__(self, shadow: Shadow, connection: sa.Connection) -> None:
        self._shadow = shadow
        self._piece = shadow._piece  # noqa: SLF001 - one thing in two roles
        self._connection = connection

    def short(self, work: Callable[[sa.Connection], T]) -> T:
        with self._piece():
            return work(self._connection)

    def long(self, work: Callable[[sa.Connection], T]) -> T:
        with self._piece():
            return work(self._connection)

    def look(self, work: Callable[[sa.Connection], T]) -> T:
        return work(self._connection)

    def wait(self, reason: Callable[[sa.Connection], str | None]) -> None:
        pass

    def batches(
        self,
        work: Callable[[sa.Connection, int], int],
        total: int | None,  # noqa: ARG002 - as any pace
        label: str,  # noqa: ARG002
        *,
        before: int = 0,  # noqa: ARG002
    ) -> int:
        done = 0
        while True:
            with self._piece(BATCHES):
                taken = work(self._connection, _BATCH)
            if not taken:
                return done
            done += taken
            self._shadow.took(taken)

    def progress(self, label: str, done: int, total: int | None) -> None:
        pass

    def say(self, line: str) -> None:
        pass
