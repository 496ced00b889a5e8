"""The effect of a revision as a list of Alembic's operations; no database is asked.

The function runs as for ``--sql``. Each operation is recorded before Alembic writes its SQL, with its line in the
revision, and with the step of this package that issued it. A step writes plain SQL into a script but works differently
on a live database, so it is judged as a step.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from sys import _getframe
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext

from diwa_schema.authoring.source import Source
from diwa_schema.migrations import steps
from diwa_schema.migrations.revisions import ONE_AT_A_TIME, VERSION_TABLE
from diwa_schema.migrations.steps import pace

_STEPS = Path(steps.__file__).parent
_PACE = pace.__file__


@dataclass(frozen=True, slots=True)
class Record:
    """One operation.

    Args:
        operation: Alembic's operation for the call.
        sql: Its statements, without those that a batch writes at its end.
        line: The line of the revision with the call.
        helper: The function of `steps` that the revision called; None if it called Alembic directly.
    """

    operation: ops.MigrateOperation
    sql: str
    line: int
    helper: str | None

    @property
    def plain(self) -> bool:
        """Whether the revision called Alembic directly, without a step of this package."""
        return self.helper is None

    @property
    def statement(self) -> str:
        """The revision's own SQL text, without comments; empty for any other operation."""
        if not isinstance(self.operation, ops.ExecuteSQLOp):
            return ""
        return re.sub(r"--[^\n]*|/\*.*?\*/", " ", str(self.operation.sqltext), flags=re.DOTALL).strip()

    @property
    def table(self) -> str | None:
        """The table that it changes."""
        for name in ("table_name", "source_table", "old_table_name"):
            if (found := getattr(self.operation, name, None)) is not None:
                return str(found)
        if isinstance(self.operation, ops.BulkInsertOp):
            return self.operation.table.name
        text = getattr(self.operation, "sqltext", None)
        if isinstance(text, sa.UpdateBase):
            return str(text.entity_description["name"])
        return table_of(self.statement)


# Alembic has no operation for text, so the text itself shows its table.
_TABLE = re.compile(
    r"""(?:UPDATE|INSERT\s+INTO|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?|(?:ALTER|DROP)\s+TABLE(?:\s+IF\s+EXISTS)?
        |CREATE\s+(?:UNIQUE\s+)?INDEX\b.*?\sON)\s+(?:ONLY\s+)?(?P<name>(?:"[^"]+"|[\w$.])+)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def table_of(statement: str) -> str | None:
    """Return the table that a statement changes, if its beginning shows it."""
    named = _TABLE.match(statement)
    return named["name"].rpartition(".")[2].strip('"') if named else None


@dataclass(slots=True)
class Trace:
    """The operations of one function of a revision.

    Args:
        function: upgrade or downgrade.
        records: Its operations, in order.
        steps: The names of the safe steps that ran.
        ended: The lines that leave the transaction.
        failure: The reason why the trace has no end; None if it is complete.
    """

    function: str
    records: list[Record] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    failure: str | None = None

    @property
    def created(self) -> frozenset[str]:
        """The tables that it creates, which nobody uses yet."""
        return frozenset(
            str(record.table) for record in self.records if isinstance(record.operation, ops.CreateTableOp)
        )

    def existing(self) -> Iterator[Record]:
        """Yield its direct operations on existing tables."""
        created = self.created
        return (record for record in self.records if record.plain and record.table not in created)


def follow(source: Source, function: str) -> Trace:
    """Return the operations of a function of a revision on PostgreSQL.

    Args:
        source: The revision.
        function: upgrade or downgrade; a missing function does nothing.
    """
    trace = Trace(function)
    work = source.declared(function)
    if work is None:
        return trace
    out = io.StringIO()
    options = {
        "as_sql": True, "output_buffer": out, "literal_binds": True, "version_table": VERSION_TABLE,
        pace.STEPS: trace.steps,
    }  # fmt: skip
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with ONE_AT_A_TIME, _watched(context, source, trace, out):
        try:
            work()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a draft may fail in any way, and that is the finding
            trace.failure = f"{type(error).__name__}: {error}"
    return trace


@contextmanager
def _watched(context: MigrationContext, source: Source, trace: Trace, out: io.StringIO) -> Iterator[None]:
    """Bind Alembic's `op` to a context, and record its operations."""
    inside = 0

    @contextmanager
    def taken(operation: ops.MigrateOperation) -> Iterator[None]:
        """Record the SQL of the block, unless it is part of a recorded operation."""
        nonlocal inside
        start, outermost, inside = len(out.getvalue()), not inside, inside + 1
        try:
            yield
        finally:
            inside -= 1
            if outermost:
                trace.records.append(Record(operation, out.getvalue()[start:], *_caller(source)))

    def watch(to: Any) -> None:
        invoke: Callable[[ops.MigrateOperation], Any] = to.invoke

        def invoked(operation: ops.MigrateOperation) -> Any:
            with taken(operation):
                return invoke(operation)

        to.invoke = invoked

    bound: Any
    impl: Any = context.impl
    with Operations.context(context) as bound:
        watch(bound)
        batch, execute = bound.batch_alter_table, impl._exec  # noqa: SLF001 - all SQL goes through it

        @contextmanager
        def watched_batch(*args: Any, **options: Any) -> Iterator[Any]:
            nonlocal inside
            with batch(*args, **options) as inner:
                watch(inner)
                yield inner
                # A batch writes its SQL at its end, after all of its operations are recorded.
                inside += 1
            inside -= 1

        def executed(construct: Any, *args: Any, **options: Any) -> Any:
            with taken(ops.ExecuteSQLOp(construct)):
                return execute(construct, *args, **options)

        @contextmanager
        def block() -> Iterator[None]:
            trace.ended.append(_caller(source)[0])
            yield

        impl._exec = executed  # noqa: SLF001
        bound.batch_alter_table = watched_batch
        bound.get_context().autocommit_block = block
        yield


def _caller(source: Source) -> tuple[int, str | None]:
    """Return the running line of the revision, and the called helper of this package."""
    frame, helper = _getframe(1), None
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if name == str(source.path):
            return frame.f_lineno, helper
        if _STEPS in Path(name).parents and name != _PACE:
            helper = frame.f_code.co_name
        frame = frame.f_back
    return source.line("upgrade"), helper
